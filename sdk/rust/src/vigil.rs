//! Whether Baton is gone, so that who has the baton reaches the caller by itself. Pure.
//!
//! | what is seen | what it means | then |
//! |---|---|---|
//! | frames of Baton, or packets of its program track | it lives: a stalled task, or a lossy network | nothing |
//! | neither, for as long as Baton said, but packets of others | it is gone, or its network is | the track is opened to the caller |
//! | neither, nor anything else | our own network is broken | nothing: the caller may hear Baton's track all the while |
//! | never a packet of the program track | the caller may never have heard anybody by it | nothing |
//! | either of them, once the track is open | it is back | the track is closed to the caller |

use std::time::{Duration, Instant};

/// What is counted of the packets that come, up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Those of the program track; `None` while it is not subscribed to.
    pub(crate) program: Option<u64>,
    /// Those of every kind.
    pub(crate) all: u64,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Open the track to the caller.
    Open,
    /// Baton is back: close it.
    Close,
}

/// How long Baton and its track have been away.
#[derive(Debug)]
pub(crate) struct Vigil {
    timeout: Duration,
    /// When a frame of Baton's came last.
    frame_at: Instant,
    program: u64,
    /// When a packet of the program track came last; `None` before the first one.
    program_at: Option<Instant>,
    all: u64,
    all_at: Instant,
    opened_at: Option<Instant>,
}

impl Vigil {
    /// With this timeout; zero never opens.
    pub(crate) fn new(now: Instant, timeout: Duration) -> Self {
        Self {
            timeout,
            frame_at: now,
            program: 0,
            program_at: None,
            all: 0,
            all_at: now,
            opened_at: None,
        }
    }

    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// How often it wants a sample.
    pub(crate) fn interval(&self) -> Option<Duration> {
        (!self.timeout.is_zero()).then(|| (self.timeout / 10).max(Duration::from_millis(20)))
    }

    /// A frame of Baton has come.
    pub(crate) fn frame(&mut self, now: Instant) {
        self.frame_at = now;
    }

    pub(crate) fn sample(&mut self, now: Instant, Sample { program, all }: Sample) {
        if let Some(program) = program {
            // A new track counts anew.
            if program > self.program {
                self.program_at = Some(now);
            }
            self.program = program;
        }
        if all != self.all {
            self.all = all;
            self.all_at = now;
        }
    }

