//! How parts of a route read in a line, for explanations and drawings.

use call::{Fallback, Names, Opening, Rest, Route, Splice};

/// The longest opening that is repeated in full, in characters.
const OPENING_MAX: usize = 32;

/// A time: `3 s`, `120 ms`.
pub fn duration(ms: u64) -> String {
    if ms >= 1_000 && ms.is_multiple_of(1_000) {
        format!("{} s", ms / 1_000)
    } else {
        format!("{ms} ms")
    }
}

/// Where the old voice is cut.
pub fn splice(splice: Splice) -> String {
    match splice {
        Splice::Now => "at once".to_owned(),
        Splice::EndOfUtterance { max_wait_ms, rest } => {
            let at_most = duration(max_wait_ms);
            match rest {
                Rest::Finish => format!("end of utterance, {at_most} at most"),
                Rest::Cut => format!("pause, {at_most} at most, the rest is cut"),
            }
        }
        Splice::CallerSilent { max_wait_ms, rest } => {
            let at_most = duration(max_wait_ms);
            match rest {
                Rest::Finish => format!("nobody speaks, {at_most} at most"),
                Rest::Cut => format!("caller silent, {at_most} at most, the rest is cut"),
            }
        }
    }
}

/// How one voice gives way to the other.
pub fn fade(route: &Route) -> String {
    match route.fade_ms {
        0 => "cut".to_owned(),
        ms => format!("fade {}", duration(ms.into())),
    }
}

/// What the new holder does first.
pub fn opening(opening: &Opening) -> String {
    match opening {
        Opening::Continue => "continue".to_owned(),
        Opening::Greet => "greet".to_owned(),
        Opening::Wait => "wait".to_owned(),
        Opening::Say(words) if words.chars().count() > OPENING_MAX => {
            let start: String = words.chars().take(OPENING_MAX).collect();
            format!("say \"{}...\"", start.trim_end())
        }
        Opening::Say(words) => format!("say \"{words}\""),
    }
}

/// Some specialists; a long list is cut.
pub fn names(names: &Names) -> String {
    const NAMES_MAX: usize = 8;
    let Names::Only(names) = names else {
        return "anyone".to_owned();
    };
    let shown: Vec<&str> = names
        .iter()
        .take(NAMES_MAX)
        .map(|name| name.as_str())
        .collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Whom to try when the holder is lost.
pub fn fallback(fallback: &Fallback) -> &str {
    match fallback {
        Fallback::AnotherInstance => "another instance",
        Fallback::Previous => "the previous holder",
        Fallback::Entry => "the entry specialist",
        Fallback::Specialist(name) => name.as_str(),
    }
}
