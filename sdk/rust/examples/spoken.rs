//! A specialist that says sentences, each as a tone that lasts as long as saying it would, and writes them into the conversation.
//!
//! ```text
//! export LIVEKIT_URL=ws://localhost:7880 LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=secret
//! cargo run -p baton-specialist --example spoken -- --agent-name accounts --tone 1700 --handoff-to triage
//! ```
//!
//! It says what an opening tells it to say, waits where it is to wait, and else looks up a balance, which fails. With `--tells` each
//! change of what it knows, and each tone of the caller's that it hears, is a line on standard output behind `told `, as JSON in hex.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use baton_specialist::items::{self, Speaks};
use baton_specialist::{Agent, Call, Grant, NoBaton, Opening, SAMPLE_RATE_HZ, Specialist};
use clap::Parser;
use serde_json::{Value, json};
use tracing::warn;
use tracing_subscriber::EnvFilter;

/// How long a character takes to say.
const CHAR_MS: u32 = 50;
/// How long a sentence swells and fades: the edge of a tone sounds at every pitch.
const EDGE_MS: u32 = 40;
/// Samples that are given to the voice at a time: 20 ms.
const CHUNK_SAMPLES: usize = 960;
/// The level of a tone, as a share of full level: -12 dB.
const TONE_LEVEL: f64 = 0.25;
/// From this level on a sample of the caller's is no silence.
const AUDIBLE: i16 = 1_000;
/// Frames of 10 ms without a sound that end a tone of the caller's.
const QUIET_FRAMES: u32 = 4;
/// Between two looks at what is known.
const LOOK: Duration = Duration::from_millis(100);
/// After a handoff that did not happen.
const RETRY: Duration = Duration::from_secs(2);

/// A specialist that says sentences as tones.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// The name that the worker registers under.
    #[arg(long, env = "LIVEKIT_AGENT_NAME")]
    agent_name: String,
    /// Its tone.
    #[arg(long, value_name = "HZ", default_value_t = 500, value_parser = clap::value_parser!(u32).range(50..=8_000))]
    tone: u32,
    /// Whom to hand the baton to when it has said its sentence.
    #[arg(long, value_name = "SPECIALIST")]
    handoff_to: Option<String>,
    /// Say on standard output what it knows and hears.
    #[arg(long)]
    tells: bool,
}

struct Spoken {
    arguments: Arguments,
    holds: Arc<AtomicBool>,
    /// What this process has written, in all calls.
    written: Arc<AtomicU64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let level = std::env::var("LIVEKIT_LOG_LEVEL").unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(format!(
        "warn,spoken={level},baton_specialist={level},worker={level}"
    ))
    .unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let specialist = Specialist::builder(&arguments.agent_name)
        .build()
        .context("the specialist cannot start")?;
    let written = Arc::<AtomicU64>::default();
    specialist
        .run(move |_call| Spoken {
            arguments: arguments.clone(),
            holds: Arc::default(),
            written: Arc::clone(&written),
        })
        .await
        .context("the specialist cannot run")
}

impl Agent for Spoken {
    async fn joined(&mut self, call: &Call) {
        if self.arguments.tells {
            tokio::spawn(tell_context(call.clone(), Arc::clone(&self.holds)));
            tokio::spawn(tell_heard(call.clone()));
        }
    }

    async fn granted(&mut self, call: &Call, grant: Grant) {
        self.holds.store(true, Ordering::Relaxed);
        if self.arguments.tells {
            let opening = match &grant.opening {
                Opening::Continue => "continue",
                Opening::Greet => "greet",
                Opening::Wait => "wait",
                Opening::Say(_) => "say",
            };
            tell(json!({"kind": "granted", "epoch": grant.epoch.0, "opening": opening}));
        }
        // Whatever ends early ends because the baton is gone, and then so does this hook.
        let _ = match &grant.opening {
            Opening::Say(words) => self.say(call, words).await,
            Opening::Wait => Ok(()),
            Opening::Continue | Opening::Greet => self.look_up(call).await,
        };
        self.hand_off(call).await;
    }

    async fn revoked(&mut self, _call: &Call) {
        self.holds.store(false, Ordering::Relaxed);
    }
}

impl Spoken {
    /// Says a sentence. It is in the conversation from its beginning on, so that who takes over in its middle has it.
    async fn say(&self, call: &Call, words: &str) -> Result<(), NoBaton> {
        self.write(
            call,
            vec![items::message(&self.id(), Speaks::Specialist, words)],
        )
        .await;
        let speaker = call.speaker();
        for chunk in tone(words, self.arguments.tone).chunks(CHUNK_SAMPLES) {
            speaker.write(chunk).await?;
        }
        Ok(())
    }

