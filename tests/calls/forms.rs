//! The program track for whatever an agent publishes that knows nothing of Baton: other lengths of packets, two channels, RED and
//! DTX, long silence, several tracks. It has no hole, and decoded as the caller's telephone would it does not click.

use std::env;
use std::f64::consts::TAU;
use std::time::Duration;

use kit::probe::Voice;
use kit::survey::{self, Steps};
use kit::token::{JoinToken, Kind};
use kit::{probe, tone};
use livekit::options::TrackPublishOptions;
use livekit::prelude::{LocalAudioTrack, LocalTrack, Room, RoomOptions};
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::encoded::{EncodedAudioSource, OpusFrame};
use opus::{Application, Channels};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::baton::Config;
use crate::caller::Caller;
use crate::stage::{ROOM, Stage};
use crate::{BILLING_HZ, TONE_DBFS, TRIAGE_HZ, until};

const RATE_HZ: u32 = 48_000;
const SAMPLES_PER_MS: usize = 48;
/// Samples of PCM that are handed in at a time: 20 ms.
const CHUNK_SAMPLES: usize = 960;
/// What waits in a source that takes PCM.
const QUEUE_MS: u32 = 100;
/// How long the track is judged.
const JUDGED: Duration = Duration::from_secs(5);
/// The long silence, in its short form.
const SILENCE_SECS: usize = 5;
/// Time that a busy machine makes the track skip by itself, at most, in milliseconds.
const SKIPPED_MAX_MS: u64 = 600;
/// A decoder that begins in the midst of a stream takes so long to be right.
const BEGINNING_MS: usize = 200;
/// Level in dBFS below which there is silence; only clicks are asked for.
const QUIET_DBFS: f64 = -50.0;

/// What an agent publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// PCM over a track as the SDK publishes one: with DTX and RED.
    Stock,
    /// Packets of so many milliseconds and channels.
    Packets { ms: usize, channels: Channels },
}

/// A tone that comes and goes softly, so that nothing of it is a click.
#[derive(Clone, Copy, Debug)]
struct Bursts {
    hz: u32,
    on_ms: usize,
    off_ms: usize,
    peak_dbfs: f64,
}

impl Bursts {
    fn new(hz: u32, on_ms: usize, off_ms: usize) -> Self {
        Self {
            hz,
            on_ms,
            off_ms,
            peak_dbfs: TONE_DBFS,
        }
    }

    fn steady(hz: u32) -> Self {
        Self::new(hz, 600_000, 0)
    }

    fn sample(self, at: usize) -> i16 {
        const RISE_MS: f64 = 20.0;
        let period = (self.on_ms + self.off_ms) * SAMPLES_PER_MS;
        let ms = (at % period) as f64 / SAMPLES_PER_MS as f64;
        let left_ms = self.on_ms as f64 - ms;
        let gain = (ms.min(left_ms) / RISE_MS).clamp(0.0, 1.0);
        let phase = TAU * f64::from(self.hz) * at as f64 / f64::from(RATE_HZ);
        (tone::peak_of(self.peak_dbfs) * (1.0 - (gain * TAU / 2.0).cos()) / 2.0 * phase.sin())
            as i16
    }
}

/// An agent without any SDK of ours.
struct Stranger {
    room: Room,
    tasks: Vec<JoinHandle<()>>,
}

