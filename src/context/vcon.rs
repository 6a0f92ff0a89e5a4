//! A finished call as a vCon, the IETF's container for conversations (draft-ietf-vcon-vcon-core, syntax 0.4.0).
//!
//! The caller is the first party, each specialist one more, and Baton the last: it adds the packet as an attachment, from
//! which nothing is missing. Where there are recordings, they are the dialogs, and what was said is a transcript of them;
//! else each message is a dialog of its own.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::livekit::{LivekitItem, Type};
use crate::made::UnixMillis;
use crate::packet::{Packet, PacketError};

/// The version of the syntax that is written.
pub const VCON_VERSION: &str = "0.4.0";

/// The one who speaks before any handoff says who.
const SOMEBODY: &str = "agent";

/// What the journal of a finished call says, and its packet does not.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallRecord {
    /// When the call began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// When it ended.
    pub ended_unix_ms: u64,
    /// What it was about.
    #[serde(default)]
    pub subject: Option<String>,
    /// Who got the baton when, oldest first.
    #[serde(default)]
    pub grants: Vec<RecordedGrant>,
    /// What was recorded of it.
    #[serde(default)]
    pub recordings: Vec<Recording>,
}

impl CallRecord {
    /// What a conversation itself says of when it was; nothing if none of its items has a time.
    pub fn of(items: &[LivekitItem]) -> Option<Self> {
        let times: Vec<u64> = items.iter().filter_map(unix_ms).collect();
        Some(Self {
            started_unix_ms: *times.iter().min()?,
            ended_unix_ms: *times.iter().max()?,
            subject: None,
            grants: Vec::new(),
            recordings: Vec::new(),
        })
    }
}

/// A specialist got the baton.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedGrant {
    /// The specialist.
    pub specialist: String,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
}

/// A file with the voices of a call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// Where it is, by HTTPS.
    pub url: String,
    /// Its hash, as `sha512-` and the hash in base64url.
    pub content_hash: String,
    /// What it is, such as `audio/ogg`.
    #[serde(default)]
    pub mediatype: Option<String>,
    /// When it begins, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// How long it is, in milliseconds.
    #[serde(default)]
    pub duration_ms: Option<u64>,
}

/// Why a call is no vCon.
#[derive(Debug, thiserror::Error)]
pub enum VconError {
    /// The packet cannot be used.
    #[error("the packet cannot be used")]
    Packet(#[from] PacketError),
    /// A time is beyond the year 9999.
    #[error("{unix_ms} ms after 1970 is no time of a call")]
    Time {
        /// What was given.
        unix_ms: u64,
    },
    /// Something that is fetched from elsewhere must be fetched safely.
    #[error("a recording is at {url:?}, which does not begin with https://")]
    Url {
        /// Where it is.
        url: String,
    },
}

/// Somebody said something.
struct Said<'a> {
    party: usize,
    at: String,
    words: String,
    item: &'a LivekitItem,
}

/// Those who took part, by their places.
struct Parties<'a> {
    /// Beside the caller, who has place 0.
    specialists: Vec<&'a str>,
}

