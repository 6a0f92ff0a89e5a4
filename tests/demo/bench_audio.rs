//! `cargo xtask bench audio`: what the way through Baton costs the sound, in time and in work.
//!
//! The delay is exact: a caller hears a specialist's own track and the program track at once, and since packets pass as they are,
//! each can be found on both. Work is CPU time of Baton's process with many calls, beside a loop that does what cannot be left out:
//! it receives each packet, opens it, seals it for somebody else, and sends it; and beside the same loop through str0m, on which our
//! engine stands. What the mixer costs is measured beside libopus alone, on the same packets.

use std::collections::HashMap;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use audio::{
    Epoch, Fade, FadeStart, Input, Packet, Playout, PlayoutConfig, SLOT_SAMPLES, SourceId, TrackId,
};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use baton_specialist::{Agent, Call, Grant, Misbehaviour, SAMPLE_RATE_HZ, Specialist};
use futures_util::StreamExt as _;
use kit::bare::{self, Bare, Came};
use kit::figures::{self, Goal};
use kit::process::Child;
use kit::server::LivekitServer;
use kit::token::JoinToken;
use livekit::prelude::{RemoteTrack, Room, RoomEvent, RoomOptions};
use livekit::webrtc::encoded::EncodedAudioStream;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use opus::{Application, Bitrate, Channels};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::Progress;
use crate::stage::{beside_us, spawn};

const AGENT: &str = "solo";
/// The name of Baton's track.
const PROGRAM: &str = "program";
const PACKETS_PER_SEC: u64 = 50;
/// The longest that somebody may take to come up.
const START_MAX: Duration = Duration::from_secs(30);
/// Between the first packet of the last call and the measured time.
const SETTLE: Duration = Duration::from_secs(3);
/// Length of an RTP header with the two extensions that LiveKit negotiates for audio.
const RTP_HEADER_BYTES: usize = 24;
/// What one Opus packet of 20 ms has at the SDK's default bitrate for speech.
const PAYLOAD_BYTES: usize = 80;
/// A packet without a voice is smaller, and may be equal to another one.
const QUIET_BYTES: usize = 20;
/// Packets of the mixer's measurement: two minutes of one call.
const MIXED_PACKETS: u64 = 6_000;

const DELAY_WORST_MAX_MS: f64 = 20.0;
const SOLO_RATIO_MAX: f64 = 1.5;
const MIXED_RATIO_MAX: f64 = 1.5;
const SOLO_CALLS_PER_CORE_MIN: f64 = 1_000.0;
const MIXED_CALLS_PER_CORE_MIN: f64 = 300.0;

/// Arguments of the hidden command `demo bench-audio`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Calls at the same time, of which the work is measured; server and callers need processors for as many, too
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    calls: u32,
    /// How long delay and work are measured
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(2..=600))]
    secs: u64,
    /// Folder for the logs and `audio.json`
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Report {
    delay: Delay,
    solo: Solo,
    mixed: Mixed,
    goals: Vec<Goal>,
}

/// How much later a packet comes by the program track than by the holder's own.
#[derive(Serialize)]
struct Delay {
    packets: usize,
    /// Packets of the holder's own track that did not come by the program track as they were.
    changed: usize,
    p50_ms: f64,
    p99_ms: f64,
    worst_ms: f64,
}

/// Work of Baton's process where packets pass.
#[derive(Serialize)]
struct Solo {
    calls: u32,
    /// CPU time per second of a call, in milliseconds.
    cpu_ms_per_call_second: f64,
    /// The same of the bare loop.
    bare_ms_per_call_second: f64,
    ratio: f64,
    /// The same of a loop through str0m.
    str0m_ms_per_call_second: f64,
    ratio_to_str0m: f64,
    calls_per_core: f64,
}

/// Work of the playout where it decodes, mixes and encodes, without a network.
#[derive(Serialize)]
struct Mixed {
    cpu_ms_per_call_second: f64,
    bare_libopus_ms_per_call_second: f64,
    ratio: f64,
    calls_per_core: f64,
    /// Where packets pass, for comparison.
    passing_ms_per_call_second: f64,
}

