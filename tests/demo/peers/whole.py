"""A conversation that is sent whole at the handoff: a byte stream of the SDK, from one agent to another."""

import asyncio
import json
import os
import sys
import time

from livekit import api, rtc

ROUNDS = 10
TOPIC = "conversation"


async def main() -> None:
    sizes = [int(size) for size in sys.argv[1].split(",")]
    rooms = [await join(identity) for identity in ("old", "new")]
    whole: asyncio.Queue[int] = asyncio.Queue()
    reading: set[asyncio.Task[None]] = set()

    async def read(reader: rtc.ByteStreamReader) -> None:
        count = 0
        async for chunk in reader:
            count += len(chunk)
        whole.put_nowait(count)

    def arrives(reader: rtc.ByteStreamReader, _: str) -> None:
        task = asyncio.create_task(read(reader))
        reading.add(task)
        task.add_done_callback(reading.discard)

    rooms[1].register_byte_stream_handler(TOPIC, arrives)
    # The first one also opens the channel.
    for size in [1_000, *sizes]:
        taken = []
        for _ in range(ROUNDS):
            body = os.urandom(size)
            start = time.perf_counter()
            writer = await rooms[0].local_participant.stream_bytes(
                "conversation.json", total_size=size, topic=TOPIC, destination_identities=["new"]
            )
            await writer.write(body)
            await writer.aclose()
            if await asyncio.wait_for(whole.get(), 30) != size:
                raise RuntimeError("bytes were lost")
            taken.append((time.perf_counter() - start) * 1_000)
        if size in sizes:
            print(json.dumps({"bytes": size, "ms": sorted(taken)}), flush=True)
    await asyncio.gather(*(room.disconnect() for room in rooms))


async def join(identity: str) -> rtc.Room:
    grants = api.VideoGrants(room_join=True, room="bench-whole")
    token = api.AccessToken().with_identity(identity).with_kind("agent").with_grants(grants).to_jwt()
    room = rtc.Room()
    await room.connect(os.environ["LIVEKIT_URL"], token)
    return room


asyncio.run(main())
