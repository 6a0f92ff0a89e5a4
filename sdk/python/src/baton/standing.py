"""How a specialist stands to the baton, and what Baton's words mean to it. Pure.

`Standing.hear` takes what a `Link` received and says what is to be done. Whoever carries that out asks `holds` before any
sound leaves and before any of the caller's sound is listened to.
"""

from dataclasses import dataclass, field
from typing import assert_never

from baton import bodies as b
from baton.ids import Epoch, HandoffId, SpecialistName


@dataclass(frozen=True, slots=True)
class StartPreparing:
    """Have the agent prepare; it may hear the caller soon."""

    handoff: HandoffId
    source: SpecialistName | None
    """Who holds the baton."""
    reason: str
    """Why the baton moves."""
    opening: b.Opening
    """Whether the agent will speak first."""


@dataclass(frozen=True, slots=True)
class SayReadyAgain:
    """Say once more that the agent is ready."""

    handoff: HandoffId


@dataclass(frozen=True, slots=True)
class CallOff:
    """The preparation is called off."""


@dataclass(frozen=True, slots=True)
class Take:
    """Take the baton, and say Granted."""

    epoch: Epoch
    opening: b.Opening
    handoff: HandoffId | None


@dataclass(frozen=True, slots=True)
class GoOn:
    """Go on with the baton under a newer epoch, and say Granted."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class FinishUtterance:
    """Give the baton up when the utterance is over, or after so many milliseconds. Then ask `Standing.finished`."""

    deadline_ms: int


@dataclass(frozen=True, slots=True)
class StopListening:
    """Hear the caller no longer; the voice is heard until the revoke."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """The caller has pressed a key: one of `DTMF_DIGITS`."""

    digit: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Give the baton up now, and say Released with this epoch."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class SayNotHere:
    """Say Released with this epoch: the baton is not here."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class LeaveRoom:
    """Leave the room."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request."""

    result: b.HandoffResult


@dataclass(frozen=True, slots=True)
class Complaint:
    """A frame was not accepted."""

    reject: b.Reject


Step = (
    StartPreparing
    | SayReadyAgain
    | CallOff
    | Take
    | GoOn
    | FinishUtterance
    | StopListening
    | Pressed
    | GiveUp
    | SayNotHere
    | LeaveRoom
    | Answer
    | Complaint
)
"""What is to be done."""


@dataclass(frozen=True, slots=True)
class _Parked:
    pass


@dataclass(slots=True)
class _Preparing:
    handoff: HandoffId
    ready: bool = False


@dataclass(frozen=True, slots=True)
class _Holding:
    pass


@dataclass(frozen=True, slots=True)
class _Superseded:
    pass


@dataclass(frozen=True, slots=True)
class _Finishing:
    revoke: Epoch


