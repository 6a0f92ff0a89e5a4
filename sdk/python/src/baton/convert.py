"""Bodies to their generated form and back. Internal.

What a newer minor version may add is tolerated: an unknown opening is taken for Continue, an unknown mode of a Revoke
for Cut, an unknown reason for `UNKNOWN`. What every version has must be there.
"""

from dataclasses import replace
from enum import StrEnum
from typing import Any, Protocol, TypeVar, assert_never

from baton import bodies as b
from baton.ids import Epoch, HandoffId, Identity, RequestId, Seq, SpecialistName, StreamId, Ticket
from baton.reasons import ContextRefuseReason, FailReason, Phase, RefuseReason, RejectReason
from baton.v1 import context_pb2, control_pb2, envelope_pb2


class MissingError(Exception):
    """A field without which a body means nothing."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} is missing")


def write_body(body: b.Body, envelope: envelope_pb2.Envelope) -> None:
    """Sets the envelope's body. Raises what protobuf raises when a value does not fit its field."""
    getattr(envelope, body.NAME).SetInParent()
    match body:
        case b.Hello():
            hello = envelope.hello
            hello.attempt = body.attempt
            hello.ticket = body.ticket.value
            hello.specialist = body.specialist
            hello.sdk_name = body.sdk_name
            hello.sdk_version = body.sdk_version
            hello.versions.extend(version_message(version) for version in body.versions)
            hello.track_sid = body.track_sid
            if body.seen is not None:
                hello.seen.CopyFrom(position_message(body.seen))
            hello.oldest_seq = body.oldest
            hello.open_track_sid = body.open_track_sid
        case b.Welcome():
            welcome = envelope.welcome
            welcome.attempt = body.attempt
            welcome.version.CopyFrom(version_message(body.version))
            if body.seen is not None:
                welcome.seen.CopyFrom(position_message(body.seen))
            welcome.oldest_seq = body.oldest
            if body.terms.preroll_ms is not None:
                welcome.preroll_ms = body.terms.preroll_ms
            if body.terms.orchestrator_timeout_ms is not None:
                welcome.orchestrator_timeout_ms = body.terms.orchestrator_timeout_ms
            if body.terms.body_bytes_max is not None:
                welcome.body_bytes_max = body.terms.body_bytes_max
            for target in body.targets:
                welcome.targets.add(name=target.name, description=target.description)
            welcome.previous = body.previous
        case b.Heartbeat():
            heartbeat = envelope.heartbeat
            heartbeat.holder = body.holder or ""
            heartbeat.epoch = body.epoch
            if body.phase is not None:
                heartbeat.phase = _number(body.phase, envelope_pb2.Phase, "PHASE_")
        case b.Reject():
            reject = envelope.reject
            reject.reason = _number(body.reason, envelope_pb2.RejectReason, "REJECT_REASON_")
            reject.detail = body.detail
            reject.seq = body.seq or 0
        case b.Prepare():
            prepare = envelope.prepare
            prepare.handoff_id = body.handoff
            setattr(prepare, "from", body.source or "")
            prepare.reason = body.reason
            prepare.opening.CopyFrom(_opening_message(body.opening))
            if body.packet is not None:
                prepare.packet.SetInParent()
                prepare.packet.context_items = body.packet.context_items
                prepare.packet.context_hash = body.packet.context_hash
                prepare.packet.state_version = body.packet.state_version
            prepare.caller = body.caller or ""
            if body.delegation_input is not None:
                prepare.delegation_input = body.delegation_input
            prepare.traceparent = body.traceparent or ""
        case b.CancelPrepare():
            envelope.cancel_prepare.handoff_id = body.handoff
        case b.Ready():
            ready = envelope.ready
            ready.handoff_id = body.handoff
            ready.context_items = body.context_items
            ready.context_hash = body.context_hash
        case b.Refuse():
            envelope.refuse.handoff_id = body.handoff
            envelope.refuse.reason = body.reason
        case b.Grant():
            grant = envelope.grant
            grant.epoch = body.epoch
            grant.opening.CopyFrom(_opening_message(body.opening))
            grant.handoff_id = body.handoff or 0
            if body.packet is not None:
                grant.context_items = body.packet.context_items
                grant.context_hash = body.packet.context_hash
                grant.state_version = body.packet.state_version
        case b.Granted():
            envelope.granted.epoch = body.epoch
            if body.preroll_ms is not None:
                envelope.granted.preroll_ms = body.preroll_ms
        case b.Revoke():
            revoke = envelope.revoke
            revoke.epoch = body.epoch
            match body.mode:
                case b.Finish(deadline_ms):
                    revoke.mode = control_pb2.REVOKE_MODE_FINISH
                    revoke.deadline_ms = deadline_ms
                case b.Cut():
                    revoke.mode = control_pb2.REVOKE_MODE_CUT
                case _:
                    assert_never(body.mode)
        case b.Released():
            envelope.released.epoch = body.epoch
        case b.Speech():
            envelope.speech.speaking = body.speaking
        case b.Leave():
            pass
        case b.HandoffRequest():
            request = envelope.handoff_request
            request.request_id = body.request
            match body.target:
                case b.ToSpecialist(name):
                    request.specialist = name
                case b.ToPrevious():
                    request.previous.SetInParent()
                case _:
                    assert_never(body.target)
            request.reason = body.reason
            request.tool_call_id = body.tool_call or ""
            if body.delegation_input is not None:
                request.delegation_input = body.delegation_input
            if body.delegation_result is not None:
                request.delegation_result = body.delegation_result
        case b.HandoffResult():
            _write_handoff_result(body, envelope.handoff_result)
        case b.ContextAppend():
            envelope.context_append.items.extend(_context_item_message(item) for item in body.items)
        case b.ContextChunk():
            chunk = envelope.context_chunk
            chunk.transfer_id = body.transfer
            chunk.offset = body.offset
            chunk.total_bytes = body.total_bytes
            chunk.sha256 = body.sha256
            chunk.data = body.data
        case b.StatePatch():
            patch = envelope.state_patch
            patch.patch_id = body.patch
            patch.base_version = body.base_version
            patch.merge_patch = body.merge_patch
            patch.version = body.version or 0
        case b.StateResult():
            _write_state_result(body, envelope.state_result)
        case b.ContextApplied():
            envelope.context_applied.context_items = body.context_items
            envelope.context_applied.context_hash = body.context_hash
        case b.ContextResult():
            result = envelope.context_result
            result.kept.extend(body.kept)
            for refusal in body.refused:
                result.refused.add(
                    id=refusal.id,
                    reason=_number(refusal.reason, context_pb2.ContextRefuseReason, "CONTEXT_REFUSE_REASON_"),
                    detail=refusal.detail,
                )
        case b.SummaryRequest():
            envelope.summary_request.request_id = body.request
            envelope.summary_request.deadline_ms = body.deadline_ms
        case b.SummaryResult():
            envelope.summary_result.request_id = body.request
            if body.text is not None:
                envelope.summary_result.text = body.text
            else:
                envelope.summary_result.refused = body.refused
        case b.DelegationResult():
            envelope.delegation_result.request_id = body.request
            if body.result is not None:
                envelope.delegation_result.result = body.result
            else:
                envelope.delegation_result.failed = body.failed
        case b.Supersede():
            envelope.supersede.epoch = body.epoch
        case b.Dtmf():
            envelope.dtmf.number = body.number
            envelope.dtmf.digit = body.digit
        case _:
            assert_never(body)


