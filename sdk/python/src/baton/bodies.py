"""What a frame can say. Plain, immutable values; numbers are unsigned 64-bit unless said otherwise."""

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from baton.ids import Epoch, HandoffId, Identity, RequestId, Seq, SpecialistName, StreamId, Ticket
from baton.reasons import ContextRefuseReason, FailReason, Phase, RefuseReason, RejectReason


class Side(Enum):
    """Who somebody is in the protocol."""

    ORCHESTRATOR = "orchestrator"
    SPECIALIST = "specialist"

    @property
    def peer(self) -> "Side":
        """The other side."""
        return Side.SPECIALIST if self is Side.ORCHESTRATOR else Side.ORCHESTRATOR

    def sends(self, body: "Body") -> bool:
        """Whether this side may send such a body."""
        return self in body.SENDERS


_BATON = frozenset({Side.ORCHESTRATOR})
_SPECIALIST = frozenset({Side.SPECIALIST})
_EITHER = frozenset(Side)


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A version of the protocol. Another major version is refused, minor versions understand one another. 32 bits."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@dataclass(frozen=True, slots=True)
class Position:
    """Where somebody stands in a stream of the other side: everything up to `seq` was delivered, 0 if nothing was."""

    stream: StreamId
    seq: Seq


@dataclass(frozen=True, slots=True)
class Continue:
    """The new holder goes on where the conversation stands."""


@dataclass(frozen=True, slots=True)
class Greet:
    """The new holder greets."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The new holder waits for the caller."""


@dataclass(frozen=True, slots=True)
class Say:
    """The new holder says this."""

    text: str


Opening = Continue | Greet | Wait | Say
"""Whether a new holder speaks first."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Specialist: here I am. Its first word after every connect. See `Link.hello`.

    `attempt` (32 bits), `seen` and `oldest` are set by the link.
    """

    NAME: ClassVar = "hello"
    SENDERS: ClassVar = _SPECIALIST
    SEQUENCED: ClassVar = False

    ticket: Ticket
    """The ticket out of the dispatch's metadata."""
    specialist: SpecialistName
    """The specialist's name in Baton's configuration."""
    sdk_name: str
    """What speaks, for the log."""
    sdk_version: str
    versions: tuple[Version, ...]
    """The newest minor version of each major that it speaks."""
    track_sid: str = ""
    """The sid of the audio track that it has published; empty if it has none."""
    open_track_sid: str = ""
    """The sid of the track that the caller hears without Baton at this moment; empty if there is none."""
    attempt: int = 0
    """Grows with every connect of the process."""
    seen: Position | None = None
    """What it has seen of Baton's stream."""
    oldest: Seq = Seq(1)
    """The oldest frame of its own stream that it can still send."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What Baton tells a specialist of how it is configured; what is `None` is left to the specialist."""

    preroll_ms: int | None = None
    """How much of the caller is kept while the specialist prepares, in milliseconds."""
    orchestrator_timeout_ms: int | None = None
    """How long heartbeats and the program track's packets have to be away before the holder opens its track to the
    caller, in milliseconds; 0 for never."""
    body_bytes_max: int | None = None
    """The largest body that travels in pieces, either way, in bytes."""


@dataclass(frozen=True, slots=True)
class NamedTarget:
    """Somebody to hand the baton to."""

    name: SpecialistName
    description: str = ""
    """What it is for, in a line; empty if nothing is said of it."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """Baton: the answer to a Hello. See `Link.welcome`."""

    NAME: ClassVar = "welcome"
    SENDERS: ClassVar = _BATON
    SEQUENCED: ClassVar = False

    attempt: int
    """The attempt that it answers."""
    version: Version
    """The version that both speak."""
    seen: Position | None
    """What Baton has seen of the specialist's stream."""
    oldest: Seq
    """The oldest frame of its own stream that it can still send."""
    terms: Terms = Terms()
    """What holds in this call; set by `Link.set_terms`."""
    targets: tuple[NamedTarget, ...] = ()
    """To whom routes lead from the specialist, for a model to choose from."""
    previous: bool = False
    """Whether it may hand back to whoever held the baton before."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Baton: it is alive, and this is how the call stands. Not sequenced, and never sent again."""

    NAME: ClassVar = "heartbeat"
    SENDERS: ClassVar = _BATON
    SEQUENCED: ClassVar = False

    holder: Identity | None
    """Who has the baton."""
    epoch: Epoch
    """Since which epoch."""
    phase: Phase | None
    """The call's phase; `None` if it is one that is unknown here."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Either: a note that a frame was not accepted. Nothing ends because of it."""

    NAME: ClassVar = "reject"
    SENDERS: ClassVar = _EITHER
    SEQUENCED: ClassVar = True

    reason: RejectReason
    detail: str
    """A sentence for the log."""
    seq: Seq | None
    """The frame's place in its stream, if it had one."""


