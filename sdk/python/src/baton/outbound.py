"""The sending end of a stream: what waits for its ack, and when it is sent again. Internal."""

from collections import deque
from dataclasses import dataclass

from baton.bodies import Position
from baton.ids import Seq, StreamId
from baton.v1.envelope_pb2 import Envelope


@dataclass(slots=True)
class Waiting:
    """A frame that waits for its ack."""

    envelope: Envelope
    due: float
    wait: float


class Outbound:
    """Our stream. How many frames may wait is for its owner to say."""

    def __init__(self, stream: StreamId) -> None:
        self.stream = stream
        self._next = 1
        self._acked = Seq(0)
        self._waiting: deque[Waiting] = deque()
        self._waiting_since: float | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next(self) -> Seq:
        return Seq(self._next)

    @property
    def oldest(self) -> Seq:
        """The oldest frame that can still be sent."""
        return Seq(self._next - len(self._waiting))

    @property
    def last_acked(self) -> Seq:
        """The last frame that was acked; one that was given up was not."""
        return self._acked

    @property
    def next_due(self) -> float | None:
        return min((waiting.due for waiting in self._waiting), default=None)

    @property
    def waiting_since(self) -> float | None:
        """Since when an ack is due: the first sending of the oldest frame, or the last ack, if that was later."""
        return self._waiting_since

    def push(self, now: float, envelope: Envelope, wait: float) -> None:
        self._next += 1
        self._waiting.append(Waiting(envelope, due=now, wait=wait))

    def acked(self, now: float, position: Position) -> bool | None:
        """Takes an ack; says whether it told anything new, or `None` if it acks what was never sent."""
        if position.stream != self.stream:
            return False
        if position.seq >= self._next:
            return None
        progress = False
        while self.oldest <= position.seq:
            self._waiting.popleft()
            self._acked = position.seq
            progress = True
        if progress and self._waiting_since is not None:
            self._waiting_since = now if self._waiting else None
        return progress

    def resend_all(self, now: float, wait: float) -> None:
        """Everything that waits is due at once, with patience anew."""
        for waiting in self._waiting:
            waiting.due = now
            waiting.wait = wait
        self._waiting_since = None

    def give_up(self) -> None:
        """Gives up what waits: the process it was meant for is gone."""
        self._waiting.clear()
        self._waiting_since = None

    def poll(self, now: float, wait_max: float) -> Envelope | None:
        """The next frame that is due, now taken as sent."""
        for waiting in self._waiting:
            if waiting.due <= now:
                waiting.due = now + waiting.wait
                waiting.wait = min(waiting.wait * 2, wait_max)
                if self._waiting_since is None:
                    self._waiting_since = now
                return waiting.envelope
        return None
