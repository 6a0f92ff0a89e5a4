//! `--config FILE`: calls under somebody else's configuration, in which each route is gone once that can be.
//!
//! Server, Baton and caller are real; the specialists of the file are played by the demo under their names, its people too: they come into their
//! side rooms and press their keys. The demo writes into
//! the shared state what a condition asks for; what depends on the clock or on the caller stays shut, and is named. Where no way
//! that is left leads on, the caller hangs up and calls again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use baton_specialist::{HandoffError, RefuseKind};
use call::{CallConfig, CallerFacts, LocalTime, SpecialistName};
use config::Loaded;
use kit::probe::{self, Expected, Voice};
use kit::process::Child;
use kit::server::{LivekitServer, ServerOptions};
use kit::token::JoinToken;
use kit::wav::Wav;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::caller::{Caller, Line};
use crate::cast::{Cast, Granted, Holder, tone_hz};
use crate::person::{People, Role};
use crate::stage::{beside_us, spawn};
use crate::walk::{Moment, REASON, Step, Walk, is_person, merged, names};
use crate::{Arguments, Progress, RING_TIMEOUT, TAIL, TONE_DBFS};

const NUMBER: &str = "+15550199";
const SAMPLE_RATE_HZ: u32 = 48_000;
/// Handoffs of all calls together, and calls.
const HANDOFFS_MAX: usize = 60;
const CALLS_MAX: usize = 8;
/// Handoffs in a row that go no new way, after which the call is ended.
const ASTRAY_MAX: usize = 4;
/// How often a rule may take the baton elsewhere before a way is given up.
const DEFLECTED_MAX: u32 = 2;
/// The longest that a handoff may take: to be prepared, to wait for its splice point, and to be switched.
const HANDOFF_TIMEOUT: Duration = Duration::from_secs(30);
/// Silence at a handoff, and time heard out of turn, that are not forgiven, in milliseconds. A debug build on a machine that
/// has other work sounds late itself.
const SILENCE_MAX_MS: u64 = if cfg!(debug_assertions) { 1_000 } else { 40 };
const LEAK_MAX_MS: u64 = if cfg!(debug_assertions) { 100 } else { 0 };
const REGISTERED: &str = "registered";
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// What the demo adds to the file, unless that says otherwise itself.
const ADDED: [&str; 2] = ["health_bind: 127.0.0.1:0", "drain_grace_secs: 0"];

/// One move of the baton, and what was expected of it.
#[derive(Debug, Serialize)]
struct Leg {
    call: usize,
    from: Option<String>,
    to: String,
    /// By what it went: a route of the file, a rule, back, or in.
    by: String,
    /// What was written into the state for it.
    wrote: Option<Json>,
    /// What the caller heard of it: nobody, for so long; nothing for the first of a call.
    silence_ms: Option<u64>,
    /// What is wrong with it.
    wrong: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    legs: Vec<Leg>,
    /// What could not be gone, and why.
    not_gone: Vec<String>,
    leaked_ms: u64,
    ok: bool,
}

