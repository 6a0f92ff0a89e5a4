//! Recording: while the configuration's condition holds, LiveKit's egress is asked to record two tracks of the call as they are, the
//! caller's and the program track. Never the room: a recorder hears every track in it, permissions or not.
//!
//! Nothing of this holds up or ends a call. What fails is tried again, later each time.

use std::error::Error;
use std::time::{Duration, Instant};

use call::Condition;
use tracing::{info, warn};

use super::task::{Done, Task};

/// The wait after the first failure; it doubles with each, up to the last.
const AGAIN_FIRST: Duration = Duration::from_secs(5);
const AGAIN_LAST: Duration = Duration::from_secs(300);

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingRules {
    /// A call is recorded while this holds.
    pub when: Condition,
    /// Where, with `{call}` and `{track}` to be filled in.
    pub path: String,
}

/// One of the two tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    Caller,
    Program,
}

/// What is to be asked of the egress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Start { track_sid: String },
    Stop { egress: String },
}

/// The recording of both tracks.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    caller: Tape,
    program: Tape,
    /// Whether the condition had no answer when it was asked last.
    unanswered: bool,
}

/// The recording of one track: at most one request is under way.
#[derive(Debug, Default)]
struct Tape {
    stage: Stage,
    failures: u32,
    not_before: Option<Instant>,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Off,
    Starting {
        track_sid: String,
    },
    On {
        track_sid: String,
        egress: String,
    },
    Stopping {
        track_sid: String,
        egress: String,
    },
}

impl Recorded {
    pub(super) const BOTH: [Self; 2] = [Self::Caller, Self::Program];

    fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Program => "program",
        }
    }
}

impl Recorder {
    fn tape(&mut self, recorded: Recorded) -> &mut Tape {
        match recorded {
            Recorded::Caller => &mut self.caller,
            Recorded::Program => &mut self.program,
        }
    }

    /// Whether anything is recorded.
    pub(super) fn is_on(&self) -> bool {
        [&self.caller, &self.program]
            .into_iter()
            .any(|tape| matches!(tape.stage, Stage::On { .. } | Stage::Stopping { .. }))
    }

    /// The egresses that are to be stopped.
    fn running(&self) -> Vec<String> {
        let tapes = [&self.caller, &self.program].into_iter();
        let egresses = tapes.filter_map(|tape| match &tape.stage {
            Stage::On { egress, .. } => Some(egress.clone()),
            Stage::Off | Stage::Starting { .. } | Stage::Stopping { .. } => None,
        });
        egresses.collect()
    }
}

impl Tape {
    /// What to ask now, if this track is to be recorded, or none is.
    fn step(&mut self, now: Instant, wanted: Option<&str>) -> Option<Ask> {
        if self.not_before.is_some_and(|time| now < time) {
            return None;
        }
        let (stage, ask) = match (std::mem::take(&mut self.stage), wanted) {
            (Stage::Off, Some(sid)) => {
                let track_sid = sid.to_owned();
                let ask = Ask::Start {
                    track_sid: track_sid.clone(),
                };
                (Stage::Starting { track_sid }, Some(ask))
            }
            (Stage::On { track_sid, egress }, wanted) if wanted != Some(&track_sid) => {
                let ask = Ask::Stop {
                    egress: egress.clone(),
                };
                (Stage::Stopping { track_sid, egress }, Some(ask))
            }
            (stage, _) => (stage, None),
        };
        self.stage = stage;
        ask
    }

    /// What came of it: the id of the egress that has started, or nothing of one that has stopped.
    fn answered(&mut self, now: Instant, answer: Result<Option<String>, ()>) {
        match &answer {
            Ok(_) => {
                self.failures = 0;
                self.not_before = None;
            }
            Err(()) => {
                let wait = AGAIN_FIRST.saturating_mul(1 << self.failures.min(10));
                self.failures += 1;
                self.not_before = Some(now + wait.min(AGAIN_LAST));
            }
        }
        self.stage = match (std::mem::take(&mut self.stage), answer) {
            (Stage::Starting { track_sid }, Ok(Some(egress))) => Stage::On { track_sid, egress },
            // It may still run: it is to be stopped once more.
            (Stage::Stopping { track_sid, egress }, Err(())) => Stage::On { track_sid, egress },
            (Stage::Starting { .. } | Stage::Stopping { .. }, Ok(None) | Err(()))
            | (Stage::Stopping { .. }, Ok(Some(_))) => Stage::Off,
            (stage @ (Stage::Off | Stage::On { .. }), _) => stage,
        };
    }
}

impl Task {
    /// Has recorded what is to be, and nothing else.
    pub(super) fn record(&mut self, now: Instant) {
        let Some(rules) = &self.deps.recording else {
            return;
        };
        let holds = self.call.evaluate(now, &rules.when);
        let wanted = matches!(holds, Ok(true));
        let unanswered = std::mem::replace(&mut self.recorder.unanswered, holds.is_err());
        if let Err(error) = &holds
            && !unanswered
        {
            info!(%error, "not recorded: the condition has no answer");
        }
        for recorded in Recorded::BOTH {
            let track_sid = match recorded {
                Recorded::Caller => self.caller_track(),
                Recorded::Program => self.connection.program_sid(),
            };
            let track_sid = track_sid.filter(|_| wanted);
            let ask = self.recorder.tape(recorded).step(now, track_sid.as_deref());
            if let Some(ask) = ask {
                self.ask_egress(recorded, ask);
            }
        }
    }