    /// Our own connection was away: everything is waited for anew, and nothing is open.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.frame_at = now;
        self.program_at = self.program_at.map(|_| now);
        self.all_at = now;
        self.opened_at = None;
    }

    /// The track is closed again.
    pub(crate) fn closed(&mut self) {
        self.opened_at = None;
    }

    /// What the time that has passed means for one who has the baton, or has it not.
    pub(crate) fn poll(&mut self, now: Instant, holds: bool) -> Option<Change> {
        let program_at = self.program_at?;
        let last = self.frame_at.max(program_at);
        match self.opened_at {
            Some(opened_at) if last > opened_at => {
                self.opened_at = None;
                Some(Change::Close)
            }
            Some(_) => None,
            None => {
                let proved = self.all_at >= last + self.timeout / 2;
                let gone = now.saturating_duration_since(last) >= self.timeout;
                if !holds || self.timeout.is_zero() || !gone || !proved {
                    return None;
                }
                self.opened_at = Some(now);
                Some(Change::Open)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(1_000);
    const STEP: Duration = Duration::from_millis(100);

    /// What comes during a step.
    #[derive(Clone, Copy, PartialEq)]
    enum Comes {
        All,
        FramesAlone,
        ProgramAlone,
        OthersAlone,
        Nothing,
    }

    struct Bench {
        vigil: Vigil,
        now: Instant,
        counted: Sample,
    }

    impl Bench {
        fn new(timeout: Duration) -> Self {
            let now = Instant::now();
            Self {
                vigil: Vigil::new(now, timeout),
                now,
                counted: Sample {
                    program: Some(0),
                    all: 0,
                },
            }
        }

        /// What is to be done within so many steps, and in which.
        fn steps(&mut self, count: u32, comes: Comes, holds: bool) -> Option<(u32, Change)> {
            (1..=count).find_map(|step| {
                self.now += STEP;
                if matches!(comes, Comes::All | Comes::FramesAlone) {
                    self.vigil.frame(self.now);
                }
                let program = matches!(comes, Comes::All | Comes::ProgramAlone);
                self.counted.program = self.counted.program.map(|count| count + u64::from(program));
                self.counted.all += u64::from(comes != Comes::Nothing);
                self.vigil.sample(self.now, self.counted);
                self.vigil
                    .poll(self.now, holds)
                    .map(|change| (step, change))
            })
        }
    }

    #[test]
    fn a_baton_that_is_gone_opens_the_track_after_the_timeout_and_closes_it_when_it_is_back() {
        for back in [Comes::FramesAlone, Comes::ProgramAlone, Comes::All] {
            let mut bench = Bench::new(TIMEOUT);
            assert_eq!(bench.steps(20, Comes::All, true), None);
            let opened = bench.steps(100, Comes::OthersAlone, true);
            assert_eq!(opened, Some((10, Change::Open)));
            assert_eq!(bench.steps(100, Comes::OthersAlone, true), None, "once");
            assert_eq!(bench.steps(5, back, true), Some((1, Change::Close)));
            assert_eq!(bench.steps(20, back, true), None);
            let opened = bench.steps(100, Comes::OthersAlone, true);
            assert_eq!(opened, Some((10, Change::Open)), "again");
        }
    }

    #[test]
    fn heartbeats_that_stall_while_audio_flows_open_nothing_and_the_other_way_round() {
        let mut bench = Bench::new(TIMEOUT);
        bench.steps(5, Comes::All, true);
        assert_eq!(bench.steps(1_000, Comes::ProgramAlone, true), None);
        assert_eq!(bench.steps(1_000, Comes::FramesAlone, true), None);
    }

    #[test]
    fn a_broken_network_of_ours_opens_nothing() {
        let mut bench = Bench::new(TIMEOUT);
        bench.steps(5, Comes::All, true);
        assert_eq!(bench.steps(300, Comes::Nothing, true), None);
        let mut bench = Bench::new(TIMEOUT);
        bench.steps(5, Comes::All, true);
        bench.steps(5, Comes::Nothing, true);
        bench.vigil.restart(bench.now);
        assert_eq!(bench.steps(9, Comes::OthersAlone, true), None);
        let opened = bench.steps(9, Comes::OthersAlone, true);
        assert_eq!(opened, Some((1, Change::Open)), "from then on");
    }

    #[test]
    fn before_a_packet_of_the_program_was_seen_nothing_opens() {
        let mut bench = Bench::new(TIMEOUT);
        bench.steps(5, Comes::FramesAlone, true);
        assert_eq!(bench.steps(300, Comes::OthersAlone, true), None);
    }

    #[test]
    fn who_has_not_the_baton_never_opens() {
        let mut bench = Bench::new(TIMEOUT);
        bench.steps(5, Comes::All, false);
        assert_eq!(bench.steps(300, Comes::OthersAlone, false), None);
    }

    #[test]
    fn a_timeout_of_zero_never_opens() {
        let mut bench = Bench::new(Duration::ZERO);
        bench.steps(5, Comes::All, true);
        assert_eq!(bench.steps(300, Comes::OthersAlone, true), None);
        assert_eq!(bench.vigil.interval(), None);
    }

    #[test]
    fn a_program_track_that_counts_anew_is_a_packet_only_when_one_comes() {
        let mut bench = Bench::new(TIMEOUT);
        bench.steps(20, Comes::All, true);
        bench.counted.program = Some(0);
        let opened = bench.steps(100, Comes::OthersAlone, true);
        assert_eq!(opened, Some((10, Change::Open)));
    }
}
