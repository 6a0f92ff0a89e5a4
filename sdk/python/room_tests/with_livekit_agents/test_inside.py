"""What an agent does inside of its session goes on: agents that hand over to one another, a task that takes keys, a sound in the background,
the session's events."""

import asyncio
import tempfile

from inside import BACKGROUND_HZ, EVENTS, VOICE_HZ
from scenes import Silent
from sounds import Heard
from stage import staged, together, until
from telling import described
from test_handoff import told, worker

from baton.kit.server import Program
from baton.specialist import Call


def test_agents_tasks_and_sounds_of_a_session_go_on_in_a_call_of_baton() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with staged(["front", "billing"]) as stage:
                front = worker(stage, folder, "inside.py")
                grants: list[Call] = []
                async with together(stage, front, "billing", lambda call: Silent(call, grants)):
                    phone = await stage.dial()
                    say = phone.room.local_participant.send_text
                    await until("it greets", lambda: said(front) == ["hello, this is the front"])

                    assert [each["identity"] for each in told(front, "linked")] == [phone.identity], "its user is the caller"

                    # Both of its tracks are heard, on the program track.
                    heard = Heard(phone)
                    await until("the background is heard", lambda: heard.ms(BACKGROUND_HZ) > 500)
                    heard = Heard(phone)
                    await say("hello", topic="test.says")
                    await until("it is heard beside it", lambda: heard.ms(VOICE_HZ) > 300 and heard.ms(BACKGROUND_HZ) > 300)
                    await until("it has answered", lambda: "the front hears hello" in said(front))

                    # One agent gives way to another, inside.
                    await say("the desk", topic="test.says")
                    await until("the desk greets", lambda: said(front)[-1] == "hello, this is the desk")

                    # A task of its takes keys.
                    await say("my number", topic="test.says")
                    await until("the task asks", lambda: said(front)[-1] == "please type it")
                    for digit in "471#":
                        await phone.room.local_participant.publish_dtmf(code=11 if digit == "#" else int(digit), digit=digit)
                    await until("the number is known", lambda: said(front)[-1] == "the number is 4 7 1")

                    # And this one, too, may hand off to who is outside.
                    await asyncio.sleep(1.5)
                    await say("handoff billing", topic="test.says")
                    await until("billing has the baton", lambda: len(grants) == 1)
                    await until("front knows", lambda: "revoked, epoch 2" in front.log())
                    await asyncio.sleep(1.0)
                    heard = Heard(phone)
                    await phone.room.local_participant.publish_dtmf(code=9, digit="9")
                    await asyncio.sleep(1.5)
                    assert heard.ms(BACKGROUND_HZ) == heard.ms(VOICE_HZ) == 0, "neither is heard without the baton"
                    assert [each["digit"] for each in told(front, "digit")] == list("471#"), "keys are for who has the baton"
                    kinds = {described(item.chat_item)["kind"] for item in grants[0].memory.items}
                    assert {"message", "function_call", "function_call_output", "agent_handoff"} <= kinds

                    # It comes back to the agent that had it.
                    await grants[0].hand_back("done")
                    heard = Heard(phone)
                    await until("both are heard again", lambda: heard.ms(VOICE_HZ) > 300 and heard.ms(BACKGROUND_HZ) > 500)
                    await asyncio.sleep(1.5)
                    await say("the front", topic="test.says")
                    await until("the front enters once more", lambda: entered(front) == ["front", "desk", "front"])
                    await until("and greets", lambda: said(front)[-1] == "hello, this is the front")
                    await phone.hang_up()
                    await until("it has left", lambda: told(front, "ended"))
                    events = {each["name"] for each in told(front, "event")}
                    # Nobody spoke, and keys are no speech.
                    assert events >= {*EVENTS} - {"user_input_transcribed", "user_state_changed"}, events

    asyncio.run(scenario())


def said(program: Program) -> list[str]:
    return [each["text"] for each in told(program, "item") if each["role"] == "assistant"] or [""]


def entered(program: Program) -> list[str]:
    return [each["agent"] for each in told(program, "entered")]
