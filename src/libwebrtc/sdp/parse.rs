//! Reading.

use super::{
    Codec, Credentials, Description, Direction, Extension, SdpError, Section, SectionKind, Setup,
    Ssrc, Transport,
};

/// Sections that are read at most; more are an error.
const SECTIONS_MAX: usize = 1_000;

/// The transport, as far as it has been read. Values of a section go before those of the session.
#[derive(Default, Clone)]
struct PartialTransport {
    ufrag: Option<String>,
    password: Option<String>,
    fingerprint: Option<String>,
    setup: Option<Setup>,
}

impl PartialTransport {
    fn read(&mut self, line: &str, name: &str, value: &str) -> Result<(), SdpError> {
        match name {
            "ice-ufrag" => self.ufrag = Some(value.to_owned()),
            "ice-pwd" => self.password = Some(value.to_owned()),
            "fingerprint" => self.fingerprint = Some(value.to_owned()),
            "setup" => {
                self.setup = Some(match value {
                    "actpass" => Setup::ActPass,
                    "active" => Setup::Active,
                    "passive" => Setup::Passive,
                    _ => return Err(SdpError::new(line, "setup is actpass, active or passive")),
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&self, session: &Self, ice_lite: bool) -> Option<Transport> {
        let own = |a: &Option<String>, b: &Option<String>| a.clone().or_else(|| b.clone());
        Some(Transport {
            credentials: Credentials {
                ufrag: own(&self.ufrag, &session.ufrag)?,
                password: own(&self.password, &session.password)?,
            },
            fingerprint: own(&self.fingerprint, &session.fingerprint)?,
            setup: self.setup.or(session.setup).unwrap_or(Setup::ActPass),
            ice_lite,
        })
    }
}

/// A section, as far as it has been read.
struct PartialSection {
    section: Section,
    port: u16,
    transport: PartialTransport,
    mid: Option<String>,
    direction: Option<Direction>,
    /// Payload types of the first line, which orders the codecs.
    payload_types: Vec<u8>,
    /// Numbers in the order in which they came, and pairs of main and retransmission.
    ssrcs: Vec<u32>,
    pairs: Vec<(u32, u32)>,
}

impl Description {
    /// Reads a description.
    pub(crate) fn parse(text: &str) -> Result<Self, SdpError> {
        let mut lines = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty());
        if lines.next() != Some("v=0") {
            return Err(SdpError::new(
                text.lines().next().unwrap_or(""),
                "the first line is v=0",
            ));
        }
        let mut origin = None;
        let mut bundle: Vec<String> = Vec::new();
        let mut ice_lite = false;
        let mut session = PartialTransport::default();
        let mut session_direction = None;
        let mut sections: Vec<PartialSection> = Vec::new();
        for line in lines {
            let Some((kind, value)) = line.split_once('=') else {
                return Err(SdpError::new(line, "a line is a letter, = and a value"));
            };
            match (kind, sections.last_mut()) {
                ("o", None) => origin = Some(parse_origin(line, value)?),
                ("m", _) => {
                    if sections.len() == SECTIONS_MAX {
                        return Err(SdpError::new(line, "there are too many sections"));
                    }
                    sections.push(PartialSection::begin(line, value)?);
                }
                ("a", Some(section)) => section.attribute(line, value)?,
                ("a", None) => {
                    let (name, value) = value.split_once(':').unwrap_or((value, ""));
                    session.read(line, name, value)?;
                    match name {
                        "group" => {
                            let mut words = value.split_whitespace();
                            if words.next() == Some("BUNDLE") {
                                bundle = words.map(str::to_owned).collect();
                            }
                        }
                        "ice-lite" => ice_lite = true,
                        _ => session_direction = direction(name).or(session_direction),
                    }
                }
                _ => {}
            }
        }
        let transport = sections
            .iter()
            .find_map(|section| section.transport.finish(&session, ice_lite))
            .or_else(|| session.finish(&session, ice_lite));
        let sections: Vec<Section> = sections
            .into_iter()
            .enumerate()
            .map(|(index, section)| section.finish(index, &bundle, session_direction))
            .collect();
        Ok(Self {
            origin: origin.unwrap_or_default(),
            transport,
            sections,
        })
    }
}

impl PartialSection {
    fn begin(line: &str, value: &str) -> Result<Self, SdpError> {
        let mut words = value.split_whitespace();
        let (Some(kind), Some(port), Some(protocol)) = (words.next(), words.next(), words.next())
        else {
            return Err(SdpError::new(
                line,
                "a section has a kind, a port and a protocol",
            ));
        };
        let port = port.split('/').next().unwrap_or(port);
        let Ok(port) = port.parse() else {
            return Err(SdpError::new(line, "the port of a section is a number"));
        };
        let kind = match kind {
            "audio" => SectionKind::Audio,
            "video" => SectionKind::Video,
            "application" => SectionKind::Application,
            other => SectionKind::Other(other.to_owned()),
        };
        let formats: Vec<String> = words.map(str::to_owned).collect();
        let payload_types = formats
            .iter()
            .filter_map(|word| word.parse().ok())
            .collect();
        let mut section = Section::new(kind, String::new());
        section.protocol = protocol.to_owned();
        section.formats = formats;
        Ok(Self {
            section,
            port,
            transport: PartialTransport::default(),
            mid: None,
            direction: None,
            payload_types,
            ssrcs: Vec::new(),
            pairs: Vec::new(),
        })
    }

    fn attribute(&mut self, line: &str, value: &str) -> Result<(), SdpError> {
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        self.transport.read(line, name, value)?;
        match name {
            "mid" => self.mid = Some(value.to_owned()),
            "rtpmap" => self.rtpmap(line, value)?,
            "fmtp" => {
                let (number, parameters) = numbered(line, value)?;
                self.codec(number).parameters = parameters.to_owned();
            }
            "rtcp-fb" => {
                if let Some(feedback) = value.strip_prefix("* ") {
                    let feedback = feedback.trim().to_owned();
                    for codec in &mut self.section.codecs {
                        codec.feedback.push(feedback.clone());
                    }
                } else {
                    let (number, feedback) = numbered(line, value)?;
                    self.codec(number).feedback.push(feedback.to_owned());
                }
            }
            "extmap" => {
                let Some((id, uri)) = value.split_once(' ') else {
                    return Err(SdpError::new(line, "an extension has a number and a name"));
                };
                let id = id.split('/').next().unwrap_or(id);
                let Ok(id) = id.parse() else {
                    return Err(SdpError::new(
                        line,
                        "the number of an extension is a number",
                    ));
                };
                let uri = uri.split_whitespace().next().unwrap_or("").to_owned();
                self.section.extensions.push(Extension { id, uri });
            }
            "msid" => {
                let mut words = value.split_whitespace();
                if let Some(stream) = words.next().filter(|stream| *stream != "-") {
                    self.section.streams.push(stream.to_owned());
                }
                if let Some(track) = words.next() {
                    self.section.track = Some(track.to_owned());
                }
            }
            "ssrc" => self.ssrc(line, value)?,
            "ssrc-group" => {
                let numbers: Vec<u32> = value
                    .split_whitespace()
                    .skip(1)
                    .filter_map(|n| n.parse().ok())
                    .collect();
                if let (true, [main, retransmission]) = (value.starts_with("FID "), &numbers[..]) {
                    self.pairs.push((*main, *retransmission));
                }
            }
            "candidate" => self.section.candidates.push(format!("candidate:{value}")),
            "sctp-port" => self.section.sctp_port = value.trim().parse().ok(),
            "max-message-size" => self.section.max_message_size = value.trim().parse().ok(),
            _ => self.direction = direction(name).or(self.direction),
        }
        Ok(())
    }

    fn rtpmap(&mut self, line: &str, value: &str) -> Result<(), SdpError> {
        let (number, codec) = numbered(line, value)?;
        let mut parts = codec.split('/');
        let (Some(name), Some(rate)) = (parts.next(), parts.next()) else {
            return Err(SdpError::new(line, "a codec has a name and a clock rate"));
        };
        let Ok(clock_rate) = rate.trim().parse() else {
            return Err(SdpError::new(line, "the clock rate of a codec is a number"));
        };
        let channels = parts
            .next()
            .and_then(|channels| channels.trim().parse().ok());
        let entry = self.codec(number);
        entry.name = name.to_owned();
        entry.clock_rate = clock_rate;
        entry.channels = channels;
        Ok(())
    }

    fn ssrc(&mut self, line: &str, value: &str) -> Result<(), SdpError> {
        let (number, attribute) = value.split_once(' ').unwrap_or((value, ""));
        let Ok(number) = number.parse::<u32>() else {
            return Err(SdpError::new(line, "the number of a stream is a number"));
        };
        if !self.ssrcs.contains(&number) {
            self.ssrcs.push(number);
        }
        // The older way of naming stream and track.
        if let Some(names) = attribute.strip_prefix("msid:") {
            let mut words = names.split_whitespace();
            if let Some(stream) = words.next().filter(|_| self.section.streams.is_empty()) {
                self.section
                    .streams
                    .extend((stream != "-").then(|| stream.to_owned()));
            }
            if let Some(track) = words.next().filter(|_| self.section.track.is_none()) {
                self.section.track = Some(track.to_owned());
            }
        }
        Ok(())
    }

    fn codec(&mut self, payload_type: u8) -> &mut Codec {
        let codecs = &mut self.section.codecs;
        let index = codecs.iter().position(|c| c.payload_type == payload_type);
        let index = index.unwrap_or_else(|| {
            codecs.push(Codec {
                payload_type,
                name: String::new(),
                clock_rate: 0,
                channels: None,
                parameters: String::new(),
                feedback: Vec::new(),
            });
            codecs.len() - 1
        });
        &mut codecs[index]
    }

    fn finish(
        self,
        index: usize,
        bundle: &[String],
        session_direction: Option<Direction>,
    ) -> Section {
        let Self {
            mut section,
            port,
            mid,
            direction,
            payload_types,
            ssrcs,
            pairs,
            ..
        } = self;
        section.mid = mid.unwrap_or_else(|| index.to_string());
        section.rejected = port == 0 && !bundle.contains(&section.mid);
        section.direction = direction.or(session_direction).unwrap_or_default();
        section.codecs.retain(|codec| !codec.name.is_empty());
        section.codecs.sort_by_key(|codec| {
            payload_types
                .iter()
                .position(|number| *number == codec.payload_type)
        });
        section.ssrcs = ssrcs
            .iter()
            .filter(|number| {
                pairs
                    .iter()
                    .all(|(_, retransmission)| retransmission != *number)
            })
            .map(|&main| Ssrc {
                main,
                retransmission: pairs.iter().find(|pair| pair.0 == main).map(|pair| pair.1),
            })
            .collect();
        section
    }
}

fn parse_origin(line: &str, value: &str) -> Result<(u64, u64), SdpError> {
    let words: Vec<&str> = value.split_whitespace().collect();
    let [_, session, version, ..] = words[..] else {
        return Err(SdpError::new(line, "an origin has a session and a version"));
    };
    // Some write larger numbers than fit; only whether they change matters.
    Ok((
        session.parse().unwrap_or_default(),
        version.parse().unwrap_or_default(),
    ))
}

fn numbered<'a>(line: &str, value: &'a str) -> Result<(u8, &'a str), SdpError> {
    let (number, rest) = value.split_once(' ').unwrap_or((value, ""));
    match number.parse() {
        Ok(number) if number < 128 => Ok((number, rest.trim())),
        _ => Err(SdpError::new(line, "a payload type is a number below 128")),
    }
}

fn direction(name: &str) -> Option<Direction> {
    match name {
        "sendrecv" => Some(Direction::SendRecv),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::RecvOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    }
}
