"""The frames of `proto/vectors` as values: one body of each kind, and more where a kind has several shapes."""

from baton import (
    VERSION,
    Body,
    CallId,
    CancelPrepare,
    ContextAppend,
    ContextApplied,
    ContextChunk,
    ContextItem,
    ContextRefusal,
    ContextRefuseReason,
    ContextResult,
    Continue,
    Cut,
    DelegationResult,
    Dtmf,
    Epoch,
    FailReason,
    Finish,
    Frame,
    Grant,
    Granted,
    Greet,
    HandoffAccepted,
    HandoffDone,
    HandoffFailed,
    HandoffId,
    HandoffOutcome,
    HandoffRefused,
    HandoffRequest,
    HandoffResult,
    Heartbeat,
    Hello,
    Identity,
    Leave,
    NamedTarget,
    Packet,
    Phase,
    Position,
    Prepare,
    Ready,
    Refuse,
    RefuseReason,
    Reject,
    Released,
    Speech,
    RejectReason,
    RequestId,
    Revoke,
    Say,
    Seq,
    SpecialistName,
    StateAccepted,
    StateConflict,
    StateDenied,
    StateOutcome,
    StatePatch,
    StateResult,
    StreamId,
    SummaryRequest,
    SummaryResult,
    Supersede,
    Terms,
    Ticket,
    ToPrevious,
    ToSpecialist,
    Wait,
    Welcome,
)

SEEN = Position(StreamId(0x0123_4567_89AB_CDEF), Seq(41))

HELLO = Hello(
    attempt=2,
    ticket=Ticket("7d1f0c3e5a"),
    specialist=SpecialistName("billing"),
    sdk_name="baton-specialist",
    sdk_version="0.1.0",
    versions=(VERSION,),
    track_sid="TR_AMx4",
    open_track_sid="TR_AMw9",
    seen=SEEN,
    oldest=Seq(7),
)


def _result(outcome: HandoffOutcome) -> HandoffResult:
    return HandoffResult(RequestId(3), outcome)


def _patched(outcome: StateOutcome) -> StateResult:
    return StateResult(12, outcome)


