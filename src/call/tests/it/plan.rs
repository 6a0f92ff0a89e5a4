//! What is wrong with a configuration is said in one sentence.

use call::{CallConfig, ConfigError, Fallback, Names, Plan, Rest, Route, Splice};

use crate::harness::config;

fn error(change: impl FnOnce(&mut CallConfig)) -> ConfigError {
    let mut config = config();
    change(&mut config);
    Plan::new(config).expect_err("the configuration is wrong")
}

#[test]
fn a_wrong_configuration_is_refused_with_a_reason() {
    let lines = [
        error(|config| config.entry = "trage".into()),
        error(|config| config.routes[0].to = Names::Only(vec!["nobody".into()])),
        error(|config| config.fallbacks.push(Fallback::Specialist("suport".into()))),
        error(|config| config.routes[0].fade_ms = 2_001),
        error(|config| {
            config.routes[0].splice = Splice::EndOfUtterance {
                max_wait_ms: 0,
                rest: Rest::Finish,
            };
        }),
        error(|config| config.timers.hold_ms = u64::MAX),
        error(|config| config.limits.instances_max = 1),
        error(|config| config.routes = vec![Route::default(); 20_000]),
    ];
    insta::assert_snapshot!(lines.map(|line| line.to_string()).join("\n"), @r#"
    entry specialist "trage" is not defined, did you mean "triage"
    route 0 names specialist "nobody", which is not defined
    fallback 3 names specialist "suport", which is not defined, did you mean "support"
    route 0 has a fade of 2001 ms, more than 2000 ms
    max_wait_ms is 0 ms, outside 1 to 86400000 ms
    hold_ms is 18446744073709551615 ms, outside 1 to 86400000 ms
    instances_max is 1, less than 2
    20000 routes are more than 16384
    "#);
}
