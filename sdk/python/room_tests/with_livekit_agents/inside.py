"""A worker of LiveKit Agents with more than one agent in it, as it was before it knew Baton: they hand over inside of the session, one has a
task that takes keys, and a sound plays in the background. The lines that Baton needs are marked."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

# The folder above has what all agents of the tests share.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from livekit import rtc
from livekit.agents import (
    Agent,
    AgentSession,
    AudioConfig,
    BackgroundAudioPlayer,
    JobContext,
    RunContext,
    cli,
    function_tool,
    llm,
)
from livekit.agents.beta.workflows.dtmf_inputs import GetDtmfTask
from scripted import ScriptedLLM, ToneTTS
from serving import serving
from telling import tell, tone

from baton import livekit_agents as baton  # Baton

NAME = "front"
VOICE_HZ = 440
BACKGROUND_HZ = 2_600
DIGITS = 3
EVENTS = (
    "agent_state_changed",
    "close",
    "conversation_item_added",
    "function_tools_executed",
    "speech_created",
    "user_input_transcribed",
    "user_state_changed",
)

server = serving()


class Front(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="front")

    async def on_enter(self) -> None:
        tell("entered", agent="front")
        self.session.generate_reply(instructions="greet")

    @function_tool
    async def to_desk(self, context: RunContext[Any]) -> Agent:
        """Has the desk go on."""
        return Desk(self)


class Desk(Agent):
    def __init__(self, front: Front) -> None:
        super().__init__(instructions="desk", chat_ctx=front.chat_ctx.copy(exclude_instructions=True))
        self.front = front

    async def on_enter(self) -> None:
        tell("entered", agent="desk")
        self.session.generate_reply(instructions="greet")

    @function_tool
    async def take_number(self, context: RunContext[Any]) -> str:
        """Has the caller type a number."""
        taken = await GetDtmfTask(num_digits=DIGITS)
        return f"the number is {taken.user_input}"

    @function_tool
    async def to_front(self, context: RunContext[Any]) -> Agent:
        """Has the front go on."""
        return self.front


TOOLS = {"the desk": "to_desk", "the front": "to_front", "my number": "take_number"}


def script(context: llm.ChatContext) -> Any:
    system = [item.text_content for item in context.items if item.type == "message" and item.role == "system"]
    name = next((text for text in system if text in ("front", "desk")), "task")
    items = [item for item in context.items if not (item.type == "message" and item.role == "system")]
    last = items[-1] if items else None
    if name == "task":
        return "please type it"
    if last is not None and last.type == "function_call_output" and last.name == "take_number":
        return last.output
    if last is not None and last.type == "message" and last.role == "user":
        words = last.text_content or ""
        if words in TOOLS:
            return (TOOLS[words], {})
        if words.startswith("handoff "):
            return ["one moment", ("handoff", {"to": words.split()[1], "reason": "the caller asks for it"})]
        return f"the {name} hears {words}"
    return f"hello, this is the {name}"


async def hum() -> AsyncIterator[rtc.AudioFrame]:
    rate = 48_000
    samples = tone("x" * 20, BACKGROUND_HZ, rate)
    while True:
        yield rtc.AudioFrame(samples, rate, 1, len(samples) // 2)


@server.rtc_session(agent_name=NAME)
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession[None](llm=ScriptedLLM(script), tts=ToneTTS(VOICE_HZ))
    for event in EVENTS:
        session.on(event, lambda _, event=event: tell("event", name=event))  # type: ignore[arg-type]
    background = BackgroundAudioPlayer(ambient_sound=AudioConfig(hum(), volume=0.3))
    part = await baton.start(session, agent=Front(), ctx=ctx)  # Baton
    assert part is not None
    linked = session.room_io.linked_participant
    tell("linked", identity=linked.identity if linked is not None else None)
    await background.start(room=ctx.room, agent_session=session)
    ctx.room.on("sip_dtmf_received", lambda digit: tell("digit", digit=digit.digit))

    @session.on("conversation_item_added")
    def _(event: Any) -> None:
        if event.item.type == "message":
            tell("item", id=event.item.id, role=event.item.role, text=event.item.text_content)

    async def on_data(reader: Any, _: str) -> None:
        """What a test has the caller say, in text."""
        words = await reader.read_all()
        if part.call.hears:
            session.generate_reply(user_input=words)

    ctx.room.register_text_stream_handler("test.says", lambda reader, who: asyncio.create_task(on_data(reader, who)))

    async def ended(reason: str) -> None:
        await background.aclose()
        tell("ended", reason=reason)

    ctx.add_shutdown_callback(ended)


if __name__ == "__main__":
    cli.run_app(server)
