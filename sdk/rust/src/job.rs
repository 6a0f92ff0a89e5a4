//! One call: the room, the link to Baton, the agent, and the baton between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use call::{Epoch, HandoffId, Identity, RequestId, Targets};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout_at};
use tracing::{debug, info, warn};
use wire::{
    Body, DispatchMetadata, HandoffOutcome, HandoffRequest, Hello, Link, LinkConfig, LinkEvent,
    Ready, Seq, Side, StreamId, VERSION, Welcome,
};
use worker::{JobOutcome, JobSignals, Secret};

use crate::agent::{
    Agent, Asking, Call, Delegated, Grant, HandoffDone, HandoffError, Preparation, Refusal, Wish,
};
use crate::builder::Misbehaviour;
use crate::hooks::Hooks;
use crate::job_error::{self, JobError};
use crate::keys::Keys;
use crate::listener::CallerAudio;
use crate::memory::{Shared, Write};
use crate::room::{Connection, ConnectionError, Ending, Happening, Permission};
use crate::standing::{Standing, Step};
use crate::summary;
use crate::talk::{TAIL_MAX, Talk};
use crate::vigil::{Change, Sample, Vigil};
use crate::voice::Voice;

/// How much of the caller is kept before the baton comes, if Baton does not say, in milliseconds.
const PREROLL_MS: u32 = 400;
/// How long Baton and its track have to be away before the holder reaches the caller by itself, if Baton does not say.
const ORCHESTRATOR_TIMEOUT_MS: u32 = 1_000;
/// The longest that the voice waits for Baton to subscribe to the track that it moves to.
const HOME_MAX: Duration = Duration::from_secs(2);
/// After so long the caller is let in once more: now and then the first time took effect some 2.5 s late, which fits the server's look
/// through all tracks every 3 s.
const OPEN_AGAIN: Duration = Duration::from_millis(200);
/// How long a track that the voice has left stays, for what was said last to reach the caller.
const TAIL_OF_VOICE: Duration = Duration::from_millis(300);
/// Wishes of an agent that may wait.
const WISHES_MAX: usize = 16;
/// Handoffs that an agent may ask for at the same time.
const REQUESTS_MAX: usize = 8;
/// The longest that Baton may take to welcome a specialist that has just joined.
pub(crate) const WELCOME_MAX: Duration = Duration::from_secs(60);
/// How long the last acks are waited for before the room is left.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// The longest wait when nothing is due.
const IDLE: Duration = Duration::from_secs(3_600);
/// The longest reason that is sent, in characters.
const TEXT_CHARS_MAX: usize = 512;

/// What a job starts with.
pub(crate) struct Start {
    pub(crate) url: String,
    pub(crate) access_token: Secret,
    pub(crate) room_sid: String,
    pub(crate) metadata: String,
    pub(crate) signals: JobSignals,
    pub(crate) write_timeout: Duration,
    pub(crate) misbehaviour: Misbehaviour,
}

/// Takes part in a call until it is over.
pub(crate) async fn run<A: Agent>(start: Start, agent: &(dyn Fn(&Call) -> A + Sync)) -> JobOutcome {
    match take_part(start, agent).await {
        Ok(()) => JobOutcome::Success,
        Err(error) => JobOutcome::Failed(error.to_string()),
    }
}

