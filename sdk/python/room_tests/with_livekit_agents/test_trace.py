"""An agent's own spans are part of its call's trace, with the real OpenTelemetry and LiveKit Agents' tracer."""

import asyncio
from typing import cast

from livekit.agents.telemetry import set_tracer_provider, tracer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from baton.bodies import Continue
from baton.ids import Epoch, HandoffId
from baton.specialist.agent import Agent, Call, Granting, Preparation
from baton.specialist.hooks import Hooks

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ROOT = "00f067aa0ba902b7"


class Traced(Agent):
    async def prepare(self, call: Call, preparation: Preparation) -> None:
        with tracer.start_as_current_span("preparing"):
            pass

    async def granted(self, call: Call, grant: Granting) -> None:
        with tracer.start_as_current_span("speaking"):
            pass


async def _spans(traceparent: str | None) -> dict[str, tuple[str, str | None]]:
    """What an agent has traced that was prepared and granted: trace and parent of each span."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    set_tracer_provider(provider)
    prepared = asyncio.get_running_loop().create_future()
    hooks = Hooks(
        Traced(),
        cast("Call", None),
        lambda handoff, refusal: prepared.set_result((handoff, refusal)),
        prepared.set_exception,
    )
    hooks.prepare(Preparation(HandoffId(1), None, "", Continue(), traceparent=traceparent))
    async with asyncio.timeout(10):
        assert await prepared == (1, None)
        hooks.granted(Granting(Epoch(1), Continue(), HandoffId(1)))
        while len(exporter.get_finished_spans()) < 2:
            await asyncio.sleep(0.01)
    await hooks.stop()
    return {
        span.name: (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}" if span.parent else None)
        for span in exporter.get_finished_spans()
    }


def test_spans_of_the_hooks_are_part_of_the_calls_trace() -> None:
    spans = asyncio.run(_spans(f"00-{TRACE}-{ROOT}-01"))
    assert spans == {"preparing": (TRACE, ROOT), "speaking": (TRACE, ROOT)}


def test_spans_of_a_call_without_a_trace_are_their_own() -> None:
    spans = asyncio.run(_spans(None))
    assert [parent for _, parent in spans.values()] == [None, None]
    assert TRACE not in {trace for trace, _ in spans.values()}


def test_what_is_no_trace_is_passed_over() -> None:
    spans = asyncio.run(_spans("00-nonsense"))
    assert [parent for _, parent in spans.values()] == [None, None]
