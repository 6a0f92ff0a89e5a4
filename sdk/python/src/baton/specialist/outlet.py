"""What of the conversation and the state waits to be sent: as fast as the link's window allows, in order.

What moves the baton does not go through here, and never waits for a place.
"""

from collections import deque

from baton.bodies import ContextAppend, StatePatch
from baton.chunks import ChunkLimits, Chunks
from baton.errors import BatonError
from baton.ids import Epoch
from baton.link import BodyTooLargeError, Link

BODIES_MAX = 10_000
"""How many bodies may wait."""


class OutletFullError(BatonError):
    """Baton has taken nothing for long."""

    def __init__(self) -> None:
        super().__init__(f"{BODIES_MAX} items wait to be sent, which is the limit: Baton does not answer")


class Outlet:
    """Bodies on their way into a link."""

    def __init__(self, link: Link, limits: ChunkLimits) -> None:
        self._link = link
        self.limits = limits
        """What may be sent from here on."""
        self._waiting: deque[ContextAppend | StatePatch] = deque()
        self._chunks: Chunks | None = None
        self._unacked: deque[Chunks] = deque()
        self._transfer = 0

    @property
    def waiting(self) -> int:
        """How many bodies wait."""
        return len(self._waiting) + (self._chunks is not None)

    def put(self, body: ContextAppend | StatePatch) -> None:
        """Adds a body. Raises `OutletFullError`, or what the link or the pieces raise if it can never be sent."""
        if len(self._waiting) >= BODIES_MAX:
            raise OutletFullError
        self._waiting.append(body)

    def restart(self) -> None:
        """The peer is another process: what travels in pieces starts again."""
        if self._chunks is not None:
            self._unacked.append(self._chunks)
        for chunks in self._unacked:
            chunks.restart()
        self._chunks = None

    def pump(self, now: float, epoch: Epoch) -> None:
        """Gives the link what it has room for: half of its window at most."""
        while self._unacked and self._unacked[0].is_acked(self._link):
            self._unacked.popleft()
        for chunks in self._unacked:
            if chunks.sent_bytes < chunks.total_bytes and not chunks.send(now, epoch, self._link):
                return
        while self._chunks is not None or self._waiting:
            if self._chunks is not None:
                if not self._chunks.send(now, epoch, self._link):
                    return
                self._unacked.append(self._chunks)
                self._chunks = None
                continue
            if self._link.waiting >= (self._link.window + 1) // 2:
                return
            body = self._waiting.popleft()
            try:
                self._link.send(now, epoch, body)
            except BodyTooLargeError:
                self._transfer += 1
                self._chunks = Chunks(self.limits, self._transfer, body)
