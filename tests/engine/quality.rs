//! `cargo xtask bench quality`: one voice over a bad network, heard by this engine and by LiveKit's C++ engine at the same time.
//!
//! Both listen to one speaker through one server. A relay loses and delays the same packets for both, and what they hear is compared
//! with what was said.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kit::figures::{self, Goal, Spread};
use kit::process::Child;
use kit::server::{LivekitServer, ServerOptions};
use kit::token::JoinToken;
use kit::wav::Wav;
use livekit::options::TrackPublishOptions;
use livekit::prelude::{DataPacket, LocalAudioTrack, LocalTrack, Room, RoomOptions, TrackSource};
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::block_in_place;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::ear::{self, Heard};
use crate::pattern::{CONDITIONS, Condition, Pattern};
use crate::relay::{Relay, Served};

/// The interpreter with the C++ engine, and the one with the models of listeners.
const CPP: &str = "BATON_PYTHON_INTEROP";
const JUDGE: &str = "BATON_PYTHON_QUALITY";
/// Where the server's participants are told to send their packets.
const RELAY_AT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

const CLIPS: [&str; 4] = [
    "triage-welcome",
    "billing-hello",
    "triage-back",
    "triage-handoff",
];
const VOICE_HZ: u32 = 16_000;
const VOICE_FRAME: usize = VOICE_HZ as usize / 100;
/// After each clip, long enough for the speaker to fall silent on the line.
const PAUSE: Duration = Duration::from_millis(500);
/// What both have heard before it counts.
const SETTLE: Duration = Duration::from_secs(3);
/// After the voice, so that its end is heard.
const TAIL: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_secs(60);
/// Packets that are on their way to one of the two when the voice has ended.
const UNEVEN_MAX: usize = 2;
/// More than this is invented on a clean line only where the machine is too busy for a voice.
const BUSY: f64 = 0.005;
/// How much worse ours may be in the opinion of the model, from 1 to 5.
const WORSE_MAX: f64 = 0.1;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Clips that are said, of 2.4 s each; four at a time are judged
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=32))]
    clips: u32,
    /// Conditions to measure, of all that there are
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// RED: `on`, `off`, or both in turn
    #[arg(long, value_name = "ON|OFF|BOTH", default_value = "both")]
    red: Red,
    /// Leave out what listeners would say
    #[arg(long)]
    unjudged: bool,
    /// Ask for a second opinion, which takes a minute a condition
    #[arg(long)]
    visqol: bool,
    /// Folder for the recordings, the logs and `quality.json`
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Red {
    On,
    Off,
    Both,
}

/// What one condition came to.
#[derive(Debug, Serialize)]
struct Row {
    condition: &'static str,
    red: bool,
    lost: f64,
    ours: Figures,
    cpp: Figures,
}

/// What one engine made of it.
#[derive(Debug, Serialize)]
struct Figures {
    concealed: f64,
    stretched: f64,
    buffer_ms: f64,
    /// From saying to hearing, in the middle of its rounds; nothing unless it is judged.
    mouth_to_ear_ms: Option<f64>,
    pesq: Vec<f64>,
    visqol: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct Report {
    rows: Vec<Row>,
    goals: Vec<Goal>,
}

/// A round of a recording, judged.
#[derive(Debug, Deserialize)]
struct Verdict {
    at: usize,
    pesq: f64,
    visqol: Option<f64>,
}

/// One condition as it was recorded.
struct Take {
    condition: &'static str,
    red: bool,
    lost: f64,
    /// When the first sample of the voice was said.
    said_ms: f64,
    ours: (Heard, PathBuf),
    cpp: (Heard, PathBuf),
}

/// The voice, and where its rounds begin and end.
struct Voice {
    samples: Vec<i16>,
    rounds: Vec<[usize; 2]>,
    path: PathBuf,
}

pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let folder = options.out.join("quality");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let voice = Voice::new(options.clips, &folder)?;
    let mut takes = Vec::new();
    for condition in chosen(&options.only)? {
        for red in options.red.values() {
            eprintln!("{}, RED {}", condition.name, on_off(*red));
            takes.push(take(condition, *red, &voice, &folder).await?);
        }
    }
    takes.sort_by_key(|take| take.red);
    let verdicts = match options.unjudged {
        true => Vec::new(),
        false => block_in_place(|| judge(&takes, &voice, options.visqol))?,
    };
    let mut pairs = verdicts.chunks_exact(2);
    let rows: Vec<Row> = takes
        .into_iter()
        .map(|take| {
            let [ours, cpp] = match pairs.next() {
                Some([ours, cpp]) => [ours.as_slice(), cpp.as_slice()],
                _ => [&[], &[]] as [&[Verdict]; 2],
            };
            Row {
                condition: take.condition,
                red: take.red,
                lost: take.lost,
                ours: Figures::new(&take.ours.0, ours, &voice, take.said_ms),
                cpp: Figures::new(&take.cpp.0, cpp, &voice, take.said_ms),
            }
        })
        .collect();
    let goals = rows.iter().filter_map(Row::goal).collect();
    let report = Report { rows, goals };
    let json = options.out.join("quality.json");
    figures::write(&json, &report)?;
    print!("{}", report.table());
    println!("{}", json.display());
    Ok(figures::exit(&report.goals))
}

