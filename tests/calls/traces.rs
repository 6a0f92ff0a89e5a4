//! A call's trace, as a collector gets it by OTLP.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;

use crate::baton::Config;
use crate::stage::{PHONE, ROOM, Stage};
use crate::{BILLING_HZ, TRIAGE_HZ};

type Taken = Arc<Mutex<Vec<ExportTraceServiceRequest>>>;

/// Takes what is sent to it; its address, as the environment has it.
async fn collector() -> (String, Taken) {
    let taken = Taken::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let take = async |State(taken): State<Taken>, body: Bytes| {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        taken.lock().unwrap().push(request);
    };
    let router = Router::new()
        .route("/v1/traces", post(take))
        .with_state(taken.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, taken)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_one_trace_with_a_span_for_each_phase_and_handoff() {
    let (address, taken) = collector().await;
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", address.as_str())];
    let config = Config::new(&["triage", "billing"]);
    let mut stage = Stage::set_with(&config, &environment).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let billing = stage.cast("billing", BILLING_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    triage.hand_off("billing").await.unwrap();
    caller.hears(BILLING_HZ).await;
    caller.hang_up().await;
    stage.baton.idle().await;
    // What is left is sent before it ends.
    stage.baton.terminate();
    stage.baton.end(Duration::from_secs(30)).await;

    let requests = taken.lock().unwrap().clone();
    let resource = requests[0].resource_spans[0].resource.clone().unwrap();
    let service = resource
        .attributes
        .iter()
        .find(|attribute| attribute.key == "service.name");
    assert!(
        format!("{service:?}").contains("\"baton\""),
        "the service says what it is: {service:?}"
    );
    let spans: Vec<Span> = requests
        .iter()
        .flat_map(|request| &request.resource_spans)
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| scope.spans.clone())
        .collect();
    let named =
        |name: &str| -> Vec<&Span> { spans.iter().filter(|span| span.name == name).collect() };
    let traces: BTreeSet<_> = spans.iter().map(|span| span.trace_id.clone()).collect();
    assert_eq!(traces.len(), 1, "one call is one trace");
    let [call] = named("call")[..] else {
        panic!("not one span of the call: {spans:?}")
    };
    assert!(call.parent_span_id.is_empty());
    for span in &spans {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        assert!(span.start_time_unix_nano >= call.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= call.end_time_unix_nano);
    }
    let children = |parent: &Span| -> Vec<String> {
        let mut children: Vec<&Span> = spans
            .iter()
            .filter(|span| span.parent_span_id == parent.span_id)
            .collect();
        children.sort_by_key(|span| span.start_time_unix_nano);
        children.iter().map(|span| span.name.clone()).collect()
    };
    // The first handoff has nobody to take over from: it is done once its target has taken the grant, heard or not.
    for (name, parts) in [
        (
            "handoff nobody to triage",
            &["prepare", "splice"].map(str::to_owned)[..],
        ),
        (
            "handoff triage to billing",
            &["prepare", "splice", "first frame"].map(str::to_owned),
        ),
    ] {
        let [handoff] = named(name)[..] else {
            panic!("not one span `{name}`: {spans:?}")
        };
        assert_eq!(handoff.parent_span_id, call.span_id);
        let children = children(handoff);
        assert!(children.starts_with(parts), "{children:?}");
    }
    let phases = children(call);
    for phase in ["preparing", "switching", "active"] {
        assert!(
            phases.iter().any(|name| name == phase),
            "no {phase} in {phases:?}"
        );
    }

    // Specialists and logs name the same trace.
    let (trace, root) = (hex(&call.trace_id), hex(&call.span_id));
    let expected = format!("00-{trace}-{root}-01");
    assert_eq!(triage.traceparents(), [Some(expected.clone())]);
    assert_eq!(billing.traceparents(), [Some(expected)]);
    let done = stage.baton.lines("handoff done");
    assert_eq!(done.len(), 2);
    for line in done {
        assert_eq!(line["trace"], trace.as_str());
        assert_eq!(line["call"], stage.baton.lines("call begun")[0]["call"]);
    }

    let all = format!("{requests:?}");
    for personal in [&PHONE[1..], ROOM] {
        assert!(!all.contains(personal), "a span tells {personal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_nothing_is_traced_and_one_that_is_gone_holds_nothing_up() {
    let config = Config::new(&["triage"]);
    let stage = Stage::set(&config).await;
    let triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    assert_eq!(triage.traceparents(), [None]);
    assert!(
        stage.baton.lines("granted")[0]["trace"].is_null(),
        "there is no trace to name"
    );

    // Bound and never read.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", deaf.local_addr().unwrap());
    let environment = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", address.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ];
    let mut stage = Stage::set_with(&config, &environment).await;
    let _triage = stage.cast("triage", TRIAGE_HZ).await;
    let caller = stage.dial().await;
    caller.hears(TRIAGE_HZ).await;
    caller.hang_up().await;
    stage.baton.idle().await;
    stage.baton.terminate();
    let status = stage.baton.end(Duration::from_secs(20)).await;
    assert!(status.success(), "{status}");
    assert!(stage.baton.said("not all traces were sent"));
}
