//! Bodies to their generated form and back, each way exhaustively.
//!
//! What a newer minor version may add is tolerated: an unknown opening is taken for Continue, an unknown mode of a
//! Revoke for Cut, an unknown reason for Unknown. What every version has must be there.

use call::{
    Digit, Epoch, HandoffId, Identity, NamedTarget, Opening, PhaseName, RequestId, SpecialistName,
    Target, Targets, Ticket,
};

use crate::body::{
    Body, ContextChunk, ContextRefusal, Dtmf, HandoffOutcome, HandoffRequest, HandoffResult,
    Heartbeat, Hello, Packet, Prepare, Ready, Reject, Revoke, RevokeMode, StateOutcome, StatePatch,
    StateResult, Terms, Welcome,
};
use crate::frame::{Position, Seq};
use crate::items;
use crate::pb;
use crate::pb::envelope::Body as Generated;
use crate::reason::{ContextRefuseKind, FailKind, RefuseKind, RejectReason};

/// Why a generated body is none of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// It lacks what it means nothing without: a newer version may have put something else in its place.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A context item is none.
    #[error("a context item is broken")]
    Item(#[from] prost::DecodeError),
}

impl From<Body> for Generated {
    fn from(body: Body) -> Self {
        match body {
            Body::Hello(body) => Self::Hello(hello(body)),
            Body::Welcome(body) => Self::Welcome(welcome(body)),
            Body::Heartbeat(body) => Self::Heartbeat(heartbeat(body)),
            Body::Reject(body) => Self::Reject(reject(body)),
            Body::Prepare(body) => Self::Prepare(prepare(body)),
            Body::CancelPrepare { handoff } => Self::CancelPrepare(pb::CancelPrepare {
                handoff_id: handoff.0,
            }),
            Body::Ready(body) => Self::Ready(ready(body)),
            Body::Refuse { handoff, reason } => Self::Refuse(pb::Refuse {
                handoff_id: handoff.0,
                reason,
            }),
            Body::Grant {
                epoch,
                opening: first,
                handoff,
                packet,
            } => {
                let Packet {
                    context_items,
                    context_hash,
                    state_version,
                } = packet.unwrap_or_default();
                Self::Grant(pb::Grant {
                    epoch: epoch.0,
                    opening: Some(opening(first)),
                    handoff_id: handoff.map_or(0, |handoff| handoff.0),
                    context_items,
                    context_hash,
                    state_version,
                })
            }
            Body::Granted { epoch, preroll_ms } => Self::Granted(pb::Granted {
                epoch: epoch.0,
                preroll_ms,
            }),
            Body::Revoke(body) => Self::Revoke(revoke(body)),
            Body::Released { epoch } => Self::Released(pb::Released { epoch: epoch.0 }),
            Body::Speech { speaking } => Self::Speech(pb::Speech { speaking }),
            Body::Leave => Self::Leave(pb::Leave {}),
            Body::HandoffRequest(body) => Self::HandoffRequest(handoff_request(body)),
            Body::HandoffResult(body) => Self::HandoffResult(handoff_result(body)),
            Body::ContextAppend { items } => Self::ContextAppend(items::write(items)),
            Body::ContextChunk(body) => Self::ContextChunk(context_chunk(body)),
            Body::StatePatch(body) => Self::StatePatch(state_patch(body)),
            Body::StateResult(body) => Self::StateResult(state_result(body)),
            Body::ContextApplied {
                context_items,
                context_hash,
            } => Self::ContextApplied(pb::ContextApplied {
                context_items,
                context_hash,
            }),
            Body::ContextResult { kept, refused } => Self::ContextResult(pb::ContextResult {
                kept,
                refused: refused.into_iter().map(context_refusal).collect(),
            }),
            Body::SummaryRequest {
                request,
                deadline_ms,
            } => Self::SummaryRequest(pb::SummaryRequest {
                request_id: request,
                deadline_ms,
            }),
            Body::SummaryResult { request, outcome } => Self::SummaryResult(pb::SummaryResult {
                request_id: request,
                outcome: Some(match outcome {
                    Ok(text) => pb::summary_result::Outcome::Text(text),
                    Err(why) => pb::summary_result::Outcome::Refused(why),
                }),
            }),
            Body::DelegationResult { request, outcome } => {
                Self::DelegationResult(pb::DelegationResult {
                    request_id: request.0,
                    outcome: Some(match outcome {
                        Ok(result) => pb::delegation_result::Outcome::Result(result),
                        Err(why) => pb::delegation_result::Outcome::Failed(why),
                    }),
                })
            }
            Body::Supersede { epoch } => Self::Supersede(pb::Supersede { epoch: epoch.0 }),
            Body::Dtmf(Dtmf { number, digit }) => Self::Dtmf(pb::Dtmf {
                number,
                digit: digit.as_char().to_string(),
            }),
        }
    }
}

