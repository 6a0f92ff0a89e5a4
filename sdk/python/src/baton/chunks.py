"""The sending end of a body that is too large for one frame, and the bounds of what travels in pieces."""

import hashlib
from dataclasses import dataclass, replace

from baton.bodies import Body, ContextChunk, Side, Terms
from baton.errors import BatonError
from baton.frame import FRAME_BYTES_MAX, encode_body
from baton.ids import Epoch, Seq
from baton.link import BodyTooLargeError, Link

_CHUNK_OVERHEAD_BYTES = 80
"""What a chunk takes beside its data, at most: keys and lengths, three numbers, the hash."""
BODY_BYTES_CEILING = 32 << 20
"""The largest `ChunkLimits.body_bytes_max` that one side asks of the other, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLimits:
    """What `Chunks` and `Assembly` are made from."""

    side: Side
    """Which side this is."""
    body_bytes_max: int = 8 << 20
    """The largest body, in bytes as it is encoded."""
    transfers_max: int = 2
    """How many bodies of the peer may be under way at once; one more is refused. At least 1."""
    items_max: int = 65_536
    """The most items that a context append in pieces may have: a small item takes more memory than bytes."""

    def with_terms(self, terms: Terms) -> "ChunkLimits":
        """The same with the largest body that a Welcome says, if it says one."""
        if terms.body_bytes_max is None:
            return self
        return replace(self, body_bytes_max=min(terms.body_bytes_max, BODY_BYTES_CEILING))


class ChunkError(BatonError):
    """A body cannot be cut into pieces."""


class WholeTooLargeError(ChunkError):
    """It is too large, even in pieces."""

    def __init__(self, body: str, size: int, limit: int) -> None:
        super().__init__(f"{body} has {size} bytes, the limit is {limit}")
        self.size = size
        """Its size, in bytes."""
        self.limit = limit
        """The limit, in bytes."""


class NotDivisibleError(ChunkError):
    """It is no part of the stream, a piece itself, or for the peer to say."""

    def __init__(self, body: str) -> None:
        super().__init__(f"{body} does not travel in pieces from here")


class Chunks:
    """A body cut into `ContextChunk`s that go through a `Link` as fast as its window allows.

    They take half of the window at most, so that what moves the baton never waits for a place; it does wait for the
    chunks before it, since a stream is in order. Whoever wants one body before another sends it first.
    """

    def __init__(self, limits: ChunkLimits, transfer: int, body: Body) -> None:
        """Cuts up a body. `transfer` tells it from others of this process that are under way: count them.

        Raises `NotDivisibleError`, `WholeTooLargeError` or `EncodeError`.
        """
        if not limits.side.sends(body) or not is_divisible(body):
            raise NotDivisibleError(body.NAME)
        self._bytes = encode_body(body)
        if len(self._bytes) > limits.body_bytes_max:
            raise WholeTooLargeError(body.NAME, len(self._bytes), limits.body_bytes_max)
        self._transfer = transfer
        self._sha256 = hashlib.sha256(self._bytes).digest()
        self._sent_bytes = 0
        self._last: Seq | None = None

    def send(self, now: float, epoch: Epoch, link: Link) -> bool:
        """Puts as many pieces into the stream as have a place, and says whether the last one is among them. To be called
        again whenever the link has taken a packet, until it is.

        Raises `BodyTooLargeError` if the call's id leaves no room in a frame, and `EncodeError`.
        """
        room = link.body_bytes_max(epoch)
        data_bytes_max = room - _CHUNK_OVERHEAD_BYTES
        if data_bytes_max <= 0:
            raise BodyTooLargeError(ContextChunk.NAME, FRAME_BYTES_MAX - room + _CHUNK_OVERHEAD_BYTES + 1)
        while self._sent_bytes < len(self._bytes):
            if link.waiting >= (link.window + 1) // 2:
                return False
            data = self._bytes[self._sent_bytes : self._sent_bytes + data_bytes_max]
            chunk = ContextChunk(self._transfer, self._sent_bytes, len(self._bytes), self._sha256, data)
            self._last = link.send(now, epoch, chunk)
            self._sent_bytes += len(data)
        return True

    def restart(self) -> None:
        """Starts again from the first piece: the peer is another process, which has none of them. To be called, for all
        that is not acked, after a Hello or Welcome by which the link follows another stream."""
        self._sent_bytes = 0
        self._last = None

    def is_acked(self, link: Link) -> bool:
        """Whether the peer has acked all of it: until then it is to be kept, for a restart."""
        return self._sent_bytes == len(self._bytes) and self._last is not None and self._last <= link.acked

    @property
    def total_bytes(self) -> int:
        """The size of the whole, in bytes as it is encoded."""
        return len(self._bytes)

    @property
    def sent_bytes(self) -> int:
        """How much of it is in the stream, in bytes."""
        return self._sent_bytes


def is_divisible(body: Body) -> bool:
    """Whether a body may travel in pieces. Internal."""
    return body.SEQUENCED and not isinstance(body, ContextChunk)
