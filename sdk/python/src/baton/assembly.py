"""The receiving end of bodies that are too large for one frame."""

import hashlib
from collections import deque

from baton.bodies import Body, ContextChunk
from baton.chunks import ChunkLimits, is_divisible
from baton.errors import BatonError
from baton.fields import has_more_items
from baton.frame import DecodeError, UnknownBodyError, decode_body
from baton.reasons import RejectReason

_REFUSED_MAX = 16
"""How many refused transfers are remembered, so that the rest of their pieces is passed over."""
_SHA256_BYTES = 32


class AssemblyError(BatonError):
    """A transfer was refused."""

    def __init__(self, transfer: int, reason: RejectReason, detail: str) -> None:
        super().__init__(f"transfer {transfer} {detail}")
        self.transfer = transfer
        """Which transfer."""
        self.reject_reason = reason
        """The reason as it is told to the sender."""


class _Open:
    """A transfer under way."""

    def __init__(self, chunk: ContextChunk) -> None:
        self.total_bytes = chunk.total_bytes
        self.sha256 = chunk.sha256
        self.bytes = bytearray()
        self.hash = hashlib.sha256()


class Assembly:
    """Puts the `ContextChunk`s of one peer together again.

    The pieces of a transfer come in order, as a `Link` delivers them; several transfers may be mixed. A transfer with an
    error is refused once, and the rest of it is passed over.
    """

    def __init__(self, limits: ChunkLimits) -> None:
        """With nothing under way."""
        self.limits = limits
        """What is taken from here on."""
        self._open: dict[int, _Open] = {}
        self._refused: deque[int] = deque(maxlen=_REFUSED_MAX)

    def take(self, chunk: ContextChunk) -> Body | None:
        """Takes a piece in the order in which the link has delivered it, and returns the whole with its last piece.

        Raises `AssemblyError` if the transfer is refused with this piece. What it had is dropped.
        """
        transfer = chunk.transfer
        if transfer in self._refused:
            if chunk.offset > 0:
                return None
            # A first piece starts the transfer anew.
            self._refused.remove(transfer)
        try:
            return self._take_piece(chunk)
        except AssemblyError:
            self._open.pop(transfer, None)
            self._refused.append(transfer)
            raise

    def clear(self) -> None:
        """Drops all that is under way. To be called when the peer follows with another stream: it is another process."""
        self._open.clear()
        self._refused.clear()

    @property
    def transfers(self) -> int:
        """How many transfers are under way."""
        return len(self._open)

    @property
    def held_bytes(self) -> int:
        """What they hold, in bytes."""
        return sum(len(transfer.bytes) for transfer in self._open.values())

    def _take_piece(self, chunk: ContextChunk) -> Body | None:
        whole = self._open.get(chunk.transfer)
        if whole is None:
            self._check_first(chunk)
            whole = self._open[chunk.transfer] = _Open(chunk)
        _append(whole, chunk)
        if len(whole.bytes) < whole.total_bytes:
            return None
        del self._open[chunk.transfer]
        return self._read(chunk.transfer, whole)

    def _check_first(self, chunk: ContextChunk) -> None:
        limits = self.limits
        if chunk.total_bytes > limits.body_bytes_max:
            detail = f"declares {chunk.total_bytes} bytes, the limit is {limits.body_bytes_max}"
            raise AssemblyError(chunk.transfer, RejectReason.TOO_LARGE, detail)
        if chunk.offset > 0:
            raise _malformed(chunk, f"goes on at byte {chunk.offset}, only 0 bytes are there")
        if len(chunk.sha256) != _SHA256_BYTES:
            raise _malformed(chunk, f"has a hash of {len(chunk.sha256)} bytes, a SHA-256 has {_SHA256_BYTES}")
        limit = max(limits.transfers_max, 1)
        if len(self._open) >= limit:
            detail = f"is one too many, {limit} at once is the limit"
            raise AssemblyError(chunk.transfer, RejectReason.OUT_OF_WINDOW, detail)

    def _read(self, transfer: int, whole: _Open) -> Body:
        if whole.hash.digest() != whole.sha256:
            raise AssemblyError(transfer, RejectReason.MALFORMED, "has another hash than it declares")
        data = bytes(whole.bytes)
        if has_more_items(data, self.limits.items_max):
            detail = f"has more than {self.limits.items_max} context items, which is the limit"
            raise AssemblyError(transfer, RejectReason.TOO_LARGE, detail)
        try:
            body = decode_body(data)
        except UnknownBodyError as error:
            raise AssemblyError(transfer, RejectReason.UNKNOWN_BODY, "is a body that is unknown here") from error
        except DecodeError as error:
            raise AssemblyError(transfer, RejectReason.MALFORMED, f"is no body: {error}") from error
        if not is_divisible(body):
            detail = f"is {body.NAME}, which does not travel in pieces"
            raise AssemblyError(transfer, RejectReason.MALFORMED, detail)
        if not self.limits.side.peer.sends(body):
            detail = f"is {body.NAME}, which goes the wrong way"
            raise AssemblyError(transfer, RejectReason.WRONG_DIRECTION, detail)
        return body


def _append(whole: _Open, chunk: ContextChunk) -> None:
    if (whole.total_bytes, whole.sha256) != (chunk.total_bytes, chunk.sha256):
        raise _malformed(chunk, "declares another size or hash than before")
    had = len(whole.bytes)
    if chunk.offset > had:
        raise _malformed(chunk, f"goes on at byte {chunk.offset}, only {had} bytes are there")
    if chunk.offset < had:
        raise _malformed(chunk, f"goes back to byte {chunk.offset}, {had} bytes are there")
    if not chunk.data:
        raise _malformed(chunk, "has an empty piece")
    end = had + len(chunk.data)
    if end > whole.total_bytes:
        raise _malformed(chunk, f"reaches byte {end}, it declares {whole.total_bytes} bytes")
    whole.bytes += chunk.data
    whole.hash.update(chunk.data)


def _malformed(chunk: ContextChunk, detail: str) -> AssemblyError:
    return AssemblyError(chunk.transfer, RejectReason.MALFORMED, detail)
