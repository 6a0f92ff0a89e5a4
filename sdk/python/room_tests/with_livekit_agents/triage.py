"""A worker of LiveKit Agents that finds out what the caller wants. The lines that Baton needs are marked."""

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass, field
from typing import Annotated, Any

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
from livekit.agents.beta.tools import EndCallTool
from livekit.plugins import silero
from scripted import ClipSTT, EarSTT, ScriptedLLM, ToneTTS
from serving import serving
from telling import ALOUD, described, tell, tell_context

from baton import BatonError
from baton import livekit_agents as baton  # Baton
from baton.livekit_agents.items import encode
from baton.metadata import DispatchMetadata
from baton.summary import INSTRUCTIONS

NAME = os.environ.get("AGENT_NAME", "triage")
DELEGATES = json.loads(os.environ.get("AGENT_DELEGATES", "null"))
HZ = int(os.environ.get("AGENT_HZ", "440"))
LENGTHS = json.loads(os.environ.get("AGENT_CLIPS", "{}"))
EAR = "AGENT_EAR" in os.environ
SENTENCES = json.loads(os.environ.get("AGENT_SENTENCES", "{}"))
"""What it understands under the name of one who has a real ear."""

server = serving()


@dataclass
class Caller:
    name: str = ""
    verified: bool = False
    notes: list[str] = field(default_factory=list)
    client: Annotated[Any, baton.Local] = None  # Baton


class Triage(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You find out what the caller wants.", tools=[EndCallTool(end_instructions=None)])

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="greet")

    @function_tool
    async def look_up(self, context: RunContext[Caller], number: str) -> str:
        """Looks up who calls.

        Args:
            number: The phone number.
        """
        context.userdata.name = "Ada"
        context.userdata.verified = True
        return json.dumps({"name": "Ada", "number": number})


def script(context: llm.ChatContext) -> Any:
    if context.items and context.items[0].type == "message" and context.items[0].text_content == INSTRUCTIONS:
        return f"the sum of {len((context.items[1].text_content or '').splitlines())} lines"  # type: ignore[union-attr]
    items = [item for item in context.items if not (item.type == "message" and item.role == "system")]
    last = items[-1] if items else None
    task = next((item.text_content for item in context.items if item.id == "baton/task" and item.type == "message"), None)
    if task is not None and (last is None or last.type != "message" or last.role != "user"):
        return f"I was told: {task}"
    outputs = [item for item in items if item.type == "function_call_output" and item.name == "delegate"]
    if outputs and last is not None and last.type == "agent_handoff" and "takes it up" not in outputs[-1].output:
        return f"the tool said {len(outputs[-1].output)} characters"
    if last is not None and last.type == "function_call_output":
        if "takes over" in last.output:
            return f"hello, this is {NAME}"
        return f"the tool said {len(last.output)} characters"
    if last is not None and last.type == "message" and last.role == "user":
        words = last.text_content or ""
        if "who am i" in words:
            return ("look_up", {"number": "+15550123"})
        if words == "good bye":
            return ["good bye", ("end_call", {})]
        if words.startswith("delegate "):
            return ["one moment", ("delegate", {"to": words.split()[1], "task": "find out who it is"})]
        if words.startswith("complete "):
            return ("complete_task", {"result": words.split()[1]})
        if words.startswith("handoff "):
            said = ALOUD["triage"] if words.endswith(" aloud") else "one moment"
            return [said, ("handoff", {"to": words.split()[1], "reason": "the caller asks for it"})]
        return f"you said {words}"
    return f"hello, this is {NAME}"


@server.rtc_session(agent_name=NAME)
async def entrypoint(ctx: JobContext) -> None:
    caller = Caller()
    lengths = SENTENCES if DispatchMetadata.parse(ctx.job.metadata).baton.specialist.startswith("ears") else LENGTHS
    holds: list[Any] = []
    session = AgentSession[Caller](
        llm=ScriptedLLM(script, lambda: tell("asked", holds=[each() for each in holds], at=time.time())),
        tts=ToneTTS(HZ),
        stt=ClipSTT(lengths) if lengths else EarSTT() if EAR else None,
        vad=silero.VAD.load() if lengths else None,
        userdata=caller,
    )

    async def hydrate(state: dict[str, Any]) -> None:
        caller.client = object()
        tell("hydrated", state=state)

    part = await baton.start(session, agent=Triage(), ctx=ctx, delegates=DELEGATES, share=caller, hydrate=hydrate)  # Baton
    assert part is not None
    holds.append(lambda: part.call.holds)
    offered = [*session.current_agent.tools, *session.tools]
    tell("started", tools=[tool.info.name for tool in offered if hasattr(tool, "info")])

    def own(items: list[dict[str, Any]]) -> list[str]:
        """The session's history beside Baton's items."""
        history = {item.id: described(encode(item).chat_item) for item in session.history.items}
        # A call whose result is not there yet is only Baton's.
        ended = {item["call_id"] for item in items if item["kind"] == "function_call_output"}
        wanted = {item["id"]: item for item in items if item.get("call_id") in ended or "call_id" not in item}
        return [
            f"{history.get(id)} and not {wanted.get(id)}"
            for id in history | wanted
            if not same(history.get(id), wanted.get(id))
        ]

    context = asyncio.create_task(tell_context(part.call, own))

    async def ended(reason: str) -> None:
        context.cancel()
        tell("ended", reason=reason)

    ctx.add_shutdown_callback(ended)

    @session.on("conversation_item_added")
    def _(event: Any) -> None:
        item = event.item
        if item.type == "message":
            tell("item", id=item.id, role=item.role, text=item.text_content, interrupted=item.interrupted)

    async def on_data(reader: Any, _: str) -> None:
        """What a test has the caller say, in text."""
        words = await reader.read_all()
        if not part.call.hears:
            return
        if words == "stop":
            session.interrupt()
        elif words.startswith("share "):
            # What no colleague may have, or can.
            setattr(caller, words.split()[1], [object()] if words.endswith(" badly") else ["x"])
            try:
                await part.share()
            except BatonError as error:
                tell("error", type=type(error).__name__, text=str(error), notes=str(caller.notes))
        else:
            session.generate_reply(user_input=words)

    ctx.room.register_text_stream_handler("test.says", lambda reader, who: asyncio.create_task(on_data(reader, who)))


def same(one: dict[str, Any] | None, two: dict[str, Any] | None) -> bool:
    """A time is a float here, which is exact to some hundred nanoseconds."""
    if one is None or two is None:
        return False
    apart = abs(one.get("created_at", 0) - two.get("created_at", 0))
    return {**one, "created_at": 0} == {**two, "created_at": 0} and apart < 1_000


if __name__ == "__main__":
    cli.run_app(server)
