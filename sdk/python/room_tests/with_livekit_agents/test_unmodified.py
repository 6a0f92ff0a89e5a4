"""An agent that knows nothing of Baton takes part in a call: in a side room, with the real Baton."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from livekit import api
from scenes import Silent
from speech import PHONE_RATE, clip, spoken_secs
from stage import ROOM, Stage, staged, together, until
from telling import described
from test_handoff import told
from test_speech import CLIPS

from baton.kit.phone import Phone
from baton.kit.server import Program
from baton.specialist import Call

RULES = """rules:
  - {on: digit, digit: '1', to: concierge, reason: asked for}
  - {on: digit, digit: '0', to: triage, reason: asked for}
"""


def stock(stage: Stage, folder: str, lengths: dict[str, float]) -> Program:
    """The agent, without Baton's package in its path."""
    return Program(
        "concierge",
        [sys.executable, str(Path(__file__).parent / "unmodified.py"), "start"],
        Path(folder) / "concierge.log",
        {**stage.server.environment, "PYTHONPATH": "", "PYTHONUNBUFFERED": "1", "AGENT_CLIPS": json.dumps(lengths)},
    )


async def press(phone: Phone, digit: str) -> None:
    await phone.room.local_participant.publish_dtmf(code=int(digit), digit=digit)


async def rooms(stage: Stage) -> list[str]:
    http = stage.server.url.replace("ws", "http", 1)
    async with api.LiveKitAPI(http, stage.server.api_key, stage.server.api_secret) as server:
        listed = await server.room.list_rooms(api.ListRoomsRequest())
    return [room.name for room in listed.rooms]


def test_an_agent_that_knows_nothing_of_baton_takes_part_from_a_side_room() -> None:
    async def scenario() -> None:
        samples = {words: clip(name) for words, name in CLIPS.items()}
        lengths = {words: spoken_secs(each, PHONE_RATE) for words, each in samples.items()}
        with tempfile.TemporaryDirectory() as folder:
            async with staged(["triage", "concierge"], beside=["concierge"], more=RULES) as stage:
                concierge = stock(stage, folder, lengths)
                grants: list[Call] = []
                async with together(stage, concierge, "triage", lambda call: Silent(call, grants)):
                    phone = await stage.dial()
                    await until("triage has the baton", lambda: len(stage.lines("handoff done")) == 1)

                    # It is not heard, and does not greet, before it has the baton; then it greets as it always does.
                    await press(phone, "1")
                    await phone.hears(500)
                    await until("its words are known", lambda: len(said(concierge)) == 1)
                    started = told(concierge, "started")[0]
                    assert (started["identity"], started["sip"], started["number"]) == (phone.identity, True, "+15550123")
                    assert f"{ROOM}--concierge--2" in await rooms(stage)
                    assert told(concierge, "modules") == [{"kind": "modules", "baton": False}]

                    await asyncio.sleep(1.5)
                    phone.say(samples["I have a question"])
                    await phone.said()
                    await until("the tool's answer is said", lambda: "I found all about rooms" in said(concierge))
                    await press(phone, "5")
                    await until("it has the digit", lambda: [each["digit"] for each in told(concierge, "digit")] == ["5"])
                    await asyncio.sleep(1.0)

                    # What was said goes on to the next one, under the agent's own ids.
                    await press(phone, "0")
                    await until("triage has the baton again", lambda: len(stage.lines("handoff done")) == 3)
                    ids = [each["id"] for each in told(concierge, "item")]
                    await until("triage knows all of it", lambda: set(ids) <= {item["id"] for item in known(grants[1])})
                    items = known(grants[1])
                    assert [item["id"] for item in items if item["id"] in ids] == ids
                    call = next(item for item in items if item["kind"] == "function_call")
                    output = next(item for item in items if item["kind"] == "function_call_output")
                    assert (call["name"], output["output"]) == ("look_up", "all about rooms")
                    assert call["call_id"] == output["call_id"]

                    # Without the baton it neither hears nor sounds.
                    await until("it is switched off", lambda: audio(concierge) == (False, False))
                    since = asyncio.get_running_loop().time()
                    phone.say(samples["thank you"])
                    await phone.said()
                    await asyncio.sleep(2.0)
                    assert len(told(concierge, "item")) == len(ids), "it does not hear the caller"
                    assert phone.hears_since(since) == 0

                    await press(phone, "1")
                    await until("it is switched on again", lambda: audio(concierge) == (True, True))
                    phone.say(samples["thank you"])
                    await phone.said()
                    await until("it answers again", lambda: "you said thank you" in said(concierge))
                    assert phone.hears_since(since) > 0

                    await phone.hang_up()
                    await until("it has left", lambda: told(concierge, "ended"))
                    deadline = asyncio.get_running_loop().time() + 30.0
                    while any(name.startswith(f"{ROOM}--") for name in await rooms(stage)):
                        assert asyncio.get_running_loop().time() < deadline, "the side room is closed with the call"
                        await asyncio.sleep(0.2)

    asyncio.run(scenario())


def said(program: Program) -> list[str]:
    return [each["text"] for each in told(program, "item") if each["role"] == "assistant"]


def audio(program: Program) -> tuple[bool, bool]:
    """Whether its session hears and sounds, as it says itself."""
    last = told(program, "audio")[-1]
    return last["input"], last["output"]


def known(call: Call) -> list[dict[str, Any]]:
    return [described(item.chat_item) for item in call.memory.items]