def read_body(envelope: envelope_pb2.Envelope) -> b.Body | None:
    """The envelope's body; `None` if it has none that is known here.

    Raises `MissingError` if the body lacks what it must have.
    """
    match envelope.WhichOneof("body"):
        case None:
            return None
        case "hello":
            hello = envelope.hello
            return b.Hello(
                ticket=Ticket(hello.ticket),
                specialist=SpecialistName(hello.specialist),
                sdk_name=hello.sdk_name,
                sdk_version=hello.sdk_version,
                versions=tuple(map(read_version, hello.versions)),
                track_sid=hello.track_sid,
                attempt=hello.attempt,
                seen=read_position(hello.seen) if hello.HasField("seen") else None,
                oldest=Seq(hello.oldest_seq),
                open_track_sid=hello.open_track_sid,
            )
        case "welcome":
            welcome = envelope.welcome
            if not welcome.HasField("version"):
                raise MissingError("welcome.version")
            return b.Welcome(
                attempt=welcome.attempt,
                version=read_version(welcome.version),
                seen=read_position(welcome.seen) if welcome.HasField("seen") else None,
                oldest=Seq(welcome.oldest_seq),
                terms=b.Terms(
                    preroll_ms=welcome.preroll_ms if welcome.HasField("preroll_ms") else None,
                    orchestrator_timeout_ms=welcome.orchestrator_timeout_ms
                    if welcome.HasField("orchestrator_timeout_ms")
                    else None,
                    body_bytes_max=welcome.body_bytes_max if welcome.HasField("body_bytes_max") else None,
                ),
                targets=tuple(
                    b.NamedTarget(SpecialistName(target.name), target.description) for target in welcome.targets
                ),
                previous=welcome.previous,
            )
        case "heartbeat":
            heartbeat = envelope.heartbeat
            return b.Heartbeat(
                holder=Identity(heartbeat.holder) if heartbeat.holder else None,
                epoch=Epoch(heartbeat.epoch),
                phase=_named(Phase, heartbeat.phase, envelope_pb2.Phase, "PHASE_"),
            )
        case "reject":
            reject = envelope.reject
            reason = _named(RejectReason, reject.reason, envelope_pb2.RejectReason, "REJECT_REASON_")
            return b.Reject(
                reason=reason or RejectReason.UNKNOWN,
                detail=reject.detail,
                seq=Seq(reject.seq) if reject.seq else None,
            )
        case "prepare":
            return _read_prepare(envelope.prepare)
        case "cancel_prepare":
            return b.CancelPrepare(HandoffId(envelope.cancel_prepare.handoff_id))
        case "ready":
            ready = envelope.ready
            return b.Ready(HandoffId(ready.handoff_id), ready.context_items, ready.context_hash)
        case "refuse":
            return b.Refuse(HandoffId(envelope.refuse.handoff_id), envelope.refuse.reason)
        case "grant":
            grant = envelope.grant
            return b.Grant(
                epoch=Epoch(grant.epoch),
                opening=_read_opening(grant.opening),
                handoff=HandoffId(grant.handoff_id) if grant.handoff_id else None,
                packet=b.Packet(grant.context_items, grant.context_hash, grant.state_version)
                if grant.context_hash
                else None,
            )
        case "granted":
            granted = envelope.granted
            return b.Granted(Epoch(granted.epoch), granted.preroll_ms if granted.HasField("preroll_ms") else None)
        case "revoke":
            revoke = envelope.revoke
            finish = revoke.mode == control_pb2.REVOKE_MODE_FINISH
            mode = b.Finish(revoke.deadline_ms) if finish else b.Cut()
            return b.Revoke(Epoch(revoke.epoch), mode)
        case "released":
            return b.Released(Epoch(envelope.released.epoch))
        case "speech":
            return b.Speech(envelope.speech.speaking)
        case "leave":
            return b.Leave()
        case "handoff_request":
            return _read_handoff_request(envelope.handoff_request)
        case "handoff_result":
            return _read_handoff_result(envelope.handoff_result)
        case "context_append":
            return b.ContextAppend(tuple(map(_read_context_item, envelope.context_append.items)))
        case "context_chunk":
            chunk = envelope.context_chunk
            return b.ContextChunk(chunk.transfer_id, chunk.offset, chunk.total_bytes, chunk.sha256, chunk.data)
        case "state_patch":
            patch = envelope.state_patch
            return b.StatePatch(patch.patch_id, patch.base_version, patch.merge_patch, patch.version or None)
        case "state_result":
            return _read_state_result(envelope.state_result)
        case "context_applied":
            return b.ContextApplied(
                envelope.context_applied.context_items, envelope.context_applied.context_hash
            )
        case "context_result":
            result = envelope.context_result
            return b.ContextResult(tuple(result.kept), tuple(map(_read_context_refusal, result.refused)))
        case "summary_request":
            return b.SummaryRequest(envelope.summary_request.request_id, envelope.summary_request.deadline_ms)
        case "summary_result":
            summary = envelope.summary_result
            match summary.WhichOneof("outcome"):
                case "text":
                    return b.SummaryResult(summary.request_id, summary.text)
                case "refused":
                    return b.SummaryResult(summary.request_id, None, summary.refused)
                case _:
                    raise MissingError("summary_result.outcome")
        case "delegation_result":
            delegation = envelope.delegation_result
            match delegation.WhichOneof("outcome"):
                case "result":
                    return b.DelegationResult(RequestId(delegation.request_id), delegation.result)
                case "failed":
                    return b.DelegationResult(RequestId(delegation.request_id), None, delegation.failed)
                case _:
                    raise MissingError("delegation_result.outcome")
        case "supersede":
            return b.Supersede(Epoch(envelope.supersede.epoch))
        case "dtmf":
            dtmf = envelope.dtmf
            if len(dtmf.digit) != 1 or dtmf.digit not in b.DTMF_DIGITS:
                raise MissingError("dtmf.digit")
            return b.Dtmf(dtmf.number, dtmf.digit)
        case other:
            raise AssertionError(f"{other} is in the generated code and is not read")


