//! The pure audio path of the program track: what the caller hears, 10 ms at a time.
//!
//! [`ProgramMixer`] holds the inputs that Baton has admitted for an [`Epoch`], plays the one that
//! holds the baton, and crossfades to the next. [`Utterance`] tells from levels when somebody has
//! stopped talking. The unit is [`Frame`]: 10 ms of 48 kHz mono.
//!
//! Nothing here reads a clock, does I/O, locks, or allocates: time is counted in frames pulled, and
//! every queue is an array. What was not admitted is never heard.

mod fade;
mod frame;
mod level;
mod limiter;
mod mixer;
mod queue;
mod utterance;

pub use fade::{Curve, Fade, FadeStart};
pub use frame::{FRAME_MS, FRAME_SAMPLES, Frame, FrameError, SAMPLE_RATE_HZ};
pub use level::{SILENCE_DBFS, level_dbfs, peak_dbfs};
pub use mixer::{
    Counters, Epoch, Input, MixerConfig, MixerError, ProgramMixer, PullReport, Pushed, SOURCES_MAX,
    SourceId, Switch, Voice,
};
pub use queue::QUEUE_FRAMES_MAX;
pub use utterance::{Utterance, UtteranceConfig, UtteranceEvent};