    /// Calls a tool that fails, as a model would, and says so.
    async fn look_up(&self, call: &Call) -> Result<(), NoBaton> {
        let (id, output_id) = (self.id(), self.id());
        let call_id = format!("call_{id}");
        let (tool, arguments) = ("balance", r#"{"account": "é漢🙂"}"#);
        let called = items::tool_call(&id, &call_id, tool, arguments);
        let failed = "the ledger is closed";
        let result = items::tool_result(&output_id, &call_id, tool, failed, true);
        self.write(call, vec![called, result]).await;
        if let Err(error) = call.state().patch(json!({"ledger": "closed"})).await {
            warn!(%error, "the state is as it was");
        }
        self.say(call, "the balance is not known now").await
    }

    async fn write(&self, call: &Call, items: Vec<baton_specialist::Item>) {
        if let Err(error) = call.conversation().append_all(items).await {
            warn!(%error, "not in the conversation");
        }
    }

    async fn hand_off(&self, call: &Call) {
        let Some(to) = &self.arguments.handoff_to else {
            return;
        };
        while let Err(error) = call.handoff(to, "the sentence was said").await {
            warn!(%error, "not handed off");
            tokio::time::sleep(RETRY).await;
        }
    }

    fn id(&self) -> String {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        format!(
            "{}_{}_{number}",
            self.arguments.agent_name,
            std::process::id()
        )
    }
}

/// A sentence as samples.
fn tone(words: &str, hz: u32) -> Vec<i16> {
    let count = words.chars().count() as u32 * CHAR_MS * SAMPLE_RATE_HZ / 1_000;
    let edge = f64::from(EDGE_MS * SAMPLE_RATE_HZ / 1_000);
    let step = TAU * f64::from(hz) / f64::from(SAMPLE_RATE_HZ);
    let sample = |at: u32| {
        let (from_start, from_end) = (f64::from(at) / edge, f64::from(count - 1 - at) / edge);
        let level = TONE_LEVEL * f64::from(i16::MAX) * from_start.min(from_end).min(1.0);
        (level * (f64::from(at) * step).sin()) as i16
    };
    (0..count).map(sample).collect()
}

/// Says what is new of the conversation and the state, and when the baton comes or goes, until the process ends.
async fn tell_context(call: Call, holds: Arc<AtomicBool>) {
    let mut before = (false, 0);
    let mut forms: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    loop {
        let state = call.state().get();
        let items = call.conversation().items();
        let mut encoded = Vec::new();
        for item in &items {
            let form = item.encoded();
            let id = item.id().as_str();
            if forms.get(id).is_none_or(|known| known != form) {
                forms.insert(id.to_owned(), form.to_vec());
                encoded.push(hex(form));
            }
        }
        let now = (holds.load(Ordering::Relaxed), state.version);
        if !encoded.is_empty() || now != before {
            tell(
                json!({"kind": "context", "holds": now.0, "encoded": encoded, "state": state.document}),
            );
            before = now;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Says which tones of the caller's are heard, and for how long.
async fn tell_heard(call: Call) {
    let mut listener = call.listen();
    let mut loud: Vec<i16> = Vec::new();
    let mut quiet = 0;
    while let Some(frame) = listener.next().await {
        if frame.iter().any(|sample| sample.saturating_abs() > AUDIBLE) {
            loud.extend_from_slice(frame.as_slice());
            quiet = 0;
            continue;
        }
        quiet += 1;
        if quiet == QUIET_FRAMES && !loud.is_empty() {
            let rises: Vec<usize> = (1..loud.len())
                .filter(|&at| loud[at - 1] < 0 && loud[at] >= 0)
                .collect();
            if let [first, .., last] = rises[..] {
                let waves = (rises.len() - 1) as f64;
                let hz = waves * f64::from(SAMPLE_RATE_HZ) / (last - first) as f64;
                let ms = loud.len() as f64 * 1_000.0 / f64::from(SAMPLE_RATE_HZ);
                tell(json!({"kind": "word", "hz": hz, "ms": ms}));
            }
            loud.clear();
        }
    }
}

fn tell(mut what: Value) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    what["at"] = json!(since.unwrap_or_default().as_secs_f64());
    println!("told {}", hex(what.to_string().as_bytes()));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