def version_message(version: b.Version) -> envelope_pb2.Version:
    """A version in its generated form."""
    return envelope_pb2.Version(major=version.major, minor=version.minor)


def read_version(message: envelope_pb2.Version) -> b.Version:
    """A version out of its generated form."""
    return b.Version(message.major, message.minor)


def position_message(position: b.Position) -> envelope_pb2.Position:
    """A position in its generated form."""
    return envelope_pb2.Position(stream=position.stream, seq=position.seq)


def read_position(message: envelope_pb2.Position) -> b.Position:
    """A position out of its generated form."""
    return b.Position(StreamId(message.stream), Seq(message.seq))


def _opening_message(opening: b.Opening) -> control_pb2.Opening:
    message = control_pb2.Opening()
    match opening:
        case b.Continue():
            # The field is named like a keyword.
            getattr(message, "continue").SetInParent()
        case b.Greet():
            message.greet.SetInParent()
        case b.Wait():
            message.wait.SetInParent()
        case b.Say(text):
            message.say = text
        case _:
            assert_never(opening)
    return message


def _read_opening(message: control_pb2.Opening) -> b.Opening:
    match message.WhichOneof("kind"):
        case None | "continue":
            return b.Continue()
        case "greet":
            return b.Greet()
        case "wait":
            return b.Wait()
        case "say":
            return b.Say(message.say)
        case other:
            raise AssertionError(f"{other} is in the generated code and is not read")