/// Runs the calls; the exit code is 0 if all went as the file says.
pub(crate) async fn run(arguments: &Arguments, file: &Path) -> Result<ExitCode> {
    let out = std::path::absolute(&arguments.out)?;
    let file = std::path::absolute(file)?;
    // Files that a configuration names are looked for where Baton is started.
    let home = if file.is_dir() {
        Some(file.as_path())
    } else {
        file.parent()
    };
    let home = home.context("the file is in no folder")?;
    std::env::set_current_dir(home).with_context(|| format!("no folder {}", home.display()))?;
    config::load(&file).map_err(|report| anyhow::anyhow!("the file is refused:\n{report}"))?;
    let folder = out.join("config");
    let loaded = lay_out(&file, &folder)?;
    let config = &loaded.config.call;
    let mut show = Show::start(&loaded, &folder, &out, arguments).await?;
    let mut walk = Walk::new(config);
    println!(
        "{}: {} specialists, {} routes, {} ways",
        file.display(),
        config.specialists.len(),
        config.routes.len(),
        walk.left.len()
    );
    let mut report = Report::default();
    for number in 1..=CALLS_MAX {
        let left = walk.left.len();
        let heard = show.call(number, &mut walk, &mut report).await;
        show.judged(number, heard?, &mut report)?;
        let caller = CallerFacts::default();
        let moment = Moment {
            holder: &config.entry,
            previous: None,
            state: &json!({}),
            caller: &caller,
            time: show.time(),
            handoffs: 0,
            duration_secs: 0,
        };
        if walk.left.len() == left || walk.next(&moment).is_none() {
            break;
        }
    }
    for way in &walk.left {
        let route = &config.routes[way.0];
        let shut = walk.condition(way).map_or_else(
            || "no way leads there".to_owned(),
            |condition| format!("shut in these calls: {}", condition.source()),
        );
        let (from, to) = (names(&route.from), &way.1);
        let said = format!("routes[{}] from {from} to {to}: {shut}", way.0);
        report.not_gone.push(said);
    }
    report.ok =
        report.leaked_ms <= LEAK_MAX_MS && report.legs.iter().all(|leg| leg.wrong.is_none());
    print!("{}", table(&report));
    let json = serde_json::to_string_pretty(&report)?;
    fs::write(out.join("report.json"), json + "\n")?;
    println!("{0}/heard-1.wav  {0}/report.json", arguments.out.display());
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Copies the configuration, and adds what lets it run beside others.
fn lay_out(file: &Path, folder: &Path) -> Result<Loaded> {
    // What is left of another run would be read as part of this one.
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let files: Vec<PathBuf> = if file.is_dir() {
        let listed = fs::read_dir(file)?.collect::<Result<Vec<_>, _>>()?;
        let files = listed.into_iter().map(|entry| entry.path());
        let is_yaml =
            |path: &PathBuf| path.is_file() && path.extension().is_some_and(|it| it == "yaml");
        files.filter(is_yaml).collect()
    } else {
        vec![file.to_owned()]
    };
    for (number, file) in files.iter().enumerate() {
        fs::copy(file, folder.join(format!("{number:03}.yaml")))
            .with_context(|| format!("{} cannot be copied", file.display()))?;
    }
    let added = folder.join("demo.yaml");
    let mut text = "server:\n".to_owned();
    for option in ADDED {
        let longer = format!("{text}  {option}\n");
        fs::write(&added, &longer)?;
        // An option that the file has itself must not be given twice.
        if config::load(folder).is_ok() {
            text = longer;
        }
    }
    if text.lines().count() > 1 {
        fs::write(&added, text)?;
    } else {
        fs::remove_file(&added)?;
    }
    config::load(folder).map_err(|report| anyhow::anyhow!("the copy is refused:\n{report}"))
}

/// The server, Baton and the specialists.
struct Show<'a> {
    loaded: &'a Loaded,
    server: LivekitServer,
    baton: Child,
    cast: Cast,
    tone: Duration,
    out: PathBuf,
    progress: Progress,
}

/// What a call has left.
struct Heard {
    samples: Vec<i16>,
    holders: Vec<SpecialistName>,
    /// Its first leg among all.
    first_leg: usize,
}

impl<'a> Show<'a> {
    async fn start(
        loaded: &'a Loaded,
        folder: &Path,
        out: &Path,
        arguments: &Arguments,
    ) -> Result<Self> {
        let progress = Progress::start();
        progress.say("starting livekit-server, the specialists and baton");
        let options = ServerOptions {
            port: arguments.port,
            ..ServerOptions::default()
        };
        let server = LivekitServer::start_with(options)?;
        let config = &loaded.config.call;
        let cast = Cast::start(config, &server, &out.join("specialists.log")).await?;
        let mut command = Command::new(beside_us("baton")?);
        command.args(["start", "--config"]).arg(folder);
        command.env("STATE_DIRECTORY", out.join("state"));
        let mut baton = spawn(&server, out, "baton", &mut command)?;
        baton.wait_for_log(REGISTERED, START_TIMEOUT)?;
        Ok(Self {
            loaded,
            server,
            baton,
            cast,
            tone: Duration::from_millis(arguments.tone_ms),
            out: out.to_owned(),
            progress,
        })
    }

