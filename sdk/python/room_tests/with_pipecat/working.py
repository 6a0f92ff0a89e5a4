"""A bot of Pipecat in several workers on a bus: one has the call, and two have a model each and take turns."""

import asyncio
import logging
import os
import sys
from typing import Any

# The folder above has what all agents of the tests share.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from pipecat.bus.bridge_processor import BusBridgeProcessor
from pipecat.frames.frames import LLMMessagesAppendFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.services.llm_service import FunctionCallParams
from pipecat.transports.livekit.transport import LiveKitParams
from pipecat.workers.llm.llm_worker import LLMWorker, LLMWorkerActivationArgs
from pipecat.workers.llm.tool_decorator import tool
from pipecat.workers.runner import WorkerRunner
from scripted import ScriptedLLM, ToneTTS
from telling import tell

from baton import pipecat as baton

ANSWERS = {
    "twelve": ("to_teller", {"cents": 1200}),
    "Take the money.": "I am the teller",
    "handoff triage": ["one moment", ("handoff", {"to": "triage", "reason": "the caller asks for it"})],
}


def script(messages: list[Any]) -> Any:
    last = str(messages[-1]["content"]) if messages else ""
    return ANSWERS.get(last, "I am here, what is it")


def model(name: str) -> ScriptedLLM:
    llm = ScriptedLLM(script, lambda: tell("asked", node=name, tools=llm.tools))
    return llm


class Greeter(LLMWorker):
    @tool
    async def to_teller(self, params: FunctionCallParams, cents: int) -> None:
        """Has the teller go on.

        Args:
            cents: What is to be paid.
        """
        await params.result_callback({"cents": cents})
        task = [{"role": "developer", "content": "Take the money."}]
        await self.activate_worker("teller", args=LLMWorkerActivationArgs(messages=task), deactivate_self=True)


class Teller(LLMWorker):
    @tool
    async def pay(self, params: FunctionCallParams, cents: int) -> None:
        """Takes the money.

        Args:
            cents: How much.
        """
        await params.result_callback({"paid": cents})


async def bot(call: baton.Call) -> None:
    transport = baton.Transport(call, LiveKitParams(audio_in_enabled=True, audio_out_enabled=True))
    runner = WorkerRunner(handle_sigint=False)
    context = LLMContext()
    aggregators = LLMContextAggregatorPair(context)
    bridge = BusBridgeProcessor(bus=runner.bus, worker_name="main")
    parts = [transport.input(), aggregators.user(), bridge, ToneTTS(880), transport.output(), aggregators.assistant()]
    worker = PipelineWorker(Pipeline(parts), name="main", idle_timeout_secs=None)
    llms = {name: model(name) for name in ("greeter", "teller")}
    await runner.add_workers(
        Greeter("greeter", llm=llms["greeter"], active=True, bridged=()),
        Teller("teller", llm=llms["teller"], bridged=()),
    )

    async def says(reader: Any) -> None:
        """What a test has the caller say, in text."""
        message = {"role": "user", "content": await reader.read_all()}
        if call.hears:
            await worker.queue_frame(LLMMessagesAppendFrame([message], run_llm=True))

    call.room.register_text_stream_handler("test.says", lambda reader, _: asyncio.create_task(says(reader)))
    await baton.take_part(call, worker, context, llm=list(llms.values()), runner=runner)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
    baton.run("payments", bot)
