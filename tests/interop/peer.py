"""The other side of the interop test: LiveKit's C++ engine behind its Python SDK.

It joins a room, sounds a tone, and then does what it is told, one JSON object per line on stdin, each answered by one
JSON object on stdout. It ends when stdin does.
"""

import argparse
import asyncio
import json
import math
import os
import sys

import numpy
from livekit import rtc

SAMPLE_RATE_HZ = 48_000
FRAME_SAMPLES = SAMPLE_RATE_HZ // 100
# A tone counts as heard, and a frame as not silent, from this peak on (full scale is 32,768).
AUDIBLE_PEAK = 1_000
# What is not judged after the first sound: the receiver's buffer is still settling.
SETTLE_FRAMES = 50
AMPLITUDE = 0.5


class Peer:
    """One participant."""

    def __init__(self, other: str, tone_hz: float) -> None:
        self.other = other
        self.tone_hz = tone_hz
        self.room = rtc.Room()
        self.track: asyncio.Future[rtc.Track] = asyncio.get_running_loop().create_future()
        self.numbers: asyncio.Queue[int] = asyncio.Queue()
        self.streams: asyncio.Queue[bytes] = asyncio.Queue()
        self.tasks: set[asyncio.Task[None]] = set()

    async def join(self, url: str, token: str, single_pc: bool) -> None:
        self.room.on("track_subscribed", self.on_track)
        self.room.on("data_received", self.on_data)
        self.room.register_byte_stream_handler("blob", self.on_stream)
        await self.room.connect(url, token, rtc.RoomOptions(single_peer_connection=single_pc))
        me = self.room.local_participant
        me.register_rpc_method("reverse", reverse)
        source = rtc.AudioSource(SAMPLE_RATE_HZ, 1, queue_size_ms=200)
        track = rtc.LocalAudioTrack.create_audio_track("tone", source)
        self.spawn(self.sound(source))
        await me.publish_track(track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE))

    async def leave(self) -> None:
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.room.disconnect()

    def spawn(self, work) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def on_track(self, track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO and not self.track.done():
            self.track.set_result(track)

    def on_data(self, packet: rtc.DataPacket) -> None:
        if packet.topic == "numbers":
            self.numbers.put_nowait(int(packet.data))

    def on_stream(self, reader: rtc.ByteStreamReader, _identity: str) -> None:
        async def read() -> None:
            chunks = [chunk async for chunk in reader]
            self.streams.put_nowait(b"".join(chunks))

        self.spawn(read())

    async def sound(self, source: rtc.AudioSource) -> None:
        step = 2 * math.pi * self.tone_hz / SAMPLE_RATE_HZ
        at = 0
        while True:
            phases = step * numpy.arange(at, at + FRAME_SAMPLES)
            samples = (numpy.sin(phases) * AMPLITUDE * 32_767).astype(numpy.int16)
            await source.capture_frame(rtc.AudioFrame(samples.tobytes(), SAMPLE_RATE_HZ, 1, FRAME_SAMPLES))
            at += FRAME_SAMPLES

    async def hear(self, seconds: float) -> dict:
        stream = rtc.AudioStream(await self.track, sample_rate=SAMPLE_RATE_HZ, num_channels=1, frame_size_ms=10)
        frames: list[numpy.ndarray] = []
        async for event in stream:
            frame = numpy.frombuffer(event.frame.data, dtype=numpy.int16).astype(numpy.int32)
            if frames or numpy.abs(frame).max() >= AUDIBLE_PEAK:
                frames.append(frame)
            if len(frames) >= SETTLE_FRAMES + seconds * 100:
                break
        await stream.aclose()
        frames = frames[SETTLE_FRAMES:]
        sound = numpy.concatenate(frames)
        power = numpy.abs(numpy.fft.rfft(sound * numpy.hanning(len(sound)))) ** 2
        peak = int(power.argmax())
        bins = slice(max(peak - 5, 0), peak + 6)
        return {
            "hz": peak * SAMPLE_RATE_HZ / len(sound),
            "purity": float(power[bins].sum() / power.sum()),
            "frames": len(frames),
            "silent": sum(int(numpy.abs(frame).max() < AUDIBLE_PEAK) for frame in frames),
        }

    async def send_numbers(self, count: int) -> dict:
        for number in range(count):
            await self.room.local_participant.publish_data(
                str(number), reliable=True, topic="numbers", destination_identities=[self.other]
            )
        return {}

    async def get_numbers(self, count: int) -> dict:
        return {"numbers": [await self.numbers.get() for _ in range(count)]}

    async def call(self, payload: str) -> dict:
        answer = await self.room.local_participant.perform_rpc(
            destination_identity=self.other, method="reverse", payload=payload
        )
        return {"answer": answer}

    async def send_stream(self, length: int) -> dict:
        writer = await self.room.local_participant.stream_bytes(
            "blob", topic="blob", total_size=length, destination_identities=[self.other]
        )
        content = pattern(length)
        for start in range(0, length, 50_000):
            await writer.write(content[start : start + 50_000])
        await writer.aclose()
        return {}

    async def get_stream(self, length: int) -> dict:
        content = await self.streams.get()
        return {"length": len(content), "intact": content == pattern(length)}

    async def stats(self) -> dict:
        stats = await self.room.get_rtc_stats()
        objects = [*stats.publisher_stats, *stats.subscriber_stats]
        kinds = [message.WhichOneof("stats") for message in objects]
        return {"objects": [{kind: plain(getattr(message, kind))} for kind, message in zip(kinds, objects, strict=True)]}


def plain(message) -> dict:
    """A message of statistics, with its fields under their names."""
    fields = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is None:
            fields[field.name] = value
        elif field.message_type.GetOptions().map_entry:
            fields[field.name] = dict(value)
        else:
            fields[field.name] = plain(value)
    return fields


async def reverse(call: rtc.RpcInvocationData) -> str:
    return call.payload[::-1]


def pattern(length: int) -> bytes:
    """Bytes that both sides can make, and that no chunk repeats."""
    values = numpy.arange(length, dtype=numpy.uint64) * numpy.uint64(2_654_435_761)
    return ((values >> numpy.uint64(16)) & numpy.uint64(0xFF)).astype(numpy.uint8).tobytes()


async def stdin_lines():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--url", required=True)
    arguments.add_argument("--token", required=True)
    arguments.add_argument("--other", required=True, help="identity of the participant to talk to")
    arguments.add_argument("--tone-hz", type=float, required=True)
    arguments.add_argument("--single-pc", action="store_true", help="one peer connection for both directions")
    options = arguments.parse_args()

    peer = Peer(options.other, options.tone_hz)
    await peer.join(options.url, options.token, options.single_pc)
    print(json.dumps({"ready": True}), flush=True)
    commands = {
        "hear": peer.hear,
        "send_numbers": peer.send_numbers,
        "get_numbers": peer.get_numbers,
        "call": peer.call,
        "send_stream": peer.send_stream,
        "get_stream": peer.get_stream,
        "stats": peer.stats,
    }
    async for line in stdin_lines():
        command = json.loads(line)
        try:
            answer = await commands[command.pop("do")](**command)
        except Exception as error:  # noqa: BLE001 - the test wants to read it, whatever it is
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    await peer.leave()


asyncio.run(main())
sys.stdout.flush()
# The C++ engine's threads now and then abort the interpreter as it ends.
os._exit(0)
