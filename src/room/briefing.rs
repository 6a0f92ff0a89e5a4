//! What a person is told in writing of the call that it may accept: why it is rung, by whom, and the summary that its route has
//! made. Only a person that came by a client of LiveKit can read it; a phone's systems ask for the packet.

use call::{DispatchId, HandoffId, Identity, RouteNumber, SpecialistName};
use context::{Format, Item, LivekitItem, masked};
use serde_json::{Value, json};

use super::sides::packet_path;
use super::task::Task;
use crate::side;

/// The longest text of a summary that is told, in bytes; what is longer is cut off.
const SUMMARY_BYTES_MAX: usize = 16 * 1024;

/// What is known so far of one person's call.
#[derive(Debug, Default)]
pub(super) struct Briefing {
    /// Why and by whom it is rung, once it is asked whether it accepts.
    asked: Option<Value>,
    summary: Option<String>,
}

impl Task {
    /// A person is asked whether it accepts: it is told of what; nothing happens for anybody else.
    pub(super) fn brief(
        &mut self,
        identity: &Identity,
        handoff: HandoffId,
        from: Option<&SpecialistName>,
        reason: &str,
    ) {
        let asked = json!({
            "call": self.call.id().as_str(),
            "packet": packet_path(self.call.id()),
            "handoff": handoff.0,
            "from": from.map(SpecialistName::as_str),
            "reason": reason,
        });
        if let Some(briefing) = self.sides.briefing_mut(identity) {
            briefing.asked = Some(asked);
            self.tell_briefing(identity);
        }
    }

    /// The summary for this dispatch is made: if it is of a person, it is told.
    pub(super) fn brief_summary(
        &mut self,
        target: DispatchId,
        summary: &Item,
        route: Option<RouteNumber>,
    ) {
        let Some(identity) = self.sides.identity_of(target) else {
            return;
        };
        let masks = self.deps.context.route(route).filter.masks;
        let seen = masked(std::slice::from_ref(summary), &masks);
        let Some(text) = seen.into_iter().flatten().next().as_ref().and_then(text) else {
            return;
        };
        if let Some(briefing) = self.sides.briefing_mut(&identity) {
            briefing.summary = Some(text);
            self.tell_briefing(&identity);
        }
    }

    fn tell_briefing(&mut self, identity: &Identity) {
        let Some(briefing) = self.sides.briefing_mut(identity) else {
            return;
        };
        let Some(mut told) = briefing.asked.clone() else {
            return;
        };
        told["summary"] = json!(briefing.summary);
        let order = side::Order::Brief(told.to_string());
        self.sides.order(identity, order);
    }
}

/// The words of a summary.
fn text(item: &Item) -> Option<String> {
    let item = LivekitItem::try_from(item).ok()?;
    let messages = Format::OpenaiChat.export(&[item]).messages;
    let words = messages.first()?.get("content")?.as_str()?;
    // As `context::summary` wraps it for a model.
    let words = words
        .trim_start_matches("<chat_history_summary>\n")
        .trim_end_matches("\n</chat_history_summary>");
    let mut end = words.len().min(SUMMARY_BYTES_MAX);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    Some(words[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_told_without_what_wraps_it_for_a_model_and_is_cut() {
        let told = |words: &str| {
            let item = context::summary("s", words, context::UnixMillis(0)).expect("an item");
            text(&item).expect("it has words")
        };
        assert_eq!(told("the caller is angry"), "the caller is angry");
        let long = "ä".repeat(SUMMARY_BYTES_MAX);
        assert_eq!(told(&long).len(), SUMMARY_BYTES_MAX);
    }
}
