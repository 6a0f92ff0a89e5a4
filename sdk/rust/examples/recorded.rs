//! A specialist that says recorded phrases, or sounds a steady tone, while it has the baton.
//!
//! ```text
//! export LIVEKIT_URL=ws://localhost:7880 LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=secret
//! cargo run -p baton-specialist --example recorded -- --agent-name triage --clip welcome.wav --handoff-to billing
//! ```
//!
//! Logs are JSON lines on standard output. Built with the feature `misbehave` it can break the rules, for tests.

use std::f64::consts::TAU;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use baton_specialist::{
    Agent, Builder, Call, Clip, FRAME_SAMPLES, Grant, HandoffError, NoBaton, Preparation, Refusal,
    SAMPLE_RATE_HZ, Speaker, Specialist,
};
use clap::Parser;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

/// The level of a tone, as a share of full level: -12 dB.
const TONE_LEVEL: f64 = 0.25;

/// A specialist that says recorded phrases, or sounds a steady tone, while it has the baton.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// The name that the worker registers under.
    #[arg(long, env = "LIVEKIT_AGENT_NAME")]
    agent_name: String,
    /// A WAV file to say when the baton comes: the first file at the first time, and so on; the last one again from then on.
    #[arg(long, value_name = "FILE")]
    clip: Vec<PathBuf>,
    /// A tone to sound while the baton is here, after the clip if there is one.
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(50..=8_000))]
    tone: Option<u32>,
    /// Whom to hand the baton to.
    #[arg(long, value_name = "SPECIALIST")]
    handoff_to: Option<String>,
    /// Hand the baton back to whoever had it before.
    #[arg(long, conflicts_with = "handoff_to")]
    hand_back: bool,
    /// When to hand off, in milliseconds from the grant; without it after the clip.
    #[arg(long, value_name = "MS")]
    after_ms: Option<u64>,
    /// How often to hand off at most in one call.
    #[arg(long, value_name = "COUNT")]
    handoffs_max: Option<u32>,
    /// How long to take to get ready, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    prepare_ms: u64,
    /// Refuse to be prepared, with this reason.
    #[arg(long, value_name = "REASON")]
    refuse: Option<String>,
    /// How many calls to take at the same time.
    #[arg(long, default_value_t = 20)]
    max_calls: u32,
    /// For tests: publish an open track, sound from the start, ignore revokes.
    #[arg(long)]
    rogue: bool,
    /// For tests: sound from the start, with the track closed.
    #[arg(long)]
    no_gate: bool,
    /// For tests: make the connection anew this long after the first grant, in milliseconds.
    #[arg(long, value_name = "MS")]
    reconnect_after_ms: Option<u64>,
}

