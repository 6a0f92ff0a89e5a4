//! The corpus of the fuzz targets, and what once broke one of them. `BATON_WRITE_CORPUS=1 cargo test -p wire corpus`
//! writes its start anew: the vectors, and more for what they do not reach.

use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "../fuzz/checks.rs"]
mod checks;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target)
}

/// Runs a target over its corpus, which has at least so many entries.
fn replay(target: &str, check: fn(&[u8]), at_least: usize) {
    let mut count = 0;
    for entry in fs::read_dir(corpus(target)).unwrap() {
        check(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= at_least, "{target} has only {count} entries");
}

fn write(target: &str, entries: &[(String, Vec<u8>)]) {
    if env::var_os("BATON_WRITE_CORPUS").is_none() {
        return;
    }
    fs::create_dir_all(corpus(target)).unwrap();
    for (name, bytes) in entries {
        fs::write(corpus(target).join(name), bytes).unwrap();
    }
}

fn vectors() -> Vec<(String, Vec<u8>)> {
    crate::vectors::frames()
        .into_iter()
        .map(|(name, frame)| (name, frame.encode()))
        .collect()
}

#[test]
fn the_corpus_of_frames_does_no_harm() {
    write("frame", &vectors());
    replay("frame", checks::frame, vectors().len());
}

#[test]
fn the_corpus_of_links_does_no_harm() {
    let packets = |which: &dyn Fn(&str) -> bool, end: u8| {
        let mut bytes = Vec::new();
        for (_, packet) in vectors().iter().filter(|(name, _)| which(name)) {
            bytes.push(end | (packet.len() >> 8) as u8);
            bytes.push(packet.len() as u8);
            bytes.extend(packet);
        }
        bytes
    };
    let entries = [
        ("to-baton", packets(&|_| true, 0)),
        ("to-specialist", packets(&|_| true, 0x80)),
        ("hello-again", packets(&|name| name == "hello", 0).repeat(3)),
    ];
    write(
        "link",
        &entries.map(|(name, bytes)| (name.to_owned(), bytes)),
    );
    replay("link", checks::link, 3);
}

#[test]
fn the_corpus_of_chunks_does_no_harm() {
    let mut entries: Vec<_> = vectors()
        .into_iter()
        .filter(|(name, _)| {
            [
                "context_append",
                "context_chunk",
                "grant",
                "hello",
                "state_patch",
            ]
            .contains(&name.as_str())
        })
        .map(|(name, bytes)| (name, [vec![0, 0], bytes].concat()))
        .collect();
    let piece = |transfer, offset, total, length: u8| {
        [
            vec![transfer, offset, total, 7, length],
            vec![1; length.into()],
        ]
        .concat()
    };
    let gap = [vec![1], piece(1, 0, 9, 40), piece(1, 50, 9, 40)].concat();
    let overlap = [vec![1], piece(1, 0, 9, 40), piece(1, 30, 9, 40)].concat();
    let too_many = [
        vec![1],
        piece(1, 0, 9, 40),
        piece(2, 0, 9, 40),
        piece(3, 0, 9, 40),
    ]
    .concat();
    entries.push(("gap".to_owned(), gap));
    entries.push(("overlap".to_owned(), overlap));
    entries.push(("too-many".to_owned(), too_many));
    write("chunks", &entries);
    replay("chunks", checks::chunks, entries.len());
}

#[test]
fn the_corpus_of_metadata_does_no_harm() {
    let whole = r#"{"baton":{"call":"call-17","ticket":"7d1f0c3e5a","orchestrator":"baton-AJ_1","specialist":"billing"},"metadata":{"tenant":"acme"}}"#;
    let entries = [
        ("whole", whole),
        (
            "newer",
            &whole.replace("\"metadata\"", "\"new\":[1,2],\"metadata\""),
        ),
        ("empty-ticket", &whole.replace("7d1f0c3e5a", "")),
        ("numbers", r#"{"baton":{"call":1,"ticket":-0.5e9}}"#),
        ("foreign", r#"{"tenant":"acme"}"#),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    write("metadata", &entries);
    replay("metadata", checks::metadata, entries.len());
}
