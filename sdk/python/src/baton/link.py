"""A reliable, ordered stream in each direction between two processes.

Pure: bytes and `now` go in, bytes and events come out. After every call that takes `now`, call `Link.poll_transmit`
until it gives nothing more, then wait until `Link.poll_timeout` at most.

A specialist says Hello, again and again until Baton's Welcome; after each reconnect it does so anew. Nothing sequenced
leaves before. Hello and Welcome carry what either side has seen of the other's stream, and what it can still send of its
own, so that a stream goes on where it stopped, also with another process at the other end.

`now` is the time of any monotonic clock, and only compared with itself: seconds, unless the lengths of the
`LinkConfig` are given in another unit too.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from baton.bodies import Body, Heartbeat, Hello, Position, Reject, Side, Terms, Version, Welcome
from baton.errors import BatonError
from baton.frame import FRAME_BYTES_MAX, VERSION, DecodeError, Frame, envelope
from baton.ids import U32_MAX, U64_MAX, CallId, Epoch, Seq, StreamId
from baton.inbound import Held, Inbound, Taken
from baton.outbound import Outbound
from baton.reasons import RejectReason
from baton.v1.envelope_pb2 import Envelope

_LARGEST_ACK = Position(StreamId(U64_MAX), Seq(U64_MAX))
"""An ack that takes the most bytes."""

_RETIRED_MAX = 8
"""How many given-up streams of a peer are remembered, so that late frames do not revive them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConfig:
    """What a `Link` is made from; the defaults are for ordinary networks."""

    side: Side
    """Which side this is."""
    call: CallId
    """The call; frames of others are rejected."""
    stream: StreamId
    """This side's stream: a random number of 64 bits other than 0, drawn once in the life of a process and peer."""
    window_frames_max: int = 64
    """How many frames may wait for their ack; one more is refused. At least 1."""
    held_frames_max: int = 64
    """How far ahead of what was delivered a frame may be and is held back. It must be at least the peer's window."""
    ack_delay_secs: float = 0.020
    """How long an ack waits for a frame that takes it along."""
    resend_first_secs: float = 0.200
    """How long an ack is waited for before a frame is sent again; doubles with each time."""
    resend_max_secs: float = 5.0
    """The longest such wait."""
    hello_resend_first_secs: float = 0.050
    """The same for Hello. Its first copies are often lost: nobody knows the sender yet."""
    hello_resend_max_secs: float = 1.0
    """The longest wait for a Welcome before Hello is said again."""
    unresponsive_after_secs: float = 10.0
    """How long no ack at all makes a peer unresponsive."""
    reject_interval_secs: float = 1.0
    """The shortest time between two notes that a frame was not accepted."""

    def __post_init__(self) -> None:
        if not 0 < self.stream <= U64_MAX:
            raise ValueError(f"stream is {self.stream}: draw a random number from 1 to 2**64 - 1")
        if self.window_frames_max < 1:
            raise ValueError(f"window_frames_max is {self.window_frames_max}: it must be at least 1")


@dataclass(frozen=True, slots=True)
class Received:
    """The peer said this: once and in order if it was sequenced. A Hello or Welcome is given once for each attempt."""

    epoch: Epoch
    """The epoch in which the peer believed the call to be."""
    body: Body


@dataclass(frozen=True, slots=True)
class Rejected:
    """A frame was not accepted. The peer is told, at most once in `reject_interval_secs`."""

    reason: RejectReason
    detail: str
    """A sentence for the log."""
    seq: Seq | None
    """The frame's place in its stream, if it has one."""


@dataclass(frozen=True, slots=True)
class Unresponsive:
    """Nothing was acked for `unresponsive_after_secs`. Said once; sending goes on."""


LinkEvent = Received | Rejected | Unresponsive
"""What a link has to say to its owner."""


@dataclass(frozen=True, slots=True)
class Transmit:
    """Something to send to the peer, on `TOPIC`."""

    payload: bytes
    """The packet."""
    reliable: bool
    """Whether LiveKit is to send it on its reliable channel."""


class SendError(BatonError):
    """Something cannot be sent."""


