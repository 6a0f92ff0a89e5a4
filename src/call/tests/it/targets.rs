use call::{DESCRIPTION_BYTES_MAX, Names, Plan, Route, SpecialistName, TARGETS_MAX};

use crate::harness::config;

fn told(config: call::CallConfig, from: &str) -> Vec<(String, String)> {
    let plan = Plan::new(config).expect("the test's configuration is valid");
    let named = plan.targets(&from.into()).named.into_iter();
    named
        .map(|target| (target.name.to_string(), target.description))
        .collect()
}

fn route(from: &str, to: &[&str], description: Option<&str>) -> Route {
    Route {
        from: Names::Only(vec![from.into()]),
        to: Names::Only(to.iter().map(|to| SpecialistName::from(*to)).collect()),
        description: description.map(str::to_owned),
        ..Route::default()
    }
}

#[test]
fn a_specialist_is_told_where_routes_lead_in_their_order_each_once() {
    let mut config = config();
    let billing = config.specialists.get_mut(&SpecialistName::from("billing"));
    billing.expect("it is there").description = Some("Invoices".to_owned());
    config.routes = vec![
        route("billing", &["triage"], None),
        route("triage", &["support"], Some("when something is broken")),
        route("triage", &["billing", "support", "triage"], None),
    ];
    let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    assert_eq!(
        told(config.clone(), "triage"),
        [
            pair("support", "when something is broken"),
            pair("billing", "Invoices"),
        ]
    );
    assert_eq!(told(config.clone(), "billing"), [pair("triage", "")]);
    assert_eq!(told(config, "support"), []);
}

#[test]
fn whether_it_may_hand_back_is_told_too() {
    for hand_back in [true, false] {
        let config = call::CallConfig {
            hand_back,
            ..config()
        };
        let plan = Plan::new(config).expect("the test's configuration is valid");
        assert_eq!(plan.targets(&"triage".into()).previous, hand_back);
    }
}

#[test]
fn long_lists_and_descriptions_are_cut() {
    let mut config = config();
    let (_, one) = config
        .specialists
        .first_key_value()
        .expect("there are some");
    let mut one = one.clone();
    one.description = Some("\u{e9}".repeat(1_000));
    for number in 0..100 {
        let name = SpecialistName::from(format!("a{number:03}"));
        config.specialists.insert(name, one.clone());
    }
    let told = told(config, "triage");
    assert_eq!(told.len(), TARGETS_MAX);
    assert_eq!(told[0].1.len(), DESCRIPTION_BYTES_MAX);
}
