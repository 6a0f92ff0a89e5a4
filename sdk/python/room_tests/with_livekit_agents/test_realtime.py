"""A realtime model in a call of the real Baton: the model follows a script, all else of LiveKit Agents is as it is."""

import asyncio
import tempfile

from livekit import rtc
from realtime import HAND_OFF, LATENCY_SECS, LOOK_UP, TALK, VOICE_HZ
from scenes import Silent
from sounds import Heard
from stage import staged, together, until
from telling import described, tone
from test_handoff import told, worker

from baton.kit.phone import Phone
from baton.kit.server import Program
from baton.specialist import Call, Granting

RULES = """rules:
  - {on: digit, digit: '1', to: billing, reason: asked for}
"""
TURN_SECS = 0.4


class Brief(Silent):
    """Another specialist, that says a word when it has the baton."""

    async def granted(self, call: Call, grant: Granting) -> None:
        rate = call.voice.sample_rate
        samples = tone("well", 700, rate)
        await call.voice.say(rtc.AudioFrame(samples, rate, 1, len(samples) // 2))
        await super().granted(call, grant)


def test_a_realtime_model_speaks_hears_calls_and_hands_off_and_answers_nobody_without_the_baton() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with staged(["realtime", "billing"], route=", opening: 'say:welcome back'", more=RULES) as stage:
                realtime = worker(stage, folder, "realtime.py")
                grants: list[Call] = []
                async with together(stage, realtime, "billing", lambda call: Brief(call, grants)):
                    phone = await stage.dial()
                    await phone.hears(300)
                    await until("it greets", lambda: said(realtime) == ["hello, this is quick"])
                    await asyncio.sleep(1.0)

                    # It hears by itself, answers by itself, and its tools are called.
                    await speaks(phone, TALK)
                    await until("it answers", lambda: said(realtime)[-1] == f"you said a tone of {TALK}")
                    await asyncio.sleep(1.0)
                    await speaks(phone, LOOK_UP)
                    await until("it answers with the tool's result", lambda: said(realtime)[-1] == "it is Ada")
                    await asyncio.sleep(1.0)
                    assert [each["text"] for each in told(realtime, "heard")] == [f"a tone of {hz}" for hz in (TALK, LOOK_UP)]

                    # It hands off, and whoever takes over knows it all.
                    await speaks(phone, HAND_OFF)
                    await until("billing has the baton", lambda: len(grants) == 1)
                    await until("realtime knows", lambda: "revoked, epoch 2" in realtime.log())
                    ids = [each["id"] for each in told(realtime, "item")]
                    await until("billing knows it all", lambda: set(ids) <= {item["id"] for item in known(grants[0])})
                    outputs = {item["name"]: item["output"] for item in known(grants[0]) if "output" in item}
                    assert outputs == {"look_up": "Ada", "handoff": "billing takes over"}

                    # Without the baton it hears nothing.
                    ends = turns(realtime)
                    await speaks(phone, LOOK_UP)
                    await asyncio.sleep(LATENCY_SECS + 1.0)
                    assert turns(realtime) == ends

                    # It opens as it is told, though it has no voice beside it.
                    await grants[0].hand_back("done")
                    await until("it opens", lambda: said(realtime)[-1] == "welcome back")
                    await asyncio.sleep(1.0)

                    # What it makes of a turn that was over before the change neither sounds nor calls a tool.
                    looked_up = len(told(realtime, "looked_up"))
                    count = len(said(realtime))
                    ends = turns(realtime)
                    await speaks(phone, LOOK_UP)
                    await until("its turn is over", lambda: turns(realtime) > ends)
                    await phone.room.local_participant.publish_dtmf(code=1, digit="1")
                    await until("billing has the baton again", lambda: len(grants) == 2)
                    await asyncio.sleep(0.5)
                    heard = Heard(phone)
                    await asyncio.sleep(LATENCY_SECS + 1.0)
                    assert len(told(realtime, "looked_up")) == looked_up, "a tool was called without the baton"
                    assert len(said(realtime)) == count and heard.ms(VOICE_HZ) == 0
                    await phone.hang_up()
                    await until("it has left", lambda: told(realtime, "ended"))

    asyncio.run(scenario())


async def speaks(phone: Phone, hz: int) -> None:
    phone.tone(hz, TURN_SECS)
    await phone.said()


def said(program: Program) -> list[str]:
    return [each["text"] for each in told(program, "item") if each["role"] == "assistant"] or [""]


def turns(program: Program) -> int:
    return sum(each["why"] == "end" for each in told(program, "asked"))


def known(call: Call) -> list[dict[str, object]]:
    return [described(item.chat_item) for item in call.memory.items]
