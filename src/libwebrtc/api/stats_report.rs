//! What the engine knows, in the vocabulary of the API.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::{
    net::{ConnectionReport, Encoding, StreamParameters},
    pc::{
        self, CandidateKind, CandidateReport, Carrier, ChannelReport, MediaKind, PairReport,
        StreamReport,
    },
    rtp_parameters::{
        Priority, RtcpParameters, RtpCapabilities, RtpCodecCapability, RtpCodecParameters,
        RtpEncodingParameters, RtpHeaderExtensionCapability, RtpHeaderExtensionParameters,
        RtpParameters,
    },
    rtp_transceiver::RtpTransceiverDirection,
    sdp::Codec,
    stats::{self, RtcStats, dictionaries},
};

const TRANSPORT: &str = "T01";
const PAIR: &str = "CP01";
const LOCAL_CANDIDATE: &str = "CL01";
const REMOTE_CANDIDATE: &str = "CR01";
const LOCAL_CERTIFICATE: &str = "CFL";
const REMOTE_CERTIFICATE: &str = "CFR";

/// All that is known of a connection.
pub(super) fn connection(report: &ConnectionReport) -> Vec<RtcStats> {
    let mut objects = transport(report);
    objects.push(RtcStats::PeerConnection(stats::PeerConnectionStats {
        rtc: rtc("P"),
        pc: dictionaries::PeerConnectionStats {
            data_channels_opened: report.peer.channels_opened,
            data_channels_closed: report.peer.channels_closed,
        },
    }));
    objects.extend(report.peer.channels.iter().enumerate().map(channel));
    objects.extend(
        report
            .peer
            .inbound
            .iter()
            .flat_map(|stream| inbound(report, stream)),
    );
    objects.extend(
        report
            .peer
            .outbound
            .iter()
            .flat_map(|stream| outbound(report, stream)),
    );
    objects
}

/// What is known of the streams of a sender, and of what they go over.
pub(super) fn sender(report: &ConnectionReport) -> Vec<RtcStats> {
    let mut objects = transport(report);
    objects.extend(
        report
            .peer
            .outbound
            .iter()
            .flat_map(|stream| outbound(report, stream)),
    );
    objects
}

/// What is known of the streams of a receiver, and of what they come over.
pub(super) fn receiver(report: &ConnectionReport) -> Vec<RtcStats> {
    let mut objects = transport(report);
    objects.extend(
        report
            .peer
            .inbound
            .iter()
            .flat_map(|stream| inbound(report, stream)),
    );
    objects
}

fn rtc(id: impl Into<String>) -> dictionaries::RtcStats {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let timestamp = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    dictionaries::RtcStats {
        id: id.into(),
        timestamp,
    }
}

fn transport(report: &ConnectionReport) -> Vec<RtcStats> {
    let peer = &report.peer;
    let pair = peer.pair.as_ref();
    let transport = RtcStats::Transport(stats::TransportStats {
        rtc: rtc(TRANSPORT),
        transport: dictionaries::TransportStats {
            packets_sent: peer.packets_sent,
            packets_received: peer.packets_received,
            bytes_sent: peer.bytes_sent,
            bytes_received: peer.bytes_received,
            selected_candidate_pair_changes: peer.pair_changes,
            local_certificate_id: LOCAL_CERTIFICATE.to_owned(),
            remote_certificate_id: peer
                .peer_fingerprint
                .as_ref()
                .map(|_| REMOTE_CERTIFICATE.to_owned())
                .unwrap_or_default(),
            ice_role: match peer.controlling {
                true => stats::IceRole::Controlling,
                false => stats::IceRole::Controlled,
            },
            ice_local_username_fragment: peer.username_fragment.clone(),
            dtls_state: Some(dtls_state(peer.connection)),
            ice_state: Some(ice_state(peer.ice)),
            selected_candidate_pair_id: pair.map(|_| PAIR.to_owned()).unwrap_or_default(),
            dtls_role: match peer.dtls_client {
                Some(true) => stats::DtlsRole::Client,
                Some(false) => stats::DtlsRole::Server,
                None => stats::DtlsRole::Unknown,
            },
            ..Default::default()
        },
    });
    let mut objects = vec![transport, certificate(LOCAL_CERTIFICATE, &peer.fingerprint)];
    if let Some(fingerprint) = &peer.peer_fingerprint {
        objects.push(certificate(REMOTE_CERTIFICATE, fingerprint));
    }
    if let Some(pair) = pair {
        objects.extend(candidate_pair(report, pair));
    }
    objects
}

