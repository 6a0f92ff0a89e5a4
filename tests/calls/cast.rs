//! Specialists that do as they are told, in the test's own process: each sounds its tone while it has the baton.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use baton_specialist::{
    Agent, Builder, Call, CallerFrame, Grant, HandoffDone, HandoffError, Misbehaviour, Preparation,
    Refusal, Specialist,
};
use kit::server::LivekitServer;
use kit::tone::Tone;
use tokio::task::JoinHandle;

use crate::{TONE_DBFS, until};

/// Samples that are written at a time: 20 ms.
const CHUNK_SAMPLES: usize = 960;

/// The longest that a handoff may take, on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(90);

/// What a specialist does when it is asked to prepare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Prepares {
    #[default]
    AtOnce,
    /// After this many milliseconds.
    Slowly(u64),
    Never,
    Refuses,
    /// It panics, which ends its job.
    Dies,
}

/// A specialist before it is started.
pub(crate) struct Script {
    name: &'static str,
    hz: u32,
    prepares: Prepares,
    misbehaviour: Misbehaviour,
    pauses: bool,
    sentence: Option<(u64, u64)>,
    write_timeout: Duration,
}

/// A running specialist's worker, with all its jobs.
pub(crate) struct Cast {
    name: &'static str,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

/// What all jobs of a specialist have seen.
#[derive(Default)]
struct Seen {
    calls: Mutex<Vec<Call>>,
    grants: Mutex<Vec<u64>>,
    revokes: AtomicU64,
    preparations: Mutex<Vec<Preparation>>,
    /// Agents that are gone.
    ended: AtomicU64,
    /// Frames of the caller's that sounded.
    caller_frames: AtomicU64,
    last_caller_frame: Mutex<Option<Instant>>,
    /// All that was heard of the caller.
    caller: Mutex<Vec<CallerFrame>>,
    /// The keys that the caller has pressed.
    keys: Mutex<String>,
}

impl Script {
    pub(crate) fn new(name: &'static str, hz: u32) -> Self {
        Self {
            name,
            hz,
            prepares: Prepares::AtOnce,
            misbehaviour: Misbehaviour::default(),
            pauses: false,
            sentence: None,
            write_timeout: Duration::from_secs(30),
        }
    }

    /// How long what it writes may take.
    pub(crate) fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Says one sentence after the other: its tone for half of it, a pause, its tone again; in milliseconds.
    pub(crate) fn sentences(mut self, half_ms: u64, pause_ms: u64) -> Self {
        self.sentence = Some((half_ms, pause_ms));
        self
    }

    /// Publishes its track as any participant does, with DTX and RED, and pauses for a second after each.
    pub(crate) fn stock_publisher(mut self) -> Self {
        self.misbehaviour.stock_track = true;
        self.pauses = true;
        self
    }

    pub(crate) fn prepares(mut self, prepares: Prepares) -> Self {
        self.prepares = prepares;
        self
    }

    /// Publishes for everybody to hear, and sounds with or without the baton.
    pub(crate) fn rogue(mut self) -> Self {
        self.misbehaviour = Misbehaviour {
            open_to_all: true,
            ungated: true,
            ignores_revoke: true,
            ..Misbehaviour::default()
        };
        self
    }

    /// Starts its worker, and waits until the server has taken it.
    pub(crate) async fn start(self, server: &LivekitServer) -> Cast {
        let Self {
            name,
            hz,
            prepares,
            misbehaviour,
            pauses,
            sentence,
            write_timeout,
        } = self;
        let seen = Arc::new(Seen::default());
        let specialist = builder(server, name)
            .misbehave(misbehaviour)
            .write_timeout(write_timeout)
            .build()
            .unwrap();
        let shared = seen.clone();
        let running = specialist.run(move |call| {
            shared.calls.lock().unwrap().push(call.clone());
            Actor {
                tone: Tone::new(hz, TONE_DBFS, baton_specialist::SAMPLE_RATE_HZ).unwrap(),
                prepares,
                pauses,
                sentence,
                ungated: misbehaviour.ungated,
                seen: shared.clone(),
            }
        });
        let task = tokio::spawn(async move { running.await.unwrap() });
        until(&format!("{name} is registered"), || {
            registered(server, name)
        })
        .await;
        Cast { name, seen, task }
    }
}

fn builder(server: &LivekitServer, name: &str) -> Builder {
    Specialist::builder(name)
        .url(server.url())
        .api_key(server.api_key(), server.api_secret())
}

/// Whether the server knows a worker of this name.
pub(crate) fn registered(server: &LivekitServer, name: &str) -> bool {
    let of_name = format!("\"agentName\": \"{name}\"");
    server
        .log()
        .lines()
        .any(|line| line.contains("worker registered") && line.contains(&of_name))
}

impl Cast {
    /// Its newest call; waits for the first one.
    pub(crate) async fn call(&self) -> Call {
        until(&format!("{} is in a call", self.name), || {
            !self.seen.calls.lock().unwrap().is_empty()
        })
        .await;
        let calls = self.seen.calls.lock().unwrap();
        calls.last().unwrap().clone()
    }

    /// Asks for a handoff in its newest call.
    pub(crate) async fn hand_off(&self, to: &str) -> Result<HandoffDone, HandoffError> {
        let call = self.call().await;
        let asking = call.handoff(to, "a test moves on");
        let answered = tokio::time::timeout(ANSWER_MAX, asking).await;
        answered.unwrap_or_else(|_| panic!("{} was never answered", self.name))
    }

