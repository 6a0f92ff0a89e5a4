"""Pipecat's messages as they travel, and back."""

from typing import Any

from livekit.protocol.agent_pb import agent_session as pb

from baton.bodies import ContextItem
from baton.kit.checks import call, message
from baton.pipecat.messages import Mirror


def described(item: ContextItem) -> tuple[str | None, str]:
    chat = pb.ChatContext.ChatItem.FromString(item.chat_item)
    return chat.WhichOneof("item"), item.id


def test_messages_are_sent_once_with_calls_as_items_of_their_own() -> None:
    mirror = Mirror()
    called: dict[str, Any] = {
        "role": "assistant",
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "pay", "arguments": '{"cents": 1}'}},
            {"id": "call_2", "type": "function", "function": {"name": "look_up", "arguments": "{}"}},
        ],
    }
    waiting = {"role": "tool", "tool_call_id": "call_1", "content": "IN_PROGRESS"}
    messages: list[Any] = [{"role": "user", "content": "I pay"}, called, waiting]
    news = mirror.news(messages)
    assert [kind for kind, _ in map(described, news)] == ["message", "function_call", "function_call"]
    assert mirror.news(messages) == []
    waiting["content"] = '{"paid": 1}'
    (result,) = mirror.news(messages)
    chat = pb.ChatContext.ChatItem.FromString(result.chat_item)
    assert (chat.function_call_output.name, chat.function_call_output.output) == ("pay", '{"paid": 1}')


def test_what_others_said_is_put_in_its_place_and_not_sent_back() -> None:
    mirror = Mirror()
    first = message("item_1", "assistant", "Good morning, how can I help you")
    messages = mirror.take((message("item_0", "user", "Hello?"), first, *call("c", "r", "look_up", "{}", "Ada")), [])
    assert [each["role"] for each in messages] == ["user", "assistant", "assistant", "tool"]
    assert messages[2]["tool_calls"][0]["id"] == messages[3]["tool_call_id"]
    messages = mirror.take((message("item_1", "assistant", "Good morning", interrupted=True),), messages)
    assert messages[1] == {"role": "assistant", "content": "Good morning"}
    assert mirror.news(messages) == []
    messages.append({"role": "assistant", "content": "mine"})
    assert len(mirror.news(messages)) == 1


def test_an_item_is_replaced_as_often_as_it_changes_and_stays_away_when_it_was_thrown_away() -> None:
    mirror = Mirror()
    messages = mirror.take((message("item_1", "assistant", "Good morning, how can I"), message("item_2", "user", "Hello")), [])
    for words in ("Good morning, how", "Good morning"):
        messages = mirror.take((message("item_1", "assistant", words, interrupted=True),), messages)
        assert [each["content"] for each in messages] == [words, "Hello"]
    # A flow begins its context anew.
    del messages[0]
    assert mirror.take((message("item_1", "assistant", "Good", interrupted=True),), messages) == messages


def test_a_result_that_comes_late_is_sent_however_much_was_said_since() -> None:
    mirror = Mirror()
    called: dict[str, Any] = {
        "role": "assistant",
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}],
    }
    waiting = {"role": "tool", "tool_call_id": "call_1", "content": "IN_PROGRESS"}
    messages: list[Any] = [called, waiting, *({"role": "user", "content": str(each)} for each in range(100))]
    assert len(mirror.news(messages)) == 101
    waiting["content"] = "Ada"
    assert [described(item)[0] for item in mirror.news(messages)] == ["function_call_output"]
    assert mirror.news(messages) == []


def test_own_items_come_back_from_baton_as_they_were() -> None:
    theirs: list[Any] = [
        {"role": "user", "content": "é漢🙂"},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "a", "arguments": "{}"}},
                {"id": "call_2", "type": "function", "function": {"name": "b", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "1"},
        {"role": "tool", "tool_call_id": "call_2", "content": "2"},
    ]
    assert Mirror().take(tuple(Mirror().news(theirs)), []) == theirs


def test_a_call_is_known_as_it_begins_and_its_message_adds_nothing() -> None:
    mirror = Mirror()
    begun = mirror.begun("call_1", "pay", {"cents": 1, "to": "é"})
    assert begun is not None
    assert mirror.begun("call_1", "pay", {"cents": 1, "to": "é"}) is None
    function = {"name": "pay", "arguments": '{"cents": 1, "to": "é"}'}
    messages: list[Any] = [
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "1"},
    ]
    (result,) = mirror.news(messages)
    assert described(result)[0] == "function_call_output"
    # Whoever takes over has both.
    assert Mirror().take((begun, result), []) == messages


def test_the_last_words_of_another_come_before_what_was_said_since_and_a_result_behind_its_call() -> None:
    mirror = Mirror()
    called, result = call("item_2", "item_4", "handoff", "{}", "payments takes over")
    messages = mirror.take((message("item_1", "user", "to pay"), called), [])
    mirror.mark(messages)
    messages.append({"role": "assistant", "content": "hello"})
    assert len(mirror.news(messages)) == 1
    messages = mirror.take((message("item_3", "assistant", "one mo", interrupted=True), result), messages)
    said = [each.get("content", "call") for each in messages]
    assert said == ["to pay", "call", "payments takes over", "one mo", "hello"]
    assert mirror.news(messages) == []