fn certificate(id: &str, announced: &str) -> RtcStats {
    let (algorithm, fingerprint) = announced.split_once(' ').unwrap_or(("", announced));
    RtcStats::Certificate(stats::CertificateStats {
        rtc: rtc(id),
        certificate: dictionaries::CertificateStats {
            fingerprint: fingerprint.to_owned(),
            fingerprint_algorithm: algorithm.to_owned(),
            ..Default::default()
        },
    })
}

fn candidate_pair(report: &ConnectionReport, pair: &PairReport) -> [RtcStats; 3] {
    let ours = candidate(&pair.local);
    let local = dictionaries::IceCandidateStats {
        username_fragment: report.peer.username_fragment.clone(),
        tcp_type: pair
            .local
            .stream
            .then_some(stats::IceTcpCandidateType::Active),
        ..ours
    };
    let theirs = candidate(&pair.remote);
    let remote = dictionaries::IceCandidateStats {
        tcp_type: pair
            .remote
            .stream
            .then_some(stats::IceTcpCandidateType::Passive),
        ..theirs
    };
    [
        RtcStats::CandidatePair(stats::CandidatePairStats {
            rtc: rtc(PAIR),
            candidate_pair: dictionaries::CandidatePairStats {
                transport_id: TRANSPORT.to_owned(),
                local_candidate_id: LOCAL_CANDIDATE.to_owned(),
                remote_candidate_id: REMOTE_CANDIDATE.to_owned(),
                state: Some(stats::IceCandidatePairState::Succeeded),
                nominated: true,
                packets_sent: report.peer.packets_sent,
                packets_received: report.peer.packets_received,
                bytes_sent: report.peer.bytes_sent,
                bytes_received: report.peer.bytes_received,
                current_round_trip_time: pair.round_trip.unwrap_or_default().as_secs_f64(),
                total_round_trip_time: pair.total_round_trip.as_secs_f64(),
                responses_received: pair.responses,
                ..Default::default()
            },
        }),
        RtcStats::LocalCandidate(stats::LocalCandidateStats {
            rtc: rtc(LOCAL_CANDIDATE),
            local_candidate: local,
        }),
        RtcStats::RemoteCandidate(stats::RemoteCandidateStats {
            rtc: rtc(REMOTE_CANDIDATE),
            remote_candidate: remote,
        }),
    ]
}

fn candidate(report: &CandidateReport) -> dictionaries::IceCandidateStats {
    let protocol = match report.stream {
        true => "tcp",
        false => "udp",
    };
    let related = report.related;
    dictionaries::IceCandidateStats {
        transport_id: TRANSPORT.to_owned(),
        address: report.address.ip().to_string(),
        port: report.address.port().into(),
        protocol: protocol.to_owned(),
        candidate_type: Some(match report.kind {
            CandidateKind::Host => stats::IceCandidateType::Host,
            CandidateKind::ServerReflexive => stats::IceCandidateType::Srflx,
            CandidateKind::PeerReflexive => stats::IceCandidateType::Prflx,
            CandidateKind::Relayed => stats::IceCandidateType::Relay,
        }),
        priority: i32::try_from(report.priority).unwrap_or(i32::MAX),
        foundation: report.foundation.clone(),
        related_address: related.map(|a| a.ip().to_string()).unwrap_or_default(),
        related_port: related.map_or(0, |address| address.port().into()),
        relay_protocol: report.carrier.map(|carrier| match carrier {
            Carrier::Udp => stats::IceServerTransportProtocol::Udp,
            Carrier::Tcp => stats::IceServerTransportProtocol::Tcp,
            Carrier::Tls => stats::IceServerTransportProtocol::Tls,
        }),
        ..Default::default()
    }
}

