//! What a person is told of the call that it may accept: in writing why it is rung, by whom, and the summary that its route has
//! made, and by voice the summary, where a service reads it out. Only a person that came by a client of LiveKit can read; a
//! phone's systems ask for the packet.

use std::time::Duration;

use audio::{ClipFileError, Recording};
use call::{DispatchId, HandoffId, Identity, RouteNumber, SpecialistName};
use context::{Format, Item, LivekitItem, masked};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::sides::packet_path;
use super::task::{Done, Task};
use super::webhooks::{WebhookError, Webhooks};
use crate::side;

/// The longest text of a summary that is told, in bytes; what is longer is cut off.
const SUMMARY_BYTES_MAX: usize = 16 * 1024;
/// The largest sound of a service that reads it out, in bytes: a minute and more at 48 kHz.
const SPEECH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long that service may take.
const SPEECH_MAX: Duration = Duration::from_secs(15);

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
        self.read_out(target, &identity, &text);
        if let Some(briefing) = self.sides.briefing_mut(&identity) {
            briefing.summary = Some(text);
            self.tell_briefing(&identity);
        }
    }

    /// Has the summary read out to a person, if there is a service that does.
    fn read_out(&mut self, target: DispatchId, identity: &Identity, text: &str) {
        let snapshot = self.call.snapshot();
        let person = snapshot.specialists.get(&target);
        let human = person.and_then(|view| self.deps.humans.get(&view.specialist));
        let Some(url) = human.and_then(|human| human.speech.clone()) else {
            return;
        };
        let asked = json!({"call_id": self.call.id().as_str(), "text": text});
        let (deps, done, identity) = (self.deps.clone(), self.done.clone(), identity.clone());
        self.requests.spawn(async move {
            let speaking = spoken(&deps.webhooks, &url, &asked, deps.program_bitrate_bps);
            let speech = tokio::time::timeout(SPEECH_MAX, speaking).await;
            match speech.unwrap_or(Err(NoSpeech::TimedOut)) {
                // The loop is gone only when the call is over.
                Ok(speech) => {
                    let _ = done.send(Done::ReadOut { identity, speech }).await;
                }
                Err(error) => warn!(%error, "the summary is not read out"),
            }
        });
    }

    /// The summary is there as a sound.
    pub(super) fn brief_aloud(&mut self, identity: &Identity, speech: Recording) {
        info!("the summary is read out");
        self.sides.order(identity, side::Order::Speak(speech));
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

/// Why nothing is read out.
#[derive(Debug, thiserror::Error)]
enum NoSpeech {
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    #[error("no answer in {} s", SPEECH_MAX.as_secs())]
    TimedOut,
    #[error("its answer is no sound: {0}")]
    Sound(#[from] ClipFileError),
    #[error("its answer cannot be made into packets: {0}")]
    Packets(#[from] tokio::task::JoinError),
}

/// Asks for a text as a sound.
async fn spoken(
    webhooks: &Webhooks,
    url: &str,
    asked: &Value,
    bitrate_bps: u32,
) -> Result<Recording, NoSpeech> {
    let sound = webhooks.ask(url, asked, SPEECH_BYTES_MAX).await?;
    // A minute of speech takes libopus a while.
    let packets = spawn_blocking(move || Recording::read(&sound, bitrate_bps));
    Ok(packets.await??)
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
