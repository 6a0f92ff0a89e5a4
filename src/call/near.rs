//! The closest known name to one that was misspelt.

use crate::ids::SpecialistName;

/// The longest name that is compared, in characters; longer ones are never near.
const NAME_CHARS_MAX: usize = 64;

/// The name in `known` that takes the fewest edits from `name`, if those are at most a third of its length.
pub(crate) fn near_match<'a>(
    name: &SpecialistName,
    known: impl Iterator<Item = &'a SpecialistName>,
) -> Option<SpecialistName> {
    let wanted: Vec<char> = name.as_str().chars().take(NAME_CHARS_MAX + 1).collect();
    if wanted.len() > NAME_CHARS_MAX {
        return None;
    }
    let allowed = (wanted.len() / 3).max(1);
    known
        .map(|candidate| (edits(&wanted, candidate.as_str()), candidate))
        .filter(|(edits, _)| *edits <= allowed)
        .min()
        .map(|(_, candidate)| candidate.clone())
}

/// Levenshtein distance, one row at a time.
fn edits(wanted: &[char], candidate: &str) -> usize {
    let mut row: Vec<usize> = (0..=wanted.len()).collect();
    for (line, have) in candidate.chars().take(2 * NAME_CHARS_MAX).enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, want) in wanted.iter().enumerate() {
            let replaced = diagonal + usize::from(*want != have);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[wanted.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour_and_a_foreign_one_none() {
        let known = ["billing", "triage", "support"].map(SpecialistName::from);
        let near = |name: &str| near_match(&name.into(), known.iter());
        assert_eq!(near("biling"), Some("billing".into()));
        assert_eq!(near("triaeg"), Some("triage".into()));
        assert_eq!(near("payments"), None);
        assert_eq!(near(&"x".repeat(100_000)), None);
    }
}