/// An id for [`Packet::to_vcon`]: a UUID of version 8, of when it was made and a hash of what it is for.
pub fn vcon_uuid(packet: &Packet, now: UnixMillis) -> String {
    let hash = Sha256::digest(packet.to_json());
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&now.0.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&hash[..10]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = |range: std::ops::Range<usize>| -> String {
        bytes[range]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    [hex(0..4), hex(4..6), hex(6..8), hex(8..10), hex(10..16)].join("-")
}

impl Packet {
    /// The call as a vCon with this id, made at this time.
    pub fn to_vcon(
        &self,
        record: &CallRecord,
        uuid: &str,
        created_at: UnixMillis,
    ) -> Result<Value, VconError> {
        let CallRecord {
            started_unix_ms,
            ended_unix_ms,
            subject,
            grants,
            recordings,
        } = record;
        let started = rfc3339(*started_unix_ms)?;
        let ended = rfc3339(*ended_unix_ms)?;
        let (items, _) = self.items("item_")?;
        let parties = Parties::of(self, grants, &items);
        let said = said(
            &items,
            &parties,
            self.first_holder(grants, &items),
            &started,
        );
        let everybody: Vec<usize> = (0..=parties.specialists.len()).collect();
        let mut dialog = Vec::new();
        for recording in recordings {
            dialog.push(recorded(recording, &everybody)?);
        }
        let mut analysis = Vec::new();
        if dialog.is_empty() {
            dialog.extend(said.iter().map(written));
        } else if !said.is_empty() {
            analysis.push(transcript(&said, dialog.len()));
        }
        if dialog.is_empty() {
            // Something must be there for the attachment to belong to: a call in which nobody said anything.
            dialog.push(json!({
                "type": "incomplete", "disposition": "hung-up", "start": started, "parties": everybody,
            }));
        }
        dialog[0]["party_history"] = history(grants, &parties, &started, &ended)?;
        analysis.extend(summaries(&items, dialog.len()));
        let mut vcon = json!({
            "vcon": VCON_VERSION, "uuid": uuid, "created_at": rfc3339(created_at.0)?,
            "parties": parties.write(self), "dialog": dialog, "analysis": analysis,
            "attachments": [{
                "purpose": "handoff packet", "start": ended, "party": parties.baton(), "dialog": 0,
                "mediatype": "application/json", "filename": "packet.json", "encoding": "json",
                "body": serde_json::to_value(self).unwrap_or_default(),
            }],
        });
        if let Some(subject) = subject {
            vcon["subject"] = subject.as_str().into();
        }
        Ok(vcon)
    }

    fn first_holder<'a>(
        &'a self,
        grants: &'a [RecordedGrant],
        items: &'a [LivekitItem],
    ) -> &'a str {
        let handoff = items.iter().find(|item| item.kind() == Type::Handoff);
        let left = handoff.map(|handoff| handoff.text("old_agent_id"));
        left.filter(|left| !left.is_empty())
            .or_else(|| grants.first().map(|grant| grant.specialist.as_str()))
            .or(self.route.from.as_deref())
            .or(self.route.to.as_deref())
            .unwrap_or(SOMEBODY)
    }
}

impl<'a> Parties<'a> {
    fn of(packet: &'a Packet, grants: &'a [RecordedGrant], items: &'a [LivekitItem]) -> Self {
        let handoffs = items.iter().filter(|item| item.kind() == Type::Handoff);
        let handed =
            handoffs.flat_map(|item| [item.text("old_agent_id"), item.text("new_agent_id")]);
        let granted = grants.iter().map(|grant| grant.specialist.as_str());
        let routed = [packet.route.from.as_deref(), packet.route.to.as_deref()];
        let first = [packet.first_holder(grants, items)];
        let mut specialists = Vec::new();
        let all = first.into_iter().chain(granted).chain(handed);
        for name in all.chain(routed.into_iter().flatten()) {
            if !name.is_empty() && !specialists.contains(&name) {
                specialists.push(name);
            }
        }
        Self { specialists }
    }

    /// The place of a specialist; they have all been collected.
    fn place(&self, specialist: &str) -> usize {
        let known = self.specialists.iter().position(|name| *name == specialist);
        known.map_or(1, |place| place + 1)
    }

    fn baton(&self) -> usize {
        self.specialists.len() + 1
    }

    fn write(&self, packet: &Packet) -> Vec<Value> {
        let line = packet.telephony.as_ref();
        let mut caller = Map::new();
        caller.insert("type".to_owned(), "person".into());
        if let Some(number) = line.and_then(|line| line.caller_number.as_deref()) {
            caller.insert("tel".to_owned(), number.into());
        }
        let mut parties = vec![Value::Object(caller)];
        for name in &self.specialists {
            let mut party = json!({"type": "bot", "name": name});
            if let Some(number) = line.and_then(|line| line.called_number.as_deref()) {
                party["tel"] = number.into();
            }
            parties.push(party);
        }
        parties.push(json!({"type": "bot", "name": "baton"}));
        parties
    }
}

