//! Which calls are recorded, and under which names.

use call::Condition;

use super::{
    option::Refusal,
    problem::Problem,
    reader::Section,
    rule::{self, Conditions},
};

const PATH_FORM: &str = "a path with {call}, {track} and {time} in it";
const PATH_DEFAULT: &str = "recordings/{call}/{track}-{time}";
const PATH_BYTES_MAX: usize = 512;
/// Filled in here.
const OURS: [&str; 3] = ["{call}", "{track}", KEEP_DAYS];
const KEEP_DAYS: &str = "{keep_days}";
const KEEP_DAYS_MAX: u32 = 36_500;
/// Filled in by LiveKit's egress; there are others, of which one is the room's name, that is of a phone call the caller's number.
const OF_EGRESS: [&str; 2] = ["{time}", "{track_id}"];

/// The part `recording`, if calls are recorded at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// A call is recorded while this holds.
    pub when: Condition,
    /// Where its two files are to be, in the storage of LiveKit's egress. `{call}` stands for the call's id, `{track}` for `caller` or
    /// `program`.
    pub path: String,
}

pub(super) fn read(section: &mut Section<'_, '_>, conditions: &Conditions) -> Option<Recording> {
    let when = rule::read_condition(section, "when", conditions);
    let path = section.parsed("path", PATH_FORM, Some(PATH_DEFAULT), parse_path);
    let path = path.unwrap_or_else(|| PATH_DEFAULT.to_owned());
    let keep_days = section.optional_integer("keep_days", 1..=KEEP_DAYS_MAX);
    let path = match (keep_days, path.contains(KEEP_DAYS)) {
        (None, false) => path,
        (Some(days), true) => path.replace(KEEP_DAYS, &days.to_string()),
        (Some(_), false) => {
            let help = "put it into `path`, as `recordings/{keep_days}d/{call}/{track}-{time}`: the storage deletes by folder";
            section.report(|at, path| {
                Problem::error(
                    at,
                    path,
                    "`keep_days` is not in the path, so nothing would go by it",
                )
                .help(help)
            });
            path
        }
        (None, true) => {
            section.require(
                "keep_days",
                "`path` has it: say how long, as `keep_days: 30`",
            );
            path
        }
    };
    Some(Recording { when: when?, path })
}

fn parse_path(text: &str) -> Result<String, Refusal> {
    let refused = |why: String| Refusal::new(format!("`{text}` cannot be the path: {why}"));
    if text.len() > PATH_BYTES_MAX {
        return Err(Refusal::new(format!(
            "the path has {} bytes, at most {PATH_BYTES_MAX} are allowed",
            text.len()
        )));
    }
    let known = [OURS.as_slice(), &OF_EGRESS].concat();
    for (at, _) in text.match_indices('{') {
        let word = text[at..].find('}').map(|end| &text[at..=at + end]);
        if word.is_none_or(|word| !known.contains(&word)) {
            let word = word.unwrap_or(&text[at..]);
            return Err(refused(format!("nothing stands for `{word}`"))
                .help(format!("there are: {}", known.join(", "))));
        }
    }
    // Else one file takes the place of another.
    let missing = ["{call}", "{track}", "{time}"]
        .into_iter()
        .find(|word| !text.contains(word));
    match missing {
        Some(word) => Err(refused(format!("`{word}` is missing")).help(
            "two tracks of one call, and the same track after a restart, need names of their own",
        )),
        None => Ok(text.to_owned()),
    }
}
