//! What the engine keeps of calls that are over, and how it comes through a server that dies or stands still.
//!
//! `cargo xtask bench endurance` is the long form: 1,000 rounds, and pauses of 3, 10 and 30 s.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    env, fs,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use kit::{server::LivekitServer, token::JoinToken};
use livekit::{
    Room, RoomEvent, RoomOptions,
    options::TrackPublishOptions,
    publication::RemoteTrackPublication,
    track::{LocalAudioTrack, LocalTrack, RemoteAudioTrack, RemoteTrack, TrackSource},
    webrtc::{
        audio_frame::AudioFrame,
        audio_source::{AudioSourceOptions, RtcAudioSource, native::NativeAudioSource},
        audio_stream::native::NativeAudioStream,
    },
};
use tokio::{
    runtime::Handle,
    sync::{Mutex, mpsc::UnboundedReceiver},
    task::AbortHandle,
    time::{sleep, timeout},
};

/// How many rounds each of the long loops has, in the long form.
const ROUNDS: &str = "BATON_ENDURANCE_ROUNDS";
/// How long the server is paused, in seconds, with commas between.
const PAUSES: &str = "BATON_ENDURANCE_PAUSES";
const ROUNDS_DEFAULT: usize = 15;
/// What allocators and caches take before they are in balance.
const WARM_UP: usize = 10;
const STEP: Duration = Duration::from_secs(30);
/// The SDK's own attempts to be back take up to 75 s.
const BACK_MAX: Duration = Duration::from_secs(100);
const RATE_HZ: u32 = 48_000;
const AUDIBLE: u16 = 1_000;
/// Publications of one connection, one after the other. Rounds are made up to a multiple of it.
const PUBLICATIONS: usize = 5;
/// What maps and queues may have grown by, and what each round may leave behind.
const SLACK_BYTES: i64 = 256 * 1_024;
const EACH_BYTES_MAX: i64 = 256;
/// How long what is held must not have become less to count as settled.
const SETTLED: Duration = Duration::from_secs(2);

/// The system's allocator, counting what is in use: what an allocator keeps for later is no growth.
struct Counting;

static IN_USE: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator as it comes.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that `System` asks for.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            IN_USE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

