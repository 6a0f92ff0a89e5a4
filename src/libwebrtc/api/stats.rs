//! Statistics, in the vocabulary of <https://www.w3.org/TR/webrtc-stats/>.
//!
//! The names are the standard's, in Rust's spelling. What this engine does not measure stays at its default.

use std::collections::HashMap;

use serde::Serialize;

use crate::data_channel::DataChannelState;

/// One object of a report.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RtcStats {
    /// A codec in use.
    Codec(CodecStats),
    /// A stream that is received.
    InboundRtp(InboundRtpStats),
    /// A stream that is sent.
    OutboundRtp(OutboundRtpStats),
    /// What the peer reports of a stream that is sent.
    RemoteInboundRtp(RemoteInboundRtpStats),
    /// What the peer reports of a stream that is received.
    RemoteOutboundRtp(RemoteOutboundRtpStats),
    /// A local source.
    MediaSource(MediaSourceStats),
    /// Playing.
    MediaPlayout(MediaPlayoutStats),
    /// The connection.
    PeerConnection(PeerConnectionStats),
    /// A data channel.
    DataChannel(DataChannelStats),
    /// The transport.
    Transport(TransportStats),
    /// A way to the peer.
    CandidatePair(CandidatePairStats),
    /// An address of this side.
    LocalCandidate(LocalCandidateStats),
    /// An address of the peer.
    RemoteCandidate(RemoteCandidateStats),
    /// A certificate.
    Certificate(CertificateStats),
    /// A group of tracks.
    Stream(StreamStats),
    /// No longer part of the standard.
    Track,
}

