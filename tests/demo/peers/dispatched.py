"""A worker of LiveKit Agents whose jobs take the call from one another: the next one is dispatched, and the old one leaves when
the next has published its track.

Jobs run in processes that are started beforehand, which is what the package offers for speed.
"""

import asyncio
import json
import os

from livekit import api, rtc
from livekit.agents import AgentServer, AutoSubscribe, JobContext, cli
from tones import publish, say

NAME = "turn"
TONES = [int(hz) for hz in os.environ.get("BENCH_TONES", "600,1700").split(",")]
MOVES = int(os.environ.get("BENCH_MOVES", "2"))
HOLD_SECS = int(os.environ.get("BENCH_HOLD_MS", "3000")) / 1_000

server = AgentServer(
    num_idle_processes=3,
    host="127.0.0.1",
    port=0,
    # By default a worker on a busy machine gets no calls.
    load_fnc=lambda: 0.0,
)


@server.rtc_session(agent_name=NAME)
async def turn(job: JobContext) -> None:
    number = json.loads(job.job.metadata or "{}").get("number", 0)
    await job.connect(auto_subscribe=AutoSubscribe.SUBSCRIBE_NONE)
    next_is_here = asyncio.Event()

    def published(_: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> None:
        if participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            next_is_here.set()

    await publish(job.room, TONES[number % 2])
    say("published", number=number)
    await asyncio.sleep(HOLD_SECS)
    if number == MOVES:
        say("finished")
        return
    job.room.on("track_published", published)
    say("moves")
    async with api.LiveKitAPI() as livekit:
        request = api.CreateAgentDispatchRequest(
            agent_name=NAME, room=job.room.name, metadata=json.dumps({"number": number + 1})
        )
        await livekit.agent_dispatch.create_dispatch(request)
    await asyncio.wait_for(next_is_here.wait(), 20.0)
    job.shutdown()


if __name__ == "__main__":
    cli.run_app(server)