impl Body {
    pub(crate) fn from_generated(body: Generated) -> Result<Self, Unreadable> {
        Ok(match body {
            Generated::Hello(body) => Self::Hello(read_hello(body)),
            Generated::Welcome(body) => Self::Welcome(read_welcome(body)?),
            Generated::Heartbeat(body) => Self::Heartbeat(read_heartbeat(body)),
            Generated::Reject(body) => Self::Reject(read_reject(body)),
            Generated::Prepare(body) => Self::Prepare(read_prepare(body)),
            Generated::CancelPrepare(pb::CancelPrepare { handoff_id }) => Self::CancelPrepare {
                handoff: HandoffId(handoff_id),
            },
            Generated::Ready(body) => Self::Ready(read_ready(body)),
            Generated::Refuse(pb::Refuse { handoff_id, reason }) => Self::Refuse {
                handoff: HandoffId(handoff_id),
                reason,
            },
            Generated::Grant(pb::Grant {
                epoch,
                opening,
                handoff_id,
                context_items,
                context_hash,
                state_version,
            }) => Self::Grant {
                epoch: Epoch(epoch),
                opening: read_opening(opening),
                handoff: (handoff_id != 0).then_some(HandoffId(handoff_id)),
                packet: (!context_hash.is_empty()).then_some(Packet {
                    context_items,
                    context_hash,
                    state_version,
                }),
            },
            Generated::Granted(pb::Granted { epoch, preroll_ms }) => Self::Granted {
                epoch: Epoch(epoch),
                preroll_ms,
            },
            Generated::Revoke(body) => Self::Revoke(read_revoke(body)),
            Generated::Released(pb::Released { epoch }) => Self::Released {
                epoch: Epoch(epoch),
            },
            Generated::Speech(pb::Speech { speaking }) => Self::Speech { speaking },
            Generated::Leave(pb::Leave {}) => Self::Leave,
            Generated::HandoffRequest(body) => Self::HandoffRequest(read_handoff_request(body)?),
            Generated::HandoffResult(body) => Self::HandoffResult(read_handoff_result(body)?),
            Generated::ContextAppend(append) => Self::ContextAppend {
                items: items::read(append)?,
            },
            Generated::ContextChunk(body) => Self::ContextChunk(read_context_chunk(body)),
            Generated::StatePatch(body) => Self::StatePatch(read_state_patch(body)),
            Generated::StateResult(body) => Self::StateResult(read_state_result(body)?),
            Generated::ContextApplied(pb::ContextApplied {
                context_items,
                context_hash,
            }) => Self::ContextApplied {
                context_items,
                context_hash,
            },
            Generated::ContextResult(pb::ContextResult { kept, refused }) => Self::ContextResult {
                kept,
                refused: refused.into_iter().map(read_context_refusal).collect(),
            },
            Generated::SummaryRequest(pb::SummaryRequest {
                request_id,
                deadline_ms,
            }) => Self::SummaryRequest {
                request: request_id,
                deadline_ms,
            },
            Generated::SummaryResult(pb::SummaryResult {
                request_id,
                outcome,
            }) => Self::SummaryResult {
                request: request_id,
                outcome: match outcome.ok_or(Unreadable::Missing("summary_result.outcome"))? {
                    pb::summary_result::Outcome::Text(text) => Ok(text),
                    pb::summary_result::Outcome::Refused(why) => Err(why),
                },
            },
            Generated::DelegationResult(pb::DelegationResult {
                request_id,
                outcome,
            }) => Self::DelegationResult {
                request: RequestId(request_id),
                outcome: match outcome.ok_or(Unreadable::Missing("delegation_result.outcome"))? {
                    pb::delegation_result::Outcome::Result(result) => Ok(result),
                    pb::delegation_result::Outcome::Failed(why) => Err(why),
                },
            },
            Generated::Supersede(pb::Supersede { epoch }) => Self::Supersede {
                epoch: Epoch(epoch),
            },
            Generated::Dtmf(body) => Self::Dtmf(read_dtmf(body)?),
        })
    }
}