    fn caller_track(&self) -> Option<String> {
        let caller = self.call.snapshot().caller?;
        let tracks = self.connection.audio_tracks(caller.identity.as_str());
        tracks.into_iter().next()
    }

    fn ask_egress(&mut self, recorded: Recorded, ask: Ask) {
        let (deps, room, done) = (self.deps.clone(), self.room.clone(), self.done.clone());
        let call = self.call.id().to_string();
        self.requests.spawn(async move {
            let asked = match ask {
                Ask::Start { track_sid } => {
                    let path = deps.recording.as_ref().map(|rules| &rules.path);
                    let path = path.map_or_else(String::new, |path| {
                        path.replace("{call}", &call)
                            .replace("{track}", recorded.as_str())
                    });
                    deps.server.record(&room, &track_sid, path).await.map(Some)
                }
                Ask::Stop { egress } => deps.server.stop_recording(&egress).await.map(|()| None),
            };
            let track = recorded.as_str();
            match &asked {
                Ok(Some(egress)) => {
                    deps.metrics.recording_started();
                    info!(track, %egress, "recorded from here on");
                }
                Ok(None) => info!(track, "recorded no more"),
                Err(error) => {
                    deps.metrics.recording_failed();
                    warn!(track, error = error as &dyn Error, "recording not changed");
                }
            }
            let answer = asked.map_err(|_| ());
            // The loop is gone only when the call is over.
            let _ = done.send(Done::Recording { recorded, answer }).await;
        });
    }

    pub(super) fn recording_answered(
        &mut self,
        now: Instant,
        recorded: Recorded,
        answer: Result<Option<String>, ()>,
    ) {
        self.recorder.tape(recorded).answered(now, answer);
        self.unpublished = true;
        self.record(now);
    }

    /// The call is over: what is still recorded of a caller that stays is stopped.
    pub(super) fn record_no_more(&mut self) {
        for egress in self.recorder.running() {
            self.stop_egress(egress);
        }
    }

    pub(super) fn stop_egress(&mut self, egress: String) {
        let deps = self.deps.clone();
        self.requests.spawn(async move {
            if let Err(error) = deps.server.stop_recording(&egress).await {
                deps.metrics.recording_failed();
                warn!(error = &error as &dyn Error, "recording not stopped");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(sid: &str) -> Option<Ask> {
        let track_sid = sid.to_owned();
        Some(Ask::Start { track_sid })
    }

    fn stop(id: &str) -> Option<Ask> {
        let egress = id.to_owned();
        Some(Ask::Stop { egress })
    }

    fn on(egress: &str) -> Result<Option<String>, ()> {
        Ok(Some(egress.to_owned()))
    }

    #[test]
    fn a_track_is_recorded_once_while_it_is_wanted() {
        let now = Instant::now();
        let mut tape = Tape::default();
        assert_eq!(tape.step(now, None), None);
        assert_eq!(tape.step(now, Some("TR_1")), start("TR_1"));
        assert_eq!(tape.step(now, Some("TR_1")), None, "one request at a time");
        assert_eq!(
            tape.step(now, None),
            None,
            "nor is it stopped before it has begun"
        );
        tape.answered(now, on("EG_1"));
        assert_eq!(tape.step(now, Some("TR_1")), None);
        assert_eq!(tape.step(now, None), stop("EG_1"), "consent is withdrawn");
        assert_eq!(tape.step(now, Some("TR_1")), None);
        tape.answered(now, Ok(None));
        assert_eq!(
            tape.step(now, Some("TR_1")),
            start("TR_1"),
            "and given again"
        );
    }

    #[test]
    fn another_track_takes_the_place_of_one_that_is_gone() {
        let now = Instant::now();
        let mut tape = Tape::default();
        tape.step(now, Some("TR_1"));
        tape.answered(now, on("EG_1"));
        assert_eq!(tape.step(now, Some("TR_2")), stop("EG_1"));
        tape.answered(now, Ok(None));
        assert_eq!(tape.step(now, Some("TR_2")), start("TR_2"));
    }

    #[test]
    fn what_fails_is_tried_again_later_each_time() {
        let mut now = Instant::now();
        let mut tape = Tape::default();
        for secs in [5, 10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(tape.step(now, Some("TR_1")), start("TR_1"));
            tape.answered(now, Err(()));
            let wait = Duration::from_secs(secs);
            let just_before = now + wait - Duration::from_millis(1);
            assert_eq!(tape.step(just_before, Some("TR_1")), None);
            now += wait;
        }
        tape.step(now, Some("TR_1"));
        tape.answered(now, on("EG_1"));
        assert_eq!(tape.step(now, None), stop("EG_1"));
        tape.answered(now, Err(()));
        assert_eq!(tape.step(now, None), None);
        let later = now + AGAIN_FIRST;
        assert_eq!(tape.step(later, None), stop("EG_1"), "it may run on");
    }
}