/// Measures delay and work, and shows them.
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let progress = Progress::start();
    let out = options.out.join("audio");
    fs::create_dir_all(&out).with_context(|| format!("{} cannot be made", out.display()))?;
    let measured = Duration::from_secs(options.secs);
    let server = LivekitServer::start()?;
    progress.say("delay: one call, heard by both ways");
    let delay = {
        let stage = Stage::set(&server, &out, 1, true)?;
        delay(&stage, measured).await?
    };
    progress.say(&format!("work: {} calls", options.calls));
    let cpu = {
        let stage = Stage::set(&server, &out, options.calls, false)?;
        work(&stage, options.calls, measured).await?
    };
    progress.say("work: the bare loop");
    let calls = options.calls;
    let bare = tokio::task::spawn_blocking(move || bare(calls, measured)).await??;
    progress.say("work: the same loop through str0m");
    let str0m = tokio::task::spawn_blocking(move || through_str0m(calls, measured)).await??;
    progress.say("work: the mixer beside libopus");
    let mixed = tokio::task::spawn_blocking(mixed).await??;
    let solo = Solo {
        calls,
        cpu_ms_per_call_second: cpu,
        bare_ms_per_call_second: bare,
        ratio: cpu / bare,
        str0m_ms_per_call_second: str0m,
        ratio_to_str0m: cpu / str0m,
        calls_per_core: 1_000.0 / cpu,
    };
    let goals = vec![
        Goal::at_most("delay, worst, ms", delay.worst_ms, DELAY_WORST_MAX_MS),
        Goal::at_most("solo: ratio to the bare loop", solo.ratio, SOLO_RATIO_MAX),
        Goal::at_least(
            "solo: calls per core",
            solo.calls_per_core,
            SOLO_CALLS_PER_CORE_MIN,
        ),
        Goal::at_most("mixed: ratio to libopus", mixed.ratio, MIXED_RATIO_MAX),
        Goal::at_least(
            "mixed: calls per core",
            mixed.calls_per_core,
            MIXED_CALLS_PER_CORE_MIN,
        ),
    ];
    let report = Report {
        delay,
        solo,
        mixed,
        goals,
    };
    let json = options.out.join("audio.json");
    figures::write(&json, &report)?;
    print!("{}", report.table());
    println!("{}", json.display());
    Ok(figures::exit(&report.goals))
}

/// Baton, and a specialist that is the only one.
struct Stage<'a> {
    server: &'a LivekitServer,
    baton: Child,
    /// Ends the specialist when it is dropped.
    _stop: oneshot::Sender<()>,
}

impl<'a> Stage<'a> {
    fn set(server: &'a LivekitServer, out: &Path, calls: u32, open_to_all: bool) -> Result<Self> {
        let config = out.join("baton.yaml");
        // A worker whose slots are nearly all taken gets no more.
        let slots = 2 * calls.max(2);
        let yaml = format!(
            "# Written by the bench.\n\
             server:\n  health_bind: 127.0.0.1:0\n  drain_grace_secs: 0\n  max_calls: {slots}\n\
             store:\n  kind: none\n\
             entry: {AGENT}\n\
             specialists:\n  {AGENT}:\n    description: Makes noise\n\
             routes: []\n"
        );
        fs::write(&config, yaml)
            .with_context(|| format!("{} cannot be written", config.display()))?;
        let mut command = Command::new(beside_us("baton")?);
        command.args(["start", "--config"]).arg(&config);
        let mut baton = spawn(server, out, "baton", &mut command)?;
        let misbehaviour = Misbehaviour {
            open_to_all,
            ..Misbehaviour::default()
        };
        let specialist = Specialist::builder(AGENT)
            .url(server.url())
            .api_key(server.api_key(), server.api_secret())
            .max_calls(slots)
            .drain_grace(Duration::ZERO)
            .misbehave(misbehaviour)
            .build()?;
        let seed = Arc::new(AtomicU32::new(1));
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(async move {
            let running = specialist.run(move |_| Noise(seed.fetch_add(1, Ordering::Relaxed)));
            tokio::select! {
                ended = running => drop(ended),
                _ = stopped => {}
            }
        });
        baton.wait_for_log("registered", START_MAX)?;
        Ok(Self {
            server,
            baton,
            _stop: stop,
        })
    }

