"""Whether Baton is gone, so that who has the baton reaches the caller by itself. Pure.

Frames of Baton, or packets of its program track, say that it lives. When neither has come for as long as Baton said,
though packets of others have, it is gone, or its network is: the track is opened to the caller. When nothing has come at
all, our own network is broken, and the caller may hear Baton's track all the while. Before the first packet of the program
track nothing is opened. Either of them closes it again.
"""

from dataclasses import dataclass
from enum import Enum

TIMEOUT_MS = 1_000
"""How long Baton and its track have to be away, if Baton does not say."""
INTERVAL_MIN_SECS = 0.02
"""Packets are counted no more often than that."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What is counted of the packets that come, up to now."""

    program: int | None
    """Those of the program track; None while it is not subscribed to."""
    all: int
    """Those of every kind."""


class Change(Enum):
    """What is to be done."""

    OPEN = "open"
    """Open the track to the caller."""
    CLOSE = "close"
    """Baton is back: close it."""


class Vigil:
    """How long Baton and its track have been away. Times are in seconds; a timeout of 0 never opens."""

    def __init__(self, now: float, timeout_secs: float = TIMEOUT_MS / 1_000) -> None:
        self.timeout_secs = timeout_secs
        self._frame_at = now
        self._program = 0
        self._program_at: float | None = None
        self._all = 0
        self._all_at = now
        self._opened_at: float | None = None

    @property
    def interval_secs(self) -> float | None:
        """How often it wants a sample; None for never."""
        return max(self.timeout_secs / 10, INTERVAL_MIN_SECS) if self.timeout_secs > 0 else None

    def frame(self, now: float) -> None:
        """A frame of Baton has come."""
        self._frame_at = now

    def sample(self, now: float, sample: Sample) -> None:
        """Packets were counted."""
        if sample.program is not None:
            # A new track counts anew.
            if sample.program > self._program:
                self._program_at = now
            self._program = sample.program
        if sample.all != self._all:
            self._all = sample.all
            self._all_at = now

    def restart(self, now: float) -> None:
        """Our own connection was away: everything is waited for anew, and nothing is open."""
        self._frame_at = now
        if self._program_at is not None:
            self._program_at = now
        self._all_at = now
        self._opened_at = None

    def closed(self) -> None:
        """The track is closed again."""
        self._opened_at = None

    def poll(self, now: float, holds: bool) -> Change | None:
        """What the time that has passed means for one who has the baton, or has it not."""
        if self._program_at is None:
            return None
        last = max(self._frame_at, self._program_at)
        if self._opened_at is not None:
            if last <= self._opened_at:
                return None
            self._opened_at = None
            return Change.CLOSE
        proved = self._all_at >= last + self.timeout_secs / 2
        if not holds or self.timeout_secs <= 0 or now - last < self.timeout_secs or not proved:
            return None
        self._opened_at = now
        return Change.OPEN
