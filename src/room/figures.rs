//! Measures each handoff by the call's own facts.

use std::time::{Duration, Instant};

use audio::SwitchSound;
use call::{Epoch, Fact, HandoffId, SpecialistName};

use crate::telemetry::HandoffFigures;

/// The handoff under way, if there is one.
#[derive(Debug, Default)]
pub(super) struct Figures(Option<UnderWay>);

#[derive(Debug)]
struct UnderWay {
    handoff: HandoffId,
    from: Option<SpecialistName>,
    to: SpecialistName,
    asked: Instant,
    ready: Option<Instant>,
    granted: Option<Instant>,
    sounded: Option<Instant>,
    sound: Option<SwitchSound>,
    /// When the old holder was told to hear the caller no more.
    superseded: Option<Instant>,
    epoch: Option<Epoch>,
    caller_lost: Option<Duration>,
}

impl Figures {
    /// Takes in what the change of voice sounded like; it is over before the handoff is.
    pub(super) fn heard(&mut self, sound: SwitchSound) {
        if let Some(under_way) = &mut self.0 {
            under_way.sound = Some(sound);
        }
    }

    /// The old holder hears the caller until this reaches it.
    pub(super) fn superseded(&mut self, now: Instant) {
        if let Some(under_way) = &mut self.0 {
            under_way.superseded = Some(now);
        }
    }

    /// The new one has taken its grant, and hears the caller from `preroll_ms` before that on.
    ///
    /// Between the two nobody has heard the caller, so long at most: what it kept is of the caller's own frames, and its word
    /// for it was on the way for a while.
    pub(super) fn taken(&mut self, now: Instant, epoch: Epoch, preroll_ms: Option<u32>) {
        let Some(under_way) = &mut self.0 else {
            return;
        };
        if under_way.epoch != Some(epoch) || under_way.caller_lost.is_some() {
            return;
        }
        let kept = preroll_ms.map(|ms| Duration::from_millis(ms.into()));
        under_way.caller_lost = under_way.superseded.zip(kept).map(|(superseded, kept)| {
            now.saturating_duration_since(superseded)
                .saturating_sub(kept)
        });
    }

    /// Takes in a fact; a handoff that ends by it gives its figures.
    pub(super) fn note(&mut self, now: Instant, fact: &Fact) -> Option<HandoffFigures> {
        if let Fact::HandoffStarted { handoff, from } = fact {
            self.0 = Some(UnderWay {
                handoff: handoff.id,
                from: from.clone(),
                to: handoff.to.clone(),
                asked: now,
                ready: None,
                granted: None,
                sounded: None,
                sound: None,
                superseded: None,
                epoch: None,
                caller_lost: None,
            });
            return None;
        }
        let under_way = self.0.as_mut()?;
        let of_this = |handoff: &HandoffId| *handoff == under_way.handoff;
        let failed = if let Fact::HandoffDone { handoff, .. } = fact
            && of_this(handoff)
        {
            None
        } else if let Fact::HandoffFailed { handoff, reason } = fact
            && of_this(handoff)
        {
            Some(reason.code())
        } else {
            under_way.goes_on(now, fact);
            return None;
        };
        let UnderWay {
            handoff,
            from,
            to,
            asked,
            ready,
            granted,
            sounded,
            sound,
            superseded: _,
            epoch: _,
            caller_lost,
        } = self.0.take()?;
        let between =
            |from: Option<Instant>, to: Option<Instant>| Some(to?.saturating_duration_since(from?));
        Some(HandoffFigures {
            handoff: handoff.0,
            from: from.map(|from| from.to_string()),
            to: to.to_string(),
            failed,
            request_to_ready: between(Some(asked), ready),
            ready_to_grant: between(ready, granted),
            grant_to_first_frame: between(granted, sounded),
            whole: now.saturating_duration_since(asked),
            sound,
            caller_lost,
        })
    }
}

