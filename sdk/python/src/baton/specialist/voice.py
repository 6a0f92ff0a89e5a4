"""What a specialist says, and the gate in front of it.

While the gate is closed, what is published is silence. It is opened by a grant alone, and it closes in the same step in
which a revoke or the loss of the connection is seen.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from livekit import rtc

from baton.errors import BatonError

QUEUE_MS = 200
"""How much may wait to be spoken. Who writes more waits."""
CHUNK_MS = 10
"""What passes the gate at a time."""
MOVE_SECS = 0.12
"""How long nothing is said when the voice moves from one track to another: a caller who hears the one directly and the other by way of
Baton, each through a buffer of its own, does not hear both."""


class NoBatonError(BatonError):
    """The specialist does not have the baton, or has lost it meanwhile."""

    def __init__(self, what: str = "be heard") -> None:
        super().__init__(f"the specialist does not have the baton: only who has it can {what}, so wait for `granted`")


class _Gate(Enum):
    CLOSED = "closed"
    FINISHING = "finishing"
    """Begun utterances may end."""
    OPEN = "open"


class Utterance:
    """Something that is being said; see `Voice.utterance`."""

    def __init__(self, voice: "Voice", turn: int) -> None:
        self._voice = voice
        self._turn = turn
        self._pushed_samples = 0

    async def write(self, frame: rtc.AudioFrame) -> None:
        """Puts samples behind those that wait: 16 bits, mono, at the voice's rate. Returns when all are in. Raises
        `NoBatonError` when the baton is gone; what has left until then was said."""
        voice = self._voice
        samples = memoryview(frame.data).cast("B").cast("h")
        step = voice.sample_rate * CHUNK_MS // 1000
        for start in range(0, len(samples), step):
            chunk = samples[start : start + step]
            await voice.push(self._turn, bytes(chunk))
            self._pushed_samples += len(chunk)

    async def played(self) -> None:
        """Returns when the last of it has left. Raises `NoBatonError` if the baton goes before."""
        await self._voice.drained(self._turn)

    @property
    def position_secs(self) -> float:
        """How much of it has left."""
        pushed = self._pushed_samples / self._voice.sample_rate
        return max(pushed - self._voice.queued_secs, 0.0)


class Voice:
    """The voice of one call. Made and used in one event loop."""

    def __init__(self, sample_rate: int = 48_000) -> None:
        self.sample_rate = sample_rate
        """Samples a second."""
        self.source = self.new_source()
        """What is published; another one after the voice has moved."""
        self._moves = False
        self._gate = _Gate.CLOSED
        self._turn = 0
        self._utterances = 0
        self._audible = False
        self._cleared = 0
        self._changed = asyncio.Event()

    def new_source(self) -> rtc.AudioSource:
        """What the voice may move to."""
        return rtc.AudioSource(self.sample_rate, 1, queue_size_ms=QUEUE_MS)

    async def move(self, source: rtc.AudioSource) -> None:
        """Has what is said from now on leave by another source, when all that waits has left by the former one."""
        self._moves = True
        try:
            while self.source.queued_duration > 0:
                await asyncio.sleep(CHUNK_MS / 1_000)
            await asyncio.sleep(MOVE_SECS)
            self.source = source
        finally:
            self._moves = False
            self._wake()

    @property
    def is_open(self) -> bool:
        """Whether something new may be said."""
        return self._gate is _Gate.OPEN

    @property
    def queued_secs(self) -> float:
        """How much waits to be spoken."""
        return self.source.queued_duration

    async def say(self, frame: rtc.AudioFrame) -> None:
        """Says all of this, and returns when the last of it has left. When the baton is to be given back after the
        utterance, this is the utterance. Raises `NoBatonError` if the baton is not there, or goes before all is said.
        """
        with self.utterance() as utterance:
            await utterance.write(frame)
            await utterance.played()

    @contextmanager
    def utterance(self) -> Iterator[Utterance]:
        """Begins an utterance, that lasts until the end of the block. Raises `NoBatonError` if the baton is not here."""
        if self._gate is not _Gate.OPEN:
            raise NoBatonError
        self._utterances += 1
        self._wake()
        try:
            yield Utterance(self, self._turn)
        finally:
            self._utterances -= 1
            self._wake()

    def clear(self) -> None:
        """Forgets what waits to be spoken, for instance because the caller has begun to speak."""
        self._cleared += 1
        self.source.clear_queue()
        self._wake()

    def set_audible(self, audible: bool) -> None:
        """Whether the connection stands, and Baton has greeted us on it. What waits is kept meanwhile."""
        self._audible = audible
        self._wake()

    def open(self) -> None:
        """Lets the specialist speak, from here on."""
        if self._gate is not _Gate.OPEN:
            self._gate = _Gate.OPEN
            self._turn += 1
            self.clear()

    def finish(self) -> None:
        """Lets the specialist end what it has begun."""
        if self._gate is _Gate.OPEN:
            self._gate = _Gate.FINISHING
            self._wake()

    def close(self) -> None:
        """Silences the specialist at once."""
        self._gate = _Gate.CLOSED
        self.clear()

    async def finished(self) -> None:
        """Returns when nothing is left to be said."""
        while self.is_busy:
            await self._changes()

    @property
    def is_busy(self) -> bool:
        """Whether something has to be said yet."""
        return self._utterances > 0 or self.queued_secs > 0

    async def begun(self) -> None:
        """Returns when something has to be said."""
        while not self.is_busy:
            await self._changed.wait()

    async def over(self, pause_secs: float) -> None:
        """Returns when nothing has to be said for so long: who writes piece by piece is not done in between."""
        idle_since: float | None = None
        while idle_since is None or time.monotonic() - idle_since < pause_secs:
            if self.is_busy:
                idle_since = None
            elif idle_since is None:
                idle_since = time.monotonic()
            await self._changes()

    async def push(self, turn: int, samples: bytes) -> None:
        """Lets a chunk of who began to speak in this turn through the gate."""
        while not self._audible or self._moves:
            self._check(turn)
            await self._changes()
        self._check(turn)
        cleared = self._cleared
        count = len(samples) // 2
        source = self.source
        await source.capture_frame(rtc.AudioFrame(samples, self.sample_rate, 1, count))
        if cleared != self._cleared:
            # It was on its way in when the queue was emptied.
            source.clear_queue()
            self._check(turn)

    async def drained(self, turn: int) -> None:
        """Returns when nothing waits to be spoken."""
        self._check(turn)
        while (waits := self.queued_secs) > 0:
            await self._changes(waits)
            self._check(turn)

    def _check(self, turn: int) -> None:
        if self._gate is _Gate.CLOSED or self._turn != turn:
            raise NoBatonError

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _changes(self, limit_secs: float = 0.05) -> None:
        """Returns at the next change of the gate, and after a while: the queue runs dry by itself."""
        changed = self._changed
        try:
            async with asyncio.timeout(min(max(limit_secs, 0.005), 0.05)):
                await changed.wait()
        except TimeoutError:
            pass
