//! Requests as clients make them, against calls that are simulated: the core is real, the room is not there.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode, header};
use call::{AgentName, Call, CallConfig, CallId, Outcome, Plan, RefuseReason, SpecialistConfig};
use context::{
    Author, Conversation, ConversationLimits, Granting, Item, LivekitItem, Mask, MaskAction,
    Masked, Packet, Position, Record, Scopes, ToolPolicies, UnixMillis,
};
use futures_util::StreamExt as _;
use livekit_api::access_token::{AccessToken, VideoGrants};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use worker::{Secret, WorkerConfig};

use super::{ApiServer, Guard, HEAD_MAX, router};
use crate::admin::Admin;
use crate::clock;
use crate::room::{Ask, Desk, Post, View, Views};

const KEY: &str = "devkey";
const SECRET: &str = "a-secret-that-is-long-enough-for-hs256";
const OPERATOR: &str = "the-operators-own-token";
const ROOM: &str = "call-_+15550199_x";

/// A process without a server: its worker never registers.
struct Process {
    desk: Arc<Desk>,
    router: Router,
    drain: CancellationToken,
    close: CancellationToken,
}

fn process() -> Process {
    let desk = Arc::new(Desk::default());
    let config = WorkerConfig::new("ws://127.0.0.1:1", KEY, Secret::new(SECRET.to_owned()));
    let (worker, _) = worker::start(config).expect("the configuration is good");
    let (drain, close) = (CancellationToken::new(), CancellationToken::new());
    let admin = Admin::new(desk.clone(), worker.watch(), drain.clone(), None);
    let token = Secret::new(OPERATOR.to_owned());
    let guard = Guard::new(KEY, &Secret::new(SECRET.to_owned()), Some(&token));
    Process {
        router: router(admin, guard, close.clone()),
        desk,
        drain,
        close,
    }
}

fn call(id: &str) -> Call {
    let specialist = SpecialistConfig::new(AgentName::from("triage-agent"));
    let config = CallConfig::new("triage".into(), [("triage".into(), specialist)]);
    let plan = Arc::new(Plan::new(config).expect("the plan is good"));
    Call::new(plan, CallId::from(id), clock::now(), &mut Vec::new())
}

fn caller() -> call::Event {
    call::Event::ParticipantJoined {
        identity: "sip_+15550199".into(),
        kind: call::ParticipantKind::Sip,
    }
}

fn open(desk: &Arc<Desk>, id: &str, room: &str) -> (Call, Post) {
    let mut call = call(id);
    call.handle_event(clock::now(), caller(), &mut Vec::new());
    let post = desk.open(room, call.snapshot(), views());
    (call, post)
}

fn livekit(grants: VideoGrants) -> String {
    AccessToken::with_api_key(KEY, SECRET)
        .with_identity("operator")
        .with_grants(grants)
        .to_jwt()
        .expect("the key is good")
}

fn lister() -> String {
    livekit(VideoGrants {
        room_list: true,
        ..VideoGrants::default()
    })
}

fn admin_of(room: &str) -> String {
    livekit(VideoGrants {
        room_admin: true,
        room: room.to_owned(),
        ..VideoGrants::default()
    })
}

/// What billing may see: of the state whether the caller is verified, of the conversation no card number.
fn views() -> Arc<Views> {
    let verified = ("verified".parse().expect("a path"), context::Access::Read);
    let billing = View {
        scopes: Scopes::new(context::Access::None, [verified]).expect("one rule"),
        masks: vec![Mask {
            what: Masked::Field {
                tool: None,
                path: "number".parse().expect("a path"),
            },
            action: MaskAction::Redact,
        }],
    };
    Arc::new(Views::from([("billing".into(), billing)]))
}

/// A token for a room whose bearer sees as much as a specialist does.
fn seeing_as(specialist: &str) -> String {
    AccessToken::with_api_key(KEY, SECRET)
        .with_identity("agent")
        .with_grants(VideoGrants {
            room_admin: true,
            room: ROOM.to_owned(),
            ..VideoGrants::default()
        })
        .with_attributes([("baton.view_as", specialist)])
        .to_jwt()
        .expect("the key is good")
}