BODIES: dict[str, Body] = {
    "hello": HELLO,
    "welcome": Welcome(attempt=2, version=VERSION, seen=None, oldest=Seq(1)),
    "welcome-terms": Welcome(
        attempt=2,
        version=VERSION,
        seen=None,
        oldest=Seq(1),
        terms=Terms(preroll_ms=400, orchestrator_timeout_ms=0, body_bytes_max=1 << 20),
    ),
    "welcome-targets": Welcome(
        attempt=1,
        version=VERSION,
        seen=None,
        oldest=Seq(1),
        targets=(
            NamedTarget(SpecialistName("billing"), "Invoices and payments — Rechnungen"),
            NamedTarget(SpecialistName("it-support")),
        ),
        previous=True,
    ),
    "heartbeat": Heartbeat(Identity("agent-AJ_billing"), Epoch(4), Phase.SWITCHING),
    "heartbeat-nobody": Heartbeat(None, Epoch(0), Phase.IDLE),
    "reject": Reject(RejectReason.STALE_EPOCH, "epoch 3 is not the current epoch 4", Seq(9)),
    "prepare": Prepare(
        handoff=HandoffId(5),
        source=SpecialistName("reception"),
        reason="the caller asks about an invoice — Übertrag",
        opening=Say("Good morning, this is billing."),
        packet=Packet(context_items=18, context_hash=b"\xab" * 32, state_version=120),
        caller=Identity("sip_+15550199"),
        delegation_input=b"{}",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
    "prepare-entry": Prepare(HandoffId(1), None, "", Greet(), None),
    "cancel_prepare": CancelPrepare(HandoffId(5)),
    "ready": Ready(HandoffId(5), 18, b"\xab" * 32),
    "refuse": Refuse(HandoffId(5), "no credentials for the billing system"),
    "grant": Grant(Epoch(4), Continue(), HandoffId(5), Packet(20, b"\xba" * 32, 121)),
    "grant-renewed": Grant(Epoch(5), Wait(), None),
    "granted": Granted(Epoch(4)),
    "granted-preroll": Granted(Epoch(4), preroll_ms=400),
    "revoke-finish": Revoke(Epoch(5), Finish(1_500)),
    "revoke-cut": Revoke(Epoch(5), Cut()),
    "released": Released(Epoch(5)),
    "speech": Speech(True),
    "speech-ended": Speech(False),
    "leave": Leave(),
    "handoff_request": HandoffRequest(
        RequestId(3), ToSpecialist(SpecialistName("technical")), "router does not sync"
    ),
    "handoff_request-previous": HandoffRequest(RequestId(4), ToPrevious(), ""),
    "handoff_request-delegation": HandoffRequest(
        RequestId(5),
        ToSpecialist(SpecialistName("identity")),
        "the caller must be known",
        tool_call="call_7",
        delegation_input=b'{"level":2}',
    ),
    "handoff_request-done": HandoffRequest(
        RequestId(1), ToPrevious(), "", delegation_result=b'{"known":true}'
    ),
    "handoff_result-accepted": _result(HandoffAccepted(HandoffId(6))),
    "handoff_result-refused": _result(
        HandoffRefused(RefuseReason.IN_PROGRESS, "handoff 5 to billing is under way")
    ),
    "handoff_result-failed": _result(
        HandoffFailed(HandoffId(6), FailReason.NEVER_READY, "the target was not ready within 5000 ms")
    ),
    "handoff_result-done": _result(HandoffDone(HandoffId(6), SpecialistName("technical"), Epoch(6))),
    "context_append": ContextAppend(
        (
            ContextItem("item_1", 1, b"\x0a\x00", "livekit-python", b'{"id":"item_1"}'),
            ContextItem("item_2", None, b""),
        )
    ),
    "context_chunk": ContextChunk(2, 12_000, 30_000, b"\xcd" * 32, b"\x01\x02\x03"),
    "state_patch": StatePatch(12, 119, b'{"invoice":{"number":"A-17"}}'),
    "state_patch-accepted": StatePatch(0, 119, b'{"invoice":{"number":"A-17"}}', 121),
    "state_result-accepted": _patched(StateAccepted(120)),
    "state_result-conflict": _patched(StateConflict(121, b"{}")),
    "state_result-denied": _patched(StateDenied("/card/number", "billing may not write it")),
    "context_applied": ContextApplied(20, b"\xba" * 32),
    "context_result": ContextResult(
        ("item_1", "item_2"),
        (
            ContextRefusal(
                "item_3", ContextRefuseReason.STALE_EPOCH, "epoch 3 is not the current epoch 4"
            ),
        ),
    ),
    "summary_request": SummaryRequest(2, 3_000),
    "summary_result": SummaryResult(2, "The caller asks about invoice A-17."),
    "summary_result-refused": SummaryResult(2, None, "no model"),
    "delegation_result": DelegationResult(RequestId(5), b'{"known":true}'),
    "delegation_result-failed": DelegationResult(RequestId(5), None, "the delegated specialist was lost"),
    "dtmf": Dtmf(3, "#"),
    "supersede": Supersede(Epoch(5)),
}


def _frame(body: Body | None) -> Frame:
    return Frame(
        version=VERSION,
        call=CallId("call-17"),
        epoch=Epoch(4),
        stream=StreamId(0xFEDC_BA98_7654_3210),
        seq=Seq(42) if body is not None and body.NAME not in ("hello", "welcome", "heartbeat") else None,
        ack=SEEN,
        body=body,
    )


FRAMES: dict[str, Frame] = {name: _frame(body) for name, body in BODIES.items()} | {"ack": _frame(None)}
