"""The messages of Pipecat's `LLMContext`, as they travel, and back.

A message travels as one item; one of the assistant's that calls tools as one item for each call. Ids are kept by the
object: Pipecat's messages have none.
"""

import copy
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from livekit.protocol.agent_pb import agent_session as pb

from baton.bodies import ContextItem

FRAMEWORK = "pipecat"
"""Of the JSON that travels beside an item: the message, or the call, as Pipecat has it."""
IN_PROGRESS = "IN_PROGRESS"
"""What Pipecat has in place of a result that is not there yet."""

_OPEN = (IN_PROGRESS, json.dumps(IN_PROGRESS))
_CHANGING_MAX = 16
"""How many of the last messages may still change, beside results that are not there yet."""
_ROLES = {"developer": pb.DEVELOPER, "system": pb.SYSTEM, "user": pb.USER, "assistant": pb.ASSISTANT}
_NAMES = {number: name for name, number in _ROLES.items()}


class Mirror:
    """Which messages Baton has, and in which form."""

    def __init__(self) -> None:
        self._messages: dict[int, tuple[Any, str, str]] = {}
        self._of_items: dict[str, Any] = {}
        self._groups: dict[int, str] = {}
        self._created: dict[str, float] = {}
        self._calls: dict[str, str] = {}
        self._begun: set[str] = set()
        self._open: set[int] = set()
        self._delegated: set[str] = set()
        self._last: Any = None

    def mark(self, messages: list[Any]) -> None:
        """What others have said comes behind these, though it arrives later."""
        self._last = messages[-1] if messages else None

    def begun(self, call: str, name: str, arguments: Mapping[str, Any]) -> ContextItem | None:
        """A call that begins, which the messages will have later; `None` if that is known already."""
        if call in self._begun:
            return None
        self._begun.add(call)
        self._calls[call] = name
        function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
        native = {"id": call, "function": function, "type": "function"}
        return _called(f"item_{uuid.uuid4().hex[:12]}/{call}", native, time.time())

    def delegated(self, call: str) -> None:
        """What the context has as the result of this call stands in for one that comes from Baton."""
        self._delegated.add(call)

    def failed(self, call: str, error: str, messages: list[Any]) -> None:
        """Baton gives this call no result."""
        self._delegated.discard(call)
        for message in messages:
            if _is_result(message) and message["tool_call_id"] == call:
                message["content"] = json.dumps({"error": error})
                self._messages.pop(id(message), None)

    def own(self, message: dict[str, Any]) -> None:
        """This message does not travel."""
        self._messages[id(message)] = (message, f"item_{uuid.uuid4().hex[:12]}", json.dumps(message, sort_keys=True))

    def news(self, messages: list[Any]) -> list[ContextItem]:
        """What Baton has not, or has in another form."""
        news: list[ContextItem] = []
        settled = len(messages) - _CHANGING_MAX
        for at, message in enumerate(messages):
            known = self._messages.get(id(message))
            is_known = known is not None and known[0] is message
            if is_known and at < settled and id(message) not in self._open:
                continue
            form = json.dumps(message, sort_keys=True, default=str)
            if known is not None and is_known and known[2] == form:
                continue
            item = known[1] if known is not None and is_known else f"item_{uuid.uuid4().hex[:12]}"
            # The message itself is kept, so that no other one gets its identity.
            self._messages[id(message)] = (message, item, form)
            self._of_items[item] = message
            if isinstance(message, dict):
                if _is_result(message) and _text(message.get("content")) in _OPEN:
                    self._open.add(id(message))
                else:
                    self._open.discard(id(message))
                news += self._encode(item, message)
        return news

    def take(self, items: tuple[ContextItem, ...], messages: list[Any]) -> list[Any]:
        """The messages with items of others in their places: replaced, or at the end."""
        result = list(messages)
        for item in items:
            message = decode(item)
            if message is None:
                continue
            previous = self._of_items.get(item.id)
            place = None if previous is None else next((at for at, each in enumerate(result) if each is previous), None)
            if previous is not None and place is None:
                # The pipeline has thrown it away since, as a flow does that begins its context anew.
                continue
            end = self._end(result)
            last = result[end - 1] if end else None
            if place is None and _is_result(message):
                # Baton has one result for each call: it stands for what a function has given meanwhile.
                call = message["tool_call_id"]
                self._delegated.discard(call)
                stands = (at for at, each in enumerate(result) if _is_result(each) and each["tool_call_id"] == call)
                place = next(stands, None)
            if place is not None:
                result[place] = message
            elif isinstance(last, dict) and self._together(last, message, item):
                last["tool_calls"] += message["tool_calls"]
                message = last
            else:
                place = self._place(message, result)
                result.insert(place, message)
            self._messages[id(message)] = (message, item.id, json.dumps(message, sort_keys=True, default=str))
            self._of_items[item.id] = message
            if "tool_calls" in message:
                self._groups[id(message)] = _group(item)
        return result

    def _together(self, last: dict[str, Any], message: dict[str, Any], item: ContextItem) -> bool:
        """Whether they are calls of one answer of the model, which Pipecat has in one message."""
        if "tool_calls" not in last or "tool_calls" not in message:
            return False
        group = _group(item)
        return bool(group) and self._groups.get(id(last)) == group

    def _end(self, messages: list[Any]) -> int:
        """Behind what others have said: what was said since the mark comes after it."""
        if self._last is None:
            return len(messages)
        return next((at + 1 for at, each in enumerate(messages) if each is self._last), len(messages))

    def _place(self, message: dict[str, Any], messages: list[Any]) -> int:
        """Where a message of others goes. A result goes behind its call, which a model's service takes in no other place, though
        a sentence may have come in between."""
        if message.get("role") == "tool":
            for at in range(len(messages) - 1, -1, -1):
                if _calls(messages[at], message["tool_call_id"]):
                    while at + 1 < len(messages) and _is_result(messages[at + 1]):
                        at += 1
                    return at + 1
        end = self._end(messages)
        if self._last is not None:
            self._last = message
        return end

    def _encode(self, item: str, message: dict[str, Any]) -> list[ContextItem]:
        role, content = message.get("role"), message.get("content")
        created = self._created.setdefault(item, time.time())
        if role == "tool":
            return self._encode_result(item, message, created)
        items = []
        text = _text(content)
        if role in _ROLES and (text or not message.get("tool_calls")):
            chat = pb.ChatContext.ChatItem()
            chat.message.id = item
            chat.message.role = _ROLES[role]
            chat.message.content.add(text=text)
            chat.message.created_at.CopyFrom(_stamp(created))
            items.append(_item(item, chat, {key: message[key] for key in message if key != "tool_calls"}))
        for call in message.get("tool_calls") or ():
            if call["id"] not in self._begun:
                self._calls[call["id"]] = call["function"]["name"]
                items.append(_called(f"{item}/{call['id']}", call, created))
        return items

    def _encode_result(self, item: str, message: dict[str, Any], created: float) -> list[ContextItem]:
        output = _text(message.get("content"))
        if output in _OPEN:
            return []
        call = str(message.get("tool_call_id", ""))
        if call in self._delegated:
            return []
        chat = pb.ChatContext.ChatItem()
        chat.function_call_output.id = item
        chat.function_call_output.call_id = call
        chat.function_call_output.name = self._calls.get(call, "")
        chat.function_call_output.output = output
        chat.function_call_output.is_error = False
        chat.function_call_output.created_at.CopyFrom(_stamp(created))
        return [_item(item, chat, message)]


