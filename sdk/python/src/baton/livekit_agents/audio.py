"""What a session hears and says, through Baton's gates."""

import asyncio
import logging
import time
from contextlib import ExitStack

from livekit import rtc
from livekit.agents.voice import io

from baton.specialist import Listener, NoBatonError, Utterance, Voice

logger = logging.getLogger("baton")


class GatedInput(io.AudioInput):
    """The caller, while the baton is here."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(label="Baton")
        self._listener = listener

    async def __anext__(self) -> rtc.AudioFrame:
        return await self._listener.__anext__()


class GatedOutput(io.AudioOutput):
    """The voice. Without the baton what is said is dropped, and counts as interrupted before its first sample."""

    def __init__(self, voice: Voice) -> None:
        super().__init__(
            label="Baton",
            capabilities=io.AudioOutputCapabilities(pause=True),
            next_in_chain=None,
            sample_rate=voice.sample_rate,
        )
        self._voice = voice
        self._plays = asyncio.Event()
        self._plays.set()
        self._segment: _Segment | None = None
        self._last: _Segment | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if self._segment is None:
            before, self._last = self._last, None
            self._segment = _Segment(self, self._voice, self._plays, before)
        self._segment.frames.put_nowait(frame)

    def flush(self) -> None:
        super().flush()
        if self._segment is not None:
            self._segment.frames.put_nowait(None)
            self._last, self._segment = self._segment, None

    def clear_buffer(self) -> None:
        for segment in (self._last, self._segment):
            if segment is not None:
                segment.interrupt()

    def pause(self) -> None:
        super().pause()
        self._plays.clear()

    def resume(self) -> None:
        super().resume()
        self._plays.set()


class _Segment:
    """One stretch of speech, from its first frame to the end of its playback."""

    def __init__(self, output: GatedOutput, voice: Voice, plays: asyncio.Event, before: "_Segment | None") -> None:
        self.frames: asyncio.Queue[rtc.AudioFrame | None] = asyncio.Queue()
        self._output = output
        self._voice = voice
        self._plays = plays
        self._before = before
        self._interrupted = asyncio.Event()
        self._task = asyncio.create_task(self._play(), name="baton: segment")

    def interrupt(self) -> None:
        """Stops it."""
        self._interrupted.set()

    async def _play(self) -> None:
        if self._before is not None:
            await asyncio.wait((self._before._task,))
            self._before = None
        position = 0.0
        with ExitStack() as stack:
            utterance: Utterance | None = None
            playing = asyncio.ensure_future(self._interrupted.wait())
            try:
                utterance = stack.enter_context(self._voice.utterance())
                saying = asyncio.ensure_future(self._say(utterance))
                await asyncio.wait((saying, playing), return_when=asyncio.FIRST_COMPLETED)
                interrupted = not saying.done()
                if interrupted:
                    position = utterance.position_secs
                    saying.cancel()
                    self._voice.clear()
                    await asyncio.gather(saying, return_exceptions=True)
                else:
                    saying.result()
                    position = utterance.position_secs
            except NoBatonError:
                interrupted = True
                position = utterance.position_secs if utterance is not None else 0.0
            finally:
                playing.cancel()
            if interrupted:
                # The session ends a segment by a flush, however it ended here.
                await self._flushed()
        self._output.on_playback_finished(playback_position=position, interrupted=interrupted)

    async def _say(self, utterance: Utterance) -> None:
        first = True
        while (frame := await self.frames.get()) is not None:
            await self._plays.wait()
            if first:
                first = False
                self._output.on_playback_started(created_at=time.time())
            await utterance.write(frame)
        await utterance.played()

    async def _flushed(self) -> None:
        try:
            async with asyncio.timeout(10.0):
                while self._output._segment is self and not self._interrupted.is_set():
                    if await self.frames.get() is None:
                        return
        except TimeoutError:
            logger.debug("a segment was not flushed")
