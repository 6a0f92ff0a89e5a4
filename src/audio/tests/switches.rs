//! Many switches in virtual time, in short; `cargo xtask sim audio` runs more of them.

mod simulator;

use simulator::{Faults, Tally, run};

#[test]
fn no_switch_breaks_the_track_whatever_arrives() {
    let mut all = Tally::default();
    // The last one: the first voice of all was waited for, and the track with it.
    for seed in [0, 1, 2, 3, 252] {
        let tally = run(seed, 100, Faults::default());
        assert!(tally.is_clean(), "seed {seed}: {tally:?}");
        all.add(&tally);
    }
    assert!(all.slots > 3_000, "{all:?}");
    assert!(all.whole_fades > 50 && all.matched > 20, "{all:?}");
    assert!(all.taken_over > 100 && all.given_back > 100, "{all:?}");
}

#[test]
fn slots_that_are_not_filled_are_found_out() {
    let faults = Faults {
        slots_unfilled: true,
        ..Faults::default()
    };
    assert!(run(1, 100, faults).breaks > 0);
}
