"""Baton is killed, and the holder reaches the caller without it until it is back."""

import asyncio
import signal

from stage import Stage, staged, until
from test_handoff import Actor, Cast

from baton.kit.phone import Phone
from baton.specialist import Specialist

GAP_MAX_SECS = 3.0
"""From the kill until the holder is heard again: the timeout of 1 s, and what a busy machine needs."""
SOUNDS_MIN = 4_000
"""The peak of what is no decoder's invention; the holder's tone has 8,000."""


def test_the_holder_is_heard_while_baton_is_dead_and_goes_by_it_again() -> None:
    async def scenario() -> None:
        async with staged(["triage", "billing"]) as stage:
            stop = asyncio.Event()
            server = stage.server
            keys = {"url": server.url, "api_key": server.api_key, "api_secret": server.api_secret}
            triage = Cast(400)
            specialist = Specialist("triage", **keys)
            running = asyncio.create_task(specialist.run(lambda call: Actor(call, triage), stop))
            try:
                await until("both are registered", lambda: server.log().count("worker registered") == 2)
                phone = await stage.dial()
                await phone.hears(500)
                await asyncio.sleep(1.5)
                assert len(phone.samples) == 1, "the program track alone"
                program = next(iter(phone.samples))
                for number in (1, 2):
                    await killed_and_back(stage, phone, program)
                    # A track that was open cannot be closed and opened again in time: the voice is on a fresh one each time.
                    participant = triage.calls[0].room.local_participant
                    await until(
                        "the former track is gone",
                        lambda number=number: [each.name for each in participant.track_publications.values()]
                        == [f"voice-{number + 1}"],
                    )
                    # Until Baton watches over the call as before.
                    await asyncio.sleep(2.0)
                assert triage.grants == [1], "to the agent nothing has changed"
                await phone.hang_up()
            finally:
                stop.set()
                await asyncio.wait_for(running, 20)

    asyncio.run(scenario())


async def killed_and_back(stage: Stage, phone: Phone, program: str) -> None:
    loop = asyncio.get_running_loop()
    resumed = len(stage.lines("call resumed"))
    stage.baton.signal_group(signal.SIGKILL)
    await stage.baton.stop()
    killed = loop.time()

    def direct_since(since: float) -> list[float]:
        heard = phone.heard
        return [when for when, who, peak in heard if who != program and when > since and peak > SOUNDS_MIN]

    await until("the holder is heard without Baton", lambda: len(direct_since(killed)) > 20)
    gap_secs = direct_since(killed)[0] - killed
    print(f"heard again {gap_secs:.2f} s after the kill")
    assert gap_secs <= GAP_MAX_SECS
    begun = loop.time()
    await stage.baton.start()
    await until("the call is resumed", lambda: len(stage.lines("call resumed")) > resumed)

    def by_baton() -> list[float]:
        return [w for w, who, peak in phone.heard if who == program and w > begun and peak > SOUNDS_MIN]

    await until("the voice goes by Baton again", lambda: len(by_baton()) > 20)
    last, first = direct_since(begun)[-1:], by_baton()[0]
    assert not last or last[0] < first, "by one way at a time"
    print(f"back with a hole of {first - (last[0] if last else begun):.2f} s")