    fn config(&self) -> &'a CallConfig {
        &self.loaded.config.call
    }

    fn time(&self) -> LocalTime {
        let now = jiff::Timestamp::now().to_zoned_datetime(self.loaded.config.time_zone.clone());
        LocalTime {
            year: now.year(),
            month: now.month(),
            day: now.day(),
            hour: now.hour(),
            minute: now.minute(),
            weekday: u8::try_from(now.weekday().to_monday_zero_offset()).unwrap_or(0),
        }
    }

    /// One call, from the caller's dialling to its hanging up.
    async fn call(
        &mut self,
        number: usize,
        walk: &mut Walk<'a>,
        report: &mut Report,
    ) -> Result<Heard> {
        let room = format!("call-_{NUMBER}_example-{number}");
        let agent_name = &self.loaded.config.server.agent_name;
        let token = JoinToken::sip_caller(&room, NUMBER).dispatch(agent_name, "");
        let facts = CallerFacts {
            kind: "sip".to_owned(),
            room,
            metadata: String::new(),
            attributes: token.attributes().clone(),
        };
        let token = self.server.join_token(&token)?;
        let caller = Caller::dial(&self.server.url(), &token, Line::Silent).await?;
        caller
            .answered(RING_TIMEOUT)
            .await
            .with_context(|| self.hint())?;
        let _people = People::wait(
            &self.server,
            &facts.room,
            self.roles(),
            self.baton.log_path(),
            self.cast.sender(),
        );
        let first_leg = report.legs.len();
        let holders = self.walked(number, &facts, walk, report).await;
        tokio::time::sleep(TAIL).await;
        let samples = caller.ear(|ear| ear.heard.clone());
        caller.hang_up().await;
        let wav = Wav {
            sample_rate_hz: SAMPLE_RATE_HZ,
            samples: samples.clone(),
        };
        wav.write(&self.out.join(format!("heard-{number}.wav")))?;
        Ok(Heard {
            samples,
            holders: holders?,
            first_leg,
        })
    }

    /// Goes ways until none that is left leads on; who had the baton one after another.
    async fn walked(
        &mut self,
        number: usize,
        facts: &CallerFacts,
        walk: &mut Walk<'a>,
        report: &mut Report,
    ) -> Result<Vec<SpecialistName>> {
        let began = Instant::now();
        let expected = walk.entry(facts, self.time());
        let mut holder = self.next_grant(HANDOFF_TIMEOUT).await?.with_context(|| {
            let who = expected.map_or("nobody knows who", SpecialistName::as_str);
            format!(
                "nobody took the call within {HANDOFF_TIMEOUT:?}; by the file {who} does; {}",
                self.hint()
            )
        })?;
        let taker = name_of(&holder);
        let wrong = expected.filter(|expected| **expected != taker);
        report.legs.push(Leg {
            call: number,
            from: None,
            to: taker.to_string(),
            by: "entry".to_owned(),
            wrote: None,
            silence_ms: None,
            wrong: wrong.map(|expected| format!("by the file {expected} takes the call")),
        });
        let (mut holders, mut state) = (vec![taker], json!({}));
        let mut previous: Option<SpecialistName> = None;
        let mut deflected: BTreeMap<(usize, SpecialistName), u32> = BTreeMap::new();
        let mut astray = 0;
        while report.legs.len() < HANDOFFS_MAX && astray < ASTRAY_MAX {
            let from = name_of(&holder);
            let (mut wrote, mut by, mut wrong) = (None, None, None);
            let moved = match self.next_grant(self.tone).await? {
                Some(grant) => Some(grant),
                None => {
                    let moment = Moment {
                        holder: &from,
                        previous: previous.as_ref(),
                        state: &state,
                        caller: facts,
                        time: self.time(),
                        handoffs: u32::try_from(holders.len()).unwrap_or(u32::MAX),
                        duration_secs: began.elapsed().as_secs(),
                    };
                    let Some(step) = walk.next(&moment) else {
                        break;
                    };
                    if !self.can_be_told_apart(&holders, &step.to) {
                        break;
                    }
                    let way = step.route.map(|route| (route, step.to.clone()));
                    let done = self.go(&holder, &step, previous.as_ref()).await?;
                    if let (Some(patch), Ok(_)) = (&step.patch, &done) {
                        state = merged(&state, patch);
                    }
                    wrote.clone_from(&step.patch);
                    match done {
                        Ok(grant) if name_of(&grant) == step.to => {
                            by = Some(match step.route {
                                Some(route) => format!("routes[{route}]"),
                                None => "hand_back".to_owned(),
                            });
                            Some(grant)
                        }
                        Ok(grant) => {
                            if let Some(way) = way {
                                let times = deflected.entry(way.clone()).or_default();
                                *times += 1;
                                if *times >= DEFLECTED_MAX {
                                    walk.done(&way);
                                    let (route, to) = way;
                                    report.not_gone.push(format!(
                                        "routes[{route}] from {from} to {to}: a rule moves the baton to {} before",
                                        name_of(&grant)
                                    ));
                                }
                            }
                            Some(grant)
                        }
                        Err(Halt::NotAllowed(why)) => {
                            if let Some(way) = way {
                                let said =
                                    format!("routes[{}] from {from} to {}: {why}", way.0, way.1);
                                report.not_gone.push(said);
                                walk.done(&way);
                            }
                            continue;
                        }
                        Err(Halt::Wrong(why)) => {
                            if let Some(way) = way {
                                walk.done(&way);
                            }
                            by = step.route.map(|route| format!("routes[{route}]"));
                            wrong = Some((step.to, why));
                            None
                        }
                    }
                }
            };
            let Some(grant) = moved else {
                let Some((to, why)) = wrong else { continue };
                report.legs.push(Leg {
                    call: number,
                    from: Some(from.to_string()),
                    to: to.to_string(),
                    by: by.unwrap_or_default(),
                    wrote,
                    silence_ms: None,
                    wrong: Some(why),
                });
                continue;
            };
            let to = name_of(&grant);
            if to == from {
                holder = grant;
                continue;
            }
            let moment = Moment {
                holder: &from,
                previous: previous.as_ref(),
                state: &state,
                caller: facts,
                time: self.time(),
                handoffs: 0,
                duration_secs: began.elapsed().as_secs(),
            };
            let left = walk.left.len();
            if let Some(route) = walk.deciding(&moment, &to, &state) {
                walk.done(&(route, to.clone()));
            }
            astray = if walk.left.len() < left {
                0
            } else {
                astray + 1
            };
            self.progress.say(&format!("{to} has the baton"));
            report.legs.push(Leg {
                call: number,
                from: Some(from.to_string()),
                to: to.to_string(),
                by: by.unwrap_or_else(|| "a rule".to_owned()),
                wrote,
                silence_ms: None,
                wrong: None,
            });
            holders.push(to);
            previous = Some(from);
            holder = grant;
        }
        Ok(holders)
    }

    /// Has the holder go a step; who has the baton then.
    async fn go(
        &mut self,
        holder: &Granted,
        step: &Step,
        previous: Option<&SpecialistName>,
    ) -> Result<Result<Granted, Halt>> {
        if previous == Some(&step.to) {
            let cool_down = Duration::from_millis(self.config().limits.cool_down_ms);
            // A moment more than Baton's own clock asks for.
            let until = holder.at + cool_down + Duration::from_millis(500);
            if let Some(grant) = self
                .next_grant(until.saturating_duration_since(Instant::now()))
                .await?
            {
                return Ok(Ok(grant));
            }
        }
        if let Some(patch) = &step.patch
            && let Holder::Specialist(call) = &holder.holder
            && let Err(error) = call.state().patch(patch.clone()).await
        {
            return Ok(Err(Halt::NotAllowed(format!(
                "{} cannot write {patch}: {error}",
                name_of(holder)
            ))));
        }
        let to = step.to.to_string();
        let back = step.route.is_none();
        let mut asked = match &holder.holder {
            Holder::Specialist(call) => {
                let call = call.clone();
                tokio::spawn(async move {
                    let done = match back {
                        true => call.hand_back(REASON).await,
                        false => call.handoff(&to, REASON).await,
                    };
                    done.map(|_| ())
                })
            }
            Holder::Person(person) => {
                let person = person.clone();
                tokio::spawn(async move {
                    person.hand_back().await;
                    Ok(())
                })
            }
        };
        let deadline = tokio::time::Instant::now() + HANDOFF_TIMEOUT;
        let mut open = true;
        loop {
            // Each arm only receives, or waits: none loses anything when another is taken.
            tokio::select! {
                granted = self.cast.granted() => {
                    let granted = granted?;
                    if is_of_one_call(&granted, holder) {
                        return Ok(Ok(granted));
                    }
                }
                answer = &mut asked, if open => {
                    open = false;
                    match answer.context("the request was given up")? {
                        Ok(()) | Err(HandoffError::Refused { reason: RefuseKind::InProgress, .. }) => {}
                        // It learns no more of a baton that it has lost.
                        Err(HandoffError::NoBaton | HandoffError::CallOver) => {}
                        Err(error) => return Ok(Err(Halt::Wrong(error.to_string()))),
                    }
                }
                () = tokio::time::sleep_until(deadline) => {
                    let why = format!("nobody was granted the baton within {HANDOFF_TIMEOUT:?}");
                    return Ok(Err(Halt::Wrong(why)));
                }
            }
        }
    }

    /// The next grant that is no renewal, if one comes in time.
    async fn next_grant(&mut self, within: Duration) -> Result<Option<Granted>> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            match tokio::time::timeout_at(deadline, self.cast.granted()).await {
                Err(_) => return Ok(None),
                Ok(granted) => {
                    let granted = granted?;
                    if !granted.renewed {
                        return Ok(Some(granted));
                    }
                }
            }
        }
    }

    fn place(&self, name: &SpecialistName) -> usize {
        let mut names = self.config().specialists.keys();
        names.position(|known| known == name).unwrap_or_default()
    }

    /// How the people of the file are played.
    fn roles(&self) -> BTreeMap<SpecialistName, Role> {
        let notes = self.loaded.config.notes.iter();
        notes
            .filter_map(|(name, notes)| {
                let human = notes.human.as_ref()?;
                let role = Role {
                    tone_hz: tone_hz(self.place(name)),
                    accept: human.accept,
                    hand_back: human.hand_back,
                };
                Some((name.clone(), role))
            })
            .collect()
    }

    /// Whether nobody else of this call sounds the tone of `to`.
    fn can_be_told_apart(&self, holders: &[SpecialistName], to: &SpecialistName) -> bool {
        let hz = tone_hz(self.place(to));
        holders
            .iter()
            .all(|holder| holder == to || tone_hz(self.place(holder)) != hz)
    }

    /// Judges what the caller heard of a call.
    fn judged(&mut self, number: usize, heard: Heard, report: &mut Report) -> Result<()> {
        if let Some(status) = self.baton.ended()? {
            bail!("baton has ended with {status}; {}", self.hint());
        }
        let mut voices: Vec<Voice> = Vec::new();
        let mut order = Vec::new();
        for holder in &heard.holders {
            let place = voices
                .iter()
                .position(|voice| voice.name == holder.as_str());
            order.push(place.unwrap_or_else(|| {
                voices.push(Voice {
                    name: holder.to_string(),
                    hz: tone_hz(self.place(holder)),
                });
                voices.len() - 1
            }));
        }
        let fades = self.config().routes.iter().map(|route| route.fade_ms);
        let unrouted = call::Route::default().fade_ms;
        let expected = Expected {
            voices,
            holders: order,
            fade_ms: fades.chain([unrouted]).max().unwrap_or(unrouted).into(),
            full_dbfs: TONE_DBFS,
        };
        let verdict = probe::judge(&heard.samples, SAMPLE_RATE_HZ, &expected)
            .with_context(|| format!("what the caller of call {number} heard cannot be judged"))?;
        report.leaked_ms += verdict.leaked_ms;
        let moves = report.legs[heard.first_leg..]
            .iter_mut()
            .filter(|leg| leg.from.is_some() && leg.wrong.is_none());
        for (leg, change) in moves.zip(&verdict.changes) {
            leg.silence_ms = Some(change.silence_ms);
            // On hold until a person has accepted, the caller hears the filler.
            let is_hold = is_person(
                &self.loaded.config.call,
                &SpecialistName::from(leg.to.as_str()),
            );
            if change.silence_ms > SILENCE_MAX_MS && !is_hold {
                leg.wrong = Some(format!("{} ms of silence", change.silence_ms));
            }
        }
        ensure!(
            verdict.missing.is_empty(),
            "in call {number} a holder was never heard: {:?}",
            verdict.missing
        );
        Ok(())
    }

    fn hint(&self) -> String {
        let log = self.baton.log_path().display();
        format!("see {log}; it ends with\n{}", self.baton.log_tail(5))
    }
}

