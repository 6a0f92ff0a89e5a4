"""Changes of the shared state that Baton answers late, or never."""

import asyncio
import time

import pytest
from livekit import rtc

from baton import (
    DispatchBinding,
    DispatchMetadata,
    StateAccepted,
    StateConflict,
    StateResult,
)
from baton.ids import CallId, Epoch, Identity, SpecialistName, Ticket
from baton.link import Received
from baton.specialist import CallOverError, Job, StateConflictError, StateTimeoutError
from baton.specialist.patches import PATCHES_MAX, StateBusyError

PATIENCE_SECS = 10.0
LIMIT_SECS = 0.05


def job(write_timeout_secs: float) -> Job:
    """One in no room: Baton says what the test has it say."""
    binding = DispatchBinding(
        call=CallId("c-1"),
        ticket=Ticket("a ticket"),
        orchestrator=Identity("baton-1"),
        specialist=SpecialistName("billing"),
    )
    return Job(rtc.Room(), DispatchMetadata(baton=binding), write_timeout_secs=write_timeout_secs)


def answer(job: Job, result: StateResult) -> None:
    job._said(Received(Epoch(1), result))


def test_a_change_that_nobody_answers_ends_at_its_limit_and_counts_if_it_is_taken_late() -> None:
    async def scenario() -> None:
        silent = job(LIMIT_SECS)
        started = time.monotonic()
        with pytest.raises(StateTimeoutError, match="not answered within 0.05 s.* look at `call.memory.state`"):
            await silent.call.patch({"name": "Ada"})
        assert LIMIT_SECS <= time.monotonic() - started < PATIENCE_SECS
        assert silent.memory.state == {}
        answer(silent, StateResult(1, StateAccepted(1)))
        assert (silent.memory.state, silent.memory.state_version) == ({"name": "Ada"}, 1)

    asyncio.run(scenario())


def test_a_change_is_in_the_state_though_whoever_made_it_has_gone() -> None:
    async def scenario() -> None:
        slow = job(PATIENCE_SECS)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(LIMIT_SECS):
                await slow.call.patch({"name": "Ada"})
        answer(slow, StateResult(1, StateAccepted(1)))
        assert slow.memory.state == {"name": "Ada"}

    asyncio.run(scenario())


def test_an_answer_in_time_is_given_at_once() -> None:
    async def scenario() -> None:
        quick = job(PATIENCE_SECS)
        taken, late = (asyncio.create_task(quick.call.patch({"count": count})) for count in (1, 2))
        await asyncio.sleep(0)
        answer(quick, StateResult(1, StateAccepted(1)))
        answer(quick, StateResult(2, StateConflict(7, b'{"count": 9}')))
        assert await taken == 1
        with pytest.raises(StateConflictError):
            await late
        assert (quick.memory.state, quick.memory.state_version) == ({"count": 9}, 7)

    asyncio.run(scenario())


def test_changes_that_nobody_answers_are_bounded_and_end_with_the_call() -> None:
    async def scenario() -> None:
        full = job(LIMIT_SECS)
        ended = await asyncio.gather(*(full.call.patch({"a": 1}) for _ in range(PATCHES_MAX)), return_exceptions=True)
        assert {type(error) for error in ended} == {StateTimeoutError}
        # They may be answered yet.
        with pytest.raises(StateBusyError):
            await full.call.patch({"a": 1})
        answer(full, StateResult(1, StateAccepted(1)))
        with pytest.raises(StateTimeoutError):
            await full.call.patch({"a": 1})
        full.leave()
        with pytest.raises(CallOverError):
            await full.call.patch({"a": 1})

    asyncio.run(scenario())