/// What was said, by whom and when. A message without a time has that of what was before it.
fn said<'a>(
    items: &'a [LivekitItem],
    parties: &Parties<'_>,
    first_holder: &str,
    started: &str,
) -> Vec<Said<'a>> {
    let mut holder = parties.place(first_holder);
    let mut at = started.to_owned();
    let mut said = Vec::new();
    for item in items {
        if let Some(time) = unix_ms(item).and_then(|unix_ms| rfc3339(unix_ms).ok()) {
            at = time;
        }
        match item.kind() {
            Type::Handoff => holder = parties.place(item.text("new_agent_id")),
            Type::Message if !is_summary(item) => {
                let party = match item.text("role") {
                    "user" => 0,
                    "assistant" => holder,
                    _ => continue,
                };
                let words = item.words().join("\n");
                if !words.is_empty() {
                    said.push(Said {
                        party,
                        at: at.clone(),
                        words,
                        item,
                    });
                }
            }
            Type::Message | Type::Call | Type::Output | Type::ConfigUpdate => {}
        }
    }
    said
}

fn recorded(recording: &Recording, everybody: &[usize]) -> Result<Value, VconError> {
    let Recording {
        url,
        content_hash,
        mediatype,
        started_unix_ms,
        duration_ms,
    } = recording;
    if !url.starts_with("https://") {
        return Err(VconError::Url { url: url.clone() });
    }
    let mut dialog = json!({
        "type": "recording", "start": rfc3339(*started_unix_ms)?, "parties": everybody, "url": url,
        "content_hash": content_hash,
    });
    if let Some(mediatype) = mediatype {
        dialog["mediatype"] = mediatype.as_str().into();
    }
    if let Some(duration) = duration_ms {
        // Exact up to 2^53 ms.
        dialog["duration"] = (*duration as f64 / 1000.0).into();
    }
    Ok(dialog)
}

fn written(said: &Said<'_>) -> Value {
    json!({
        "type": "text", "start": said.at, "parties": [said.party], "mediatype": "text/plain",
        "encoding": "none", "body": said.words, "message_id": said.item.id(),
    })
}

fn transcript(said: &[Said<'_>], recordings: usize) -> Value {
    let lines: Vec<Value> = said
        .iter()
        .map(|said| {
            json!({
                "id": said.item.id(), "party": said.party, "start": said.at, "text": said.words,
                "interrupted": said.item.flag("interrupted"),
            })
        })
        .collect();
    json!({
        "type": "transcript", "dialog": (0..recordings).collect::<Vec<_>>(), "vendor": "baton",
        "schema": "lines", "mediatype": "application/json", "encoding": "json",
        "body": {"lines": lines},
    })
}

/// Summaries that the specialists made for one another.
fn summaries(items: &[LivekitItem], dialogs: usize) -> impl Iterator<Item = Value> {
    let of: Vec<usize> = (0..dialogs).collect();
    let summaries = items.iter().filter(|item| is_summary(item));
    summaries.map(move |item| {
        json!({
            "type": "summary", "dialog": of, "vendor": "baton", "mediatype": "text/plain",
            "encoding": "none", "body": item.words().join("\n"),
        })
    })
}

fn is_summary(item: &LivekitItem) -> bool {
    let extra = item.fields().get("extra").and_then(Value::as_object);
    extra.is_some_and(|extra| extra.get("is_summary") == Some(&Value::Bool(true)))
}

/// The caller is there from the first to the last; a specialist while it has the baton.
fn history(
    grants: &[RecordedGrant],
    parties: &Parties<'_>,
    started: &str,
    ended: &str,
) -> Result<Value, VconError> {
    let event = |party: usize, time: &str, event: &str| json!({"party": party, "time": time, "event": event});
    let mut history = vec![event(0, started, "join")];
    let mut holder = None;
    for grant in grants {
        let at = rfc3339(grant.unix_ms)?;
        let next = parties.place(&grant.specialist);
        if holder == Some(next) {
            continue;
        }
        history.push(event(next, &at, "join"));
        if let Some(last) = holder.replace(next) {
            history.push(event(last, &at, "drop"));
        }
    }
    if let Some(last) = holder {
        history.push(event(last, ended, "drop"));
    }
    history.push(event(0, ended, "drop"));
    Ok(history.into())
}

/// When an item was made.
fn unix_ms(item: &LivekitItem) -> Option<u64> {
    let seconds = item.fields().get("created_at").and_then(Value::as_f64)?;
    // Saturates.
    (seconds > 0.0).then_some((seconds * 1000.0) as u64)
}

fn rfc3339(unix_ms: u64) -> Result<String, VconError> {
    let wrong = || VconError::Time { unix_ms };
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000);
    time.map_err(|_| wrong())?
        .format(&Rfc3339)
        .map_err(|_| wrong())
}
