//! One body of each kind, and more where a kind has several shapes.

use call::{
    Digit, Epoch, HandoffId, Identity, NamedTarget, Opening, PhaseName, RequestId, SpecialistName,
    Target, Targets, Ticket,
};
use wire::{
    Body, ContextChunk, ContextItem, ContextRefusal, ContextRefuseKind, Dtmf, FailKind,
    HandoffOutcome, HandoffRequest, HandoffResult, Heartbeat, Hello, Packet, Position, Prepare,
    Ready, RefuseKind, Reject, RejectReason, Revoke, RevokeMode, Seq, StateOutcome, StatePatch,
    StateResult, StreamId, Terms, VERSION, Welcome,
};

pub(crate) fn hello() -> Hello {
    Hello {
        attempt: 2,
        ticket: Ticket::from("7d1f0c3e5a"),
        specialist: SpecialistName::from("billing"),
        sdk_name: "baton-specialist".to_owned(),
        sdk_version: "0.1.0".to_owned(),
        versions: vec![VERSION],
        track_sid: "TR_AMx4".to_owned(),
        open_track_sid: "TR_AMw9".to_owned(),
        seen: Some(Position {
            stream: StreamId(0x0123_4567_89ab_cdef),
            seq: Seq(41),
        }),
        oldest: Seq(7),
    }
}

