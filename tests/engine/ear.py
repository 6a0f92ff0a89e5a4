"""What `ear.rs` does, on LiveKit's C++ engine: what it hears becomes a WAV file, what the engine counts a line of JSON."""

import asyncio
import json
import os
import sys
import time
import wave

from livekit import rtc

RATE_HZ = 48_000
AUDIBLE = 500
STEP_SECS = 120
# As `ear.rs` waits for its engine.
COUNTED_EVERY_SECS = 1.2


async def counts(track: rtc.Track) -> dict[str, float]:
    for stats in await track.get_stats():
        if stats.WhichOneof("stats") == "inbound_rtp":
            inbound = stats.inbound_rtp.inbound
            return {
                "samples": inbound.total_samples_received,
                "concealed": inbound.concealed_samples,
                "inserted": inbound.inserted_samples_for_deceleration,
                "removed": inbound.removed_samples_for_acceleration,
                "buffer_secs": inbound.jitter_buffer_delay,
                "buffered": inbound.jitter_buffer_emitted_count,
            }
    raise RuntimeError("no statistics of what is received")


async def listen(url: str, token: str, path: str) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    subscribed: asyncio.Future[rtc.Track] = loop.create_future()
    begin, end = asyncio.Event(), asyncio.Event()
    said = {"begin": begin, "end": end}
    room = rtc.Room()
    room.on("track_subscribed", lambda track, *_: subscribed.set_result(track))
    room.on("data_received", lambda packet: said[packet.topic].set())
    async with asyncio.timeout(STEP_SECS):
        await room.connect(url, token)
        track = await subscribed
    stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1, frame_size_ms=10)
    samples, arrived_ms = bytearray(), []

    async def record() -> None:
        async for event in stream:
            now = time.time() * 1_000
            audible = max(map(abs, event.frame.data[::8])) > AUDIBLE
            if audible and not samples:
                print("hearing", flush=True)
            if audible or samples:
                samples.extend(event.frame.data.cast("B"))
                arrived_ms.append(now)

    recording = asyncio.create_task(record())
    async with asyncio.timeout(STEP_SECS):
        await begin.wait()
        before = await counts(track)
        await end.wait()
    await asyncio.sleep(COUNTED_EVERY_SECS)
    after = await counts(track)
    recording.cancel()
    with wave.open(path, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(samples)
    await room.disconnect()
    return {"before": before, "after": after, "arrived_ms": arrived_ms}


print(json.dumps(asyncio.run(listen(os.environ["LIVEKIT_URL"], os.environ["LIVEKIT_TOKEN"], sys.argv[1]))), flush=True)
# The engine's threads are not waited for.
os._exit(0)
