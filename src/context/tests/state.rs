//! The shared state: versions, scopes, bounds and the schema.

use context::{
    Access, FieldPath, Outcome, ParseError, Patch, PatchError, PatchLimits, ReplayError,
    SharedState, StateSchema, StateVersion, Writer,
};
use serde_json::{Map, Value, json};

fn scopes(default: Access, rules: &[(&str, Access)]) -> context::Scopes {
    let rules = rules
        .iter()
        .map(|(path, access)| (path.parse::<FieldPath>().expect("a path"), *access));
    context::Scopes::new(default, rules).expect("no path twice")
}

fn patch(value: Value) -> Patch {
    Patch::parse(value.to_string().as_bytes(), &PatchLimits::default()).expect("a patch")
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => panic!("no object: {other}"),
    }
}

/// A state that holds this.
fn state_of(value: Value) -> SharedState {
    let mut state = SharedState::new(PatchLimits::default(), None);
    hold(&mut state, value);
    state
}

/// The holder, who may do everything, writes.
fn hold(state: &mut SharedState, value: Value) -> Outcome {
    let all = context::Scopes::all();
    let writer = Writer {
        scopes: &all,
        holder: true,
    };
    let base = StateVersion(0);
    state.apply(writer, base, patch(value)).expect("accepted")
}

fn write(
    state: &mut SharedState,
    scopes: &context::Scopes,
    base: u64,
    value: Value,
) -> Result<Outcome, PatchError> {
    let writer = Writer {
        scopes,
        holder: false,
    };
    state.apply(writer, StateVersion(base), patch(value))
}

fn change(outcome: Outcome) -> context::Change {
    match outcome {
        Outcome::Changed(change) => change,
        Outcome::Unchanged(version) => panic!("unchanged at {version}"),
    }
}

#[test]
fn the_examples_of_rfc_7396_come_out_as_printed() {
    let examples = [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (
            json!({"a": "b"}),
            json!({"b": "c"}),
            json!({"a": "b", "b": "c"}),
        ),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (
            json!({"a": "b", "b": "c"}),
            json!({"a": null}),
            json!({"b": "c"}),
        ),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        ),
        (
            json!({"a": [{"b": "c"}]}),
            json!({"a": [1]}),
            json!({"a": [1]}),
        ),
        (
            json!({"e": null}),
            json!({"a": 1}),
            json!({"e": null, "a": 1}),
        ),
        (
            json!({}),
            json!({"a": {"bb": {"ccc": null}}}),
            json!({"a": {"bb": {}}}),
        ),
    ];
    for (target, change, result) in examples {
        let mut document = object(target);
        patch(change.clone()).apply_to(&mut document);
        assert_eq!(Value::Object(document), result, "after {change}");
    }
}

#[test]
fn a_patch_that_changes_nothing_makes_no_version() {
    let mut state = state_of(json!({"name": "Ann"}));
    assert_eq!(
        hold(&mut state, json!({"name": "Ann", "age": null})),
        Outcome::Unchanged(StateVersion(1))
    );
    assert_eq!(state.version(), StateVersion(1));
}

#[test]
fn the_holder_writes_against_an_old_version_and_nobody_else() {
    let mut state = state_of(json!({"order": {"size": 1}}));
    hold(&mut state, json!({"order": {"size": 2}}));
    let all = context::Scopes::all();

    let conflict = write(&mut state, &all, 1, json!({"order": {"size": 3}}));
    assert_eq!(
        conflict,
        Err(PatchError::Conflict {
            base: StateVersion(1),
            version: StateVersion(2),
            current: object(json!({"order": {"size": 2}})),
        })
    );
    assert!(write(&mut state, &all, 2, json!({"order": {"size": 3}})).is_ok());
    assert_eq!(
        change(hold(&mut state, json!({"order": {"size": 4}}))).version(),
        StateVersion(4)
    );
}

#[test]
fn changes_elsewhere_are_no_conflict() {
    let mut state = state_of(json!({"order": {"size": 1}, "name": "Ann"}));
    hold(
        &mut state,
        json!({"name": "Bea", "order": {"color": "red"}}),
    );
    let all = context::Scopes::all();
    assert!(write(&mut state, &all, 1, json!({"order": {"size": 2}})).is_ok());
}

