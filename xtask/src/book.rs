//! The project's pages: the book's contents name each of them, and every link within the project leads somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::paths;

/// Pages outside the book.
const OUTSIDE: [&str; 6] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "deploy/README.md",
    "sdk/python/README.md",
];
const CONTENTS: &str = "SUMMARY.md";

fn pages_of_the_book() -> BTreeSet<PathBuf> {
    let folder = fs::read_dir(paths::root().join("docs")).expect("docs is there");
    folder
        .map(|file| file.expect("docs can be read").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect()
}

fn read(page: &Path) -> String {
    fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

/// What is linked in a page, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        let mut rest = line.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, after)) = after.split_once(')') else {
                break;
            };
            links.push(target.to_owned());
            rest = after;
        }
    }
    links
}

/// The lines that are not code, without the code in them.
fn prose(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            // The text of a link may be code; only what is between backticks goes.
            let parts = line.split('`').enumerate();
            lines.push(
                parts
                    .filter(|(n, _)| n % 2 == 0)
                    .map(|(_, part)| part)
                    .collect(),
            );
        }
    }
    lines
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced || !line.starts_with('#') {
            continue;
        }
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        anchors.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
    }
    anchors
}

/// Why a link of a page leads nowhere; none if it leads somewhere or out of the project.
fn broken(page: &Path, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() {
        page.to_owned()
    } else {
        page.parent().expect("a page is in a folder").join(file)
    };
    let wrong = format!("{} links {link}", paths::shown(page));
    if !target.exists() {
        return Some(format!("{wrong}, which is not there"));
    }
    let known = anchor.is_empty() || anchors(&read(&target)).contains(anchor);
    (!known).then(|| format!("{wrong}, and there is no such heading"))
}

#[test]
fn the_contents_name_every_page_once() {
    let docs = paths::root().join("docs");
    let named = links(&read(&docs.join(CONTENTS)));
    let mut pages: BTreeSet<PathBuf> = named.iter().map(|link| docs.join(link)).collect();
    assert_eq!(pages.len(), named.len(), "a page is named twice");
    pages.insert(docs.join(CONTENTS));
    assert_eq!(pages, pages_of_the_book());
}

#[test]
fn every_link_leads_somewhere() {
    let mut pages = pages_of_the_book();
    pages.extend(OUTSIDE.map(|page| paths::root().join(page)));
    let mut seen = 0;
    let mut wrong = Vec::new();
    for page in &pages {
        let links = links(&read(page));
        seen += links.len();
        wrong.extend(links.iter().filter_map(|link| broken(page, link)));
    }
    assert!(seen > 50, "only {seen} links were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = paths::root().join("docs/quickstart.md");
    for link in [
        "nowhere.md",
        "concepts.md#no-such-heading",
        "#no-such-heading",
    ] {
        assert!(broken(&page, link).is_some(), "{link}");
    }
    for link in [
        "concepts.md#a-handoff",
        "../README.md",
        "https://livekit.io",
    ] {
        assert_eq!(broken(&page, link), None);
    }
    assert_eq!(
        links("see [`a`](b.md#c) and `[x](y)`\n```\n[d](e)\n```"),
        ["b.md#c"]
    );
}