@dataclass(frozen=True, slots=True)
class Packet:
    """What a specialist takes over."""

    context_items: int
    """How many context items there are."""
    context_hash: bytes
    """Their hash."""
    state_version: int
    """The version of the shared state."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Baton: get ready to take the baton."""

    NAME: ClassVar = "prepare"
    SENDERS: ClassVar = _BATON
    SEQUENCED: ClassVar = True

    handoff: HandoffId
    source: SpecialistName | None
    """Who holds the baton."""
    reason: str
    """Why the baton moves."""
    opening: Opening
    """Whether the specialist will speak first."""
    packet: Packet | None
    """What it must have applied before it is ready."""
    caller: Identity | None = None
    """The caller, once there is one."""
    delegation_input: bytes | None = None
    """What it is delegated to do, as JSON, if the baton is to come back with a result."""
    traceparent: str | None = None
    """The trace of the call, as the W3C's `traceparent`, if it is traced."""


@dataclass(frozen=True, slots=True)
class CancelPrepare:
    """Baton: the handoff that was prepared for will not come."""

    NAME: ClassVar = "cancel_prepare"
    SENDERS: ClassVar = _BATON
    SEQUENCED: ClassVar = True

    handoff: HandoffId


@dataclass(frozen=True, slots=True)
class Ready:
    """Specialist: ready for the grant."""

    NAME: ClassVar = "ready"
    SENDERS: ClassVar = _SPECIALIST
    SEQUENCED: ClassVar = True

    handoff: HandoffId
    context_items: int
    """How many context items were applied."""
    context_hash: bytes
    """Their hash."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Specialist: it does not want to be prepared."""

    NAME: ClassVar = "refuse"
    SENDERS: ClassVar = _SPECIALIST
    SEQUENCED: ClassVar = True

    handoff: HandoffId
    reason: str


@dataclass(frozen=True, slots=True)
class Grant:
    """Baton: from here the specialist alone may be heard, hear, write and hand off."""

    NAME: ClassVar = "grant"
    SENDERS: ClassVar = _BATON
    SEQUENCED: ClassVar = True

    epoch: Epoch
    """The epoch that starts."""
    opening: Opening
    """Whether it speaks first."""
    handoff: HandoffId | None
    """The handoff that it completes; `None` when a grant is renewed."""
    packet: Packet | None = None
    """What the specialist takes over."""


@dataclass(frozen=True, slots=True)
class Granted:
    """Specialist: it has taken its grant."""

    NAME: ClassVar = "granted"
    SENDERS: ClassVar = _SPECIALIST
    SEQUENCED: ClassVar = True

    epoch: Epoch
    """The grant's epoch."""
    preroll_ms: int | None = None
    """How much of the caller from before this moment it hears first, in milliseconds (32 bits); `None` if it does not tell."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Stop at the end of the utterance, at most so many milliseconds (32 bits) after the receipt."""

    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Stop at once."""


RevokeMode = Finish | Cut
"""How a specialist stops."""


@dataclass(frozen=True, slots=True)
class Revoke:
    """Baton: the baton is taken away."""

    NAME: ClassVar = "revoke"
    SENDERS: ClassVar = _BATON
    SEQUENCED: ClassVar = True

    epoch: Epoch
    """The epoch that takes it away, newer than the grant's."""
    mode: RevokeMode


@dataclass(frozen=True, slots=True)
class Released:
    """Specialist: it has stopped."""

    NAME: ClassVar = "released"
    SENDERS: ClassVar = _SPECIALIST
    SEQUENCED: ClassVar = True

    epoch: Epoch
    """The Revoke's epoch."""


@dataclass(frozen=True, slots=True)
class Speech:
    """Specialist: it has begun to say something, or has nothing more to say for now."""

    NAME: ClassVar = "speech"
    SENDERS: ClassVar = _SPECIALIST
    SEQUENCED: ClassVar = True

    speaking: bool
    """Which of both."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Baton: leave the room, the job is done."""

    NAME: ClassVar = "leave"
    SENDERS: ClassVar = _BATON
    SEQUENCED: ClassVar = True