#[test]
fn a_deleted_field_and_a_replaced_parent_are_conflicts() {
    let all = context::Scopes::all();
    let mut state = state_of(json!({"order": {"size": 1}}));
    hold(&mut state, json!({"order": {"size": null}}));
    assert!(write(&mut state, &all, 1, json!({"order": {"size": 2}})).is_err());

    let mut state = state_of(json!({"order": {"size": 1}}));
    hold(&mut state, json!({"order": "none"}));
    hold(&mut state, json!({"order": {"price": 1}}));
    assert!(write(&mut state, &all, 1, json!({"order": {"size": 2}})).is_err());

    let mut state = state_of(json!({"order": {"size": 1}}));
    hold(&mut state, json!({"order": {"size": 2}}));
    assert!(write(&mut state, &all, 1, json!({"order": null})).is_err());
}

#[test]
fn a_version_to_come_is_refused() {
    let mut state = state_of(json!({"a": 1}));
    assert_eq!(
        write(&mut state, &context::Scopes::all(), 9, json!({"a": 2})),
        Err(PatchError::AheadOfState {
            base: StateVersion(9),
            version: StateVersion(1)
        })
    );
}

#[test]
fn card_data_never_leaves_payments() {
    let sales = scopes(
        Access::Write,
        &[("payment", Access::None), ("payment.status", Access::Read)],
    );
    let payments = context::Scopes::all();
    let mut state =
        state_of(json!({"payment": {"card": {"number": "4111"}, "status": "open"}, "name": "Ann"}));

    assert_eq!(
        Value::Object(state.view(&sales)),
        json!({"payment": {"status": "open"}, "name": "Ann"})
    );
    let hidden = change(hold(
        &mut state,
        json!({"payment": {"card": {"number": "4222"}}}),
    ));
    assert_eq!(hidden.seen_by(&sales), None);
    assert_eq!(
        hidden.seen_by(&payments),
        Some(patch(json!({"payment": {"card": {"number": "4222"}}})))
    );
    let mixed = change(hold(
        &mut state,
        json!({"payment": {"card": null, "status": "paid"}}),
    ));
    assert_eq!(
        mixed.seen_by(&sales),
        Some(patch(json!({"payment": {"status": "paid"}})))
    );

    hold(
        &mut state,
        json!({"name": "Bea", "payment": {"card": {"number": "4333"}}}),
    );
    let conflict = write(&mut state, &sales, 1, json!({"name": "Cid"}));
    let Err(PatchError::Conflict { current, .. }) = conflict else {
        panic!("no conflict: {conflict:?}");
    };
    assert_eq!(
        Value::Object(current),
        json!({"payment": {"status": "paid"}, "name": "Bea"})
    );
}

#[test]
fn a_parent_that_loses_its_visible_part_is_told_as_that() {
    let reader = scopes(Access::None, &[("order.size", Access::Read)]);
    let mut state = state_of(json!({"order": {"size": 1, "secret": 2}}));
    let replaced = change(hold(&mut state, json!({"order": "gone"})));
    assert_eq!(
        replaced.seen_by(&reader),
        Some(patch(json!({"order": null})))
    );
}

#[test]
fn what_is_out_of_scope_is_neither_written_nor_deleted_nor_replaced() {
    let sales = scopes(
        Access::Write,
        &[
            ("payment.*", Access::None),
            ("payment.status", Access::Write),
            ("name", Access::Read),
        ],
    );
    let mut state = state_of(json!({"payment": {"card": "4111", "status": "open"}, "name": "Ann"}));
    for (value, path) in [
        (json!({"name": "Bea"}), "/name"),
        (json!({"payment": {"card": "1"}}), "/payment/card"),
        (
            json!({"payment": {"status": "x", "card": null}}),
            "/payment/card",
        ),
        (json!({"payment": null}), "/payment"),
        (json!({"payment": []}), "/payment"),
        (
            json!({"payment": {"new": {"deep": 1}}}),
            "/payment/new/deep",
        ),
    ] {
        let denied = write(&mut state, &sales, 1, value.clone());
        assert_eq!(
            denied,
            Err(PatchError::Denied { path: path.into() }),
            "for {value}"
        );
    }
    assert!(
        write(
            &mut state,
            &sales,
            1,
            json!({"payment": {"status": "paid"}, "note": {"a": 1}})
        )
        .is_ok()
    );
}

