//! Tests of the log lines, each through a subscriber of its own.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tracing::{debug, error, info, info_span, subscriber::with_default, trace, warn};
use tracing_subscriber::{Layer, fmt::MakeWriter, layer::SubscriberExt};

use super::{Hash, LineLayer, LogFormat, LogLevel, Redacted};

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("no writer panics")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn logged(level: &str, format: LogFormat, log: impl FnOnce()) -> String {
    let written = Written::default();
    let level: LogLevel = level.parse().expect("a valid level");
    let layer = LineLayer::new(format, written.clone()).with_filter(level.filter());
    with_default(tracing_subscriber::registry().with(layer), log);
    let bytes = written.0.lock().expect("no writer panics").clone();
    String::from_utf8(bytes).expect("lines are UTF-8")
}

fn json_line(log: impl FnOnce()) -> Value {
    let lines = logged("debug", LogFormat::Json, log);
    assert_eq!(lines.lines().count(), 1, "{lines}");
    serde_json::from_str(&lines).expect("a line is JSON")
}

#[test]
fn a_json_line_has_the_fields_of_livekit_s_workers() {
    let lines = logged("info", LogFormat::Json, || {
        info!(worker_id = "AW_1", load = 0.5, jobs = 3, "registered")
    });
    assert!(lines.starts_with(r#"{"message": "registered", "level": "INFO", "name": "baton::telemetry::tests", "timestamp": "20"#), "{lines}");
    let line: Value = serde_json::from_str(&lines).expect("a line is JSON");
    assert_eq!(
        (&line["worker_id"], &line["load"], &line["jobs"]),
        (&"AW_1".into(), &0.5.into(), &3.into())
    );
}

#[test]
fn fields_of_the_spans_around_an_event_are_on_its_line() {
    let line = json_line(|| {
        let call = info_span!("call", room = "a1", epoch = tracing::field::Empty);
        let _call = call.enter();
        let _step = info_span!("step", room = "inner").entered();
        call.record("epoch", 7);
        info!(job = "AJ_1", "granted");
    });
    assert_eq!(
        (&line["room"], &line["epoch"], &line["job"]),
        (&"inner".into(), &7.into(), &"AJ_1".into())
    );
}

#[test]
fn a_field_cannot_pass_itself_off_as_the_head_of_a_line() {
    let line = json_line(|| warn!(level = "INFO", timestamp = "never", "careful"));
    assert_eq!(
        (&line["level"], &line["message"]),
        (&"WARN".into(), &"careful".into())
    );
    assert_ne!(line["timestamp"], "never");
}

#[test]
fn text_of_several_lines_stays_one_line() {
    for format in [LogFormat::Json, LogFormat::Text] {
        let lines = logged("info", format, || {
            info!(quoted = "a\nb", "first\nsecond\u{1b}[31m")
        });
        assert_eq!(lines.lines().count(), 1, "{lines}");
        assert!(!lines.contains('\u{1b}'), "{lines}");
    }
}

#[test]
fn personal_data_is_written_at_debug_and_below_only() {
    let number = "+15550199";
    for format in [LogFormat::Json, LogFormat::Text] {
        let lines = logged("trace", format, || {
            error!(number = %Redacted(number), "one");
            warn!(number = ?Redacted(number), "two");
            info!("three {}", Redacted(number));
        });
        assert!(
            !lines.contains(number) && lines.matches("[redacted]").count() == 3,
            "{lines}"
        );
        let lines = logged("trace", format, || {
            debug!(number = %Redacted(number), "one");
            trace!("two {}", Redacted(number));
        });
        assert_eq!(lines.matches(number).count(), 2, "{lines}");
    }
}

#[test]
fn personal_data_of_a_span_is_never_written() {
    let lines = logged("trace", LogFormat::Json, || {
        let _call = tracing::debug_span!("call", number = %Redacted("+15550199")).entered();
        error!("lost");
    });
    assert!(!lines.contains("+15550199"), "{lines}");
}

#[test]
fn personal_data_outside_of_a_line_is_hidden() {
    assert_eq!(
        format!("{} {:?}", Redacted("+15550199"), Redacted("+15550199")),
        "[redacted] [redacted]"
    );
}

#[test]
fn an_error_is_written_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot join")]
    struct Outer(#[source] io::Error);
    let failure = Outer(io::Error::other("refused"));
    let line = json_line(|| warn!(error = &failure as &dyn std::error::Error, "lost"));
    assert_eq!(line["error"], "cannot join: refused");
}

#[test]
fn lines_of_other_crates_are_written_from_warn_only() {
    let lines = logged("debug", LogFormat::Text, || {
        info!(target: "livekit::room", "noise");
        warn!(target: "livekit::room", "trouble");
        debug!("ours");
    });
    assert!(
        lines.contains("trouble") && lines.contains("ours") && !lines.contains("noise"),
        "{lines}"
    );
}

#[test]
fn levels_are_those_of_livekit_s_workers_or_directives() {
    for level in [
        "",
        "DEBUG",
        "info",
        "Warning",
        "critical",
        "off",
        "trace",
        "info,worker=debug",
        "livekit=info",
    ] {
        assert!(level.parse::<LogLevel>().is_ok(), "{level} was refused");
    }
    for level in ["loud", "5", "info,worker=loud"] {
        let error = level
            .parse::<LogLevel>()
            .expect_err("there is no such level")
            .to_string();
        assert!(error.ends_with(&format!("found `{level}`")), "{error}");
    }
}

#[test]
fn directives_for_ours_do_not_open_the_sdk_s_lines() {
    let lines = |level| {
        logged(level, LogFormat::Json, || {
            info!(target: "livekit::room", "left call-_+15550199_x");
            warn!(target: "livekit::room", "is slow");
        })
    };
    for level in ["info", "info,worker=debug", "trace,worker=info"] {
        let lines = lines(level);
        assert!(!lines.contains("15550199"), "{level}: {lines}");
        assert!(lines.contains("is slow"), "{level}: {lines}");
    }
    assert!(lines("info,livekit=info").contains("15550199"));
    assert_eq!(lines("worker=debug"), "");
}

#[test]
fn a_hash_hides_the_name_and_is_the_same_for_the_same_name() {
    let room = "call-_+15550199_x";
    assert_eq!(Hash::of(room), Hash::of(room));
    assert_ne!(Hash::of(room), Hash::of("call-_+15550198_x"));
    let shown = Hash::of(room).to_string();
    assert_eq!(shown.len(), 12);
    assert!(!shown.contains("15550199"));
}
