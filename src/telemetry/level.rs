//! How much is logged.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// Our own crates. Others follow the level down to WARN only, since the SDK's lines carry names of rooms and identities.
const OURS: &[&str] = &["audio", "baton", "call", "libwebrtc", "wire", "worker"];

/// What the targets of the SDK's crates begin with.
const SDK: &str = "livekit";

/// How much is logged: a level, or directives such as `info,worker=debug,livekit=info`.
#[derive(Clone, Debug)]
pub struct LogLevel(Box<Targets>);

/// A log level that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected one of: trace, debug, info, warn, error, off, or directives such as info,worker=debug, found `{given}`"
)]
pub struct LogLevelError {
    given: String,
}

impl LogLevel {
    pub(super) fn filter(&self) -> Targets {
        Targets::clone(&self.0)
    }
}

impl FromStr for LogLevel {
    type Err = LogLevelError;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let level = match given.trim().to_ascii_lowercase().as_str() {
            // A variable that is set to nothing is as good as not set.
            "" => Some(LevelFilter::INFO),
            // Words that LiveKit's Python workers know beside ours.
            "warning" => Some(LevelFilter::WARN),
            "critical" => Some(LevelFilter::ERROR),
            word => word
                .parse()
                .ok()
                .filter(|_| word.chars().all(|letter| letter.is_ascii_alphabetic())),
        };
        if let Some(level) = level {
            let others = level.min(LevelFilter::WARN);
            let ours = OURS.iter().map(|target| (*target, level));
            let targets = Targets::new().with_default(others).with_targets(ours);
            return Ok(Self(Box::new(targets)));
        }
        let directives = given.trim();
        // A bare word would be taken for a target.
        let parsed = directives
            .contains(['=', ','])
            .then(|| directives.parse().ok())
            .flatten();
        parsed
            .map(|targets| Self(Box::new(without_names(targets))))
            .ok_or_else(|| LogLevelError {
                given: given.to_owned(),
            })
    }
}

/// Directives for ours do not open the SDK's lines as well: those that are to come name it, as `info,livekit=info`.
fn without_names(targets: Targets) -> Targets {
    let sdk_is_named = targets.iter().any(|(target, _)| target.starts_with(SDK));
    if sdk_is_named {
        return targets;
    }
    let others = targets.default_level().unwrap_or(LevelFilter::OFF);
    targets.with_target(SDK, others.min(LevelFilter::WARN))
}
