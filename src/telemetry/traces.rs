//! Traces: one for each call, sent to an OpenTelemetry collector by OTLP.
//!
//! ```text
//! call ──────────────────────────────────────────────────
//!   preparing ───  active ─────────  switching ──  active ──   phases
//!                            handoff ─────────────
//!                              prepare ─────
//!                                splice ─────
//!                                  first frame ──
//!                                                 dead air ──
//! ```
//!
//! They are on if the environment names a collector, by OpenTelemetry's own variables. The ids of a call and of its outermost span
//! are made of the call's own id: a process that goes on with a call goes on with its trace, and nobody needs to tell it which.
//!
//! # What never happens here
//! - A span carries nothing that anybody said, and no name of a room or a caller but as its hash.
//! - A collector that is slow or gone holds up no call: what does not fit into the queue is dropped.

use std::{
    borrow::Cow,
    env, fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _},
};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

use super::HandoffFigures;
use crate::clock;

/// What turns traces on, the first for all that OpenTelemetry sends and the second for traces alone: a collector's address, such as
/// `http://localhost:4318`.
const ENDPOINT_VARIABLES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];
/// What turns them off all the same, if it is `true`.
const DISABLED_VARIABLE: &str = "OTEL_SDK_DISABLED";
/// The name of the service, unless OTEL_SERVICE_NAME says another.
const SERVICE: &str = "baton";

/// Where traces go, if they go anywhere.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<BatchSpanProcessor>>);

impl Traces {
    /// Traces to the collector that the environment names; none if it names none.
    ///
    /// # Errors
    /// If what the environment says cannot be used.
    pub fn from_environment() -> Result<Self, ExporterBuildError> {
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let disabled = env::var(DISABLED_VARIABLE).is_ok_and(|said| said.trim() == "true");
        if disabled || !ENDPOINT_VARIABLES.into_iter().any(is_set) {
            return Ok(Self::default());
        }
        let exporter = SpanExporter::builder().with_http().build()?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let mut resource = Resource::builder();
        if !is_set("OTEL_SERVICE_NAME") {
            resource = resource.with_service_name(SERVICE);
        }
        processor.set_resource(&resource.build());
        Ok(Self(Some(Arc::new(processor))))
    }

    /// Whether there are any.
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// The trace of one call, which begins now or goes on.
    pub fn of_call(&self, call: &str) -> CallTrace {
        let digest = Sha256::digest(call.as_bytes());
        let (mut trace, mut root) = ([0; 16], [0; 8]);
        trace.copy_from_slice(&digest[..16]);
        root.copy_from_slice(&digest[16..24]);
        CallTrace {
            traces: self.clone(),
            call: call.to_owned(),
            trace: TraceId::from_bytes(trace),
            root: SpanId::from_bytes(root),
            begun: clock::wall(),
            phase: None,
            dead_air: None,
        }
    }

    /// Sends what is still to be sent, for so long at most. It blocks.
    ///
    /// # Errors
    /// If it could not be sent; what the collector did is said.
    pub fn close(&self, longest: Duration) -> Result<(), impl fmt::Display + use<>> {
        match &self.0 {
            Some(processor) => processor.shutdown_with_timeout(longest),
            None => Ok(()),
        }
    }

    fn send(&self, span: SpanData) {
        if let Some(processor) = &self.0 {
            processor.on_end(span);
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Traces")
            .field(&self.are_on())
            .finish()
    }
}

/// The trace of one call, as far as this process has a part in it.
#[derive(Debug)]
pub struct CallTrace {
    traces: Traces,
    call: String,
    trace: TraceId,
    root: SpanId,
    begun: SystemTime,
    phase: Option<(&'static str, SystemTime)>,
    dead_air: Option<SystemTime>,
}

impl CallTrace {
    /// The trace's id, if the call is traced.
    pub fn id(&self) -> Option<TraceId> {
        self.traces.are_on().then_some(self.trace)
    }

