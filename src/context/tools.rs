//! What happens to a tool call that is still running when the baton moves.

use std::collections::BTreeMap;

use crate::item::{Item, ItemError, ItemId, Kind, ToolCallId};
use crate::log::{ContextLog, Position};
use crate::made::{self, UnixMillis};

/// What a switch does about a running call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InFlightPolicy {
    /// The switch waits for the result, up to a limit; then the call is cancelled.
    Wait,
    /// The call gets a result that says so, and its real one goes nowhere.
    Cancel,
    /// The switch goes on, and the next holder receives call and result when the result comes.
    Adopt,
}

/// The policy of each tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolPolicies {
    /// For a tool that is not named below.
    pub default: InFlightPolicy,
    /// By the tool's name.
    pub by_tool: BTreeMap<String, InFlightPolicy>,
}

/// A tool call without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningCall {
    /// The item of the call.
    pub item: ItemId,
    /// Its place in the log.
    pub place: Position,
    /// The call.
    pub call: ToolCallId,
    /// The tool.
    pub tool: String,
}

/// The running calls, by what a switch does about them. Oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunningCalls {
    /// To be waited for.
    pub wait: Vec<RunningCall>,
    /// To be cancelled.
    pub cancel: Vec<RunningCall>,
    /// To be adopted by the next holder.
    pub adopt: Vec<RunningCall>,
}

impl Default for ToolPolicies {
    fn default() -> Self {
        Self {
            default: InFlightPolicy::Wait,
            by_tool: BTreeMap::new(),
        }
    }
}

impl ToolPolicies {
    /// The policy of a tool.
    pub fn of(&self, tool: &str) -> InFlightPolicy {
        self.by_tool.get(tool).copied().unwrap_or(self.default)
    }

    /// What a switch would have to do about the calls that run now.
    pub fn sort(&self, log: &ContextLog) -> RunningCalls {
        let mut running = RunningCalls::default();
        for entry in log.in_flight() {
            let Kind::Call { call, tool } = entry.item().kind() else {
                continue;
            };
            let list = match self.of(tool) {
                InFlightPolicy::Wait => &mut running.wait,
                InFlightPolicy::Cancel => &mut running.cancel,
                InFlightPolicy::Adopt => &mut running.adopt,
            };
            list.push(RunningCall {
                item: entry.item().id().clone(),
                place: entry.place(),
                call: call.clone(),
                tool: tool.clone(),
            });
        }
        running
    }
}

impl RunningCall {
    /// The result that Baton has for it.
    pub fn answered(
        &self,
        output: String,
        is_error: bool,
        at: UnixMillis,
    ) -> Result<Item, ItemError> {
        made::output(&made::Output {
            id: format!("{}/answered", self.item),
            call_id: self.call.as_str().to_owned(),
            name: self.tool.clone(),
            output,
            is_error,
            at,
        })
    }

    /// The result that says that the call was cancelled. Once it is in the log, the real one has no call to go with.
    pub fn cancelled(&self, at: UnixMillis) -> Result<Item, ItemError> {
        made::output(&made::Output {
            id: format!("{}/cancelled", self.item),
            call_id: self.call.as_str().to_owned(),
            name: self.tool.clone(),
            output: "cancelled: the call was handed to another agent before the tool was done"
                .to_owned(),
            is_error: true,
            at,
        })
    }
}
