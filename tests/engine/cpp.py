"""What `part.rs` does, on LiveKit's C++ engine: rooms that stand idle, one voice from mouth to ear, messages, or
full reconnects."""

import argparse
import asyncio
import json
import math
import os
import time
from array import array

from livekit import api, rtc

SETTLE_SECS = 3.0
RATE = 48_000
FRAME = RATE // 100
BURST_EVERY_FRAMES = 50
BURST_FRAMES = 5
LOUD = 3_000
RECONNECTS = 40
RECONNECT_EVERY_SECS = 0.5
RECONNECT_MAX_SECS = 30.0
MESSAGES = 500
MESSAGE_BYTES = 15_000
MESSAGE_ROUNDS = 5
MESSAGE_MAX_SECS = 10.0


async def join(room_name: str, identity: str) -> rtc.Room:
    grants = api.VideoGrants(room_join=True, room=room_name)
    token = api.AccessToken().with_identity(identity).with_grants(grants).to_jwt()
    room = rtc.Room()
    await room.connect(os.environ["LIVEKIT_URL"], token)
    return room


async def rooms(count: int, secs: float) -> dict[str, object]:
    joined, join_ms = [], []
    for number in range(count):
        start = time.perf_counter()
        joined.append(await join(f"idle-cpp-{count}-{number}", "idle"))
        join_ms.append((time.perf_counter() - start) * 1_000)
    await asyncio.sleep(SETTLE_SECS)
    before, start = time.process_time(), time.perf_counter()
    await asyncio.sleep(secs)
    used, elapsed = time.process_time() - before, time.perf_counter() - start
    measured = {
        "join_ms": join_ms,
        "rss_kb": status("VmRSS:"),
        "threads": status("Threads:"),
        "cpu_ms_per_sec": used * 1_000 / elapsed,
    }
    await asyncio.gather(*(room.disconnect() for room in joined))
    return measured


async def voice(secs: float) -> dict[str, object]:
    subscribed: asyncio.Future[rtc.Track] = asyncio.get_running_loop().create_future()
    ear = await join("voice-cpp", "ear")
    ear.on("track_subscribed", lambda track, *_: subscribed.set_result(track))
    mouth = await join("voice-cpp", "mouth")
    source = rtc.AudioSource(RATE, 1, queue_size_ms=0)
    track = rtc.LocalAudioTrack.create_audio_track("m", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False, red=False)
    await mouth.local_participant.publish_track(track, options)
    stream = rtc.AudioStream(await asyncio.wait_for(subscribed, 30), sample_rate=RATE, num_channels=1)
    said: list[float] = []

    async def speak() -> None:
        burst = array("h", (round(math.sin(2 * math.pi * 1_000 * at / RATE) * 16_000) for at in range(FRAME)))
        quiet = array("h", [0] * FRAME)
        start = time.perf_counter()
        number = 0
        while True:
            await asyncio.sleep(max(start + number / 100 - time.perf_counter(), 0))
            place = number % BURST_EVERY_FRAMES
            number += 1
            if place == 0:
                said.append(time.perf_counter())
            samples = burst if place < BURST_FRAMES else quiet
            await source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, FRAME))

    speaking = asyncio.create_task(speak())
    delay_ms: list[float] = []
    began = time.perf_counter()

    async def hear() -> None:
        quiet_frames, used = 0, 0
        async for event in stream:
            now = time.perf_counter()
            loud = max(event.frame.data) > LOUD
            begins = loud and quiet_frames > BURST_FRAMES
            quiet_frames = 0 if loud else quiet_frames + 1
            if begins and len(said) > used:
                used = len(said)
                if now > began + SETTLE_SECS:
                    delay_ms.append((now - said[-1]) * 1_000)

    try:
        await asyncio.wait_for(hear(), SETTLE_SECS + secs)
    except TimeoutError:
        pass
    speaking.cancel()
    return {"delay_ms": delay_ms}


async def messages() -> dict[str, object]:
    came: asyncio.Queue[int] = asyncio.Queue()
    reader = await join("messages-cpp", "reader")
    reader.on("data_received", lambda packet: came.put_nowait(len(packet.data)))
    writer = await join("messages-cpp", "writer")
    payload = bytes(MESSAGE_BYTES)
    mb_per_sec, missing = [], 0

    async def write() -> None:
        for _ in range(MESSAGES):
            await writer.local_participant.publish_data(payload, reliable=True)

    for _ in range(MESSAGE_ROUNDS):
        start = last = time.perf_counter()
        writing = asyncio.create_task(write())
        count = 0
        try:
            while count < MESSAGES:
                length = await asyncio.wait_for(came.get(), MESSAGE_MAX_SECS)
                assert length == MESSAGE_BYTES, "a message was cut"
                count, last = count + 1, time.perf_counter()
        except TimeoutError:
            pass
        await writing
        mb_per_sec.append(count * MESSAGE_BYTES / 1e6 / max(last - start, 1e-3))
        missing += MESSAGES - count
    await writer.disconnect()
    return {"mb_per_sec": mb_per_sec, "missing": missing}


async def reconnects() -> dict[str, object]:
    room = await join("reconnects-cpp", "guest")
    track = rtc.LocalAudioTrack.create_audio_track("m", rtc.AudioSource(RATE, 1, queue_size_ms=0))
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    await room.local_participant.publish_track(track, options)
    back = asyncio.Event()
    room.on("reconnected", back.set)
    reconnect_ms = []
    for _ in range(RECONNECTS):
        await asyncio.sleep(RECONNECT_EVERY_SECS)
        back.clear()
        start = time.perf_counter()
        await room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
        async with asyncio.timeout(RECONNECT_MAX_SECS):
            await back.wait()
        reconnect_ms.append((time.perf_counter() - start) * 1_000)
    await room.disconnect()
    return {"reconnect_ms": reconnect_ms}


def status(name: str) -> int:
    with open("/proc/self/status") as lines:
        for line in lines:
            if line.startswith(name):
                return int(line.split()[1])
    raise RuntimeError(f"the kernel tells no {name}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["rooms", "voice", "messages", "reconnects"])
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--secs", type=float, required=True)
    options = parser.parse_args()
    if options.part == "rooms":
        work = rooms(options.count, options.secs)
    elif options.part == "voice":
        work = voice(options.secs)
    elif options.part == "messages":
        work = messages()
    else:
        work = reconnects()
    print(json.dumps(asyncio.run(work)), flush=True)
    # The engine's threads are not waited for.
    os._exit(0)


main()
