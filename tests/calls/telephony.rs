//! The script that has phone calls reach Baton, against the real server: its SIP API answers where there is Redis.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use kit::server::{LivekitServer, ServerOptions};
use livekit_api::services::sip::{ListSIPDispatchRuleFilter, SIPClient};
use livekit_protocol::sip_dispatch_rule::Rule;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::redis::RedisServer;

/// Names the Python that has the packages of `tests/python/requirements.txt`, `livekit-api` among them.
const PYTHON: &str = "BATON_PYTHON_PYTHON";
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Exit code, output and errors of `deploy/sip/setup.py`.
async fn set_up(server: &LivekitServer, arguments: &[&str]) -> (i32, Value, String) {
    let python = std::env::var_os(PYTHON).map_or_else(
        || PathBuf::from(ROOT).join("target/venvs/python/bin/python"),
        PathBuf::from,
    );
    assert!(
        python.exists(),
        "{PYTHON} names no Python; `cargo xtask setup` makes one"
    );
    let mut script = Command::new(python);
    script
        .arg(format!("{ROOT}/deploy/sip/setup.py"))
        .args(arguments)
        .env("LIVEKIT_URL", server.url())
        .env("LIVEKIT_API_KEY", server.api_key())
        .env("LIVEKIT_API_SECRET", server.api_secret())
        .env_remove("SIP_TRUNK_PASSWORD")
        .kill_on_drop(true);
    let ended = timeout(Duration::from_secs(60), script.output()).await;
    let output = ended.expect("the script ends").unwrap();
    (
        output.status.code().unwrap(),
        serde_json::from_slice(&output.stdout).unwrap_or_default(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatch_rule_gives_each_phone_call_a_room_with_baton() {
    let redis = RedisServer::start();
    let server = LivekitServer::start_with(ServerOptions {
        redis: Some(redis.address()),
        ..ServerOptions::default()
    })
    .unwrap();
    let arguments = ["--number", "+4930901820", "--allow", "203.0.113.0/24"];
    let (code, made, errors) = set_up(&server, &arguments).await;
    assert_eq!(code, 0, "{errors}");
    assert_eq!(
        (&made["trunk_is"], &made["rule_is"]),
        (&"made".into(), &"made".into())
    );

    let sip = SIPClient::with_api_key(&server.api_url(), server.api_key(), server.api_secret());
    let rules = sip
        .list_sip_dispatch_rule(ListSIPDispatchRuleFilter::All)
        .await
        .unwrap();
    let [rule] = &rules[..] else {
        panic!("{rules:?}")
    };
    assert_eq!(made["rule"], rule.sip_dispatch_rule_id.as_str());
    assert_eq!(rule.trunk_ids, [made["trunk"].as_str().unwrap()]);
    let agents = &rule.room_config.as_ref().unwrap().agents;
    let names: Vec<&str> = agents.iter().map(|agent| &*agent.agent_name).collect();
    assert_eq!(names, ["baton"]);
    let each_alone = rule.rule.as_ref().and_then(|rule| rule.rule.as_ref());
    assert!(
        matches!(each_alone, Some(Rule::DispatchRuleIndividual(each)) if each.room_prefix == "call-"),
        "{each_alone:?}"
    );

    // Once more changes nothing; another agent's name changes the rule and makes no second one.
    let (_, again, _) = set_up(&server, &arguments).await;
    let unchanged: BTreeMap<String, Value> = serde_json::from_value(again).unwrap();
    assert_eq!(unchanged["trunk_is"], "unchanged");
    assert_eq!(unchanged["rule_is"], "unchanged");
    let other = [&arguments[..], &["--agent-name", "baton-b"]].concat();
    let (_, changed, _) = set_up(&server, &other).await;
    assert_eq!(changed["rule_is"], "changed");
    let rules = sip
        .list_sip_dispatch_rule(ListSIPDispatchRuleFilter::All)
        .await
        .unwrap();
    let agents: Vec<&str> = rules
        .iter()
        .filter_map(|rule| rule.room_config.as_ref())
        .flat_map(|room| &room.agents)
        .map(|agent| &*agent.agent_name)
        .collect();
    assert_eq!(agents, ["baton-b"]);

    // The server's own rule: a number belongs to one trunk.
    let second = ["--name", "second", "--number", "+4930901820", "--open"];
    let (code, _, errors) = set_up(&server, &second).await;
    assert_eq!(code, 1);
    assert!(
        errors.contains("Conflicting inbound SIP Trunks"),
        "{errors}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_set_up_is_said() {
    let server = LivekitServer::start().unwrap();
    let (code, _, errors) = set_up(&server, &["--number", "+4930901820"]).await;
    assert_eq!(code, 2);
    assert!(errors.contains("anybody could call"), "{errors}");
    let (code, _, errors) = set_up(&server, &["--number", "+4930901820", "--open"]).await;
    assert_eq!(code, 1);
    assert!(
        errors.contains("is Redis in the server's configuration?"),
        "{errors}"
    );
}
