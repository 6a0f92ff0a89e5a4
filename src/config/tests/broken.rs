use std::{fmt::Write, fs, path::Path};

use proptest::prelude::*;

use crate::{FILE_BYTES_MAX, load, parse};

#[test]
fn every_broken_file_has_its_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/config/broken");
    let listed = fs::read_dir(&folder).expect("the folder is there");
    let mut files: Vec<_> = listed
        .map(|file| file.expect("it is listed").path())
        .collect();
    files.sort();
    assert!(files.len() >= 60, "only {} broken files", files.len());
    let mut messages = String::new();
    for file in files {
        let name = file
            .file_name()
            .expect("a listed file has a name")
            .to_string_lossy()
            .into_owned();
        let report = match load(&file) {
            Ok(loaded) => panic!("{name} was accepted:\n{}", loaded.report),
            Err(report) => report
                .to_string()
                .replace(&format!("{}/", folder.display()), ""),
        };
        assert!(!report.is_empty(), "{name} was refused without a word");
        writeln!(messages, "# {name}\n{report}").expect("a string takes any text");
    }
    insta::assert_snapshot!(messages);
}

/// Loads a folder with these files and returns the refusal, without the folder's name.
fn refused_folder(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("it is writable");
    }
    let report = load(folder.path())
        .expect_err("the folder is broken")
        .to_string();
    let folder = folder.path().display().to_string();
    report
        .replace(&format!("{folder}/"), "")
        .replace(&folder, "FOLDER")
}

#[test]
fn an_option_in_two_files_of_a_folder_is_refused() {
    let files = [
        (
            "a.yaml",
            "entry: triage\nspecialists:\n  triage:\ntimers: {hold_ms: 5}\nroutes: []\n",
        ),
        (
            "b.yaml",
            "specialists:\n  triage:\ntimers: {hold_ms: 6}\nroutes: []\n",
        ),
    ];
    insta::assert_snapshot!(refused_folder(&files), @r#"
    b.yaml:2:3: error: specialists.triage: given twice
        the first is at a.yaml:3:3
    b.yaml:3:10: error: timers.hold_ms: given twice
        the first is at a.yaml:4:10
    b.yaml:4:1: error: routes: given twice
        the first is at a.yaml:5:1
    "#);
}

#[test]
fn errors_of_all_files_of_a_folder_are_reported_at_once() {
    let files = [
        ("a.yaml", "entry: [\n"),
        ("b.yaml", "specialists: {}\n"),
        ("c.yaml", "timers: {hold: 1}\n"),
    ];
    insta::assert_snapshot!(refused_folder(&files), @r#"
    a.yaml:2:1: error: not valid YAML: while parsing a node, did not find expected node content
    b.yaml:1:14: error: specialists: it is empty
        define at least one, as `specialists: {triage: {agent_name: triage-agent}}`
    c.yaml:1:10: error: timers.hold: unknown option
        did you mean `hold_ms`? allowed here: caller_join_timeout_ms, caller_listen_timeout_ms, caller_return_ms, join_timeout_ms, hello_timeout_ms, ready_timeout_ms, tail_timeout_ms, switch_timeout_ms, fade_slack_ms, revoke_timeout_ms, leave_timeout_ms, specialist_return_ms, holder_quiet_ms, holder_answer_ms, hold_ms, held_max_ms, delegation_timeout_ms
    "#);
}

#[test]
fn a_folder_without_yaml_files_is_refused() {
    insta::assert_snapshot!(refused_folder(&[("readme.md", "nothing here")]), @r#"
    error: the folder `FOLDER` holds no *.yaml file
        subfolders are not read
    "#);
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    let report = load(Path::new("/nowhere/baton.yaml")).expect_err("there is no such file");
    insta::assert_snapshot!(report, @r#"
    error: cannot read `/nowhere/baton.yaml`: No such file or directory (os error 2)
        name the file with --config FILE or in BATON_CONFIG
    "#);
}

#[test]
fn a_file_that_is_too_large_is_refused_unread() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("huge.yaml");
    let length = usize::try_from(FILE_BYTES_MAX).expect("it fits") + 1;
    fs::write(&file, vec![b'#'; length]).expect("it is writable");
    let report = load(&file).expect_err("the file is too large").to_string();
    insta::assert_snapshot!(report.replace(&file.display().to_string(), "FILE"), @"error: cannot read `FILE`: it has more than 4194304 bytes");
}

#[test]
fn deep_nesting_is_refused_and_does_not_exhaust_the_stack() {
    for opening in ["[", "{a: ", "- "] {
        assert!(parse("deep.yaml", &opening.repeat(100_000)).is_err());
    }
}

#[test]
fn a_credential_in_the_file_is_not_repeated_in_the_message() {
    let text = "server: {api_secret: hush-hush, api_key: hush-key}";
    let report = parse("baton.yaml", text)
        .expect_err("credentials are refused")
        .to_string();
    assert!(!report.contains("hush"), "{report}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z:\\-#\\[\\]{},&*!|>'\" \n\t%@0-9~\u{e9}\u{feff}]{0,200}") {
        let _ = parse("any.yaml", &text);
    }

    #[test]
    fn no_change_of_a_valid_file_panics(at in 0usize..2_000, cut in 0usize..40, text in "[a-z:\\-\\[\\]{}, \n\"']{0,20}") {
        let mut file: Vec<char> = include_str!("../../../config/baton.yaml").chars().collect();
        let start = at.min(file.len());
        let end = (start + cut).min(file.len());
        file.splice(start..end, text.chars());
        let _ = parse("changed.yaml", &file.into_iter().collect::<String>());
    }
}