fn dtls_state(state: pc::ConnectionState) -> stats::DtlsTransportState {
    match state {
        pc::ConnectionState::New => stats::DtlsTransportState::New,
        pc::ConnectionState::Connecting => stats::DtlsTransportState::Connecting,
        pc::ConnectionState::Connected | pc::ConnectionState::Disconnected => {
            stats::DtlsTransportState::Connected
        }
        pc::ConnectionState::Failed => stats::DtlsTransportState::Failed,
        pc::ConnectionState::Closed => stats::DtlsTransportState::Closed,
    }
}

fn ice_state(state: pc::IceState) -> stats::IceTransportState {
    match state {
        pc::IceState::New => stats::IceTransportState::New,
        pc::IceState::Checking => stats::IceTransportState::Checking,
        pc::IceState::Connected => stats::IceTransportState::Connected,
        pc::IceState::Completed => stats::IceTransportState::Completed,
        pc::IceState::Disconnected => stats::IceTransportState::Disconnected,
        pc::IceState::Failed => stats::IceTransportState::Failed,
        pc::IceState::Closed => stats::IceTransportState::Closed,
    }
}

fn channel((index, channel): (usize, &ChannelReport)) -> RtcStats {
    RtcStats::DataChannel(stats::DataChannelStats {
        rtc: rtc(format!("D{index}")),
        dc: dictionaries::DataChannelStats {
            label: channel.label.clone(),
            protocol: channel.protocol.clone(),
            data_channel_identifier: channel.stream.map_or(-1, i32::from),
            state: Some(channel.state.into()),
            messages_sent: u32::try_from(channel.counts.messages_sent).unwrap_or(u32::MAX),
            bytes_sent: channel.counts.bytes_sent,
            messages_received: u32::try_from(channel.counts.messages_received).unwrap_or(u32::MAX),
            bytes_received: channel.counts.bytes_received,
        },
    })
}

fn stream(report: &StreamReport) -> dictionaries::RtpStreamStats {
    dictionaries::RtpStreamStats {
        ssrc: report.ssrc,
        kind: kind_name(report.kind).to_owned(),
        transport_id: TRANSPORT.to_owned(),
        codec_id: report.codec.as_ref().map(codec_id).unwrap_or_default(),
    }
}

fn kind_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

fn codec_id(codec: &Codec) -> String {
    format!("COD{}", codec.payload_type)
}

fn codec(report: &StreamReport) -> Option<RtcStats> {
    let codec = report.codec.as_ref()?;
    Some(RtcStats::Codec(stats::CodecStats {
        rtc: rtc(codec_id(codec)),
        codec: dictionaries::CodecStats {
            payload_type: codec.payload_type.into(),
            transport_id: TRANSPORT.to_owned(),
            mime_type: format!("{}/{}", kind_name(report.kind), codec.name),
            clock_rate: codec.clock_rate,
            channels: codec.channels.unwrap_or_default().into(),
            sdp_fmtp_line: codec.parameters.clone(),
        },
    }))
}