/// What is measured is the process's, and the server's end is everybody's: one test at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_that_were_left_leave_no_task_or_file_behind() -> Result<()> {
    let _alone = ALONE.lock().await;
    let server = LivekitServer::start()?;
    let round = async || {
        let member = Member::join(&server, "left", "guest").await?;
        member.leave().await
    };
    rounds("joins", round).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_that_ended_leave_no_task_or_file_behind() -> Result<()> {
    let _alone = ALONE.lock().await;
    let server = LivekitServer::start()?;
    let mut speaker = Member::join(&server, "subscribed", "speaker").await?;
    let sounding = speaker.speak().await?;
    let listener = Mutex::new(Member::join(&server, "subscribed", "listener").await?);
    let subscribed = listener.lock().await.subscribed().await?;
    let subscribed = Mutex::new(subscribed);
    let round = async || {
        let (mut listener, mut subscribed) = (listener.lock().await, subscribed.lock().await);
        let (publication, track) = &mut *subscribed;
        publication.set_subscribed(false);
        publication.set_subscribed(true);
        // Nobody else reads what the speaker is told.
        while speaker.events.try_recv().is_ok() {}
        listener.heard_on(publication, track).await
    };
    rounds("subscriptions", round).await?;
    sounding.abort();
    speaker.leave().await?;
    listener.into_inner().leave().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publications_that_ended_leave_no_task_or_file_behind() -> Result<()> {
    let _alone = ALONE.lock().await;
    let server = LivekitServer::start()?;
    // A publication takes a section of the description for good (`livekit` adds a transceiver for each), so that a connection
    // itself grows by each: what counts is what is left of it.
    let mut published = 0;
    let mut pair: Option<(Member, Member)> = None;
    let round = async || {
        let (mut speaker, mut listener) = match pair.take() {
            Some(pair) => pair,
            None => {
                let speaker = Member::join(&server, "published", "speaker").await?;
                (
                    speaker,
                    Member::join(&server, "published", "listener").await?,
                )
            }
        };
        let sounding = speaker.speak().await?;
        let (_, track) = listener.subscribed().await?;
        hear(&track, STEP).await?;
        sounding.abort();
        let me = speaker.room.local_participant();
        for sid in me.track_publications().into_keys() {
            timeout(STEP, me.unpublish_track(&sid)).await??;
        }
        listener.unsubscribed().await?;
        // They hold the tracks that they tell of.
        while speaker.events.try_recv().is_ok() {}
        published += 1;
        if published % PUBLICATIONS == 0 {
            speaker.leave().await?;
            return listener.leave().await;
        }
        pair = Some((speaker, listener));
        Ok(())
    };
    rounds("publications", round).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_that_returns_is_heard_through_again() -> Result<()> {
    let _alone = ALONE.lock().await;
    let mut server = LivekitServer::start()?;
    let mut pair = Pair::start(&server).await?;
    server.kill();
    let killed = Instant::now();
    sleep(Duration::from_secs(2)).await;
    server.restart()?;
    let back = pair.heard_again().await?;
    println!(
        "killed: heard {:.1} s after the kill, {:.1} s after its return",
        killed.elapsed().as_secs_f64(),
        back.as_secs_f64()
    );
    pair.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stood_still_is_heard_through_again() -> Result<()> {
    let _alone = ALONE.lock().await;
    let pauses = env::var(PAUSES).unwrap_or_else(|_| "3".to_owned());
    for secs in pauses.split(',') {
        let secs: u64 = secs.parse().with_context(|| format!("{PAUSES}={pauses}"))?;
        let mut server = LivekitServer::start()?;
        let mut pair = Pair::start(&server).await?;
        server.pause()?;
        sleep(Duration::from_secs(secs)).await;
        server.resume()?;
        let back = pair.heard_again().await?;
        println!(
            "paused for {secs} s: heard {:.1} s after",
            back.as_secs_f64()
        );
        pair.end().await?;
    }
    Ok(())
}

/// What this process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    heap_bytes: i64,
    resident_kb: i64,
    files: usize,
    threads: i64,
    tasks: usize,
}

impl Held {
    fn now() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|line| line.split_whitespace().next());
            anyhow::Ok(value.with_context(|| format!("no {name}"))?.parse()?)
        };
        Ok(Self {
            heap_bytes: IN_USE.load(Ordering::Relaxed),
            resident_kb: value("VmRSS:")?,
            files: fs::read_dir("/proc/self/fd")?.count(),
            threads: value("Threads:")?,
            tasks: Handle::current().metrics().num_alive_tasks(),
        })
    }

    /// What is left when all that ends by itself has ended.
    async fn settled() -> Result<Self> {
        let limit = Instant::now() + STEP;
        let (mut least, mut since) = (Self::now()?, Instant::now());
        while since.elapsed() < SETTLED && Instant::now() < limit {
            sleep(Duration::from_millis(100)).await;
            let now = Self::now()?;
            let is_less = now.files < least.files
                || now.tasks < least.tasks
                || now.threads < least.threads
                || now.heap_bytes < least.heap_bytes;
            if is_less {
                since = Instant::now();
                least = Self {
                    heap_bytes: now.heap_bytes.min(least.heap_bytes),
                    resident_kb: now.resident_kb,
                    files: now.files.min(least.files),
                    threads: now.threads.min(least.threads),
                    tasks: now.tasks.min(least.tasks),
                };
            }
        }
        Ok(least)
    }
}

