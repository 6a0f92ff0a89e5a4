"""Two agents that everybody may hear, and a caller who is moved from one to the other by `UpdateSubscriptions` alone."""

import argparse
import asyncio
import os

from livekit import api, rtc
from tones import publish, say

SETTLE_SECS = 1.5
"""Until a change is sure to have taken effect before the first measured one."""


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--room", required=True)
    parser.add_argument("--tones", required=True, help="of the two agents, in Hz: 600,1700")
    parser.add_argument("--moves", type=int, required=True)
    parser.add_argument("--hold-ms", type=int, required=True)
    options = parser.parse_args()
    rooms, sids = [], []
    for number, hz in enumerate(options.tones.split(",")):
        grants = api.VideoGrants(room_join=True, room=options.room)
        token = api.AccessToken().with_identity(f"agent-{number}").with_kind("agent").with_grants(grants)
        room = rtc.Room()
        await room.connect(os.environ["LIVEKIT_URL"], token.to_jwt(), rtc.RoomOptions(auto_subscribe=False))
        sids.append((await publish(room, int(hz)))[0])
        rooms.append(room)
    say("published")
    while not (callers := _callers(rooms[0])):
        await asyncio.sleep(0.02)
    async with api.LiveKitAPI() as livekit:

        async def gate(agent: int, open: bool) -> None:
            request = api.UpdateSubscriptionsRequest(
                room=options.room, identity=callers[0], track_sids=[sids[agent]], subscribe=open
            )
            await livekit.room.update_subscriptions(request)

        await asyncio.sleep(SETTLE_SECS)
        await gate(1, False)
        await asyncio.sleep(SETTLE_SECS)
        say("began")
        holder = 0
        for _ in range(options.moves):
            await asyncio.sleep(options.hold_ms / 1_000)
            say("moves")
            await asyncio.gather(gate(1 - holder, True), gate(holder, False))
            holder = 1 - holder
        await asyncio.sleep(options.hold_ms / 1_000)
        say("finished")
    # The caller hangs up, and we are ended.
    await asyncio.Event().wait()


def _callers(room: rtc.Room) -> list[str]:
    kind = rtc.ParticipantKind.PARTICIPANT_KIND_SIP
    return [each.identity for each in room.remote_participants.values() if each.kind == kind]


asyncio.run(main())
