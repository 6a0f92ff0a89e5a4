//! Dispatch metadata.

use serde_json::json;
use wire::{DispatchBinding, DispatchMetadata, MetadataError};

fn metadata() -> DispatchMetadata {
    DispatchMetadata {
        baton: DispatchBinding {
            call: "call-17".into(),
            ticket: "7d1f0c3e5a".into(),
            orchestrator: "baton-AJ_1".into(),
            specialist: "billing".into(),
        },
        metadata: json!({"tenant": "acme"}),
    }
}

#[test]
fn metadata_is_read_as_it_was_written() {
    let json = metadata().to_json().unwrap();
    assert_eq!(DispatchMetadata::parse(&json), Ok(metadata()));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&json).unwrap(),
        json!({
            "baton": {"call": "call-17", "ticket": "7d1f0c3e5a", "orchestrator": "baton-AJ_1", "specialist": "billing"},
            "metadata": {"tenant": "acme"},
        })
    );
}

#[test]
fn a_newer_batons_fields_are_ignored() {
    let json = r#"{"baton":{"call":"call-17","ticket":"7d1f0c3e5a","orchestrator":"baton-AJ_1","specialist":"billing","new":1},"metadata":{"tenant":"acme"},"new":2}"#;
    assert_eq!(DispatchMetadata::parse(json), Ok(metadata()));
}

#[test]
fn jobs_of_others_are_told_apart() {
    for json in ["", "hello", "{"] {
        let error = DispatchMetadata::parse(json).unwrap_err();
        assert!(
            matches!(error, MetadataError::NotJson { .. }),
            "{json:?}: {error}"
        );
    }
    for json in ["{}", "[]", "null", r#"{"metadata":1}"#] {
        assert_eq!(
            DispatchMetadata::parse(json),
            Err(MetadataError::NotFromBaton)
        );
    }
    let without_ticket =
        r#"{"baton":{"call":"c","ticket":"","orchestrator":"o","specialist":"s"}}"#;
    for json in [r#"{"baton":{}}"#, r#"{"baton":7}"#, without_ticket] {
        assert_eq!(
            DispatchMetadata::parse(json),
            Err(MetadataError::Incomplete)
        );
    }
}

#[test]
fn long_metadata_is_refused() {
    let mut metadata = metadata();
    metadata.metadata = json!("x".repeat(wire::METADATA_BYTES_MAX));
    assert!(matches!(
        metadata.to_json(),
        Err(MetadataError::TooLarge { limit: 65_536, .. })
    ));
}

#[test]
fn a_ticket_shows_in_no_message() {
    let json = r#"{"baton":{"call":1,"ticket":"7d1f0c3e5a","orchestrator":"o","specialist":"s"}}"#;
    let error = DispatchMetadata::parse(json).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("7d1f"));
    assert!(!format!("{:?}", metadata()).contains("7d1f"));
}
