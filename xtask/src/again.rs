//! A second try for tests that failed.
//!
//! Many tests run real calls in real time, beside a server and other programs, on whatever machine there is. One that fails once and
//! then passes alone has met a slow machine, or a race that is ours: so it does not fail the run, and it is named in the table for
//! whoever looks for the race. Where several fail the machine is not to blame, and nothing is tried again.

use std::collections::BTreeSet;

/// How many failed tests get a second try.
const MAX: usize = 5;

/// The names of what failed, for a line of text, if a second try is due.
pub(crate) fn worth_it(failed: &BTreeSet<String>) -> Option<String> {
    let names: Vec<&str> = failed.iter().map(String::as_str).collect();
    (1..=MAX).contains(&names.len()).then(|| names.join(", "))
}

/// What the table says when the second try has passed.
pub(crate) fn passed(names: &str) -> String {
    format!("passed at the second try: {names}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_failures_are_worth_a_second_try_and_many_are_not() {
        let failed = |count: usize| (0..count).map(|number| format!("test_{number}")).collect();
        assert_eq!(worth_it(&failed(0)), None);
        assert_eq!(worth_it(&failed(2)).as_deref(), Some("test_0, test_1"));
        assert!(worth_it(&failed(MAX)).is_some());
        assert_eq!(worth_it(&failed(MAX + 1)), None);
    }
}
