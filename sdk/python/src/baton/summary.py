"""What a model needs to sum a conversation up for the one who takes over: for every framework the same."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from livekit.protocol.agent_pb import agent_session as pb

from baton.bodies import ContextItem

INSTRUCTIONS = (
    "Sum up this conversation of a phone call for the colleague who takes the caller over: who the caller is, what the caller wants, what was "
    "found out and done, what is still open. Keep names, numbers and dates as they were said. A few plain sentences, and nothing else."
)
"""What the model is told."""

Summarize = Callable[[], Awaitable[str | None]]
"""Makes a summary of the conversation; `None` for none."""


def transcript(items: Sequence[ContextItem]) -> str:
    """The conversation as plain text, a line for each thing said or done. Instructions are left out; empty if there is nothing else."""
    return "\n".join(line for item in items if (line := _line(item)))


def _line(item: ContextItem) -> str:
    chat: Any = pb.ChatContext.ChatItem.FromString(item.chat_item)
    match chat.WhichOneof("item"):
        case "message" if chat.message.role in (pb.USER, pb.ASSISTANT):
            who = "caller" if chat.message.role == pb.USER else "agent"
            said = " ".join(part.text for part in chat.message.content if part.text)
            return f"{who}: {said}" if said else ""
        case "function_call":
            return f"call of {chat.function_call.name}: {chat.function_call.arguments}"
        case "function_call_output":
            kind = "error" if chat.function_call_output.is_error else "result"
            return f"{kind} of {chat.function_call_output.name}: {chat.function_call_output.output}"
        case _:
            return ""