def _read_prepare(message: control_pb2.Prepare) -> b.Prepare:
    source: str = getattr(message, "from")
    packet = None
    if message.HasField("packet"):
        packet = b.Packet(
            message.packet.context_items, message.packet.context_hash, message.packet.state_version
        )
    return b.Prepare(
        handoff=HandoffId(message.handoff_id),
        source=SpecialistName(source) if source else None,
        reason=message.reason,
        opening=_read_opening(message.opening),
        packet=packet,
        caller=Identity(message.caller) if message.caller else None,
        delegation_input=message.delegation_input if message.HasField("delegation_input") else None,
        traceparent=message.traceparent or None,
    )


def _read_context_refusal(message: context_pb2.ContextRefusal) -> b.ContextRefusal:
    enum = context_pb2.ContextRefuseReason
    reason = _named(ContextRefuseReason, message.reason, enum, "CONTEXT_REFUSE_REASON_")
    return b.ContextRefusal(message.id, reason or ContextRefuseReason.UNKNOWN, message.detail)


def _read_handoff_request(message: control_pb2.HandoffRequest) -> b.HandoffRequest:
    target: b.Target
    match message.WhichOneof("target"):
        case None:
            raise MissingError("handoff_request.target")
        case "specialist":
            target = b.ToSpecialist(SpecialistName(message.specialist))
        case "previous":
            target = b.ToPrevious()
        case other:
            raise AssertionError(f"{other} is in the generated code and is not read")
    return b.HandoffRequest(
        RequestId(message.request_id),
        target,
        message.reason,
        tool_call=message.tool_call_id or None,
        delegation_input=message.delegation_input if message.HasField("delegation_input") else None,
        delegation_result=message.delegation_result if message.HasField("delegation_result") else None,
    )


def _write_handoff_result(body: b.HandoffResult, message: control_pb2.HandoffResult) -> None:
    message.request_id = body.request
    match body.outcome:
        case b.HandoffAccepted(handoff):
            message.accepted.SetInParent()
            message.accepted.handoff_id = handoff
        case b.HandoffRefused(refusal, detail):
            message.refused.SetInParent()
            message.refused.reason = _number(refusal, control_pb2.RefuseReason, "REFUSE_REASON_")
            message.refused.detail = detail
        case b.HandoffFailed(handoff, failure, detail):
            message.failed.SetInParent()
            message.failed.handoff_id = handoff
            message.failed.reason = _number(failure, control_pb2.FailReason, "FAIL_REASON_")
            message.failed.detail = detail
        case b.HandoffDone(handoff, holder, epoch):
            message.done.SetInParent()
            message.done.handoff_id = handoff
            message.done.holder = holder
            message.done.epoch = epoch
        case _:
            assert_never(body.outcome)