fn hello(body: Hello) -> pb::Hello {
    let Hello {
        attempt,
        ticket,
        specialist,
        sdk_name,
        sdk_version,
        versions,
        track_sid,
        seen,
        oldest,
        open_track_sid,
    } = body;
    pb::Hello {
        attempt,
        ticket: ticket.as_str().to_owned(),
        specialist: specialist.as_str().to_owned(),
        sdk_name,
        sdk_version,
        versions: versions.into_iter().map(Into::into).collect(),
        track_sid,
        seen: seen.map(Into::into),
        oldest_seq: oldest.0,
        open_track_sid,
    }
}

fn read_hello(body: pb::Hello) -> Hello {
    let pb::Hello {
        attempt,
        ticket,
        specialist,
        sdk_name,
        sdk_version,
        versions,
        track_sid,
        seen,
        oldest_seq,
        open_track_sid,
    } = body;
    Hello {
        attempt,
        ticket: Ticket::from(ticket),
        specialist: SpecialistName::from(specialist),
        sdk_name,
        sdk_version,
        versions: versions.into_iter().map(Into::into).collect(),
        track_sid,
        seen: seen.map(Position::from),
        oldest: Seq(oldest_seq),
        open_track_sid,
    }
}

fn welcome(body: Welcome) -> pb::Welcome {
    let Welcome {
        attempt,
        version,
        seen,
        oldest,
        terms,
        targets: Targets { named, previous },
    } = body;
    let Terms {
        preroll_ms,
        orchestrator_timeout_ms,
        body_bytes_max,
    } = terms;
    pb::Welcome {
        attempt,
        version: Some(version.into()),
        seen: seen.map(Into::into),
        oldest_seq: oldest.0,
        preroll_ms,
        orchestrator_timeout_ms,
        body_bytes_max,
        targets: named.into_iter().map(route_target).collect(),
        previous,
    }
}

fn read_welcome(body: pb::Welcome) -> Result<Welcome, Unreadable> {
    let pb::Welcome {
        attempt,
        version,
        seen,
        oldest_seq,
        preroll_ms,
        orchestrator_timeout_ms,
        body_bytes_max,
        targets,
        previous,
    } = body;
    Ok(Welcome {
        attempt,
        version: version
            .ok_or(Unreadable::Missing("welcome.version"))?
            .into(),
        seen: seen.map(Position::from),
        oldest: Seq(oldest_seq),
        terms: Terms {
            preroll_ms,
            orchestrator_timeout_ms,
            body_bytes_max,
        },
        targets: Targets {
            named: targets.into_iter().map(read_route_target).collect(),
            previous,
        },
    })
}

fn read_dtmf(body: pb::Dtmf) -> Result<Dtmf, Unreadable> {
    let pb::Dtmf { number, digit } = body;
    let mut characters = digit.chars();
    let digit = characters
        .next()
        .filter(|_| characters.next().is_none())
        .and_then(Digit::new)
        .ok_or(Unreadable::Missing("dtmf.digit"))?;
    Ok(Dtmf { number, digit })
}

fn route_target(target: NamedTarget) -> pb::RouteTarget {
    let NamedTarget { name, description } = target;
    pb::RouteTarget {
        name: name.as_str().to_owned(),
        description,
    }
}

fn read_route_target(target: pb::RouteTarget) -> NamedTarget {
    let pb::RouteTarget { name, description } = target;
    NamedTarget {
        name: SpecialistName::from(name),
        description,
    }
}

