"""A bot of Pipecat that takes payments."""

import asyncio
import logging
import os
import sys
from dataclasses import dataclass
from typing import Any

# The folder above has what all agents of the tests share.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from pipecat.frames.frames import LLMMessagesAppendFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.services.llm_service import FunctionCallParams
from pipecat.transports.livekit.transport import LiveKitParams
from scripted import ScriptedLLM, ToneTTS
from telling import tell, tell_context

from baton import pipecat as baton

NAME = os.environ.get("AGENT_NAME", "payments")
HZ = int(os.environ.get("AGENT_HZ", "880"))


@dataclass
class Caller:
    name: str = ""
    verified: bool = False
    paid_cents: int | None = None


def script(messages: list[Any]) -> Any:
    last = messages[-1] if messages else None
    if isinstance(last, dict) and last.get("role") == "tool":
        return f"the tool said {len(str(last['content']))} characters"
    if isinstance(last, dict) and last.get("role") == "user":
        words = str(last["content"])
        if "pay" in words:
            return ("pay", {"cents": 1250})
        if words.startswith("handoff "):
            return ["one moment", ("handoff", {"to": words.split()[1], "reason": "it is paid"})]
        return f"you said {words}"
    return f"hello, this is {NAME}"


async def bot(call: baton.Call) -> None:
    caller = Caller()
    transport = baton.Transport(call, LiveKitParams(audio_in_enabled=True, audio_out_enabled=True))
    llm = ScriptedLLM(script)

    async def pay(params: FunctionCallParams) -> None:
        caller.paid_cents = params.arguments["cents"]
        await params.result_callback({"paid": params.arguments["cents"]})

    llm.register_function("pay", pay)
    context = LLMContext()
    aggregators = LLMContextAggregatorPair(context)
    pipeline = Pipeline(
        [transport.input(), aggregators.user(), llm, ToneTTS(HZ), transport.output(), aggregators.assistant()]
    )
    worker = PipelineWorker(pipeline, params=PipelineParams(), idle_timeout_secs=None)

    async def says(reader: Any) -> None:
        """What a test has the caller say, in text."""
        if call.holds:
            message = {"role": "user", "content": await reader.read_all()}
            await worker.queue_frame(LLMMessagesAppendFrame([message], run_llm=True))

    call.room.register_text_stream_handler("test.says", lambda reader, _: asyncio.create_task(says(reader)))

    def hydrate(state: dict[str, Any]) -> None:
        tell("hydrated", state=state)

    context_told = asyncio.create_task(tell_context(call))
    await baton.take_part(call, worker, context, llm=llm, share=caller, hydrate=hydrate)
    context_told.cancel()
    tell("ended", messages=context.messages)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
    baton.run(NAME, bot)
