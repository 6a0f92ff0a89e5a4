use call::{CallConfig, Plan};

use crate::{
    config::parse,
    graph::{ARROWS_MAX, Format, TooLarge, draw},
};

const BANK: &str = r#"entry: triage
specialists:
  triage: {lifetime: resident, after_handoff: stay}
  accounts: {after_handoff: leave}
  payments: {park_ms: 1500}
  complaints:
  night-desk:
  old-desk:
routes:
  - {from: triage, to: [accounts, payments], opening: greet}
  - {from: triage, to: accounts, opening: wait}
  - {from: accounts, to: payments, splice: now, fade_ms: 0}
  - {from: payments, to: accounts, opening: "say:\"Done\" & <b>over</b>: # `x` \\ and more words than fit"}
  - {from: "*", to: complaints, opening: wait}
fallbacks: [another_instance, previous, night-desk, entry]
"#;
const FORMATS: [Format; 3] = [Format::Mermaid, Format::Svg, Format::Dot];

fn call(text: &str) -> CallConfig {
    parse("test.yaml", text)
        .unwrap_or_else(|report| panic!("refused:\n{report}"))
        .config
        .call
}

fn plan(call: CallConfig) -> Plan {
    Plan::new(call).expect("it was checked")
}

fn drawn(text: &str, format: Format) -> String {
    draw(&plan(call(text)), format).expect("it is small")
}

#[test]
fn a_graph_in_mermaid() {
    insta::assert_snapshot!(drawn(BANK, Format::Mermaid));
}

#[test]
fn a_graph_for_graphviz() {
    insta::assert_snapshot!(drawn(BANK, Format::Dot));
}

#[test]
fn a_graph_as_a_picture() {
    let shipped = include_str!("../../../config/baton.yaml");
    insta::assert_snapshot!(drawn(shipped, Format::Svg));
}

#[test]
fn an_address_to_which_calls_leave_is_drawn_as_such() {
    let text = "entry: triage
specialists: {triage: , branch: {kind: sip, transfer_to: 'tel:+15550177'}}
routes: [{from: triage, to: branch}]
";
    let drawing = drawn(text, Format::Mermaid);
    insta::assert_snapshot!(drawing);
    for format in FORMATS {
        let drawing = drawn(text, format);
        assert!(drawing.contains("branch") && !drawing.contains("15550177"));
    }
}

#[test]
fn only_the_first_route_of_a_pair_is_drawn() {
    for format in FORMATS {
        let drawing = drawn(BANK, format);
        assert_eq!(drawing.matches("routes[0]").count(), 2, "{drawing}");
        assert_eq!(drawing.matches("routes[1]").count(), 0, "{drawing}");
    }
}

#[test]
fn who_takes_a_call_by_which_rule_is_drawn() {
    let file = "entry: a\nspecialists: {a: , b: , c: }\nentry_rules:\n\
                - {when: caller.called == '+15550177', to: b}\n- {share_percent: 10, to: c}\n";
    for format in FORMATS {
        let drawing = drawn(file, format);
        for label in [
            "entry_rules[0]",
            "+15550177",
            "10 of 100",
            "every other call",
        ] {
            assert_eq!(drawing.matches(label).count(), 1, "{label} in {drawing}");
        }
        assert!(!drawing.contains("no route leads here"), "{drawing}");
        let without = "entry: a\nspecialists: {a: }\n";
        assert!(!drawn(without, format).contains("every other call"));
    }
    let long = format!(
        "entry: a\nspecialists: {{a: , b: }}\nentry_rules: [{{when: \"'{}' == caller.called\", to: b}}]\n",
        "x".repeat(80)
    );
    let drawing = drawn(&long, Format::Mermaid);
    assert!(
        drawing.contains("xxx…") && !drawing.contains("caller.called"),
        "{drawing}"
    );
}

#[test]
fn handing_back_is_drawn_where_no_route_leads_back() {
    let file = "entry: a\nspecialists: {a: , b: , c: }\nroutes: [{from: a, to: [b, c]}, {from: b, to: a}]\n";
    for format in FORMATS {
        assert_eq!(drawn(file, format).matches("hand back").count(), 1);
        let off = format!("{file}hand_back: false\n");
        assert_eq!(drawn(&off, format).matches("hand back").count(), 0);
    }
}

#[test]
fn the_end_of_the_fallbacks_is_what_the_limits_say() {
    let file = "entry: a\nspecialists: {a: }\n";
    for (more, end) in [
        ("", "again after 2 s, 2 x at most; then the call ends"),
        ("limits: {hold_rounds_max: 0}\n", "the call ends"),
        ("fallbacks: []\n", "the call ends after 4 s"),
    ] {
        let drawing = drawn(&format!("{file}{more}"), Format::Dot);
        assert!(drawing.contains(&format!("[label=\"{end}\"]")), "{drawing}");
    }
}

#[test]
fn what_was_written_in_an_opening_is_no_markup() {
    let svg = drawn(BANK, Format::Svg);
    assert!(
        svg.contains("say &quot;&quot;Done&quot; &amp; &lt;b&gt;over"),
        "{svg}"
    );
    let mermaid = drawn(BANK, Format::Mermaid);
    assert!(!mermaid.contains("<b>over"), "{mermaid}");
    let dot = drawn(BANK, Format::Dot);
    assert!(dot.contains(r#"say \"\"Done\" & <b>over"#), "{dot}");
}

#[test]
fn the_picture_needs_nothing_else() {
    let svg = drawn(BANK, Format::Svg);
    let addresses = svg.matches("http").count();
    assert_eq!(addresses, 1, "only the name of the format is an address");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

#[test]
fn more_arrows_than_anybody_reads_are_refused() {
    let mut call = call("entry: a\nspecialists: {a: }\n");
    let specialist = call
        .specialists
        .values()
        .next()
        .expect("there is one")
        .clone();
    let names: Vec<_> = (0..200)
        .map(|number| call::SpecialistName::from(format!("s{number}")))
        .collect();
    for name in &names {
        call.specialists.insert(name.clone(), specialist.clone());
    }
    call.routes[0].from = call::Names::Only(names.clone());
    call.routes[0].to = call::Names::Only(names[..20].to_vec());
    call.hand_back = false;
    assert!(200 * 20 < ARROWS_MAX && draw(&plan(call.clone()), Format::Svg).is_ok());
    call.routes[0].to = call::Names::Only(names);
    for format in FORMATS {
        assert_eq!(draw(&plan(call.clone()), format), Err(TooLarge));
    }
}