fn heartbeat(body: Heartbeat) -> pb::Heartbeat {
    let Heartbeat {
        holder,
        epoch,
        phase,
    } = body;
    let phase = match phase {
        None => pb::Phase::Unspecified,
        Some(PhaseName::Idle) => pb::Phase::Idle,
        Some(PhaseName::Preparing) => pb::Phase::Preparing,
        Some(PhaseName::Ready) => pb::Phase::Ready,
        Some(PhaseName::Switching) => pb::Phase::Switching,
        Some(PhaseName::Active) => pb::Phase::Active,
    };
    pb::Heartbeat {
        holder: holder.map_or_else(String::new, |holder| holder.as_str().to_owned()),
        epoch: epoch.0,
        phase: phase.into(),
    }
}

fn read_heartbeat(body: pb::Heartbeat) -> Heartbeat {
    let pb::Heartbeat {
        holder,
        epoch,
        phase,
    } = body;
    Heartbeat {
        holder: (!holder.is_empty()).then(|| Identity::from(holder)),
        epoch: Epoch(epoch),
        phase: match pb::Phase::try_from(phase) {
            Err(_) | Ok(pb::Phase::Unspecified) => None,
            Ok(pb::Phase::Idle) => Some(PhaseName::Idle),
            Ok(pb::Phase::Preparing) => Some(PhaseName::Preparing),
            Ok(pb::Phase::Ready) => Some(PhaseName::Ready),
            Ok(pb::Phase::Switching) => Some(PhaseName::Switching),
            Ok(pb::Phase::Active) => Some(PhaseName::Active),
        },
    }
}

fn reject(body: Reject) -> pb::Reject {
    let Reject {
        reason,
        detail,
        seq,
    } = body;
    pb::Reject {
        reason: reason.to_generated(),
        detail,
        seq: seq.map_or(0, |seq| seq.0),
    }
}

fn read_reject(body: pb::Reject) -> Reject {
    let pb::Reject {
        reason,
        detail,
        seq,
    } = body;
    Reject {
        reason: RejectReason::from_generated(reason),
        detail,
        seq: (seq != 0).then_some(Seq(seq)),
    }
}

fn opening(opening: Opening) -> pb::Opening {
    use pb::opening::Kind;
    let kind = match opening {
        Opening::Continue => Kind::Continue(pb::Nothing {}),
        Opening::Greet => Kind::Greet(pb::Nothing {}),
        Opening::Wait => Kind::Wait(pb::Nothing {}),
        Opening::Say(text) => Kind::Say(text),
    };
    pb::Opening { kind: Some(kind) }
}

fn read_opening(opening: Option<pb::Opening>) -> Opening {
    use pb::opening::Kind;
    match opening.and_then(|opening| opening.kind) {
        None | Some(Kind::Continue(pb::Nothing {})) => Opening::Continue,
        Some(Kind::Greet(pb::Nothing {})) => Opening::Greet,
        Some(Kind::Wait(pb::Nothing {})) => Opening::Wait,
        Some(Kind::Say(text)) => Opening::Say(text),
    }
}

fn prepare(body: Prepare) -> pb::Prepare {
    let Prepare {
        handoff,
        from,
        reason,
        opening: first,
        packet,
        caller,
        delegation_input,
        traceparent,
    } = body;
    pb::Prepare {
        handoff_id: handoff.0,
        from: from.map_or_else(String::new, |from| from.as_str().to_owned()),
        reason,
        opening: Some(opening(first)),
        packet: packet.map(|packet| {
            let Packet {
                context_items,
                context_hash,
                state_version,
            } = packet;
            pb::Packet {
                context_items,
                context_hash,
                state_version,
            }
        }),
        caller: caller.map_or_else(String::new, |caller| caller.as_str().to_owned()),
        delegation_input,
        traceparent: traceparent.unwrap_or_default(),
    }
}

fn read_prepare(body: pb::Prepare) -> Prepare {
    let pb::Prepare {
        handoff_id,
        from,
        reason,
        opening,
        packet,
        caller,
        delegation_input,
        traceparent,
    } = body;
    Prepare {
        handoff: HandoffId(handoff_id),
        from: (!from.is_empty()).then(|| SpecialistName::from(from)),
        reason,
        opening: read_opening(opening),
        packet: packet.map(|packet| {
            let pb::Packet {
                context_items,
                context_hash,
                state_version,
            } = packet;
            Packet {
                context_items,
                context_hash,
                state_version,
            }
        }),
        caller: (!caller.is_empty()).then(|| Identity::from(caller)),
        delegation_input,
        traceparent: (!traceparent.is_empty()).then_some(traceparent),
    }
}

