//! Statistics of both engines on the same call, field by field.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use serde_json::Value;

/// Where the two sides' values are the same in this call.
const EQUAL: [&str; 9] = [
    "codec.codec.payload_type",
    "codec.codec.mime_type",
    "codec.codec.clock_rate",
    "codec.codec.channels",
    "inbound_rtp.stream.kind",
    "outbound_rtp.stream.kind",
    "media_source.source.kind",
    "local_candidate.candidate.protocol",
    "remote_candidate.candidate.port",
];
/// Counts and sums of the same call. Each side has joined and asked at its own time, so they differ, by at most this factor.
const ALIKE_MAX: f64 = 5.0;
const ALIKE: [&str; 13] = [
    "inbound_rtp.received.packets_received",
    "inbound_rtp.inbound.bytes_received",
    "inbound_rtp.inbound.total_samples_received",
    "inbound_rtp.inbound.total_samples_duration",
    "inbound_rtp.inbound.audio_level",
    "inbound_rtp.inbound.jitter_buffer_emitted_count",
    "outbound_rtp.sent.packets_sent",
    "outbound_rtp.sent.bytes_sent",
    "media_source.audio.audio_level",
    "media_source.audio.total_audio_energy",
    "media_source.audio.total_samples_duration",
    "transport.transport.packets_sent",
    "transport.transport.packets_received",
];
/// What one side sends and the other receives; each alone differs, as only our SDK compresses a stream of bytes.
const MIRRORED: [[&str; 2]; 2] = [
    [
        "transport.transport.bytes_sent",
        "transport.transport.bytes_received",
    ],
    [
        "transport.transport.bytes_received",
        "transport.transport.bytes_sent",
    ],
];
const MIRRORED_MAX: f64 = 2.0;
/// What the C++ engine tells and ours does not; `docs/engine.md` says so.
const NOT_MEASURED: [&str; 19] = [
    "candidate_pair.candidate_pair.available_outgoing_bitrate",
    "candidate_pair.candidate_pair.consent_requests_sent",
    "candidate_pair.candidate_pair.last_packet_received_timestamp",
    "candidate_pair.candidate_pair.last_packet_sent_timestamp",
    "candidate_pair.candidate_pair.requests_received",
    "candidate_pair.candidate_pair.requests_sent",
    "candidate_pair.candidate_pair.responses_sent",
    "certificate.certificate.base64_certificate",
    "inbound_rtp.inbound.header_bytes_received",
    "inbound_rtp.inbound.jitter_buffer_minimum_delay",
    "inbound_rtp.inbound.total_processing_delay",
    "outbound_rtp.outbound.header_bytes_sent",
    "outbound_rtp.outbound.target_bitrate",
    "remote_candidate.candidate.username_fragment",
    "remote_outbound_rtp.remote_outbound.remote_timestamp",
    "remote_outbound_rtp.remote_outbound.reports_sent",
    "transport.transport.dtls_cipher",
    "transport.transport.srtp_cipher",
    "transport.transport.tls_version",
];
/// What may as well be zero in a call as short as this one, on a line as good, or in the first second of a report.
const MAY_BE_ZERO: [&str; 12] = [
    "candidate_pair.candidate_pair.total_round_trip_time",
    "candidate_pair.candidate_pair.current_round_trip_time",
    "inbound_rtp.received.jitter",
    "inbound_rtp.received.packets_lost",
    "inbound_rtp.inbound.concealed_samples",
    "inbound_rtp.inbound.silent_concealed_samples",
    "inbound_rtp.inbound.concealment_events",
    "inbound_rtp.inbound.packets_discarded",
    "inbound_rtp.inbound.inserted_samples_for_deceleration",
    "inbound_rtp.inbound.removed_samples_for_acceleration",
    "remote_inbound_rtp.received.jitter",
    "remote_inbound_rtp.received.packets_lost",
];

/// Fields by `object.part.field`.
type Fields = BTreeMap<String, Value>;

/// Holds our engine's statistics against the C++ one's of the same call.
pub(crate) fn check(ours: &Value, theirs: &Value) -> Result<()> {
    let (our_sums, their_sums) = (sums(ours), sums(theirs));
    let (ours, theirs) = (fields(ours), fields(theirs));
    let value = |fields: &Fields, name: &str| fields.get(name).cloned().unwrap_or_default();
    let is_told_by_us = |name: &str| ours.get(name).is_some_and(is_told);

    let missing: BTreeSet<&str> = theirs
        .iter()
        .filter(|(name, value)| is_told(value) && !is_told_by_us(name))
        .map(|(name, _)| name.as_str())
        .filter(|name| !MAY_BE_ZERO.contains(name))
        .collect();
    let known = BTreeSet::from(NOT_MEASURED);
    let unknown: Vec<_> = missing.difference(&known).collect();
    ensure!(
        unknown.is_empty(),
        "the C++ engine alone tells {unknown:#?}"
    );
    let stale: Vec<_> = known
        .into_iter()
        .filter(|name| is_told_by_us(name))
        .collect();
    ensure!(stale.is_empty(), "ours tells {stale:#?} by now");

    for name in EQUAL {
        let (ours, theirs) = (value(&ours, name), value(&theirs, name));
        ensure!(
            is_told(&ours) && ours == theirs,
            "{name}: {ours} instead of {theirs}"
        );
    }
    for name in ALIKE {
        let ours = our_sums.get(name).copied().unwrap_or_default();
        let theirs = their_sums.get(name).copied().unwrap_or_default();
        println!("{name}: {ours}, C++ {theirs}");
        ensure!(
            theirs > 0.0 && (1.0 / ALIKE_MAX..=ALIKE_MAX).contains(&(ours / theirs)),
            "{name}: {ours}, and {theirs} on the C++ engine"
        );
    }
    for [name, mirrored] in MIRRORED {
        let ours = our_sums.get(name).copied().unwrap_or_default();
        let theirs = their_sums.get(mirrored).copied().unwrap_or_default();
        println!("{name}: {ours}, C++ {mirrored}: {theirs}");
        ensure!(
            theirs > 0.0 && (1.0 / MIRRORED_MAX..=MIRRORED_MAX).contains(&(ours / theirs)),
            "{name}: {ours}, and {mirrored} {theirs} on the C++ engine"
        );
    }
    Ok(())
}

/// Of objects of one kind, the first that tells a field.
fn fields(objects: &Value) -> Fields {
    let mut all = Fields::new();
    for (name, value) in flat(objects) {
        let known = all.entry(name).or_default();
        if !is_told(known) {
            *known = value;
        }
    }
    all
}

/// Numbers, over all objects of a kind: two connections have two transports.
fn sums(objects: &Value) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for (name, value) in flat(objects) {
        *sums.entry(name).or_default() += value.as_f64().unwrap_or_default();
    }
    sums
}

fn flat(objects: &Value) -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    for object in objects.as_array().into_iter().flatten() {
        for (kind, parts) in object.as_object().into_iter().flatten() {
            flatten(kind, parts, &mut fields);
        }
    }
    fields
}

fn flatten(name: &str, value: &Value, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(parts) if !name.ends_with("durations") => {
            for (part, value) in parts {
                // The SDK for Python has another name for this part.
                let part = match part.as_str() {
                    "local_candidate" | "remote_candidate" => "candidate",
                    part => part,
                };
                flatten(&format!("{name}.{part}"), value, into);
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            into.push((name.to_owned(), value.clone()));
        }
    }
}

fn is_told(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(told) => *told,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(values) => !values.is_empty(),
    }
}
