//! A specialist whose process is killed while it speaks.

use std::process::Command;
use std::time::Duration;

use baton_specialist::items::{self, Speaks};
use baton_specialist::{Agent, Call, Grant, Preparation, Refusal, Specialist};
use kit::process::Child;
use kit::server::LivekitServer;
use kit::tone::Tone;
use tokio::time::sleep;

use crate::baton::Config;
use crate::cast::registered;
use crate::stage::Stage;
use crate::{BILLING_HZ, TONE_DBFS, TRIAGE_HZ, until};

/// Where the process of a specialist finds its server, and the key and the secret to it.
const SERVER: &str = "BATON_TEST_SPECIALIST";
/// What it prints when an item of the conversation is acked.
const ACKED: &str = "acked ";

/// From the kill until the fallback is heard.
const GAP_MAX_MS: u64 = 2_000;

/// Sounds, and says something every 50 ms.
struct Talkative;

impl Agent for Talkative {
    async fn prepare(&mut self, _: &Call, _: Preparation) -> Result<(), Refusal> {
        Ok(())
    }

    async fn granted(&mut self, call: &Call, _: Grant) {
        let conversation = call.conversation().clone();
        tokio::spawn(async move {
            for number in 0..10_000 {
                let id = format!("said-{number}");
                let item = items::message(&id, Speaks::Specialist, "and so on");
                if conversation.append(item).await.is_err() {
                    return;
                }
                println!("{ACKED}{id}");
                sleep(Duration::from_millis(50)).await;
            }
        });
        let mut tone = Tone::new(TRIAGE_HZ, TONE_DBFS, baton_specialist::SAMPLE_RATE_HZ).unwrap();
        let mut chunk = [0; 960];
        loop {
            tone.fill(&mut chunk);
            if call.speaker().write(&chunk).await.is_err() {
                return;
            }
        }
    }
}

/// The specialist itself, in the process that the test below starts; anywhere else it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_process_of_a_specialist() {
    let Ok(server) = std::env::var(SERVER) else {
        return;
    };
    let [url, key, secret] = server.split(' ').collect::<Vec<_>>()[..] else {
        panic!("three words are wanted");
    };
    let specialist = Specialist::builder("triage").url(url).api_key(key, secret);
    specialist
        .build()
        .unwrap()
        .run(|_| Talkative)
        .await
        .unwrap();
}

async fn start_process(server: &LivekitServer, folder: &std::path::Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let words = [
        server.url(),
        server.api_key().to_owned(),
        server.api_secret().to_owned(),
    ];
    command
        .args([
            "--exact",
            "killed::the_process_of_a_specialist",
            "--nocapture",
        ])
        .env(SERVER, words.join(" "));
    let child = Child::spawn("triage", &mut command, &folder.join("triage.log")).unwrap();
    until("triage is registered", || registered(server, "triage")).await;
    child
}

/// The ids of the items that it knows to be acked.
fn acked(child: &Child) -> Vec<String> {
    let log = child.log();
    // A line that is not whole is not there yet.
    let lines = log
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    let acked = lines.filter_map(|line| line.trim_end().split_once(ACKED));
    acked.map(|(_, id)| id.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fallback_of_a_killed_specialist_is_heard_within_two_seconds() {
    // What Baton does if nobody says otherwise.
    let config = Config::new(&["triage", "billing"])
        .timer("holder_answer_ms", 500)
        .fallbacks("[billing]");
    let stage = Stage::set(&config).await;
    let mut triage = start_process(&stage.server, stage.baton.folder()).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    until("triage has said something", || acked(&triage).len() > 10).await;

    let mark = caller.mark();
    triage.kill();
    caller.hears(BILLING_HZ).await;
    let gap_ms = caller.first_heard_ms(mark, BILLING_HZ);
    println!("the fallback is heard {gap_ms} ms after the kill");
    assert!(
        gap_ms <= GAP_MAX_MS,
        "{gap_ms} ms until the fallback is heard"
    );
    let lost = &stage.baton.lines("holder lost")[0];
    assert_eq!(lost["reason"], "nothing came from it for 900 ms");

    let conversation = billing.call().await;
    let conversation = conversation.conversation();
    let acked = acked(&triage);
    assert!(acked.len() > 10);
    for id in &acked {
        assert!(
            conversation.item(id).is_some(),
            "{id} is missing of {}",
            acked.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_specialist_that_is_frozen_for_a_moment_keeps_the_baton() {
    let config = Config::new(&["triage", "billing"]).fallbacks("[billing]");
    let stage = Stage::set(&config).await;
    let mut triage = start_process(&stage.server, stage.baton.folder()).await;
    let _billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let asked = || stage.baton.said("the holder is quiet, asking it");
    triage.pause().unwrap();
    until("it is asked", asked).await;
    triage.resume().unwrap();
    caller.hears(TRIAGE_HZ).await;
    sleep(Duration::from_secs(5)).await;
    caller.hears(TRIAGE_HZ).await;
    assert!(!stage.baton.said("holder lost"));
}
