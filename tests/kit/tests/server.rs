//! The server of the tests, checked over its own HTTP interface.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kit::process::{Child, ProcessError};
use kit::server::{LivekitServer, ServerError, ServerOptions};
use kit::token::{JoinToken, Kind};

/// Sends a request and returns the whole answer.
fn request(server: &LivekitServer, head: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port()))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let length = body.len();
    write!(
        stream,
        "{head}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn api(server: &LivekitServer, method: &str, body: &str) -> io::Result<String> {
    let token = server.admin_token("some").expect("key and secret are set");
    let head = format!(
        "POST /twirp/livekit.{method} HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json"
    );
    request(server, &head, body)
}

fn validate(server: &LivekitServer, token: &str) -> io::Result<String> {
    request(
        server,
        &format!("GET /rtc/validate?access_token={token} HTTP/1.1"),
        "",
    )
}

#[test]
fn tokens_of_the_server_are_accepted_and_others_refused() {
    let server = LivekitServer::start().unwrap();
    let created = api(&server, "RoomService/CreateRoom", r#"{"name":"some"}"#).unwrap();
    assert!(
        created.starts_with("HTTP/1.1 200") && created.contains("RM_"),
        "{created}"
    );
    let caller = JoinToken::sip_caller("some", "+15550199").dispatch("baton", "of the rule");
    let agent = JoinToken::new("some", "agent")
        .kind(Kind::Agent)
        .attribute("a", "b")
        .metadata("m");
    for join in [caller, agent] {
        let good = validate(&server, &server.join_token(&join).unwrap()).unwrap();
        assert!(good.contains("success"), "{good}");
        let bad = join
            .sign(server.api_key(), "another-secret-that-is-as-long-as-that")
            .unwrap();
        let refused = validate(&server, &bad).unwrap();
        assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    }
}

#[test]
fn a_restart_keeps_the_ports_and_loses_the_rooms() {
    let mut server = LivekitServer::start().unwrap();
    api(&server, "RoomService/CreateRoom", r#"{"name":"some"}"#).unwrap();
    let listed = api(&server, "RoomService/ListRooms", "{}").unwrap();
    assert!(listed.contains("RM_"), "{listed}");
    let (url, pid) = (server.url(), server.pid());
    server.kill();
    api(&server, "RoomService/ListRooms", "{}").unwrap_err();
    server.restart().unwrap();
    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), pid);
    let listed = api(&server, "RoomService/ListRooms", "{}").unwrap();
    assert!(!listed.contains("RM_"), "{listed}");
}

#[test]
fn a_paused_server_answers_nothing_until_it_goes_on() {
    let mut server = LivekitServer::start().unwrap();
    let health = |server: &LivekitServer| -> io::Result<usize> {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port()))?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        stream.read(&mut [0; 64])
    };
    server.pause().unwrap();
    health(&server).unwrap_err();
    server.resume().unwrap();
    assert!(health(&server).unwrap() > 0);
}

#[test]
fn a_dropped_server_is_gone() {
    let server = LivekitServer::start().unwrap();
    let (port, pid) = (server.port(), server.pid());
    drop(server);
    TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn several_servers_run_side_by_side() {
    let servers: Vec<_> = (0..3).map(|_| LivekitServer::start().unwrap()).collect();
    for server in &servers {
        assert!(
            api(server, "RoomService/ListRooms", "{}")
                .unwrap()
                .starts_with("HTTP/1.1 200")
        );
    }
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = ServerOptions {
        port: Some(port),
        ..ServerOptions::default()
    };
    let error = LivekitServer::start_with(options).unwrap_err();
    assert!(
        matches!(error, ServerError::PortTaken(named) if named == port),
        "{error}"
    );
}

#[test]
fn a_server_that_does_not_start_shows_what_it_said() {
    let options = ServerOptions {
        extra_yaml: "nonsense: 1".to_owned(),
        ..ServerOptions::default()
    };
    let error = LivekitServer::start_with(options).unwrap_err().to_string();
    assert!(
        error.contains("livekit-server ended with") && error.contains("nonsense"),
        "{error}"
    );
}

#[test]
fn an_address_without_redis_is_an_error_and_not_a_hang() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let options = ServerOptions {
        redis: Some(nobody),
        ..ServerOptions::default()
    };
    let error = LivekitServer::start_with(options).unwrap_err().to_string();
    assert!(error.contains(&SocketAddr::to_string(&nobody)), "{error}");
}

#[test]
fn a_child_is_waited_for_and_its_words_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("child.log");
    let mut talker = Command::new("sh");
    talker.args(["-c", "echo one; echo two >&2; exec sleep 60"]);
    let mut child = Child::spawn("talker", &mut talker, &log).unwrap();
    child.wait_for_log("two", Duration::from_secs(5)).unwrap();
    assert_eq!(child.log_tail(1), "two");
    let late = child
        .wait_for_log("three", Duration::from_millis(50))
        .unwrap_err();
    assert!(
        late.to_string()
            .ends_with("until saying \"three\"; it said:\none\ntwo"),
        "{late}"
    );
    child.terminate().unwrap();
    assert!(!child.wait(Duration::from_secs(5)).unwrap().success());
    let ended = child
        .wait_for_log("three", Duration::from_secs(60))
        .unwrap_err();
    assert!(matches!(ended, ProcessError::Ended { .. }), "{ended}");
    child.pause().unwrap_err();
}

#[test]
fn a_dropped_child_ends_even_if_it_is_frozen() {
    let folder = tempfile::tempdir().unwrap();
    let mut sleeper = Command::new("sleep");
    let log = folder.path().join("child.log");
    let mut child = Child::spawn("sleeper", sleeper.arg("60"), &log).unwrap();
    let pid = child.pid();
    child.pause().unwrap();
    let start = Instant::now();
    drop(child);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("child.log");
    let error = Child::spawn("nobody", &mut Command::new("no-such-program"), &log).unwrap_err();
    assert_eq!(error.to_string(), "no-such-program cannot be started");
}
