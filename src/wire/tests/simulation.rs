//! Runs of the simulator. `cargo xtask sim wire --seeds N` makes many more; a seed that failed there is kept in
//! `seeds.txt` and is run here ever after.

use std::time::Duration;

use crate::simulator::{Weather, kept, run};

const BAD: Weather = Weather {
    loss_percent: 30,
    repeat_percent: 20,
    garbage_percent: 3,
    delay_ms_max: 400,
    breaks: 3,
    bodies: 150,
    large_percent: 0,
    large_bytes_max: 15_000,
    newer: false,
};
const FAIR: Weather = Weather {
    loss_percent: 0,
    repeat_percent: 0,
    garbage_percent: 0,
    delay_ms_max: 1,
    breaks: 0,
    bodies: 1_000,
    large_percent: 0,
    large_bytes_max: 15_000,
    newer: false,
};

fn passes(seed: u64, weather: Weather) -> Duration {
    run(seed, weather).unwrap_or_else(|error| panic!("seed {seed} in {weather:?}: {error}"))
}

#[test]
fn everything_arrives_once_and_in_order_in_any_weather() {
    for seed in 1_000..1_100 {
        passes(seed, BAD);
    }
}

#[test]
fn seeds_of_the_runner_arrive_as_well() {
    for seed in (0..40).chain(kept()) {
        passes(seed, Weather::of(seed));
    }
}

#[test]
fn fair_weather_needs_no_resending() {
    let took = passes(7, FAIR);
    assert!(took < Duration::from_millis(200), "{took:?}");
}

#[test]
fn a_large_body_in_fair_weather_needs_no_resending() {
    let large = Weather {
        bodies: 1,
        large_percent: 100,
        large_bytes_max: 2_000_000,
        ..FAIR
    };
    let took = passes(3, large);
    assert!(took < Duration::from_millis(200), "{took:?}");
}

#[test]
fn a_newer_minor_version_is_understood_in_any_weather() {
    for seed in 0..20 {
        let newer = Weather {
            newer: true,
            large_percent: 2,
            large_bytes_max: 60_000,
            ..BAD
        };
        passes(seed, newer);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn everything_arrives(
        seed in proptest::num::u64::ANY,
        loss_percent in 0u64..60,
        repeat_percent in 0u64..60,
        garbage_percent in 0u64..10,
        delay_ms_max in 1u64..1_500,
        breaks in 0u64..4,
        bodies in 1u64..90,
    ) {
        passes(seed >> 8, Weather { loss_percent, repeat_percent, garbage_percent, delay_ms_max, breaks, bodies, ..BAD });
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
    #[test]
    fn large_bodies_arrive(
        seed in proptest::num::u64::ANY,
        loss_percent in 0u64..50,
        repeat_percent in 0u64..50,
        garbage_percent in 0u64..10,
        delay_ms_max in 1u64..800,
        breaks in 0u64..3,
        bodies in 1u64..8,
        large_percent in 10u64..100,
        large_bytes_max in 15_000u64..200_000,
        newer in proptest::bool::ANY,
    ) {
        passes(seed >> 8, Weather { loss_percent, repeat_percent, garbage_percent, delay_ms_max, breaks, bodies, large_percent, large_bytes_max, newer });
    }
}
