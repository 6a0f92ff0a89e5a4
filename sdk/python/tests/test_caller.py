"""What is heard of the caller, and from when on."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from livekit import rtc

from baton.specialist.caller import CallerAudio, Hearing, Listener

FRAME_MS = 10


@dataclass(frozen=True)
class Event:
    frame: rtc.AudioFrame


class Track:
    """A track whose frames the test gives; their first sample is their number."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Event] = asyncio.Queue()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return await self.frames.get()

    async def aclose(self) -> None:
        pass

    async def come(self, *numbers: int) -> None:
        for number in numbers:
            samples = number.to_bytes(2, "little") + bytes(318)
            self.frames.put_nowait(Event(rtc.AudioFrame(samples, 16_000, 1, 160)))
        while not self.frames.empty():
            await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.fixture
def track(monkeypatch: pytest.MonkeyPatch) -> Track:
    made: list[Track] = []

    def from_track(**_: Any) -> Track:
        made.append(Track())
        return made[-1]

    monkeypatch.setattr(rtc.AudioStream, "from_track", from_track)

    class Last(Track):
        """The one that is listened to now."""

        def __init__(self) -> None:
            pass

        async def come(self, *numbers: int) -> None:
            await made[-1].come(*numbers)

    return Last()


async def heard(listener: Listener) -> list[int]:
    numbers = []
    while True:
        try:
            async with asyncio.timeout(0.01):
                numbers.append((await listener.__anext__()).data[0])
        except TimeoutError:
            return numbers


def test_the_moment_before_each_turn_is_heard_first_and_nothing_of_a_former_one(track: Track) -> None:
    async def scenario() -> None:
        caller = CallerAudio(Hearing(sample_rate=16_000, frame_ms=FRAME_MS))
        caller.keep(3 * FRAME_MS)
        listener = caller.listener()
        for turn in (0, 100):
            caller.hear("TR_a", track)  # type: ignore[arg-type]
            await track.come(*range(turn + 1, turn + 6))
            assert await heard(listener) == []
            assert caller.kept_ms == 3 * FRAME_MS
            caller.set_audible(True)
            assert caller.kept_ms == 0
            await track.come(turn + 6)
            assert await heard(listener) == [turn + 3, turn + 4, turn + 5, turn + 6]
            caller.set_audible(False)
            caller.forget_all()
        await caller.end()

    asyncio.run(scenario())


@pytest.mark.parametrize(("whole", "frames"), [(False, 10), (True, 13)])
def test_it_can_be_heard_when_a_track_has_come_for_a_while_and_not_before(track: Track, whole: bool, frames: int) -> None:
    async def scenario() -> None:
        caller = CallerAudio(Hearing(sample_rate=16_000, frame_ms=FRAME_MS))
        caller.keep(3 * FRAME_MS)
        for _ in range(2):
            caller.hear("TR_a", track)  # type: ignore[arg-type]
            opened = asyncio.ensure_future(caller.opened(whole))
            await track.come(*range(frames - 1))
            assert not opened.done()
            await track.come(frames)
            await asyncio.wait_for(opened, 1)
            caller.forget_all()
        await caller.end()

    asyncio.run(scenario())
