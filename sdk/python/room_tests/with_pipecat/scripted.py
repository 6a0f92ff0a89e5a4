"""A model and a voice that follow a script, in place of the services that no test can reach."""

import math
import uuid
from array import array
from collections.abc import AsyncGenerator, Callable
from typing import Any

from pipecat.adapters.services.open_ai_adapter import OpenAILLMAdapter
from pipecat.frames.frames import (
    Frame,
    FunctionCallFromLLM,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, TTSSettings
from pipecat.services.tts_service import TTSService

SAMPLE_RATE = 24_000
CHAR_SECS = 0.05
"""How long a character takes to say."""

Script = Callable[[list[Any]], Any]


class ScriptedLLM(LLMService[OpenAILLMAdapter]):
    """Answers as the script says: a text, a tool and its arguments, or several of them."""

    adapter_class = OpenAILLMAdapter

    def __init__(self, script: Script) -> None:
        super().__init__(settings=LLMSettings(model="scripted"))
        self.script = script
        self.asked: list[list[Any]] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self.push_frame(LLMFullResponseStartFrame())
            await self._answer(frame.context)
            await self.push_frame(LLMFullResponseEndFrame())
        else:
            await self.push_frame(frame, direction)

    async def _answer(self, context: LLMContext) -> None:
        self.asked.append(list(context.messages))
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
        count = int(len(text) * CHAR_SECS * SAMPLE_RATE)
        samples = array("h", (int(9_000 * math.sin(2 * math.pi * self.hz * at / SAMPLE_RATE)) for at in range(count)))
        yield TTSAudioRawFrame(samples.tobytes(), SAMPLE_RATE, 1, context_id=context_id)
