"""Wrong use of the adapter: a typed exception each, whose message says what to do."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession
from scenes import what_cannot_be_shared_is_told
from test_handoff import worker

from baton import IncompleteMetadataError, NotFromBatonError
from baton import livekit_agents as baton


def test_what_may_not_and_what_cannot_be_shared_is_told_and_nothing_else_ends() -> None:
    asyncio.run(what_cannot_be_shared_is_told("triage", worker))


def test_a_job_of_somebody_elses_and_what_is_no_object_are_refused() -> None:
    async def scenario() -> None:
        ctx: Any = SimpleNamespace(job=SimpleNamespace(metadata=""))
        for metadata in ("", "{}"):
            ctx.job.metadata = metadata
            with pytest.raises(NotFromBatonError, match="let Baton dispatch this agent"):
                await baton.start(AgentSession(), Agent(instructions=""), ctx=ctx)
        ctx.job.metadata = '{"baton": {"call": "c", "orchestrator": "o", "specialist": "s"}}'
        with pytest.raises(IncompleteMetadataError, match="must have call, ticket, orchestrator and specialist"):
            await baton.start(AgentSession(), Agent(instructions=""), ctx=ctx)
        started: list[Any] = []
        session: Any = SimpleNamespace(start=lambda agent, **_: started.append(agent) or asyncio.sleep(0))
        ctx.room = None
        for metadata in ("", "{}", "hotel=Ritz"):
            ctx.job.metadata = metadata
            assert await baton.start(session, Agent(instructions=""), ctx=ctx, without_baton=True) is None
        assert len(started) == 3, "without Baton it starts as ever"

    asyncio.run(scenario())