async fn send(
    router: &Router,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> (StatusCode, Value) {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"));
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
    let request = request
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .expect("the request is good");
    let response = router.clone().oneshot(request).await.expect("it answers");
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
    }
    let bytes = to_bytes(response.into_body(), 1 << 20)
        .await
        .expect("the body is whole");
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

async fn get(router: &Router, path: &str, token: Option<&str>) -> (StatusCode, Value) {
    send(router, "GET", path, token, None).await
}

#[tokio::test]
async fn nothing_is_shown_without_a_credential_of_this_server() {
    let process = process();
    let (_call, _post) = open(&process.desk, "c1", ROOM);
    let forged = AccessToken::with_api_key(KEY, "another-secret-that-is-long-enough")
        .with_grants(VideoGrants {
            room_list: true,
            ..VideoGrants::default()
        })
        .to_jwt()
        .expect("the key is good");
    for path in [
        "/calls",
        "/calls/c1",
        "/events",
        "/calls/c1/events",
        "/worker",
    ] {
        for token in [None, Some("guessed"), Some(forged.as_str())] {
            let (status, problem) = get(&process.router, path, token).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {token:?}");
            assert_eq!(problem["code"], "unauthorized");
        }
    }
}

#[tokio::test]
async fn a_token_without_a_grant_sees_and_changes_nothing() {
    let process = process();
    let (_call, _post) = open(&process.desk, "c1", ROOM);
    let nothing = livekit(VideoGrants::default());
    assert_eq!(
        get(&process.router, "/calls", Some(&nothing)).await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        get(&process.router, "/events", Some(&nothing)).await.0,
        StatusCode::FORBIDDEN
    );
    let of_another = admin_of("another-room");
    for token in [&nothing, &of_another] {
        assert_eq!(
            get(&process.router, "/calls/c1", Some(token)).await.0,
            StatusCode::NOT_FOUND
        );
        let wish = Some(json!({"to": "billing"}));
        let (status, _) = send(
            &process.router,
            "POST",
            "/calls/c1/handoffs",
            Some(token),
            wish,
        )
        .await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let (status, _) = send(&process.router, "DELETE", "/calls/c1", Some(token), None).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let (status, _) = send(&process.router, "POST", "/drain", Some(token), None).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    assert!(!process.drain.is_cancelled());
    let (_, list) = get(&process.router, "/calls", Some(&of_another)).await;
    assert_eq!(list["calls"], json!([]));
}

#[tokio::test]
async fn a_list_grant_shows_calls_without_personal_data_and_steers_none() {
    let process = process();
    let (_call, _post) = open(&process.desk, "c1", ROOM);
    let (status, list) = get(&process.router, "/calls", Some(&lister())).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(list["calls"][0]["id"], "c1");
    assert_eq!(list["calls"][0]["phase"], "preparing");
    assert!(!list.to_string().contains("15550199"), "{list}");
    let wish = Some(json!({"to": "billing"}));
    let (status, problem) = send(
        &process.router,
        "POST",
        "/calls/c1/handoffs",
        Some(&lister()),
        wish,
    )
    .await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::FORBIDDEN, &json!("not_allowed"))
    );
    // A list grant searches in what it sees.
    let (_, list) = get(&process.router, "/calls?text=15550199", Some(&lister())).await;
    assert_eq!(list["calls"], json!([]));
}

#[tokio::test]
async fn who_administers_the_room_sees_the_caller() {
    let process = process();
    let (_call, _post) = open(&process.desk, "c1", ROOM);
    for token in [admin_of(ROOM), OPERATOR.to_owned()] {
        let (status, call) = get(&process.router, "/calls/c1", Some(&token)).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(call["room"], ROOM);
        assert_eq!(call["caller"]["identity"], "sip_+15550199");
        let (_, list) = get(&process.router, "/calls?text=15550199", Some(&token)).await;
        assert_eq!(list["calls"][0]["id"], "c1");
    }
}