def decode(item: ContextItem) -> dict[str, Any] | None:
    """An item as a message; `None` for what Pipecat has no message for, such as a handoff."""
    chat = pb.ChatContext.ChatItem.FromString(item.chat_item)
    match chat.WhichOneof("item"):
        case "message":
            if item.framework == FRAMEWORK:
                own: dict[str, Any] = json.loads(item.framework_json)
                return own
            text = "\n".join(part.text for part in chat.message.content)
            return {"role": _NAMES[chat.message.role], "content": text}
        case "function_call":
            call = chat.function_call
            function = {"name": call.name, "arguments": call.arguments}
            return {
                "role": "assistant",
                "tool_calls": [{"id": call.call_id, "type": "function", "function": function}],
            }
        case "function_call_output":
            output = chat.function_call_output
            return {"role": "tool", "tool_call_id": output.call_id, "content": output.output}
        case _:
            return None


def _group(item: ContextItem) -> str:
    """What calls of one answer have in common."""
    if item.framework == FRAMEWORK:
        return item.id.rpartition("/")[0]
    try:
        native = json.loads(item.framework_json)
    except ValueError:
        return ""
    return str(native.get("group_id") or "") if isinstance(native, dict) else ""


def _calls(message: Any, call: str) -> bool:
    return isinstance(message, dict) and any(each["id"] == call for each in message.get("tool_calls") or ())


def _is_result(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "tool"


def _called(id: str, call: dict[str, Any], created: float) -> ContextItem:
    chat = pb.ChatContext.ChatItem()
    chat.function_call.id = id
    chat.function_call.call_id = call["id"]
    chat.function_call.name = call["function"]["name"]
    chat.function_call.arguments = call["function"]["arguments"]
    chat.function_call.created_at.CopyFrom(_stamp(created))
    return _item(id, chat, call)


def _item(id: str, chat: Any, native: dict[str, Any]) -> ContextItem:
    try:
        framework, framework_json = FRAMEWORK, json.dumps(native, allow_nan=False).encode()
    except (TypeError, ValueError):
        framework, framework_json = "", b""
    return ContextItem(id, None, chat.SerializeToString(deterministic=True), framework, framework_json)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else json.dumps(copy.copy(content), default=str)


def _stamp(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(int(seconds * 1e9))
    return stamp
