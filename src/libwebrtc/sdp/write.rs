//! Writing.

use std::fmt::{self, Display, Formatter};

use super::{Description, Section, SectionKind, Setup, Transport};

impl Display for Description {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (session, version) = self.origin;
        write!(
            f,
            "v=0\r\no=- {session} {version} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
        )?;
        if self
            .transport
            .as_ref()
            .is_some_and(|transport| transport.ice_lite)
        {
            write!(f, "a=ice-lite\r\n")?;
        }
        write!(f, "a=group:BUNDLE")?;
        for section in self.sections.iter().filter(|section| !section.rejected) {
            write!(f, " {}", section.mid)?;
        }
        write!(f, "\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS *\r\n")?;
        for section in &self.sections {
            write_section(f, section, self.transport.as_ref())?;
        }
        Ok(())
    }
}

fn write_section(
    f: &mut Formatter<'_>,
    section: &Section,
    transport: Option<&Transport>,
) -> fmt::Result {
    let kind = match &section.kind {
        SectionKind::Audio => "audio",
        SectionKind::Video => "video",
        SectionKind::Application => "application",
        SectionKind::Other(name) => name,
    };
    let port = if section.rejected { 0 } else { 9 };
    write!(f, "m={kind} {port} {}", section.protocol)?;
    if section.kind == SectionKind::Application {
        write!(f, " webrtc-datachannel")?;
    } else if section.codecs.is_empty() {
        // A section needs a format even when it is rejected.
        let formats = if section.formats.is_empty() {
            "0"
        } else {
            &section.formats.join(" ")
        };
        write!(f, " {formats}")?;
    } else {
        for codec in &section.codecs {
            write!(f, " {}", codec.payload_type)?;
        }
    }
    write!(f, "\r\nc=IN IP4 0.0.0.0\r\n")?;
    if let Some(transport) = transport {
        write_transport(f, transport)?;
    }
    for candidate in &section.candidates {
        write!(f, "a={candidate}\r\n")?;
    }
    write!(f, "a=mid:{}\r\n", section.mid)?;
    if section.kind == SectionKind::Application {
        if let Some(port) = section.sctp_port {
            write!(f, "a=sctp-port:{port}\r\n")?;
        }
        if let Some(size) = section.max_message_size {
            write!(f, "a=max-message-size:{size}\r\n")?;
        }
        return Ok(());
    }
    write_media(f, section)
}

fn write_transport(f: &mut Formatter<'_>, transport: &Transport) -> fmt::Result {
    let setup = match transport.setup {
        Setup::ActPass => "actpass",
        Setup::Active => "active",
        Setup::Passive => "passive",
    };
    write!(f, "a=ice-ufrag:{}\r\n", transport.credentials.ufrag)?;
    write!(f, "a=ice-pwd:{}\r\n", transport.credentials.password)?;
    write!(f, "a=ice-options:trickle\r\n")?;
    write!(
        f,
        "a=fingerprint:{}\r\na=setup:{setup}\r\n",
        transport.fingerprint
    )
}

fn write_media(f: &mut Formatter<'_>, section: &Section) -> fmt::Result {
    for extension in &section.extensions {
        write!(f, "a=extmap:{} {}\r\n", extension.id, extension.uri)?;
    }
    write!(f, "a={}\r\n", section.direction.name())?;
    if let Some(track) = &section.track {
        if section.streams.is_empty() {
            write!(f, "a=msid:- {track}\r\n")?;
        }
        for stream in &section.streams {
            write!(f, "a=msid:{stream} {track}\r\n")?;
        }
    }
    write!(f, "a=rtcp-mux\r\na=rtcp-rsize\r\n")?;
    for codec in &section.codecs {
        write!(
            f,
            "a=rtpmap:{} {}/{}",
            codec.payload_type, codec.name, codec.clock_rate
        )?;
        if let Some(channels) = codec.channels {
            write!(f, "/{channels}")?;
        }
        write!(f, "\r\n")?;
        for feedback in &codec.feedback {
            write!(f, "a=rtcp-fb:{} {feedback}\r\n", codec.payload_type)?;
        }
        if !codec.parameters.is_empty() {
            write!(f, "a=fmtp:{} {}\r\n", codec.payload_type, codec.parameters)?;
        }
    }
    for ssrc in &section.ssrcs {
        if let Some(retransmission) = ssrc.retransmission {
            write!(f, "a=ssrc-group:FID {} {retransmission}\r\n", ssrc.main)?;
        }
    }
    let cname = section.cname.as_deref().unwrap_or("-");
    for ssrc in &section.ssrcs {
        for number in [Some(ssrc.main), ssrc.retransmission].into_iter().flatten() {
            write!(f, "a=ssrc:{number} cname:{cname}\r\n")?;
            if let Some(track) = &section.track {
                let stream = section.streams.first().map_or("-", String::as_str);
                write!(f, "a=ssrc:{number} msid:{stream} {track}\r\n")?;
            }
        }
    }
    Ok(())
}
