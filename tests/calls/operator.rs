//! An operator sees a live call and steers it, with LiveKit's access tokens.

use std::collections::BTreeMap;
use std::time::Duration;

use livekit_api::access_token::{AccessToken, VideoGrants};
use serde_json::json;

use crate::baton::Config;
use crate::stage::{PHONE, ROOM, Stage};
use crate::{BILLING_HZ, CALLER_HZ, ROGUE_HZ, TONE_DBFS, TRIAGE_HZ, until};

pub(crate) fn token(stage: &Stage, grants: VideoGrants) -> String {
    AccessToken::with_api_key(stage.server.api_key(), stage.server.api_secret())
        .with_identity("operator")
        .with_grants(grants)
        .to_jwt()
        .unwrap()
}

/// A token that lists calls, and steers the one in the test's room.
pub(crate) fn steering(stage: &Stage) -> String {
    token(
        stage,
        VideoGrants {
            room_list: true,
            room_admin: true,
            room: ROOM.to_owned(),
            ..VideoGrants::default()
        },
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_moves_the_baton_by_the_rules_of_the_call_and_ends_it() {
    let stage = Stage::set(&Config::new(&["triage", "billing"])).await;
    let lister = token(
        &stage,
        VideoGrants {
            room_list: true,
            ..VideoGrants::default()
        },
    );
    let admin = token(
        &stage,
        VideoGrants {
            room_admin: true,
            room: ROOM.to_owned(),
            ..VideoGrants::default()
        },
    );
    let _triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;

    let (status, list) = stage.baton.api("GET", "/calls", &lister, "");
    assert_eq!(status, 200);
    assert!(!list.to_string().contains(&PHONE[1..]), "{list}");
    let id = list["calls"][0]["id"].as_str().unwrap().to_owned();
    let one = format!("/calls/{id}");
    let handoffs = format!("/calls/{id}/handoffs");
    let (_, call) = stage.baton.api("GET", &one, &admin, "");
    assert_eq!(call["holder"]["specialist"], "triage");
    assert_eq!(call["room"], ROOM);

    let (status, problem) = stage
        .baton
        .api("POST", &handoffs, &lister, r#"{"to":"billing"}"#);
    assert_eq!((status, &problem["code"]), (403, &json!("not_allowed")));
    let (status, problem) = stage
        .baton
        .api("POST", &handoffs, &admin, r#"{"to":"biling"}"#);
    assert_eq!(
        (status, &problem["reason"]),
        (409, &json!("unknown_target"))
    );
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("did you mean \"billing\""), "{detail}");

    let wish = r#"{"to":"billing","reason":"the floor asks for it"}"#;
    let (status, answer) = stage.baton.api("POST", &handoffs, &admin, wish);
    assert_eq!((status, &answer["holder"]), (200, &json!("billing")));
    caller.hears(BILLING_HZ).await;
    assert_eq!(billing.grants(), [2]);
    let (_, call) = stage.baton.api("GET", &one, &lister, "");
    assert_eq!(call["previous"], "triage");

    let (status, metrics) = stage.baton.page("/metrics");
    assert_eq!(status, 200);
    let route = "baton_handoffs_total{from=\"triage\",to=\"billing\",result=\"done\"} 1";
    assert!(
        metrics.contains(route) && metrics.contains("baton_calls 1\n"),
        "{metrics}"
    );
    // Both holders have acked what moved the baton.
    let acked = "baton_frames_acked_total ";
    let acked = metrics.lines().find_map(|line| line.strip_prefix(acked));
    let acked: Option<u64> = acked.and_then(|count| count.parse().ok());
    assert!(acked.is_some_and(|count| count >= 4), "{metrics}");
    assert!(!metrics.contains(&PHONE[1..]), "{metrics}");

    assert_eq!(stage.baton.api("DELETE", &one, &admin, "").0, 204);
    stage.baton.idle().await;
    until("the call is off the desk", || {
        stage.baton.api("GET", &one, &admin, "").0 == 404
    })
    .await;

    let past = format!("/past/{id}");
    until("the call is among the past ones", || {
        stage.baton.api("GET", &past, &admin, "").0 == 200
    })
    .await;
    let (_, list) = stage.baton.api("GET", "/past", &lister, "");
    assert_eq!(list["calls"][0]["id"], json!(id));
    assert!(!list.to_string().contains(&PHONE[1..]), "{list}");
    let timeline = format!("{past}/timeline");
    assert_eq!(stage.baton.api("GET", &timeline, &lister, "").0, 403);
    let (_, first) = stage
        .baton
        .api("GET", &format!("{timeline}?limit=5"), &admin, "");
    let next = first["next"].as_u64().unwrap();
    let (_, rest) = stage
        .baton
        .api("GET", &format!("{timeline}?after={next}"), &admin, "");
    let holders: Vec<&str> = [&first, &rest]
        .into_iter()
        .flat_map(|page| page["entries"].as_array().unwrap())
        .filter(|entry| entry["what"] == "granted")
        .filter_map(|entry| entry["data"]["specialist"].as_str())
        .collect();
    assert_eq!(holders, ["triage", "billing"]);
    let (_, packet) = stage
        .baton
        .api("GET", &format!("{past}/packet"), &admin, "");
    assert_eq!(packet["call_id"], json!(id), "{packet}");
    let (status, vcon) = stage.baton.api("GET", &format!("{past}/vcon"), &admin, "");
    assert_eq!((status, &vcon["vcon"]), (200, &json!("0.4.0")), "{vcon}");
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_are_those_of_the_caller_and_of_who_is_heard_while_somebody_asks() {
    let stage = Stage::set(&Config::new(&["triage", "billing"])).await;
    let lister = token(
        &stage,
        VideoGrants {
            room_list: true,
            ..VideoGrants::default()
        },
    );
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let _billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial_silent().await;
    caller.hears(TRIAGE_HZ).await;
    let (_, list) = stage.baton.api("GET", "/calls", &lister, "");
    let levels = format!("/calls/{}/levels", list["calls"][0]["id"].as_str().unwrap());
    let voices = || -> BTreeMap<String, f64> {
        let (status, levels) = stage.baton.api("GET", &levels, &lister, "");
        assert_eq!(status, 200, "{levels}");
        let voices = levels["voices"].as_array().unwrap().iter();
        let voices = voices.map(|voice| {
            let who = voice["who"].as_str().unwrap().to_owned();
            (who, voice["dbfs"].as_f64().unwrap())
        });
        voices.collect()
    };
    let tone = |voices: &BTreeMap<String, f64>, who: &str| {
        let level = voices.get(who).copied();
        level.is_some_and(|dbfs| (dbfs - TONE_DBFS).abs() < 4.0)
    };

    assert!(voices().is_empty(), "nobody has asked before");
    until("triage is shown as loud as it is", || {
        let voices = voices();
        tone(&voices, "triage") && voices.len() == 1
    })
    .await;
    caller.sound(CALLER_HZ).await;
    until("and the caller as well", || {
        let voices = voices();
        tone(&voices, "triage") && tone(&voices, "caller") && voices.len() == 2
    })
    .await;
    triage.hand_off("billing").await.unwrap();
    until("the new holder has taken its place", || {
        let voices = voices();
        tone(&voices, "billing") && tone(&voices, "caller") && voices.len() == 2
    })
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(voices().is_empty(), "nobody has asked for a while");
    assert_eq!(
        stage.baton.api("GET", "/calls/none/levels", &lister, "").0,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_on_hold_hears_the_filler_and_nobody_until_the_holder_goes_on() {
    let config = Config::new(&["triage", "billing"])
        .audio("fade_ms: 60, dead_air_ms: 400, filler: {sound: tone, tone_hz: 1200, tone_off_ms: 0, level_dbfs: -17}");
    let stage = Stage::set(&config).await;
    let admin = steering(&stage);
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let (_, list) = stage.baton.api("GET", "/calls", &admin, "");
    let one = format!("/calls/{}", list["calls"][0]["id"].as_str().unwrap());
    let ask = |what: &str, body: &str| {
        stage
            .baton
            .api("POST", &format!("{one}/{what}"), &admin, body)
    };

    let (status, problem) = ask("resume", "{}");
    assert_eq!((status, &problem["reason"]), (409, &json!("not_held")));
    let (status, problem) = ask("escalate", "{}");
    assert_eq!((status, &problem["code"]), (501, &json!("not_configured")));
    assert_eq!(ask("hold", "").0, 200);
    let (_, call) = stage.baton.api("GET", &one, &admin, "");
    assert_eq!(call["held"]["specialist"], "triage");
    assert_eq!(call["holder"], json!(null));
    caller.hears(ROGUE_HZ).await;
    let on_hold = caller.mark();
    let (status, answer) = ask("resume", "{}");
    assert_eq!((status, &answer["holder"]), (200, &json!("triage")));
    caller.hears(TRIAGE_HZ).await;
    assert_eq!(triage.grants(), [1, 3], "the hold is an epoch of its own");
    assert_eq!(triage.jobs(), 1, "the same specialist");
    assert!(caller.mark() > on_hold);

    let (_, timeline) = stage
        .baton
        .api("GET", &format!("{one}/timeline"), &admin, "");
    let entries = timeline["entries"].as_array().unwrap();
    let what: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry["what"].as_str())
        .collect();
    let since_hold: Vec<&str> = what
        .into_iter()
        .skip_while(|what| *what != "held")
        .collect();
    assert!(since_hold.contains(&"handoff_done"), "{since_hold:?}");
    assert!(!since_hold.contains(&"dead_air_began"), "{since_hold:?}");
}
