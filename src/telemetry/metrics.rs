//! What Prometheus reads at `/metrics`.
//!
//! Labels come from the configuration and from closed lists of reasons, never from a call: no id, no room, no phone number.
//! There are at most [`ROUTES_MAX`] routes by name; what comes beyond is counted as `other`.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};
use prometheus_client::registry::Registry;

use wire::LinkCounts;

use super::HandoffFigures;

/// Routes that are counted by the names of their ends.
const ROUTES_MAX: usize = 256;
/// Who had the baton when nobody had.
const NOBODY: &str = "none";
/// A route beyond the bound.
const OTHER: &str = "other";

/// What the content type of [`Metrics::text`] is.
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of a process. Clones are the same.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

struct Families {
    registry: Registry,
    calls: Gauge,
    calls_ended: Family<Reason, Counter>,
    handoffs: Family<Route, Counter>,
    ready: Histogram,
    splice: Histogram,
    audible: Histogram,
    silence: Histogram,
    overlap: Histogram,
    caller_lost: Histogram,
    lost: Counter<f64, AtomicU64>,
    dead_airs: Counter,
    false_starts: Counter,
    rejected: Family<Reason, Counter>,
    ignored: Family<Reason, Counter>,
    frames_acked: Counter,
    frames_resent: Counter,
    context_bytes: Counter,
    state_conflicts: Counter,
    misbehaved: Counter,
    losses: Counter,
    nobody_left: Counter,
    lookups_failed: Counter,
    recordings_started: Counter,
    recordings_failed: Counter,
    routes: Mutex<BTreeSet<(String, String)>>,
}