class Standing:
    """Where a specialist is between two calls for it."""

    def __init__(self) -> None:
        self._fence = Epoch(0)
        self._phase: _Parked | _Preparing | _Holding | _Superseded | _Finishing = _Parked()
        self._digit = 0

    @property
    def epoch(self) -> Epoch:
        """The newest epoch that was granted or revoked: a grant has to be newer."""
        return self._fence

    @property
    def holds(self) -> bool:
        """Whether it has the baton, be it for the rest of an utterance: it may sound."""
        return isinstance(self._phase, _Holding | _Superseded | _Finishing)

    @property
    def hears(self) -> bool:
        """Whether it hears the caller: nobody else does."""
        return isinstance(self._phase, _Holding)

    @property
    def may_hand_off(self) -> bool:
        """Whether it may ask for a handoff."""
        return isinstance(self._phase, _Holding)

    @property
    def wants_caller(self) -> bool:
        """Whether the caller's track is worth a subscription."""
        return not isinstance(self._phase, _Parked)

    def hear(self, body: b.Body) -> Step | None:
        """Takes Baton's word. `None`: it is late, or not for a specialist of this version."""
        match body:
            case b.Prepare():
                return self._prepare(body)
            case b.CancelPrepare(handoff):
                if isinstance(self._phase, _Preparing) and self._phase.handoff == handoff:
                    self._phase = _Parked()
                    return CallOff()
                return None
            case b.Grant():
                return self._grant(body)
            case b.Revoke(epoch, mode):
                return self._revoke(epoch, mode)
            case b.Leave():
                self._phase = _Parked()
                return LeaveRoom()
            case b.HandoffResult():
                return Answer(body)
            case b.Supersede(epoch):
                if epoch <= self._fence or not isinstance(self._phase, _Holding):
                    return None
                self._phase = _Superseded()
                return StopListening()
            case b.Dtmf(number, digit):
                if number <= self._digit or not self.holds:
                    return None
                self._digit = number
                return Pressed(digit)
            case b.Reject():
                return Complaint(body)
            # The link lets Baton say nothing else of these, and context and state are not taken yet.
            case (
                b.Hello()
                | b.Welcome()
                | b.Heartbeat()
                | b.Ready()
                | b.Refuse()
                | b.Granted()
                | b.Released()
                | b.Speech()
                | b.HandoffRequest()
                | b.ContextAppend()
                | b.ContextChunk()
                | b.StatePatch()
                | b.StateResult()
                | b.ContextApplied()
                | b.ContextResult()
                | b.SummaryRequest()
                | b.SummaryResult()
                | b.DelegationResult()
            ):
                return None
            case _:
                assert_never(body)

    def ready(self, handoff: HandoffId) -> bool:
        """The agent is ready; false if nobody waits for that any more."""
        if isinstance(self._phase, _Preparing) and self._phase.handoff == handoff:
            self._phase.ready = True
            return True
        return False

    def refused(self, handoff: HandoffId) -> bool:
        """The agent does not want to be prepared; false if nobody waits for that any more."""
        waited_for = self.ready(handoff)
        if waited_for:
            self._phase = _Parked()
        return waited_for

    def finished(self) -> Epoch | None:
        """The utterance is over: the revoke's epoch, if one waits for that."""
        if not isinstance(self._phase, _Finishing):
            return None
        revoke = self._phase.revoke
        self._phase = _Parked()
        return revoke

    def lose(self) -> bool:
        """The participant was replaced by a new one, after a full reconnect: the baton has to be granted again. Says
        whether it was here."""
        held = self.holds
        if held:
            self._phase = _Parked()
        return held

    def _prepare(self, prepare: b.Prepare) -> Step | None:
        match self._phase:
            case _Preparing(handoff, ready) if handoff == prepare.handoff:
                # Said again after a reconnect.
                return SayReadyAgain(handoff) if ready else None
            case _Parked() | _Preparing():
                self._phase = _Preparing(prepare.handoff)
                return StartPreparing(prepare.handoff, prepare.source, prepare.reason, prepare.opening)
            case _Holding() | _Superseded() | _Finishing():
                return None
            case _:
                assert_never(self._phase)

    def _grant(self, grant: b.Grant) -> Step | None:
        if grant.epoch <= self._fence:
            return None
        self._fence = grant.epoch
        held = isinstance(self._phase, _Holding | _Superseded)
        self._phase = _Holding()
        return GoOn(grant.epoch) if held else Take(grant.epoch, grant.opening, grant.handoff)

    def _revoke(self, epoch: Epoch, mode: b.RevokeMode) -> Step | None:
        if epoch < self._fence:
            return None
        self._fence = epoch
        match self._phase, mode:
            case (_Holding() | _Superseded()), b.Finish(deadline_ms):
                self._phase = _Finishing(epoch)
                return FinishUtterance(deadline_ms)
            case _Finishing(), b.Finish():
                self._phase = _Finishing(epoch)
                return None
            case (_Holding() | _Superseded() | _Finishing()), b.Cut():
                self._phase = _Parked()
                return GiveUp(epoch)
            case _:
                return SayNotHere(epoch)
