"""A bot of Pipecat whose conversation is a flow: it asks what is to be paid, and then whether it is right."""

import asyncio
import logging
import os
import sys
from typing import Any

# The folder above has what all agents of the tests share.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from pipecat.flows import FlowArgs, FlowManager, FlowsFunctionSchema, NodeConfig
from pipecat.frames.frames import LLMMessagesAppendFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.transports.livekit.transport import LiveKitParams
from scripted import ScriptedLLM, ToneTTS
from telling import tell

from baton import pipecat as baton

ANSWERS = {
    "Ask what is to be paid.": "what do you want to pay",
    "Ask whether Ada pays 1200.": "you pay twelve, is that right",
    "twelve": ("take_amount", {"cents": 1200}),
    "handoff triage": ["one moment", ("handoff", {"to": "triage", "reason": "the caller asks for it"})],
}


def script(messages: list[Any]) -> Any:
    last = str(messages[-1]["content"]) if messages else ""
    return ANSWERS.get(last, "I am here, what is it")


async def take_amount(args: FlowArgs, flow: FlowManager) -> tuple[Any, NodeConfig]:
    flow.state["cents"] = args["cents"]
    return {"cents": args["cents"]}, confirm()


async def confirmed(args: FlowArgs, flow: FlowManager) -> tuple[Any, None]:
    return {"paid": flow.state["cents"]}, None


def amount() -> NodeConfig:
    function = FlowsFunctionSchema(
        name="take_amount",
        description="Takes what is to be paid.",
        properties={"cents": {"type": "integer"}},
        required=["cents"],
        handler=take_amount,
    )
    task = {"role": "developer", "content": "Ask what is to be paid."}
    return NodeConfig(name="amount", task_messages=[task], functions=[function])


def confirm() -> NodeConfig:
    function = FlowsFunctionSchema(
        name="confirmed", description="It is right.", properties={}, required=[], handler=confirmed
    )
    task = {"role": "developer", "content": "Ask whether {{ name }} pays {{ cents }}."}
    return NodeConfig(name="confirm", task_messages=[task], functions=[function])


async def bot(call: baton.Call) -> None:
    transport = baton.Transport(call, LiveKitParams(audio_in_enabled=True, audio_out_enabled=True))
    llm = ScriptedLLM(script, lambda: tell("asked", node=flow.current_node, tools=llm.tools))
    context = LLMContext()
    aggregators = LLMContextAggregatorPair(context)
    pipeline = Pipeline(
        [transport.input(), aggregators.user(), llm, ToneTTS(880), transport.output(), aggregators.assistant()]
    )
    worker = PipelineWorker(pipeline, idle_timeout_secs=None)
    flow = FlowManager(llm=llm, context_aggregator=aggregators, worker=worker, transport=transport)

    def hydrate(state: dict[str, Any]) -> None:
        flow.state.update(state)

    async def says(reader: Any) -> None:
        """What a test has the caller say, in text."""
        message = {"role": "user", "content": await reader.read_all()}
        if call.hears:
            await worker.queue_frame(LLMMessagesAppendFrame([message], run_llm=True))

    call.room.register_text_stream_handler("test.says", lambda reader, _: asyncio.create_task(says(reader)))
    await baton.take_part(call, worker, context, llm=llm, hydrate=hydrate, flow=flow, node=amount())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
    baton.run("payments", bot)