/// Why a step was not gone.
enum Halt {
    /// The holder may not write what the condition asks for.
    NotAllowed(String),
    /// It should have been.
    Wrong(String),
}

fn name_of(granted: &Granted) -> SpecialistName {
    match &granted.holder {
        Holder::Specialist(call) => SpecialistName::from(call.specialist()),
        Holder::Person(person) => person.name.clone(),
    }
}

/// What a call that is over has left is not taken for a grant of the next; a person's goes with its call.
fn is_of_one_call(one: &Granted, other: &Granted) -> bool {
    match (&one.holder, &other.holder) {
        (Holder::Specialist(one), Holder::Specialist(other)) => one.id() == other.id(),
        (Holder::Person(_), _) | (_, Holder::Person(_)) => true,
    }
}

fn table(report: &Report) -> String {
    let mut table = String::from(
        "\n  #  call  from                to                  by            silence\n",
    );
    for (index, leg) in report.legs.iter().enumerate() {
        let Leg {
            call,
            from,
            to,
            by,
            wrote,
            silence_ms,
            wrong,
        } = leg;
        let from = from.as_deref().unwrap_or("-");
        let silence = silence_ms.map_or_else(String::new, |ms| format!("{ms} ms"));
        let wrote = wrote
            .as_ref()
            .map_or_else(String::new, |wrote| format!("  state {wrote}"));
        let verdict = wrong
            .as_deref()
            .map_or("ok".to_owned(), |wrong| format!("NOT OK: {wrong}"));
        let number = index + 1;
        let _ = writeln!(
            table,
            "{number:3}  {call:4}  {from:18}  {to:18}  {by:12}  {silence:>7}  {verdict}{wrote}"
        );
    }
    if !report.not_gone.is_empty() {
        table.push_str("\nnot gone:\n");
    }
    for said in &report.not_gone {
        let _ = writeln!(table, "  {said}");
    }
    let verdict = if report.ok {
        "OK: every handoff went as the file says"
    } else {
        "NOT OK"
    };
    let _ = writeln!(
        table,
        "\n{} ms heard out of turn\n{verdict}",
        report.leaked_ms
    );
    table
}
