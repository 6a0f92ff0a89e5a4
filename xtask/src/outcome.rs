//! What a run of tests came to, read from what the test programs print.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::AddAssign;

/// The sum of all `test result:` lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) ignored: usize,
}

impl Counts {
    /// Reads a `test result:` line.
    pub(crate) fn in_line(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("test result: ")?;
        let count = |word: &str| {
            let (before, _) = rest.split_once(word)?;
            before.rsplit(' ').next()?.parse().ok()
        };
        Some(Self {
            passed: count(" passed;")?,
            failed: count(" failed;")?,
            ignored: count(" ignored;")?,
        })
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            ignored,
        } = self;
        write!(f, "{passed} passed, {failed} failed")?;
        if *ignored > 0 {
            write!(f, ", {ignored} ignored")?;
        }
        Ok(())
    }
}

/// What all test programs of a workspace came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Programs {
    pub(crate) counts: Counts,
    /// How many came to an end.
    pub(crate) ended: usize,
    /// The tests that failed and can be named to a second run; those of documentation cannot.
    pub(crate) failed: BTreeSet<String>,
    started: usize,
}

impl Programs {
    /// Takes the next line of what they print.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(more) = Counts::in_line(line) {
            self.counts += more;
            self.ended += 1;
        }
        let tests = line.strip_prefix("running ");
        self.started += usize::from(
            tests.is_some_and(|rest| rest.ends_with(" tests") || rest.ends_with(" test")),
        );
        let failed = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"));
        if let Some(name) = failed.filter(|name| !name.contains(' ')) {
            self.failed.insert(name.to_owned());
        }
    }

    /// Whether the failed tests are all that went wrong, and they are known by name: a program that crashed says nothing about
    /// the tests that it did not come to.
    pub(crate) fn failures_are_known(&self) -> bool {
        self.started == self.ended && self.counts.failed == self.failed.len()
    }
}

/// What one file of the livekit package's tests came to, run on one thread with its output shown and
/// the SDK's signalling at debug level.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// As the tests say; `None` if they did not come to an end.
    pub(crate) counts: Option<Counts>,
    /// The tests that failed by their own word.
    pub(crate) failed: BTreeSet<String>,
    /// Tests that asked for one peer connection (v1) and were given two (v0), or that are named v1
    /// and never had a v1 connection: no pass of theirs counts.
    pub(crate) fell_back: BTreeSet<String>,
    /// The test that was running last.
    pub(crate) last: Option<String>,
}

/// What the SDK logs about a connection, and the tests print about one.
const ON_V1: &str = "path=v1, single_pc_mode=true";
const ON_V0: &str = "path=v0, single_pc_mode=false";
const FALLBACK: &str = "falling back to v0";
const TEST_WAS_REFUSED: &str = "[V1 (Single PC)] connect_room";

impl Outcome {
    /// Reads the log of a test program.
    pub(crate) fn of(log: &str) -> Self {
        let mut outcome = Self::default();
        let mut on_v1 = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut in_failures = false;
        for line in log.lines() {
            if let Some(name) = started(line) {
                outcome.last = Some(name.to_owned());
                seen.insert(name.to_owned());
            }
            if let Some(counts) = Counts::in_line(line) {
                outcome.counts = Some(counts);
            }
            in_failures = line == "failures:" || in_failures && !line.starts_with("test result:");
            match line.strip_prefix("    ") {
                Some(name) if in_failures && seen.contains(name) => {
                    outcome.failed.insert(name.to_owned());
                }
                Some(_) | None => {}
            }
            let Some(current) = &outcome.last else {
                continue;
            };
            if line.contains(ON_V1) {
                on_v1.insert(current.clone());
            }
            let two = line.contains(TEST_WAS_REFUSED) && line.contains("single_pc_active=false");
            let wrong = line.contains(ON_V0) && is_v1(current);
            if line.contains(FALLBACK) || two || wrong {
                outcome.fell_back.insert(current.clone());
            }
        }
        let never = seen
            .iter()
            .filter(|name| is_v1(name) && !on_v1.contains(*name));
        outcome.fell_back.extend(never.cloned());
        outcome
    }

