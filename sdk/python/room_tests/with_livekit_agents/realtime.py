"""A worker of LiveKit Agents whose model hears and speaks by itself. The lines that Baton needs are marked."""

import os
import sys
from typing import Any

# The folder above has what all agents of the tests share.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from livekit.agents import (
    Agent,
    AgentSession,
    JobContext,
    RunContext,
    cli,
    function_tool,
    llm,
)
from scripted_realtime import ScriptedRealtime
from serving import serving
from telling import tell

from baton import livekit_agents as baton  # Baton

NAME = "realtime"
VOICE_HZ = 440
LATENCY_SECS = 1.5
"""How long after the caller's turn its answer comes."""
LOOK_UP, HAND_OFF, TALK = 600, 900, 1_200
"""The pitches of what the caller says."""

server = serving()


class Realtime(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You are quick.")

    @function_tool
    async def look_up(self, context: RunContext[Any]) -> str:
        """Looks up who calls."""
        tell("looked_up")
        return "Ada"


def script(context: llm.ChatContext) -> Any:
    last = context.items[-1] if context.items else None
    if last is not None and last.type == "function_call_output":
        return f"it is {last.output}"
    if last is not None and last.type == "message":
        words = last.text_content or ""
        if last.role == "system" and words.startswith("Say exactly this"):
            return words.partition(": ")[2]
        if words.endswith(str(LOOK_UP)):
            return ("look_up", {})
        if words.endswith(str(HAND_OFF)):
            return ["one moment", ("handoff", {"to": "billing", "reason": "the caller asks for it"})]
        if last.role == "user":
            return f"you said {words}"
    return "hello, this is quick"


@server.rtc_session(agent_name=NAME)
async def entrypoint(ctx: JobContext) -> None:
    parts: list[baton.Participation] = []
    model = ScriptedRealtime(
        script, VOICE_HZ, LATENCY_SECS, lambda why: tell("asked", why=why, holds=[part.call.holds for part in parts])
    )
    session = AgentSession[None](llm=model)

    @session.on("conversation_item_added")
    def _(event: Any) -> None:
        if event.item.type == "message":
            tell("item", id=event.item.id, role=event.item.role, text=event.item.text_content)

    @session.on("user_input_transcribed")
    def _(event: Any) -> None:
        if event.is_final:
            tell("heard", text=event.transcript)

    part = await baton.start(session, agent=Realtime(), ctx=ctx)  # Baton
    assert part is not None
    parts.append(part)

    async def ended(reason: str) -> None:
        tell("ended", reason=reason)

    ctx.add_shutdown_callback(ended)


if __name__ == "__main__":
    cli.run_app(server)