#[tokio::test]
async fn a_list_comes_in_pages_and_by_filter() {
    let process = process();
    let _calls: Vec<_> = (0..5)
        .map(|n| open(&process.desk, &format!("c{n}"), ROOM))
        .collect();
    let (_, first) = get(&process.router, "/calls?limit=3", Some(OPERATOR)).await;
    assert_eq!(first["calls"].as_array().map(Vec::len), Some(3));
    assert_eq!(first["next"], "c2");
    let (_, second) = get(&process.router, "/calls?limit=3&after=c2", Some(OPERATOR)).await;
    assert_eq!(second["calls"].as_array().map(Vec::len), Some(2));
    assert_eq!(second["next"], Value::Null);
    let (_, active) = get(&process.router, "/calls?phase=active", Some(OPERATOR)).await;
    assert_eq!(active["calls"], json!([]));
    for wrong in ["/calls?limit=0", "/calls?limit=501"] {
        assert_eq!(
            get(&process.router, wrong, Some(OPERATOR)).await.0,
            StatusCode::UNPROCESSABLE_ENTITY
        );
    }
    for wrong in ["/calls?limit=x", "/calls?phase=asleep", "/calls?colour=red"] {
        assert_eq!(
            get(&process.router, wrong, Some(OPERATOR)).await.0,
            StatusCode::BAD_REQUEST
        );
    }
}

#[tokio::test]
async fn the_rules_answer_a_wish_to_hand_off() {
    let process = process();
    let (call, mut post) = open(&process.desk, "c1", ROOM);
    let task = tokio::spawn(async move {
        let Some(Ask::Handoff { target, answer, .. }) = post.ask().await else {
            panic!("a handoff is asked for");
        };
        assert_eq!(target, call::Target::Specialist("billing".into()));
        let near = None;
        let refused = RefuseReason::UnknownTarget {
            name: "billing".into(),
            near,
        };
        answer
            .send(Outcome::Refused(refused))
            .expect("it is waited for");
        drop(call);
        post
    });
    let wish = json!({"to": "billing", "reason": "asked by the floor"});
    let (status, problem) = send(
        &process.router,
        "POST",
        "/calls/c1/handoffs",
        Some(OPERATOR),
        Some(wish),
    )
    .await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(
        (&problem["code"], &problem["reason"]),
        (&json!("refused"), &json!("unknown_target"))
    );
    assert_eq!(
        problem["detail"],
        "refused: there is no specialist \"billing\""
    );
    drop(task.await.expect("the call goes on"));
    let wish = json!({"to": "billing"});
    let (status, _) = send(
        &process.router,
        "POST",
        "/calls/c1/handoffs",
        Some(OPERATOR),
        Some(wish),
    )
    .await;
    assert_eq!(status, StatusCode::NOT_FOUND, "the call is over");
}

#[tokio::test(start_paused = true)]
async fn a_handoff_that_takes_long_is_under_way_and_a_call_that_ends_says_so() {
    let process = process();
    let (_call, post) = open(&process.desk, "c1", ROOM);
    let wish = json!({"to": "billing", "wait_ms": 50});
    let (status, answer) = send(
        &process.router,
        "POST",
        "/calls/c1/handoffs",
        Some(OPERATOR),
        Some(wish),
    )
    .await;
    assert_eq!(
        (status, answer),
        (StatusCode::ACCEPTED, json!({"outcome": "under_way"}))
    );
    let ending = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(post);
    });
    let wish = json!({"to": "billing"});
    let (status, problem) = send(
        &process.router,
        "POST",
        "/calls/c1/handoffs",
        Some(OPERATOR),
        Some(wish),
    )
    .await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::GONE, &json!("call_ended"))
    );
    ending.await.expect("it ended");
}

#[tokio::test]
async fn wrong_bodies_are_refused_with_a_reason() {
    let process = process();
    let (_call, _post) = open(&process.desk, "c1", ROOM);
    let long = "x".repeat(513);
    let path = "/calls/c1/handoffs";
    for (body, status, said) in [
        (
            json!({}),
            StatusCode::UNPROCESSABLE_ENTITY,
            "missing field `to`",
        ),
        (
            json!({"to": ""}),
            StatusCode::UNPROCESSABLE_ENTITY,
            "`to` is empty",
        ),
        (
            json!({"to": "billing", "whom": 1}),
            StatusCode::UNPROCESSABLE_ENTITY,
            "unknown field `whom`",
        ),
        (
            json!({"to": "billing", "reason": long}),
            StatusCode::UNPROCESSABLE_ENTITY,
            "longer than 512",
        ),
        (
            json!({"to": "billing", "wait_ms": 60_001}),
            StatusCode::UNPROCESSABLE_ENTITY,
            "at most 60000",
        ),
        (
            json!({"to": "x".repeat(70_000)}),
            StatusCode::PAYLOAD_TOO_LARGE,
            "",
        ),
    ] {
        let (found, problem) =
            send(&process.router, "POST", path, Some(OPERATOR), Some(body)).await;
        assert_eq!(found, status);
        let detail = problem["detail"].as_str().expect("a problem has a detail");
        assert!(detail.contains(said), "{detail}");
    }
    for query in [
        "context?limit=0",
        "timeline?limit=1001",
        "timeline?after=9007199254740992",
    ] {
        let (status, _) = get(
            &process.router,
            &format!("/calls/c1/{query}"),
            Some(OPERATOR),
        )
        .await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
    }
    let (status, problem) = get(&process.router, "/nothing", Some(OPERATOR)).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::NOT_FOUND, &json!("no_page"))
    );
    let (status, problem) = send(&process.router, "PUT", "/calls", Some(OPERATOR), None).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::METHOD_NOT_ALLOWED, &json!("wrong_method"))
    );
}

