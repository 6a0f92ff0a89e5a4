//! `docs/protocol.md`, made from the protocol's files and their comments.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

const FILES: [&str; 4] = ["envelope", "control", "context", "packet"];
const HEAD: &str = "# Protocol

Made from [`proto/baton/v1`](../proto/baton/v1); [`proto/vectors`](../proto/vectors) has frames that every implementation must read
and write alike. `baton-specialist` (Rust) and [`baton-livekit`](specialists-python.md) (Python) speak it: who writes a specialist with them
needs nothing of this page.

";

/// Where a line of a file stands.
#[derive(Default)]
struct Page {
    text: String,
    /// The comment that has no owner yet, by lines.
    comment: Vec<String>,
    /// Names of what is open: a message or an enum, and a `oneof` in it.
    open: Vec<String>,
    /// Whether the open one has its table's head.
    table: bool,
}

impl Page {
    fn line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix("//") {
            self.comment.push(comment.trim().to_owned());
            return;
        }
        let code = line.split("//").next().unwrap_or_default().trim();
        let words: Vec<&str> = code.split_whitespace().collect();
        match words[..] {
            // What stands before `syntax` is about the file.
            ["syntax", ..] => {
                let about = self.comment();
                write!(self.text, "{about}\n\n").unwrap();
            }
            ["message" | "enum", name, ..] => {
                let about = self.comment();
                write!(self.text, "### {name}\n\n").unwrap();
                if !about.is_empty() {
                    write!(self.text, "{about}\n\n").unwrap();
                }
                self.table = false;
                if !code.ends_with('}') {
                    self.open.push(name.to_owned());
                }
            }
            ["oneof", name, ..] => self.open.push(name.to_owned()),
            ["}"] => {
                self.open.pop().expect("what is closed was opened");
                if self.open.is_empty() {
                    self.text.push('\n');
                }
            }
            [.., "=", number] if !self.open.is_empty() => self.field(&words, number),
            // Blank lines part comments that belong to nothing; a field may be reserved.
            _ => self.comment.clear(),
        }
    }

    fn field(&mut self, words: &[&str], number: &str) {
        let number = number.trim_end_matches(';');
        let name = words[words.len() - 3];
        let kind = words[..words.len() - 3].join(" ");
        let mut about = self.comment().replace('\n', " ").replace('|', "\\|");
        if let [_, one_of] = &self.open[..] {
            about = format!("*one of `{one_of}`* {about}").trim_end().to_owned();
        }
        if !self.table {
            self.table = true;
            self.text
                .push_str("| number | name | type | |\n|---|---|---|---|\n");
        }
        let kind = match kind.as_str() {
            "" => String::new(),
            kind => format!("`{kind}`"),
        };
        writeln!(self.text, "| {number} | `{name}` | {kind} | {about} |").unwrap();
    }

    fn comment(&mut self) -> String {
        std::mem::take(&mut self.comment)
            .join("\n")
            .trim()
            .to_owned()
    }
}

fn page(root: &Path) -> String {
    let mut page = Page {
        text: HEAD.to_owned(),
        ..Page::default()
    };
    for file in FILES {
        let path = root.join(format!("proto/baton/v1/{file}.proto"));
        let text = fs::read_to_string(path).expect("the file is there");
        write!(page.text, "## {file}.proto\n\n").unwrap();
        text.lines().for_each(|line| page.line(line));
        assert!(page.open.is_empty(), "{file}: {:?} is open", page.open);
    }
    format!("{}\n", page.text.trim_end())
}

/// `BATON_WRITE_DOCS=1` writes the page instead.
#[test]
fn the_page_of_the_protocol_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = page(&root);
    let path = root.join("docs/protocol.md");
    if env::var_os("BATON_WRITE_DOCS").is_some() {
        fs::write(&path, &page).expect("it is writable");
    }
    let written = fs::read_to_string(path).expect("the page is there");
    assert!(
        written == page,
        "docs/protocol.md is out of date; write it with BATON_WRITE_DOCS=1 cargo test -p wire reference"
    );
}

#[test]
fn every_file_of_the_protocol_is_on_the_page() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/baton/v1");
    let mut found: Vec<String> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|file| file.expect("it is readable").path())
        .filter_map(|path| {
            path.file_stem()
                .map(|name| name.to_string_lossy().into_owned())
        })
        .collect();
    found.sort();
    let mut known = FILES.map(str::to_owned);
    known.sort();
    assert_eq!(found, known);
}
