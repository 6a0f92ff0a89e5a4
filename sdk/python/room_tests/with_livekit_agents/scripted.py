"""A model, a voice and an ear that follow a script, in place of the services that no test can reach.

The voice speaks in a tone, as long as its text takes to say; the ear tells the committed clips apart by their length.
"""

import json
from array import array
from collections.abc import Callable
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions, llm, stt, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN
from speech import understood
from telling import Ear, tell, tone

SAMPLE_RATE = 24_000

Answer = str | tuple[str, dict[str, Any]] | list[Any]
"""A text; or the name of a tool and its arguments; or several of them."""
Script = Callable[[llm.ChatContext], Answer]


class ScriptedLLM(llm.LLM[Any]):
    """Answers as the script says."""

    def __init__(self, script: Script, asked: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.script = script
        self.told = asked
        self.asked: list[llm.ChatContext] = []

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        self.asked.append(chat_ctx)
        self.told()
        return _Stream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Stream(llm.LLMStream):
    async def _run(self) -> None:
        assert isinstance(self._llm, ScriptedLLM)
        answer = self._llm.script(self._chat_ctx)
        for part in answer if isinstance(answer, list) else [answer]:
            delta = llm.ChoiceDelta(role="assistant")
            if isinstance(part, str):
                delta.content = part
            else:
                name, arguments = part
                delta.tool_calls = [
                    llm.FunctionToolCall(
                        name=name, arguments=json.dumps(arguments), call_id=utils.shortuuid("call_")
                    )
                ]
            self._event_ch.send_nowait(llm.ChatChunk(id=utils.shortuuid("chunk_"), delta=delta))


class ToneTTS(tts.TTS):
    """Speaks in a tone of its own."""

    def __init__(self, hz: int) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False), sample_rate=SAMPLE_RATE, num_channels=1
        )
        self.hz = hz

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Tone(tts=self, input_text=text, conn_options=conn_options)


class _Tone(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        assert isinstance(self._tts, ToneTTS)
        output_emitter.initialize(
            request_id=utils.shortuuid(), sample_rate=SAMPLE_RATE, num_channels=1, mime_type="audio/pcm"
        )
        output_emitter.push(tone(self.input_text, self._tts.hz, SAMPLE_RATE))
        output_emitter.flush()


class ClipSTT(stt.STT[Any]):
    """Tells clips apart by how long they are."""

    def __init__(self, lengths: dict[str, float]) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self.lengths = lengths

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: Any = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.SpeechEvent:
        frame = rtc.combine_audio_frames(buffer)
        text, secs = understood(array("h", bytes(frame.data)), frame.sample_rate, self.lengths)
        tell("heard", text=text, secs=secs)
        return stt.SpeechEvent(
            type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[stt.SpeechData(language="en", text=text)]
        )


class EarSTT(stt.STT[Any]):
    """Understands nothing, and tells which tones it hears."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False, offline_recognize=False))

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: Any = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.SpeechEvent:
        raise NotImplementedError("it hears a stream alone")

    def stream(
        self, *, language: Any = NOT_GIVEN, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> stt.RecognizeStream:
        return _Hearing(stt=self, conn_options=conn_options)


class _Hearing(stt.RecognizeStream):
    async def _run(self) -> None:
        ear = Ear()
        async for frame in self._input_ch:
            if isinstance(frame, rtc.AudioFrame):
                ear.hear(bytes(frame.data), frame.sample_rate)
