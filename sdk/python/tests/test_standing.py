"""What Baton's words mean to a specialist."""

from baton import (
    Answer,
    CallOff,
    CancelPrepare,
    Complaint,
    Cut,
    Dtmf,
    Epoch,
    Finish,
    FinishUtterance,
    GiveUp,
    GoOn,
    Grant,
    Greet,
    HandoffAccepted,
    HandoffId,
    HandoffResult,
    Leave,
    LeaveRoom,
    Prepare,
    Pressed,
    Reject,
    RejectReason,
    RequestId,
    Revoke,
    RevokeMode,
    SayNotHere,
    SayReadyAgain,
    Standing,
    StartPreparing,
    StopListening,
    Supersede,
    Take,
)


def prepare(handoff: int) -> Prepare:
    return Prepare(HandoffId(handoff), None, "", Greet(), None)


def grant(epoch: int) -> Grant:
    return Grant(Epoch(epoch), Greet(), None)


def revoke(epoch: int, mode: RevokeMode) -> Revoke:
    return Revoke(Epoch(epoch), mode)


def test_the_baton_comes_by_a_grant_and_goes_by_a_revoke() -> None:
    standing = Standing()
    assert standing.hear(prepare(1)) == StartPreparing(HandoffId(1), None, "", Greet())
    assert (standing.wants_caller, standing.holds) == (True, False)
    assert standing.ready(HandoffId(1))
    assert standing.hear(grant(1)) == Take(Epoch(1), Greet(), None)
    assert (standing.holds, standing.may_hand_off, standing.epoch) == (True, True, 1)
    assert standing.hear(revoke(2, Cut())) == GiveUp(Epoch(2))
    assert (standing.holds, standing.wants_caller, standing.epoch) == (False, False, 2)


def test_a_late_grant_is_worth_nothing() -> None:
    standing = Standing()
    standing.hear(grant(3))
    standing.hear(revoke(4, Cut()))
    assert [standing.hear(grant(epoch)) for epoch in (1, 3, 4)] == [None, None, None]
    assert not standing.holds
    assert isinstance(standing.hear(grant(5)), Take)


def test_a_late_revoke_does_not_take_a_newer_grant() -> None:
    standing = Standing()
    standing.hear(grant(3))
    assert standing.hear(revoke(2, Cut())) is None
    assert standing.holds


def test_a_renewed_grant_goes_on() -> None:
    standing = Standing()
    standing.hear(grant(3))
    assert standing.hear(grant(5)) == GoOn(Epoch(5))


def test_a_revoke_can_let_an_utterance_end() -> None:
    standing = Standing()
    standing.hear(grant(1))
    assert standing.hear(revoke(2, Finish(500))) == FinishUtterance(500)
    assert (standing.holds, standing.may_hand_off) == (True, False)
    assert standing.finished() == 2
    assert standing.finished() is None
    assert standing.hear(revoke(3, Cut())) == SayNotHere(Epoch(3))


def test_an_utterance_that_may_end_can_be_cut_after_all() -> None:
    standing = Standing()
    standing.hear(grant(1))
    standing.hear(revoke(2, Finish(500)))
    assert standing.hear(revoke(3, Finish(400))) is None
    assert standing.hear(revoke(3, Cut())) == GiveUp(Epoch(3))
    assert not standing.holds


def test_a_grant_while_an_utterance_ends_is_taken_anew() -> None:
    standing = Standing()
    standing.hear(grant(1))
    standing.hear(revoke(2, Finish(500)))
    assert isinstance(standing.hear(grant(3)), Take)
    assert standing.may_hand_off
    assert standing.finished() is None


def test_a_preparation_that_is_called_off_is_not_answered() -> None:
    standing = Standing()
    standing.hear(prepare(1))
    assert standing.hear(CancelPrepare(HandoffId(2))) is None
    assert standing.hear(CancelPrepare(HandoffId(1))) == CallOff()
    assert not standing.ready(HandoffId(1))
    assert not standing.refused(HandoffId(1))


def test_a_refusal_parks() -> None:
    standing = Standing()
    standing.hear(prepare(1))
    assert standing.refused(HandoffId(1))
    assert not standing.wants_caller


def test_ready_is_said_again_when_it_is_asked_again() -> None:
    standing = Standing()
    standing.hear(prepare(1))
    assert standing.hear(prepare(1)) is None
    standing.ready(HandoffId(1))
    assert standing.hear(prepare(1)) == SayReadyAgain(HandoffId(1))
    assert isinstance(standing.hear(prepare(2)), StartPreparing)


def test_a_full_reconnect_loses_the_baton_until_it_is_granted_again() -> None:
    standing = Standing()
    assert not standing.lose()
    standing.hear(grant(1))
    assert standing.lose()
    assert not standing.holds
    assert isinstance(standing.hear(grant(2)), Take)


def test_a_holder_is_not_prepared_and_a_parked_one_leaves() -> None:
    standing = Standing()
    standing.hear(grant(1))
    assert standing.hear(prepare(1)) is None
    assert standing.holds
    assert standing.hear(Leave()) == LeaveRoom()
    assert not standing.holds


def test_answers_and_complaints_are_handed_on() -> None:
    result = HandoffResult(RequestId(1), HandoffAccepted(HandoffId(1)))
    assert Standing().hear(result) == Answer(result)
    reject = Reject(RejectReason.NOT_HOLDER, "", None)
    assert Standing().hear(reject) == Complaint(reject)


def test_a_superseded_holder_sounds_and_no_longer_hears() -> None:
    standing = Standing()
    standing.hear(grant(1))
    assert standing.hear(Supersede(Epoch(1))) is None
    assert standing.hears
    assert standing.hear(Supersede(Epoch(2))) == StopListening()
    assert (standing.holds, standing.hears, standing.may_hand_off) == (True, False, False)
    # The switch failed: it takes the baton back.
    assert standing.hear(grant(3)) == GoOn(Epoch(3))
    assert (standing.hears, standing.may_hand_off) == (True, True)
    standing.hear(Supersede(Epoch(4)))
    assert standing.hear(revoke(4, Cut())) == GiveUp(Epoch(4))


def test_a_digit_that_comes_again_is_heard_once_and_only_by_a_holder() -> None:
    standing = Standing()
    assert standing.hear(Dtmf(1, "7")) is None
    standing.hear(grant(1))
    assert standing.hear(Dtmf(1, "7")) == Pressed("7")
    assert standing.hear(Dtmf(1, "7")) is None
    assert standing.hear(Dtmf(2, "7")) == Pressed("7")