def _read_handoff_result(message: control_pb2.HandoffResult) -> b.HandoffResult:
    outcome: b.HandoffOutcome
    match message.WhichOneof("outcome"):
        case None:
            raise MissingError("handoff_result.outcome")
        case "accepted":
            outcome = b.HandoffAccepted(HandoffId(message.accepted.handoff_id))
        case "refused":
            refusal = _named(RefuseReason, message.refused.reason, control_pb2.RefuseReason, "REFUSE_REASON_")
            outcome = b.HandoffRefused(refusal or RefuseReason.UNKNOWN, message.refused.detail)
        case "failed":
            failed = message.failed
            failure = _named(FailReason, failed.reason, control_pb2.FailReason, "FAIL_REASON_")
            outcome = b.HandoffFailed(HandoffId(failed.handoff_id), failure or FailReason.UNKNOWN, failed.detail)
        case "done":
            done = message.done
            outcome = b.HandoffDone(HandoffId(done.handoff_id), SpecialistName(done.holder), Epoch(done.epoch))
        case other:
            raise AssertionError(f"{other} is in the generated code and is not read")
    return b.HandoffResult(RequestId(message.request_id), outcome)


def _context_item_message(item: b.ContextItem) -> context_pb2.ContextItem:
    message = context_pb2.ContextItem(
        id=item.id,
        position=item.position or 0,
        chat_item=item.chat_item,
        framework=item.framework,
        framework_json=item.framework_json,
    )
    if item.unknown:
        message.MergeFromString(item.unknown)
    return message


def _read_context_item(message: context_pb2.ContextItem) -> b.ContextItem:
    item = b.ContextItem(
        id=message.id,
        position=message.position or None,
        chat_item=message.chat_item,
        framework=message.framework,
        framework_json=message.framework_json,
    )
    # What is left of the message without the fields that are known here.
    for field, _ in message.ListFields():
        message.ClearField(field.name)
    unknown = message.SerializeToString()
    return replace(item, unknown=unknown) if unknown else item


def _write_state_result(body: b.StateResult, message: context_pb2.StateResult) -> None:
    message.patch_id = body.patch
    match body.outcome:
        case b.StateAccepted(version):
            message.accepted.SetInParent()
            message.accepted.version = version
        case b.StateConflict(version, current):
            message.conflict.SetInParent()
            message.conflict.version = version
            message.conflict.current = current
        case b.StateDenied(path, reason):
            message.denied.SetInParent()
            message.denied.path = path
            message.denied.reason = reason
        case _:
            assert_never(body.outcome)


def _read_state_result(message: context_pb2.StateResult) -> b.StateResult:
    outcome: b.StateOutcome
    match message.WhichOneof("outcome"):
        case None:
            raise MissingError("state_result.outcome")
        case "accepted":
            outcome = b.StateAccepted(message.accepted.version)
        case "conflict":
            outcome = b.StateConflict(message.conflict.version, message.conflict.current)
        case "denied":
            outcome = b.StateDenied(message.denied.path, message.denied.reason)
        case other:
            raise AssertionError(f"{other} is in the generated code and is not read")
    return b.StateResult(message.patch_id, outcome)


_Named = TypeVar("_Named", bound=StrEnum)


class _Names(Protocol):
    """What protobuf generates for an enum."""

    def Name(self, number: Any) -> str: ...

    def Value(self, name: Any) -> Any: ...


def _number(named: StrEnum, names: _Names, prefix: str) -> Any:
    name = "UNSPECIFIED" if named.name == "UNKNOWN" else named.name
    return names.Value(prefix + name)


def _named(kind: type[_Named], number: int, names: _Names, prefix: str) -> _Named | None:
    """`None` if the number has no name, or one that is unknown here."""
    try:
        name = names.Name(number).removeprefix(prefix)
    except ValueError:
        return None
    return kind.__members__.get(name)