    /// Dials, and hears every track as packets.
    async fn dial(&self, number: u32) -> Result<(Room, Tracks)> {
        let room = format!("bench-audio-{number}");
        let phone = format!("+1555{number:07}");
        let token = JoinToken::sip_caller(&room, &phone).dispatch("baton", "");
        let token = self.server.join_token(&token)?;
        let (room, events) = Room::connect(&self.server.url(), &token, RoomOptions::default())
            .await
            .context("the caller cannot join")?;
        // As the bridge says when the phone is answered: the specialist speaks from then on.
        let answered = HashMap::from([("sip.callStatus".to_owned(), "active".to_owned())]);
        let caller = room.local_participant();
        let told = caller.set_attributes(answered).await;
        told.context("the caller cannot say that it is there")?;
        Ok((room, Tracks { events }))
    }
}

struct Tracks {
    events: tokio::sync::mpsc::UnboundedReceiver<RoomEvent>,
}

impl Tracks {
    /// The next track, with its name.
    async fn next(&mut self) -> Result<(String, EncodedAudioStream)> {
        let next = async {
            while let Some(event) = self.events.recv().await {
                if let RoomEvent::TrackSubscribed {
                    track: RemoteTrack::Audio(track),
                    ..
                } = event
                {
                    let stream = EncodedAudioStream::new(track.rtc_track());
                    return Ok((track.name(), stream));
                }
            }
            bail!("the room is gone")
        };
        tokio::time::timeout(START_MAX, next)
            .await
            .context("no track came")?
    }
}

/// Says noise for as long as it has the baton, no two packets of which are equal, with pauses as in speech: the mixer gives back to
/// packets in a quiet slot.
struct Noise(u32);

impl Agent for Noise {
    async fn granted(&mut self, call: &Call, _: Grant) {
        const CHUNK: usize = SAMPLE_RATE_HZ as usize / 50;
        let mut noise = self.0.wrapping_mul(0x9e37_79b9) | 1;
        let mut chunk = [0_i16; CHUNK];
        for number in 0_u32.. {
            let loud = number % 75 < 65;
            for sample in &mut chunk {
                // Xorshift, Marsaglia 2003.
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                *sample = if loud { (noise >> 19) as i16 } else { 0 };
            }
            if call.speaker().write(&chunk).await.is_err() {
                return;
            }
        }
    }
}

async fn delay(stage: &Stage<'_>, measured: Duration) -> Result<Delay> {
    let (room, mut tracks) = stage.dial(0).await?;
    let (first, second) = (tracks.next().await?, tracks.next().await?);
    let (mut own, mut program) = match (first.0.as_str(), second.0.as_str()) {
        (PROGRAM, other) if other != PROGRAM => (second.1, first.1),
        (other, PROGRAM) if other != PROGRAM => (first.1, second.1),
        (one, other) => bail!("one program track and one of the specialist's: {one} and {other}"),
    };
    tokio::time::sleep(SETTLE).await;
    while own.try_next().is_some() {}
    while program.try_next().is_some() {}
    let mut came: HashMap<Vec<u8>, Instant> = HashMap::new();
    let mut by_program: Vec<(Vec<u8>, Instant)> = Vec::new();
    let end = tokio::time::Instant::now() + measured;
    loop {
        tokio::select! {
            // Cancel-safe: streams of packets.
            frame = own.next() => {
                let frame = frame.context("the specialist's track ended")?;
                if frame.payload.len() < QUIET_BYTES {
                    continue;
                }
                came.insert(frame.payload.to_vec(), frame.arrived);
            }
            frame = program.next() => {
                let frame = frame.context("the program track ended")?;
                by_program.push((frame.payload.to_vec(), frame.arrived));
            }
            () = tokio::time::sleep_until(end) => break,
        }
    }
    // Its end has not been closed while it was measured.
    drop(room);
    let mut delays: Vec<f64> = Vec::new();
    let (direct, forwarded) = (came.len(), by_program.len());
    for (payload, at) in by_program {
        if let Some(direct) = came.remove(&payload) {
            let ms = |later: Instant, earlier: Instant| {
                later.saturating_duration_since(earlier).as_secs_f64() * 1_000.0
            };
            delays.push(ms(at, direct) - ms(direct, at));
        }
    }
    ensure!(
        !delays.is_empty(),
        "none of {direct} packets of the specialist's is among {forwarded} of the program track"
    );
    delays.sort_by(f64::total_cmp);
    let rank = |share: f64| delays[((share * delays.len() as f64) as usize).min(delays.len() - 1)];
    Ok(Delay {
        packets: delays.len(),
        changed: came.len(),
        p50_ms: rank(0.5),
        p99_ms: rank(0.99),
        worst_ms: rank(1.0),
    })
}

