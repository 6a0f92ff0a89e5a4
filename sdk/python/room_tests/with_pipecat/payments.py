"""A bot of Pipecat that takes payments."""

import asyncio
import json
import logging
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

# The folder above has what all agents of the tests share.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import InterruptionWorkerFrame, LLMMessagesAppendFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.services.llm_service import FunctionCallParams
from pipecat.transports.livekit.transport import LiveKitParams
from scripted import Hearing, ScriptedLLM, SentenceSTT, ToneTTS
from telling import ALOUD, tell, tell_context

from baton import BatonError
from baton import pipecat as baton

NAME = os.environ.get("AGENT_NAME", "payments")
DELEGATES = json.loads(os.environ.get("AGENT_DELEGATES", "null"))
HZ = int(os.environ.get("AGENT_HZ", "880"))
SENTENCES = json.loads(os.environ.get("AGENT_SENTENCES", "{}"))
"""What it understands under the name of one who has a real ear."""


@dataclass
class Caller:
    name: str = ""
    verified: bool = False
    paid_cents: int | None = None
    notes: list[str] = field(default_factory=list)


def script(messages: list[Any]) -> Any:
    last = messages[-1] if messages else None
    if isinstance(last, dict) and last.get("role") == "system":
        return f"I was told: {str(last['content']).splitlines()[0].rpartition(': ')[2]}"
    if isinstance(last, dict) and last.get("role") == "tool":
        if "takes over" in str(last["content"]):
            return f"hello, this is {NAME}"
        return f"the tool said {len(str(last['content']))} characters"
    if isinstance(last, dict) and last.get("role") == "user":
        words = str(last["content"])
        if words.startswith("handoff payments"):
            # The last thing that was said to who had the baton before.
            return f"hello, this is {NAME}"
        if words.startswith("delegate "):
            return ["one moment", ("delegate", {"to": words.split()[1], "task": "find out who it is"})]
        if words.startswith("complete "):
            return ("complete_task", {"result": words.split()[1]})
        if words.startswith("handoff "):
            said = ALOUD["payments"] if words.endswith(" aloud") else "one moment"
            return [said, ("handoff", {"to": words.split()[1], "reason": "it is paid"})]
        if "pay" in words:
            return ("pay", {"cents": 1250})
        return f"you said {words}"
    return f"hello, this is {NAME}"


async def bot(call: baton.Call) -> None:
    caller = Caller()
    transport = baton.Transport(call, LiveKitParams(audio_in_enabled=True, audio_out_enabled=True))
    llm = ScriptedLLM(script, lambda: tell("asked", holds=[call.holds], at=time.time()))

    async def pay(params: FunctionCallParams) -> None:
        caller.paid_cents = params.arguments["cents"]
        await params.result_callback({"paid": params.arguments["cents"]})

    llm.register_function("pay", pay)
    context = LLMContext()
    ears = call.specialist.startswith("ears")
    # The turn's end is smart-turn's then, by default.
    hearing = LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer()) if ears else None
    aggregators = LLMContextAggregatorPair(context, user_params=hearing)
    pipeline = Pipeline(
        [
            transport.input(),
            SentenceSTT(SENTENCES) if ears else Hearing(),
            aggregators.user(),
            llm,
            ToneTTS(HZ),
            transport.output(),
            aggregators.assistant(),
        ]
    )
    worker = PipelineWorker(pipeline, params=PipelineParams(), idle_timeout_secs=None)

    async def turn_ended(_: Any, strategy: Any, message: Any) -> None:
        tell("turn", by=type(strategy).__name__, text=message.content, hears=call.hears)

    aggregators.user().add_event_handler("on_user_turn_stopped", turn_ended)

    async def says(reader: Any) -> None:
        """What a test has the caller say, in text."""
        words = await reader.read_all()
        if not call.hears:
            return
        if words.startswith("share "):
            # What no colleague may have, or can.
            setattr(caller, words.split()[1], [object()] if words.endswith(" badly") else ["x"])
            try:
                await baton.share(call)
            except BatonError as error:
                tell("error", type=type(error).__name__, text=str(error), notes=str(caller.notes))
        elif words == "stop":
            await worker.queue_frame(InterruptionWorkerFrame())
        else:
            message = {"role": "user", "content": words}
            await worker.queue_frame(LLMMessagesAppendFrame([message], run_llm=True))

    call.room.register_text_stream_handler("test.says", lambda reader, _: asyncio.create_task(says(reader)))

    def hydrate(state: dict[str, Any]) -> None:
        tell("hydrated", state=state)

    def own(items: list[dict[str, Any]]) -> list[str]:
        """The context's messages beside Baton's items."""
        # In pairs, a result comes behind its call; so they are compared without their order.
        has, wanted = Counter(_of_messages(context.messages)), Counter(_of_items(items))
        return [f"more: {each}" for each in has - wanted] + [f"less: {each}" for each in wanted - has]

    context_told = asyncio.create_task(tell_context(call, own))
    await baton.take_part(call, worker, context, llm=llm, delegates=DELEGATES, share=caller, hydrate=hydrate)
    context_told.cancel()
    tell("ended", messages=context.messages)


def _of_messages(messages: list[Any]) -> list[tuple[str, ...]]:
    """What Pipecat has of a conversation: neither ids nor times, nor what a result or an interruption was."""
    found: list[tuple[str, ...]] = []
    for message in messages:
        if message["role"] == "tool":
            found.append(("result", message["tool_call_id"], str(message["content"])))
            continue
        calls = message.get("tool_calls") or []
        if not calls:
            found.append((message["role"], str(message["content"])))
        found += [("call", each["id"], each["function"]["name"], each["function"]["arguments"]) for each in calls]
    return found


def _of_items(items: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    roles = {0: "developer", 1: "system", 2: "user", 3: "assistant"}
    found: list[tuple[str, ...]] = []
    for item in items:
        match item["kind"]:
            case "message":
                found.append((roles[item["role"]], "\n".join(item["text"])))
            case "function_call":
                found.append(("call", item["call_id"], item["name"], item["arguments"]))
            case "function_call_output":
                found.append(("result", item["call_id"], item["output"]))
            case _:
                pass
    return found


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
    baton.run(NAME, bot)