/// Declares enums of plain names.
macro_rules! names {
    ($($(#[$attribute:meta])* $name:ident { $($(#[$variant_attribute:meta])* $variant:ident),+ $(,)? })+) => {
        $($(#[$attribute])*
        #[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize)]
        #[allow(missing_docs, reason = "the standard explains the values")]
        pub enum $name { $($(#[$variant_attribute])* $variant),+ })+
    };
}

names! {
    /// What limits the quality of a sent stream.
    #[derive(Default)]
    QualityLimitationReason { #[default] None, Cpu, Bandwidth, Other }
    /// Who decides on the way.
    #[derive(Default)]
    IceRole { #[default] Unknown, Controlling, Controlled }
    /// The state of the DTLS transport.
    DtlsTransportState { New, Connecting, Connected, Closed, Failed }
    /// The state of the ICE transport.
    IceTransportState { New, Checking, Connected, Completed, Disconnected, Failed, Closed }
    /// The side in the DTLS handshake.
    #[derive(Default)]
    DtlsRole { Client, Server, #[default] Unknown }
    /// The state of a way to the peer.
    IceCandidatePairState { Frozen, Waiting, InProgress, Failed, Succeeded }
    /// Where an address comes from.
    IceCandidateType { Host, Srflx, Prflx, Relay }
    /// How a relay is reached.
    IceServerTransportProtocol { Udp, Tcp, Tls }
    /// The kind of a TCP address.
    IceTcpCandidateType { Active, Passive, So }
}

/// Declares objects that are put together from dictionaries.
macro_rules! objects {
    ($($(#[$attribute:meta])* $name:ident { $($field:ident: $dictionary:ident),* $(,)? })+) => {
        $($(#[$attribute])*
        #[derive(Debug, Default, Clone, Serialize)]
        pub struct $name {
            /// Identifier and time.
            pub rtc: dictionaries::RtcStats,
            $(/// A part of the object.
            pub $field: dictionaries::$dictionary,)*
        })+
    };
}

objects! {
    /// A codec in use.
    CodecStats { codec: CodecStats }
    /// A stream that is received.
    InboundRtpStats {
        stream: RtpStreamStats, received: ReceivedRtpStreamStats, inbound: InboundRtpStreamStats,
    }
    /// A stream that is sent.
    OutboundRtpStats {
        stream: RtpStreamStats, sent: SentRtpStreamStats, outbound: OutboundRtpStreamStats,
    }
    /// What the peer reports of a stream that is sent.
    RemoteInboundRtpStats {
        stream: RtpStreamStats, received: ReceivedRtpStreamStats,
        remote_inbound: RemoteInboundRtpStreamStats,
    }
    /// What the peer reports of a stream that is received.
    RemoteOutboundRtpStats {
        stream: RtpStreamStats, sent: SentRtpStreamStats,
        remote_outbound: RemoteOutboundRtpStreamStats,
    }
    /// A local source.
    MediaSourceStats {
        source: MediaSourceStats, audio: AudioSourceStats, video: VideoSourceStats,
    }
    /// Playing.
    MediaPlayoutStats { audio_playout: AudioPlayoutStats }
    /// The connection.
    PeerConnectionStats { pc: PeerConnectionStats }
    /// A data channel.
    DataChannelStats { dc: DataChannelStats }
    /// The transport.
    TransportStats { transport: TransportStats }
    /// A way to the peer.
    CandidatePairStats { candidate_pair: CandidatePairStats }
    /// An address of this side.
    LocalCandidateStats { local_candidate: IceCandidateStats }
    /// An address of the peer.
    RemoteCandidateStats { remote_candidate: IceCandidateStats }
    /// A certificate.
    CertificateStats { certificate: CertificateStats }
    /// A group of tracks.
    StreamStats { stream: StreamStats }
}

/// The parts that objects are put together from.
pub mod dictionaries {
    use super::*;

    /// Declares structs whose fields are all public.
    macro_rules! dictionaries {
        ($($(#[$attribute:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? })+) => {
            $($(#[$attribute])*
            #[derive(Debug, Default, Clone, Serialize)]
            #[allow(missing_docs, reason = "the standard explains the fields")]
            pub struct $name { $(pub $field: $type),* })+
        };
    }

    dictionaries! {
        /// Identifier, and time in microseconds since the Unix epoch.
        RtcStats {
            id: String, timestamp: i64,
        }
        /// A codec.
        CodecStats {
            payload_type: u32, transport_id: String, mime_type: String, clock_rate: u32,
            channels: u32, sdp_fmtp_line: String,
        }
        /// Any stream.
        RtpStreamStats {
            ssrc: u32, kind: String, transport_id: String, codec_id: String,
        }
        /// A stream, seen by who receives it.
        ReceivedRtpStreamStats {
            packets_received: u64, packets_lost: i64, jitter: f64,
        }
        /// A stream that is received.
        InboundRtpStreamStats {
            track_identifier: String, mid: String, remote_id: String, frames_decoded: u32,
            key_frames_decoded: u32, frames_rendered: u32, frames_dropped: u32, frame_width: u32,
            frame_height: u32, frames_per_second: f64, qp_sum: u64, total_decode_time: f64,
            total_inter_frame_delay: f64, total_squared_inter_frame_delay: f64, pause_count: u32,
            total_pause_duration: f64, freeze_count: u32, total_freeze_duration: f64,
            last_packet_received_timestamp: f64, header_bytes_received: u64, packets_discarded: u64,
            fec_bytes_received: u64, fec_packets_received: u64, fec_packets_discarded: u64,
            bytes_received: u64, nack_count: u32, fir_count: u32, pli_count: u32,
            total_processing_delay: f64, estimated_playout_timestamp: f64, jitter_buffer_delay: f64,
            jitter_buffer_target_delay: f64, jitter_buffer_emitted_count: u64,
            jitter_buffer_minimum_delay: f64, total_samples_received: u64, concealed_samples: u64,
            silent_concealed_samples: u64, concealment_events: u64,
            inserted_samples_for_deceleration: u64, removed_samples_for_acceleration: u64,
            audio_level: f64, total_audio_energy: f64, total_samples_duration: f64,
            frames_received: u64, decoder_implementation: String, playout_id: String,
            power_efficient_decoder: bool, frames_assembled_from_multiple_packets: u64,
            total_assembly_time: f64, retransmitted_packets_received: u64,
            retransmitted_bytes_received: u64, rtx_ssrc: u32, fec_ssrc: u32,
        }
        /// A stream, seen by who sends it.
        SentRtpStreamStats {
            packets_sent: u64, bytes_sent: u64,
        }
        /// A stream that is sent.
        OutboundRtpStreamStats {
            mid: String, media_source_id: String, remote_id: String, rid: String,
            header_bytes_sent: u64, retransmitted_packets_sent: u64, retransmitted_bytes_sent: u64,
            rtx_ssrc: u32, target_bitrate: f64, total_encoded_bytes_target: u64, frame_width: u32,
            frame_height: u32, frames_per_second: f64, frames_sent: u32, huge_frames_sent: u32,
            frames_encoded: u32, key_frames_encoded: u32, qp_sum: u64, total_encode_time: f64,
            total_packet_send_delay: f64, quality_limitation_reason: QualityLimitationReason,
            quality_limitation_durations: HashMap<String, f64>,
            quality_limitation_resolution_changes: u32, nack_count: u32, fir_count: u32,
            pli_count: u32, encoder_implementation: String, power_efficient_encoder: bool,
            active: bool, scalibility_mode: String,
        }
        /// What the peer reports of a stream that is sent.
        RemoteInboundRtpStreamStats {
            local_id: String, round_trip_time: f64, total_round_trip_time: f64, fraction_lost: f64,
            round_trip_time_measurements: u64,
        }
        /// What the peer reports of a stream that is received.
        RemoteOutboundRtpStreamStats {
            local_id: String, remote_timestamp: f64, reports_sent: u64, round_trip_time: f64,
            total_round_trip_time: f64, round_trip_time_measurements: u64,
        }
        /// A source.
        MediaSourceStats {
            track_identifier: String, kind: String,
        }
        /// A source of sound.
        AudioSourceStats {
            audio_level: f64, total_audio_energy: f64, total_samples_duration: f64,
            echo_return_loss: f64, echo_return_loss_enhancement: f64, dropped_samples_duration: f64,
            dropped_samples_events: u32, total_capture_delay: f64, total_samples_captured: u64,
        }
        /// A source of pictures.
        VideoSourceStats {
            width: u32, height: u32, frames: u32, frames_per_second: f64,
        }
        /// Playing.
        AudioPlayoutStats {
            kind: String, synthesized_samples_duration: f64, synthesized_samples_events: u32,
            total_samples_duration: f64, total_playout_delay: f64, total_samples_count: u64,
        }
        /// The connection.
        PeerConnectionStats {
            data_channels_opened: u32, data_channels_closed: u32,
        }
        /// A data channel.
        DataChannelStats {
            label: String, protocol: String, data_channel_identifier: i32,
            state: Option<DataChannelState>, messages_sent: u32, bytes_sent: u64,
            messages_received: u32, bytes_received: u64,
        }
        /// The transport.
        TransportStats {
            packets_sent: u64, packets_received: u64, bytes_sent: u64, bytes_received: u64,
            ice_role: IceRole, ice_local_username_fragment: String,
            dtls_state: Option<DtlsTransportState>, ice_state: Option<IceTransportState>,
            selected_candidate_pair_id: String, local_certificate_id: String,
            remote_certificate_id: String, tls_version: String, dtls_cipher: String,
            dtls_role: DtlsRole, srtp_cipher: String, selected_candidate_pair_changes: u32,
        }
        /// A way to the peer.
        CandidatePairStats {
            transport_id: String, local_candidate_id: String, remote_candidate_id: String,
            state: Option<IceCandidatePairState>, nominated: bool, packets_sent: u64,
            packets_received: u64, bytes_sent: u64, bytes_received: u64,
            last_packet_sent_timestamp: f64, last_packet_received_timestamp: f64,
            total_round_trip_time: f64, current_round_trip_time: f64,
            available_outgoing_bitrate: f64, available_incoming_bitrate: f64,
            requests_received: u64, requests_sent: u64, responses_received: u64,
            responses_sent: u64, consent_requests_sent: u64, packets_discarded_on_send: u32,
            bytes_discarded_on_send: u64,
        }
        /// An address.
        IceCandidateStats {
            transport_id: String, address: String, port: i32, protocol: String,
            candidate_type: Option<IceCandidateType>, priority: i32, url: String,
            relay_protocol: Option<IceServerTransportProtocol>, foundation: String,
            related_address: String, related_port: i32, username_fragment: String,
            tcp_type: Option<IceTcpCandidateType>, network_type: Option<String>,
        }
        /// A certificate.
        CertificateStats {
            fingerprint: String, fingerprint_algorithm: String, base64_certificate: String,
            issuer_certificate_id: String,
        }
        /// A group of tracks.
        StreamStats {
            id: String, stream_identifier: String, timestamp: i64,
        }
    }
}