fn ready(body: Ready) -> pb::Ready {
    let Ready {
        handoff,
        context_items,
        context_hash,
    } = body;
    pb::Ready {
        handoff_id: handoff.0,
        context_items,
        context_hash,
    }
}

fn read_ready(body: pb::Ready) -> Ready {
    let pb::Ready {
        handoff_id,
        context_items,
        context_hash,
    } = body;
    Ready {
        handoff: HandoffId(handoff_id),
        context_items,
        context_hash,
    }
}

fn revoke(body: Revoke) -> pb::Revoke {
    let Revoke { epoch, mode } = body;
    let (mode, deadline_ms) = match mode {
        RevokeMode::Finish { deadline_ms } => (pb::RevokeMode::Finish, deadline_ms),
        RevokeMode::Cut => (pb::RevokeMode::Cut, 0),
    };
    pb::Revoke {
        epoch: epoch.0,
        mode: mode.into(),
        deadline_ms,
    }
}

fn read_revoke(body: pb::Revoke) -> Revoke {
    let pb::Revoke {
        epoch,
        mode,
        deadline_ms,
    } = body;
    Revoke {
        epoch: Epoch(epoch),
        mode: match pb::RevokeMode::try_from(mode) {
            Ok(pb::RevokeMode::Finish) => RevokeMode::Finish { deadline_ms },
            Err(_) | Ok(pb::RevokeMode::Unspecified | pb::RevokeMode::Cut) => RevokeMode::Cut,
        },
    }
}

fn handoff_request(body: HandoffRequest) -> pb::HandoffRequest {
    use pb::handoff_request::Target as GeneratedTarget;
    let HandoffRequest {
        request,
        target,
        reason,
        tool_call,
        delegation_input,
        delegation_result,
    } = body;
    pb::HandoffRequest {
        request_id: request.0,
        target: Some(match target {
            Target::Specialist(name) => GeneratedTarget::Specialist(name.as_str().to_owned()),
            Target::Previous => GeneratedTarget::Previous(pb::Nothing {}),
        }),
        reason,
        tool_call_id: tool_call.unwrap_or_default(),
        delegation_input,
        delegation_result,
    }
}

fn read_handoff_request(body: pb::HandoffRequest) -> Result<HandoffRequest, Unreadable> {
    use pb::handoff_request::Target as GeneratedTarget;
    let pb::HandoffRequest {
        request_id,
        target,
        reason,
        tool_call_id,
        delegation_input,
        delegation_result,
    } = body;
    Ok(HandoffRequest {
        request: RequestId(request_id),
        target: match target.ok_or(Unreadable::Missing("handoff_request.target"))? {
            GeneratedTarget::Specialist(name) => Target::Specialist(SpecialistName::from(name)),
            GeneratedTarget::Previous(pb::Nothing {}) => Target::Previous,
        },
        reason,
        tool_call: (!tool_call_id.is_empty()).then_some(tool_call_id),
        delegation_input,
        delegation_result,
    })
}

fn handoff_result(body: HandoffResult) -> pb::HandoffResult {
    use pb::handoff_result::Outcome;
    let HandoffResult { request, outcome } = body;
    pb::HandoffResult {
        request_id: request.0,
        outcome: Some(match outcome {
            HandoffOutcome::Accepted { handoff } => Outcome::Accepted(pb::HandoffAccepted {
                handoff_id: handoff.0,
            }),
            HandoffOutcome::Refused { reason, detail } => Outcome::Refused(pb::HandoffRefused {
                reason: reason.to_generated(),
                detail,
            }),
            HandoffOutcome::Failed {
                handoff,
                reason,
                detail,
            } => Outcome::Failed(pb::HandoffFailed {
                handoff_id: handoff.0,
                reason: reason.to_generated(),
                detail,
            }),
            HandoffOutcome::Done {
                handoff,
                holder,
                epoch,
            } => Outcome::Done(pb::HandoffDone {
                handoff_id: handoff.0,
                holder: holder.as_str().to_owned(),
                epoch: epoch.0,
            }),
        }),
    }
}

