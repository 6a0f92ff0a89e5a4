//! What an expression may ask for.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value as Json, json};

/// What is known of a call at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Seconds since the call began: `call.duration_secs`.
    pub duration_secs: u64,
    /// Handoffs that were started on request: `call.handoffs`.
    pub handoffs: u32,
    /// The caller: `caller`.
    pub caller: &'a CallerFacts,
    /// The shared state: `state`.
    pub state: &'a Json,
    /// Who has the baton; empty if nobody has: `from`.
    pub from: &'a str,
    /// Who is to have it: `to`.
    pub to: &'a str,
    /// Why: `reason`.
    pub reason: &'a str,
    /// Which try in a row to this target it is, from 1: `attempt`.
    pub attempt: u32,
    /// What the clocks show: `time`.
    pub time: LocalTime,
}

/// What is known of the caller. `Debug` shows none of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CallerFacts {
    /// `sip` or `standard`: `caller.kind`.
    pub kind: String,
    /// The room's name: `call.room`.
    pub room: String,
    /// The job's metadata: `call.metadata`.
    pub metadata: String,
    /// The caller's attributes, as `sip.phoneNumber`: `caller.attributes`; the usual ones have names of their own.
    pub attributes: BTreeMap<String, String>,
}

impl fmt::Debug for CallerFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerFacts(..)")
    }
}

/// A time in the configured zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalTime {
    /// `time.year`.
    pub year: i16,
    /// `time.month`, from 1.
    pub month: i8,
    /// `time.day`, from 1.
    pub day: i8,
    /// `time.hour`, from 0.
    pub hour: i8,
    /// `time.minute`, from 0.
    pub minute: i8,
    /// `time.weekday`, from 0 for Monday; an expression sees `mon` to `sun`.
    pub weekday: u8,
}

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// What may be named, with the fields of those that have fixed ones.
pub(crate) const NAMES: &[(&str, Option<&[&str]>)] = &[
    (
        "call",
        Some(&["duration_secs", "handoffs", "metadata", "room"]),
    ),
    (
        "caller",
        Some(&["attributes", "called", "kind", "number", "trunk"]),
    ),
    ("state", None),
    ("from", None),
    ("to", None),
    ("reason", None),
    ("attempt", None),
    (
        "time",
        Some(&[
            "date", "day", "hour", "hhmm", "minute", "month", "weekday", "year",
        ]),
    ),
];

impl Facts<'_> {
    /// The value of a name out of [`NAMES`], but for `state`, which is large.
    pub(crate) fn named(&self, name: &str) -> Json {
        match name {
            "call" => json!({
                "duration_secs": self.duration_secs,
                "handoffs": self.handoffs,
                "room": self.caller.room,
                "metadata": self.caller.metadata,
            }),
            "caller" => self.caller.json(),
            "from" => self.from.into(),
            "to" => self.to.into(),
            "reason" => self.reason.into(),
            "attempt" => self.attempt.into(),
            "time" => self.time.json(),
            _ => Json::Null,
        }
    }
}

impl CallerFacts {
    fn json(&self) -> Json {
        let attribute = |name: &str| self.attributes.get(name).map_or("", String::as_str);
        json!({
            "kind": self.kind,
            "number": attribute("sip.phoneNumber"),
            "called": attribute("sip.trunkPhoneNumber"),
            "trunk": attribute("sip.trunkID"),
            "attributes": self.attributes,
        })
    }
}

impl LocalTime {
    fn json(self) -> Json {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            weekday,
        } = self;
        json!({
            "year": year,
            "month": month,
            "day": day,
            "hour": hour,
            "minute": minute,
            "weekday": WEEKDAYS[usize::from(weekday) % WEEKDAYS.len()],
            "date": format!("{year:04}-{month:02}-{day:02}"),
            "hhmm": format!("{hour:02}:{minute:02}"),
        })
    }
}