struct Recorded {
    arguments: Arguments,
    clips: Vec<Clip>,
    turns: usize,
    handoffs: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let level = std::env::var("LIVEKIT_LOG_LEVEL").unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(format!(
        "warn,recorded={level},baton_specialist={level},worker={level}"
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
    let clips = arguments
        .clip
        .iter()
        .map(Clip::load)
        .collect::<Result<Vec<_>, _>>()?;
    let builder = Specialist::builder(&arguments.agent_name).max_calls(arguments.max_calls);
    let specialist = misbehave(builder, &arguments)?
        .build()
        .context("the specialist cannot start")?;
    specialist
        .run(move |_call| Recorded {
            arguments: arguments.clone(),
            clips: clips.clone(),
            turns: 0,
            handoffs: 0,
        })
        .await
        .context("the specialist cannot run")
}

#[cfg(feature = "misbehave")]
fn misbehave(builder: Builder, arguments: &Arguments) -> anyhow::Result<Builder> {
    Ok(builder.misbehave(baton_specialist::Misbehaviour {
        open_to_all: arguments.rogue,
        ungated: arguments.rogue || arguments.no_gate,
        ignores_revoke: arguments.rogue,
        ..baton_specialist::Misbehaviour::default()
    }))
}

#[cfg(not(feature = "misbehave"))]
fn misbehave(builder: Builder, arguments: &Arguments) -> anyhow::Result<Builder> {
    anyhow::ensure!(
        !arguments.rogue && !arguments.no_gate && arguments.reconnect_after_ms.is_none(),
        "--rogue, --no-gate and --reconnect-after-ms need the feature misbehave"
    );
    Ok(builder)
}

impl Agent for Recorded {
    async fn joined(&mut self, call: &Call) {
        info!(
            call = call.id(),
            specialist = call.specialist(),
            "in the room"
        );
        if self.arguments.rogue || self.arguments.no_gate {
            let (speaker, hz) = (call.speaker(), self.arguments.tone.unwrap_or(1_000));
            // It goes on for as long as the process lives, as a rogue would.
            tokio::spawn(async move { sound(&speaker, hz).await });
        }
    }

    async fn prepare(&mut self, _call: &Call, _preparation: Preparation) -> Result<(), Refusal> {
        tokio::time::sleep(Duration::from_millis(self.arguments.prepare_ms)).await;
        match &self.arguments.refuse {
            None => Ok(()),
            Some(reason) => Err(Refusal {
                reason: reason.clone(),
            }),
        }
    }

    async fn granted(&mut self, call: &Call, grant: Grant) {
        info!(epoch = grant.epoch.0, "has the baton");
        let clip = self.clips.get(self.turns).or(self.clips.last()).cloned();
        self.turns += 1;
        #[cfg(feature = "misbehave")]
        if let (1, Some(after_ms)) = (self.turns, self.arguments.reconnect_after_ms) {
            let call = call.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                call.reconnect().await;
            });
        }
        let (speaker, tone) = (call.speaker(), self.arguments.tone);
        let said = async {
            match &clip {
                Some(clip) => speaker.say(clip.samples()).await,
                None => Ok(()),
            }
        };
        let sounded = async {
            match tone {
                Some(hz) => sound(&speaker, hz).await,
                None => Ok(()),
            }
        };
        // Whatever ends early ends because the baton is gone, and then so does this hook.
        match self.arguments.after_ms {
            Some(after_ms) => {
                let after = Duration::from_millis(after_ms);
                let speaking = async {
                    said.await?;
                    sounded.await
                };
                let _ = tokio::join!(speaking, self.hand_off(call, after));
            }
            None => {
                let _ = said.await;
                let _ = tokio::join!(sounded, self.hand_off(call, Duration::ZERO));
            }
        }
    }

    async fn revoked(&mut self, _call: &Call) {
        info!("the baton is gone");
    }
}

impl Recorded {
    /// Hands off as the arguments say; a handoff that does not happen is tried again two seconds later.
    async fn hand_off(&mut self, call: &Call, after: Duration) {
        if self.arguments.handoff_to.is_none() && !self.arguments.hand_back {
            return;
        }
        if self
            .arguments
            .handoffs_max
            .is_some_and(|max| self.handoffs >= max)
        {
            return;
        }
        tokio::time::sleep(after).await;
        // Counted before: the hook may be dropped before it learns of its success.
        self.handoffs += 1;
        loop {
            let handed = match &self.arguments.handoff_to {
                Some(to) => call.handoff(to, "the phrase was said").await,
                None => call.hand_back("the phrase was said").await,
            };
            match handed {
                Ok(done) => {
                    info!(holder = %done.holder, epoch = done.epoch.0, "handed off");
                    return;
                }
                Err(HandoffError::NoBaton | HandoffError::CallOver) => return,
                Err(
                    error @ (HandoffError::Refused { .. }
                    | HandoffError::Failed { .. }
                    | HandoffError::TooMany { .. }
                    | HandoffError::NotSent { .. }),
                ) => warn!(%error, "not handed off"),
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
}

/// Sounds a tone until the baton is gone.
async fn sound(speaker: &Speaker, hz: u32) -> Result<(), NoBaton> {
    let step = TAU * f64::from(hz) / f64::from(SAMPLE_RATE_HZ);
    let mut phase: f64 = 0.0;
    let mut frame = [0; FRAME_SAMPLES];
    loop {
        for sample in &mut frame {
            *sample = (phase.sin() * TONE_LEVEL * f64::from(i16::MAX)) as i16;
            phase = (phase + step) % TAU;
        }
        speaker.write(&frame).await?;
    }
}
