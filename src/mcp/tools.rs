//! The tools: each reads what came, asks `admin`, and writes the answer.

use axum::http::request::Parts;
use rmcp::ErrorData;
use rmcp::handler::server::tool::Extension;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::CallToolResult;
use rmcp::{tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Mcp, access};
use crate::admin::{AdminError, EscalationWish, Filter, HandoffWish, PatchWish, WaitWish};

/// Which calls to list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListArguments {
    /// Only calls in this phase: idle, preparing, ready, switching or active.
    #[serde(default)]
    phase: Option<String>,
    /// Only calls whose baton is with this specialist.
    #[serde(default)]
    holder: Option<String>,
    /// Only calls whose id, room or caller contains this text, as far as the credential shows them.
    #[serde(default)]
    text: Option<String>,
    /// Only calls after this id: `next` of an earlier answer.
    #[serde(default)]
    after: Option<String>,
    /// At most so many.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
}

/// One call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CallArguments {
    /// The call's id, as `list_calls` gives it.
    call: String,
}

/// What of a conversation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContextArguments {
    /// The call's id.
    call: String,
    /// Only items after this position: `next` or `head` of an earlier answer.
    #[serde(default)]
    after: u64,
    /// At most so many.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
}

/// A change of the shared state.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchArguments {
    /// The call's id.
    call: String,
    /// The version that the patch was made against, from `get_state`.
    base_version: u64,
    /// A JSON merge patch (RFC 7396): null removes a key.
    patch: Map<String, Value>,
}

/// A wish to move the baton.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HandoffArguments {
    /// The call's id.
    call: String,
    /// The name of a specialist, or `previous`.
    to: String,
    /// Why, for the log and for the one who takes over.
    #[serde(default)]
    #[schemars(length(max = 512))]
    reason: String,
    /// Cut the holder off instead of waiting for what the route says.
    #[serde(default)]
    now: bool,
    /// How long to wait for the outcome, in milliseconds.
    #[serde(default)]
    #[schemars(range(max = 60_000))]
    wait_ms: Option<u64>,
}

#[tool_router(vis = "pub(super)")]
impl Mcp {
    /// The running calls that the credential shows: who has the baton, the phase, the specialists, what was counted.
    #[tool(annotations(title = "List calls", read_only_hint = true, open_world_hint = false))]
    async fn list_calls(
        &self,
        Parameters(arguments): Parameters<ListArguments>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        let ListArguments {
            phase,
            holder,
            text,
            after,
            limit,
        } = arguments;
        let filter = Filter {
            phase,
            holder,
            text,
            after,
            limit,
        };
        answer(self.admin.calls(&access(&parts)?, &filter))
    }