fn chosen(names: &[String]) -> Result<Vec<&'static Condition>> {
    let unknown = |name: &&String| CONDITIONS.iter().all(|condition| condition.name != **name);
    if let Some(name) = names.iter().find(unknown) {
        let all = CONDITIONS
            .map(|condition| format!("`{}`", condition.name))
            .join(", ");
        bail!("no condition {name:?}; there are {all}");
    }
    let wanted = |condition: &&Condition| {
        names.is_empty() || names.iter().any(|name| name == condition.name)
    };
    Ok(CONDITIONS.iter().filter(wanted).collect())
}

impl Red {
    fn values(self) -> &'static [bool] {
        match self {
            Self::On => &[true],
            Self::Off => &[false],
            Self::Both => &[false, true],
        }
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

impl Voice {
    fn new(clips: u32, folder: &Path) -> Result<Self> {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clips");
        let mut samples: Vec<i16> = Vec::new();
        let mut rounds: Vec<[usize; 2]> = Vec::new();
        for (number, name) in CLIPS.iter().cycle().take(clips as usize).enumerate() {
            let clip = Wav::read(&from.join(name).with_extension("wav"))?;
            ensure!(clip.sample_rate_hz == VOICE_HZ, "{name} has another rate");
            if number % CLIPS.len() == 0 {
                rounds.push([samples.len(); 2]);
            }
            samples.extend(clip.samples);
            let pause = VOICE_HZ as usize * PAUSE.as_millis() as usize / 1_000;
            samples.resize(samples.len() + pause, 0);
            if let Some([_, end]) = rounds.last_mut() {
                *end = samples.len();
            }
        }
        let wav = Wav {
            sample_rate_hz: VOICE_HZ,
            samples,
        };
        let path = folder.join("said.wav");
        wav.write(&path)?;
        Ok(Self {
            samples: wav.samples,
            rounds,
            path,
        })
    }

    fn duration(&self) -> Duration {
        Duration::from_millis(self.samples.len() as u64 * 1_000 / u64::from(VOICE_HZ))
    }
}

/// Has the voice said once under this condition, to both.
async fn take(condition: &Condition, red: bool, voice: &Voice, folder: &Path) -> Result<Take> {
    let server = LivekitServer::start_with(ServerOptions {
        node_ip: RELAY_AT,
        // Else the server looks for a way past the relay.
        extra_rtc_yaml: "use_ice_lite: true".to_owned(),
        ..Default::default()
    })?;
    let port = server.media_port();
    let relay = Relay::start((RELAY_AT, port).into(), (Ipv4Addr::LOCALHOST, port).into()).await?;
    let name = format!(
        "{}-red-{}",
        condition.name.replace(' ', "-").replace("-%", ""),
        on_off(red)
    );
    let ear = |engine: &str| -> Result<(Child, PathBuf)> {
        let wav = folder.join(format!("{name}-{engine}.wav"));
        Ok((start_ear(engine, &server, &wav)?, wav))
    };
    let (mut ours, our_wav) = ear("ours")?;
    let (mut cpp, cpp_wav) = ear("cpp")?;
    let token = server.join_token(&JoinToken::new("quality", "mouth"))?;
    let url = server.url();
    let joining = Room::connect(&url, &token, RoomOptions::default());
    let (mouth, _events) = timeout(STEP, joining).await.context("joining")??;
    let source = NativeAudioSource::new(AudioSourceOptions::default(), VOICE_HZ, 1, 0);
    let track =
        LocalAudioTrack::create_audio_track("voice", RtcAudioSource::Native(source.clone()));
    let options = TrackPublishOptions {
        source: TrackSource::Microphone,
        red,
        ..Default::default()
    };
    let begin = Arc::new(AtomicBool::new(false));
    let (ended, is_ended) = oneshot::channel();
    let speech = Speech {
        source,
        samples: voice.samples.clone(),
        begin: begin.clone(),
        relay: Arc::new(relay),
        pattern: condition.pattern(),
    };
    let relay = speech.relay.clone();
    let speaking = tokio::spawn(async move {
        let said_ms = speech.speak().await;
        // Who waits may have given up.
        ended.send(said_ms).ok();
        speech.be_silent().await;
    });
    let me = mouth.local_participant();
    let published = me.publish_track(LocalTrack::Audio(track), options);
    timeout(STEP, published).await.context("publishing")??;
    block_in_place(|| -> Result<()> {
        ours.wait_for_log(ear::HEARING, STEP)?;
        Ok(cpp.wait_for_log(ear::HEARING, STEP)?)
    })?;
    sleep(SETTLE).await;
    say(&mouth, ear::BEGIN).await?;
    begin.store(true, Ordering::Release);
    let said_ms = timeout(voice.duration() + STEP, is_ended).await??;
    sleep(TAIL).await;
    // Whoever leaves first is sent less.
    let served = relay.served();
    say(&mouth, ear::END).await?;
    let heard =
        block_in_place(|| -> Result<[Heard; 2]> { Ok([result(&mut ours)?, result(&mut cpp)?]) });
    speaking.abort();
    let lost = same_loss(&served).with_context(|| format!("{name}: the relay"))?;
    let [ours, cpp] = heard?;
    Ok(Take {
        condition: condition.name,
        red,
        lost,
        said_ms,
        ours: (ours, our_wav),
        cpp: (cpp, cpp_wav),
    })
}

fn start_ear(engine: &str, server: &LivekitServer, wav: &Path) -> Result<Child> {
    let mut command = if engine == "ours" {
        let mut ours = Command::new(std::env::current_exe().context("where is this program?")?);
        ours.arg("ear");
        ours
    } else {
        let interpreter = std::env::var_os(CPP)
            .with_context(|| format!("{CPP} is not set: `cargo xtask bench quality` sets it"))?;
        let mut python = Command::new(interpreter);
        python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("ear.py"));
        python
    };
    command
        .arg(wav)
        .env("LIVEKIT_URL", server.url())
        .env(
            "LIVEKIT_TOKEN",
            server.join_token(&JoinToken::new("quality", engine))?,
        )
        .env("RUST_LOG", "off");
    let log = wav.with_extension("log");
    // A log of an earlier run would be read as this one's.
    fs::write(&log, "").with_context(|| format!("{} cannot be written", log.display()))?;
    Ok(Child::spawn(engine, &mut command, &log)?)
}