/// The worker, as LiveKit's own workers show themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkerFigures {
    /// Running jobs.
    pub active_jobs: u32,
    /// The load that is reported to the server, from 0 to 1.
    pub load: f32,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    from: String,
    to: String,
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("baton");
        let calls = Gauge::default();
        registry.register("calls", "Running calls", calls.clone());
        let calls_ended = Family::<Reason, Counter>::default();
        registry.register(
            "calls_ended",
            "Calls that have ended, by reason",
            calls_ended.clone(),
        );
        let handoffs = Family::<Route, Counter>::default();
        registry.register(
            "handoffs",
            "Handoffs that have ended, by route and result",
            handoffs.clone(),
        );
        let mut seconds = |name: &str, help: &str, from: f64, length: u16| {
            let buckets =
                prometheus_client::metrics::histogram::exponential_buckets(from, 2.0, length);
            let histogram = Histogram::new(buckets);
            registry.register(name, help, histogram.clone());
            histogram
        };
        let ready = seconds(
            "handoff_ready_seconds",
            "From the request of a handoff until its target was ready",
            0.001,
            14,
        );
        let splice = seconds(
            "handoff_splice_wait_seconds",
            "From a ready target until the grant",
            0.001,
            14,
        );
        let audible = seconds(
            "handoff_first_frame_seconds",
            "From the grant until the new holder's first sounding frame arrived",
            0.001,
            14,
        );
        let silence = seconds(
            "handoff_silence_seconds",
            "How long nobody was heard before the new voice of a handoff",
            0.01,
            10,
        );
        let overlap = seconds(
            "handoff_overlap_seconds",
            "How long two voices were heard at a handoff",
            0.01,
            10,
        );
        let caller_lost = seconds(
            "handoff_caller_lost_seconds",
            "How much of the caller, at most, neither the old holder of a handoff has heard nor the new one",
            0.01,
            10,
        );
        let lost = Counter::default();
        registry.register(
            "program_lost_seconds",
            "Time of the program track, up to the last handoff, whose packets were missing without a pause",
            lost.clone(),
        );
        let mut count = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let frames_acked = count(
            "frames_acked",
            "Frames of the protocol that specialists have acked",
        );
        let frames_resent = count(
            "frames_resent",
            "Frames of the protocol that were sent once more",
        );
        let context_bytes = count(
            "context_bytes",
            "Bytes of the items that conversations have grown by",
        );
        let state_conflicts = count(
            "state_conflicts",
            "Changes of a state that were made against a version that was no longer the newest",
        );
        let misbehaved = count(
            "agents_misbehaved",
            "Reports of agents that did what they must not",
        );
        let dead_airs = count(
            "dead_airs",
            "Times that callers heard nobody for too long while somebody should have spoken",
        );
        let false_starts = count(
            "dead_air_false_starts",
            "Those of them in which a voice came as soon as the filler had begun",
        );
        let losses = count("holders_lost", "Holders of the baton that were lost");
        let nobody_left = count(
            "fallbacks_exhausted",
            "Times that all fallbacks of a call had failed",
        );
        let lookups_failed = count(
            "caller_lookups_failed",
            "Calls for which nothing more was known of the caller, because the lookup failed",
        );
        let recordings_started = count(
            "recordings_started",
            "Tracks of calls that an egress has begun to record",
        );
        let recordings_failed = count(
            "recordings_failed",
            "Requests to begin or end a recording that failed",
        );
        let mut by_reason = |name: &str, help: &str| {
            let family = Family::<Reason, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        let rejected = by_reason(
            "events_rejected",
            "Frames and events that had no place in their call, by reason",
        );
        let ignored = by_reason(
            "packets_ignored",
            "Packets of participants that are no specialists of their call, by reason",
        );
        Self(Arc::new(Families {
            registry,
            calls,
            calls_ended,
            handoffs,
            ready,
            splice,
            audible,
            silence,
            overlap,
            caller_lost,
            lost,
            dead_airs,
            false_starts,
            rejected,
            ignored,
            frames_acked,
            frames_resent,
            context_bytes,
            state_conflicts,
            misbehaved,
            losses,
            nobody_left,
            lookups_failed,
            recordings_started,
            recordings_failed,
            routes: Mutex::default(),
        }))
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// A call has begun; it is counted as running until the guard is dropped.
    pub fn call_begun(&self) -> RunningCall {
        self.0.calls.inc();
        RunningCall(self.clone())
    }

    /// A call has ended. `reason` is from a closed list.
    pub fn call_ended(&self, reason: &'static str) {
        self.0.calls_ended.get_or_create(&Reason { reason }).inc();
    }

    /// A handoff has ended.
    pub fn handoff(&self, figures: &HandoffFigures) {
        let families = &self.0;
        let (from, to) = self.route(figures.from.as_deref().unwrap_or(NOBODY), &figures.to);
        let result = figures.result();
        families
            .handoffs
            .get_or_create(&Route { from, to, result })
            .inc();
        for (histogram, time) in [
            (&families.ready, figures.request_to_ready),
            (&families.splice, figures.ready_to_grant),
            (&families.audible, figures.grant_to_first_frame),
            (&families.caller_lost, figures.caller_lost),
        ] {
            if let Some(time) = time {
                histogram.observe(time.as_secs_f64());
            }
        }
        if let Some(sound) = figures.sound {
            let secs = |ms: u32| f64::from(ms) / 1_000.0;
            families.silence.observe(secs(sound.silence_ms));
            families.overlap.observe(secs(sound.overlap_ms));
            families.lost.inc_by(secs(sound.lost_ms));
        }
    }

    /// A caller has heard nobody for too long.
    pub fn dead_air(&self) {
        self.0.dead_airs.inc();
    }

    /// That was no dead air, only slow.
    pub fn false_start(&self) {
        self.0.false_starts.inc();
    }

    /// An event or a frame had no place in its call. `reason` is from a closed list.
    pub fn rejected(&self, reason: &'static str) {
        self.0.rejected.get_or_create(&Reason { reason }).inc();
    }

    /// A packet came from somebody who has no part in the protocol. `reason` is from a closed list.
    pub fn ignored(&self, reason: &'static str) {
        self.0.ignored.get_or_create(&Reason { reason }).inc();
    }

    /// What became of frames to specialists.
    pub fn frames(&self, counts: LinkCounts) {
        self.0.frames_acked.inc_by(counts.acked);
        self.0.frames_resent.inc_by(counts.resent);
    }

    /// A conversation has grown by an item of so many bytes.
    pub fn context_grown(&self, bytes: usize) {
        self.0.context_bytes.inc_by(bytes as u64);
    }

    /// A change of the state came too late.
    pub fn state_conflict(&self) {
        self.0.state_conflicts.inc();
    }

    /// An agent did what it must not.
    pub fn misbehaved(&self) {
        self.0.misbehaved.inc();
    }

    /// A holder was lost.
    pub fn holder_lost(&self) {
        self.0.losses.inc();
    }

    /// All fallbacks of a call had failed.
    pub fn nobody_left(&self) {
        self.0.nobody_left.inc();
    }

    /// Nothing more is known of a caller.
    pub fn lookup_failed(&self) {
        self.0.lookups_failed.inc();
    }

    /// A track is recorded from here on.
    pub fn recording_started(&self) {
        self.0.recordings_started.inc();
    }

    /// A recording could not be begun, or not be ended.
    pub fn recording_failed(&self) {
        self.0.recordings_failed.inc();
    }

    /// Everything, in the text form of OpenMetrics. The worker's figures carry the names that LiveKit's workers give them.
    pub fn text(&self, worker: WorkerFigures) -> String {
        let mut scrape = Registry::default();
        let jobs = Gauge::<i64>::default();
        jobs.set(worker.active_jobs.into());
        scrape.register("lk_agents_active_job_count", "Running jobs", jobs);
        let load = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
        load.set(worker.load.into());
        scrape.register(
            "lk_agents_worker_load",
            "Load that is reported to the server, from 0 to 1",
            load,
        );
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = text::encode_registry(&mut text, &self.0.registry)
            .and_then(|()| text::encode_registry(&mut text, &scrape))
            .and_then(|()| text::encode_eof(&mut text));
        text
    }

    fn route(&self, from: &str, to: &str) -> (String, String) {
        let mut routes = self.0.routes.lock();
        let route = (from.to_owned(), to.to_owned());
        if routes.contains(&route) {
            return route;
        }
        if routes.len() == ROUTES_MAX {
            return (OTHER.to_owned(), OTHER.to_owned());
        }
        routes.insert(route.clone());
        route
    }
}

