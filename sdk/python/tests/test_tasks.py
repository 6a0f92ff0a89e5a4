"""What is stopped ends, though it missed its cancellation."""

import asyncio
import time

import pytest

from baton.specialist import tasks
from baton.specialist.tasks import Tasks, ended


async def deaf_to(count: int) -> None:
    for _ in range(count):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
    await asyncio.sleep(60)


def test_a_task_that_misses_a_cancellation_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        missing, good = asyncio.create_task(deaf_to(1)), asyncio.create_task(deaf_to(0))
        await asyncio.sleep(0)
        await ended(missing, good)
        assert missing.cancelled() and good.cancelled()

    monkeypatch.setattr(tasks, "CANCEL_AGAIN_SECS", 0.01)
    asyncio.run(scenario())


def test_a_task_that_ends_for_nobody_is_given_up_and_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        owner = Tasks()
        stubborn = owner.start(deaf_to(1_000), "stubborn")
        await asyncio.sleep(0)
        started = time.monotonic()
        await owner.stop()
        assert time.monotonic() - started < 5.0
        assert not stubborn.done()
        while not stubborn.done():
            stubborn.cancel()
            await asyncio.sleep(0)

    monkeypatch.setattr(tasks, "CANCEL_AGAIN_SECS", 0.01)
    monkeypatch.setattr(tasks, "ENDED_MAX_SECS", 0.1)
    asyncio.run(scenario())
    assert "stubborn goes on though it was cancelled" in caplog.text
