"""Specialists by hand: the real Baton, a real server, the real package of LiveKit."""

import asyncio
import math

import pytest
from livekit import rtc
from stage import staged, until

from baton.specialist import Agent, Call, Granting, NotHolderError, Specialist, UnknownTargetError


class Actor(Agent):
    """Sounds while it has the baton, and counts what it hears."""

    def __init__(self, call: Call, seen: "Cast") -> None:
        self.seen = seen
        seen.calls.append(call)

    async def joined(self, call: Call) -> None:
        self.ear = asyncio.create_task(self.listen(call))

    async def listen(self, call: Call) -> None:
        async for frame in call.listen():
            if max(frame.data) > 2_000:
                self.seen.caller_ms += 10

    async def granted(self, call: Call, grant: Granting) -> None:
        self.seen.grants.append(int(grant.epoch))
        rate = call.voice.sample_rate
        tone = [int(8_000 * math.sin(2 * math.pi * self.seen.hz * each / rate)) for each in range(rate // 10)]
        data = b"".join(each.to_bytes(2, "little", signed=True) for each in tone)
        with call.voice.utterance() as utterance:
            while True:
                await utterance.write(rtc.AudioFrame(data, rate, 1, len(tone)))

    async def revoked(self, call: Call) -> None:
        self.seen.revokes += 1

    async def left(self, call: Call) -> None:
        self.ear.cancel()
        self.seen.left += 1


class Cast:
    """What all calls of a specialist have seen."""

    def __init__(self, hz: int) -> None:
        self.hz = hz
        self.calls: list[Call] = []
        self.grants: list[int] = []
        self.revokes = 0
        self.left = 0
        self.caller_ms = 0

    async def hears_for(self, secs: float) -> int:
        before = self.caller_ms
        await asyncio.sleep(secs)
        return self.caller_ms - before


def test_the_baton_goes_there_and_back_and_each_hears_in_its_turn_alone() -> None:
    async def scenario() -> None:
        async with staged(["triage", "billing"]) as stage:
            stop = asyncio.Event()
            casts = {"triage": Cast(400), "billing": Cast(800)}
            running = []
            for name, cast in casts.items():
                specialist = Specialist(
                    name, url=stage.server.url, api_key=stage.server.api_key, api_secret=stage.server.api_secret
                )
                running.append(asyncio.create_task(specialist.run(lambda call, cast=cast: Actor(call, cast), stop)))
            await until("both are registered", lambda: stage.server.log().count("worker registered") == 3)
            triage, billing = casts["triage"], casts["billing"]
            phone = await stage.dial()
            await phone.hears(300)
            assert triage.grants == [1]
            phone.tone(2_000, 5.0)
            await asyncio.sleep(0.3)
            assert await triage.hears_for(0.5) > 250

            call = triage.calls[0]
            with pytest.raises(UnknownTargetError, match='did you mean "billing"'):
                await call.handoff("biling", "a slip")
            done = await call.handoff("billing", "a test moves on")
            assert (done.holder, done.epoch) == ("billing", 2)
            await until("triage knows", lambda: triage.revokes == 1)
            of_triage, of_billing = await asyncio.gather(triage.hears_for(0.5), billing.hears_for(0.5))
            assert of_triage == 0
            assert of_billing > 250
            with pytest.raises(NotHolderError):
                await call.handoff("billing", "it is not here")

            back = await billing.calls[0].hand_back("it is done")
            assert (back.holder, back.epoch) == ("triage", 3)
            await phone.hears(300)
            assert (triage.grants, billing.grants) == ([1, 3], [2])
            heard_from = {identity for _, identity, _ in phone.heard}
            assert len(heard_from) == 1, "the program track alone is heard"
            await phone.hang_up()
            await until("both have left", lambda: triage.left == 1 and billing.left == 1)
            stop.set()
            await asyncio.wait_for(asyncio.gather(*running), 10)

    asyncio.run(scenario())
