//! What holds for every run of patches: replay, views, scopes, compare-and-set.

use context::{
    Access, Change, FieldPath, Outcome, Patch, PatchError, PatchLimits, Scopes, SharedState,
    StateVersion, Writer,
};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::{Map, Value};

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(str::to_owned)
}

/// A value of a patch. Few names, so that patches meet.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        3 => (0..5_u8).prop_map(Value::from),
        2 => Just(Value::Null),
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            3 => prop::collection::btree_map(name(), inner.clone(), 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            1 => prop::collection::vec(inner, 0..3).prop_map(Value::Array),
        ]
    })
}

fn patch() -> impl Strategy<Value = Patch> {
    prop::collection::btree_map(name(), value(), 0..4).prop_map(|fields| {
        let json = Value::Object(fields.into_iter().collect()).to_string();
        Patch::parse(json.as_bytes(), &PatchLimits::default()).expect("within the bounds")
    })
}

fn access() -> impl Strategy<Value = Access> {
    prop::sample::select(vec![Access::None, Access::Read, Access::Write])
}

fn scopes() -> impl Strategy<Value = Scopes> {
    let segment = prop::sample::select(vec!["a", "b", "c", "d", "*", "0"]);
    let path = prop::collection::vec(segment, 1..4).prop_map(|segments| segments.join("."));
    (access(), prop::collection::btree_map(path, access(), 0..6)).prop_map(|(default, rules)| {
        let rules = rules
            .into_iter()
            .map(|(path, access)| (path.parse::<FieldPath>().expect("a path"), access));
        Scopes::new(default, rules).expect("no path twice")
    })
}

#[derive(Clone, Debug)]
struct Write {
    writer: usize,
    holder: bool,
    /// How far behind the writer is.
    lag: u64,
    patch: Patch,
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let write =
        (0..3_usize, any::<bool>(), 0..4_u64, patch()).prop_map(|(writer, holder, lag, patch)| {
            Write {
                writer,
                holder,
                lag,
                patch,
            }
        });
    prop::collection::vec(write, 0..25)
}

/// All leaves of a document with their paths; an empty object or array is one.
fn leaves(value: &Value, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, Value)>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, v)| (name.clone(), v)).collect(),
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .map(|(i, v)| (i.to_string(), v))
            .collect(),
        _ => Vec::new(),
    };
    if children.is_empty() {
        found.push((path.clone(), value.clone()));
    }
    for (name, child) in children {
        path.push(name);
        leaves(child, path, found);
        path.pop();
    }
}

fn leaves_of(fields: &Map<String, Value>) -> Vec<(Vec<String>, Value)> {
    let mut found = Vec::new();
    for (name, value) in fields {
        leaves(value, &mut vec![name.clone()], &mut found);
    }
    found
}

/// The paths that a patch deletes. A null within an array is a value.
fn deletions(patch: &Map<String, Value>) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (name, value) in patch {
        match value {
            Value::Null => found.push(vec![name.clone()]),
            Value::Object(inner) => found.extend(deletions(inner).into_iter().map(|mut path| {
                path.insert(0, name.clone());
                path
            })),
            _ => {}
        }
    }
    found
}

fn run(writes: &[Write], scopes: &[Scopes]) -> (SharedState, Vec<Change>, Vec<Map<String, Value>>) {
    let mut state = SharedState::new(PatchLimits::default(), None);
    let mut changes = Vec::new();
    let mut history = vec![Map::new()];
    for write in writes {
        let writer = Writer {
            scopes: &scopes[write.writer],
            holder: write.holder,
        };
        let base = StateVersion(state.version().0.saturating_sub(write.lag));
        match state.apply(writer, base, write.patch.clone()) {
            Ok(Outcome::Changed(change)) => {
                changes.push(change);
                history.push(state.document().clone());
            }
            Ok(Outcome::Unchanged(_)) | Err(_) => {
                assert_eq!(
                    state.document(),
                    &history[history.len() - 1],
                    "a refusal changed it"
                );
            }
        }
    }
    (state, changes, history)
}

