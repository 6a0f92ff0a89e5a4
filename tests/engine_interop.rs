//! Our engine and Google's C++ one in a room, on a real server: sound, data, calls and streams, both ways.
//!
//! The C++ side is `tests/interop/peer.py` in an environment that `cargo xtask test` makes.

#[path = "interop/stats.rs"]
mod stats;

use std::{env, f64::consts::TAU, path::Path, process::Stdio, sync::Arc, thread, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use futures_util::StreamExt as _;
use kit::{server::LivekitServer, token::JoinToken};
use livekit::{
    DataPacket, Room, RoomEvent, RoomOptions, SendByteOptions, StreamReader as _,
    options::TrackPublishOptions,
    prelude::PerformRpcData,
    track::{LocalAudioTrack, LocalTrack, RemoteTrack, TrackSource},
    webrtc::{
        audio_frame::AudioFrame,
        audio_source::{AudioSourceOptions, RtcAudioSource, native::NativeAudioSource},
        audio_stream::native::NativeAudioStream,
        encoded,
    },
};
use rustfft::{FftPlanner, num_complex::Complex};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc::UnboundedReceiver,
    task::AbortHandle,
    time::{interval, sleep, timeout},
};

/// What names the Python interpreter that has the C++ SDK.
const PYTHON: &str = "BATON_PYTHON_INTEROP";
const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/peer.py");
const SAMPLE_RATE_HZ: u32 = 48_000;
const OUR_TONE_HZ: f64 = 1_000.0;
const THEIR_TONE_HZ: f64 = 440.0;
/// As `peer.py` has them.
const AUDIBLE_PEAK: u16 = 1_000;
const SETTLE_FRAMES: usize = 50;
const LISTEN_SECS: usize = 3;
const NUMBERS: usize = 100;
const STREAM_BYTES: usize = 1_000_000;
/// How long the engine's thread has something else to do.
const BUSY: Duration = Duration::from_secs(1);
/// No single step takes longer.
const STEP: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_engines_understand_each_other_on_one_peer_connection() -> Result<()> {
    talk(true).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_engines_understand_each_other_on_two_peer_connections() -> Result<()> {
    talk(false).await
}

/// Whoever hands in sound sends it, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_goes_on_while_the_engines_thread_is_busy() -> Result<()> {
    let server = LivekitServer::start()?;
    let caller = Caller::join(&server, true, 0).await?;
    let mut peer = Peer::start(&server, true).await?;
    let busy = async {
        sleep(Duration::from_millis(1_500)).await;
        encoded::spawn(async { thread::sleep(BUSY) })
    };
    let hearing = peer.ask(json!({"do": "hear", "seconds": LISTEN_SECS}));
    let (answer, occupied) = tokio::join!(hearing, busy);
    occupied?;
    Heard::from_answer(&answer?)?.check(OUR_TONE_HZ)?;
    peer.end().await?;
    caller.leave().await
}