/// A call that is counted as running.
#[derive(Debug)]
pub struct RunningCall(Metrics);

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.0.0.calls.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const WORKER: WorkerFigures = WorkerFigures {
        active_jobs: 3,
        load: 0.25,
    };

    fn figures(to: &str) -> HandoffFigures {
        HandoffFigures {
            handoff: 1,
            from: Some("triage".to_owned()),
            to: to.to_owned(),
            failed: None,
            request_to_ready: Some(Duration::from_millis(3)),
            ready_to_grant: None,
            grant_to_first_frame: Some(Duration::from_millis(30)),
            whole: Duration::from_millis(200),
            sound: None,
            caller_lost: Some(Duration::from_millis(15)),
        }
    }

    #[test]
    fn a_scrape_shows_what_was_counted() {
        let metrics = Metrics::default();
        let running = metrics.call_begun();
        metrics.handoff(&figures("billing"));
        metrics.handoff(&HandoffFigures {
            failed: Some("never_joined"),
            ..figures("billing")
        });
        metrics.rejected("stale_epoch");
        metrics.ignored("no_ticket");
        metrics.frames(LinkCounts {
            acked: 5,
            resent: 2,
        });
        metrics.context_grown(300);
        metrics.state_conflict();
        let text = metrics.text(WORKER);
        for line in [
            "baton_calls 1",
            "baton_handoffs_total{from=\"triage\",to=\"billing\",result=\"done\"} 1",
            "baton_handoffs_total{from=\"triage\",to=\"billing\",result=\"never_joined\"} 1",
            "baton_handoff_ready_seconds_count 2",
            "baton_handoff_splice_wait_seconds_count 0",
            "baton_handoff_caller_lost_seconds_count 2",
            "baton_events_rejected_total{reason=\"stale_epoch\"} 1",
            "baton_packets_ignored_total{reason=\"no_ticket\"} 1",
            "baton_frames_acked_total 5",
            "baton_frames_resent_total 2",
            "baton_context_bytes_total 300",
            "baton_state_conflicts_total 1",
            "lk_agents_active_job_count 3",
            "lk_agents_worker_load 0.25",
            "# EOF",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in:\n{text}"
            );
        }
        drop(running);
        metrics.call_ended("caller_gone");
        let text = metrics.text(WORKER);
        assert!(
            text.contains("baton_calls 0\n")
                && text.contains("baton_calls_ended_total{reason=\"caller_gone\"} 1"),
            "{text}"
        );
    }

    #[test]
    fn routes_beyond_the_bound_share_a_label() {
        let metrics = Metrics::default();
        for n in 0..=ROUTES_MAX {
            metrics.handoff(&figures(&format!("s{n}")));
        }
        let text = metrics.text(WORKER);
        assert_eq!(
            text.matches("baton_handoffs_total{").count(),
            ROUTES_MAX + 1
        );
        assert!(text.contains("to=\"other\""));
    }

    /// Names of ours and of LiveKit's workers in a text.
    fn names_in(text: &str) -> BTreeSet<&str> {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("baton_") || word.starts_with("lk_agents_"))
            .collect()
    }

    #[test]
    fn dashboard_and_alert_rules_ask_for_metrics_that_there_are() {
        let metrics = Metrics::default();
        // What has labels is there when it was counted.
        metrics.handoff(&figures("billing"));
        metrics.call_ended("caller_gone");
        metrics.rejected("stale_epoch");
        metrics.ignored("no_ticket");
        let text = metrics.text(WORKER);
        let mut there = BTreeSet::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            let endings: &[&str] = match kind {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_count", "_sum"],
                _ => &[""],
            };
            there.extend(endings.iter().map(|ending| format!("{name}{ending}")));
        }
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
        for file in ["grafana/baton.json", "prometheus/alerts.yaml"] {
            let text = std::fs::read_to_string(format!("{root}/{file}")).unwrap();
            let asked = names_in(&text);
            assert!(!asked.is_empty(), "{file}");
            for name in asked {
                let known = there.contains(name)
                    // A description may name a whole family.
                    || there.contains(&format!("{name}_bucket"));
                assert!(known, "{file} asks for {name}");
            }
        }
    }
}