fn inbound(report: &ConnectionReport, inbound: &StreamReport) -> Vec<RtcStats> {
    let audio = report.receivers.get(&inbound.transceiver);
    let mut object = stats::InboundRtpStats {
        rtc: rtc(format!("IT{}", inbound.mid)),
        stream: stream(inbound),
        received: dictionaries::ReceivedRtpStreamStats {
            packets_received: inbound.packets,
            packets_lost: inbound.packets_lost.unwrap_or_default(),
            jitter: jitter_secs(inbound),
        },
        inbound: dictionaries::InboundRtpStreamStats {
            track_identifier: inbound.track.clone(),
            mid: inbound.mid.clone(),
            bytes_received: inbound.bytes,
            nack_count: u32::try_from(inbound.nacks).unwrap_or(u32::MAX),
            remote_id: inbound
                .sent_by_peer
                .map(|_| format!("RO{}", inbound.mid))
                .unwrap_or_default(),
            last_packet_received_timestamp: inbound.last_arrival.map_or(0.0, epoch_millis),
            ..Default::default()
        },
    };
    if let Some(audio) = audio {
        object.received.jitter = audio.jitter_secs;
        let stats = &mut object.inbound;
        stats.bytes_received = audio.payload_bytes;
        stats.packets_discarded = audio.packets_late + audio.packets_overflown;
        stats.jitter_buffer_delay = audio.buffer_delay_secs;
        stats.jitter_buffer_target_delay = audio.buffer_target_secs;
        stats.jitter_buffer_emitted_count = audio.buffer_emitted;
        stats.total_samples_received = audio.total_samples;
        stats.concealed_samples = audio.concealed_samples;
        stats.concealment_events = audio.concealment_events;
        stats.inserted_samples_for_deceleration = audio.inserted_samples;
        stats.removed_samples_for_acceleration = audio.removed_samples;
        stats.audio_level = level(audio.audio_level_dbov);
        stats.total_audio_energy = audio.total_audio_energy;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a count of samples of centuries fits"
        )]
        let seconds = audio.total_samples as f64 / 48_000.0;
        stats.total_samples_duration = seconds;
    }
    let remote = inbound.sent_by_peer.map(|(packets, bytes)| {
        RtcStats::RemoteOutboundRtp(stats::RemoteOutboundRtpStats {
            rtc: rtc(format!("RO{}", inbound.mid)),
            stream: stream(inbound),
            sent: dictionaries::SentRtpStreamStats {
                packets_sent: packets,
                bytes_sent: bytes,
            },
            remote_outbound: dictionaries::RemoteOutboundRtpStreamStats {
                local_id: format!("IT{}", inbound.mid),
                round_trip_time: inbound.round_trips.last.unwrap_or_default().as_secs_f64(),
                total_round_trip_time: inbound.round_trips.total.as_secs_f64(),
                round_trip_time_measurements: inbound.round_trips.count,
                ..Default::default()
            },
        })
    });
    [Some(RtcStats::InboundRtp(object)), remote, codec(inbound)]
        .into_iter()
        .flatten()
        .collect()
}

fn outbound(report: &ConnectionReport, outbound: &StreamReport) -> Vec<RtcStats> {
    let audio = report.senders.get(&outbound.transceiver);
    let source = audio.map(|audio| {
        RtcStats::MediaSource(stats::MediaSourceStats {
            rtc: rtc(format!("SA{}", outbound.mid)),
            source: dictionaries::MediaSourceStats {
                track_identifier: outbound.track.clone(),
                kind: kind_name(outbound.kind).to_owned(),
            },
            audio: dictionaries::AudioSourceStats {
                audio_level: level(audio.audio_level_dbov),
                total_audio_energy: audio.total_audio_energy,
                total_samples_duration: audio.total_samples_duration,
                ..Default::default()
            },
            ..Default::default()
        })
    });
    let object = RtcStats::OutboundRtp(stats::OutboundRtpStats {
        rtc: rtc(format!("OT{}", outbound.mid)),
        stream: stream(outbound),
        sent: dictionaries::SentRtpStreamStats {
            packets_sent: outbound.packets,
            bytes_sent: outbound.bytes,
        },
        outbound: dictionaries::OutboundRtpStreamStats {
            mid: outbound.mid.clone(),
            media_source_id: source
                .as_ref()
                .map(|_| format!("SA{}", outbound.mid))
                .unwrap_or_default(),
            remote_id: format!("RI{}", outbound.mid),
            nack_count: u32::try_from(outbound.nacks).unwrap_or(u32::MAX),
            active: true,
            ..Default::default()
        },
    });
    let remote = outbound.packets_lost.map(|lost| {
        RtcStats::RemoteInboundRtp(stats::RemoteInboundRtpStats {
            rtc: rtc(format!("RI{}", outbound.mid)),
            stream: stream(outbound),
            received: dictionaries::ReceivedRtpStreamStats {
                packets_lost: lost,
                jitter: jitter_secs(outbound),
                ..Default::default()
            },
            remote_inbound: dictionaries::RemoteInboundRtpStreamStats {
                local_id: format!("OT{}", outbound.mid),
                round_trip_time: outbound.round_trips.last.unwrap_or_default().as_secs_f64(),
                total_round_trip_time: outbound.round_trips.total.as_secs_f64(),
                round_trip_time_measurements: outbound.round_trips.count,
                fraction_lost: outbound.loss.unwrap_or_default().into(),
            },
        })
    });
    [Some(object), source, remote, codec(outbound)]
        .into_iter()
        .flatten()
        .collect()
}

