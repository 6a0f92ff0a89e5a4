"""A worker of LiveKit Agents that knows nothing of Baton: it has LiveKit's packages, and services that follow a script."""

import asyncio
import json
import os
import sys
from typing import Any

# The folder above has what all agents of the tests share.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from livekit import rtc
from livekit.agents import (
    Agent,
    AgentSession,
    JobContext,
    RunContext,
    cli,
    function_tool,
    llm,
)
from livekit.plugins import silero
from scripted import ClipSTT, ScriptedLLM, ToneTTS
from serving import serving
from telling import tell

NAME = "concierge"
HZ = int(os.environ.get("AGENT_HZ", "440"))
LENGTHS = json.loads(os.environ["AGENT_CLIPS"])

server = serving()


class Concierge(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You know the house.")

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="greet")

    @function_tool
    async def look_up(self, context: RunContext[None], what: str) -> str:
        """Looks something up.

        Args:
            what: What.
        """
        return f"all about {what}"


def script(context: llm.ChatContext) -> Any:
    items = [item for item in context.items if not (item.type == "message" and item.role == "system")]
    last = items[-1] if items else None
    if last is not None and last.type == "function_call_output":
        return f"I found {last.output}"
    if last is not None and last.type == "message" and last.role == "user":
        words = last.text_content or ""
        return ("look_up", {"what": "rooms"}) if "question" in words else f"you said {words}"
    return "hello, this is the concierge"


@server.rtc_session(agent_name=NAME)
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession[None](
        llm=ScriptedLLM(script), tts=ToneTTS(HZ), stt=ClipSTT(LENGTHS), vad=silero.VAD.load()
    )

    @session.on("conversation_item_added")
    def _(event: Any) -> None:
        item = event.item
        if item.type == "message":
            tell("item", id=item.id, role=item.role, text=item.text_content)

    @ctx.room.on("sip_dtmf_received")
    def _(digit: rtc.SipDTMF) -> None:
        tell("digit", digit=digit.digit)

    await ctx.connect()
    await session.start(Concierge(), room=ctx.room)
    user = await ctx.wait_for_participant()
    sip = user.kind == rtc.ParticipantKind.PARTICIPANT_KIND_SIP
    tell("started", identity=user.identity, sip=sip, number=user.attributes.get("sip.phoneNumber"))
    tell("modules", baton=any(name.partition(".")[0] == "baton" for name in sys.modules))

    async def watch() -> None:
        before = None
        while True:
            now = (session.input.audio_enabled, session.output.audio_enabled)
            if now != before:
                before = now
                tell("audio", input=now[0], output=now[1])
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())

    async def ended(reason: str) -> None:
        watching.cancel()
        tell("ended", reason=reason)

    ctx.add_shutdown_callback(ended)


if __name__ == "__main__":
    cli.run_app(server)
