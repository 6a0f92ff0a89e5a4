"""A caller, as the SIP bridge presents one: it hears every audio track, and says what it is given."""

import asyncio
import math
from array import array
from collections.abc import Sequence
from typing import Any

from livekit import api, rtc
from livekit.protocol import agent_dispatch
from livekit.protocol import room as room_proto

from baton.kit.ear import heard
from baton.specialist.tasks import Tasks

SAMPLE_RATE = 48_000
"""Of all that it hears and says."""
FRAME_SAMPLES = SAMPLE_RATE // 100
AUDIBLE_PEAK = 600
"""From this peak on a frame is no silence; full scale is 32,768."""


class Phone:
    """A caller in a room."""

    def __init__(self, number: str = "+15550123") -> None:
        self.identity = f"sip_{number}"
        self._number = number
        self.room = rtc.Room()
        self._tasks = Tasks()
        self._ears: dict[str, asyncio.Task[Any]] = {}
        self._source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=200)
        self._says: asyncio.Queue[Sequence[int]] = asyncio.Queue()
        self._silent = asyncio.Event()
        self._silent.set()
        self.heard: list[tuple[float, str, int]] = []
        """What was heard: when, of whom, and the peak, for each 10 ms that are no silence."""
        self.samples: dict[str, array[int]] = {}
        """All samples by the identity of who published them."""

    async def dial(self, url: str, api_key: str, api_secret: str, room: str, agents: Sequence[str] = ()) -> None:
        """Joins, and has these agents dispatched if the room is made by it."""
        token = (
            api.AccessToken(api_key, api_secret)
            .with_identity(self.identity)
            .with_kind("sip")
            .with_attributes({"sip.callID": "SCL_kit", "sip.callStatus": "active", "sip.phoneNumber": self._number})
            .with_grants(api.VideoGrants(room_join=True, room=room, can_update_own_metadata=True))
        )
        if agents:
            dispatches = [agent_dispatch.RoomAgentDispatch(agent_name=name) for name in agents]
            token = token.with_room_config(room_proto.RoomConfiguration(agents=dispatches))
        self.room.on("track_subscribed", self._on_subscribed)
        self.room.on("track_unsubscribed", self._on_unsubscribed)
        await self.room.connect(url, token.to_jwt(), rtc.RoomOptions(auto_subscribe=True))
        track = rtc.LocalAudioTrack.create_audio_track("sip", self._source)
        await self.room.local_participant.publish_track(
            track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False)
        )
        self._tasks.start(self._speak(), "phone: voice")

    async def hang_up(self) -> None:
        """Leaves."""
        await self._tasks.stop()
        await self.room.disconnect()
        await self._source.aclose()

    def say(self, samples: Sequence[int]) -> None:
        """Says this, after what it says now."""
        self._silent.clear()
        self._says.put_nowait(samples)

    def tone(self, hz: int, secs: float) -> None:
        """Says a tone."""
        count = int(SAMPLE_RATE * secs)
        self.say([int(8_000 * math.sin(2 * math.pi * hz * each / SAMPLE_RATE)) for each in range(count)])

    async def said(self) -> None:
        """Returns when it is silent again."""
        await self._silent.wait()

    def hears_since(self, since: float) -> int:
        """Milliseconds that were no silence since then, whoever they came from."""
        return 10 * sum(1 for when, _, peak in self.heard if when >= since and peak >= AUDIBLE_PEAK)

    async def hears(self, ms: int = 100, limit_secs: float = 45.0) -> float:
        """Returns the time when so much was heard from now on. Raises `TimeoutError`."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        async with asyncio.timeout(limit_secs):
            while self.hears_since(since) < ms:
                await asyncio.sleep(0.02)
        return loop.time()

    def _on_subscribed(self, track: rtc.Track, _: object, participant: rtc.RemoteParticipant) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._ears[track.sid] = self._tasks.start(self._listen(track, participant.identity), "phone: ear")

    def _on_unsubscribed(self, track: rtc.Track, *_: object) -> None:
        # WebRTC has another track come in its place, which this one would hear.
        ear = self._ears.pop(track.sid, None)
        if ear is not None:
            ear.cancel()

    async def _listen(self, track: rtc.Track, identity: str) -> None:
        kept = self.samples.setdefault(identity, array("h"))
        async for came, frame in heard(track, SAMPLE_RATE):
            samples = array("h", bytes(frame.data))
            kept.extend(samples)
            peak = max(max(samples, default=0), -min(samples, default=0))
            if peak >= AUDIBLE_PEAK:
                self.heard.append((came, identity, peak))

    async def _speak(self) -> None:
        silence = bytes(2 * FRAME_SAMPLES)
        while True:
            # A line that is silent still sends.
            while self._says.empty():
                self._silent.set()
                await self._source.capture_frame(rtc.AudioFrame(silence, SAMPLE_RATE, 1, FRAME_SAMPLES))
            samples = self._says.get_nowait()
            for start in range(0, len(samples), FRAME_SAMPLES):
                chunk = array("h", samples[start : start + FRAME_SAMPLES])
                chunk.extend([0] * (FRAME_SAMPLES - len(chunk)))
                await self._source.capture_frame(rtc.AudioFrame(chunk.tobytes(), SAMPLE_RATE, 1, FRAME_SAMPLES))