async fn talk(single_pc: bool) -> Result<()> {
    let server = LivekitServer::start()?;
    let mut caller = Caller::join(&server, single_pc, 200).await?;
    let mut peer = Peer::start(&server, single_pc).await?;

    let heard = caller.hear().await.context("listening to the C++ engine")?;
    heard.check(THEIR_TONE_HZ)?;
    let answer = peer
        .ask(json!({"do": "hear", "seconds": LISTEN_SECS}))
        .await?;
    Heard::from_answer(&answer)?.check(OUR_TONE_HZ)?;

    caller.send_numbers().await?;
    let answer = peer
        .ask(json!({"do": "get_numbers", "count": NUMBERS}))
        .await?;
    let expected: Vec<usize> = (0..NUMBERS).collect();
    ensure!(
        answer["numbers"] == json!(expected),
        "the C++ engine got {}",
        answer["numbers"]
    );
    peer.ask(json!({"do": "send_numbers", "count": NUMBERS}))
        .await?;
    let numbers = caller.numbers().await?;
    ensure!(numbers == expected, "our engine got {numbers:?}");

    ensure!(caller.call("to the C++ engine").await? == "enigne ++C eht ot");
    let answer = peer
        .ask(json!({"do": "call", "payload": "to our engine"}))
        .await?;
    ensure!(
        answer["answer"] == "enigne ruo ot",
        "the C++ engine was told {answer}"
    );

    caller.send_stream().await?;
    let answer = peer
        .ask(json!({"do": "get_stream", "length": STREAM_BYTES}))
        .await?;
    ensure!(
        answer == json!({"length": STREAM_BYTES, "intact": true}),
        "the C++ engine got {answer}"
    );
    peer.ask(json!({"do": "send_stream", "length": STREAM_BYTES}))
        .await?;
    let content = caller.stream().await?;
    ensure!(
        content.len() == STREAM_BYTES,
        "our engine got {} bytes",
        content.len()
    );
    ensure!(
        content == pattern(STREAM_BYTES),
        "our engine got other bytes"
    );

    // Ours counts once a second.
    sleep(Duration::from_millis(1_500)).await;
    let ours = caller.stats().await?;
    let theirs = peer.ask(json!({"do": "stats"})).await?;
    stats::check(&ours, &theirs["objects"])?;

    peer.end().await?;
    caller.leave().await
}

/// The side of our engine.
struct Caller {
    room: Arc<Room>,
    events: UnboundedReceiver<RoomEvent>,
    track: Option<RemoteTrack>,
    sounding: AbortHandle,
}

impl Caller {
    async fn join(server: &LivekitServer, single_pc: bool, queue_ms: u32) -> Result<Self> {
        let token = server.join_token(&JoinToken::new("interop", "ours"))?;
        let mut options = RoomOptions::default();
        options.single_peer_connection = single_pc;
        let (room, events) = timeout(STEP, Room::connect(&server.url(), &token, options)).await??;
        let room = Arc::new(room);
        let me = room.local_participant();
        me.register_rpc_method("reverse".to_owned(), |call| {
            Box::pin(async move { Ok(call.payload.chars().rev().collect()) })
        });
        let options = AudioSourceOptions::default();
        let source = NativeAudioSource::new(options, SAMPLE_RATE_HZ, 1, queue_ms);
        let sounding = tokio::spawn(sound(source.clone(), queue_ms > 0)).abort_handle();
        let track = LocalAudioTrack::create_audio_track("tone", RtcAudioSource::Native(source));
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..Default::default()
        };
        timeout(STEP, me.publish_track(LocalTrack::Audio(track), options)).await??;
        Ok(Self {
            room,
            events,
            track: None,
            sounding,
        })
    }

    /// The next event that `wanted` makes something of; the first track is kept on the way.
    async fn event<T>(&mut self, wanted: impl Fn(&RoomEvent) -> Option<T>) -> Result<T> {
        let next = async {
            loop {
                let event = self
                    .events
                    .recv()
                    .await
                    .ok_or_else(|| anyhow!("the room is gone"))?;
                if let RoomEvent::TrackSubscribed { track, .. } = &event {
                    self.track.get_or_insert(track.clone());
                }
                if let Some(found) = wanted(&event) {
                    return Ok(found);
                }
            }
        };
        timeout(STEP, next).await.context("no such event")?
    }

    async fn hear(&mut self) -> Result<Heard> {
        if self.track.is_none() {
            self.event(|event| matches!(event, RoomEvent::TrackSubscribed { .. }).then_some(()))
                .await?;
        }
        let Some(RemoteTrack::Audio(track)) = self.track.clone() else {
            bail!("no audio track")
        };
        let mut stream = NativeAudioStream::new(track.rtc_track(), SAMPLE_RATE_HZ as i32, 1);
        let listen = async {
            let mut frames: Vec<Vec<i16>> = Vec::new();
            while frames.len() < SETTLE_FRAMES + LISTEN_SECS * 100 {
                let frame = stream.next().await.context("the stream ended")?;
                if !frames.is_empty() || is_audible(&frame.data) {
                    frames.push(frame.data.into_owned());
                }
            }
            Ok(Heard::from_frames(&frames[SETTLE_FRAMES..]))
        };
        timeout(STEP, listen).await.context("too few frames")?
    }

    async fn send_numbers(&self) -> Result<()> {
        for number in 0..NUMBERS {
            let packet = DataPacket {
                payload: number.to_string().into_bytes(),
                topic: Some("numbers".to_owned()),
                reliable: true,
                destination_identities: vec!["theirs".to_owned().into()],
            };
            timeout(STEP, self.room.local_participant().publish_data(packet)).await??;
        }
        Ok(())
    }

    async fn numbers(&mut self) -> Result<Vec<usize>> {
        let mut numbers = Vec::new();
        while numbers.len() < NUMBERS {
            let payload = self
                .event(|event| match event {
                    RoomEvent::DataReceived { payload, topic, .. }
                        if topic.as_deref() == Some("numbers") =>
                    {
                        Some(payload.clone())
                    }
                    _ => None,
                })
                .await?;
            numbers.push(std::str::from_utf8(&payload)?.parse()?);
        }
        Ok(numbers)
    }

    async fn call(&self, payload: &str) -> Result<String> {
        let call = PerformRpcData {
            destination_identity: "theirs".to_owned(),
            method: "reverse".to_owned(),
            payload: payload.to_owned(),
            ..Default::default()
        };
        Ok(timeout(STEP, self.room.local_participant().perform_rpc(call)).await??)
    }

    async fn send_stream(&self) -> Result<()> {
        let options = SendByteOptions::new_with_topic("blob");
        let content = pattern(STREAM_BYTES);
        timeout(
            STEP,
            self.room.local_participant().send_bytes(content, options),
        )
        .await??;
        Ok(())
    }

    async fn stream(&mut self) -> Result<Vec<u8>> {
        let reader = self
            .event(|event| match event {
                RoomEvent::ByteStreamOpened { reader, topic, .. } if topic == "blob" => {
                    reader.take()
                }
                _ => None,
            })
            .await?;
        Ok(timeout(STEP, reader.read_all()).await??.to_vec())
    }

    /// What the SDK has from the engine, as the C++ side says it.
    async fn stats(&self) -> Result<Value> {
        let stats = timeout(STEP, self.room.get_stats()).await??;
        let objects: Vec<_> = stats
            .publisher_stats
            .iter()
            .chain(&stats.subscriber_stats)
            .collect();
        Ok(serde_json::to_value(objects)?)
    }

    async fn leave(self) -> Result<()> {
        self.sounding.abort();
        timeout(STEP, self.room.close()).await??;
        Ok(())
    }
}

