//! A specialist of the demo, a process of its own: it speaks, hands off, and later sounds its tone.
//!
//! What to do follows from the epoch of its grant alone, so that the two need no other word between
//! them. The first epochs are the spoken part: welcome, billing, back. From `--speech-epochs` on each
//! holder sounds its tone for a while and hands off, until enough handoffs have been measured.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_lc_rs::digest;
use baton_specialist::{
    Agent, Call, CallerFrame, Clip, Grant, Misbehaviour, Preparation, Refusal, Specialist,
    items::{self, Speaks},
};
use kit::sweep;
use kit::tone::Tone;
use parking_lot::Mutex;

use crate::TONE_DBFS;
use crate::journal::{Entry, Event};

/// Between the last word and the first tone, so that the probe can tell them apart.
const PAUSE: Duration = Duration::from_millis(600);
/// After a refused or failed handoff.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// Samples that are written at a time: 20 ms.
const CHUNK_SAMPLES: usize = 960;
/// Frames of the caller that are kept of each end of what was heard since a grant: 1 s.
const ENDS_FRAMES: usize = 100;

/// Arguments of the hidden command `demo specialist`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Agent name, which is its name in Baton's configuration.
    #[arg(long)]
    name: String,
    /// The specialist that it hands off to.
    #[arg(long)]
    partner: String,
    /// Frequency of its tone.
    #[arg(long)]
    tone_hz: u32,
    /// Handoffs that are measured.
    #[arg(long)]
    handoffs: u64,
    /// How long it sounds before it asks for the next handoff.
    #[arg(long)]
    tone_ms: u64,
    /// The epoch that begins the measured part, after the words of that epoch.
    #[arg(long)]
    speech_epochs: u64,
    /// Folder of the clips.
    #[arg(long)]
    clips: PathBuf,
    /// Publishes for everybody to hear.
    #[arg(long)]
    open_to_all: bool,
    /// Sounds from its first moment to its last, with or without the baton.
    #[arg(long)]
    ungated: bool,
    /// Keeps the baton when it is taken away.
    #[arg(long)]
    ignores_revoke: bool,
}

/// Runs until it is told to stop.
pub(crate) async fn run(options: Options) -> Result<()> {
    let script = Script::load(&options)?;
    let misbehaviour = Misbehaviour {
        open_to_all: options.open_to_all,
        ungated: options.ungated,
        ignores_revoke: options.ignores_revoke,
        ..Misbehaviour::default()
    };
    let specialist = Specialist::builder(options.name.as_str())
        .drain_grace(Duration::ZERO)
        .misbehave(misbehaviour)
        .build()?;
    specialist.run(move |_| script.clone()).await?;
    Ok(())
}

/// How many items of the conversation are here, those apart by which Baton tells of itself, and a hash of them all in their order.
fn known(call: &Call) -> (u64, String) {
    let mut hash = digest::Context::new(&digest::SHA256);
    let items = call.conversation().items();
    let said = items
        .iter()
        .filter(|item| !item.id().as_str().starts_with("baton/"));
    let mut count = 0;
    for item in said {
        hash.update(item.digest());
        count += 1;
    }
    let hash = hash.finish();
    let hash = hash.as_ref().iter().take(8);
    (count, hash.map(|byte| format!("{byte:02x}")).collect())
}

/// What one of the two says and does.
#[derive(Clone)]
struct Script {
    name: String,
    partner: String,
    tone: Tone,
    handoffs: u64,
    speech_epochs: u64,
    tone_time: Duration,
    ungated: bool,
    /// What is said in each of the spoken epochs in which it has the baton.
    speech: Vec<(u64, Clip)>,
    caller: Arc<Mutex<Ends>>,
}

/// The two ends of what was heard of the caller since the last time that it was asked for.
#[derive(Default)]
struct Ends {
    first: Vec<CallerFrame>,
    last: VecDeque<CallerFrame>,
}

impl Ends {
    fn push(&mut self, frame: CallerFrame) {
        if self.first.len() < ENDS_FRAMES {
            self.first.push(frame.clone());
        }
        if self.last.len() >= ENDS_FRAMES {
            self.last.pop_front();
        }
        self.last.push_back(frame);
    }

    /// Says from where to where, and begins anew.
    fn say(&mut self) {
        let Self { first, last } = std::mem::take(self);
        let begun = sweep::stretch(first.iter().map(|frame| &**frame));
        let ended = sweep::stretch(last.iter().map(|frame| &**frame));
        if let Some((begun, ended)) = begun.zip(ended) {
            let (begin_ms, end_ms) = (begun.begin_ms, ended.end_ms);
            Entry::say(Event::HeardCaller { begin_ms, end_ms });
        }
    }
}

