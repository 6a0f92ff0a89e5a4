"""Records a conversation of Pipecat. Usage: record.py FOLDER.

The model is scripted, all else is Pipecat's own: pipeline, aggregators, tools that run, are cancelled, or go on while the
conversation does.
"""

import asyncio
import json
import sys
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from loguru import logger  # noqa: E402
from pipecat.frames.frames import (  # noqa: E402
    EndFrame,
    Frame,
    FunctionCallFromLLM,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMMessagesAppendFrame,
    LLMTextFrame,
    LLMThoughtEndFrame,
    LLMThoughtStartFrame,
    LLMThoughtTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline  # noqa: E402
from pipecat.pipeline.worker import PipelineWorker  # noqa: E402
from pipecat.processors.aggregators.llm_context import LLMContext  # noqa: E402
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair  # noqa: E402
from pipecat.processors.frame_processor import FrameDirection  # noqa: E402
from pipecat.services.llm_service import FunctionCallParams, LLMService  # noqa: E402
from pipecat.workers.runner import WorkerRunner  # noqa: E402

from script import IMAGE, TURNS, Turn  # noqa: E402

logger.remove()

# A tool of this turn is cancelled by an interruption, one of that turn goes on while the conversation does.
CANCELLED = 16
LATE = 28


class Scripted(LLMService):
    def __init__(self) -> None:
        super().__init__()
        self.turn: Turn | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self.answer(frame.context)
        else:
            await self.push_frame(frame, direction)

    async def answer(self, context: LLMContext) -> None:
        turn = self.turn
        assert turn is not None
        await self.push_frame(LLMFullResponseStartFrame())
        last = context.get_messages()[-1]
        after = not isinstance(last, dict) or last["role"] in ("tool", "developer")
        if not after and turn.number % 9 == 5:
            await self.push_frame(LLMThoughtStartFrame(append_to_context=True, llm="google"))
            await self.push_frame(LLMThoughtTextFrame("hm"))
            await self.push_frame(LLMThoughtEndFrame(signature="c2ln"))
        for word in (turn.afterwards if after else turn.answer).split(" "):
            if word != "<interrupted>":
                await self.push_frame(LLMTextFrame(word + " "))
        if not turn.interrupted or after:
            await self.push_frame(LLMFullResponseEndFrame())
        if turn.calls and not after:
            await self.run_function_calls([
                FunctionCallFromLLM(
                    function_name="slow" if turn.number in (CANCELLED,) else "late" if turn.number == LATE else call.tool,
                    tool_call_id=call.id, arguments=json.loads(call.arguments), context=context,
                )
                for call in turn.calls
            ])


async def look_up(params: FunctionCallParams) -> None:
    number = params.arguments["number"]
    await params.result_callback({"number": number, "amount": 12.50, "note": "3 € \"zu viel\", 東京 🎉"})


async def notify(params: FunctionCallParams) -> None:
    await params.result_callback(f"told {params.arguments['to']}")


async def hand_over(params: FunctionCallParams) -> None:
    await params.result_callback("handed over")


async def slow(params: FunctionCallParams) -> None:
    await asyncio.sleep(60)


async def late(params: FunctionCallParams) -> None:
    await asyncio.sleep(0.5)
    await params.result_callback({"late": True})


async def record() -> list[Any]:
    context = LLMContext([{"role": "system", "content": "You are the desk of Müller & Söhne."}])
    pair = LLMContextAggregatorPair(context)
    model = Scripted()
    for tool in (look_up, notify, hand_over, slow):
        model.register_function(tool.__name__, tool)
    model.register_function("late", late, cancel_on_interruption=False)
    worker = PipelineWorker(Pipeline([pair.user(), model, pair.assistant()]), cancel_on_idle_timeout=False)
    started = asyncio.Event()

    @worker.event_handler("on_pipeline_started")
    async def on_started(worker: Any, frame: Any) -> None:
        started.set()

    async def play() -> None:
        await started.wait()
        for turn in TURNS:
            model.turn = turn
            content: Any = turn.said
            if turn.image:
                content = [{"type": "text", "text": turn.said}, {"type": "image_url", "image_url": {"url": IMAGE}}]
            await worker.queue_frame(LLMMessagesAppendFrame([{"role": "user", "content": content}], run_llm=True))
            await asyncio.sleep(0.15)
            if turn.interrupted or turn.number == CANCELLED:
                await worker.queue_frame(InterruptionFrame())
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        await worker.queue_frame(EndFrame())

    runner = WorkerRunner()
    await runner.add_workers(worker)
    await asyncio.gather(runner.run(), play())
    return [asdict(message) if is_dataclass(message) else message for message in context.get_messages()]


def main() -> None:
    lines = ",\n".join(json.dumps(message, ensure_ascii=False) for message in asyncio.run(record()))
    (Path(sys.argv[1]) / "pipecat.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