/// CPU time of Baton per second of a call, in milliseconds.
async fn work(stage: &Stage<'_>, calls: u32, measured: Duration) -> Result<f64> {
    let mut rooms = Vec::new();
    let mut hearing = JoinSet::new();
    for number in 1..=calls {
        let (room, mut tracks) = stage.dial(number).await?;
        rooms.push(room);
        let (_, mut program) = tracks.next().await?;
        let (told, heard) = oneshot::channel();
        hearing.spawn(async move {
            let mut told = Some(told);
            let mut packets = 0_u64;
            while let Some(frame) = program.next().await {
                packets += u64::from(frame.payload.len() >= QUIET_BYTES);
                if packets > PACKETS_PER_SEC
                    && let Some(told) = told.take()
                {
                    // Who waits for it may have given up.
                    let _ = told.send(());
                }
            }
            drop(tracks);
        });
        tokio::time::timeout(START_MAX, heard)
            .await
            .with_context(|| format!("call {number} is silent"))?
            .with_context(|| format!("call {number} has ended"))?;
    }
    tokio::time::sleep(SETTLE).await;
    let (before, start) = (cpu_of(stage.baton.pid())?, Instant::now());
    tokio::time::sleep(measured).await;
    let used = cpu_of(stage.baton.pid())? - before;
    let elapsed = start.elapsed();
    hearing.shutdown().await;
    drop(rooms);
    Ok(used.as_secs_f64() * 1_000.0 / (f64::from(calls) * elapsed.as_secs_f64()))
}

/// User and system time of a process.
fn cpu_of(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let mut ticks = fields.split_whitespace().skip(11).take(2);
    let mut next = || -> Result<u64> {
        let field = ticks.next().context("the kernel tells no CPU time")?;
        Ok(field.parse()?)
    };
    // The kernel counts in hundredths of a second here, whatever its own clock is (USER_HZ).
    Ok(Duration::from_millis((next()? + next()?) * 10))
}

/// User and system time of this thread.
fn cpu_here() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

/// What cannot be left out: each packet is received, opened, sealed with another key, and sent. In milliseconds per second of a
/// call.
fn bare(calls: u32, measured: Duration) -> Result<f64> {
    let key = |byte: u8| -> Result<LessSafeKey> {
        let key = UnboundKey::new(&AES_128_GCM, &[byte; 16]);
        Ok(LessSafeKey::new(key.ok().context("no key could be had")?))
    };
    let (from, here, to) = (socket()?, socket()?, socket()?);
    let (in_at, out_at) = (here.local_addr()?, to.local_addr()?);
    let inbound = key(1)?;
    let packets = u64::from(calls) * PACKETS_PER_SEC * measured.as_secs();
    let relay = thread::spawn(move || -> Result<Duration> {
        let (inbound, outbound) = (key(1)?, key(2)?);
        let mut packet = [0_u8; 1_500];
        let before = cpu_here()?;
        for number in 0..packets {
            let length = here
                .recv(&mut packet)
                .context("a packet of the bare loop was lost")?;
            let (header, body) = packet[..length].split_at_mut(RTP_HEADER_BYTES);
            let opened = inbound.open_in_place(nonce(number), Aad::from(&*header), body);
            opened.ok().context("a packet could not be opened")?;
            header[2..4].copy_from_slice(&(number as u16).to_be_bytes());
            let (body, tag) = body.split_at_mut(PAYLOAD_BYTES);
            let sealed =
                outbound.seal_in_place_separate_tag(nonce(number), Aad::from(&*header), body);
            tag.copy_from_slice(
                sealed
                    .ok()
                    .context("a packet could not be sealed")?
                    .as_ref(),
            );
            here.send_to(&packet[..length], out_at)?;
        }
        Ok(cpu_here()? - before)
    });
    let mut number = 0;
    let start = Instant::now();
    let mut sink = [0_u8; 1_500];
    for slot in 1.. {
        for _ in 0..calls {
            let mut packet = vec![0_u8; RTP_HEADER_BYTES];
            let mut body = vec![7_u8; PAYLOAD_BYTES];
            let sealed =
                inbound.seal_in_place_append_tag(nonce(number), Aad::from(&packet[..]), &mut body);
            sealed.ok().context("a packet could not be sealed")?;
            packet.extend_from_slice(&body);
            from.send_to(&packet, in_at)?;
            // They come one after another and not at once, as those of real calls do.
            to.recv(&mut sink)
                .context("a packet of the bare loop was lost")?;
            number += 1;
        }
        if number >= packets {
            break;
        }
        let due = Duration::from_millis(20) * slot;
        thread::sleep(due.saturating_sub(start.elapsed()));
    }
    let used = relay.join().ok().context("the bare loop has failed")??;
    Ok(used.as_secs_f64() * 1_000.0 / (f64::from(calls) * measured.as_secs_f64()))
}

