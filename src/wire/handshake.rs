//! How two processes greet one another: who has said what, and when it is said again.

use std::time::{Duration, Instant};

use call::Targets;

use crate::body::{Body, Hello, Terms, Welcome};
use crate::frame::{Position, Seq, Version};
use crate::link_config::LinkConfig;

/// What all targets of a Welcome take at most, in bytes; the rest of a frame is for what surrounds them.
const TARGETS_BYTES_MAX: usize = 12_000;
/// What a target takes beside its two texts, at most.
const TARGET_OVERHEAD_BYTES: usize = 12;

/// How far the greeting has come.
#[derive(Debug)]
pub(crate) enum Handshake {
    /// Nobody has said Hello.
    Nothing,
    /// A specialist says Hello.
    Saying {
        hello: Box<Hello>,
        since: Instant,
        due: Instant,
        wait: Duration,
    },
    /// A specialist was welcomed.
    Welcomed { attempt: u32 },
    /// Baton has heard a Hello and has not answered.
    Heard { attempt: u32 },
    /// Baton has answered.
    Answered {
        attempt: u32,
        due: bool,
        targets: Targets,
    },
}

/// What a greeting tells the peer of the streams.
#[derive(Debug)]
pub(crate) struct Standing<'a> {
    /// What was delivered of the peer's stream.
    pub(crate) seen: Option<Position>,
    /// The oldest frame that can still be sent.
    pub(crate) oldest: Seq,
    /// The version that both speak.
    pub(crate) version: Version,
    /// What a Welcome says beside that.
    pub(crate) terms: &'a Terms,
}

impl Handshake {
    /// A specialist says Hello, once more than before.
    pub(crate) fn say(&mut self, now: Instant, hello: Hello, wait: Duration) {
        let attempt = match self {
            Self::Nothing => 1,
            Self::Saying { hello, .. } => hello.attempt.saturating_add(1),
            Self::Welcomed { attempt }
            | Self::Heard { attempt }
            | Self::Answered { attempt, .. } => attempt.saturating_add(1),
        };
        *self = Self::Saying {
            hello: Box::new(Hello { attempt, ..hello }),
            since: now,
            due: now,
            wait,
        };
    }

    /// Baton answers the last Hello, if there is one.
    pub(crate) fn answer(&mut self, targets: Targets) {
        if let Self::Heard { attempt } | Self::Answered { attempt, .. } = *self {
            *self = Self::Answered {
                attempt,
                due: true,
                targets,
            };
        }
    }

    /// Whether a Hello of the stream that is followed says something new. One that was answered is answered again.
    pub(crate) fn is_new(&mut self, said: u32) -> bool {
        match self {
            Self::Answered { attempt, due, .. } if *attempt == said => {
                *due = true;
                false
            }
            Self::Answered { attempt, .. } | Self::Heard { attempt } => *attempt < said,
            Self::Nothing | Self::Saying { .. } | Self::Welcomed { .. } => true,
        }
    }

    /// Whether a Welcome answers the Hello that is being said.
    pub(crate) fn is_answered_by(&self, welcome: &Welcome) -> bool {
        matches!(self, Self::Saying { hello, .. } if hello.attempt == welcome.attempt)
    }

    /// Whether the peers have greeted one another.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Welcomed { .. } | Self::Answered { .. } => true,
            Self::Nothing | Self::Saying { .. } | Self::Heard { .. } => false,
        }
    }

    /// The greeting that is to be sent now.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        config: &LinkConfig,
        standing: Standing<'_>,
    ) -> Option<Body> {
        let Standing {
            seen,
            oldest,
            version,
            terms,
        } = standing;
        match self {
            Self::Saying {
                hello, due, wait, ..
            } if *due <= now => {
                *due = now + *wait;
                *wait = (*wait * 2).min(config.hello_resend_max);
                Some(Body::Hello(Hello {
                    seen,
                    oldest,
                    ..(**hello).clone()
                }))
            }
            Self::Answered {
                attempt,
                due,
                targets,
            } if *due => {
                *due = false;
                Some(Body::Welcome(Welcome {
                    attempt: *attempt,
                    version,
                    seen,
                    oldest,
                    terms: terms.clone(),
                    targets: targets.clone(),
                }))
            }
            Self::Nothing
            | Self::Saying { .. }
            | Self::Welcomed { .. }
            | Self::Heard { .. }
            | Self::Answered { .. } => None,
        }
    }

    /// When Hello is said again.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        match self {
            Self::Saying { due, .. } => Some(*due),
            Self::Nothing | Self::Welcomed { .. } | Self::Heard { .. } | Self::Answered { .. } => {
                None
            }
        }
    }

    /// Since when a Welcome is waited for.
    pub(crate) fn saying_since(&self) -> Option<Instant> {
        match self {
            Self::Saying { since, .. } => Some(*since),
            Self::Nothing | Self::Welcomed { .. } | Self::Heard { .. } | Self::Answered { .. } => {
                None
            }
        }
    }
}

/// Leaves out the targets that a frame has no room for.
pub(crate) fn fitting(mut targets: Targets) -> Targets {
    let mut bytes = 0;
    targets.named.retain(|target| {
        bytes += target.name.as_str().len() + target.description.len() + TARGET_OVERHEAD_BYTES;
        bytes <= TARGETS_BYTES_MAX
    });
    targets
}
