"""A model and a voice that follow a script, in place of the services that no test can reach."""

import uuid
from array import array
from collections.abc import AsyncGenerator, Callable
from typing import Any

from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.adapters.services.open_ai_adapter import OpenAILLMAdapter
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    FunctionCallFromLLM,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.time import time_now_iso8601
from speech import understood
from telling import Ear, tell, tone

from baton.summary import INSTRUCTIONS

SAMPLE_RATE = 24_000

Script = Callable[[list[Any]], Any]


class ScriptedLLM(LLMService[OpenAILLMAdapter]):
    """Answers as the script says: a text, a tool and its arguments, or several of them."""

    adapter_class = OpenAILLMAdapter

    def __init__(self, script: Script, asked: Callable[[], None] = lambda: None) -> None:
        super().__init__(settings=LLMSettings(model="scripted"))
        self.script = script
        self.told = asked
        self.asked: list[list[Any]] = []
        self.tools: list[str] = []
        """The names of what it may call, as it was asked last."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self.push_frame(LLMFullResponseStartFrame())
            await self._answer(frame.context)
            await self.push_frame(LLMFullResponseEndFrame())
        else:
            await self.push_frame(frame, direction)

    async def run_inference(
        self,
        context: LLMContext,
        max_tokens: int | None = None,
        system_instruction: str | None = None,
        response_schema: dict[str, Any] | None = None,
    ) -> str | None:
        lines = str(context.messages[-1]["content"]).splitlines()
        return f"the sum of {len(lines)} lines" if system_instruction == INSTRUCTIONS else None

    async def _answer(self, context: LLMContext) -> None:
        self.asked.append(list(context.messages))
        self.tools = [tool.name for tool in context.tools.standard_tools] if isinstance(context.tools, ToolsSchema) else []
        self.told()
        answer = self.script(context.messages)
        calls = []
        for part in answer if isinstance(answer, list) else [answer]:
            if isinstance(part, str):
                await self.push_frame(LLMTextFrame(part))
            else:
                name, arguments = part
                calls.append(
                    FunctionCallFromLLM(
                        function_name=name,
                        tool_call_id=f"call_{uuid.uuid4().hex[:8]}",
                        arguments=arguments,
                        context=context,
                    )
                )
        if calls:
            await self.run_function_calls(calls)


class ToneTTS(TTSService):
    """Speaks in a tone of its own."""

    def __init__(self, hz: int) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            sample_rate=SAMPLE_RATE,
            settings=TTSSettings(model="tone", voice="tone", language=None),
        )
        self.hz = hz

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        yield TTSAudioRawFrame(tone(text, self.hz, SAMPLE_RATE), SAMPLE_RATE, 1, context_id=context_id)


class SentenceSTT(SegmentedSTTService):
    """Tells sentences apart by how long they are."""

    def __init__(self, lengths: dict[str, float]) -> None:
        super().__init__(ttfs_p99_latency=0.5, settings=STTSettings(model="scripted", language=None))
        self.lengths = lengths

    @property
    def wants_wav_segments(self) -> bool:
        return False

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        text, secs = understood(array("h", audio), self.sample_rate, self.lengths)
        tell("heard", text=text, secs=secs)
        yield TranscriptionFrame(text, "caller", time_now_iso8601())


class Hearing(FrameProcessor):
    """Tells which tones of the caller's come in."""

    def __init__(self) -> None:
        super().__init__()
        self._ear = Ear()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self._ear.hear(frame.audio, frame.sample_rate)
        await self.push_frame(frame, direction)
