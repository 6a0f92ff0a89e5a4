//! Every agent of somebody else's configuration, played by the demo itself: each sounds a tone of its own while it has
//! the baton, and does nothing by itself. Who it is comes from its dispatch; what it is to do is asked of its [`Call`].

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use baton_specialist::{Agent, Call, Grant, Specialist};
use call::{CallConfig, SpecialistKind};
use kit::server::LivekitServer;
use kit::tone::Tone;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::TONE_DBFS;
use crate::person::Person;

/// Tones that can be told apart in one recording.
pub(crate) const TONES_HZ: [u32; 8] = [600, 1_700, 2_900, 1_100, 2_300, 1_400, 2_000, 2_600];
/// What a worker says when the server has taken it.
const REGISTERED: &str = "\"message\":\"registered\"";
const REGISTER_TIMEOUT: Duration = Duration::from_secs(30);
/// Samples that are written at a time: 20 ms.
const CHUNK_SAMPLES: usize = 960;

/// Somebody who has the baton.
pub(crate) enum Holder {
    Specialist(Call),
    Person(Arc<Person>),
}

/// Somebody has been granted the baton.
pub(crate) struct Granted {
    pub(crate) holder: Holder,
    pub(crate) at: Instant,
    /// Whether it had the baton before, and has it again.
    pub(crate) renewed: bool,
}

/// The workers of all specialists; they end when it is dropped.
pub(crate) struct Cast {
    _workers: JoinSet<()>,
    sender: UnboundedSender<Granted>,
    granted: UnboundedReceiver<Granted>,
}

impl Cast {
    /// Starts a worker for each agent name of the configuration, and waits until all are registered.
    ///
    /// # Errors
    /// When one cannot be started, or does not register.
    pub(crate) async fn start(
        config: &CallConfig,
        server: &LivekitServer,
        log: &Path,
    ) -> Result<Self> {
        let file =
            File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
        tracing_subscriber::fmt()
            .json()
            .with_env_filter("warn,worker=info,baton_specialist=info")
            .with_writer(file)
            .init();
        let played = config.specialists.values();
        let agents: BTreeSet<&str> = played
            .filter(|specialist| specialist.kind == SpecialistKind::Baton)
            .flat_map(|specialist| {
                let canary = specialist.canary.as_ref();
                let canary = canary.map(|canary| canary.agent_name.as_str());
                [Some(specialist.agent_name.as_str()), canary]
            })
            .flatten()
            .collect();
        let names: Vec<String> = config.specialists.keys().map(ToString::to_string).collect();
        let (sender, granted) = unbounded_channel();
        let mut workers = JoinSet::new();
        for agent in &agents {
            let specialist = Specialist::builder(*agent)
                .url(server.url())
                .api_key(server.api_key(), server.api_secret())
                .drain_grace(Duration::ZERO)
                .build()?;
            let (sender, names) = (sender.clone(), names.clone());
            workers.spawn(async move {
                let run = specialist.run(move |call| {
                    let place = names.iter().position(|name| name == call.specialist());
                    Part {
                        tone_hz: tone_hz(place.unwrap_or_default()),
                        granted: sender.clone(),
                    }
                });
                if let Err(error) = run.await {
                    eprintln!("a specialist of the demo cannot run: {error}");
                }
            });
        }
        let deadline = Instant::now() + REGISTER_TIMEOUT;
        loop {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            let registered = said.matches(REGISTERED).count();
            if registered >= agents.len() {
                break;
            }
            if Instant::now() >= deadline {
                let count = agents.len();
                bail!(
                    "{registered} of {count} workers registered, see {}",
                    log.display()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self {
            _workers: workers,
            sender,
            granted,
        })
    }

    /// Where people tell that they have the baton.
    pub(crate) fn sender(&self) -> UnboundedSender<Granted> {
        self.sender.clone()
    }

    /// The next grant to anybody. Cancel-safe.
    pub(crate) async fn granted(&mut self) -> Result<Granted> {
        let granted = self.granted.recv().await;
        granted.context("the specialists of the demo have ended")
    }
}

/// The tone of the specialist at this place among all names.
pub(crate) fn tone_hz(place: usize) -> u32 {
    TONES_HZ[place % TONES_HZ.len()]
}

/// One specialist in one call.
struct Part {
    tone_hz: u32,
    granted: UnboundedSender<Granted>,
}

impl Agent for Part {
    async fn granted(&mut self, call: &Call, grant: Grant) {
        // Nobody listens any more once the demo is over.
        let _ = self.granted.send(Granted {
            holder: Holder::Specialist(call.clone()),
            at: Instant::now(),
            renewed: grant.handoff.is_none(),
        });
        let Ok(mut tone) = Tone::new(self.tone_hz, TONE_DBFS, baton_specialist::SAMPLE_RATE_HZ)
        else {
            return;
        };
        let speaker = call.speaker();
        let mut chunk = [0; CHUNK_SAMPLES];
        loop {
            tone.fill(&mut chunk);
            // An error means that the baton is gone, and this with it in a moment.
            if speaker.write(&chunk).await.is_err() {
                return;
            }
        }
    }
}
