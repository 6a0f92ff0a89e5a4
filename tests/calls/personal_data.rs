//! A call's every output is searched for what is personal in it: the caller's number, what was said, what is in the state.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use baton_specialist::items::{self, Speaks};
use livekit_api::access_token::VideoGrants;
use serde_json::{Value, json};

use crate::baton::{Baton, Config};
use crate::operator::token;
use crate::stage::{PHONE, ROOM, Stage};
use crate::{BILLING_HZ, TRIAGE_HZ};

/// Words of the caller and of a specialist, and a value in the state; none of them is to be found anywhere by chance.
const OF_THE_CALLER: &str = "featherstonehaugh";
const OF_THE_SPECIALIST: &str = "cholmondeley";
const IN_THE_STATE: &str = "marjoribanks";

/// The needles that are in a text.
fn personal(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    [&PHONE[1..], OF_THE_CALLER, OF_THE_SPECIALIST, IN_THE_STATE]
        .into_iter()
        .filter(|needle| text.contains(needle))
        .collect()
}

/// What Baton has logged at INFO and above.
fn logged(baton: &Baton) -> Vec<String> {
    let log = baton.log();
    log.lines()
        .filter(|line| {
            let level = serde_json::from_str::<Value>(line).map(|line| line["level"].clone());
            // What is no line of ours counts as well.
            !level.is_ok_and(|level| level == "DEBUG" || level == "TRACE")
        })
        .map(str::to_owned)
        .collect()
}

/// What a stream of events says within a second.
fn events(baton: &Baton, token: &str) -> String {
    let serves = &baton.lines("operators' interface serves")[0];
    let address = serves["address"].as_str().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    write!(
        stream,
        "GET /api/v1/events?after=0 HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    let mut said = Vec::new();
    let mut piece = [0; 4_096];
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        said.extend_from_slice(&piece[..length]);
        assert!(said.len() < 1 << 20, "the stream says more than it should");
    }
    String::from_utf8(said).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_output_tells_number_or_words_to_who_may_not_see_them() {
    let stage = Stage::set(&Config::new(&["triage", "billing"])).await;
    let grants = |room_list, room: Option<&str>| VideoGrants {
        room_list,
        room_admin: room.is_some(),
        room: room.unwrap_or_default().to_owned(),
        ..VideoGrants::default()
    };
    let admin = token(&stage, grants(false, Some(ROOM)));
    let outsiders = [
        ("none", String::new()),
        ("no grants", token(&stage, grants(false, None))),
        ("list", token(&stage, grants(true, None))),
        ("another room", token(&stage, grants(true, Some("other")))),
    ];
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let call = triage.call().await;
    let said = [
        items::message(
            "u1",
            Speaks::Caller,
            &format!("I am {OF_THE_CALLER}, {PHONE}"),
        ),
        items::message(
            "a1",
            Speaks::Specialist,
            &format!("hello {OF_THE_SPECIALIST}"),
        ),
    ];
    call.conversation().append_all(said.into()).await.unwrap();
    let state = json!({"customer": {"name": IN_THE_STATE, "phone": PHONE}});
    call.state().patch(state).await.unwrap();
    caller.press("15550123").await;
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    assert_eq!(billing.grants(), [2]);

    // It is all there for who may see it, so that it can be missed elsewhere.
    let (_, list) = stage.baton.api("GET", "/calls", &outsiders[2].1, "");
    let id = list["calls"][0]["id"].as_str().unwrap().to_owned();
    let paths =
        ["", "/context", "/state", "/packet", "/timeline"].map(|part| format!("/calls/{id}{part}"));
    let seen: Vec<String> = paths
        .iter()
        .map(|path| stage.baton.api("GET", path, &admin, "").1.to_string())
        .collect();
    assert_eq!(personal(&seen.concat()).len(), 4, "{seen:?}");

    let mut outputs = Vec::new();
    for path in ["/", "/worker", "/metrics"] {
        outputs.push((path.to_owned(), stage.baton.page(path).1));
    }
    let refused = json!({"to": "nobody", "reason": "for a test"}).to_string();
    for (who, token) in &outsiders {
        for path in [&["/calls".to_owned(), "/worker".to_owned()], &paths[..]].concat() {
            let (_, body) = stage.baton.api("GET", &path, token, "");
            outputs.push((format!("{path} for {who}"), body.to_string()));
        }
        let (_, body) = stage
            .baton
            .api("POST", &format!("/calls/{id}/handoffs"), token, &refused);
        outputs.push((format!("a refused handoff for {who}"), body.to_string()));
        outputs.push((format!("events for {who}"), events(&stage.baton, token)));
    }
    caller.hang_up().await;
    stage.baton.idle().await;
    outputs.push((
        "/metrics at the end".to_owned(),
        stage.baton.page("/metrics").1,
    ));
    let lines = logged(&stage.baton);
    assert!(lines.len() > 8, "{lines:#?}");
    outputs.extend(lines.into_iter().map(|line| ("log".to_owned(), line)));

    let found: Vec<_> = outputs
        .iter()
        .map(|(output, text)| (output, personal(text), text))
        .filter(|(_, needles, _)| !needles.is_empty())
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}