impl UnderWay {
    fn goes_on(&mut self, now: Instant, fact: &Fact) {
        let is_ready = matches!(fact, Fact::HandoffReady { handoff } if *handoff == self.handoff);
        if is_ready {
            self.ready.get_or_insert(now);
        }
        // A grant before the target was ready renews the old holder's.
        if let Fact::Granted { epoch, .. } = fact
            && self.ready.is_some()
        {
            self.granted.get_or_insert(now);
            self.epoch.get_or_insert(*epoch);
        }
        if matches!(fact, Fact::FirstFrame { .. }) && self.granted.is_some() {
            self.sounded.get_or_insert(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use call::{Cause, DispatchId, FailReason, Handoff, Opening, Splice};

    use super::*;

    fn started() -> Fact {
        Fact::HandoffStarted {
            handoff: Handoff {
                id: HandoffId(7),
                cause: Cause::Entry,
                to: "billing".into(),
                reason: String::new(),
                splice: Splice::Now,
                fade_ms: 0,
                opening: Opening::Continue,
                route: None,
                tools_wait_ms: 0,
                tool_call: None,
                announces: false,
                fallback: Vec::new(),
                errand: None,
            },
            from: Some("triage".into()),
        }
    }

    fn granted(epoch: u64) -> Fact {
        Fact::Granted {
            dispatch: DispatchId(1),
            handoff: None,
            specialist: "billing".into(),
            identity: "agent-1".into(),
            epoch: Epoch(epoch),
        }
    }

    #[test]
    fn a_handoff_is_measured_from_its_request_to_its_end() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut figures = Figures::default();
        let (handoff, epoch) = (HandoffId(7), Epoch(2));
        assert_eq!(figures.note(at(0), &started()), None);
        assert_eq!(
            figures.note(at(1), &granted(1)),
            None,
            "the old holder's, renewed"
        );
        assert_eq!(figures.note(at(5), &Fact::HandoffReady { handoff }), None);
        assert_eq!(figures.note(at(105), &granted(2)), None);
        figures.superseded(at(107));
        figures.taken(at(108), Epoch(1), Some(0));
        figures.taken(at(127), epoch, Some(10));
        assert_eq!(figures.note(at(135), &Fact::FirstFrame { epoch }), None);
        let sound = SwitchSound {
            overlap_ms: 120,
            ..SwitchSound::default()
        };
        figures.heard(sound);
        let done = figures
            .note(at(255), &Fact::HandoffDone { handoff, epoch })
            .expect("it ends");
        let ms = Duration::from_millis;
        assert_eq!(done.request_to_ready, Some(ms(5)));
        assert_eq!(done.ready_to_grant, Some(ms(100)));
        assert_eq!(done.grant_to_first_frame, Some(ms(30)));
        assert_eq!(done.sound, Some(sound));
        assert_eq!(done.caller_lost, Some(ms(10)), "20 ms, 10 of them kept");
        assert_eq!((done.whole, done.result()), (ms(255), "done"));
        assert_eq!(
            figures.note(at(300), &Fact::HandoffDone { handoff, epoch }),
            None,
            "once"
        );
    }

    #[test]
    fn what_is_lost_of_the_caller_is_unknown_without_the_new_ones_word() {
        let now = Instant::now();
        let later = now + Duration::from_millis(300);
        for (preroll_ms, lost) in [
            (None, None),
            (Some(0), Some(Duration::from_millis(300))),
            (Some(400), Some(Duration::ZERO)),
        ] {
            let mut figures = Figures::default();
            let (handoff, epoch) = (HandoffId(7), Epoch(2));
            figures.note(now, &started());
            figures.note(now, &Fact::HandoffReady { handoff });
            figures.note(now, &granted(2));
            figures.superseded(now);
            figures.taken(later, epoch, preroll_ms);
            let done = figures.note(later, &Fact::HandoffDone { handoff, epoch });
            assert_eq!(done.expect("it ends").caller_lost, lost, "{preroll_ms:?}");
        }
    }

    #[test]
    fn a_failure_carries_its_reason() {
        let now = Instant::now();
        let mut figures = Figures::default();
        figures.note(now, &started());
        let failed = Fact::HandoffFailed {
            handoff: HandoffId(7),
            reason: FailReason::NeverJoined { after_ms: 10 },
        };
        let failed = figures.note(now, &failed).expect("it ends");
        assert_eq!(
            (failed.result(), failed.request_to_ready),
            ("never_joined", None)
        );
    }
}
