//! A caller is handed to a person, in a side room: every end of it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use baton_specialist::items::{self, Speaks};
use baton_specialist::{Call, FailKind, HandoffDone, HandoffError};
use kit::server::{LivekitServer, ServerOptions};
use kit::token::JoinToken;
use kit::tone::Tone;
use kit::wav::Wav;
use livekit_api::services::sip::{CreateSIPOutboundTrunkOptions, SIPClient};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::baton::Config;
use crate::caller::Caller;
use crate::cast::Cast;
use crate::operator::steering;
use crate::redis::RedisServer;
use crate::stage::{ROOM, Stage};
use crate::{BILLING_HZ, CALLER_HZ, PATIENCE, ROGUE_HZ, TONE_DBFS, TRIAGE_HZ, until};

/// The caller hears it on hold, and the person before it accepts.
const WAITING_HZ: u32 = ROGUE_HZ;
/// The person's own voice.
pub(crate) const PERSON_HZ: u32 = BILLING_HZ;
/// What a summary sounds like that is read out.
const SPEECH_HZ: u32 = TRIAGE_HZ;
/// More than any recording of these tests.
const ALL_MS: usize = 600_000;
/// A summary with something in it that is masked.
const LOST: &str = "the card 4111 1111 1111 1111 is lost";
/// What a tone that begins or breaks off sounds like for a moment, at most.
const SPLATTER_MS: u64 = 100;

/// A server, Baton, triage, and a caller that hears it; `desk` is a person.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) triage: Cast,
    pub(crate) caller: Caller,
    /// Where the briefing is.
    _folder: TempDir,
}

impl Scene {
    pub(crate) async fn set(options: &str) -> Self {
        Self::set_with(options, |config| config).await
    }

    async fn set_with(options: &str, more: impl FnOnce(Config) -> Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = format!(
            "kind: human, briefing: '{}', {options}",
            tone_file(&folder, WAITING_HZ).display()
        );
        let config = Config::new(&["triage"])
            .person("desk", &options)
            .part("escalation: desk")
            .audio("fade_ms: 60, dead_air_ms: 200, filler: {sound: tone, tone_hz: 1200, tone_off_ms: 0, level_dbfs: -17}");
        let stage = Stage::set(&more(config)).await;
        let triage = stage.cast("triage", TRIAGE_HZ).await;
        let caller = stage.dial().await;
        caller.hears(TRIAGE_HZ).await;
        Self {
            stage,
            triage,
            caller,
            _folder: folder,
        }
    }

    /// Triage asks for the person.
    async fn asks(&self) -> JoinHandle<Result<HandoffDone, HandoffError>> {
        let call: Call = self.triage.call().await;
        tokio::spawn(async move { call.handoff("desk", "a person is asked for").await })
    }

