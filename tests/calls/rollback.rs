//! A handoff that fails before the switch changes nothing.

use baton_specialist::{FailKind, HandoffError};

use crate::baton::Config;
use crate::cast::{Prepares, Script};
use crate::stage::Stage;
use crate::{BILLING_HZ, ROGUE_HZ, TRIAGE_HZ};

#[tokio::test(flavor = "multi_thread")]
async fn after_every_failure_the_old_holder_is_still_heard_and_knows_why() {
    let config = Config::new(&["triage", "absent", "stuck", "unwilling", "dying", "billing"])
        .timer("join_timeout_ms", 2_000)
        .timer("ready_timeout_ms", 2_000)
        .timer("specialist_return_ms", 1_000);
    let stage = Stage::set(&config).await;
    let server = &stage.server;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let scripted = |name, prepares| Script::new(name, ROGUE_HZ).prepares(prepares).start(server);
    let _stuck = scripted("stuck", Prepares::Never).await;
    let _unwilling = scripted("unwilling", Prepares::Refuses).await;
    let _dying = scripted("dying", Prepares::Dies).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    let mark = caller.mark();

    let cases = [
        ("absent", FailKind::NeverJoined, "2000 ms"),
        ("stuck", FailKind::NeverReady, "2000 ms"),
        ("unwilling", FailKind::Refused, "not today"),
        ("dying", FailKind::LostWhilePreparing, "1000 ms"),
    ];
    for (target, expected, part_of_detail) in cases {
        let Err(HandoffError::Failed { reason, detail }) = triage.hand_off(target).await else {
            panic!("the handoff to {target} has not failed");
        };
        assert_eq!(reason, expected, "{target}: {detail}");
        assert!(detail.contains(part_of_detail), "{target}: {detail}");
        caller.hears(TRIAGE_HZ).await;
    }
    assert_eq!(triage.grants(), [1], "the baton was never away");
    let verdict = caller.judge_since(mark, &[TRIAGE_HZ]);
    assert_eq!(verdict.leaked_ms, 0, "{verdict:?}");
    let hole_ms = caller.longest_hole_ms(mark, TRIAGE_HZ);
    assert!(
        hole_ms <= crate::HOLE_MAX_MS,
        "{hole_ms} ms without the holder"
    );

    let done = triage.hand_off("billing").await.unwrap();
    assert_eq!(done.epoch.0, 2, "failures take no epoch");
    caller.hears(BILLING_HZ).await;
    assert_eq!(billing.grants(), [2]);
}
