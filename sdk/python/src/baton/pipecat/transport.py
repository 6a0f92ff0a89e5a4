"""Pipecat's LiveKit transport on a client that neither joins nor publishes: the call has done that, behind its gates."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

from livekit import rtc
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.transports.livekit.transport import (
    LiveKitCallbacks,
    LiveKitParams,
    LiveKitTransport,
    LiveKitTransportClient,
)

from baton.errors import BatonError
from baton.specialist import Call, NoBatonError, Utterance

GAP_SECS = 0.5
"""How long nothing comes of the caller's until it counts as a silence: a line that is silent still sends."""
SILENCE_SECS = 1.0
"""What is put in its place: what services that cut speech into pieces keep of the moment before one."""
PAUSE_SECS = 0.4
"""A pause of the bot's from which on an utterance is over."""


class SampleRateError(BatonError):
    """The pipeline and the call do not agree."""

    def __init__(self, pipeline: int, call: int) -> None:
        super().__init__(
            f"the pipeline puts out {pipeline} samples a second and the call takes {call}: give `run` the "
            "`sample_rate` of `PipelineParams.audio_out_sample_rate`"
        )


class Transport(LiveKitTransport):
    """LiveKit's transport in a call of Baton's."""

    def __init__(self, call: Call, params: LiveKitParams | None = None, **names: Any) -> None:
        super().__init__(url="", token="", room_name=call.id, params=params or LiveKitParams(), **names)
        theirs = self._client
        self._client = GatedClient(call, self._params, theirs._callbacks, theirs._transport_name)


class GatedClient(LiveKitTransportClient):
    """The client: the caller comes in, and what the bot says goes out, while the baton is here."""

    def __init__(self, call: Call, params: LiveKitParams, callbacks: LiveKitCallbacks, transport_name: str) -> None:
        super().__init__("", "", call.id, params, callbacks, transport_name)
        self._call = call
        self._listener = call.listen()
        self._stack = ExitStack()
        self._utterance: Utterance | None = None
        self._ends: asyncio.TimerHandle | None = None

    @property
    def _audio_source(self) -> rtc.AudioSource | None:
        """What the output clears when it is interrupted."""
        return self._call.voice.source if self._connected else None

    @_audio_source.setter
    def _audio_source(self, _: rtc.AudioSource | None) -> None:
        """It is the call's."""

    async def setup(self, setup: FrameProcessorSetup) -> None:
        if self._task_manager:
            return
        self._task_manager = setup.task_manager
        self._room = self._call.room
        self._out_sample_rate = self._params.audio_out_sample_rate or setup.audio_out_sample_rate
        if self._out_sample_rate != self._call.voice.sample_rate:
            raise SampleRateError(self._out_sample_rate, self._call.voice.sample_rate)

    async def connect(self) -> None:  # type: ignore[override]
        if self._connected:
            return
        self._connected = True
        self._participant_id = self.room.local_participant.identity
        await self._callbacks.on_connected()
        if self._call.caller is not None:
            await self._participant_connected(self._call.caller)

    async def disconnect(self) -> None:
        if self._connected:
            self._connected = False
            self._end_utterance()
            await self._callbacks.on_disconnected()

    async def get_next_audio_frame(self) -> AsyncIterator[tuple[rtc.AudioFrameEvent, str]]:
        caller, heard_at = "caller", time.monotonic()
        async for frame in self._listener:
            caller = self._call.caller or caller
            if time.monotonic() - heard_at > GAP_SECS:
                # What was heard before another one had the baton is not the beginning of this.
                for _ in range(int(SILENCE_SECS / frame.duration)):
                    silence = rtc.AudioFrame.create(frame.sample_rate, frame.num_channels, frame.samples_per_channel)
                    yield rtc.AudioFrameEvent(silence), caller
            heard_at = time.monotonic()
            yield rtc.AudioFrameEvent(frame), caller

    async def publish_audio(self, audio_frame: rtc.AudioFrame) -> bool:
        try:
            if self._utterance is None:
                self._utterance = self._stack.enter_context(self._call.voice.utterance())
            await self._utterance.write(audio_frame)
        except NoBatonError:
            self._end_utterance()
            # As long as it would have taken: a pipeline paces itself by its output.
            await asyncio.sleep(audio_frame.duration)
            return False
        if self._ends is not None:
            self._ends.cancel()
        wait = self._call.voice.queued_secs + PAUSE_SECS
        self._ends = asyncio.get_running_loop().call_later(wait, self._end_utterance)
        return True

    def _end_utterance(self) -> None:
        if self._ends is not None:
            self._ends.cancel()
            self._ends = None
        self._utterance = None
        self._stack.close()