@dataclass(frozen=True, slots=True)
class ToSpecialist:
    """The baton is to go to this specialist."""

    name: SpecialistName


@dataclass(frozen=True, slots=True)
class ToPrevious:
    """The baton is to go to whoever had it before."""


Target = ToSpecialist | ToPrevious
"""To whom the baton is to go."""


@dataclass(frozen=True, slots=True)
class HandoffRequest:
    """Specialist: move the baton."""

    NAME: ClassVar = "handoff_request"
    SENDERS: ClassVar = _SPECIALIST
    SEQUENCED: ClassVar = True

    request: RequestId
    """Its number for it."""
    target: Target
    reason: str
    """Why, for the log and for the one who takes over."""
    tool_call: str | None = None
    """The asker's tool call by which it asks: its result is not waited for."""
    delegation_input: bytes | None = None
    """What the target is delegated to do, as JSON."""
    delegation_result: bytes | None = None
    """The result of a delegation to the asker, as JSON."""


@dataclass(frozen=True, slots=True)
class HandoffAccepted:
    """It is being tried."""

    handoff: HandoffId


@dataclass(frozen=True, slots=True)
class HandoffRefused:
    """It was not tried."""

    reason: RefuseReason
    detail: str


@dataclass(frozen=True, slots=True)
class HandoffFailed:
    """It was tried in vain; everything is as before."""

    handoff: HandoffId
    reason: FailReason
    detail: str


@dataclass(frozen=True, slots=True)
class HandoffDone:
    """The baton has moved."""

    handoff: HandoffId
    holder: SpecialistName
    """Who has it."""
    epoch: Epoch
    """Since which epoch."""


HandoffOutcome = HandoffAccepted | HandoffRefused | HandoffFailed | HandoffDone
"""What becomes of a request: `HandoffAccepted` may come first, one of the others comes last."""


@dataclass(frozen=True, slots=True)
class HandoffResult:
    """Baton: what becomes of a request."""

    NAME: ClassVar = "handoff_result"
    SENDERS: ClassVar = _BATON
    SEQUENCED: ClassVar = True

    request: RequestId
    """The asker's number for it."""
    outcome: HandoffOutcome


@dataclass(frozen=True, slots=True)
class ContextItem:
    """One item of the conversation."""

    id: str
    """Its id; a known one replaces the item."""
    position: int | None
    """Its place in the log, from 1; `None` before Baton has given it one."""
    chat_item: bytes
    """A `livekit.agent.ChatContext.ChatItem`, encoded."""
    framework: str = ""
    """The framework whose form `framework_json` is; empty if there is none."""
    framework_json: bytes = b""
    """The item as the framework's own JSON."""
    unknown: bytes = b""
    """What a newer minor version has added, as it was encoded; it goes along when the item is handed on."""


@dataclass(frozen=True, slots=True)
class ContextAppend:
    """Either: items of the conversation, in their order."""

    NAME: ClassVar = "context_append"
    SENDERS: ClassVar = _EITHER
    SEQUENCED: ClassVar = True

    items: tuple[ContextItem, ...]


@dataclass(frozen=True, slots=True)
class ContextApplied:
    """Specialist: how much of the conversation it has applied."""

    NAME: ClassVar = "context_applied"
    SENDERS: ClassVar = _SPECIALIST
    SEQUENCED: ClassVar = True

    context_items: int
    context_hash: bytes


@dataclass(frozen=True, slots=True)
class ContextRefusal:
    """An item that was not taken."""

    id: str
    reason: ContextRefuseReason
    detail: str
    """The same as a sentence."""


@dataclass(frozen=True, slots=True)
class ContextResult:
    """Baton: what became of items that the specialist has sent."""

    NAME: ClassVar = "context_result"
    SENDERS: ClassVar = _BATON
    SEQUENCED: ClassVar = True

    kept: tuple[str, ...]
    """Those that are in the conversation, by id."""
    refused: tuple[ContextRefusal, ...] = ()