    /// One running call: who has the baton, since which epoch, the phase, the handoff under way, the specialists.
    #[tool(annotations(
        title = "Look at a call",
        read_only_hint = true,
        open_world_hint = false
    ))]
    async fn get_call(
        &self,
        Parameters(CallArguments { call }): Parameters<CallArguments>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        answer(self.admin.call(&access(&parts)?, &call))
    }

    /// What was said in a call, in the order in which it came: messages, tool calls and results, handoffs.
    #[tool(annotations(
        title = "Read the conversation",
        read_only_hint = true,
        open_world_hint = false
    ))]
    async fn get_context(
        &self,
        Parameters(arguments): Parameters<ContextArguments>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        let ContextArguments { call, after, limit } = arguments;
        answer(self.admin.context(&access(&parts)?, &call, after, limit))
    }

    /// Conversation and state of a call as one portable packet, which can be converted into other frameworks' messages.
    #[tool(annotations(
        title = "Take the packet",
        read_only_hint = true,
        open_world_hint = false
    ))]
    async fn get_packet(
        &self,
        Parameters(CallArguments { call }): Parameters<CallArguments>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        answer(self.admin.packet(&access(&parts)?, &call))
    }

    /// The shared variables of a call, with their version.
    #[tool(annotations(
        title = "Read the state",
        read_only_hint = true,
        open_world_hint = false
    ))]
    async fn get_state(
        &self,
        Parameters(CallArguments { call }): Parameters<CallArguments>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        answer(self.admin.state(&access(&parts)?, &call))
    }

    /// Changes the shared variables of a call, unless what the patch touches has changed since its base version; a
    /// conflict answers with the state as it is now.
    #[tool(annotations(
        title = "Change the state",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = false,
        open_world_hint = false
    ))]
    async fn patch_state(
        &self,
        Parameters(arguments): Parameters<PatchArguments>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        let PatchArguments {
            call,
            base_version,
            patch,
        } = arguments;
        let wish = PatchWish {
            base_version,
            patch,
        };
        let access = access(&parts)?;
        answer(self.admin.patch_state(&access, &call, wish).await)
    }

    /// Moves the baton to another specialist, if the call's rules allow it, and waits for what becomes of it. The caller
    /// then hears that specialist.
    #[tool(annotations(
        title = "Hand over",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = false,
        open_world_hint = true
    ))]
    async fn request_handoff(
        &self,
        Parameters(arguments): Parameters<HandoffArguments>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        let HandoffArguments {
            call,
            to,
            reason,
            now,
            wait_ms,
        } = arguments;
        let wish = HandoffWish {
            to,
            reason,
            now,
            wait_ms,
        };
        let access = access(&parts)?;
        answer(self.admin.hand_off(&access, &call, wish).await)
    }

    /// Puts the caller on hold: nobody has the baton, the filler is heard, and who had the baton is kept for `resume`.
    #[tool(annotations(
        title = "Put on hold",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = false,
        open_world_hint = true
    ))]
    async fn hold(
        &self,
        Parameters(CallArguments { call }): Parameters<CallArguments>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        let access = access(&parts)?;
        answer(self.admin.hold(&access, &call).await)
    }

    /// Ends a hold: who had the baton before has it again, and goes on without a greeting.
    #[tool(annotations(
        title = "End the hold",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = false,
        open_world_hint = true
    ))]
    async fn resume(
        &self,
        Parameters(ResumeArguments { call, wait_ms }): Parameters<ResumeArguments>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        let access = access(&parts)?;
        let wish = WaitWish { wait_ms };
        answer(self.admin.resume(&access, &call, wish).await)
    }

    /// Moves the baton to whom the configuration names for what nobody else can settle.
    #[tool(annotations(
        title = "Escalate",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = false,
        open_world_hint = true
    ))]
    async fn escalate(
        &self,
        Parameters(arguments): Parameters<EscalationArguments>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        let EscalationArguments {
            call,
            reason,
            now,
            wait_ms,
        } = arguments;
        let wish = EscalationWish {
            reason,
            now,
            wait_ms,
        };
        let access = access(&parts)?;
        answer(self.admin.escalate(&access, &call, wish).await)
    }

    /// Accepts the call for the person that is rung and there, as its key does: the caller is then put through to that person.
    #[tool(annotations(
        title = "Accept for a person",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = false,
        open_world_hint = true
    ))]
    async fn accept(
        &self,
        Parameters(CallArguments { call }): Parameters<CallArguments>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        let access = access(&parts)?;
        answer(self.admin.accept(&access, &call).await)
    }

    /// Declines the call for the person that is rung: the specialist that asked for it goes on with the caller.
    #[tool(annotations(
        title = "Decline for a person",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = false,
        open_world_hint = true
    ))]
    async fn decline(
        &self,
        Parameters(CallArguments { call }): Parameters<CallArguments>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        let access = access(&parts)?;
        answer(self.admin.decline(&access, &call).await)
    }

    /// Has the person that has the baton give it back to whoever had it before, who goes on without a greeting.
    #[tool(annotations(
        title = "Hand back for a person",
        read_only_hint = false,
        destructive_hint = true,
        idempotent_hint = false,
        open_world_hint = true
    ))]
    async fn hand_back(
        &self,
        Parameters(ResumeArguments { call, wait_ms }): Parameters<ResumeArguments>,
        Extension(parts): Extension<Parts>,
    ) -> Result<CallToolResult, ErrorData> {
        let access = access(&parts)?;
        let wish = WaitWish { wait_ms };
        answer(self.admin.hand_back(&access, &call, wish).await)
    }
}

/// A wish to end a hold, or to hand back for a person.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumeArguments {
    /// The call's id.
    call: String,
    /// How long to wait for the outcome, in milliseconds.
    #[serde(default)]
    #[schemars(range(max = 60_000))]
    wait_ms: Option<u64>,
}

/// A wish to escalate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EscalationArguments {
    /// The call's id.
    call: String,
    /// Why, for the log and for the one who takes over.
    #[serde(default)]
    #[schemars(length(max = 512))]
    reason: String,
    /// Cut the holder off instead of waiting for what the route says.
    #[serde(default)]
    now: bool,
    /// How long to wait for the outcome, in milliseconds.
    #[serde(default)]
    #[schemars(range(max = 60_000))]
    wait_ms: Option<u64>,
}

/// What a use case answers, as a tool's result. That a call refuses something is for the agent to read, and so no
/// error of the protocol.
fn answer<T: Serialize>(outcome: Result<T, AdminError>) -> Result<CallToolResult, ErrorData> {
    match outcome {
        Ok(answer) => serde_json::to_value(answer)
            .map(CallToolResult::structured)
            .map_err(|error| ErrorData::internal_error(error.to_string(), None)),
        Err(error) => Ok(CallToolResult::structured_error(problem(&error))),
    }
}

/// An error for the agent: what the HTTP interface says in its problems.
pub(super) fn problem(error: &AdminError) -> Value {
    let mut problem = json!({"code": error.code(), "detail": error.to_string()});
    match error {
        AdminError::Refused { code, .. } | AdminError::Failed { code, .. } => {
            problem["reason"] = json!(code);
        }
        AdminError::Conflict {
            base: _,
            version,
            current,
        } => {
            problem["version"] = json!(version);
            problem["current"] = json!(current);
        }
        AdminError::NoCall { .. }
        | AdminError::NotAllowed { .. }
        | AdminError::Busy
        | AdminError::CallEnded
        | AdminError::NotConfigured { .. }
        | AdminError::Journal { .. }
        | AdminError::Invalid { .. } => {}
    }
    problem
}
