//! A specialist that is a person, how it is rung and which keys it presses, or a SIP address to which a call leaves.

use std::path::PathBuf;

use call::{After, Digit, Lifetime, SpecialistConfig, SpecialistKind, TIMER_MS_MAX};

use super::{
    context,
    option::Refusal,
    problem::Problem,
    reader::Section,
    rule::{DIGIT_FORM, parse_digit},
};

/// The longest wait for a person that needs no word of the operator's.
const ACCEPT_MS: u64 = 30_000;
/// How long a SIP address may take to answer.
const ANSWER_MS: u64 = 30_000;
/// LiveKit's server waits no longer for a phone.
const ANSWER_MS_MAX: u64 = 80_000;
const ADDRESS_FORM: &str = "`sip:` or `tel:` and an address";
const NUMBER_FORM: &str = "a number, a SIP user, or `sip:` and an address";
const NUMBER_CHARS_MAX: usize = 128;

/// A specialist that is a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Human {
    /// How it is rung; without, it is waited for in its side room.
    pub sip: Option<Dial>,
    /// A WAV or Ogg Opus file that it hears over and over until it accepts.
    pub briefing: Option<PathBuf>,
    /// The address of a service that reads the route's summary out, which the person then hears instead.
    pub speech: Option<String>,
    /// The key that accepts the call.
    pub accept: Digit,
    /// The key that declines it.
    pub decline: Digit,
    /// The key that gives the baton back to whoever had it before.
    pub hand_back: Digit,
}

/// Whom to ring, and by which trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// The id of an outbound trunk, `ST_...`.
    pub trunk: String,
    /// The number.
    pub number: String,
}

/// What a specialist is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Baton,
    LivekitAgent,
    Human,
    Sip,
}

/// Reads what is said of a person, and gives it if the specialist is one.
pub(super) fn read(section: &mut Section<'_, '_>, word: Word) -> (SpecialistKind, Option<Human>) {
    let problems = section.problems();
    let accept_timeout_ms = section.optional_integer("accept_timeout_ms", 1_000..=TIMER_MS_MAX);
    let answer_timeout_ms = section.integer("answer_timeout_ms", 1_000..=ANSWER_MS_MAX, ANSWER_MS);
    let briefing = section.text("briefing", "the path of a WAV or Ogg Opus file");
    let speech = context::read_webhook(section, "briefing_speech");
    let mut key = |name, default: &str| {
        let read = section.parsed(
            name,
            DIGIT_FORM,
            Some(&format!("\"{default}\"")),
            parse_digit,
        );
        read.or_else(|| default.chars().next().and_then(Digit::new))
    };
    let keys = [
        key("accept_digit", "1"),
        key("decline_digit", "2"),
        key("hand_back_digit", "*"),
    ];
    let sip = section.part("sip", read_dial);
    let [Some(accept), Some(decline), Some(hand_back)] = keys else {
        unreachable!("each default is a key");
    };
    match word {
        Word::Baton => return (SpecialistKind::Baton, None),
        Word::LivekitAgent => return (SpecialistKind::LivekitAgent, None),
        Word::Sip => return (SpecialistKind::Sip { answer_timeout_ms }, None),
        Word::Human => {}
    }
    if section.problems() == problems {
        if accept_timeout_ms.is_none() {
            let help = format!(
                "say how long it may ring until the person has accepted, as `accept_timeout_ms: {ACCEPT_MS}`"
            );
            section.require("accept_timeout_ms", help);
        }
        if [decline, hand_back].contains(&accept) || decline == hand_back {
            section.report(|at, path| {
                let message =
                    "one key stands for two of accept_digit, decline_digit and hand_back_digit";
                Problem::error(at, path, message).help("give each a key of its own")
            });
        }
    }
    let kind = SpecialistKind::Human {
        accept_timeout_ms: accept_timeout_ms.unwrap_or(ACCEPT_MS),
    };
    let human = Human {
        sip,
        briefing: briefing.map(PathBuf::from),
        speech,
        accept,
        decline,
        hand_back,
    };
    (kind, Some(human))
}

/// What becomes of a person is no choice: it is let go after a handoff, and nobody parks it.
pub(super) fn as_a_person(
    section: &mut Section<'_, '_>,
    specialist: SpecialistConfig,
) -> SpecialistConfig {
    let message = match specialist.lifetime {
        Lifetime::OnDemand => None,
        Lifetime::Resident => Some("the person is rung at the start of every call"),
        Lifetime::Prewarmed => Some("the person is rung before anybody has asked for it"),
    };
    if let Some(message) = message {
        section.warn(
            "lifetime",
            message,
            "leave it out, and the person is rung when a handoff names it",
        );
    }
    SpecialistConfig {
        after: After::Leave,
        ..specialist
    }
}

/// Reads the address that the caller's phone is to call, if the specialist is one.
pub(super) fn read_address(
    section: &mut Section<'_, '_>,
    kind: SpecialistKind,
    lifetime: Lifetime,
) -> Option<String> {
    let problems = section.problems();
    let address = section.parsed("transfer_to", ADDRESS_FORM, None, |text| {
        let rest = text.strip_prefix("sip:").or(text.strip_prefix("tel:"));
        let count = text.chars().count();
        let fits = count <= NUMBER_CHARS_MAX && text.chars().all(|one| one.is_ascii_graphic());
        match (rest, fits) {
            (Some(rest), true) if !rest.is_empty() => Ok(text.to_owned()),
            (Some(_), _) => Err(Refusal::new(format!(
                "expected {ADDRESS_FORM} of {NUMBER_CHARS_MAX} characters at most, without spaces"
            ))),
            (None, _) => Err(Refusal::new(format!(
                "expected {ADDRESS_FORM}, found the text `{text}`"
            ))
            .help("write a number as `tel:+4930901820`")),
        }
    });
    if let SpecialistKind::Sip { .. } = kind {
        if section.problems() == problems {
            let help = "say where the call goes, as `transfer_to: \"tel:+4930901820\"`";
            section.require("transfer_to", help);
        }
        if lifetime != Lifetime::OnDemand {
            let message = "nobody can be called before the call leaves".to_owned();
            section.refuse("lifetime", message);
        }
        return address;
    }
    if address.is_some() {
        let message = "`transfer_to` goes with `kind: sip`".to_owned();
        section.refuse("transfer_to", message);
    }
    None
}

fn read_dial(section: &mut Section<'_, '_>) -> Option<Dial> {
    let problems = section.problems();
    let trunk = section.parsed(
        "trunk",
        "the id of an outbound trunk",
        None,
        |text| match text.starts_with("ST_") {
            true => Ok(text.to_owned()),
            false => Err(Refusal::new(format!("`{text}` is no id of a trunk"))
                .help("it begins with `ST_`; `lk sip outbound list` shows them")),
        },
    );
    let number = section.parsed("number", NUMBER_FORM, None, |text| {
        let count = text.chars().count();
        let fits = count <= NUMBER_CHARS_MAX && text.chars().all(|one| one.is_ascii_graphic());
        match fits {
            true => Ok(text.to_owned()),
            false => Err(Refusal::new(format!(
                "expected {NUMBER_FORM} of {NUMBER_CHARS_MAX} characters at most, without spaces"
            ))),
        }
    });
    if section.problems() == problems {
        match (&trunk, &number) {
            (None, Some(_)) => {
                section.require("trunk", "name the outbound trunk, as `trunk: ST_example`");
            }
            (Some(_), None) => {
                section.require("number", "say whom to ring, as `number: \"+4930901820\"`");
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    Some(Dial {
        trunk: trunk?,
        number: number?,
    })
}
