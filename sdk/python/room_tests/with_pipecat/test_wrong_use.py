"""Wrong use of the adapter: a typed exception each, whose message says what to do."""

import asyncio
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext
from scenes import what_cannot_be_shared_is_told
from test_handoff import bot

from baton.pipecat import NoPartError, share, take_part


def test_what_may_not_and_what_cannot_be_shared_is_told_and_nothing_else_ends() -> None:
    asyncio.run(what_cannot_be_shared_is_told("payments", bot))


def test_a_bot_outside_of_a_call_and_a_flow_without_a_node_are_refused() -> None:
    async def scenario() -> None:
        nothing: Any = object()
        with pytest.raises(NoPartError, match="was not started by `baton.pipecat.run`"):
            await take_part(nothing, nothing, LLMContext())
        with pytest.raises(NoPartError, match="nothing of it is mirrored yet"):
            await share(nothing)

    asyncio.run(scenario())