/// What an ear says last.
fn result(ear: &mut Child) -> Result<Heard> {
    ear.wait(STEP)?;
    let log = ear.log();
    let last = log.lines().rev().find(|line| line.starts_with('{'));
    let last =
        last.with_context(|| format!("an ear has measured nothing:\n{}", ear.log_tail(8)))?;
    Ok(serde_json::from_str(last)?)
}

async fn say(mouth: &Room, topic: &str) -> Result<()> {
    let packet = DataPacket {
        topic: Some(topic.to_owned()),
        reliable: true,
        ..Default::default()
    };
    let me = mouth.local_participant();
    let saying = me.publish_data(packet);
    Ok(timeout(STEP, saying).await.context("a message")??)
}

/// The share that was lost, which has to be the same packets for both.
fn same_loss(served: &[Served]) -> Result<f64> {
    let [one, other] = served else {
        bail!("has seen {} listeners", served.len());
    };
    for served in [one, other] {
        ensure!(
            served.payload_types.len() == 1,
            "has seen payload types {:?}",
            served.payload_types
        );
    }
    let uneven = one.lost.symmetric_difference(&other.lost).count()
        + one.passed.symmetric_difference(&other.passed).count();
    ensure!(
        uneven <= UNEVEN_MAX,
        "{uneven} packets were sent to one of the listeners alone"
    );
    let all = one.lost.len() + one.passed.len();
    Ok(one.lost.len() as f64 / all.max(1) as f64)
}

struct Speech {
    source: NativeAudioSource,
    samples: Vec<i16>,
    begin: Arc<AtomicBool>,
    relay: Arc<Relay>,
    pattern: Pattern,
}

impl Speech {
    /// Says the first words again and again until it may begin, then all. Returns when it began.
    async fn speak(&self) -> f64 {
        let mut ticks = interval(Duration::from_millis(10));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut lead_in = self.samples.chunks_exact(VOICE_FRAME).cycle();
        while !self.begin.load(Ordering::Acquire) {
            ticks.tick().await;
            self.capture(lead_in.next().unwrap_or_default()).await;
        }
        self.relay.apply(self.pattern.clone());
        let began_ms = ear::now_ms();
        for frame in self.samples.chunks_exact(VOICE_FRAME) {
            ticks.tick().await;
            self.capture(frame).await;
        }
        began_ms
    }

    async fn be_silent(&self) {
        let mut ticks = interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            self.capture(&[0; VOICE_FRAME]).await;
        }
    }

    async fn capture(&self, samples: &[i16]) {
        let frame = AudioFrame {
            data: samples.into(),
            sample_rate: VOICE_HZ,
            num_channels: 1,
            samples_per_channel: samples.len() as u32,
        };
        // A track that is not sent yet takes no frames, and later ones will do.
        self.source.capture_frame(&frame).await.ok();
    }
}

