//! The load that is reported and the delays between attempts, which need no server.

use std::time::Duration;

use worker::{Backoff, TARGET_LOAD, reported_load, unscaled_load};

#[test]
fn load_stays_below_the_target_until_the_last_slot_is_taken() {
    for max_jobs in [1_u32, 2, 3, 7, 20, 1_000, 99_999, 100_000] {
        for active in [0, 1, max_jobs / 2, max_jobs - 1] {
            if active < max_jobs {
                let load = reported_load(active, max_jobs);
                assert!(load < TARGET_LOAD, "{active} of {max_jobs} gives {load}");
            }
        }
        assert_eq!(reported_load(max_jobs, max_jobs), TARGET_LOAD);
        assert_eq!(unscaled_load(max_jobs, max_jobs), 1.0);
    }
}

#[test]
fn load_is_the_share_of_slots_that_is_taken() {
    assert_eq!(reported_load(0, 10), 0.0);
    assert!((reported_load(5, 10) - 0.35).abs() < 1e-6);
    assert!((unscaled_load(5, 10) - 0.5).abs() < 1e-6);
    // More jobs than slots cannot be, and would not be reported as more.
    assert_eq!(reported_load(11, 10), TARGET_LOAD);
    assert_eq!(unscaled_load(11, 10), 1.0);
}

#[test]
fn delays_double_up_to_their_maximum_and_start_again() {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
    let delays: Vec<u128> = (0..6)
        .map(|_| backoff.next_delay(1.0).as_millis())
        .collect();
    assert_eq!(delays, [100, 200, 400, 800, 1_000, 1_000]);
    for _ in 0..100 {
        assert_eq!(backoff.next_delay(1.0), Duration::from_secs(1));
    }
    backoff.reset();
    assert_eq!(backoff.next_delay(1.0), Duration::from_millis(100));
}

#[test]
fn jitter_takes_away_at_most_half_of_a_delay() {
    let fresh = || Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
    assert_eq!(fresh().next_delay(0.0), Duration::from_millis(50));
    assert_eq!(fresh().next_delay(0.5), Duration::from_millis(75));
    assert_eq!(fresh().next_delay(-3.0), Duration::from_millis(50));
    assert_eq!(fresh().next_delay(9.0), Duration::from_millis(100));
}
