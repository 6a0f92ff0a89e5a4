"""What the adapter costs Pipecat, for each message of a conversation and each frame of sound."""

import asyncio
import os
import sys
from typing import Any

# The folder above has what all agents of the tests share.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from livekit import rtc
from measuring import frame, line, report
from pipecat.frames.frames import LLMMessagesAppendFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.transports.livekit.transport import LiveKitCallbacks, LiveKitParams, LiveKitTransportClient
from pipecat.workers.runner import WorkerRunner
from scripted import ScriptedLLM

from baton import CallId, DispatchBinding, DispatchMetadata, Identity, SpecialistName, Ticket
from baton.pipecat.messages import Mirror
from baton.pipecat.transport import GatedClient
from baton.specialist import Job

RATE = 24_000
BEFORE = 200
"""Messages that the conversation has already."""
METADATA = DispatchMetadata(DispatchBinding(CallId("c"), Ticket("t"), Identity("baton"), SpecialistName("s")))


def asked(number: int) -> dict[str, Any]:
    return {"role": "user", "content": f"I would like to pay invoice number {number}, please"}


class Bot:
    """A pipeline without a line."""

    def __init__(self) -> None:
        self.context = LLMContext([asked(each) for each in range(BEFORE)])  # type: ignore[misc]
        aggregators = LLMContextAggregatorPair(self.context)
        llm = ScriptedLLM(lambda _: "You have paid it already.")
        parts = [aggregators.user(), llm, aggregators.assistant()]
        self.worker = PipelineWorker(Pipeline(parts), idle_timeout_secs=None)
        self.runner = WorkerRunner(handle_sigint=False)
        self.turned = asyncio.Event()

        async def turned(*_: Any) -> None:
            self.turned.set()

        aggregators.assistant().add_event_handler("on_assistant_turn_stopped", turned)

    async def start(self) -> None:
        await self.runner.add_workers(self.worker)
        self.running = asyncio.create_task(self.runner.run())

    async def stop(self) -> None:
        await self.runner.cancel()
        await self.running

    async def turn(self, number: int) -> None:
        self.turned.clear()
        await self.worker.queue_frame(LLMMessagesAppendFrame([asked(number)], run_llm=True))
        await self.turned.wait()


async def measured(items_count: int, frames_count: int) -> list[dict[str, Any]]:
    """The report."""

    async def turns(bot: Bot, mirror: Mirror | None, job: Job) -> int:
        for each in range(items_count // 2):
            await bot.turn(each)
            if mirror is not None:
                job.append(tuple(mirror.news(bot.context.messages)))
        # They are not sent: who is not welcomed keeps what it has to say.
        job._outlet._waiting.clear()
        return items_count // 2 * 2

    job = Job(rtc.Room(), METADATA, sample_rate=RATE)
    alone, shared, mirror = Bot(), Bot(), Mirror()
    for bot in (alone, shared):
        await bot.start()
    mirror.news(shared.context.messages)
    by_item = await line("item", lambda: turns(alone, None, job), lambda: turns(shared, mirror, job))
    for bot in (alone, shared):
        await bot.stop()

    async def nothing(*_: Any) -> None:
        pass

    spoken = frame(RATE)
    params = LiveKitParams(audio_out_enabled=True)
    callbacks = LiveKitCallbacks(**dict.fromkeys(LiveKitCallbacks.model_fields, nothing))

    async def said_alone() -> int:
        client = LiveKitTransportClient("", "", "", params, callbacks, "alone")
        source = client._audio_source = rtc.AudioSource(RATE, 1)
        client._connected = True
        for _ in range(frames_count):
            await client.publish_audio(spoken)
        await source.aclose()
        return frames_count

    async def said() -> int:
        client = GatedClient(job.call, params, callbacks, "gated")
        client._connected = True
        job.voice.open()
        job.voice.set_audible(True)
        for _ in range(frames_count):
            await client.publish_audio(spoken)
        client._end_utterance()
        job.voice.close()
        return frames_count

    return [by_item, await line("frame that is said", said_alone, said, 2)]


if __name__ == "__main__":
    report(asyncio.run(measured(int(sys.argv[1]), int(sys.argv[2]))))