fn socket() -> Result<UdpSocket> {
    let socket = bare::socket()?;
    socket.set_read_timeout(Some(START_MAX))?;
    Ok(socket)
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// The bare loop with a connection of str0m for each call, all on one socket. In milliseconds per second of a call.
fn through_str0m(calls: u32, measured: Duration) -> Result<f64> {
    let here = bare::socket()?;
    let mut relayed = Vec::new();
    let mut far = Vec::new();
    for _ in 0..calls {
        let there = socket()?;
        let (near_end, far_end) = Bare::pair(here.local_addr()?, there.local_addr()?)?;
        relayed.push((there.local_addr()?, near_end));
        far.push((there, far_end));
    }
    let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let relay = scope.spawn(|| relay(&here, relayed, &begun, &over));
        let sent = feed(&mut far, measured, &begun);
        over.store(true, Ordering::Relaxed);
        let used = relay.join().ok().context("the loop has failed")??;
        sent?;
        Ok(used.as_secs_f64() * 1_000.0 / (f64::from(calls) * measured.as_secs_f64()))
    })
}

/// Sends back whatever comes over these connections, and says what that has cost since it was told that it counts.
fn relay(
    socket: &UdpSocket,
    ends: Vec<(SocketAddr, Bare)>,
    begun: &AtomicBool,
    over: &AtomicBool,
) -> Result<Duration> {
    let mut ends: HashMap<SocketAddr, (Bare, Instant)> = ends
        .into_iter()
        .map(|(from, end)| (from, (end, Instant::now())))
        .collect();
    let mut buffer = [0; bare::DATAGRAM_BYTES];
    let mut before = None;
    while !over.load(Ordering::Relaxed) {
        if before.is_none() && begun.load(Ordering::Relaxed) {
            before = Some(cpu_here()?);
        }
        let now = Instant::now();
        let mut next = now + START_MAX;
        for (end, due) in ends.values_mut() {
            if *due <= now {
                end.handle_timeout()?;
                *due = passed_on(end, socket)?;
            }
            next = next.min(*due);
        }
        if let Some((length, from)) = bare::received(socket, &mut buffer, next, now)?
            && let Some((end, due)) = ends.get_mut(&from)
        {
            end.receive(from, &buffer[..length])?;
            *due = passed_on(end, socket)?;
        }
    }
    let before = before.context("the connections did not come up")?;
    Ok(cpu_here()? - before)
}

/// Sends the packets of an end back over it, and says when it wants to be called.
fn passed_on(end: &mut Bare, socket: &UdpSocket) -> Result<Instant> {
    loop {
        match end.poll(socket)? {
            Came::Packet(payload) => end.send(payload, SLOT_SAMPLES as u32)?,
            Came::Due(due) => return Ok(due),
        }
    }
}

/// Sends a packet over each connection each 20 ms and waits until it is back, for so long once all are up.
fn feed(far: &mut [(UdpSocket, Bare)], measured: Duration, begun: &AtomicBool) -> Result<()> {
    let start = Instant::now();
    while !far.iter().all(|(_, end)| end.is_connected()) {
        ensure!(start.elapsed() < START_MAX, "str0m does not connect");
        for (socket, end) in &mut *far {
            end.next(socket, Instant::now() + Duration::from_millis(1))?;
        }
    }
    begun.store(true, Ordering::Relaxed);
    let start = Instant::now();
    for slot in 1.. {
        for (socket, end) in &mut *far {
            end.send([7; PAYLOAD_BYTES], SLOT_SAMPLES as u32)?;
            end.next(socket, Instant::now() + START_MAX)?
                .context("a packet was lost in the loop through str0m")?;
        }
        if start.elapsed() >= measured {
            return Ok(());
        }
        let due = Duration::from_millis(20) * slot;
        thread::sleep(due.saturating_sub(start.elapsed()));
    }
    Ok(())
}