#[test]
fn a_refusal_does_not_tell_whether_the_hidden_field_exists() {
    let sales = scopes(Access::Write, &[("payment.card", Access::None)]);
    let mut with = state_of(json!({"payment": {"card": "4111"}}));
    let mut without = state_of(json!({"payment": {"status": "open"}}));
    let value = json!({"payment": null});
    assert_eq!(
        write(&mut with, &sales, 1, value.clone()),
        write(&mut without, &sales, 1, value)
    );
}

#[test]
fn elements_of_an_array_are_filtered_in_their_places() {
    let reader = scopes(
        Access::None,
        &[
            ("cards.*.last4", Access::Read),
            ("list", Access::Read),
            ("list.1", Access::None),
        ],
    );
    let state =
        state_of(json!({"cards": [{"number": "4111", "last4": "1111"}, "x"], "list": [1, 2, 3]}));
    assert_eq!(
        Value::Object(state.view(&reader)),
        json!({"cards": [{"last4": "1111"}, null], "list": [1, null, 3]})
    );
}

#[test]
fn the_longest_rule_decides_and_a_name_beats_a_star() {
    let rules = scopes(
        Access::None,
        &[
            ("a.*", Access::Read),
            ("a.b", Access::Write),
            ("*.b.c", Access::None),
            ("/x~1y/z", Access::Read),
        ],
    );
    assert_eq!(rules.access(["a", "q"]), Access::Read);
    assert_eq!(rules.access(["a", "b"]), Access::Write);
    assert_eq!(rules.access(["a", "b", "c", "d"]), Access::None);
    assert_eq!(rules.access(["x/y", "z"]), Access::Read);
    assert_eq!(rules.access([]), Access::None);
}

#[test]
fn bad_paths_and_double_rules_are_refused() {
    assert!("a..b".parse::<FieldPath>().is_err());
    assert!("/a~2".parse::<FieldPath>().is_err());
    assert!(vec!["a"; 65].join(".").parse::<FieldPath>().is_err());
    let path: FieldPath = "a.b".parse().expect("a path");
    let twice = [(path.clone(), Access::Read), (path, Access::None)];
    assert!(context::Scopes::new(Access::None, twice).is_err());
}

