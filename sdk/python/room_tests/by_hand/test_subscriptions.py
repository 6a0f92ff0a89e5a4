"""A caller who is wanted again at once is heard, whatever LiveKit makes of such changes."""

import asyncio
import math
from array import array

from livekit import api, rtc
from stage import server

from baton.ids import Identity
from baton.kit.server import LocalServer
from baton.specialist.caller import CallerAudio, Hearing
from baton.specialist.room import Connection

ROOM = "quick-changes"
CHANGES = 8
HEARD_MAX_SECS = 20.0
END_SECS = 0.3
LOUD = 3_000


class Ear:
    """Hears what the connection presents, as a job does."""

    def __init__(self) -> None:
        self.caller = CallerAudio(Hearing())
        self.caller.set_audible(True)

    def caller_track(self, sid: str, track: rtc.Track) -> None:
        self.caller.hear(sid, track)

    def caller_track_gone(self, sid: str) -> None:
        self.caller.forget(sid)

    def packet(self, data: bytes) -> None:
        pass

    def reconnecting(self) -> None:
        pass

    def reconnected(self) -> None:
        pass

    def orchestrator_joined(self) -> None:
        pass

    def ended(self, broken: str | None) -> None:
        pass

    def extra_track(self, track: rtc.LocalTrack) -> None:
        pass


def access_token(server: LocalServer, identity: str) -> str:
    grants = api.VideoGrants(room_join=True, room=ROOM, can_update_own_metadata=True)
    return api.AccessToken(server.api_key, server.api_secret).with_identity(identity).with_grants(grants).to_jwt()


async def speak(source: rtc.AudioSource) -> None:
    tone = array("h", (round(math.sin(math.tau * 1_000 * at / 48_000) * 16_000) for at in range(480)))
    clock = asyncio.get_running_loop().time
    due = clock()
    while True:
        await source.capture_frame(rtc.AudioFrame(tone.tobytes(), 48_000, 1, 480))
        due += 0.01
        await asyncio.sleep(max(due - clock(), 0.0))


async def heard(ear: Ear) -> None:
    async with asyncio.timeout(HEARD_MAX_SECS):
        async for frame in ear.caller.listener():
            if max(frame.data) > LOUD:
                return


def test_a_caller_who_is_wanted_again_at_once_is_heard() -> None:
    async def scenario() -> None:
        async with server() as livekit:
            caller = rtc.Room()
            await caller.connect(livekit.url, access_token(livekit, "caller"))
            voice = rtc.AudioSource(48_000, 1, queue_size_ms=0)
            track = rtc.LocalAudioTrack.create_audio_track("voice", voice)
            options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False, red=False)
            await caller.local_participant.publish_track(track, options)
            speaking = asyncio.create_task(speak(voice))

            ear = Ear()
            connection = Connection(rtc.Room(), Identity("orchestrator"), ear)
            await connection.join(livekit.url, access_token(livekit, "specialist"))
            await connection.publish(rtc.AudioSource(48_000, 1))
            connection.pin_caller("caller")
            connection.want_caller(True)
            await heard(ear)
            for _ in range(CHANGES):
                connection.want_caller(False)
                ear.caller.forget_all()
                connection.want_caller(True)
                # What is on its way to its end sounds until then.
                await asyncio.sleep(END_SECS)
                await heard(ear)

            speaking.cancel()
            await ear.caller.end()
            await connection.close()
            await caller.disconnect()

    asyncio.run(scenario())