async fn take_part<A: Agent>(
    start: Start,
    agent: &(dyn Fn(&Call) -> A + Sync),
) -> Result<(), JobError> {
    let Start {
        url,
        access_token,
        room_sid,
        metadata,
        signals,
        write_timeout,
        misbehaviour,
    } = start;
    let DispatchMetadata { baton, metadata } = DispatchMetadata::parse(&metadata)?;
    let connection = Connection::join(
        &url,
        access_token.expose(),
        baton.orchestrator.as_str(),
        misbehaviour,
    )
    .await?;

    // A room that was closed meanwhile is made anew by joining it, and nobody is in it.
    if connection
        .room_sid()
        .is_some_and(|sid| !room_sid.is_empty() && sid != room_sid)
    {
        connection.close().await;
        return Err(JobError::RoomGone);
    }

    // The order matters: a track that is published open is heard by the caller at once.
    connection.close_permission().await?;
    let voice = Voice::new(misbehaviour.ungated);
    let audible = Arc::new(AtomicBool::new(false));
    let _speaking = connection.start_voice(voice.clone(), audible.clone());
    connection.publish().await?;

    let caller = CallerAudio::new();
    let keys = Keys::new();
    let (wishes, wanted) = mpsc::channel(WISHES_MAX);
    let (writes, written) = mpsc::channel(WISHES_MAX);
    let memory = Shared::new(writes, write_timeout);
    let (summaries, _) = broadcast::channel(summary::REQUESTS_MAX);
    let (targets, known_targets) = watch::channel(Targets::default());
    let call = Call::new(
        baton.call.clone(),
        baton.specialist.clone(),
        metadata,
        voice.clone(),
        caller.clone(),
        known_targets,
        keys.clone(),
        summaries.downgrade(),
        wishes.clone(),
        &memory,
    );
    let hooks = Hooks::start(agent(&call), call, wishes);
    let hello = Hello {
        attempt: 0,
        ticket: baton.ticket,
        specialist: baton.specialist,
        sdk_name: env!("CARGO_PKG_NAME").to_owned(),
        sdk_version: env!("CARGO_PKG_VERSION").to_owned(),
        versions: vec![misbehaviour.version.unwrap_or(VERSION)],
        track_sid: String::new(),
        open_track_sid: String::new(),
        seen: None,
        oldest: Seq(1),
    };
    let stream = StreamId(rand::random::<u64>().max(1));
    let mut job = Job {
        outbox: connection.start_outbox(),
        sid: connection.sid(),
        connection,
        hello,
        link: Link::new(LinkConfig::new(Side::Specialist, baton.call, stream)),
        standing: Standing::new(),
        voice,
        caller,
        keys,
        summaries,
        audible,
        hears: Arc::new(AtomicBool::new(false)),
        connected: true,
        welcomed: false,
        targets,
        hooks,
        requests: BTreeMap::new(),
        delegations: BTreeMap::new(),
        last_request: RequestId(0),
        finish_by: None,
        talk: Talk::new(memory),
        held: None,
        speaking: false,
        ignores_revoke: misbehaviour.ignores_revoke,
        vigil: Vigil::new(Instant::now(), timeout_of(ORCHESTRATOR_TIMEOUT_MS)),
        sample_at: None,
        sampling: None,
        direct: Direct::No,
        open_again_at: None,
    };
    info!(specialist = %job.hello.specialist, orchestrator = %Printed(&baton.orchestrator), "joined");
    let ended = job.run(signals, wanted, written).await;
    job.keys.end();
    job.leave().await;
    ended
}

/// Baton's identity, which is no personal data.
struct Printed<'a>(&'a Identity);

impl std::fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str())
    }
}

struct Job {
    connection: Connection,
    outbox: mpsc::Sender<(Vec<u8>, bool)>,
    /// Our participant's sid when Hello was said last.
    sid: String,
    hello: Hello,
    link: Link,
    standing: Standing,
    voice: Voice,
    caller: CallerAudio,
    keys: Keys,
    summaries: broadcast::Sender<(u64, Duration)>,
    /// Whether the voice may pass: the connection stands and Baton has welcomed us since.
    audible: Arc<AtomicBool>,
    /// The same for the caller's, and the baton is here.
    hears: Arc<AtomicBool>,
    connected: bool,
    /// Whether Baton has ever greeted us.
    welcomed: bool,
    /// What the agent sees of [`Call::targets`].
    targets: watch::Sender<Targets>,
    hooks: Hooks,
    requests: BTreeMap<RequestId, Asked>,
    /// Who waits for what comes of a delegation.
    delegations: BTreeMap<RequestId, oneshot::Sender<Delegated>>,
    last_request: RequestId,
    /// When an utterance is cut that was to be finished.
    finish_by: Option<Instant>,
    talk: Talk,
    /// A hook that waits for the conversation.
    held: Option<Held>,
    /// Whether Baton has been told that something is being said.
    speaking: bool,
    ignores_revoke: bool,
    vigil: Vigil,
    /// When packets are counted next.
    sample_at: Option<Instant>,
    /// The count that is being made.
    sampling: Option<JoinHandle<Option<Sample>>>,
    direct: Direct,
    /// When the caller is let in once more.
    open_again_at: Option<Instant>,
}