fn at<'a>(document: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (last, parents) = path.split_last()?;
    let parent = parents
        .iter()
        .try_fold(document, |fields, name| fields.get(name)?.as_object())?;
    parent.get(last)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/state_properties.seeds"))), ..ProptestConfig::default() })]

    #[test]
    fn replaying_the_journal_gives_the_same_state(
        writes in writes(),
        scopes in prop::collection::vec(scopes(), 3),
        cut in any::<prop::sample::Index>(),
    ) {
        let (state, changes, history) = run(&writes, &scopes);
        let cut = cut.index(changes.len() + 1);
        let limits = PatchLimits::default();
        let mut replayed = SharedState::restore(history[cut].clone(), StateVersion(cut as u64), limits, None)
            .expect("within the bounds");
        for change in &changes[cut..] {
            replayed.replay(change.version(), change.patch()).expect("in order");
        }
        prop_assert_eq!(replayed.document(), state.document());
        prop_assert_eq!(replayed.version(), state.version());
    }

    #[test]
    fn a_reader_that_applies_what_it_is_told_has_its_view(
        writes in writes(),
        scopes in prop::collection::vec(scopes(), 3),
        reader in scopes(),
    ) {
        let (_, changes, history) = run(&writes, &scopes);
        let mut view = Map::new();
        for (change, document) in changes.iter().zip(&history[1..]) {
            if let Some(patch) = change.seen_by(&reader) {
                patch.apply_to(&mut view);
            }
            prop_assert_eq!(&view, &reader.view(document));
        }
    }

    #[test]
    fn no_reader_ever_sees_a_field_out_of_its_scope(
        writes in writes(),
        scopes in prop::collection::vec(scopes(), 3),
        reader in scopes(),
    ) {
        let (state, changes, history) = run(&writes, &scopes);
        let told = changes.iter().filter_map(|change| change.seen_by(&reader));
        let mut shown: Vec<Map<String, Value>> = told.map(|patch| patch.fields().clone()).collect();
        shown.push(state.view(&reader));
        for (path, value) in shown.iter().flat_map(leaves_of) {
            let readable = reader.access(path.iter().map(String::as_str)) >= Access::Read;
            // A null is a deletion, or the place of an element that is not shown: it carries no value.
            if value.is_null() {
                continue;
            }
            prop_assert!(readable, "{path:?} is out of scope");
        }
        for (change, before) in changes.iter().zip(&history) {
            let seen = reader.view(before);
            for path in change.seen_by(&reader).iter().flat_map(|patch| deletions(patch.fields())) {
                prop_assert!(at(&seen, &path).is_some(), "a deletion of {path:?}, which was never seen");
            }
        }
    }

    #[test]
    fn what_is_all_in_scope_is_all_seen(
        writes in writes(),
        reader in scopes(),
    ) {
        let (state, _, _) = run(&writes, &[Scopes::all(), Scopes::all(), Scopes::all()]);
        let view = reader.view(state.document());
        for (path, value) in leaves_of(state.document()) {
            let above = (1..=path.len()).all(|length| {
                reader.access(path[..length].iter().map(String::as_str)) >= Access::Read
            });
            if above {
                let seen = leaves_of(&view);
                prop_assert!(seen.contains(&(path.clone(), value.clone())), "{path:?} is missing");
            }
        }
    }

    #[test]
    fn an_accepted_write_touches_nothing_out_of_scope(
        before in patch(),
        change in patch(),
        scopes in scopes(),
    ) {
        let mut state = SharedState::new(PatchLimits::default(), None);
        let all = Scopes::all();
        let holder = Writer { scopes: &all, holder: true };
        state.apply(holder, StateVersion(0), before).expect("accepted");
        let old = leaves_of(state.document());
        let writer = Writer { scopes: &scopes, holder: true };
        if state.apply(writer, StateVersion(0), change).is_ok() {
            let new = leaves_of(state.document());
            let differs = old.iter().filter(|leaf| !new.contains(leaf)).chain(new.iter().filter(|leaf| !old.contains(leaf)));
            for (path, value) in differs {
                // An empty container comes and goes with what is in it.
                let empty = value.as_object().is_some_and(Map::is_empty);
                prop_assert!(
                    empty || scopes.access(path.iter().map(String::as_str)) == Access::Write,
                    "{path:?} was changed"
                );
            }
        }
    }

    #[test]
    fn a_compare_and_set_never_overwrites_what_it_has_not_seen(
        writes in writes(),
        late in patch(),
        base in any::<prop::sample::Index>(),
    ) {
        let all = [Scopes::all(), Scopes::all(), Scopes::all()];
        let (mut state, _, history) = run(&writes, &all);
        let base = base.index(history.len());
        let (then, now) = (&history[base], history[history.len() - 1].clone());
        let writer = Writer { scopes: &all[0], holder: false };
        match state.apply(writer, StateVersion(base as u64), late.clone()) {
            Ok(_) => {
                for (path, _) in leaves_of(late.fields()) {
                    let path = if at(&now, &path).is_some() || at(then, &path).is_some() { path } else { continue };
                    if at(&now, &path).is_some_and(Value::is_object) && at(late.fields(), &path).is_some_and(Value::is_object) {
                        continue;
                    }
                    prop_assert_eq!(at(&now, &path), at(then, &path), "{:?} was overwritten", path);
                }
            }
            Err(error) => {
                let conflict = matches!(error, PatchError::Conflict { .. });
                prop_assert!(conflict && base + 1 < history.len(), "{:?}", error);
            }
        }
    }
}