impl Stranger {
    /// Joins the side room that Baton has made for it.
    async fn join(stage: &Stage) -> Self {
        let mut side = None;
        for _ in 0..400 {
            let mut names = stage.room_names().await.into_iter();
            side = names.find(|name| name.starts_with(ROOM) && name != ROOM);
            if side.is_some() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        let side = side.expect("Baton makes a room for it");
        let token = JoinToken::new(&side, "stranger").kind(Kind::Agent);
        let token = stage.server.join_token(&token).unwrap();
        let joined = Room::connect(&stage.server.url(), &token, RoomOptions::default()).await;
        let (room, mut events) = joined.unwrap();
        let ignoring = tokio::spawn(async move { while events.recv().await.is_some() {} });
        Self {
            room,
            tasks: vec![ignoring],
        }
    }

    async fn publish(&mut self, form: Form, bursts: Bursts) {
        let queue_ms = match form {
            Form::Stock => QUEUE_MS,
            Form::Packets { .. } => 0,
        };
        let options = AudioSourceOptions::default();
        let source = NativeAudioSource::new(options, RATE_HZ, 1, queue_ms);
        let name = format!("{} Hz", bursts.hz);
        let track =
            LocalAudioTrack::create_audio_track(&name, RtcAudioSource::Native(source.clone()));
        let participant = self.room.local_participant();
        participant
            .publish_track(LocalTrack::Audio(track), TrackPublishOptions::default())
            .await
            .unwrap();
        self.tasks.push(match form {
            Form::Stock => tokio::spawn(speak(source, bursts)),
            Form::Packets { ms, channels } => {
                tokio::spawn(send(EncodedAudioSource::new(&source), bursts, ms, channels))
            }
        });
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn speak(source: NativeAudioSource, bursts: Bursts) {
    for chunk in 0.. {
        let samples = (0..CHUNK_SAMPLES).map(|at| bursts.sample(chunk * CHUNK_SAMPLES + at));
        let frame = AudioFrame {
            data: samples.collect::<Vec<_>>().into(),
            sample_rate: RATE_HZ,
            num_channels: 1,
            samples_per_channel: CHUNK_SAMPLES as u32,
        };
        if source.capture_frame(&frame).await.is_err() {
            return;
        }
    }
}

async fn send(source: EncodedAudioSource, bursts: Bursts, ms: usize, channels: Channels) {
    let mut encoder = opus::Encoder::new(RATE_HZ, channels, Application::Voip).unwrap();
    let mut ticks = interval(Duration::from_millis(ms as u64));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let samples = ms * SAMPLES_PER_MS;
    for packet in 0.. {
        ticks.tick().await;
        let mut pcm = Vec::with_capacity(samples * channels as usize);
        for at in 0..samples {
            let sample = bursts.sample(packet * samples + at);
            pcm.extend(std::iter::repeat_n(sample, channels as usize));
        }
        let payload = encoder.encode_vec(&pcm, 1_275).unwrap();
        source.push(OpusFrame::new(payload).unwrap());
    }
}

fn config() -> Config {
    Config::new(&["triage"]).specialist("triage", "kind: livekit_agent")
}

/// A call that such an agent takes.
async fn call_of(form: Form, bursts: Bursts) -> (Stage, Stranger, Caller) {
    let stage = Stage::set(&config()).await;
    let caller = stage.dial().await;
    let mut stranger = Stranger::join(&stage).await;
    stranger.publish(form, bursts).await;
    (stage, stranger, caller)
}

/// Listens for a while: no number is left out, no more time than a busy machine loses, and nothing clicks.
async fn judge(caller: &Caller, voices_hz: &[u32], time: Duration) -> Vec<i16> {
    let mark = caller.packets();
    sleep(time).await;
    let (numbers, skipped_ms) = caller.left_out(mark);
    assert_eq!(numbers, 0, "no number is left out");
    assert!(skipped_ms <= SKIPPED_MAX_MS, "{skipped_ms} ms were skipped");
    let sent = (caller.packets() - mark) as u64 * 20 + skipped_ms;
    let wanted = time.as_millis() as u64;
    assert!(sent + 500 >= wanted, "{sent} ms of {wanted}");
    let pcm = caller
        .decoded(mark)
        .split_off(BEGINNING_MS * SAMPLES_PER_MS);
    let voices: Vec<Voice> = voices_hz
        .iter()
        .map(|&hz| Voice {
            name: format!("{hz} Hz"),
            hz,
        })
        .collect();
    let steps = Steps::Tones {
        windows: probe::hear(&pcm, RATE_HZ, &voices, TONE_DBFS).unwrap(),
        voices,
        peak: tone::peak_of(TONE_DBFS),
    };
    let said = survey::survey(&pcm, RATE_HZ, QUIET_DBFS, &steps);
    assert_eq!(said.click_count, 0, "{said:?}");
    pcm
}

async fn passes(form: Form) {
    let bursts = Bursts::new(TRIAGE_HZ, 900, 600);
    let (_stage, _stranger, caller) = call_of(form, bursts).await;
    until("it is heard", || caller.heard_ms(500)[&TRIAGE_HZ] > 300).await;
    let pcm = judge(&caller, &[TRIAGE_HZ], JUDGED).await;
    let voice = Voice {
        name: "triage".to_owned(),
        hz: TRIAGE_HZ,
    };
    let level = survey::dbfs(probe::loudness(&pcm, RATE_HZ, &voice).unwrap());
    assert!((level - TONE_DBFS).abs() < 1.5, "heard at {level} dBFS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_track_with_dtx_and_red_leaves_no_hole_and_does_not_click() {
    passes(Form::Stock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_of_10_ms_are_made_whole_slots() {
    let channels = Channels::Mono;
    passes(Form::Packets { ms: 10, channels }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_of_40_ms_are_made_two_slots() {
    let channels = Channels::Mono;
    passes(Form::Packets { ms: 40, channels }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_of_60_ms_are_made_three_slots() {
    let channels = Channels::Mono;
    passes(Form::Packets { ms: 60, channels }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_channels_are_made_one() {
    let channels = Channels::Stereo;
    passes(Form::Packets { ms: 20, channels }).await;
}

/// `cargo xtask bench silence` is this with a minute: its seconds are in `BATON_SILENCE_SECS`.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_silence_leaves_no_hole() {
    let long = env::var("BATON_SILENCE_SECS").ok();
    let secs = long
        .as_ref()
        .map_or(SILENCE_SECS, |secs| secs.parse().unwrap());
    let bursts = Bursts::new(TRIAGE_HZ, 1_000, 1_000 * secs);
    let (_stage, _stranger, caller) = call_of(Form::Stock, bursts).await;
    until("it is heard", || caller.heard_ms(500)[&TRIAGE_HZ] > 300).await;
    let (mark, starved) = (caller.packets(), caller.starved());
    // The burst before it, all of it, and one after it.
    let judged = Duration::from_secs(secs as u64 + 3);
    judge(&caller, &[TRIAGE_HZ], judged).await;
    let starved = caller.starved() - starved;
    let ((numbers, skipped_ms), sent) = (caller.left_out(mark), caller.packets() - mark);
    println!(
        "{secs} s of silence: {sent} packets, {numbers} numbers left out, {skipped_ms} ms skipped, {starved} starvations, 0 clicks"
    );
    // Beside other tests the mixer, which is one of ours, may be late itself.
    assert!(long.is_none() || starved == 0, "{starved} starvations");
    assert!(
        caller.heard_ms(2_500)[&TRIAGE_HZ] > 300,
        "it is heard again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tracks_of_one_holder_are_both_heard() {
    let triage = Bursts::steady(TRIAGE_HZ);
    let (_stage, mut stranger, caller) = call_of(Form::Stock, triage).await;
    caller.hears(TRIAGE_HZ).await;
    stranger
        .publish(Form::Stock, Bursts::steady(BILLING_HZ))
        .await;
    until("both are heard", || {
        let heard = caller.heard_ms(500);
        heard[&TRIAGE_HZ] > 400 && heard[&BILLING_HZ] > 400
    })
    .await;
    judge(&caller, &[TRIAGE_HZ, BILLING_HZ], JUDGED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_softer_voice_is_turned_up_where_the_route_asks() {
    let config = Config::new(&["triage", "billing"])
        .specialist("billing", "kind: livekit_agent")
        .route("loudness: matched");
    let stage = Stage::set(&config).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    // Enough to know how loud it is.
    sleep(Duration::from_secs(4)).await;
    let softer = Bursts {
        peak_dbfs: TONE_DBFS - 8.0,
        ..Bursts::steady(BILLING_HZ)
    };
    let publishing = async {
        let mut stranger = Stranger::join(&stage).await;
        stranger.publish(Form::Stock, softer).await;
        stranger
    };
    let (done, _stranger) = tokio::join!(triage.hand_off("billing"), publishing);
    done.unwrap();
    let voice = Voice {
        name: "billing".to_owned(),
        hz: BILLING_HZ,
    };
    // Both tones count alike in loudness, to a decibel. Nothing is known of it at first.
    let level = || {
        let pcm = caller.decoded(caller.packets().saturating_sub(25));
        survey::dbfs(probe::loudness(&pcm, RATE_HZ, &voice).unwrap())
    };
    until("it is heard as loud", || (level() - TONE_DBFS).abs() < 1.5).await;
    sleep(Duration::from_secs(1)).await;
    assert!((level() - TONE_DBFS).abs() < 1.5, "and stays so");
}