/// The playout that mixes, that passes, and libopus alone, on the same packets.
fn mixed() -> Result<Mixed> {
    let packets = noise_packets()?;
    let seconds = MIXED_PACKETS as f64 / PACKETS_PER_SEC as f64;
    let per_second = |used: Duration| used.as_secs_f64() * 1_000.0 / seconds;
    let mixing = per_second(played(&packets, -1.0)?);
    let passing = per_second(played(&packets, 0.0)?);
    let mut decoder = opus::Decoder::new(SAMPLE_RATE_HZ, Channels::Mono)?;
    let mut encoder = encoder(PlayoutConfig::default().bitrate_bps)?;
    let mut pcm = [0; SLOT_SAMPLES];
    let mut out = [0; 1_275];
    let before = cpu_here()?;
    for payload in &packets {
        decoder.decode(payload, &mut pcm, false)?;
        encoder.encode(&pcm, &mut out)?;
    }
    let bare = per_second(cpu_here()? - before);
    Ok(Mixed {
        cpu_ms_per_call_second: mixing,
        bare_libopus_ms_per_call_second: bare,
        ratio: mixing / bare,
        calls_per_core: 1_000.0 / mixing,
        passing_ms_per_call_second: passing,
    })
}

fn noise_packets() -> Result<Vec<bytes::Bytes>> {
    let mut encoder = encoder(32_000)?;
    let mut noise = 1_u32;
    let packets = (0..MIXED_PACKETS).map(|_| {
        let pcm = std::array::from_fn::<i16, SLOT_SAMPLES, _>(|_| {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            (noise >> 19) as i16
        });
        Ok(encoder.encode_vec(&pcm, 1_275)?.into())
    });
    packets.collect()
}

fn encoder(bitrate_bps: u32) -> Result<opus::Encoder> {
    let mut encoder = opus::Encoder::new(SAMPLE_RATE_HZ, Channels::Mono, Application::Voip)?;
    encoder.set_bitrate(Bitrate::Bits(bitrate_bps as i32))?;
    Ok(encoder)
}

/// CPU time of a playout that is given these packets in virtual time.
fn played(packets: &[bytes::Bytes], gain_db: f32) -> Result<Duration> {
    let mut playout = Playout::new(PlayoutConfig::default())?;
    let (track, source) = (TrackId(1), SourceId(1));
    ensure!(playout.attach(track, source), "the track is not read");
    playout.set_gain(source, gain_db);
    let input = Input {
        source,
        epoch: Epoch(1),
    };
    playout.admit(input)?;
    playout.start_fade(None, Some(input), Fade::equal_power(0), FadeStart::AtOnce)?;
    let before = cpu_here()?;
    for (number, payload) in (0_u64..).zip(packets) {
        let now = number * SLOT_SAMPLES as u64;
        let packet = Packet::new(payload.clone(), number, now, 1).context("it is no packet")?;
        playout.push(track, packet);
        while playout.poll(now).is_some() {}
    }
    let used = cpu_here()? - before;
    let counters = playout.counters();
    // Each way has been measured as what it is said to be.
    let passed = counters.passed as f64 / packets.len() as f64;
    ensure!(
        if gain_db == 0.0 {
            passed > 0.95
        } else {
            passed < 0.05
        },
        "{counters:?} at a gain of {gain_db} dB"
    );
    Ok(used)
}

impl Report {
    fn table(&self) -> String {
        let Self {
            delay,
            solo,
            mixed,
            goals,
        } = self;
        let mut table = format!(
            "\nprogram track behind the holder's own, {} packets ({} others): p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms\n\
             solo, {} calls: {:.2} ms of CPU per second of a call; the bare loop {:.2} ms, through str0m {:.2} ms (ratio {:.2}); passing in the playout {:.3} ms\n\
             mixed: {:.2} ms of CPU per second of a call; libopus alone {:.2} ms\n\n",
            delay.packets,
            delay.changed,
            delay.p50_ms,
            delay.p99_ms,
            delay.worst_ms,
            solo.calls,
            solo.cpu_ms_per_call_second,
            solo.bare_ms_per_call_second,
            solo.str0m_ms_per_call_second,
            solo.ratio_to_str0m,
            mixed.passing_ms_per_call_second,
            mixed.cpu_ms_per_call_second,
            mixed.bare_libopus_ms_per_call_second,
        );
        table.push_str(&figures::lines(goals));
        table
    }
}
