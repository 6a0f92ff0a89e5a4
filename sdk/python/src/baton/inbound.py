"""The receiving end of a stream: what was delivered, and what is held back until the gap before it is filled. Internal."""

from dataclasses import dataclass
from enum import Enum, auto

from baton.bodies import Body, Position
from baton.ids import U64_MAX, Epoch, Seq, StreamId


@dataclass(frozen=True, slots=True)
class Held:
    """A frame that waits for its turn. Without a body, it had one that is unknown here."""

    epoch: Epoch
    body: Body | None


class Taken(Enum):
    """What became of a frame."""

    NEW = auto()
    REPEATED = auto()
    TOO_FAR = auto()


class Inbound:
    """A stream of the peer. It holds back at most as many frames as `take` is told."""

    def __init__(self, stream: StreamId, oldest: Seq) -> None:
        self.stream = stream
        self._delivered = max(oldest - 1, 0)
        self._held: dict[int, Held] = {}

    @property
    def position(self) -> Position:
        return Position(self.stream, Seq(self._delivered))

    @property
    def has_gap(self) -> bool:
        return bool(self._held)

    def take(self, seq: Seq, frame: Held, held_max: int) -> Taken:
        if seq <= self._delivered or seq in self._held:
            return Taken.REPEATED
        if seq - self._delivered > held_max:
            return Taken.TOO_FAR
        self._held[seq] = frame
        return Taken.NEW

    def next(self) -> tuple[Seq, Held] | None:
        """The next frame whose turn it is."""
        seq = min(self._delivered + 1, U64_MAX)
        held = self._held.pop(seq, None)
        if held is None:
            return None
        self._delivered = seq
        return Seq(seq), held
