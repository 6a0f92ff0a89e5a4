"""When an answer is owed to the caller."""

from baton.bodies import ContextItem
from baton.kit.checks import call, message
from baton.owed import LATE_MAX_SECS, QUIET_SECS, Owed, awaits_answer

QUESTION = message("u1", "user", "what is my balance")
LATE = message("u2", "user", "and my last invoice")
ANSWER = message("a1", "assistant", "twelve euros")


def due_at(owed: Owed, until: float, busy_until: float = 0.0) -> float | None:
    """When it is due, looked at as often as an adapter does."""
    for tick in range(int(until * 10) + 1):
        if owed.due(tick / 10, tick / 10 < busy_until):
            return tick / 10
    return None


def test_what_nobody_has_answered_awaits_an_answer() -> None:
    called, answered = call("f1", "f2", "look_up", "{}", "{}")
    assert awaits_answer([ANSWER, QUESTION])
    assert awaits_answer([QUESTION, message("s1", "system", "be brief")])
    for items in ([], [QUESTION, ANSWER], [QUESTION, called], [QUESTION, called, answered]):
        assert not awaits_answer(items), items


def test_late_words_are_answered_once_when_nobody_speaks() -> None:
    owed = Owed(0.0, [QUESTION, ANSWER], False)
    assert due_at(owed, 1.0) is None
    owed.arrived(1.0, [LATE])
    assert not owed.due(1.0 + QUIET_SECS - 0.1, False)
    assert owed.due(1.0 + QUIET_SECS, False)
    assert not owed.due(10.0, False), "it is told once"


def test_it_waits_for_whoever_speaks() -> None:
    owed = Owed(0.0, [], False)
    owed.arrived(0.2, [LATE])
    assert 3.0 + QUIET_SECS - 0.2 < (due_at(owed, 10.0, busy_until=3.0) or 0.0) < 3.0 + QUIET_SECS + 0.1


def test_a_turn_of_the_callers_that_goes_on_gets_its_own_answer() -> None:
    owed = Owed(0.0, [], False)
    owed.arrived(0.2, [LATE])
    owed.said(1.0, [message("u3", "user", "and my last invoice, please")])
    assert due_at(owed, 10.0) is None


def test_what_was_said_before_the_grant_is_owed_unless_the_opening_answers_it() -> None:
    assert due_at(Owed(0.0, [QUESTION], False), 10.0) == round(QUIET_SECS, 1)
    assert due_at(Owed(0.0, [QUESTION], True), 10.0) is None


def test_neither_a_form_of_what_is_known_nor_what_comes_long_after_is_owed() -> None:
    owed = Owed(0.0, [QUESTION, ANSWER], False)
    owed.arrived(0.5, [message("u1", "user", "what is my")])
    owed.arrived(0.6, [message("a2", "assistant", "one mo", interrupted=True)])
    owed.arrived(LATE_MAX_SECS + 0.1, [LATE])
    assert due_at(owed, 10.0) is None
    unknown = ContextItem("x1", None, b"")
    owed.arrived(0.7, [unknown])
    assert not awaits_answer([unknown])
