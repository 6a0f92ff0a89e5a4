//! Who speaks at this moment, and the splice point that a handoff waits for.
//!
//! It decides nothing: what counts as a splice point is said with the handoff, and how long it may be waited for is the
//! core's to bound.

use std::collections::BTreeSet;

use audio::SourceId;
use call::{HandoffId, Rest, Splice};

/// What is known of the voices of a call. An utterance lasts for as long as either its sound or its speaker's word does.
#[derive(Debug, Default)]
pub(super) struct Voices {
    /// Those who are heard to speak.
    sounding: BTreeSet<SourceId>,
    /// Those who say that they have something to say. Of one that has never said so, the sound alone tells.
    saying: BTreeSet<SourceId>,
    caller: bool,
    awaited: Option<Awaited>,
}

#[derive(Clone, Copy, Debug)]
struct Awaited {
    handoff: HandoffId,
    holder: SourceId,
    splice: Splice,
}

impl Voices {
    /// A source is heard to speak, or no longer.
    pub(super) fn sounds(&mut self, source: SourceId, speaking: bool) {
        set(&mut self.sounding, source, speaking);
    }

    /// A source says that it has something to say, or no longer.
    pub(super) fn says(&mut self, source: SourceId, speaking: bool) {
        set(&mut self.saying, source, speaking);
    }

    /// The caller speaks, or no longer.
    pub(super) fn caller(&mut self, speaking: bool) {
        self.caller = speaking;
    }

    /// A source has nothing to say any more.
    pub(super) fn forget(&mut self, source: SourceId) {
        self.sounds(source, false);
        self.says(source, false);
    }

    /// A handoff waits for this splice point; an older one does no longer.
    pub(super) fn watch(&mut self, handoff: HandoffId, holder: SourceId, splice: Splice) {
        self.awaited = Some(Awaited {
            handoff,
            holder,
            splice,
        });
    }

    /// The handoff whose splice point is now, once.
    pub(super) fn take_reached(&mut self) -> Option<HandoffId> {
        let Awaited {
            handoff,
            holder,
            splice,
        } = self.awaited?;
        let (sounds, says) = (
            self.sounding.contains(&holder),
            self.saying.contains(&holder),
        );
        let waits = match splice {
            Splice::Now => false,
            Splice::EndOfUtterance {
                rest: Rest::Finish, ..
            } => sounds || says,
            Splice::EndOfUtterance {
                rest: Rest::Cut, ..
            } => sounds,
            Splice::CallerSilent {
                rest: Rest::Finish, ..
            } => self.caller || sounds || says,
            Splice::CallerSilent {
                rest: Rest::Cut, ..
            } => self.caller,
        };
        if waits {
            return None;
        }
        self.awaited = None;
        Some(handoff)
    }
}

fn set(voices: &mut BTreeSet<SourceId>, source: SourceId, speaking: bool) {
    if speaking {
        voices.insert(source);
    } else {
        voices.remove(&source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDER: SourceId = SourceId(1);
    const OTHER: SourceId = SourceId(2);
    const HANDOFF: HandoffId = HandoffId(7);

    fn watching(splice: Splice) -> Voices {
        let mut voices = Voices::default();
        voices.sounds(HOLDER, true);
        voices.says(HOLDER, true);
        voices.caller(true);
        voices.watch(HANDOFF, HOLDER, splice);
        voices
    }

    fn end_of_utterance(rest: Rest) -> Splice {
        Splice::EndOfUtterance {
            max_wait_ms: 3_000,
            rest,
        }
    }

    fn caller_silent(rest: Rest) -> Splice {
        Splice::CallerSilent {
            max_wait_ms: 3_000,
            rest,
        }
    }

    #[test]
    fn an_utterance_lasts_as_long_as_its_sound_or_the_holders_word() {
        let mut voices = watching(end_of_utterance(Rest::Finish));
        voices.says(HOLDER, false);
        assert_eq!(voices.take_reached(), None, "it still sounds");
        let mut voices = watching(end_of_utterance(Rest::Finish));
        voices.sounds(HOLDER, false);
        assert_eq!(voices.take_reached(), None, "it has more to say");
        voices.says(OTHER, false);
        assert_eq!(voices.take_reached(), None);
        voices.says(HOLDER, false);
        assert_eq!(voices.take_reached(), Some(HANDOFF));
        assert_eq!(voices.take_reached(), None, "once");
    }

    #[test]
    fn of_one_that_says_nothing_the_sound_alone_tells() {
        let mut voices = Voices::default();
        voices.sounds(HOLDER, true);
        voices.watch(HANDOFF, HOLDER, end_of_utterance(Rest::Finish));
        assert_eq!(voices.take_reached(), None);
        voices.sounds(HOLDER, false);
        assert_eq!(voices.take_reached(), Some(HANDOFF));
    }

    #[test]
    fn what_may_be_cut_is_cut_at_a_pause() {
        let mut voices = watching(end_of_utterance(Rest::Cut));
        assert_eq!(voices.take_reached(), None);
        voices.sounds(HOLDER, false);
        assert_eq!(voices.take_reached(), Some(HANDOFF));
    }

    #[test]
    fn the_caller_is_waited_for_and_the_holder_unless_it_may_be_cut() {
        let mut voices = watching(caller_silent(Rest::Cut));
        assert_eq!(voices.take_reached(), None);
        voices.caller(false);
        assert_eq!(voices.take_reached(), Some(HANDOFF));
        let mut voices = watching(caller_silent(Rest::Finish));
        voices.caller(false);
        assert_eq!(voices.take_reached(), None);
        voices.forget(HOLDER);
        assert_eq!(voices.take_reached(), Some(HANDOFF));
    }

    #[test]
    fn now_waits_for_nobody_and_only_the_newest_handoff_waits() {
        let mut voices = watching(end_of_utterance(Rest::Finish));
        voices.watch(HandoffId(8), HOLDER, Splice::Now);
        assert_eq!(voices.take_reached(), Some(HandoffId(8)));
        voices.forget(HOLDER);
        assert_eq!(voices.take_reached(), None);
    }
}