fn jitter_secs(report: &StreamReport) -> f64 {
    let codec = report.codec.as_ref();
    let clock_rate = codec.map_or(1, |codec| codec.clock_rate.max(1));
    f64::from(report.jitter.unwrap_or_default()) / f64::from(clock_rate)
}

/// A time of the engine's clock on the wall's, in milliseconds since the Unix epoch.
fn epoch_millis(at: Instant) -> f64 {
    let then = SystemTime::now().checked_sub(at.elapsed());
    let since = then.and_then(|then| then.duration_since(UNIX_EPOCH).ok());
    since.unwrap_or_default().as_secs_f64() * 1_000.0
}

/// From decibels below full level to the standard's scale of 0 to 1.
fn level(dbov: i8) -> f64 {
    if dbov <= -127 {
        0.0
    } else {
        10_f64.powf(f64::from(dbov) / 20.0)
    }
}

/// Parameters for the application.
pub(super) fn parameters(inner: StreamParameters) -> RtpParameters {
    RtpParameters {
        codecs: inner.codecs.iter().map(codec_parameters).collect(),
        header_extensions: inner
            .extensions
            .into_iter()
            .map(|extension| RtpHeaderExtensionParameters {
                uri: extension.uri,
                id: extension.id.into(),
                encrypted: false,
            })
            .collect(),
        encodings: inner
            .encodings
            .into_iter()
            .map(|encoding| RtpEncodingParameters {
                active: encoding.active,
                max_bitrate: encoding.max_bitrate,
                max_framerate: encoding.max_framerate,
                priority: Priority::Low,
                rid: encoding.rid,
                scale_resolution_down_by: encoding.scale_down_by,
                scalability_mode: encoding.scalability_mode,
                has_ssrc: encoding.ssrc.is_some(),
                ssrc: encoding.ssrc.unwrap_or_default(),
            })
            .collect(),
        rtcp: RtcpParameters {
            cname: inner.cname,
            reduced_size: true,
        },
        degradation_preference: None,
    }
}

fn codec_parameters(codec: &Codec) -> RtpCodecParameters {
    RtpCodecParameters {
        payload_type: codec.payload_type,
        mime_type: codec.name.clone(),
        clock_rate: Some(codec.clock_rate.into()),
        channels: codec.channels.map(Into::into),
    }
}

/// An encoding for the engine.
pub(super) fn encoding(parameters: &RtpEncodingParameters) -> Encoding {
    Encoding {
        active: parameters.active,
        max_bitrate: parameters.max_bitrate,
        max_framerate: parameters.max_framerate,
        rid: parameters.rid.clone(),
        scale_down_by: parameters.scale_resolution_down_by,
        scalability_mode: parameters.scalability_mode.clone(),
        ssrc: parameters.has_ssrc.then_some(parameters.ssrc),
    }
}

/// What can be negotiated.
pub(super) fn capabilities(kind: MediaKind) -> RtpCapabilities {
    let codecs = match kind {
        MediaKind::Audio => Codec::audio(),
        MediaKind::Video => Codec::video(),
    };
    let capability = |codec: Codec| RtpCodecCapability {
        channels: codec.channels.map(Into::into),
        clock_rate: Some(codec.clock_rate.into()),
        mime_type: format!("{}/{}", kind_name(kind), codec.name),
        sdp_fmtp_line: (!codec.parameters.is_empty()).then_some(codec.parameters),
    };
    RtpCapabilities {
        codecs: codecs.into_iter().map(capability).collect(),
        header_extensions: pc::extensions(kind)
            .into_iter()
            .map(|extension| RtpHeaderExtensionCapability {
                uri: extension.uri,
                direction: RtpTransceiverDirection::SendRecv,
            })
            .collect(),
    }
}
