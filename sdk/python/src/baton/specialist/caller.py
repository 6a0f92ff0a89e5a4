"""What a specialist hears: the caller, while it has the baton."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from livekit import rtc

from baton.specialist.tasks import Tasks

LATE_MAX_SECS = 0.5
"""How late a listener may be; then the oldest frames are dropped."""
OPEN_SECS = 0.1
"""What comes of a track until it can be heard: the first of it is the lead-in of codec and jitter buffer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """How the caller is heard."""

    sample_rate: int = 48_000
    """Samples a second."""
    frame_ms: int = 10
    """Length of a frame."""
    noise_cancellation: Any = None
    """One of LiveKit's noise cancellations."""


class Listener:
    """What the caller says, from the moment it was made: `async for frame in call.listen()`. It yields nothing while the
    specialist does not have the baton, and ends with the call."""

    def __init__(self, frames_max: int) -> None:
        self._frames: deque[rtc.AudioFrame] = deque(maxlen=frames_max)
        self._some = asyncio.Event()
        self._ended = False

    def __aiter__(self) -> AsyncIterator[rtc.AudioFrame]:
        return self

    async def __anext__(self) -> rtc.AudioFrame:
        while not self._frames:
            if self._ended:
                raise StopAsyncIteration
            self._some.clear()
            await self._some.wait()
        return self._frames.popleft()

    def push(self, frame: rtc.AudioFrame) -> None:
        """Gives it a frame; a listener that is late loses the oldest."""
        self._frames.append(frame)
        self._some.set()

    def clear(self) -> None:
        """Forgets what was not heard yet."""
        self._frames.clear()

    def end(self) -> None:
        """There will be no more."""
        self._ended = True
        self._some.set()


class CallerAudio:
    """Where the caller's tracks come in, and to whom they go."""

    def __init__(self, hearing: Hearing) -> None:
        self.hearing = hearing
        self._listeners: list[Listener] = []
        self._streams: dict[str, tuple[rtc.AudioStream, asyncio.Task[Any]]] = {}
        self._tasks = Tasks()
        self._audible = False
        self._kept: deque[rtc.AudioFrame] | None = None
        self._preroll_ms = 0
        self._opened_secs = 0.0
        self._came = asyncio.Event()

    def listener(self) -> Listener:
        """Somebody who listens from now on."""
        listener = Listener(max(int(LATE_MAX_SECS * 1000) + self._preroll_ms, 1_000) // self.hearing.frame_ms)
        self._listeners.append(listener)
        return listener

    def keep(self, preroll_ms: int) -> None:
        """Keeps so much of what the caller says until somebody may hear it; 0 for nothing."""
        self._preroll_ms = preroll_ms
        if not self._audible:
            self._kept = self._nothing_kept()

    @property
    def kept_ms(self) -> int:
        """How much of the caller is kept from before the baton."""
        return len(self._kept or ()) * self.hearing.frame_ms

    def set_audible(self, audible: bool) -> None:
        """Whether the caller may be heard."""
        if audible == self._audible:
            return
        self._audible = audible
        # What was heard in a former turn is no pre-roll of the next.
        kept, self._kept = self._kept, None if audible else self._nothing_kept()
        for listener in self._listeners:
            if not audible:
                listener.clear()
            for frame in (kept or ()) if audible else ():
                listener.push(frame)

    def hear(self, sid: str, track: rtc.Track) -> None:
        """Listens to a track of the caller's."""
        self.forget(sid)
        stream = rtc.AudioStream.from_track(
            track=track,
            sample_rate=self.hearing.sample_rate,
            num_channels=1,
            frame_size_ms=self.hearing.frame_ms,
            noise_cancellation=self.hearing.noise_cancellation,
        )
        self._streams[sid] = (stream, self._tasks.start(self._read(stream), "baton: caller"))

    def forget(self, sid: str) -> None:
        """The track is gone."""
        found = self._streams.pop(sid, None)
        if found is not None:
            stream, task = found
            task.cancel()
            self._tasks.start(stream.aclose(), "baton: caller's stream")

    async def opened(self, whole: bool) -> None:
        """Returns when the caller can be heard, and with `whole` the whole moment before too."""
        wanted_secs = OPEN_SECS + (self._preroll_ms / 1_000 if whole else 0.0)
        # Frames are summed up.
        while self._opened_secs < wanted_secs - 0.001:
            self._came.clear()
            await self._came.wait()

    def forget_all(self) -> None:
        """Listens to nobody."""
        self._opened_secs = 0.0
        for sid in list(self._streams):
            self.forget(sid)

    async def end(self) -> None:
        """The call is over."""
        self.forget_all()
        for listener in self._listeners:
            listener.end()
        await asyncio.sleep(0)
        await self._tasks.stop()

    async def _read(self, stream: rtc.AudioStream) -> None:
        async for event in stream:
            self._opened_secs += event.frame.duration
            self._came.set()
            if self._audible:
                for listener in self._listeners:
                    listener.push(event.frame)
            elif self._kept is not None:
                self._kept.append(event.frame)

    def _nothing_kept(self) -> deque[rtc.AudioFrame] | None:
        return deque(maxlen=self._preroll_ms // self.hearing.frame_ms) if self._preroll_ms else None