/// Whether the caller hears our track without Baton.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direct {
    No,
    /// It does.
    Open,
    /// It may, until the voice moves to the fresh track.
    Home {
        /// Whether Baton reads that one.
        taken: bool,
        /// When the voice moves anyway.
        by: Instant,
    },
    /// The voice goes by Baton again; what was said last is still on its way to the caller.
    Left {
        /// When the former track is taken away.
        at: Instant,
    },
}

/// A handoff that was asked for.
struct Asked {
    asking: HandoffRequest,
    /// Under which epoch it was asked for last.
    epoch: Epoch,
    reply: oneshot::Sender<Result<HandoffDone, HandoffError>>,
}

/// A hook that is called when so many items of the conversation are here.
struct Held {
    items: u64,
    /// When it is called anyway.
    until: Option<Instant>,
    hook: Hook,
}

enum Hook {
    Prepare(Preparation),
    Granted(Grant),
}

/// What woke a job up.
enum Wake {
    Room(Happening),
    Wish(Wish),
    Write(Write),
    Time,
    Finished,
    Speech,
    Stopping,
    AgentEnded,
    Counted(Option<Sample>),
}

impl Job {
    async fn run(
        &mut self,
        signals: JobSignals,
        mut wishes: mpsc::Receiver<Wish>,
        mut writes: mpsc::Receiver<Write>,
    ) -> Result<(), JobError> {
        let welcome_by = Instant::now() + WELCOME_MAX;
        self.say_hello();
        loop {
            self.welcomed |= self.link.is_established();
            self.transmit();
            let now = Instant::now();
            let welcomed = self.welcomed;
            if !welcomed && now >= welcome_by {
                return Err(JobError::NotWelcomed);
            }
            let wake_at = self.wake_at(now, (!welcomed).then_some(welcome_by));
            let finishing = self.finish_by.is_some();
            let takes_writes = self.talk.takes_writes();
            // All arms are cancel-safe: three channels, a timer, two conditions that are asked for again, a token, two handles.
            let wake = tokio::select! {
                happening = self.connection.next() => Wake::Room(happening),
                Some(wish) = wishes.recv() => Wake::Wish(wish),
                Some(write) = writes.recv(), if takes_writes => Wake::Write(write),
                () = sleep_until(wake_at.into()) => Wake::Time,
                () = self.voice.finished(), if finishing => Wake::Finished,
                () = self.voice.turns(self.speaking), if welcomed => Wake::Speech,
                () = signals.stopping() => Wake::Stopping,
                _ = &mut self.hooks.task => Wake::AgentEnded,
                sample = counted(&mut self.sampling) => Wake::Counted(sample),
            };
            let goes_on = match wake {
                Wake::Room(happening) => self.happened(happening).await?,
                Wake::Wish(wish) => self.wish(wish).await?,
                Wake::Write(write) => {
                    self.talk.write(self.standing.epoch(), write);
                    true
                }
                Wake::Time => self.time_passed()?,
                Wake::Finished => self.finished()?,
                Wake::Speech => self.speech()?,
                Wake::Stopping => false,
                Wake::AgentEnded => return Err(JobError::Panicked),
                Wake::Counted(sample) => {
                    if let Some(sample) = sample {
                        self.vigil.sample(Instant::now(), sample);
                    }
                    true
                }
            };
            if !goes_on {
                return Ok(());
            }
            if let Err(error) = self.keep_vigil().await {
                warn!(%error, "the caller is not reached as it should be");
            }
        }
    }

