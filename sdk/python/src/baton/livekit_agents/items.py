"""The items of LiveKit's chat context, as they travel, and back."""

import json
from typing import Any

from livekit.agents import llm
from livekit.agents._proto import encode_chat_item
from livekit.protocol.agent_pb import agent_session as pb
from pydantic import TypeAdapter

from baton.bodies import ContextItem

FRAMEWORK = "livekit"
"""Of the JSON that travels beside an item: `model_dump`, seconds and snake case."""

_ITEM: TypeAdapter[Any] = TypeAdapter(llm.ChatItem)
_ROLES: dict[int, llm.ChatRole] = {pb.DEVELOPER: "developer", pb.SYSTEM: "system", pb.USER: "user", pb.ASSISTANT: "assistant"}


def encode(item: llm.ChatItem) -> ContextItem:
    """An item on its way to Baton. What is no JSON, such as a frame of video, travels as what LiveKit's protobuf has of it."""
    try:
        framework, framework_json = FRAMEWORK, json.dumps(item.model_dump(mode="json")).encode()
    except Exception:
        framework, framework_json = "", b""
    return ContextItem(
        id=item.id,
        position=None,
        chat_item=encode_chat_item(item).SerializeToString(deterministic=True),
        framework=framework,
        framework_json=framework_json,
    )


def decode(item: ContextItem) -> llm.ChatItem | None:
    """An item from Baton; `None` if it is of a kind that this version of LiveKit Agents does not know."""
    if item.framework == FRAMEWORK:
        try:
            decoded: llm.ChatItem = _ITEM.validate_json(item.framework_json)
            return decoded
        except ValueError:
            pass
    message = pb.ChatContext.ChatItem.FromString(item.chat_item)
    kind = message.WhichOneof("item")
    if kind is None:
        return None
    of_kind = getattr(message, kind)
    fields: dict[str, Any] = {"id": of_kind.id or item.id}
    if of_kind.HasField("created_at"):
        fields["created_at"] = of_kind.created_at.ToNanoseconds() / 1e9
    match kind:
        case "message":
            return llm.ChatMessage(
                role=_ROLES[of_kind.role],
                content=[part.text for part in of_kind.content],
                interrupted=of_kind.interrupted,
                extra=dict(of_kind.extra),
                **fields,
            )
        case "function_call":
            # Calls of one answer have the answer's id before their own where the framework has one message for them.
            group = item.id.rpartition("/")[0] or None
            return llm.FunctionCall(
                call_id=of_kind.call_id, name=of_kind.name, arguments=of_kind.arguments, group_id=group, **fields
            )
        case "function_call_output":
            return llm.FunctionCallOutput(
                call_id=of_kind.call_id,
                name=of_kind.name,
                output=of_kind.output,
                is_error=of_kind.is_error,
                **fields,
            )
        case "agent_handoff":
            old = of_kind.old_agent_id if of_kind.HasField("old_agent_id") else None
            return llm.AgentHandoff(old_agent_id=old, new_agent_id=of_kind.new_agent_id, **fields)
        case "agent_config_update":
            return llm.AgentConfigUpdate(
                instructions=of_kind.instructions if of_kind.HasField("instructions") else None,
                tools_added=list(of_kind.tools_added),
                tools_removed=list(of_kind.tools_removed),
                **fields,
            )
        case _:
            return None


class Outgoing:
    """Which items of a session Baton has, and in which form."""

    def __init__(self) -> None:
        self._sent: dict[str, bytes] = {}

    def known(self, item: llm.ChatItem) -> None:
        """Baton has it already."""
        self._sent[item.id] = _form(item)

    def news(self, items: list[llm.ChatItem]) -> list[ContextItem]:
        """What Baton has not, or has in another form. Items of long ago do not change: the last few are looked at."""
        news = []
        for index, item in enumerate(items):
            if index < len(items) - _CHANGING_MAX and item.id in self._sent:
                continue
            form = _form(item)
            if self._sent.get(item.id) != form:
                self._sent[item.id] = form
                news.append(encode(item))
        return news


_CHANGING_MAX = 16
"""How many of the last items may still change."""


def _form(item: llm.ChatItem) -> bytes:
    return item._fingerprint() + bytes([getattr(item, "interrupted", False)])