class WindowFullError(SendError):
    """The peer is too slow: try again after some acks."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} frames wait for their ack, which is the limit: send again after some acks")
        self.limit = limit
        """The limit, in frames."""


class BodyTooLargeError(SendError):
    """The frame would be too large."""

    def __init__(self, body: str, size: int) -> None:
        super().__init__(f"{body} makes a frame of {size} bytes, the limit is {FRAME_BYTES_MAX}")
        self.size = size
        """The frame's size at most, in bytes."""


class WrongDirectionError(SendError):
    """Only the peer says such a thing."""

    def __init__(self, body: str, side: Side) -> None:
        super().__init__(f"{body} is not for the {side.value} to send")


class NotSequencedError(SendError):
    """It is not a part of the stream: it has a method of its own."""

    def __init__(self, body: str) -> None:
        super().__init__(f"{body} is not sequenced: call the link's method {body} instead of send")


@dataclass(slots=True)
class _Nothing:
    """Nobody has said Hello."""

    attempt: int = 0


@dataclass(slots=True)
class _Saying:
    """A specialist says Hello."""

    hello: Hello
    since: float
    due: float
    wait: float

    @property
    def attempt(self) -> int:
        return self.hello.attempt


@dataclass(slots=True)
class _Welcomed:
    """A specialist was welcomed."""

    attempt: int


@dataclass(slots=True)
class _Heard:
    """Baton has heard a Hello and has not answered."""

    attempt: int


@dataclass(slots=True)
class _Answered:
    """Baton has answered."""

    attempt: int
    due: bool