/// Goes many times through `round` and judges what is held afterwards by what was held after the first ones.
async fn rounds(name: &str, mut round: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let rounds: usize = match env::var(ROUNDS) {
        Ok(text) => text.parse().with_context(|| format!("{ROUNDS}={text}"))?,
        Err(_) => ROUNDS_DEFAULT,
    };
    let rounds = rounds.next_multiple_of(PUBLICATIONS);
    for _ in 0..WARM_UP {
        round().await?;
    }
    let before = Held::settled().await?;
    let start = Instant::now();
    for number in 0..rounds {
        round()
            .await
            .with_context(|| format!("{name}, round {number}"))?;
    }
    let took = start.elapsed();
    // What ends by itself after a round may still be at it.
    let limit = Instant::now() + STEP;
    let after = loop {
        let after = Held::settled().await?;
        let is_back = after.files <= before.files
            && after.tasks <= before.tasks
            && after.threads <= before.threads;
        if is_back || Instant::now() > limit {
            break after;
        }
    };
    println!(
        "{name}: {rounds} rounds in {:.1} s\n  {before:?}\n  {after:?}",
        took.as_secs_f64()
    );
    ensure!(
        after.files <= before.files,
        "{name}: {before:?}, then {after:?}: files are left"
    );
    ensure!(
        after.tasks <= before.tasks,
        "{name}: {before:?}, then {after:?}: tasks are left"
    );
    ensure!(
        after.threads <= before.threads,
        "{name}: {before:?}, then {after:?}: threads are left"
    );
    let grown = after.heap_bytes - before.heap_bytes;
    let max = SLACK_BYTES + EACH_BYTES_MAX * i64::try_from(rounds)?;
    ensure!(
        grown <= max,
        "{name}: {grown} bytes more are in use, {max} are allowed"
    );
    Ok(())
}

/// Somebody who speaks and somebody who hears it.
struct Pair {
    speaker: Member,
    listener: Member,
    sounding: AbortHandle,
}

impl Pair {
    async fn start(server: &LivekitServer) -> Result<Self> {
        let speaker = Member::join(server, "outage", "speaker").await?;
        let sounding = speaker.speak().await?;
        let mut listener = Member::join(server, "outage", "listener").await?;
        let (_, track) = listener.subscribed().await?;
        hear(&track, STEP).await?;
        Ok(Self {
            speaker,
            listener,
            sounding,
        })
    }