    /// Lets Baton's last words be acked, and leaves.
    async fn leave(mut self) {
        self.voice.close();
        self.audible.store(false, Ordering::Release);
        drop(self.hooks);
        let deadline = tokio::time::Instant::now() + FAREWELL_MAX;
        let mut said = Vec::new();
        while self.connected {
            let now = Instant::now();
            while let Some(transmit) = self.link.poll_transmit(now) {
                // A full outbox loses it, and there is no time to send it again.
                let _ = self.outbox.try_send((transmit.payload, transmit.reliable));
            }
            if self.link.waiting() == 0 && self.link.poll_timeout().is_none() {
                break;
            }
            let wake_at = self.link.poll_timeout().map_or(deadline, Into::into);
            match timeout_at(wake_at.min(deadline), self.connection.next()).await {
                Ok(Happening::Packet(packet)) => {
                    self.link.handle_frame(Instant::now(), &packet, &mut said);
                }
                Ok(Happening::Ended(_)) => break,
                Ok(
                    Happening::NewBaton
                    | Happening::FreshTaken
                    | Happening::Caller(_)
                    | Happening::Reconnecting
                    | Happening::Reconnected,
                ) => {}
                Err(_) if tokio::time::Instant::now() >= deadline => break,
                Err(_) => {}
            }
        }
        self.connection.close().await;
    }