/// Names of vectors and their bodies; a name starts with the body's own.
pub(crate) fn bodies() -> Vec<(&'static str, Body)> {
    let result = |outcome| {
        Body::HandoffResult(HandoffResult {
            request: RequestId(3),
            outcome,
        })
    };
    let patched = |outcome| Body::StateResult(StateResult { patch: 12, outcome });
    vec![
        ("hello", Body::Hello(hello())),
        (
            "welcome",
            Body::Welcome(Welcome {
                attempt: 2,
                version: VERSION,
                seen: None,
                oldest: Seq(1),
                terms: Terms::default(),
                targets: Targets::default(),
            }),
        ),
        (
            "welcome-terms",
            Body::Welcome(Welcome {
                attempt: 2,
                version: VERSION,
                seen: None,
                oldest: Seq(1),
                terms: Terms {
                    preroll_ms: Some(400),
                    orchestrator_timeout_ms: Some(0),
                    body_bytes_max: Some(1 << 20),
                },
                targets: Targets::default(),
            }),
        ),
        (
            "welcome-targets",
            Body::Welcome(Welcome {
                attempt: 1,
                version: VERSION,
                seen: None,
                oldest: Seq(1),
                terms: Terms::default(),
                targets: Targets {
                    named: vec![
                        NamedTarget {
                            name: "billing".into(),
                            description: "Invoices and payments — Rechnungen".to_owned(),
                        },
                        NamedTarget {
                            name: "it-support".into(),
                            description: String::new(),
                        },
                    ],
                    previous: true,
                },
            }),
        ),
        (
            "heartbeat",
            Body::Heartbeat(Heartbeat {
                holder: Some(Identity::from("agent-AJ_billing")),
                epoch: Epoch(4),
                phase: Some(PhaseName::Switching),
            }),
        ),
        (
            "heartbeat-nobody",
            Body::Heartbeat(Heartbeat {
                holder: None,
                epoch: Epoch(0),
                phase: Some(PhaseName::Idle),
            }),
        ),
        (
            "reject",
            Body::Reject(Reject {
                reason: RejectReason::StaleEpoch,
                detail: "epoch 3 is not the current epoch 4".to_owned(),
                seq: Some(Seq(9)),
            }),
        ),
        (
            "prepare",
            Body::Prepare(Prepare {
                handoff: HandoffId(5),
                from: Some(SpecialistName::from("reception")),
                reason: "the caller asks about an invoice — Übertrag".to_owned(),
                opening: Opening::Say("Good morning, this is billing.".to_owned()),
                packet: Some(Packet {
                    context_items: 18,
                    context_hash: vec![0xab; 32],
                    state_version: 120,
                }),
                caller: Some(Identity::from("sip_+15550199")),
                delegation_input: Some(b"{}".to_vec()),
                traceparent: Some(
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
                ),
            }),
        ),
        (
            "prepare-entry",
            Body::Prepare(Prepare {
                handoff: HandoffId(1),
                from: None,
                reason: String::new(),
                opening: Opening::Greet,
                packet: None,
                caller: None,
                delegation_input: None,
                traceparent: None,
            }),
        ),
        (
            "cancel_prepare",
            Body::CancelPrepare {
                handoff: HandoffId(5),
            },
        ),
        (
            "ready",
            Body::Ready(Ready {
                handoff: HandoffId(5),
                context_items: 18,
                context_hash: vec![0xab; 32],
            }),
        ),
        (
            "refuse",
            Body::Refuse {
                handoff: HandoffId(5),
                reason: "no credentials for the billing system".to_owned(),
            },
        ),
        (
            "grant",
            Body::Grant {
                epoch: Epoch(4),
                opening: Opening::Continue,
                handoff: Some(HandoffId(5)),
                packet: Some(Packet {
                    context_items: 20,
                    context_hash: vec![0xba; 32],
                    state_version: 121,
                }),
            },
        ),
        (
            "grant-renewed",
            Body::Grant {
                epoch: Epoch(5),
                opening: Opening::Wait,
                handoff: None,
                packet: None,
            },
        ),
        (
            "granted",
            Body::Granted {
                epoch: Epoch(4),
                preroll_ms: None,
            },
        ),
        (
            "granted-preroll",
            Body::Granted {
                epoch: Epoch(4),
                preroll_ms: Some(400),
            },
        ),
        (
            "revoke-finish",
            Body::Revoke(Revoke {
                epoch: Epoch(5),
                mode: RevokeMode::Finish { deadline_ms: 1_500 },
            }),
        ),
        (
            "revoke-cut",
            Body::Revoke(Revoke {
                epoch: Epoch(5),
                mode: RevokeMode::Cut,
            }),
        ),
        ("released", Body::Released { epoch: Epoch(5) }),
        ("speech", Body::Speech { speaking: true }),
        ("speech-ended", Body::Speech { speaking: false }),
        ("leave", Body::Leave),
        (
            "handoff_request",
            Body::HandoffRequest(HandoffRequest {
                request: RequestId(3),
                target: Target::Specialist(SpecialistName::from("technical")),
                reason: "router does not sync".to_owned(),
                tool_call: None,
                delegation_input: None,
                delegation_result: None,
            }),
        ),
        (
            "handoff_request-previous",
            Body::HandoffRequest(HandoffRequest {
                request: RequestId(4),
                target: Target::Previous,
                reason: String::new(),
                tool_call: None,
                delegation_input: None,
                delegation_result: None,
            }),
        ),
        (
            "handoff_request-delegation",
            Body::HandoffRequest(HandoffRequest {
                request: RequestId(5),
                target: Target::Specialist(SpecialistName::from("identity")),
                reason: "the caller must be known".to_owned(),
                tool_call: Some("call_7".to_owned()),
                delegation_input: Some(br#"{"level":2}"#.to_vec()),
                delegation_result: None,
            }),
        ),
        (
            "handoff_request-done",
            Body::HandoffRequest(HandoffRequest {
                request: RequestId(1),
                target: Target::Previous,
                reason: String::new(),
                tool_call: None,
                delegation_input: None,
                delegation_result: Some(br#"{"known":true}"#.to_vec()),
            }),
        ),
        (
            "handoff_result-accepted",
            result(HandoffOutcome::Accepted {
                handoff: HandoffId(6),
            }),
        ),
        (
            "handoff_result-refused",
            result(HandoffOutcome::Refused {
                reason: RefuseKind::InProgress,
                detail: "handoff 5 to billing is under way".to_owned(),
            }),
        ),
        (
            "handoff_result-failed",
            result(HandoffOutcome::Failed {
                handoff: HandoffId(6),
                reason: FailKind::NeverReady,
                detail: "the target was not ready within 5000 ms".to_owned(),
            }),
        ),
        (
            "handoff_result-done",
            result(HandoffOutcome::Done {
                handoff: HandoffId(6),
                holder: SpecialistName::from("technical"),
                epoch: Epoch(6),
            }),
        ),
        (
            "context_append",
            Body::ContextAppend {
                items: vec![
                    ContextItem {
                        id: "item_1".to_owned(),
                        position: Some(1),
                        chat_item: vec![0x0a, 0x00],
                        framework: "livekit-python".to_owned(),
                        framework_json: br#"{"id":"item_1"}"#.to_vec(),
                        unknown: Vec::new(),
                    },
                    ContextItem {
                        id: "item_2".to_owned(),
                        position: None,
                        chat_item: Vec::new(),
                        framework: String::new(),
                        framework_json: Vec::new(),
                        unknown: Vec::new(),
                    },
                ],
            },
        ),
        (
            "context_chunk",
            Body::ContextChunk(ContextChunk {
                transfer: 2,
                offset: 12_000,
                total_bytes: 30_000,
                sha256: vec![0xcd; 32],
                data: vec![1, 2, 3],
            }),
        ),
        (
            "state_patch",
            Body::StatePatch(StatePatch {
                patch: 12,
                base_version: 119,
                merge_patch: br#"{"invoice":{"number":"A-17"}}"#.to_vec(),
                version: None,
            }),
        ),
        (
            "state_patch-accepted",
            Body::StatePatch(StatePatch {
                patch: 0,
                base_version: 119,
                merge_patch: br#"{"invoice":{"number":"A-17"}}"#.to_vec(),
                version: Some(121),
            }),
        ),
        (
            "state_result-accepted",
            patched(StateOutcome::Accepted { version: 120 }),
        ),
        (
            "state_result-conflict",
            patched(StateOutcome::Conflict {
                version: 121,
                current: b"{}".to_vec(),
            }),
        ),
        (
            "state_result-denied",
            patched(StateOutcome::Denied {
                path: "/card/number".to_owned(),
                reason: "billing may not write it".to_owned(),
            }),
        ),
        (
            "context_applied",
            Body::ContextApplied {
                context_items: 20,
                context_hash: vec![0xba; 32],
            },
        ),
        (
            "context_result",
            Body::ContextResult {
                kept: vec!["item_1".to_owned(), "item_2".to_owned()],
                refused: vec![ContextRefusal {
                    id: "item_3".to_owned(),
                    reason: ContextRefuseKind::StaleEpoch,
                    detail: "epoch 3 is not the current epoch 4".to_owned(),
                }],
            },
        ),
        (
            "summary_request",
            Body::SummaryRequest {
                request: 2,
                deadline_ms: 3_000,
            },
        ),
        (
            "summary_result",
            Body::SummaryResult {
                request: 2,
                outcome: Ok("The caller asks about invoice A-17.".to_owned()),
            },
        ),
        (
            "summary_result-refused",
            Body::SummaryResult {
                request: 2,
                outcome: Err("no model".to_owned()),
            },
        ),
        (
            "delegation_result",
            Body::DelegationResult {
                request: RequestId(5),
                outcome: Ok(br#"{"known":true}"#.to_vec()),
            },
        ),
        (
            "delegation_result-failed",
            Body::DelegationResult {
                request: RequestId(5),
                outcome: Err("the delegated specialist was lost".to_owned()),
            },
        ),
        (
            "dtmf",
            Body::Dtmf(Dtmf {
                number: 3,
                digit: Digit::new('#').expect("a key of a phone"),
            }),
        ),
        ("supersede", Body::Supersede { epoch: Epoch(5) }),
    ]
}
