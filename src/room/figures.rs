//! Measures each handoff by the call's own facts.

use std::time::Instant;

use audio::SwitchSound;
use call::{Fact, HandoffId, SpecialistName};

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
}

impl Figures {
    /// Takes in what the change of voice sounded like; it is over before the handoff is.
    pub(super) fn heard(&mut self, sound: SwitchSound) {
        if let Some(under_way) = &mut self.0 {
            under_way.sound = Some(sound);
        }
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
        if matches!(fact, Fact::Granted { .. }) && self.ready.is_some() {
            self.granted.get_or_insert(now);
        }
        if matches!(fact, Fact::FirstFrame { .. }) && self.granted.is_some() {
            self.sounded.get_or_insert(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use call::{Cause, DispatchId, Epoch, FailReason, Handoff, Opening, Splice};

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
        assert_eq!((done.whole, done.result()), (ms(255), "done"));
        assert_eq!(
            figures.note(at(300), &Fact::HandoffDone { handoff, epoch }),
            None,
            "once"
        );
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
