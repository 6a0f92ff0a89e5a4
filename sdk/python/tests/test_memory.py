"""What a specialist knows of conversation and state."""

import hashlib
import json

import pytest

from baton.bodies import ContextItem
from baton.memory import Memory, MemoryMismatchError, difference, merged


def item(id: str, text: str, position: int | None = None) -> ContextItem:
    return ContextItem(id, position, text.encode(), "livekit", b'{"id": "' + id.encode() + b'"}')


def test_the_hash_runs_over_all_entries_and_a_known_id_replaces_the_item() -> None:
    memory = Memory()
    assert (memory.position, memory.hash) == (0, bytes(32))
    first, second, again = item("a", "one", 1), item("b", "two", 2), item("a", "one and a half", 3)
    memory.take((first, second))
    memory.take((again,))
    expected = bytes(32)
    for each in (first, second, again):
        sha = hashlib.sha256()
        for part in (each.id.encode(), each.chat_item, each.framework.encode(), each.framework_json):
            sha.update(len(part).to_bytes(8, "big") + part)
        expected = hashlib.sha256(expected + sha.digest()).digest()
    assert (memory.position, memory.hash) == (3, expected)
    assert [each.chat_item for each in memory.items] == [b"one and a half", b"two"]


def test_position_1_starts_anew_and_keeps_what_the_specialist_has_said_itself() -> None:
    memory = Memory()
    memory.take((item("a", "one", 1), item("b", "two", 2)))
    memory.wrote(item("own", "mine"))
    memory.take((item("c", "three", 1),))
    assert memory.position == 1
    assert [each.id for each in memory.items] == ["own", "c"]


def test_a_gap_is_an_error_and_changes_nothing() -> None:
    memory = Memory()
    memory.take((item("a", "one", 1),))
    with pytest.raises(MemoryMismatchError, match="entry 3 came after entry 1"):
        memory.take((item("c", "three", 3),))
    assert memory.position == 1


def test_the_state_follows_merge_patches() -> None:
    memory = Memory()
    memory.replace_state(b'{"name": "Ada", "card": {"last4": "1234"}}', 4)
    memory.merge(b'{"card": {"last4": null, "kind": "debit"}}', 6)
    assert (memory.state, memory.state_version) == ({"name": "Ada", "card": {"kind": "debit"}}, 6)
    memory.state["name"] = "somebody else"
    assert memory.state["name"] == "Ada", "it is a copy"
    for nonsense in (b"[]", b"{", b"\xff"):
        with pytest.raises(MemoryMismatchError):
            memory.merge(nonsense, 7)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"a": 1}),
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 2, "d": 4}}),
        ({"a": {"b": 1}}, {"a": 5}),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}),
        ({"a": True}, {"a": 1}),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_a_difference_makes_one_document_of_the_other(before: dict[str, object], after: dict[str, object]) -> None:
    patch = difference(before, after)
    assert json.dumps(merged(before, patch), sort_keys=True) == json.dumps(after, sort_keys=True)
    assert (patch == {}) == (json.dumps(before) == json.dumps(after))