/// For each recording, ours and theirs in turn, a verdict on each round.
fn judge(takes: &[Take], voice: &Voice, visqol: bool) -> Result<Vec<Vec<Verdict>>> {
    let interpreter = std::env::var_os(JUDGE)
        .with_context(|| format!("{JUDGE} is not set: `cargo xtask bench quality` sets it"))?;
    eprintln!("listening to {} recordings", takes.len() * 2);
    let recordings: Vec<&Path> = takes
        .iter()
        .flat_map(|take| [take.ours.1.as_path(), take.cpp.1.as_path()])
        .collect();
    let work = json!({
        "reference": voice.path,
        "segments": voice.rounds,
        "recordings": recordings,
        "visqol": visqol,
    });
    let mut judge = Command::new(interpreter)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("quality/judge.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("the judge cannot be started")?;
    let stdin = judge.stdin.take().context("the judge takes no work")?;
    serde_json::to_writer(stdin, &work)?;
    let output = judge.wait_with_output()?;
    ensure!(
        output.status.success(),
        "the judge ended with {}",
        output.status
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

impl Figures {
    fn new(heard: &Heard, verdicts: &[Verdict], voice: &Voice, said_ms: f64) -> Self {
        let delays = verdicts
            .iter()
            .zip(&voice.rounds)
            .filter_map(|(verdict, [start, _])| {
                let said_ms = said_ms + *start as f64 * 1_000.0 / f64::from(VOICE_HZ);
                Some(heard.came_ms(verdict.at)? - said_ms)
            });
        Self {
            concealed: heard.concealed(),
            stretched: heard.stretched(),
            buffer_ms: heard.buffer_ms(),
            mouth_to_ear_ms: (!verdicts.is_empty()).then(|| Spread::of(delays).p50),
            pesq: verdicts.iter().map(|verdict| verdict.pesq).collect(),
            visqol: verdicts
                .iter()
                .filter_map(|verdict| verdict.visqol)
                .collect(),
        }
    }
}

/// Their mean, if there are any.
fn mean(figures: &[f64]) -> Option<f64> {
    (!figures.is_empty()).then(|| figures.iter().sum::<f64>() / figures.len() as f64)
}

impl Row {
    /// By how much listeners would prefer ours.
    fn better(&self) -> Option<f64> {
        Some(mean(&self.ours.pesq)? - mean(&self.cpp.pesq)?)
    }

    fn goal(&self) -> Option<Goal> {
        let name = format!(
            "MOS beside C++: {}, RED {}",
            self.condition,
            on_off(self.red)
        );
        Some(Goal::at_least(name, self.better()?, -WORSE_MAX))
    }
}

impl Report {
    fn table(&self) -> String {
        let mut table = String::from(
            "\n                       lost |  concealed %  | stretched %   | in buffer, ms | mouth to ear, ms |  MOS (PESQ)                | MOS (ViSQOL)\
             \n                          % |  ours    C++  |  ours    C++  |  ours    C++  |   ours     C++   |  ours   C++   difference   |  ours   C++\n",
        );
        for row in &self.rows {
            let Row {
                condition,
                red,
                lost,
                ours,
                cpp,
            } = row;
            let of = |figure: Option<f64>, decimals: usize| match figure {
                Some(figure) => format!("{figure:.decimals$}"),
                None => "-".to_owned(),
            };
            let verdict = match row.goal() {
                Some(goal) if goal.met => "ok",
                Some(_) => "WORSE",
                None => "",
            };
            // Writing to a text does not fail.
            let _ = writeln!(
                table,
                "{condition:<12} RED {:<4} {:6.2} | {:6.2} {:6.2} | {:6.2} {:6.2} | {:6.1} {:6.1} | {:>7} {:>7}  | {:>6} {:>6} {:>6} {verdict:<6} | {:>6} {:>6}",
                on_off(*red),
                lost * 100.0,
                ours.concealed * 100.0,
                cpp.concealed * 100.0,
                ours.stretched * 100.0,
                cpp.stretched * 100.0,
                ours.buffer_ms,
                cpp.buffer_ms,
                of(ours.mouth_to_ear_ms, 1),
                of(cpp.mouth_to_ear_ms, 1),
                of(mean(&ours.pesq), 2),
                of(mean(&cpp.pesq), 2),
                of(row.better(), 2),
                of(mean(&ours.visqol), 2),
                of(mean(&cpp.visqol), 2),
            );
        }
        let busy = |row: &Row| row.condition == CONDITIONS[0].name && row.cpp.concealed > BUSY;
        if self.rows.iter().any(busy) {
            table.push_str("\nThis machine was busy: sound was missing where nothing was lost.\n");
        }
        table.push('\n');
        table
    }
}
