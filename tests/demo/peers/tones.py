"""What the peers of the bench share: a tone, and a line of JSON for each thing that happens."""

import asyncio
import json
import math
import time
from array import array

from livekit import rtc

RATE = 48_000
FRAME = RATE // 100
PEAK = 10 ** (-12 / 20) * 32_767
"""Every tone's peak: -12 dBFS, as the probe is told."""


def say(event: str, **more: object) -> None:
    """Says what happens now, in microseconds since the Unix epoch."""
    print(json.dumps({"at_us": time.time_ns() // 1_000, "event": event, **more}), flush=True)


async def publish(room: rtc.Room, hz: int) -> tuple[str, asyncio.Task[None]]:
    """Publishes a tone with the SDK's own defaults, and says under which sid; it sounds until the task is cancelled."""
    source = rtc.AudioSource(RATE, 1)
    track = rtc.LocalAudioTrack.create_audio_track("tone", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    sounding = asyncio.create_task(_sound(source, hz))
    publication = await room.local_participant.publish_track(track, options)
    return publication.sid, sounding


async def _sound(source: rtc.AudioSource, hz: int) -> None:
    # A multiple of 100 Hz has a whole number of periods in a frame of 10 ms.
    wave = array("h", (round(PEAK * math.sin(2 * math.pi * hz * each / RATE)) for each in range(FRAME)))
    while True:
        await source.capture_frame(rtc.AudioFrame(wave.tobytes(), RATE, 1, FRAME))