    /// What joins another program's spans to the call's, as the W3C's Trace Context has it; nothing if the call is not traced.
    pub fn traceparent(&self) -> Option<String> {
        let (trace, root) = (self.trace, self.root);
        self.traces
            .are_on()
            .then(|| format!("00-{trace:032x}-{root:016x}-01"))
    }

    /// The call is in another phase now.
    pub fn phase(&mut self, name: &'static str) {
        if self.phase.is_some_and(|(current, _)| current == name) {
            return;
        }
        self.end_phase();
        self.phase = Some((name, clock::wall()));
    }

    /// The caller hears nobody.
    pub fn dead_air_began(&mut self) {
        self.dead_air.get_or_insert_with(clock::wall);
    }

    /// The caller hears somebody again.
    pub fn dead_air_ended(&mut self) {
        if let Some(begun) = self.dead_air.take() {
            let span = self.span(self.root, "dead air", begun, clock::wall());
            self.traces.send(span);
        }
    }

    /// A handoff has ended just now.
    pub fn handoff(&self, figures: &HandoffFigures) {
        let HandoffFigures {
            handoff,
            from,
            to,
            failed,
            request_to_ready,
            ready_to_grant,
            grant_to_first_frame,
            whole,
            sound,
            caller_lost,
        } = figures;
        let ended = clock::wall();
        let begun = ended - *whole;
        let from = from.clone().unwrap_or_else(|| "nobody".to_owned());
        let mut span = self.span(self.root, format!("handoff {from} to {to}"), begun, ended);
        let id = span.span_context.span_id();
        span.attributes = vec![
            KeyValue::new("baton.handoff", i64::try_from(*handoff).unwrap_or(i64::MAX)),
            KeyValue::new("baton.from", from),
            KeyValue::new("baton.to", to.clone()),
            KeyValue::new("baton.result", figures.result()),
        ];
        if let Some(sound) = sound {
            let silence = i64::from(sound.silence_ms);
            let overlap = i64::from(sound.overlap_ms);
            span.attributes
                .push(KeyValue::new("baton.silence_ms", silence));
            span.attributes
                .push(KeyValue::new("baton.overlap_ms", overlap));
        }
        if let Some(lost) = caller_lost {
            let lost = i64::try_from(lost.as_millis()).unwrap_or(i64::MAX);
            span.attributes
                .push(KeyValue::new("baton.caller_lost_ms", lost));
        }
        if let Some(reason) = failed {
            span.status = Status::error(*reason);
        }
        let mut at = begun;
        for (name, took) in [
            ("prepare", request_to_ready),
            ("splice", ready_to_grant),
            ("first frame", grant_to_first_frame),
        ] {
            let Some(took) = took else { break };
            self.traces.send(self.span(id, name, at, at + *took));
            at += *took;
        }
        self.traces.send(span);
    }

    /// The call has ended; `reason` is from a closed list.
    pub fn end(&mut self, reason: &'static str) {
        self.end_phase();
        self.dead_air_ended();
        let mut span = self.span(self.root, "call", self.begun, clock::wall());
        span.span_context = self.context(self.root);
        span.parent_span_id = SpanId::INVALID;
        span.attributes = vec![
            KeyValue::new("baton.call", self.call.clone()),
            KeyValue::new("baton.end", reason),
        ];
        self.traces.send(span);
    }

    fn end_phase(&mut self) {
        if let Some((name, begun)) = self.phase.take() {
            let span = self.span(self.root, name, begun, clock::wall());
            self.traces.send(span);
        }
    }

    fn context(&self, span: SpanId) -> SpanContext {
        SpanContext::new(
            self.trace,
            span,
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        )
    }

    fn span(
        &self,
        parent: SpanId,
        name: impl Into<Cow<'static, str>>,
        start_time: SystemTime,
        end_time: SystemTime,
    ) -> SpanData {
        let id = SpanId::from(rand::rng().random_range(1..=u64::MAX));
        SpanData {
            span_context: self.context(id),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time,
            end_time,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder(SERVICE).build(),
        }
    }
}