@dataclass(frozen=True, slots=True)
class SummaryRequest:
    """Baton: a summary is wanted of the leaving holder."""

    NAME: ClassVar = "summary_request"
    SENDERS: ClassVar = _BATON
    SEQUENCED: ClassVar = True

    request: int
    """Baton's number for it."""
    deadline_ms: int
    """How long it is waited for, in milliseconds from the receipt."""


@dataclass(frozen=True, slots=True)
class SummaryResult:
    """Specialist: the answer to a summary request."""

    NAME: ClassVar = "summary_result"
    SENDERS: ClassVar = _SPECIALIST
    SEQUENCED: ClassVar = True

    request: int
    """Baton's number for it."""
    text: str | None
    """The summary; `None` if there is none."""
    refused: str = ""
    """Why there is none."""


@dataclass(frozen=True, slots=True)
class DelegationResult:
    """Baton: how a delegation ended."""

    NAME: ClassVar = "delegation_result"
    SENDERS: ClassVar = _BATON
    SEQUENCED: ClassVar = True

    request: RequestId
    """The asker's number of the request by which it delegated."""
    result: bytes | None
    """JSON; `None` if there is none."""
    failed: str = ""
    """Why there is none."""


@dataclass(frozen=True, slots=True)
class ContextChunk:
    """Either: a piece of a body that is too large for one frame."""

    NAME: ClassVar = "context_chunk"
    SENDERS: ClassVar = _EITHER
    SEQUENCED: ClassVar = True

    transfer: int
    """Which body, counted by the sender."""
    offset: int
    """Where the piece starts, in bytes."""
    total_bytes: int
    """The length of the whole, in bytes."""
    sha256: bytes
    """SHA-256 of the whole."""
    data: bytes
    """The piece."""


@dataclass(frozen=True, slots=True)
class StatePatch:
    """Either: a change of the shared state."""

    NAME: ClassVar = "state_patch"
    SENDERS: ClassVar = _EITHER
    SEQUENCED: ClassVar = True

    patch: int
    """The sender's number for it."""
    base_version: int
    """The version that it was made against."""
    merge_patch: bytes
    """A JSON merge patch (RFC 7396)."""
    version: int | None = None
    """The version after it, if Baton sends it."""


@dataclass(frozen=True, slots=True)
class StateAccepted:
    """The patch made this version."""

    version: int


@dataclass(frozen=True, slots=True)
class StateConflict:
    """The patch was made against an older version."""

    version: int
    """The version as it is."""
    current: bytes
    """The state as it is, JSON."""


@dataclass(frozen=True, slots=True)
class StateDenied:
    """The patch is not allowed."""

    path: str
    """A JSON pointer to the field."""
    reason: str


StateOutcome = StateAccepted | StateConflict | StateDenied
"""What became of a patch."""


@dataclass(frozen=True, slots=True)
class StateResult:
    """Baton: what became of a patch."""

    NAME: ClassVar = "state_result"
    SENDERS: ClassVar = _BATON
    SEQUENCED: ClassVar = True

    patch: int
    """The sender's number for it."""
    outcome: StateOutcome


DTMF_DIGITS = "0123456789*#ABCD"
"""The keys of a phone."""


@dataclass(frozen=True, slots=True)
class Dtmf:
    """Baton: the caller has pressed a key."""

    NAME: ClassVar = "dtmf"
    SENDERS: ClassVar = _BATON
    SEQUENCED: ClassVar = True

    number: int
    """Grows with every digit of the call; a digit that comes again has the same."""
    digit: str = field(repr=False)
    """One of `DTMF_DIGITS`. It may be a card's or a PIN's, and is not shown."""


@dataclass(frozen=True, slots=True)
class Supersede:
    """Baton: another one is granted the baton. The holder is heard until its Revoke, and hears the caller no longer."""

    NAME: ClassVar = "supersede"
    SENDERS: ClassVar = _BATON
    SEQUENCED: ClassVar = True

    epoch: Epoch
    """The epoch of the other one's grant."""


Body = (
    Hello
    | Welcome
    | Heartbeat
    | Reject
    | Prepare
    | CancelPrepare
    | Ready
    | Refuse
    | Grant
    | Granted
    | Revoke
    | Released
    | Speech
    | Leave
    | HandoffRequest
    | HandoffResult
    | ContextAppend
    | ContextChunk
    | StatePatch
    | StateResult
    | ContextApplied
    | ContextResult
    | SummaryRequest
    | SummaryResult
    | DelegationResult
    | Dtmf
    | Supersede
)
"""What a frame says."""