    /// The name of the side room, once it is there.
    async fn side_room(&self) -> String {
        let prefix = format!("{ROOM}--desk--");
        let looking = async {
            loop {
                let mut names = self.stage.room_names().await.into_iter();
                if let Some(name) = names.find(|name| name.starts_with(&prefix)) {
                    return name;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, looking).await.expect("a side room")
    }

    /// The person comes into the side room, and talks from then on.
    pub(crate) async fn enters(&self) -> Caller {
        let room = self.side_room().await;
        let person = self.stage.join(JoinToken::new(&room, "clerk")).await;
        person.sound(PERSON_HZ).await;
        person
    }

    /// The same, and hears its briefing.
    async fn comes(&self) -> Caller {
        let person = self.enters().await;
        person.hears(WAITING_HZ).await;
        person
    }

    /// The person has accepted, and the two talk.
    async fn talks(&self) -> Caller {
        let asked = self.asks().await;
        let person = self.comes().await;
        self.caller.hears(WAITING_HZ).await;
        assert_unheard(&self.caller, PERSON_HZ);
        assert_unheard(&person, CALLER_HZ);
        person.press("1").await;
        answered(asked).await.expect("the person has accepted");
        self.caller.hears(PERSON_HZ).await;
        person.hears(CALLER_HZ).await;
        assert_unheard(&person, TRIAGE_HZ);
        person
    }

    async fn side_room_is_closed(&self) {
        let closing = async {
            while !self.side_rooms().await.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, closing).await.expect("it is closed");
    }

    async fn side_rooms(&self) -> Vec<String> {
        let mut names = self.stage.room_names().await;
        names.retain(|name| name.contains("--"));
        names
    }
}

fn tone_file(folder: &TempDir, hz: u32) -> PathBuf {
    let path = folder.path().join(format!("{hz}.wav"));
    let mut tone = Tone::new(hz, TONE_DBFS, 48_000).unwrap();
    let wav = Wav {
        sample_rate_hz: 48_000,
        samples: tone.take_ms(2_000),
    };
    wav.write(&path).unwrap();
    path
}

async fn answered(
    asked: JoinHandle<Result<HandoffDone, HandoffError>>,
) -> Result<HandoffDone, HandoffError> {
    timeout(PATIENCE, asked)
        .await
        .expect("triage is answered")
        .unwrap()
}

/// Triage was told that nobody answered, and goes on.
async fn triage_goes_on(
    scene: &Scene,
    asked: JoinHandle<Result<HandoffDone, HandoffError>>,
    detail: &str,
) {
    match answered(asked).await {
        Err(HandoffError::Failed {
            reason: FailKind::NoAnswer,
            detail: told,
        }) => assert!(told.contains(detail), "{told}"),
        other => panic!("{other:?}"),
    }
    scene.caller.hears(TRIAGE_HZ).await;
    assert_unheard(&scene.caller, PERSON_HZ);
    assert_eq!(scene.triage.jobs(), 1, "the same instance");
    assert_eq!(scene.triage.grants().len(), 2);
    scene.side_room_is_closed().await;
}

/// Nothing of this tone is in all that was received.
#[track_caller]
fn assert_unheard(listener: &Caller, hz: u32) {
    let heard = listener.heard_ms(ALL_MS);
    assert!(heard[&hz] < SPLATTER_MS, "{hz} Hz: {heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_accepts_by_a_key_talks_with_the_caller_and_hangs_up() {
    let scene = Scene::set("accept_timeout_ms: 60000").await;
    let person = scene.talks().await;

    scene.caller.press("5#").await;
    until("the person gets the caller's keys", || {
        person.keys() == "5#"
    })
    .await;
    person.press("73").await;
    until("the caller gets the person's keys", || {
        scene.caller.keys() == "73"
    })
    .await;
    assert_eq!(scene.triage.keys(), "");

    let sides: Vec<String> = person.history().into_iter().map(|one| one.track).collect();
    assert_eq!(sides, ["caller"], "nothing else is in its room");
    assert_eq!(person.others().len(), 1, "Baton is alone with it");
    let programs = scene.caller.history().into_iter();
    assert!(programs.into_iter().all(|heard| heard.track == "program"));

    person.hang_up().await;
    scene.caller.hears(TRIAGE_HZ).await;
    scene.side_room_is_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_that_declines_is_no_answer_and_the_holder_goes_on() {
    let scene = Scene::set("accept_timeout_ms: 60000").await;
    let asked = scene.asks().await;
    let person = scene.comes().await;
    scene.caller.hears(WAITING_HZ).await;
    person.press("2").await;
    triage_goes_on(&scene, asked, "declined").await;
    assert_unheard(&person, CALLER_HZ);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_that_does_nothing_or_leaves_is_no_answer() {
    let scene = Scene::set("accept_timeout_ms: 6000").await;
    let asked = scene.asks().await;
    scene.caller.hears(WAITING_HZ).await;
    triage_goes_on(&scene, asked, "not accepted within 6000 ms").await;

    let asked = scene.asks().await;
    let person = scene.comes().await;
    person.hang_up().await;
    match answered(asked).await {
        Err(HandoffError::Failed {
            reason: FailKind::NoAnswer,
            detail,
        }) => assert!(detail.contains("left"), "{detail}"),
        other => panic!("{other:?}"),
    }
    scene.caller.hears(TRIAGE_HZ).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_closes_the_side_room() {
    let scene = Scene::set("accept_timeout_ms: 60000").await;
    let _person = scene.talks().await;
    let Scene {
        stage,
        triage,
        caller,
        _folder,
    } = scene;
    caller.hang_up().await;
    stage.baton.idle().await;
    let closing = async {
        while stage
            .room_names()
            .await
            .iter()
            .any(|name| name.contains("--"))
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, closing).await.expect("it is closed");
    assert!(triage.grants().len() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_hands_back_to_the_agent_by_a_key() {
    let scene = Scene::set("accept_timeout_ms: 60000, hand_back_digit: '9'").await;
    let person = scene.talks().await;
    person.press("9").await;
    scene.caller.hears(TRIAGE_HZ).await;
    assert_eq!(scene.triage.grants().len(), 2);
    assert_eq!(scene.triage.jobs(), 1);
    assert_eq!(scene.caller.keys(), "", "the key was not for the caller");
    scene.side_room_is_closed().await;
}

/// From the operator's request to two who talk, with no key pressed: escalate, accept, hand back, and a decline.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_escalates_accepts_for_the_person_hands_back_and_declines() {
    let scene = Scene::set("accept_timeout_ms: 60000").await;
    let stage = &scene.stage;
    let token = steering(stage);
    let (_, list) = stage.baton.api("GET", "/calls", &token, "");
    let id = list["calls"][0]["id"].as_str().unwrap().to_owned();
    let post = |what: &str, body: &str| {
        let path = format!("/calls/{id}/{what}");
        stage.baton.api("POST", &path, &token, body)
    };
    for (what, body, reason) in [
        ("accept", "", "nobody_rung"),
        ("decline", "", "nobody_rung"),
        ("hand_back", "{}", "no_person_holds"),
    ] {
        let (status, refusal) = post(what, body);
        assert_eq!(
            (status, &refusal["reason"]),
            (409, &reason.into()),
            "{what}"
        );
    }

    let (status, answer) = post("escalate", r#"{"wait_ms": 0}"#);
    assert_eq!((status, &answer["outcome"]), (202, &"under_way".into()));
    scene.side_room().await;
    let (status, refusal) = post("accept", "");
    assert_eq!((status, &refusal["reason"]), (409, &"not_there".into()));
    let person = scene.comes().await;
    scene.caller.hears(WAITING_HZ).await;
    let (_, call) = stage.baton.api("GET", &format!("/calls/{id}"), &token, "");
    assert_eq!(call["rung"], "desk");
    let (status, answer) = post("accept", "");
    assert_eq!((status, &answer["accepted"]), (200, &true.into()));
    scene.caller.hears(PERSON_HZ).await;
    person.hears(CALLER_HZ).await;
    let (status, refusal) = post("decline", "");
    assert_eq!(
        (status, &refusal["reason"]),
        (409, &"already_accepted".into())
    );

    let (status, answer) = post("hand_back", r#"{"wait_ms": 30000}"#);
    assert_eq!((status, &answer["holder"]), (200, &"triage".into()));
    scene.caller.hears(TRIAGE_HZ).await;
    scene.side_room_is_closed().await;

    let asked = scene.asks().await;
    scene.side_room().await;
    let (status, answer) = post("decline", "");
    assert_eq!((status, &answer["accepted"]), (200, &false.into()));
    match answered(asked).await {
        Err(HandoffError::Failed {
            reason: FailKind::NoAnswer,
            detail,
        }) => assert!(detail.contains("declined"), "{detail}"),
        other => panic!("{other:?}"),
    }
    scene.caller.hears(TRIAGE_HZ).await;
    scene.side_room_is_closed().await;
}

/// A webhook makes the summary; the person reads it beside what it hears, before it accepts.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_a_screen_reads_why_it_is_rung_and_the_summary() {
    // A stand-in for somebody's language model.
    let pages = Router::new().route("/", post(async || format!(r#"{{"summary": "{LOST}"}}"#)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let route = format!(
        "context: summary, masks: ['redact card_numbers'], summary: {{webhook: 'http://{address}/', timeout_ms: 20000}}"
    );
    let scene = Scene::set_with("accept_timeout_ms: 60000", |config| config.route(&route)).await;
    let call = scene.triage.call().await;
    let words = items::message("u1", Speaks::Caller, "I have lost my card");
    call.conversation().append(words).await.unwrap();
    let asked = scene.asks().await;
    let person = scene.comes().await;
    let mut told = Value::Null;
    until("the person is told of the summary", || {
        let texts = person.texts("baton.briefing");
        told = texts
            .last()
            .map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
        told["summary"].is_string()
    })
    .await;
    assert_eq!(told["summary"], "the card [redacted] is lost");
    assert_eq!(told["from"], "triage");
    assert_eq!(told["reason"], "a person is asked for");
    let id = told["call"].as_str().unwrap();
    assert_eq!(told["packet"], format!("/api/v1/calls/{id}/packet"));
    assert_eq!(scene.caller.texts("baton.briefing"), Vec::<String>::new());
    assert!(
        !scene.stage.baton.log().contains("is lost"),
        "personal data"
    );
    person.press("2").await;
    triage_goes_on(&scene, asked, "declined").await;
}

/// The summary is read out to the person, as a service says it, in place of what it heard before, and to nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_hears_the_summary_before_it_accepts() {
    // Stand-ins for somebody's language model and somebody's speech: a tone.
    let asked_for = Arc::<Mutex<Vec<Value>>>::default();
    let texts = asked_for.clone();
    let folder = tempfile::tempdir().unwrap();
    let said = std::fs::read(tone_file(&folder, SPEECH_HZ)).unwrap();
    let pages = Router::new()
        .route("/", post(async || format!(r#"{{"summary": "{LOST}"}}"#)))
        .route(
            "/speech",
            post(async move |body: String| {
                texts
                    .lock()
                    .unwrap()
                    .push(serde_json::from_str(&body).unwrap());
                said
            }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let options = format!("accept_timeout_ms: 60000, briefing_speech: 'http://{address}/speech'");
    let route = format!(
        "context: summary, masks: ['redact card_numbers'], summary: {{webhook: 'http://{address}/', timeout_ms: 20000}}"
    );
    let scene = Scene::set_with(&options, |config| config.route(&route)).await;
    let words = items::message("u1", Speaks::Caller, "I have lost my card");
    let call = scene.triage.call().await;
    call.conversation().append(words).await.unwrap();
    let asked = scene.asks().await;
    let person = scene.enters().await;
    person.hears(SPEECH_HZ).await;
    let texts = asked_for.lock().unwrap().clone();
    assert_eq!(texts.len(), 1);
    assert_eq!(texts[0]["text"], "the card [redacted] is lost");
    scene.caller.hears(WAITING_HZ).await;
    person.press("1").await;
    answered(asked).await.expect("the person has accepted");
    person.hears(CALLER_HZ).await;
    assert!(
        !scene.stage.baton.log().contains("is lost"),
        "personal data"
    );
}

/// No SIP service runs here: the request goes to the real server, passes its authentication and its checks, and fails for want of
/// the service alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_that_cannot_be_rung_is_no_answer_and_why_is_told() {
    let redis = RedisServer::start();
    let server = LivekitServer::start_with(ServerOptions {
        redis: Some(redis.address()),
        ..ServerOptions::default()
    })
    .unwrap();
    let sip = SIPClient::with_api_key(&server.api_url(), server.api_key(), server.api_secret());
    let trunk = sip
        .create_sip_outbound_trunk(
            "out".to_owned(),
            "127.0.0.1:9".to_owned(),
            vec!["+15550100".to_owned()],
            CreateSIPOutboundTrunkOptions::default(),
        )
        .await
        .unwrap();
    let person = |trunk: &str| {
        format!(
            "kind: human, accept_timeout_ms: 20000, sip: {{trunk: {trunk}, number: '+15550177'}}"
        )
    };
    let config = Config::new(&["triage"])
        .person("desk", &person(&trunk.sip_trunk_id))
        .person("shift", &person("ST_of_nobody"));
    let stage = Stage::set_on(server, &config).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let asked = [("shift", "trunk"), ("desk", "no response from servers")];
    for (round, (name, told)) in asked.into_iter().enumerate() {
        match triage.hand_off(name).await {
            Err(HandoffError::Failed {
                reason: FailKind::NoAnswer,
                detail,
            }) => assert!(detail.contains(told), "{name}: {detail}"),
            other => panic!("{name}: {other:?}"),
        }
        until("triage has the baton again", || {
            triage.grants().len() == round + 2
        })
        .await;
        caller.hears(TRIAGE_HZ).await;
    }
    assert!(!stage.baton.log().contains("5550177"), "personal data");
}
