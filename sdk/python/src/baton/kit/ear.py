"""What is heard of a track, and when it came: not when a busy machine got to it."""

import time
from collections.abc import AsyncIterator

from livekit import rtc

CATCH_UP_PART = 0.05
"""How fast the time of a frame goes back to that of its arrival: sound that the decoder has left out is not waited for."""


async def heard(track: rtc.Track, sample_rate: int) -> AsyncIterator[tuple[float, rtc.AudioFrame]]:
    """Frames of 10 ms, each with the time at which it came in. A frame that is taken late, among others that wait, came when those
    before it had been played."""
    stream = rtc.AudioStream.from_track(track=track, sample_rate=sample_rate, num_channels=1, frame_size_ms=10)
    clock = Clock()
    async for event in stream:
        yield clock.came(time.monotonic(), event.frame.duration), event.frame


class Clock:
    """When frames came, told by how much was heard."""

    def __init__(self) -> None:
        self._due: float | None = None

    def came(self, now: float, duration_secs: float) -> float:
        """When a frame came that is taken now."""
        if self._due is None or now <= self._due:
            self._due = now
        came = self._due
        self._due = came + duration_secs + (now - came) * CATCH_UP_PART
        return came