#[test]
fn bounds_hold_and_leave_the_state_as_it_was() {
    let limits = PatchLimits {
        patch_bytes_max: 100,
        depth_max: 2,
        document_bytes_max: 60,
    };
    let long = format!("{{\"a\": \"{}\"}}", "x".repeat(100));
    assert!(matches!(
        Patch::parse(long.as_bytes(), &limits),
        Err(ParseError::TooLarge {
            bytes: 109,
            max: 100
        })
    ));
    assert!(matches!(
        Patch::parse(b"[1]", &limits),
        Err(ParseError::NoObject)
    ));
    assert!(matches!(
        Patch::parse(b"{", &limits),
        Err(ParseError::NoJson(_))
    ));
    assert!(Patch::parse(br#"{"a": {"b": 1}}"#, &limits).is_ok());
    assert!(matches!(
        Patch::parse(br#"{"a": {"b": {}}, "c": 1}"#, &limits),
        Err(ParseError::TooDeep { max: 2 })
    ));

    let mut state = SharedState::new(limits, None);
    let all = context::Scopes::all();
    let writer = Writer {
        scopes: &all,
        holder: true,
    };
    let text = "x".repeat(30);
    for turn in 0..40 {
        // Replacing a field costs nothing: the bound is on what is there.
        let patch = patch(json!({"a": format!("{text}{}", turn % 10)}));
        state
            .apply(writer, StateVersion(0), patch)
            .expect("it fits");
    }
    let refused = state.apply(writer, StateVersion(0), patch(json!({"b": text})));
    assert!(
        matches!(refused, Err(PatchError::TooLarge { max: 60, .. })),
        "{refused:?}"
    );
    assert_eq!(state.document().len(), 1);
}

#[test]
fn the_schema_names_path_and_reason_and_no_value() {
    let schema = StateSchema::new(&json!({
        "properties": {"age": {"type": "integer"}, "card": {"type": "string"}},
        "if": {"properties": {"paid": {"const": true}}, "required": ["paid"]},
        "then": {"properties": {"card": {"pattern": "^4"}}}
    }))
    .expect("a schema");
    let mut state = SharedState::new(PatchLimits::default(), Some(schema));
    hold(&mut state, json!({"card": "5555", "age": 3}));

    let all = context::Scopes::all();
    let Err(PatchError::Invalid(wrong)) = write(&mut state, &all, 1, json!({"age": "hush"})) else {
        panic!("accepted");
    };
    assert_eq!(wrong.path, "/age");
    assert!(
        wrong.reason.contains("integer") && !wrong.reason.contains("hush"),
        "{wrong:?}"
    );

    let sales = scopes(Access::Write, &[("card", Access::None)]);
    let Err(PatchError::Invalid(wrong)) = write(&mut state, &sales, 1, json!({"paid": true}))
    else {
        panic!("accepted");
    };
    assert_eq!(wrong.path, "");
    assert!(
        !wrong.reason.contains("555") && !wrong.reason.contains('^'),
        "{wrong:?}"
    );
    assert_eq!(state.version(), StateVersion(1));
}

#[test]
fn a_wrong_schema_is_refused_with_its_path() {
    let error =
        StateSchema::new(&json!({"properties": {"a": {"type": 5}}})).expect_err("no schema");
    assert_eq!(error.path, "/properties/a/type");
    assert!(StateSchema::new(&json!({"pattern": "(a)\\1"})).is_err());
    assert!(StateSchema::new(&json!({"$ref": "https://example.com/schema.json"})).is_err());
}

#[test]
fn a_snapshot_takes_up_where_it_was_and_is_careful_with_older_versions() {
    let state = state_of(json!({"a": 1}));
    let limits = PatchLimits::default();
    let mut restored =
        SharedState::restore(state.document().clone(), StateVersion(7), limits, None)
            .expect("within the bounds");
    let all = context::Scopes::all();
    assert!(write(&mut restored, &all, 6, json!({"a": 2})).is_err());
    assert!(write(&mut restored, &all, 7, json!({"a": 2})).is_ok());
    assert_eq!(
        restored.replay(StateVersion(10), &patch(json!({"a": 3}))),
        Err(ReplayError::OutOfOrder {
            version: StateVersion(8),
            found: StateVersion(10)
        })
    );
    let small = PatchLimits {
        document_bytes_max: 4,
        ..limits
    };
    assert!(SharedState::restore(state.document().clone(), StateVersion(1), small, None).is_err());
}

#[test]
fn values_are_not_in_the_debug_output() {
    let mut state = state_of(json!({"name": "Ann"}));
    let changed = change(hold(&mut state, json!({"name": "Bea"})));
    let conflict = write(
        &mut state,
        &context::Scopes::all(),
        1,
        json!({"name": "Cid"}),
    );
    let shown = format!("{state:?} {changed:?} {conflict:?}");
    assert!(
        shown.contains("name") && shown.contains("version 2"),
        "{shown}"
    );
    assert!(
        !shown.contains("Ann") && !shown.contains("Bea") && !shown.contains("Cid"),
        "{shown}"
    );
}

#[test]
fn a_call_of_120_fields_takes_5000_patches_and_a_reader_of_half_follows() {
    let fields: Map<String, Value> = (0..120)
        .map(|n| (format!("field_{n}"), json!({"value": 0, "secret": 0})))
        .collect();
    let mut state = state_of(Value::Object(fields));
    let reader = scopes(Access::Read, &[("*.secret", Access::None)]);
    let mut view = state.view(&reader);
    for turn in 1..=5_000_u32 {
        let part = if turn % 2 == 0 { "value" } else { "secret" };
        let name = format!("field_{}", turn % 120);
        let changed = change(hold(&mut state, json!({name: {part: turn}})));
        let seen = changed.seen_by(&reader);
        assert_eq!(seen.is_some(), turn % 2 == 0);
        if let Some(patch) = seen {
            patch.apply_to(&mut view);
        }
    }
    assert_eq!(state.version(), StateVersion(5_001));
    assert_eq!(view, state.view(&reader));
}
