"""The parts of the adapter that need no server."""

import json
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import pytest
from livekit.agents import llm
from pydantic import BaseModel, Field

from baton.livekit_agents.items import Outgoing, decode, encode
from baton.shared import Local, Mirror, NotMirrorableError, StateFieldError
from baton.specialist import UnserialisableError

ITEMS: list[llm.ChatItem] = [
    llm.ChatMessage(role="user", content=["Guten Morgen, é漢🙂"], transcript_confidence=0.75),
    llm.ChatMessage(role="assistant", content=["Wie kann ich"], interrupted=True, extra={"model": "scripted"}),
    llm.FunctionCall(call_id="call_1", name="look_up", arguments='{"number": 1}', group_id="answer_1"),
    llm.FunctionCallOutput(call_id="call_1", name="look_up", output='{"name": "Ada"}', is_error=False),
    llm.FunctionCallOutput(call_id="call_2", name="pay", output="no", is_error=True),
    llm.AgentHandoff(old_agent_id="triage", new_agent_id="billing"),
    llm.AgentConfigUpdate(instructions="You take payments.", tools_added=["pay"]),
]


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.type)
def test_an_item_comes_back_as_it_was(item: llm.ChatItem) -> None:
    back = decode(encode(item))
    assert back is not None
    assert back.model_dump() == item.model_dump()


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.type)
def test_what_all_frameworks_have_survives_without_the_json(item: llm.ChatItem) -> None:
    back = decode(replace(encode(item), framework="", framework_json=b""))
    assert back is not None
    same = ("id", "type", "role", "content", "interrupted", "call_id", "name", "arguments", "output", "is_error")
    for name in (name for name in same if hasattr(item, name)):
        assert getattr(back, name) == getattr(item, name), name
    assert back.created_at == pytest.approx(item.created_at, abs=1e-6)


def test_an_item_is_sent_once_and_again_when_it_has_changed() -> None:
    outgoing = Outgoing()
    message = llm.ChatMessage(role="assistant", content=["Wie kann ich Ihnen helfen?"])
    assert [item.id for item in outgoing.news([message])] == [message.id]
    assert outgoing.news([message]) == []
    message.content = ["Wie kann ich"]
    message.interrupted = True
    (again,) = outgoing.news([message])
    assert json.loads(again.framework_json)["interrupted"] is True
    outgoing.known(other := llm.ChatMessage(role="user", content=["Rechnung"]))
    assert outgoing.news([message, other]) == []


@dataclass
class Caller:
    name: str = ""
    verified: bool = False
    notes: list[str] = field(default_factory=list)
    client: Annotated[Any, Local] = None
    _private: int = 0


class Account(BaseModel):
    number: str = ""
    balance_cents: int = 0
    handle: object = Field(default=None, exclude=True)


def test_a_mirror_shares_what_has_changed_and_nothing_that_is_local() -> None:
    caller = Caller(client=object())
    mirror = Mirror(caller)
    assert mirror.fields == {"name", "verified", "notes"}
    mirror.apply({"name": "Ada", "of_others": 1})
    assert caller.name == "Ada"
    assert mirror.changes() == {"verified": False, "notes": []}
    mirror.shared(mirror.changes())
    caller.verified = True
    assert mirror.changes() == {"verified": True}
    assert Mirror(Account(handle=object())).fields == {"number", "balance_cents"}


def test_a_mirror_says_what_is_wrong() -> None:
    with pytest.raises(NotMirrorableError, match="give a dataclass or a pydantic model"):
        Mirror({"name": "Ada"})
    with pytest.raises(StateFieldError, match="'verified'"):
        Mirror(Caller()).apply({"verified": "perhaps"})
    caller = Caller()
    caller.notes = [object()]  # type: ignore[list-item]
    with pytest.raises(UnserialisableError, match=r"Caller\.notes cannot be shared.*mark it as local"):
        Mirror(caller).snapshot()
