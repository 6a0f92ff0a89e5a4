//! `baton packet`: conversations from one framework's form to another, and the portable handoff packet between them.
//!
//! What a form cannot carry goes into a sidecar; what is lost is said, never dropped in silence. Nothing here talks to a
//! server, and nothing decides how a form is written: that is for `context`.

mod arguments;
mod files;
mod form;
mod losses;

use std::path::PathBuf;

use context::{
    CallRecord, ConvertError, LivekitItem, NoLivekitItem, PACKET_SCHEMA, Packet, PacketError,
    Sidecar, UnixMillis, VconError, vcon_uuid,
};
use serde_json::{Value, json};

pub use arguments::PacketCommand;

use arguments::{Files, ForVcon, Reading, Writing};
use form::{Form, Input};
use losses::Losses;

/// The most that is read of one file: 32 MiB.
pub const INPUT_BYTES_MAX: usize = 32 << 20;

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// As it should.
    Well,
    /// With `--strict`, and something would have been lost.
    WouldLose,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file cannot be read.
    #[error("cannot read {place}")]
    Read {
        /// Its name.
        place: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is too large.
    #[error("{place} has more than the {INPUT_BYTES_MAX} bytes that are read")]
    TooLarge {
        /// Its name.
        place: String,
    },
    /// It is no JSON.
    #[error("{place} is no JSON")]
    NoJson {
        /// Its name.
        place: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It is JSON, but not of what it should be.
    #[error("{place} is no {what}")]
    Not {
        /// Its name.
        place: String,
        /// What it should be.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It holds no messages.
    #[error("{place} is no array of {form} messages, nor an object with such an array as {keys}")]
    NoMessages {
        /// Its name.
        place: String,
        /// What it should be.
        form: &'static str,
        /// Where messages are looked for.
        keys: String,
    },
    /// One of LiveKit's items is none.
    #[error("item {index} in {place} is none")]
    Item {
        /// Its name.
        place: String,
        /// Which, from 0.
        index: usize,
        /// Why.
        #[source]
        source: NoLivekitItem,
    },
    /// It is no packet, or one that cannot be used.
    #[error("{place} is no packet")]
    Packet {
        /// Its name.
        place: String,
        /// Why.
        #[source]
        source: PacketError,
    },
    /// The messages cannot be read.
    #[error("{place} cannot be converted")]
    Convert {
        /// Its name.
        place: String,
        /// Why.
        #[source]
        source: ConvertError,
    },
    /// A vCon cannot be made of it.
    #[error("no vCon can be made")]
    Vcon(#[source] VconError),
    /// When the call was is not known.
    #[error("no item has a time, so `--call` is needed to say when the call was")]
    NoTimes,
    /// A file cannot be written.
    #[error("cannot write {place}")]
    Write {
        /// Its name.
        place: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Failure {
    /// Whether it is what was read that is wrong, and not the machine.
    pub fn is_of_the_input(&self) -> bool {
        match self {
            Self::Read { .. }
            | Self::TooLarge { .. }
            | Self::NoJson { .. }
            | Self::Not { .. }
            | Self::NoMessages { .. }
            | Self::Item { .. }
            | Self::Packet { .. }
            | Self::Convert { .. }
            | Self::Vcon(_)
            | Self::NoTimes => true,
            Self::Write { .. } => false,
        }
    }
}

/// A conversation on its way through.
struct Conversation {
    packet: Packet,
    items: Vec<LivekitItem>,
    losses: Losses,
}

/// Carries a command out. It is made at `now`, and says on standard error what is lost.
pub fn run(command: &PacketCommand, now: UnixMillis) -> Result<Done, Failure> {
    match command {
        PacketCommand::Convert {
            from,
            to,
            reading,
            to_sidecar,
            writing,
            vcon,
            files,
        } => {
            let conversation = read(*from, reading, files)?;
            let sidecar = to_sidecar.as_ref();
            write(conversation, *to, sidecar, writing, vcon, files, now)
        }
        PacketCommand::Import {
            from,
            call_id,
            into,
            reading,
            writing,
            files,
        } => {
            let mut conversation = read(*from, reading, files)?;
            if let Some(into) = into {
                let place = files::shown(Some(into));
                let whole = files::read(Some(into))?;
                conversation.packet = Packet {
                    context: conversation.packet.context,
                    ..parse_packet(&whole, &place)?
                };
            }
            if call_id.is_some() {
                conversation.packet.call_id.clone_from(call_id);
            }
            let vcon = ForVcon::default();
            write(conversation, Form::Packet, None, writing, &vcon, files, now)
        }
        PacketCommand::Export {
            to,
            to_sidecar,
            writing,
            vcon,
            files,
        } => {
            let conversation = read(Form::Packet, &Reading::default(), files)?;
            let sidecar = to_sidecar.as_ref();
            write(conversation, *to, sidecar, writing, vcon, files, now)
        }
        PacketCommand::Check { input } => check(input.as_ref()),
        PacketCommand::Schema => files::write(None, PACKET_SCHEMA.as_bytes()).map(|()| Done::Well),
    }
}

/// Says what is in a packet.
fn check(input: Option<&PathBuf>) -> Result<Done, Failure> {
    let place = files::shown(input);
    let packet = parse_packet(&files::read(input)?, &place)?;
    let (items, lost) = packet.items("checked_").map_err(|source| Failure::Packet {
        place: place.clone(),
        source,
    })?;
    let calls = items.iter().filter(|item| item.is_call()).count();
    let plural = |count: usize, one: &str| match count {
        1 => format!("1 {one}"),
        many => format!("{many} {one}s"),
    };
    let said = format!(
        "{place}: a packet of {}, {} among them, {} of state at version {}\n",
        plural(items.len(), "item"),
        plural(calls, "tool call"),
        plural(packet.state.document.len(), "field"),
        packet.state.version,
    );
    files::write(None, said.as_bytes())?;
    files::tell(&Losses::new(lost).to_string());
    Ok(Done::Well)
}

fn parse_packet(bytes: &[u8], place: &str) -> Result<Packet, Failure> {
    // The protobuf form begins with field numbers and lengths, which are no text.
    let begins = &bytes[..bytes.len().min(8)];
    let text = begins
        .iter()
        .all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace());
    let packet = match text {
        true => Packet::parse(bytes, INPUT_BYTES_MAX),
        false => Packet::from_protobuf(bytes, INPUT_BYTES_MAX),
    };
    packet.map_err(|source| Failure::Packet {
        place: place.to_owned(),
        source,
    })
}

fn read(from: Form, reading: &Reading, files: &Files) -> Result<Conversation, Failure> {
    let place = files::shown(files.input.as_ref());
    let bytes = files::read(files.input.as_ref())?;
    let packet_error = |source| Failure::Packet {
        place: place.clone(),
        source,
    };
    let packet = match from.input() {
        Input::Packet => parse_packet(&bytes, &place)?,
        Input::Items(keys) => {
            let items = form::messages(&bytes, &place, from.name(), keys)?;
            let items = items.into_iter().enumerate().map(|(index, item)| {
                LivekitItem::new(item).map_err(|source| Failure::Item {
                    place: place.clone(),
                    index,
                    source,
                })
            });
            Packet::new(items.collect::<Result<_, _>>()?)
        }
        Input::Messages(format, keys) => {
            let messages = form::messages(&bytes, &place, from.name(), keys)?;
            let sidecar = reading
                .from_sidecar
                .as_ref()
                .map(|path| -> Result<Sidecar, _> {
                    let place = files::shown(Some(path));
                    serde_json::from_slice(&files::read(Some(path))?).map_err(|source| {
                        Failure::Not {
                            place,
                            what: "sidecar",
                            source,
                        }
                    })
                });
            let sidecar = sidecar.transpose()?;
            let read = format
                .import(&messages, sidecar.as_ref(), &reading.id_prefix)
                .map_err(|source| Failure::Convert {
                    place: place.clone(),
                    source,
                })?;
            return Ok(Conversation {
                packet: Packet::new(read.items.clone()),
                items: read.items,
                losses: Losses::new(read.lost),
            });
        }
    };
    let (items, lost) = packet.items(&reading.id_prefix).map_err(packet_error)?;
    Ok(Conversation {
        packet,
        items,
        losses: Losses::new(lost),
    })
}

fn write(
    conversation: Conversation,
    to: Form,
    to_sidecar: Option<&PathBuf>,
    writing: &Writing,
    vcon: &ForVcon,
    files: &Files,
    now: UnixMillis,
) -> Result<Done, Failure> {
    let Conversation {
        packet,
        items,
        mut losses,
    } = conversation;
    let mut sidecar = None;
    let packet_error = |source| Failure::Packet {
        place: files::shown(files.input.as_ref()),
        source,
    };
    let in_conversation = |packet: Packet, losses: &mut Losses| -> Result<Packet, Failure> {
        let Some(conversation) = writing.conversation else {
            return Ok(packet);
        };
        let (packet, left_out, _) = packet
            .in_format(conversation.messages(), "item_")
            .map_err(packet_error)?;
        losses.left_out(left_out, true);
        Ok(packet)
    };
    let text = match to {
        Form::Packet => pretty(&json!(in_conversation(packet, &mut losses)?)),
        Form::PacketProtobuf => in_conversation(packet, &mut losses)?
            .to_protobuf()
            .map_err(packet_error)?,
        Form::Livekit => {
            let items: Vec<Value> = items.into_iter().map(LivekitItem::into_value).collect();
            pretty(&json!({"items": items}))
        }
        Form::Vcon => pretty(&to_vcon(&packet, &items, vcon, now)?),
        Form::LivekitJs
        | Form::OpenaiChat
        | Form::OpenaiResponses
        | Form::OpenaiRealtime
        | Form::Pipecat
        | Form::Langchain
        | Form::Crewai => match to.messages() {
            Some(format) => {
                let out = format.export(&items);
                losses.left_out(out.left_out, to_sidecar.is_some());
                sidecar = Some(out.sidecar);
                pretty(&to.wrapped(out.messages))
            }
            None => Vec::new(),
        },
    };
    files::tell(&losses.to_string());
    if let Some(path) = &writing.losses {
        files::write(Some(path), &pretty(&losses.to_json()))?;
    }
    if writing.strict && losses.anything_lost() {
        files::tell("nothing was written, since `--strict` is given\n");
        return Ok(Done::WouldLose);
    }
    if let (Some(path), Some(sidecar)) = (to_sidecar, sidecar) {
        files::write(Some(path), json!(sidecar).to_string().as_bytes())?;
    }
    files::write(files.output.as_ref(), &text)?;
    Ok(Done::Well)
}

fn to_vcon(
    packet: &Packet,
    items: &[LivekitItem],
    vcon: &ForVcon,
    now: UnixMillis,
) -> Result<Value, Failure> {
    let record = match &vcon.call {
        Some(path) => {
            serde_json::from_slice(&files::read(Some(path))?).map_err(|source| Failure::Not {
                place: files::shown(Some(path)),
                what: "record of a call",
                source,
            })?
        }
        None => CallRecord::of(items).ok_or(Failure::NoTimes)?,
    };
    packet
        .to_vcon(&record, &vcon_uuid(packet, now), now)
        .map_err(Failure::Vcon)
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}