fn read_handoff_result(body: pb::HandoffResult) -> Result<HandoffResult, Unreadable> {
    use pb::handoff_result::Outcome;
    let pb::HandoffResult {
        request_id,
        outcome,
    } = body;
    Ok(HandoffResult {
        request: RequestId(request_id),
        outcome: match outcome.ok_or(Unreadable::Missing("handoff_result.outcome"))? {
            Outcome::Accepted(pb::HandoffAccepted { handoff_id }) => HandoffOutcome::Accepted {
                handoff: HandoffId(handoff_id),
            },
            Outcome::Refused(pb::HandoffRefused { reason, detail }) => HandoffOutcome::Refused {
                reason: RefuseKind::from_generated(reason),
                detail,
            },
            Outcome::Failed(pb::HandoffFailed {
                handoff_id,
                reason,
                detail,
            }) => HandoffOutcome::Failed {
                handoff: HandoffId(handoff_id),
                reason: FailKind::from_generated(reason),
                detail,
            },
            Outcome::Done(pb::HandoffDone {
                handoff_id,
                holder,
                epoch,
            }) => HandoffOutcome::Done {
                handoff: HandoffId(handoff_id),
                holder: SpecialistName::from(holder),
                epoch: Epoch(epoch),
            },
        },
    })
}

fn context_refusal(refusal: ContextRefusal) -> pb::ContextRefusal {
    let ContextRefusal { id, reason, detail } = refusal;
    pb::ContextRefusal {
        id,
        reason: reason.to_generated(),
        detail,
    }
}

fn read_context_refusal(refusal: pb::ContextRefusal) -> ContextRefusal {
    let pb::ContextRefusal { id, reason, detail } = refusal;
    ContextRefusal {
        id,
        reason: ContextRefuseKind::from_generated(reason),
        detail,
    }
}

fn context_chunk(body: ContextChunk) -> pb::ContextChunk {
    let ContextChunk {
        transfer,
        offset,
        total_bytes,
        sha256,
        data,
    } = body;
    pb::ContextChunk {
        transfer_id: transfer,
        offset,
        total_bytes,
        sha256,
        data,
    }
}

fn read_context_chunk(body: pb::ContextChunk) -> ContextChunk {
    let pb::ContextChunk {
        transfer_id,
        offset,
        total_bytes,
        sha256,
        data,
    } = body;
    ContextChunk {
        transfer: transfer_id,
        offset,
        total_bytes,
        sha256,
        data,
    }
}

fn state_patch(body: StatePatch) -> pb::StatePatch {
    let StatePatch {
        patch,
        base_version,
        merge_patch,
        version,
    } = body;
    pb::StatePatch {
        patch_id: patch,
        base_version,
        merge_patch,
        version: version.unwrap_or(0),
    }
}

fn read_state_patch(body: pb::StatePatch) -> StatePatch {
    let pb::StatePatch {
        patch_id,
        base_version,
        merge_patch,
        version,
    } = body;
    StatePatch {
        patch: patch_id,
        base_version,
        merge_patch,
        version: (version != 0).then_some(version),
    }
}

fn state_result(body: StateResult) -> pb::StateResult {
    use pb::state_result::Outcome;
    let StateResult { patch, outcome } = body;
    pb::StateResult {
        patch_id: patch,
        outcome: Some(match outcome {
            StateOutcome::Accepted { version } => Outcome::Accepted(pb::StateAccepted { version }),
            StateOutcome::Conflict { version, current } => {
                Outcome::Conflict(pb::StateConflict { version, current })
            }
            StateOutcome::Denied { path, reason } => {
                Outcome::Denied(pb::StateDenied { path, reason })
            }
        }),
    }
}

fn read_state_result(body: pb::StateResult) -> Result<StateResult, Unreadable> {
    use pb::state_result::Outcome;
    let pb::StateResult { patch_id, outcome } = body;
    Ok(StateResult {
        patch: patch_id,
        outcome: match outcome.ok_or(Unreadable::Missing("state_result.outcome"))? {
            Outcome::Accepted(pb::StateAccepted { version }) => StateOutcome::Accepted { version },
            Outcome::Conflict(pb::StateConflict { version, current }) => {
                StateOutcome::Conflict { version, current }
            }
            Outcome::Denied(pb::StateDenied { path, reason }) => {
                StateOutcome::Denied { path, reason }
            }
        },
    })
}