    /// The epochs of its grants.
    pub(crate) fn grants(&self) -> Vec<u64> {
        self.seen.grants.lock().unwrap().clone()
    }

    pub(crate) fn revokes(&self) -> u64 {
        self.seen.revokes.load(Ordering::SeqCst)
    }

    pub(crate) fn preparations(&self) -> usize {
        self.seen.preparations.lock().unwrap().len()
    }

    /// The task that its last preparation came with.
    pub(crate) fn task(&self) -> Option<serde_json::Value> {
        let preparations = self.seen.preparations.lock().unwrap();
        preparations.last()?.task.clone()
    }

    /// The trace that each preparation came with.
    pub(crate) fn traceparents(&self) -> Vec<Option<String>> {
        let preparations = self.seen.preparations.lock().unwrap();
        let traces = preparations
            .iter()
            .map(|preparation| preparation.traceparent.clone());
        traces.collect()
    }

    /// Jobs that run.
    pub(crate) fn jobs(&self) -> u64 {
        let begun = self.seen.calls.lock().unwrap().len() as u64;
        begun - self.seen.ended.load(Ordering::SeqCst)
    }

    /// Whether it has heard the caller within the last `ms` milliseconds.
    pub(crate) fn hears_within_ms(&self, ms: u64) -> bool {
        let last = *self.seen.last_caller_frame.lock().unwrap();
        last.is_some_and(|at| at.elapsed() < Duration::from_millis(ms))
    }

    /// All that it has heard of the caller.
    pub(crate) fn heard(&self) -> Vec<CallerFrame> {
        self.seen.caller.lock().unwrap().clone()
    }

    /// The keys that it was told of.
    pub(crate) fn keys(&self) -> String {
        self.seen.keys.lock().unwrap().clone()
    }

    /// How much of the caller it hears during `time`, in frames of 10 ms that sound.
    pub(crate) async fn hears_caller(&self, time: Duration) -> u64 {
        let before = self.seen.caller_frames.load(Ordering::SeqCst);
        tokio::time::sleep(time).await;
        self.seen.caller_frames.load(Ordering::SeqCst) - before
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Actor {
    tone: Tone,
    prepares: Prepares,
    pauses: bool,
    sentence: Option<(u64, u64)>,
    ungated: bool,
    seen: Arc<Seen>,
}

impl Actor {
    /// Sounds for as long as it may; without a gate for ever.
    async fn sound(mut tone: Tone, call: Call, for_ever: bool, pauses: bool) {
        let speaker = call.speaker();
        let mut chunk = [0; CHUNK_SAMPLES];
        for chunks in 1.. {
            if pauses && chunks % 50 == 0 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            tone.fill(&mut chunk);
            if speaker.write(&chunk).await.is_err() {
                if !for_ever {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Says sentences for as long as it may.
async fn say_sentences(mut tone: Tone, call: &Call, half_ms: u64, pause_ms: u64) {
    let samples = |ms: u64| vec![0_i16; ms as usize * 48];
    loop {
        let (mut first, mut second) = (samples(half_ms), samples(half_ms));
        tone.fill(&mut first);
        tone.fill(&mut second);
        let sentence = [first, samples(pause_ms), second].concat();
        if call.speaker().say(&sentence).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

impl Agent for Actor {
    async fn joined(&mut self, call: &Call) {
        if self.ungated {
            tokio::spawn(Self::sound(self.tone.clone(), call.clone(), true, false));
        }
        let (mut listener, seen) = (call.listen(), self.seen.clone());
        tokio::spawn(async move {
            while let Some(frame) = listener.next().await {
                seen.caller.lock().unwrap().push(frame.clone());
                if frame.iter().any(|sample| sample.unsigned_abs() > 2_000) {
                    seen.caller_frames.fetch_add(1, Ordering::SeqCst);
                    *seen.last_caller_frame.lock().unwrap() = Some(Instant::now());
                }
            }
        });
        let (keys, seen) = (call.dtmf(), self.seen.clone());
        tokio::spawn(async move {
            while let Some(key) = keys.next().await {
                seen.keys.lock().unwrap().push(key);
            }
        });
    }

    async fn prepare(&mut self, _: &Call, preparation: Preparation) -> Result<(), Refusal> {
        self.seen.preparations.lock().unwrap().push(preparation);
        match self.prepares {
            Prepares::AtOnce => Ok(()),
            Prepares::Slowly(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Ok(())
            }
            Prepares::Never => std::future::pending().await,
            Prepares::Refuses => Err(Refusal {
                reason: "not today".to_owned(),
            }),
            Prepares::Dies => panic!("this specialist dies while it prepares, as it was told"),
        }
    }

    async fn granted(&mut self, call: &Call, grant: Grant) {
        self.seen.grants.lock().unwrap().push(grant.epoch.0);
        if let Some((half_ms, pause_ms)) = self.sentence {
            say_sentences(self.tone.clone(), call, half_ms, pause_ms).await;
        } else if !self.ungated {
            Self::sound(self.tone.clone(), call.clone(), false, self.pauses).await;
        }
    }

    async fn revoked(&mut self, _: &Call) {
        self.seen.revokes.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.seen.ended.fetch_add(1, Ordering::SeqCst);
    }
}