class Link:
    """One side of the protocol with one peer."""

    def __init__(self, config: LinkConfig) -> None:
        """A link to a peer of which nothing is known yet."""
        self._config = config
        self._epoch = Epoch(0)
        self._version = VERSION
        self._handshake: _Nothing | _Saying | _Welcomed | _Heard | _Answered = _Nothing()
        self._terms = Terms()
        self._outbound = Outbound(config.stream)
        self._inbound: Inbound | None = None
        self._retired: deque[StreamId] = deque(maxlen=_RETIRED_MAX)
        self._acks_unsaid = 0
        self._ack_due: float | None = None
        self._heartbeat: Heartbeat | None = None
        self._reject: Reject | None = None
        self._reject_not_before: float | None = None
        self._unresponsive_said = False

    def hello(self, now: float, hello: Hello) -> None:
        """Specialist: says Hello until it is welcomed. To be called after every connect and reconnect; it resumes the
        streams. `attempt`, `seen` and `oldest` are filled in here.

        Raises `WrongDirectionError` on the other side, `EncodeError`.
        """
        self._check_side(Side.SPECIALIST, hello.NAME)
        hello = replace(hello, attempt=min(self._handshake.attempt + 1, U32_MAX), seen=None, oldest=Seq(1))
        self._envelope(self._epoch, None, None, hello)
        self._unresponsive_said = False
        self._handshake = _Saying(hello, since=now, due=now, wait=self._config.hello_resend_first_secs)

    def welcome(self, epoch: Epoch) -> None:
        """Baton: answers the last Hello, once and again when it is repeated. Without a Hello it does nothing.

        Raises `WrongDirectionError` on the other side, `EncodeError`.
        """
        self._check_side(Side.ORCHESTRATOR, Welcome.NAME)
        self._envelope(epoch, None, None, None)
        self._epoch = max(self._epoch, epoch)
        if isinstance(self._handshake, _Heard | _Answered):
            self._handshake = _Answered(self._handshake.attempt, due=True)

    def set_terms(self, terms: Terms) -> None:
        """Baton: what every Welcome says from here on."""
        self._terms = terms

    def heartbeat(self, epoch: Epoch, heartbeat: Heartbeat) -> None:
        """Baton: says that it is alive, once, on the lossy channel, if the peer was welcomed.

        Raises `WrongDirectionError` on the other side, `EncodeError`.
        """
        self._check_side(Side.ORCHESTRATOR, heartbeat.NAME)
        self._envelope(epoch, None, None, heartbeat)
        self._epoch = max(self._epoch, epoch)
        if self.is_established:
            self._heartbeat = heartbeat

    def send(self, now: float, epoch: Epoch, body: Body) -> Seq:
        """Puts a body into the stream, and returns its place. It is sent at once if the peers have greeted one another,
        else as soon as they have.

        Raises `WindowFullError`, `BodyTooLargeError`, `WrongDirectionError`, `NotSequencedError` or `EncodeError`;
        the stream is then as before.
        """
        if not self._config.side.sends(body):
            raise WrongDirectionError(body.NAME, self._config.side)
        if not body.SEQUENCED:
            raise NotSequencedError(body.NAME)
        if len(self._outbound) >= self._config.window_frames_max:
            raise WindowFullError(self._config.window_frames_max)
        seq = self._outbound.next
        message = self._envelope(epoch, seq, _LARGEST_ACK, body)
        size = message.ByteSize()
        if size > FRAME_BYTES_MAX:
            raise BodyTooLargeError(body.NAME, size)
        self._epoch = max(self._epoch, epoch)
        self._outbound.push(now, message, self._config.resend_first_secs)
        return seq

    def handle_frame(self, now: float, data: bytes) -> list[LinkEvent]:
        """Takes a packet of the peer, and returns what it means. It raises nothing, whatever the bytes are."""
        events: list[LinkEvent] = []
        try:
            frame = Frame.decode(data)
        except DecodeError as error:
            self._refuse(now, error.reject_reason, str(error), None, events)
            return events
        if frame.call != self._config.call:
            self._refuse(now, RejectReason.WRONG_CALL, "the frame belongs to another call", frame.seq, events)
            return events
        # A former process of the peer may have had what the present one has not.
        if frame.ack is not None and self._follows(frame.stream):
            self._handle_ack(now, frame.ack, frame.seq, events)
        if frame.seq is not None:
            self._handle_sequenced(now, frame.stream, frame.seq, Held(frame.epoch, frame.body), events)
        elif frame.body is not None:
            self._handle_unsequenced(now, frame.stream, frame.epoch, frame.body, events)
        return events

    def handle_timeout(self, now: float) -> list[LinkEvent]:
        """Says what a passed time means. To be called when `poll_timeout` is reached; calling it more often is fine."""
        deadline = self._unresponsive_at()
        if deadline is None or deadline > now:
            return []
        self._unresponsive_said = True
        return [Unresponsive()]

    def poll_transmit(self, now: float) -> Transmit | None:
        """The next packet to send now."""
        greeting = self._poll_handshake(now)
        if greeting is not None:
            return self._unsequenced(greeting, reliable=True)
        if self.is_established:
            message = self._outbound.poll(now, self._config.resend_max_secs)
            if message is not None:
                return self._sequenced(message)
        if self._reject is not None:
            reject, self._reject = self._reject, None
            return self._unsequenced(reject, reliable=True)
        if self._heartbeat is not None:
            heartbeat, self._heartbeat = self._heartbeat, None
            return self._unsequenced(heartbeat, reliable=False)
        if self._ack_due is not None and self._ack_due <= now:
            return self._unsequenced(None, reliable=True)
        return None

    def poll_timeout(self) -> float | None:
        """When there will be something to do, if nothing else happens before. It may lie in the past."""
        times = [self._ack_due, self._unresponsive_at()]
        if isinstance(self._handshake, _Saying):
            times.append(self._handshake.due)
        if self.is_established:
            times.append(self._outbound.next_due)
        return min((time for time in times if time is not None), default=None)

    @property
    def is_established(self) -> bool:
        """Whether the peers have greeted one another since the last connect."""
        return isinstance(self._handshake, _Welcomed | _Answered)

    @property
    def waiting(self) -> int:
        """How many frames wait for their ack."""
        return len(self._outbound)

    @property
    def acked(self) -> Seq:
        """The last of this side's frames that a peer has acked; 0 if none was."""
        return self._outbound.last_acked

    @property
    def window(self) -> int:
        """How many may wait."""
        return self._config.window_frames_max

    @property
    def seen(self) -> Position | None:
        """What was delivered of the peer's stream."""
        return None if self._inbound is None else self._inbound.position

    @property
    def version(self) -> Version:
        """The version that both speak; this side's own until they have greeted one another."""
        return self._version

    def body_bytes_max(self, epoch: Epoch) -> int:
        """What a frame has room for beside its header, in bytes. Raises `EncodeError`."""
        header = self._envelope(epoch, Seq(U64_MAX), _LARGEST_ACK, None)
        return max(FRAME_BYTES_MAX - header.ByteSize(), 0)

    def _handle_ack(self, now: float, position: Position, seq: Seq | None, events: list[LinkEvent]) -> None:
        progress = self._outbound.acked(now, position)
        if progress is None:
            detail = f"it acks {position.seq}, which was never sent"
            self._refuse(now, RejectReason.MALFORMED, detail, seq, events)
        elif progress:
            self._unresponsive_said = False

    def _handle_sequenced(self, now: float, stream: StreamId, seq: Seq, held: Held, events: list[LinkEvent]) -> None:
        inbound = self._inbound
        # Before the first greeting a frame may have overtaken it: it will be sent again.
        if inbound is None:
            return
        if inbound.stream != stream:
            self._refuse_stream(now, stream, seq, events)
            return
        held_max = self._config.held_frames_max
        match inbound.take(seq, held, held_max):
            case Taken.REPEATED:
                self._ack_due = now
            case Taken.TOO_FAR:
                detail = f"seq {seq} is more than {held_max} beyond {inbound.position.seq}"
                self._refuse(now, RejectReason.OUT_OF_WINDOW, detail, seq, events)
            case Taken.NEW:
                self._deliver(now, inbound, events)
                self._ack_later(now, inbound)

    def _deliver(self, now: float, inbound: Inbound, events: list[LinkEvent]) -> None:
        while (turn := inbound.next()) is not None:
            seq, held = turn
            body = held.body
            if body is None:
                self._refuse(now, RejectReason.UNKNOWN_BODY, "the body is unknown here", seq, events)
            elif not body.SEQUENCED:
                self._refuse(now, RejectReason.MALFORMED, f"{body.NAME} is not sequenced", seq, events)
            elif self._check_direction(now, body, seq, events):
                events.append(Received(held.epoch, body))

    def _handle_unsequenced(
        self, now: float, stream: StreamId, epoch: Epoch, body: Body, events: list[LinkEvent]
    ) -> None:
        if not self._check_direction(now, body, None, events):
            return
        if isinstance(body, Hello):
            self._handle_hello(now, stream, epoch, body, events)
        elif isinstance(body, Welcome):
            self._handle_welcome(now, stream, epoch, body, events)
        elif isinstance(body, Heartbeat):
            if self._follows(stream):
                events.append(Received(epoch, body))
        elif isinstance(body, Reject):
            # It may be all that answers a Hello: a stream is announced by a Welcome.
            unanswered = self._inbound is None and isinstance(self._handshake, _Saying)
            if self._follows(stream) or unanswered:
                events.append(Received(epoch, body))
        else:
            self._refuse(now, RejectReason.MALFORMED, f"{body.NAME} without a seq", None, events)

    def _handle_hello(self, now: float, stream: StreamId, epoch: Epoch, hello: Hello, events: list[LinkEvent]) -> None:
        version = _common_version(hello.versions)
        if version is None:
            detail = f"it does not speak major version {VERSION.major}"
            self._refuse(now, RejectReason.UNSUPPORTED_VERSION, detail, None, events)
            return
        if self._follows(stream):
            handshake = self._handshake
            if isinstance(handshake, _Answered) and handshake.attempt == hello.attempt:
                handshake.due = True
                return
            if isinstance(handshake, _Answered | _Heard) and handshake.attempt >= hello.attempt:
                return
        elif stream in self._retired:
            self._refuse_stream(now, stream, None, events)
            return
        elif self._inbound is not None:
            # Another process, which was never told what the last one was.
            self._outbound.give_up()
        self._version = version
        self._handshake = _Heard(hello.attempt)
        self._resume(now, hello.seen)
        self._follow(stream, hello.oldest)
        events.append(Received(epoch, hello))

    def _handle_welcome(
        self, now: float, stream: StreamId, epoch: Epoch, welcome: Welcome, events: list[LinkEvent]
    ) -> None:
        if not isinstance(self._handshake, _Saying):
            return
        if self._handshake.attempt != welcome.attempt or stream in self._retired:
            return
        version = _common_version([welcome.version])
        if version is None:
            detail = f"version {welcome.version} is not spoken here"
            self._refuse(now, RejectReason.UNSUPPORTED_VERSION, detail, None, events)
            return
        self._version = version
        self._handshake = _Welcomed(welcome.attempt)
        self._resume(now, welcome.seen)
        self._follow(stream, welcome.oldest)
        events.append(Received(epoch, welcome))

    def _resume(self, now: float, seen: Position | None) -> None:
        """Goes on with what the peer has not seen."""
        if seen is not None:
            # A position beyond what was sent is nonsense, and harmless: it acks nothing.
            self._outbound.acked(now, seen)
        self._unresponsive_said = False
        self._outbound.resend_all(now, self._config.resend_first_secs)

    def _follows(self, stream: StreamId) -> bool:
        return self._inbound is not None and self._inbound.stream == stream

    def _follow(self, stream: StreamId, oldest: Seq) -> None:
        """Follows this stream of the peer from here on."""
        if self._inbound is not None:
            if self._inbound.stream == stream:
                return
            self._retired.append(self._inbound.stream)
        self._inbound = Inbound(stream, oldest)

    def _ack_later(self, now: float, inbound: Inbound) -> None:
        self._acks_unsaid += 1
        at_once = inbound.has_gap or self._acks_unsaid >= 2
        due = now if at_once else now + self._config.ack_delay_secs
        self._ack_due = due if self._ack_due is None else min(self._ack_due, due)

    def _check_side(self, side: Side, name: str) -> None:
        if self._config.side is not side:
            raise WrongDirectionError(name, self._config.side)

    def _check_direction(self, now: float, body: Body, seq: Seq | None, events: list[LinkEvent]) -> bool:
        right = self._config.side.peer.sends(body)
        if not right:
            self._refuse(now, RejectReason.WRONG_DIRECTION, f"{body.NAME} goes the wrong way", seq, events)
        return right

    def _refuse_stream(self, now: float, stream: StreamId, seq: Seq | None, events: list[LinkEvent]) -> None:
        retired = stream in self._retired
        detail = "the stream was given up" if retired else "the stream was never announced"
        self._refuse(now, RejectReason.WRONG_STREAM, detail, seq, events)

    def _refuse(
        self, now: float, reason: RejectReason, detail: str, seq: Seq | None, events: list[LinkEvent]
    ) -> None:
        if self._reject_not_before is None or self._reject_not_before <= now:
            self._reject_not_before = now + self._config.reject_interval_secs
            self._reject = Reject(reason, detail, seq)
        events.append(Rejected(reason, detail, seq))

    def _poll_handshake(self, now: float) -> Hello | Welcome | None:
        handshake = self._handshake
        if isinstance(handshake, _Saying) and handshake.due <= now:
            handshake.due = now + handshake.wait
            handshake.wait = min(handshake.wait * 2, self._config.hello_resend_max_secs)
            return replace(handshake.hello, seen=self.seen, oldest=self._outbound.oldest)
        if isinstance(handshake, _Answered) and handshake.due:
            handshake.due = False
            return Welcome(handshake.attempt, self._version, self.seen, self._outbound.oldest, self._terms)
        return None

    def _unresponsive_at(self) -> float | None:
        if self._unresponsive_said:
            return None
        since = None
        if isinstance(self._handshake, _Saying):
            since = self._handshake.since
        elif self.is_established:
            since = self._outbound.waiting_since
        return None if since is None else since + self._config.unresponsive_after_secs

    def _sequenced(self, message: Envelope) -> Transmit:
        message.ClearField("ack")
        if self.seen is not None:
            message.ack.stream = self.seen.stream
            message.ack.seq = self.seen.seq
        message.version.major = self._version.major
        message.version.minor = self._version.minor
        self._clear_ack()
        return Transmit(message.SerializeToString(), reliable=True)

    def _unsequenced(self, body: Body | None, *, reliable: bool) -> Transmit:
        self._clear_ack()
        message = self._envelope(self._epoch, None, self.seen, body)
        return Transmit(message.SerializeToString(), reliable)

    def _clear_ack(self) -> None:
        self._acks_unsaid = 0
        self._ack_due = None

    def _envelope(self, epoch: Epoch, seq: Seq | None, ack: Position | None, body: Body | None) -> Envelope:
        return envelope(self._version, self._config.call, epoch, self._config.stream, seq, ack, body)


def _common_version(versions: Iterable[Version]) -> Version | None:
    """The newest version that both sides speak."""
    spoken = (min(version, VERSION) for version in versions if version.major == VERSION.major)
    return max(spoken, default=None)
