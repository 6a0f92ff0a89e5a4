//! What Baton writes into a dispatch, and a specialist reads from its job.

use call::{CallId, Identity, SpecialistName, Ticket};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest metadata that is read or written, in bytes.
pub const METADATA_BYTES_MAX: usize = 65_536;

/// The metadata of a dispatch: `{"baton": {...}, "metadata": <the operator's own>}`.
#[derive(Debug, Clone, PartialEq)]
pub struct DispatchMetadata {
    /// What binds the specialist to its call.
    pub baton: DispatchBinding,
    /// What the operator wants the specialist to have; null if nothing.
    pub metadata: Value,
}

/// What binds a specialist to its call. `Debug` does not print the ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DispatchBinding {
    /// The call.
    pub call: CallId,
    /// To be shown in the Hello.
    pub ticket: Ticket,
    /// The identity of Baton in the room: the only one to listen to, and the only one that may subscribe.
    pub orchestrator: Identity,
    /// The specialist's name in Baton's configuration.
    pub specialist: SpecialistName,
}

impl DispatchMetadata {
    /// The metadata as JSON.
    ///
    /// # Errors
    /// If it is longer than [`METADATA_BYTES_MAX`].
    pub fn to_json(&self) -> Result<String, MetadataError> {
        let DispatchBinding {
            call,
            ticket,
            orchestrator,
            specialist,
        } = &self.baton;
        let raw = RawMetadata {
            baton: RawBinding {
                call: call.as_str().to_owned(),
                ticket: ticket.as_str().to_owned(),
                orchestrator: orchestrator.as_str().to_owned(),
                specialist: specialist.as_str().to_owned(),
            },
            metadata: self.metadata.clone(),
        };
        let json = serde_json::to_string(&raw).map_err(|error| MetadataError::NotJson {
            detail: error.to_string(),
        })?;
        check_length(&json)?;
        Ok(json)
    }

    /// Reads metadata. Fields that are not known are ignored: a newer Baton may write more.
    ///
    /// # Errors
    /// If it is too long, no JSON, or not written by Baton: then the job was dispatched by somebody else.
    pub fn parse(json: &str) -> Result<Self, MetadataError> {
        check_length(json)?;
        let value: Value = serde_json::from_str(json).map_err(|error| MetadataError::NotJson {
            detail: error.to_string(),
        })?;
        if value.get("baton").is_none() {
            return Err(MetadataError::NotFromBaton);
        }
        // The message of serde would quote the value, which may be the ticket.
        let raw: RawMetadata =
            serde_json::from_value(value).map_err(|_| MetadataError::Incomplete)?;
        let RawBinding {
            call,
            ticket,
            orchestrator,
            specialist,
        } = raw.baton;
        if [&call, &ticket, &orchestrator, &specialist]
            .into_iter()
            .any(String::is_empty)
        {
            return Err(MetadataError::Incomplete);
        }
        Ok(Self {
            baton: DispatchBinding {
                call: call.into(),
                ticket: ticket.into(),
                orchestrator: orchestrator.into(),
                specialist: specialist.into(),
            },
            metadata: raw.metadata,
        })
    }
}

/// Why metadata cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// It is too long.
    #[error("the dispatch's metadata has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// It is no JSON.
    #[error("the dispatch's metadata is no json: {detail}")]
    NotJson {
        /// Where and why.
        detail: String,
    },
    /// It has no `baton` object.
    #[error("the dispatch's metadata has no \"baton\": the job was not dispatched by Baton")]
    NotFromBaton,
    /// Its `baton` object lacks something.
    #[error(
        "\"baton\" in the dispatch's metadata must have call, ticket, orchestrator and specialist, each a string that is not empty"
    )]
    Incomplete,
}

#[derive(Serialize, Deserialize)]
struct RawMetadata {
    baton: RawBinding,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    metadata: Value,
}

#[derive(Serialize, Deserialize)]
struct RawBinding {
    call: String,
    ticket: String,
    orchestrator: String,
    specialist: String,
}

fn check_length(json: &str) -> Result<(), MetadataError> {
    if json.len() > METADATA_BYTES_MAX {
        return Err(MetadataError::TooLarge {
            bytes: json.len(),
            limit: METADATA_BYTES_MAX,
        });
    }
    Ok(())
}
