//! The pure audio path of the program track: what the caller hears, one Opus packet for each 20 ms.
//!
//! [`Playout`] takes the packets of the tracks that Baton reads, and makes the program track of them on a clock of its own:
//! packets of whoever is heard alone go out as they came, and [`ProgramMixer`] takes over for everything else. The mixer holds
//! the inputs that were admitted for an [`Epoch`], plays the one that has the baton, and crossfades to the next. [`Utterance`]
//! tells from levels when somebody has stopped talking. Sound is in units of [`Frame`]: 10 ms of 48 kHz mono.
//!
//! Nothing here reads a clock, does I/O or locks, and between input and output nothing allocates: time is counted in samples, and
//! every queue is bounded. What was not admitted is never heard.

mod announcement;
mod clip_file;
mod codec;
mod ear;
mod fade;
mod filler;
mod frame;
mod lane;
mod level;
mod limiter;
mod loudness;
mod meter;
mod mixer;
mod packet;
mod playout;
mod queue;
mod recording;
mod splice;
mod utterance;
mod watchdog;

pub use announcement::{ANNOUNCEMENT_SECS_MAX, Announcement, AnnouncementError};
pub use clip_file::ClipFileError;
pub use codec::CodecError;
pub use ear::Ear;
pub use fade::{Curve, Fade, FadeStart};
pub use filler::{CLIP_SECS_MAX, Clip, ClipError, FillerConfig, Sound};
pub use frame::{FRAME_MS, FRAME_SAMPLES, Frame, FrameError, SAMPLE_RATE_HZ};
pub use level::{SILENCE_DBFS, level_dbfs, peak_dbfs};
pub use meter::{Meter, SwitchSound};
pub use mixer::{
    Counters, Epoch, Input, MixerConfig, MixerError, ProgramMixer, PullReport, Pushed, SOURCES_MAX,
    SourceId, Switch, Voice,
};
pub use packet::{PACKET_SAMPLES_MAX, Packet, SLOT_SAMPLES};
pub use playout::{
    Made, Playout, PlayoutConfig, PlayoutCounters, Slot, TRACKS_MAX, Taken, TrackId,
};
pub use queue::QUEUE_FRAMES_MAX;
pub use recording::Recording;
pub use utterance::{Utterance, UtteranceConfig, UtteranceEvent};
pub use watchdog::{DeadAir, WatchdogConfig};