/// Sounds our tone until it is aborted, by the source's clock if it has one.
async fn sound(source: NativeAudioSource, has_clock: bool) {
    let samples = (SAMPLE_RATE_HZ / 100) as usize;
    let mut ticks = interval(Duration::from_millis(10));
    for frame in 0.. {
        if !has_clock {
            ticks.tick().await;
        }
        let at = |index: usize| (frame * samples + index) as f64 / f64::from(SAMPLE_RATE_HZ);
        let tone = |index| ((TAU * OUR_TONE_HZ * at(index)).sin() * 16_384.0) as i16;
        let frame = AudioFrame {
            data: (0..samples).map(tone).collect::<Vec<i16>>().into(),
            sample_rate: SAMPLE_RATE_HZ,
            num_channels: 1,
            samples_per_channel: samples as u32,
        };
        source
            .capture_frame(&frame)
            .await
            .expect("the frame has the source's format");
    }
}

/// The side of the C++ engine.
struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    async fn start(server: &LivekitServer, single_pc: bool) -> Result<Self> {
        let Some(python) = env::var_os(PYTHON) else {
            bail!(
                "{PYTHON} names no Python with the packages of tests/interop/requirements.txt: run this test by \
                 `cargo xtask test`, which makes one"
            );
        };
        ensure!(
            Path::new(&python).exists(),
            "{PYTHON} names {python:?}, which does not exist"
        );
        let token = server.join_token(&JoinToken::new("interop", "theirs"))?;
        let mut command = Command::new(python);
        command
            .arg(PEER)
            .args(["--url", &server.url(), "--token", &token, "--other", "ours"])
            .args(["--tone-hz", &THEIR_TONE_HZ.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        if single_pc {
            command.arg("--single-pc");
        }
        let mut child = command.spawn().context("starting the C++ side")?;
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let mut peer = Self {
            child,
            stdin,
            stdout,
        };
        let ready = peer
            .answer()
            .await
            .context("waiting for the C++ side to join")?;
        ensure!(ready["ready"] == true, "the C++ side said {ready}");
        Ok(peer)
    }

    async fn ask(&mut self, command: Value) -> Result<Value> {
        self.stdin
            .write_all(format!("{command}\n").as_bytes())
            .await?;
        let answer = self
            .answer()
            .await
            .with_context(|| format!("after {command}"))?;
        ensure!(
            answer.get("error").is_none(),
            "after {command} the C++ side failed: {answer}"
        );
        Ok(answer)
    }

    async fn answer(&mut self) -> Result<Value> {
        let line = timeout(STEP, self.stdout.next_line())
            .await
            .context("no answer")??;
        Ok(serde_json::from_str(&line.context("the C++ side ended")?)?)
    }

    async fn end(self) -> Result<()> {
        let Self {
            mut child,
            stdin,
            stdout: _,
        } = self;
        drop(stdin);
        let status = timeout(STEP, child.wait())
            .await
            .context("the C++ side does not end")??;
        ensure!(status.success(), "the C++ side ended with {status}");
        Ok(())
    }
}

/// What one side has heard of the other.
#[derive(Debug)]
struct Heard {
    hz: f64,
    /// The share of all power that is at `hz`.
    purity: f64,
    frames: usize,
    /// Frames of 10 ms without sound.
    silent: usize,
}

impl Heard {
    fn from_frames(frames: &[Vec<i16>]) -> Self {
        let sound = frames.concat();
        let length = sound.len();
        let mut spectrum: Vec<Complex<f64>> = sound
            .iter()
            .enumerate()
            .map(|(index, &sample)| {
                let window = 0.5 - 0.5 * (TAU * index as f64 / length as f64).cos();
                Complex::new(f64::from(sample) * window, 0.0)
            })
            .collect();
        FftPlanner::new()
            .plan_fft_forward(length)
            .process(&mut spectrum);
        let power: Vec<f64> = spectrum[..length / 2]
            .iter()
            .map(Complex::norm_sqr)
            .collect();
        let peak = (0..power.len())
            .max_by(|&a, &b| power[a].total_cmp(&power[b]))
            .unwrap_or(0);
        let near = peak.saturating_sub(5)..(peak + 6).min(power.len());
        Self {
            hz: peak as f64 * f64::from(SAMPLE_RATE_HZ) / length as f64,
            purity: power[near].iter().sum::<f64>() / power.iter().sum::<f64>(),
            frames: frames.len(),
            silent: frames.iter().filter(|frame| !is_audible(frame)).count(),
        }
    }

    fn from_answer(answer: &Value) -> Result<Self> {
        let number = |name: &str| {
            answer[name]
                .as_f64()
                .with_context(|| format!("no {name} in {answer}"))
        };
        Ok(Self {
            hz: number("hz")?,
            purity: number("purity")?,
            frames: number("frames")? as usize,
            silent: number("silent")? as usize,
        })
    }

    fn check(&self, hz: f64) -> Result<()> {
        println!("at {hz} Hz: {self:?}");
        ensure!((self.hz - hz).abs() <= 2.0, "{self:?} instead of {hz} Hz");
        ensure!(self.purity >= 0.9, "{self:?} is no clean tone");
        ensure!(
            self.frames >= LISTEN_SECS * 100 && self.silent == 0,
            "{self:?} has gaps"
        );
        Ok(())
    }
}

fn is_audible(frame: &[i16]) -> bool {
    frame
        .iter()
        .any(|sample| sample.unsigned_abs() >= AUDIBLE_PEAK)
}

/// As `peer.py` has it.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|index| ((index * 2_654_435_761) >> 16) as u8)
        .collect()
}