    fn wake_at(&self, now: Instant, welcome_by: Option<Instant>) -> Instant {
        [
            self.connected.then(|| self.link.poll_timeout()).flatten(),
            self.finish_by,
            self.held.as_ref().and_then(|held| held.until),
            self.sample_at.filter(|_| self.connected),
            self.left_at(),
            self.open_again_at,
            welcome_by,
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(now + IDLE)
    }

    fn left_at(&self) -> Option<Instant> {
        match self.direct {
            Direct::Left { at } => Some(at),
            Direct::No | Direct::Open | Direct::Home { .. } => None,
        }
    }

    fn say_hello(&mut self) {
        self.sid = self.connection.sid();
        let (voice, fresh) = (self.connection.track_sid(), self.connection.fresh_sid());
        (self.hello.track_sid, self.hello.open_track_sid) = match self.direct {
            Direct::No | Direct::Left { .. } => (voice, String::new()),
            Direct::Open => (String::new(), voice),
            Direct::Home { .. } => (fresh, voice),
        };
        self.link.hello(Instant::now(), self.hello.clone());
    }

    fn transmit(&mut self) {
        if !self.connected {
            return;
        }
        let now = Instant::now();
        let epoch = self.standing.epoch();
        self.talk.send(now, epoch, &mut self.link);
        while let Some(transmit) = self.link.poll_transmit(now) {
            let packet = (transmit.payload, transmit.reliable);
            if self.outbox.try_send(packet).is_err() {
                debug!("packet lost, the outbox is full");
            }
        }
    }

    async fn happened(&mut self, happening: Happening) -> Result<bool, JobError> {
        match happening {
            Happening::Packet(packet) => {
                let (mut said, now) = (Vec::new(), Instant::now());
                self.link.handle_frame(now, &packet, &mut said);
                if self.link.is_established() {
                    self.vigil.frame(now);
                }
                for event in said {
                    if !self.said(event)? {
                        return Ok(false);
                    }
                }
                self.applied()?;
            }
            // It may be a process that has never heard of us; whether we still have the baton, its grant will tell.
            // While our own connection is restored everybody is seen anew, and what follows says Hello.
            Happening::NewBaton if !self.connected => {}
            Happening::NewBaton => {
                info!("baton is another participant, saying hello");
                if self.direct == Direct::Open {
                    self.go_home().await?;
                }
                self.say_hello();
                self.apply_gate();
            }
            Happening::FreshTaken => {
                if let Direct::Home { taken, .. } = &mut self.direct {
                    *taken = true;
                }
            }
            Happening::Caller(track) => {
                let caller = self.caller.clone();
                self.connection.hear(&track, caller, self.hears.clone());
            }
            Happening::Reconnecting => {
                info!("reconnecting");
                self.connected = false;
                self.apply_gate();
            }
            Happening::Reconnected => self.reconnected().await?,
            Happening::Ended(Ending::Over) => {
                self.connected = false;
                return Ok(false);
            }
            Happening::Ended(Ending::Broken(reason)) => {
                self.connected = false;
                return Err(JobError::Lost(reason));
            }
        }
        Ok(true)
    }

    async fn reconnected(&mut self) -> Result<(), JobError> {
        // After a full reconnect the track was published anew, and the server may not have been told yet who may
        // subscribe. Only silence has left since.
        self.connection.close_permission().await?;
        self.connection.move_voice();
        self.connection.take_former_away().await?;
        self.direct = Direct::No;
        self.vigil.restart(Instant::now());
        let anew = self.connection.sid() != self.sid;
        info!(anew, "reconnected");
        if anew && self.standing.lose() {
            self.put_down()?;
        }
        self.connected = true;
        self.say_hello();
        self.apply_gate();
        Ok(())
    }

    fn said(&mut self, event: LinkEvent) -> Result<bool, JobError> {
        match event {
            LinkEvent::Received { epoch: _, body } => {
                let whole = self.talk.whole(body);
                let Some(body) = whole.and_then(|body| self.talk.hear(body)) else {
                    return Ok(true);
                };
                let welcome = matches!(body, Body::Welcome(_));
                if let Body::Welcome(Welcome { terms, targets, .. }) = &body {
                    self.targets.send_replace(targets.clone());
                    self.talk.welcomed(&self.link, terms);
                    self.caller.keep(terms.preroll_ms.unwrap_or(PREROLL_MS));
                    let timeout_ms = terms.orchestrator_timeout_ms;
                    self.vigil
                        .set_timeout(timeout_of(timeout_ms.unwrap_or(ORCHESTRATOR_TIMEOUT_MS)));
                }
                let items = items_of(&body);
                debug!(body = body.name(), "received");
                let step = self.standing.hear(body);
                let goes_on = self.carry_out(step, items)?;
                if welcome {
                    self.apply_gate();
                    self.connection.repeat_wish();
                }
                Ok(goes_on)
            }
            LinkEvent::Rejected {
                reason,
                detail,
                seq: _,
            } => {
                warn!(%reason, detail, "frame rejected");
                Ok(true)
            }
            LinkEvent::Unresponsive => {
                warn!("baton does not answer");
                Ok(true)
            }
        }
    }

    fn carry_out(&mut self, step: Step, items: u64) -> Result<bool, JobError> {
        match step {
            Step::Prepare(preparation) => {
                info!(handoff = preparation.handoff.0, "preparing");
                self.held = Some(Held {
                    items,
                    // Baton bounds it.
                    until: None,
                    hook: Hook::Prepare(preparation),
                });
                self.apply_gate();
            }
            Step::ReadyAgain(handoff) => self.send_ready(handoff)?,
            Step::CallOff => {
                info!("preparation called off");
                self.held = None;
                self.hooks.cancel();
                self.apply_gate();
            }
            Step::Take(grant) => {
                info!(epoch = grant.epoch.0, "granted");
                let granted = Body::Granted {
                    epoch: grant.epoch,
                    preroll_ms: Some(self.caller.kept_ms()),
                };
                self.finish_by = None;
                self.voice.open();
                self.apply_gate();
                self.send(&granted)?;
                self.held = Some(Held {
                    items,
                    until: Some(Instant::now() + TAIL_MAX),
                    hook: Hook::Granted(grant),
                });
            }
            Step::GoOn(epoch) => {
                self.apply_gate();
                // It has heard the caller all along.
                self.send(&Body::Granted {
                    epoch,
                    preroll_ms: None,
                })?;
                self.ask_again(epoch)?;
            }
            Step::StopListening => self.apply_gate(),
            Step::Pressed(key) => self.keys.push(key),
            Step::Finish { .. } | Step::GiveUp(_) if self.ignores_revoke => {}
            Step::Finish { deadline_ms } => {
                let patience = Duration::from_millis(u64::from(deadline_ms));
                self.finish_by = Some(Instant::now() + patience);
                self.voice.finish();
            }
            Step::GiveUp(epoch) => {
                info!(epoch = epoch.0, "revoked");
                self.put_down()?;
                self.send(&Body::Released { epoch })?;
            }
            Step::NotHere(epoch) => self.send(&Body::Released { epoch })?,
            Step::Leave => return Ok(false),
            Step::SumUp { request, limit } => {
                if self.summaries.send((request, limit)).is_err() {
                    let reason = "the agent makes no summaries".to_owned();
                    self.talk
                        .sum_up(self.standing.epoch(), request, Err(reason));
                }
            }
            Step::Answer(result) => self.answered(result.request, result.outcome),
            Step::Delegated { request, outcome } => {
                if let Some(delegated) = self.delegations.remove(&request) {
                    // Nobody waits for it any more if it cannot be given.
                    let _ = delegated.send(outcome);
                }
            }
            Step::Complaint(reject) => {
                warn!(reason = %reject.reason, detail = reject.detail, "baton rejected a frame");
                if !self.welcomed {
                    job_error::turned_away(reject)?;
                }
            }
            Step::Nothing => {}
        }
        Ok(true)
    }

    /// Silences and deafens the agent, and tells it.
    fn put_down(&mut self) -> Result<(), JobError> {
        self.finish_by = None;
        self.held = None;
        self.voice.close();
        self.keys.clear();
        self.apply_gate();
        self.hooks.revoked()?;
        Ok(())
    }

    /// Calls the hook that has waited for the conversation, and says what is ready, once enough of it is here.
    fn applied(&mut self) -> Result<(), JobError> {
        let (here, now) = (self.talk.position(), Instant::now());
        let due = |held: &mut Held| here >= held.items || held.until.is_some_and(|at| at <= now);
        match self.held.take_if(due).map(|held| held.hook) {
            Some(Hook::Prepare(preparation)) => self.hooks.prepare(preparation)?,
            Some(Hook::Granted(grant)) => self.hooks.granted(grant)?,
            None => {}
        }
        Ok(())
    }

    fn finished(&mut self) -> Result<bool, JobError> {
        if let Some(epoch) = self.standing.finished() {
            info!(epoch = epoch.0, "revoked");
            self.put_down()?;
            self.send(&Body::Released { epoch })?;
        }
        self.finish_by = None;
        Ok(true)
    }

    fn speech(&mut self) -> Result<bool, JobError> {
        self.speaking = !self.speaking;
        self.send(&Body::Speech {
            speaking: self.speaking,
        })?;
        Ok(true)
    }

    fn time_passed(&mut self) -> Result<bool, JobError> {
        let now = Instant::now();
        if self.finish_by.is_some_and(|time| time <= now) {
            self.finished()?;
        }
        let mut said = Vec::new();
        self.link.handle_timeout(now, &mut said);
        for event in said {
            self.said(event)?;
        }
        self.applied()?;
        Ok(true)
    }

    /// Sound passes, either way, only while the connection stands and Baton has greeted us on it. A subscription takes
    /// longer than a grant may, so it is made while the agent prepares.
    fn apply_gate(&mut self) {
        let reached = self.link.is_established() || self.direct != Direct::No;
        let stands = self.connected && reached;
        self.audible.store(stands, Ordering::Release);
        let hears = stands && self.standing.hears();
        self.hears.store(hears, Ordering::Release);
        let wants_caller = self.standing.wants_caller();
        self.connection.want_caller(wants_caller);
        // Not sooner: Baton takes the first subscription of all for the caller's.
        let keeps_vigil = self.standing.holds() && self.vigil.interval().is_some();
        self.connection.want_program(keeps_vigil);
        if keeps_vigil {
            self.sample_at.get_or_insert_with(Instant::now);
        } else {
            self.sample_at = None;
        }
        if wants_caller {
            self.caller.expect(self.connection.caller_has_audio());
        } else {
            self.caller.forget();
        }
    }

    /// Looks whether Baton is gone or back, and reaches the caller without it meanwhile.
    async fn keep_vigil(&mut self) -> Result<(), ConnectionError> {
        let now = Instant::now();
        if self.connected && self.sample_at.is_some_and(|at| at <= now) {
            self.sample_at = self.vigil.interval().map(|interval| now + interval);
            self.connection.want_program(self.sample_at.is_some());
            if self.sampling.is_none() {
                self.sampling = Some(tokio::spawn(self.connection.sample()));
            }
        }
        let now = Instant::now();
        let may_open = self.connected && self.standing.hears() && self.connection.has_caller();
        match self.vigil.poll(now, may_open) {
            Some(Change::Open) if self.direct == Direct::No => {
                warn!("baton is gone, the caller is reached without it");
                self.direct = Direct::Open;
                self.connection.permit(Permission::Caller).await?;
                self.open_again_at = Some(now + OPEN_AGAIN);
                self.apply_gate();
            }
            // It plays our track again: what the caller hears directly ends at once.
            Some(Change::Close) if self.direct == Direct::Open => {
                info!("baton is back");
                self.connection.permit(Permission::Baton).await?;
                self.go_home().await?;
            }
            Some(Change::Open | Change::Close) | None => {}
        }
        if self.open_again_at.is_some_and(|at| at <= now) {
            self.open_again_at = None;
            if self.direct == Direct::Open {
                self.connection.permit(Permission::Caller).await?;
            }
        }
        if let Direct::Left { at } = self.direct
            && at <= now
        {
            self.direct = Direct::No;
            self.connection.take_former_away().await?;
            self.connection.permit(Permission::Baton).await?;
        }
        let moves = match self.direct {
            Direct::No | Direct::Left { .. } => false,
            Direct::Open => !self.standing.holds(),
            Direct::Home { taken, by } => {
                (taken && self.link.is_established()) || by <= now || !self.standing.holds()
            }
        };
        if moves {
            self.arrive().await?;
        }
        Ok(())
    }

    /// Publishes a closed track for the voice to move to: one that was open cannot be closed and opened again in time.
    async fn go_home(&mut self) -> Result<(), ConnectionError> {
        self.connection.publish_fresh().await?;
        self.direct = Direct::Home {
            taken: false,
            by: Instant::now() + HOME_MAX,
        };
        Ok(())
    }

    /// From here on the caller hears us by way of Baton alone.
    async fn arrive(&mut self) -> Result<(), ConnectionError> {
        self.connection.publish_fresh().await?;
        self.connection.move_voice();
        info!("the voice goes by baton again");
        self.direct = Direct::Left {
            at: Instant::now() + TAIL_OF_VOICE,
        };
        self.vigil.closed();
        self.apply_gate();
        Ok(())
    }

    async fn wish(&mut self, wish: Wish) -> Result<bool, JobError> {
        match wish {
            Wish::Prepared { handoff, answer } => self.prepared(handoff, answer)?,
            Wish::Handoff {
                asking,
                reply,
                delegated,
            } => self.request(asking, reply, delegated),
            Wish::Summary { request, outcome } => {
                self.talk.sum_up(self.standing.epoch(), request, outcome);
            }
            #[cfg(feature = "misbehave")]
            Wish::Reconnect => self.connection.reconnect().await,
        }
        Ok(true)
    }

    fn prepared(
        &mut self,
        handoff: HandoffId,
        answer: Result<(), Refusal>,
    ) -> Result<(), JobError> {
        match answer {
            Ok(()) if self.standing.ready(handoff) => {
                info!(handoff = handoff.0, "ready");
                self.send_ready(handoff)
            }
            Err(refusal) if self.standing.refused(handoff) => {
                info!(handoff = handoff.0, "preparation refused");
                self.apply_gate();
                let reason = shortened(refusal.reason);
                self.send(&Body::Refuse { handoff, reason })
            }
            // Called off meanwhile.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn request(
        &mut self,
        asking: Asking,
        reply: oneshot::Sender<Result<HandoffDone, HandoffError>>,
        delegated: Option<oneshot::Sender<Delegated>>,
    ) {
        self.requests.retain(|_, asked| !asked.reply.is_closed());
        self.delegations
            .retain(|_, delegated| !delegated.is_closed());
        let refused = if !self.standing.may_hand_off() {
            Some(HandoffError::NoBaton)
        } else if self.requests.len() >= REQUESTS_MAX || self.delegations.len() >= REQUESTS_MAX {
            Some(HandoffError::TooMany {
                limit: REQUESTS_MAX,
            })
        } else {
            None
        };
        if let Some(error) = refused {
            // Nobody waits for it any more if it cannot be given.
            let _ = reply.send(Err(error));
            return;
        }
        let request = self.last_request.next();
        let Asking {
            target,
            reason,
            tool_call,
            task,
            result,
        } = asking;
        let asking = HandoffRequest {
            request,
            target,
            reason: shortened(reason),
            tool_call,
            delegation_input: task,
            delegation_result: result,
        };
        let epoch = self.standing.epoch();
        let body = Body::HandoffRequest(asking.clone());
        let sent = self.link.send(Instant::now(), epoch, &body);
        match sent {
            Ok(_) => {
                self.last_request = request;
                let asked = Asked {
                    asking,
                    epoch,
                    reply,
                };
                self.requests.insert(request, asked);
                if let Some(delegated) = delegated {
                    self.delegations.insert(request, delegated);
                }
            }
            Err(error) => {
                let detail = error.to_string();
                let _ = reply.send(Err(HandoffError::NotSent { detail }));
            }
        }
    }

    /// The baton was granted anew, as by a Baton that was started again: what was asked for before is not answered under the
    /// epoch that was, and is asked for under the new one.
    fn ask_again(&mut self, epoch: Epoch) -> Result<(), JobError> {
        let mut again = Vec::new();
        for asked in self.requests.values_mut() {
            if asked.epoch != epoch && !asked.reply.is_closed() {
                asked.epoch = epoch;
                again.push(Body::HandoffRequest(asked.asking.clone()));
            }
        }
        again.iter().try_for_each(|body| self.send(body))
    }

    fn answered(&mut self, request: RequestId, outcome: HandoffOutcome) {
        let answer = match outcome {
            HandoffOutcome::Accepted { .. } => return,
            HandoffOutcome::Refused { reason, detail } => {
                Err(HandoffError::Refused { reason, detail })
            }
            HandoffOutcome::Failed {
                handoff: _,
                reason,
                detail,
            } => Err(HandoffError::Failed { reason, detail }),
            HandoffOutcome::Done {
                handoff,
                holder,
                epoch,
            } => Ok(HandoffDone {
                handoff,
                holder,
                epoch,
            }),
        };
        if answer.is_err() {
            self.delegations.remove(&request);
        }
        if let Some(asked) = self.requests.remove(&request) {
            let _ = asked.reply.send(answer);
        }
    }

    fn send_ready(&mut self, handoff: HandoffId) -> Result<(), JobError> {
        let (context_items, context_hash) = self.talk.head();
        self.send(&Body::Ready(Ready {
            handoff,
            context_items,
            context_hash,
        }))
    }

    /// A window that is full with these few words means that Baton has not answered for long.
    fn send(&mut self, body: &Body) -> Result<(), JobError> {
        let epoch = self.standing.epoch();
        self.link.send(Instant::now(), epoch, body)?;
        Ok(())
    }
}

/// What was counted, once it is. Cancel-safe.
async fn counted(sampling: &mut Option<JoinHandle<Option<Sample>>>) -> Option<Sample> {
    let Some(counting) = sampling else {
        return std::future::pending().await;
    };
    let sample = counting.await.ok().flatten();
    *sampling = None;
    sample
}

fn timeout_of(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

/// How much of the conversation goes with the body.
fn items_of(body: &Body) -> u64 {
    let packet = match body {
        Body::Prepare(prepare) => prepare.packet.as_ref(),
        Body::Grant { packet, .. } => packet.as_ref(),
        _ => None,
    };
    packet.map_or(0, |packet| packet.context_items)
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}
