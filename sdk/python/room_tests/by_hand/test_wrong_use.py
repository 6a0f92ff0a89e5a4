"""Wrong use, with the real Baton: a typed exception each, whose message says what to do."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from stage import staged, until

from baton.bodies import Version
from baton.errors import BatonError
from baton.specialist import (
    Agent,
    Call,
    Granting,
    NotHolderError,
    NotWelcomedError,
    Specialist,
    StateForbiddenError,
    UnknownTargetError,
    UnserialisableError,
    VersionMismatchError,
)
from baton.specialist import job as of_job
from baton.specialist.worker import Assignment


class Holder(Agent):
    def __init__(self, call: Call, calls: list[Call]) -> None:
        calls.append(call)
        self.granted_to = calls

    async def granted(self, call: Call, grant: Granting) -> None:
        await asyncio.Event().wait()


class Noted(Specialist):
    """Notes how its calls end, and may change the job that it is given."""

    def __init__(self, name: str, change: Callable[[Assignment], Assignment], **keys: str) -> None:
        super().__init__(name, **keys, drain_grace_secs=2)
        self.change = change
        self.errors: list[BatonError] = []

    async def _call(self, given: Assignment) -> None:
        try:
            await super()._call(self.change(given))
        except BatonError as error:
            self.errors.append(error)
            raise


def with_another_ticket(given: Assignment) -> Assignment:
    metadata = json.loads(given.metadata)
    metadata["baton"]["ticket"] = "0" * 32
    return replace(given, metadata=json.dumps(metadata))


async def ends_with(change: Callable[[Assignment], Assignment]) -> BatonError:
    """How the call of a specialist ends whose job was changed."""
    async with staged(["triage", "billing"]) as stage:
        stop = asyncio.Event()
        server = stage.server
        keys = {"url": server.url, "api_key": server.api_key, "api_secret": server.api_secret}
        triage = Noted("triage", change, **keys)
        running = asyncio.create_task(triage.run(lambda call: Holder(call, []), stop))
        try:
            await until("both are registered", lambda: server.log().count("worker registered") == 2)
            phone = await stage.dial()
            await until("the call has failed", lambda: bool(triage.errors))
            await phone.hang_up()
            return triage.errors[0]
        finally:
            stop.set()
            await asyncio.wait_for(running, 20)


def test_a_ticket_of_another_job_gets_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    # Baton says nothing to who is not bound.
    monkeypatch.setattr(of_job, "WELCOME_MAX_SECS", 4.0)
    error = asyncio.run(ends_with(with_another_ticket))
    assert type(error) is NotWelcomedError
    assert "give it the metadata of its own" in str(error)


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_job, "VERSION", Version(99, 0))
    error = asyncio.run(ends_with(lambda given: given))
    assert type(error) is VersionMismatchError
    assert "install a version of baton-livekit that speaks Baton's own" in str(error)


def test_what_a_call_refuses_says_what_to_do() -> None:
    async def scenario() -> None:
        async with staged(["triage", "billing"], each=", state_fields: [none card, read invoice]") as stage:
            stop = asyncio.Event()
            server = stage.server
            keys = {"url": server.url, "api_key": server.api_key, "api_secret": server.api_secret}
            calls: list[Call] = []
            triage = Specialist("triage", **keys, drain_grace_secs=2)
            running = asyncio.create_task(triage.run(lambda call: Holder(call, calls), stop))
            try:
                await until("both are registered", lambda: server.log().count("worker registered") == 2)
                phone = await stage.dial()
                await until("the specialist is there", lambda: bool(calls))
                (call,) = calls
                await until("it has the baton", lambda: call.holds)
                for patch, path in (({"card": {"number": "4711"}}, "/card"), ({"invoice": 7}, "/invoice")):
                    with pytest.raises(StateForbiddenError, match="see the scopes of this specialist in Baton's") as refused:
                        await call.patch(patch)
                    assert refused.value.path.startswith(path)
                assert await call.patch({"name": "Ada"}) == 1, "what is allowed goes on"
                with pytest.raises(UnserialisableError, match="the patch cannot be shared, it is no json: .*mark it as local"):
                    await call.patch({"client": object()})
                with pytest.raises(UnserialisableError, match="the task cannot be shared"):
                    await call.delegate("billing", object())
                with pytest.raises(UnknownTargetError, match='no specialist "biling", did you mean "billing"'):
                    await call.handoff("biling")
                await phone.hang_up()
                await until("the call is over", lambda: not call.holds)
                with pytest.raises((NotHolderError, BatonError)):
                    await call.handoff("billing")
            finally:
                stop.set()
                await asyncio.wait_for(running, 20)

    asyncio.run(scenario())