#[tokio::test]
async fn an_operator_drains_and_ends() {
    let process = process();
    let (_call, mut post) = open(&process.desk, "c1", ROOM);
    let task = tokio::spawn(async move {
        let Some(Ask::End { answer }) = post.ask().await else {
            panic!("the end is asked for");
        };
        answer.send(()).expect("it is waited for");
    });
    assert_eq!(
        send(&process.router, "DELETE", "/calls/c1", Some(OPERATOR), None)
            .await
            .0,
        StatusCode::NO_CONTENT
    );
    task.await.expect("the call ended");
    assert_eq!(
        send(&process.router, "POST", "/drain", Some(OPERATOR), None)
            .await
            .0,
        StatusCode::ACCEPTED
    );
    assert!(process.drain.is_cancelled());
    let (_, worker) = get(&process.router, "/worker", Some(OPERATOR)).await;
    assert_eq!(
        (&worker["calls"], &worker["registered"]),
        (&json!(0), &json!(false))
    );
}

/// The text of a stream, read until it has been quiet for a moment.
async fn events(router: &Router, path: &str, token: &str, last: Option<&str>) -> String {
    let mut request = Request::builder()
        .uri(format!("/api/v1{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {token}"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let request = request.body(Body::empty()).expect("the request is good");
    let response = router.clone().oneshot(request).await.expect("it answers");
    assert_eq!(response.status(), StatusCode::OK);
    let mut stream = response.into_body().into_data_stream();
    let mut text = Vec::new();
    while let Ok(Some(Ok(piece))) =
        tokio::time::timeout(Duration::from_secs(1), stream.next()).await
    {
        let piece: Bytes = piece;
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).expect("events are text")
}

#[tokio::test(start_paused = true)]
async fn a_stream_resumes_where_it_was_left() {
    let process = process();
    let (mut call, mut post) = open(&process.desk, "c1", ROOM);
    let (_other, _post) = open(&process.desk, "c2", "another");
    call.handle_event(clock::now(), call::Event::Stop, &mut Vec::new());
    post.publish(call.snapshot(), false);
    post.publish(call.snapshot(), false);
    drop(post);

    let all = events(&process.router, "/events?after=0", OPERATOR, None).await;
    let names: Vec<_> = all
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(
        names,
        ["opened", "opened", "changed", "closed"],
        "what was no news was not sent: {all}"
    );
    let resumed = events(&process.router, "/events", OPERATOR, Some("3")).await;
    assert!(
        resumed.contains("id: 4") && !resumed.contains("id: 3"),
        "{resumed}"
    );
    assert!(resumed.contains("the call was stopped"), "{resumed}");
    let future = events(&process.router, "/events", OPERATOR, Some("99")).await;
    assert!(future.starts_with("event: reset"), "{future}");
    let mine = events(
        &process.router,
        "/events?after=0",
        &admin_of("another"),
        None,
    )
    .await;
    assert!(
        mine.contains("\"c2\"") && !mine.contains("\"c1\""),
        "{mine}"
    );
    let masked = events(&process.router, "/events?after=0", &lister(), None).await;
    assert!(
        masked.contains("\"c1\"") && !masked.contains("15550199"),
        "{masked}"
    );
    let bad = Request::builder()
        .uri("/api/v1/events")
        .header(header::AUTHORIZATION, format!("Bearer {OPERATOR}"))
        .header("last-event-id", "first")
        .body(Body::empty())
        .expect("the request is good");
    let response = process
        .router
        .clone()
        .oneshot(bad)
        .await
        .expect("it answers");
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_let_go() {
    let process = process();
    let server = ApiServer::bind(([127, 0, 0, 1], 0).into(), process.router.clone())
        .await
        .expect("a free port");
    let address = server.address();
    let serving = tokio::spawn(server.serve(process.close.clone()));
    let mut silent = tokio::net::TcpStream::connect(address)
        .await
        .expect("it listens");
    silent
        .write_all(b"GET /api/v1/worker HTTP/1.1\r\nHost: x\r\n")
        .await
        .expect("half a head");
    let mut whole = tokio::net::TcpStream::connect(address)
        .await
        .expect("it listens");
    let request = format!(
        "GET /api/v1/worker HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {OPERATOR}\r\nConnection: close\r\n\r\n"
    );
    whole
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    let mut answer = String::new();
    whole.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let closed = tokio::time::timeout(HEAD_MAX * 3, silent.read_to_end(&mut Vec::new())).await;
    assert!(closed.is_ok(), "a half-open client was kept");
    process.close.cancel();
    let stopped = tokio::time::timeout(Duration::from_secs(5), serving).await;
    assert!(stopped.is_ok(), "the listener did not close");
}

#[test]
fn the_document_describes_every_request() {
    let document = serde_json::to_value(super::document()).expect("it is plain data");
    let paths: Vec<_> = document["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .cloned()
        .collect();
    let expected = [
        "/calls",
        "/calls/{id}",
        "/calls/{id}/accept",
        "/calls/{id}/context",
        "/calls/{id}/decline",
        "/calls/{id}/escalate",
        "/calls/{id}/events",
        "/calls/{id}/hand_back",
        "/calls/{id}/handoffs",
        "/calls/{id}/hold",
        "/calls/{id}/levels",
        "/calls/{id}/packet",
        "/calls/{id}/resume",
        "/calls/{id}/state",
        "/calls/{id}/timeline",
        "/drain",
        "/events",
        "/past",
        "/past/{id}",
        "/past/{id}/packet",
        "/past/{id}/timeline",
        "/past/{id}/vcon",
        "/worker",
    ];
    assert_eq!(paths, expected);
    assert!(document["components"]["securitySchemes"]["bearer"].is_object());
}

/// A conversation in which the baton was given once.
fn begun() -> Conversation {
    let mut conversation = Conversation::new(ConversationLimits::default(), None);
    conversation.joined(Author(1), Scopes::all());
    let granting = Granting {
        author: Author(1),
        specialist: "triage",
        epoch: 1,
        tools: &ToolPolicies::default(),
        except: &[],
        at: UnixMillis(1_700_000_000_000),
    };
    conversation.granted(granting, &mut Vec::new());
    conversation
}

#[tokio::test]
async fn what_was_said_is_shown_to_who_administers_the_room_alone() {
    let process = process();
    let (_call, post) = open(&process.desk, "c1", ROOM);
    post.follow(&begun());
    for path in ["/calls/c1/context", "/calls/c1/state", "/calls/c1/packet"] {
        assert_eq!(
            get(&process.router, path, Some(&lister())).await.0,
            StatusCode::FORBIDDEN,
            "{path}"
        );
        let other = admin_of("another");
        assert_eq!(
            get(&process.router, path, Some(&other)).await.0,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let (status, page) = get(&process.router, "/calls/c1/context", Some(&admin_of(ROOM))).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&page["head"], &page["next"]), (&json!(1), &Value::Null));
    assert_eq!(page["items"][0]["item"]["type"], "agent_handoff");
    assert_eq!(page["items"][0]["item"]["new_agent_id"], "triage");
    assert_eq!(page["hash"].as_str().map(str::len), Some(64));
    let (_, rest) = get(&process.router, "/calls/c1/context?after=1", Some(OPERATOR)).await;
    assert_eq!(rest["items"], json!([]));
    let (status, _) = get(
        &process.router,
        "/calls/c1/context?after=-1",
        Some(OPERATOR),
    )
    .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (_, packet) = get(&process.router, "/calls/c1/packet", Some(OPERATOR)).await;
    let packet = Packet::parse(packet.to_string().as_bytes(), 1 << 20).expect("it is a packet");
    assert_eq!(packet.items("x").expect("it has items").0.len(), 1);
}

#[tokio::test]
async fn who_sees_a_call_as_a_specialist_sees_and_writes_no_more_than_it_may() {
    let process = process();
    let (_call, mut post) = open(&process.desk, "c1", ROOM);
    let mut conversation = begun();
    let said = json!({
        "id": "c1", "type": "function_call", "call_id": "k1", "name": "pay",
        "arguments": "{\"number\":\"4111 1111\",\"cents\":100}",
    });
    let said = LivekitItem::new(said).expect("an item");
    let record = Record::Item {
        position: Position(2),
        author: None,
        item: Item::try_from(&said).expect("an item"),
    };
    conversation.replay(record).expect("it is the next");
    let known = json!({"verified": true, "card": {"number": "4111"}}).to_string();
    let patch = |conversation: &mut Conversation, scopes: &Scopes, json: &str| {
        let base = conversation.state().version();
        conversation.patch_from_outside(scopes, base, json.as_bytes(), &mut Vec::new())
    };
    patch(&mut conversation, &Scopes::all(), &known);
    post.follow(&conversation);

    let billing = seeing_as("billing");
    let (_, state) = get(&process.router, "/calls/c1/state", Some(&billing)).await;
    assert_eq!(state["document"], json!({"verified": true}));
    for path in ["/calls/c1/context", "/calls/c1/packet"] {
        let (status, all) = get(&process.router, path, Some(OPERATOR)).await;
        assert_eq!(status, StatusCode::OK);
        assert!(all.to_string().contains("4111 1111"), "{all}");
        let (status, seen) = get(&process.router, path, Some(&billing)).await;
        assert_eq!(status, StatusCode::OK);
        let seen = seen.to_string();
        assert!(
            seen.contains("[redacted]") && !seen.contains("4111"),
            "{seen}"
        );
    }
    let task = tokio::spawn(async move {
        let Some(Ask::Patch {
            scopes,
            base,
            json,
            answer,
        }) = post.ask().await
        else {
            panic!("a patch is asked for");
        };
        let outcome = conversation.patch_from_outside(&scopes, base, &json, &mut Vec::new());
        answer.send(outcome).expect("it is waited for");
        post
    });
    let wish = json!({"base_version": 1, "patch": {"card": {"number": "0"}}});
    let path = "/calls/c1/state";
    let (status, problem) = send(&process.router, "PATCH", path, Some(&billing), Some(wish)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert!(!problem.to_string().contains("4111"), "{problem}");
    let _post = task.await.expect("the call goes on");

    let (status, problem) = get(&process.router, path, Some(&seeing_as("nobody"))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let detail = problem["detail"].as_str().expect("a sentence");
    assert!(detail.contains("baton.view_as"), "{detail}");
}

#[tokio::test]
async fn a_state_is_changed_by_compare_and_set() {
    let process = process();
    let (_call, mut post) = open(&process.desk, "c1", ROOM);
    let task = tokio::spawn(async move {
        let mut conversation = begun();
        for _ in 0..3 {
            let Some(Ask::Patch {
                scopes,
                base,
                json,
                answer,
            }) = post.ask().await
            else {
                panic!("a patch is asked for");
            };
            let outcome = conversation.patch_from_outside(&scopes, base, &json, &mut Vec::new());
            post.follow(&conversation);
            answer.send(outcome).expect("it is waited for");
        }
        post
    });
    let path = "/calls/c1/state";
    let patch = json!({"base_version": 0, "patch": {"verified": true}});
    let (status, answer) = send(&process.router, "PATCH", path, Some(OPERATOR), Some(patch)).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({"version": 1})));
    let (_, state) = get(&process.router, path, Some(OPERATOR)).await;
    assert_eq!(state, json!({"version": 1, "document": {"verified": true}}));
    let late = json!({"base_version": 0, "patch": {"verified": false}});
    let (status, problem) = send(&process.router, "PATCH", path, Some(OPERATOR), Some(late)).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::CONFLICT, &json!("conflict"))
    );
    assert_eq!(
        (&problem["version"], &problem["current"]),
        (&json!(1), &json!({"verified": true}))
    );
    let early = json!({"base_version": 9, "patch": {"verified": false}});
    let (status, problem) = send(&process.router, "PATCH", path, Some(OPERATOR), Some(early)).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::CONFLICT, &json!("conflict"))
    );
    assert_eq!(problem["version"], 1, "a version that is still to come");
    drop(task.await.expect("the call goes on"));
}