    /// The tests whose pass counts.
    pub(crate) fn passed(&self) -> usize {
        let by_their_word = self.counts.map_or(0, |counts| counts.passed);
        by_their_word.saturating_sub(self.fell_back.difference(&self.failed).count())
    }
}

/// The test that starts in this line: `test NAME ...`, whatever follows.
fn started(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix("test ")?.split_once(" ...")?;
    (!name.contains(' ')).then_some(name)
}

fn is_v1(name: &str) -> bool {
    name.split(['_', ':']).any(|word| word == "v1")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
running 2 tests
test test_v0_connect ... [DEBUG livekit_signaling] signal connection successful: path=v0, single_pc_mode=false
ok
test test_v1_connect ... [DEBUG livekit_signaling] signal connection successful: path=v1, single_pc_mode=true
ok

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.25s
";

    #[test]
    fn passes_are_counted() {
        let outcome = Outcome::of(GOOD);
        assert_eq!(
            outcome.counts,
            Some(Counts {
                passed: 2,
                failed: 0,
                ignored: 0
            })
        );
        assert_eq!(outcome.passed(), 2);
        assert!(outcome.failed.is_empty() && outcome.fell_back.is_empty());
        assert_eq!(outcome.last.as_deref(), Some("test_v1_connect"));
    }

    #[test]
    fn a_v1_test_that_fell_back_is_no_pass() {
        let fell_back = GOOD.replace(
            "signal connection successful: path=v1, single_pc_mode=true",
            "v1 path not found (404), falling back to v0 path",
        );
        let outcome = Outcome::of(&fell_back);
        assert_eq!(
            outcome.fell_back,
            BTreeSet::from(["test_v1_connect".to_owned()])
        );
        assert_eq!(outcome.passed(), 1);
    }

    #[test]
    fn a_v1_test_without_any_sign_of_v1_is_no_pass() {
        let silent = GOOD.replace(ON_V1, "");
        assert_eq!(Outcome::of(&silent).passed(), 1);
        let two = GOOD.replace(ON_V1, "path=v0, single_pc_mode=false");
        assert_eq!(Outcome::of(&two).passed(), 1);
    }

    #[test]
    fn failures_are_named_and_not_counted_twice() {
        let log = "
test test_one ... ok
test test_v1_two ... thread panicked
FAILED

failures:

---- test_v1_two stdout ----
    test_one is mentioned

failures:
    test_v1_two

test result: FAILED. 1 passed; 1 failed; 3 ignored; 0 measured; 0 filtered out; finished in 1.00s
";
        let outcome = Outcome::of(log);
        assert_eq!(
            outcome.counts,
            Some(Counts {
                passed: 1,
                failed: 1,
                ignored: 3
            })
        );
        assert_eq!(outcome.failed, BTreeSet::from(["test_v1_two".to_owned()]));
        assert_eq!(outcome.passed(), 1);
    }

    #[test]
    fn a_run_that_stopped_has_no_counts_but_a_last_test() {
        let outcome = Outcome::of("test test_one ... ok\ntest test_two ... ");
        assert_eq!(outcome.counts, None);
        assert_eq!(outcome.passed(), 0);
        assert_eq!(outcome.last.as_deref(), Some("test_two"));
    }

    #[test]
    fn failures_of_several_programs_are_known_unless_one_crashed() {
        let mut programs = Programs::default();
        let log = "
running 2 tests
test one ... FAILED
test two ... ok
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s

running 1 test
";
        log.lines().for_each(|line| programs.read(line));
        assert_eq!(programs.failed, BTreeSet::from(["one".to_owned()]));
        assert!(!programs.failures_are_known());
        programs.read("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured");
        assert!(programs.failures_are_known());
        assert_eq!((programs.ended, programs.counts.passed), (2, 2));
        programs.read("running 1 test");
        programs.read("test src/lib.rs - (line 3) ... FAILED");
        programs.read("test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured");
        assert!(!programs.failures_are_known());
    }

    #[test]
    fn counts_are_read_through_colours() {
        let line = "test result: \u{1b}[32mok\u{1b}[m. 12 passed; 0 failed; 1 ignored; 0 measured";
        assert_eq!(
            Counts::in_line(line),
            Some(Counts {
                passed: 12,
                failed: 0,
                ignored: 1
            })
        );
        assert_eq!(Counts::in_line("test some ... ok"), None);
    }
}