impl Script {
    fn load(options: &Options) -> Result<Self> {
        let clip = |name: &str| Clip::load(options.clips.join(name));
        let speech = if options.speech_epochs == 1 {
            Vec::new()
        } else if options.name == crate::TRIAGE {
            vec![
                (1, clip("triage-welcome.wav")?),
                (1, clip("triage-handoff.wav")?),
                (3, clip("triage-back.wav")?),
            ]
        } else {
            vec![(2, clip("billing-hello.wav")?)]
        };
        let tone = Tone::new(options.tone_hz, TONE_DBFS, baton_specialist::SAMPLE_RATE_HZ);
        Ok(Self {
            name: options.name.clone(),
            partner: options.partner.clone(),
            tone: tone.context("--tone-hz")?,
            handoffs: options.handoffs,
            speech_epochs: options.speech_epochs,
            tone_time: Duration::from_millis(options.tone_ms),
            ungated: options.ungated,
            speech,
            caller: Arc::default(),
        })
    }

    async fn speak(&self, call: &Call, epoch: u64) {
        for (_, clip) in self.speech.iter().filter(|(at, _)| *at == epoch) {
            // An error means that the baton is gone: there is nothing left to say.
            let _ = call.speaker().say(clip.samples()).await;
        }
    }

    /// Adds what was said in this epoch, so that every handoff has a conversation to carry.
    async fn note(&self, call: &Call, epoch: u64) {
        let text = format!("epoch {epoch}: {} goes on", self.name);
        let said = items::message(&format!("said-{epoch}"), Speaks::Specialist, &text);
        if let Err(error) = call.conversation().append(said).await {
            let why = error.to_string();
            Entry::say(Event::Failed { why });
        }
        let (items, hash) = known(call);
        Entry::say(Event::Leaves { items, hash });
    }

    /// Asks until it is done; the grant ends, and this with it, when it is.
    async fn hand_off(&self, call: &Call, epoch: u64) {
        self.note(call, epoch).await;
        loop {
            Entry::say(Event::Requested {
                to: self.partner.clone(),
            });
            match call.handoff(&self.partner, "the demo moves on").await {
                Ok(_) => return,
                Err(error) => Entry::say(Event::Failed {
                    why: error.to_string(),
                }),
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    /// Sounds the tone for as long as it may.
    async fn sound(&self, call: &Call) {
        let speaker = call.speaker();
        let mut tone = self.tone.clone();
        let mut chunk = [0; CHUNK_SAMPLES];
        loop {
            tone.fill(&mut chunk);
            if speaker.write(&chunk).await.is_err() {
                // The gate may be open again later for who is not gated by grants.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn measured(&self, call: &Call, epoch: u64) {
        Entry::say(Event::ToneBegan { epoch });
        let last = epoch >= self.speech_epochs + self.handoffs;
        let next = async {
            tokio::time::sleep(self.tone_time).await;
            if last {
                return;
            }
            self.hand_off(call, epoch).await;
            // The old one sounds until the new one is heard; the end of the grant ends this.
            std::future::pending::<()>().await;
        };
        if self.ungated {
            next.await;
        } else {
            tokio::select! {
                // Cancel-safe: neither holds anything when it is dropped.
                () = next => {}
                () = self.sound(call) => {}
            }
        }
        self.caller.lock().say();
        Entry::say(Event::Finished);
    }
}

impl Agent for Script {
    async fn joined(&mut self, call: &Call) {
        Entry::say(Event::Joined);
        let (mut listener, caller) = (call.listen(), self.caller.clone());
        tokio::spawn(async move {
            while let Some(frame) = listener.next().await {
                caller.lock().push(frame);
            }
        });
        if self.ungated {
            let (script, call) = (self.clone(), call.clone());
            tokio::spawn(async move { script.sound(&call).await });
        }
    }

    async fn prepare(&mut self, _: &Call, preparation: Preparation) -> Result<(), Refusal> {
        let handoff = preparation.handoff.0;
        Entry::say(Event::Preparing { handoff });
        Entry::say(Event::Ready { handoff });
        Ok(())
    }

    async fn granted(&mut self, call: &Call, grant: Grant) {
        let epoch = grant.epoch.0;
        Entry::say(Event::Granted { epoch });
        let (items, hash) = known(call);
        Entry::say(Event::Knows { items, hash });
        self.speak(call, epoch).await;
        if epoch < self.speech_epochs {
            self.hand_off(call, epoch).await;
            return;
        }
        if epoch == self.speech_epochs && !self.speech.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        self.measured(call, epoch).await;
    }

    async fn revoked(&mut self, _: &Call) {
        Entry::say(Event::Revoked);
        self.caller.lock().say();
    }
}