    /// How long it takes until the listener hears the speaker without a break for a second.
    async fn heard_again(&mut self) -> Result<Duration> {
        let start = Instant::now();
        while start.elapsed() < BACK_MAX {
            // A full reconnect brings another track.
            let participants = self.listener.room.remote_participants();
            let publications = participants
                .values()
                .flat_map(|participant| participant.track_publications().into_values());
            let tracks: Vec<RemoteAudioTrack> = publications
                .filter_map(|publication| match publication.track() {
                    Some(RemoteTrack::Audio(track)) => Some(track),
                    Some(RemoteTrack::Video(_)) | None => None,
                })
                .collect();
            for track in tracks {
                if hear(&track, Duration::from_secs(2)).await.is_ok() {
                    return Ok(start.elapsed());
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        let mut last = Vec::new();
        while let Ok(event) = self.listener.events.try_recv() {
            last.push(format!("{event:?}").chars().take(120).collect::<String>());
        }
        bail!("nothing is heard {BACK_MAX:?} after; the listener saw {last:#?}")
    }

    async fn end(self) -> Result<()> {
        self.sounding.abort();
        self.speaker.leave().await?;
        self.listener.leave().await
    }
}

struct Member {
    room: Room,
    events: UnboundedReceiver<RoomEvent>,
}

impl Member {
    async fn join(server: &LivekitServer, room: &str, identity: &str) -> Result<Self> {
        let token = server.join_token(&JoinToken::new(room, identity))?;
        let url = server.url();
        let joining = Room::connect(&url, &token, RoomOptions::default());
        let (room, events) = timeout(STEP, joining).await??;
        Ok(Self { room, events })
    }

    /// Publishes a tone that sounds until it is aborted.
    async fn speak(&self) -> Result<AbortHandle> {
        let source = NativeAudioSource::new(AudioSourceOptions::default(), RATE_HZ, 1, 100);
        let track =
            LocalAudioTrack::create_audio_track("tone", RtcAudioSource::Native(source.clone()));
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..Default::default()
        };
        let publishing = self.room.local_participant();
        timeout(
            STEP,
            publishing.publish_track(LocalTrack::Audio(track), options),
        )
        .await??;
        Ok(tokio::spawn(sound(source)).abort_handle())
    }

    async fn subscribed(&mut self) -> Result<(RemoteTrackPublication, RemoteAudioTrack)> {
        let next = async {
            while let Some(event) = self.events.recv().await {
                if let RoomEvent::TrackSubscribed {
                    track: RemoteTrack::Audio(track),
                    publication,
                    ..
                } = event
                {
                    return Ok((publication, track));
                }
            }
            bail!("the room is gone")
        };
        timeout(STEP, next).await.context("no subscription")?
    }

    /// Waits until something is heard, as somebody must who uses `livekit`: of the track that is told, or of the one that was there
    /// before, as none is told when the server had not taken that one away yet; and asks again, as the end of the former
    /// subscription may have been sent after the beginning of this one.
    async fn heard_on(
        &mut self,
        publication: &RemoteTrackPublication,
        track: &mut RemoteAudioTrack,
    ) -> Result<()> {
        let start = Instant::now();
        let mut asked = start;
        while start.elapsed() < STEP {
            while let Ok(event) = self.events.try_recv() {
                if let RoomEvent::TrackSubscribed {
                    track: RemoteTrack::Audio(next),
                    ..
                } = event
                {
                    *track = next;
                }
            }
            if hear(track, Duration::from_millis(300)).await.is_ok() {
                return Ok(());
            }
            if asked.elapsed() > Duration::from_secs(1) {
                publication.set_subscribed(true);
                asked = Instant::now();
            }
        }
        bail!("nothing is heard of a track that was subscribed to anew")
    }

    async fn unsubscribed(&mut self) -> Result<()> {
        let next = async {
            while let Some(event) = self.events.recv().await {
                if matches!(event, RoomEvent::TrackUnsubscribed { .. }) {
                    return Ok(());
                }
            }
            bail!("the room is gone")
        };
        timeout(STEP, next)
            .await
            .context("no end of a subscription")?
    }

    async fn leave(self) -> Result<()> {
        timeout(STEP, self.room.close()).await??;
        Ok(())
    }
}

/// Waits for ten frames in a row with sound in them.
async fn hear(track: &RemoteAudioTrack, within: Duration) -> Result<()> {
    let mut stream = NativeAudioStream::new(track.rtc_track(), RATE_HZ as i32, 1);
    let listening = async {
        let mut audible = 0;
        while audible < 10 {
            let frame = stream.next().await.context("the stream ended")?;
            let is_audible = frame
                .data
                .iter()
                .any(|sample| sample.unsigned_abs() >= AUDIBLE);
            audible = if is_audible { audible + 1 } else { 0 };
        }
        Ok(())
    };
    timeout(within, listening)
        .await
        .context("nothing is heard")?
}

async fn sound(source: NativeAudioSource) {
    let samples = (RATE_HZ / 100) as usize;
    // Half a period fits a frame a whole number of times.
    let tone: Vec<i16> = (0..samples)
        .map(|at| if at / 60 % 2 == 0 { 8_000 } else { -8_000 })
        .collect();
    loop {
        let frame = AudioFrame {
            data: tone.as_slice().into(),
            sample_rate: RATE_HZ,
            num_channels: 1,
            samples_per_channel: samples as u32,
        };
        source
            .capture_frame(&frame)
            .await
            .expect("the frame has the source's format");
    }
}
