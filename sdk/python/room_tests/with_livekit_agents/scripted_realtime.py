"""A realtime model that follows a script: it hears the caller itself, tells the ends of turns by itself, and speaks by itself."""

import asyncio
import json
from array import array
from collections.abc import AsyncIterator, Callable
from typing import Any

from livekit import rtc
from livekit.agents import llm, utils
from livekit.agents.types import NOT_GIVEN, NotGivenOr
from scripted import SAMPLE_RATE, Script
from telling import tone

LOUD = 1_000
"""The peak from which on the caller speaks."""
SILENT_SECS = 0.3
"""How long the caller has to be silent until its turn is over."""
FRAME_SAMPLES = SAMPLE_RATE // 50


class ScriptedRealtime(llm.RealtimeModel):
    """Understands a tone by its pitch. What it makes of a turn comes `latency_secs` after the turn's end."""

    def __init__(self, script: Script, hz: int, latency_secs: float, asked: Callable[[str], None]) -> None:
        super().__init__(
            capabilities=llm.RealtimeCapabilities(
                message_truncation=True,
                turn_detection=True,
                user_transcription=True,
                auto_tool_reply_generation=False,
                audio_output=True,
                manual_function_calls=True,
                mutable_chat_context=True,
                mutable_instructions=True,
                mutable_tools=True,
                per_response_tool_choice=True,
            )
        )
        self.script = script
        self.hz = hz
        self.latency_secs = latency_secs
        self.asked = asked
        """Told why whenever it makes an answer: it was asked, or a turn is over; and of a turn's end itself."""

    def session(self, *, turn_detection_disabled: bool = False) -> "ScriptedRealtimeSession":
        return ScriptedRealtimeSession(self)

    async def aclose(self) -> None:
        pass


class ScriptedRealtimeSession(llm.RealtimeSession[Any]):
    """One conversation."""

    def __init__(self, model: ScriptedRealtime) -> None:
        super().__init__(model)
        self._model = model
        self._context = llm.ChatContext.empty()
        self._tools = llm.ToolContext.empty()
        self._loud = array("h")
        self._silent_secs = 0.0
        self._speaks = False
        self._answers: set[asyncio.Task[None]] = set()

    @property
    def chat_ctx(self) -> llm.ChatContext:
        return self._context.copy()

    @property
    def tools(self) -> llm.ToolContext:
        return self._tools.copy()

    async def update_instructions(self, instructions: str) -> None:
        pass

    async def update_chat_ctx(self, chat_ctx: llm.ChatContext) -> None:
        self._context = chat_ctx.copy()

    async def update_tools(self, tools: list[llm.Tool]) -> None:
        self._tools = llm.ToolContext(tools)

    def update_options(self, *, tool_choice: NotGivenOr[llm.ToolChoice | None] = NOT_GIVEN) -> None:
        pass

    def push_video(self, frame: rtc.VideoFrame) -> None:
        pass

    def push_audio(self, frame: rtc.AudioFrame) -> None:
        samples = array("h", bytes(frame.data))
        if max(samples, default=0) > LOUD:
            if not self._speaks:
                self._speaks = True
                self.emit("input_speech_started", llm.InputSpeechStartedEvent())
            self._loud.extend(samples)
            self._silent_secs = 0.0
        elif self._speaks:
            self._silent_secs += frame.duration
            if self._silent_secs >= SILENT_SECS:
                self._turn_over(frame.sample_rate)

    def _turn_over(self, rate: int) -> None:
        self._speaks = False
        loud, self._loud = self._loud, array("h")
        rises = [at for at in range(1, len(loud)) if loud[at - 1] < 0 <= loud[at]]
        hz = (len(rises) - 1) * rate / max(rises[-1] - rises[0], 1) if len(rises) > 1 else 0.0
        words = f"a tone of {round(hz / 100) * 100}"
        self._model.asked("end")
        self.emit("input_speech_stopped", llm.InputSpeechStoppedEvent(user_transcription_enabled=True))
        answering = asyncio.create_task(self._answer_turn(words))
        self._answers.add(answering)
        answering.add_done_callback(self._answers.discard)

    async def _answer_turn(self, words: str) -> None:
        await asyncio.sleep(self._model.latency_secs)
        heard = llm.ChatMessage(role="user", content=[words])
        self._context.items.append(heard)
        self.emit(
            "input_audio_transcription_completed",
            llm.InputTranscriptionCompleted(item_id=heard.id, transcript=words, is_final=True),
        )
        self.emit("generation_created", self._generation("turn", user_initiated=False))

    def generate_reply(
        self,
        *,
        instructions: NotGivenOr[str] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        tools: NotGivenOr[list[llm.Tool]] = NOT_GIVEN,
    ) -> asyncio.Future[llm.GenerationCreatedEvent]:
        created: asyncio.Future[llm.GenerationCreatedEvent] = asyncio.get_running_loop().create_future()
        context = self._context.copy()
        if utils.is_given(instructions):
            context.items.append(llm.ChatMessage(role="system", content=[instructions]))
        created.set_result(self._generation("asked", user_initiated=True, context=context))
        return created

    def _generation(
        self, why: str, user_initiated: bool, context: llm.ChatContext | None = None
    ) -> llm.GenerationCreatedEvent:
        self._model.asked(why)
        answer = self._model.script(context or self._context)
        parts = answer if isinstance(answer, list) else [answer]
        messages = [
            llm.MessageGeneration(
                message_id=utils.shortuuid("item_"),
                text_stream=_each([part]),
                audio_stream=_each(_frames(part, self._model.hz)),
                modalities=_now(["text", "audio"]),
            )
            for part in parts
            if isinstance(part, str)
        ]
        calls = [
            llm.FunctionCall(call_id=utils.shortuuid("call_"), name=part[0], arguments=json.dumps(part[1]))
            for part in parts
            if not isinstance(part, str)
        ]
        return llm.GenerationCreatedEvent(
            message_stream=_each(messages), function_stream=_each(calls), user_initiated=user_initiated
        )

    def commit_audio(self) -> None:
        pass

    def clear_audio(self) -> None:
        self._loud = array("h")
        self._speaks = False

    def interrupt(self) -> None:
        pass

    def truncate(
        self,
        *,
        message_id: str,
        modalities: Any,
        audio_end_ms: int,
        audio_transcript: NotGivenOr[str] = NOT_GIVEN,
    ) -> None:
        pass

    async def aclose(self) -> None:
        for answering in list(self._answers):
            answering.cancel()


async def _each(things: list[Any]) -> AsyncIterator[Any]:
    for thing in things:
        yield thing


def _now(value: Any) -> "asyncio.Future[Any]":
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


def _frames(text: str, hz: int) -> list[rtc.AudioFrame]:
    samples = memoryview(tone(text, hz, SAMPLE_RATE)).cast("h")
    chunks = [samples[at : at + FRAME_SAMPLES] for at in range(0, len(samples), FRAME_SAMPLES)]
    return [rtc.AudioFrame(bytes(chunk), SAMPLE_RATE, 1, len(chunk)) for chunk in chunks]
