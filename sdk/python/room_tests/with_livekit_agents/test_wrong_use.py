"""Wrong use of the adapter: a typed exception each, whose message says what to do."""

import asyncio
import tempfile
from types import SimpleNamespace
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession
from stage import staged, until
from test_handoff import told, worker

from baton import IncompleteMetadataError, NotFromBatonError
from baton import livekit_agents as baton


def test_what_may_not_and_what_cannot_be_shared_is_told_and_nothing_else_ends() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with staged(["triage"], each=", state_fields: [read notes]") as stage:
                agent = worker(stage, folder)
                await agent.start()
                try:
                    await until("both are registered", lambda: stage.server.log().count("worker registered") == 2, 90.0)
                    phone = await stage.dial()
                    await phone.hears(500)
                    await asyncio.sleep(1.5)
                    say = phone.room.local_participant.send_text
                    await say("share notes", topic="test.says")
                    await until("the first is refused", lambda: len(told(agent, "error")) == 1)
                    await say("share notes badly", topic="test.says")
                    await until("the second is refused", lambda: len(told(agent, "error")) == 2)
                    forbidden, unserialisable = told(agent, "error")
                    assert forbidden["type"] == "StateForbiddenError"
                    assert "/notes may not be written" in forbidden["text"] and "see the scopes" in forbidden["text"]
                    assert unserialisable["type"] == "UnserialisableError"
                    assert "Caller.notes cannot be shared" in unserialisable["text"] and "mark it as local" in unserialisable["text"]
                    since = asyncio.get_running_loop().time()
                    await say("are you there", topic="test.says")
                    await until("it goes on", lambda: phone.hears_since(since) > 300)
                    await phone.hang_up()
                finally:
                    print(agent.log()[-6_000:])
                    await agent.stop()

    asyncio.run(scenario())


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
