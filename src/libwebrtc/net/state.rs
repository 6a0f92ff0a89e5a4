//! A peer connection together with its media.

use std::{collections::BTreeMap, sync::Arc, task::Waker, time::Instant};

use tokio::sync::oneshot;

use super::{AudioHandle, ConnectionConfig, Track, gather::Socket};
use crate::{
    audio::{
        loss::ExpectedLoss,
        receiver::{AudioReceiver, PayloadKind, ReceivedPacket, ReceiverStats},
        sender::{AudioSendParams, AudioSender, SenderStats},
        track::Driver,
    },
    pc::{
        DescriptionKind, Direction, MediaKind, PcError, Peer, ReceivedRtp, ReceiverChange, Report,
        SendPacket, Transceiver, TransceiverId,
    },
    sdp::{Codec, Extension},
};

/// An encoding that a sender was asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Encoding {
    pub(crate) active: bool,
    /// Bits per second at most.
    pub(crate) max_bitrate: Option<u64>,
    pub(crate) max_framerate: Option<f64>,
    pub(crate) rid: String,
    pub(crate) scale_down_by: Option<f64>,
    pub(crate) scalability_mode: Option<String>,
    pub(crate) ssrc: Option<u32>,
}

/// What a sender or receiver works with.
#[derive(Debug, Clone, Default)]
pub(crate) struct StreamParameters {
    pub(crate) codecs: Vec<Codec>,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) encodings: Vec<Encoding>,
    pub(crate) cname: String,
}

/// What is known of a connection and of its sound.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionReport {
    pub(crate) peer: Report,
    pub(crate) senders: BTreeMap<TransceiverId, SenderStats>,
    pub(crate) receivers: BTreeMap<TransceiverId, ReceiverStats>,
}

/// The media of a transceiver.
#[derive(Default)]
struct Media {
    local: Option<Track>,
    remote: Option<Track>,
    encodings: Vec<Encoding>,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
}

struct Sender {
    audio: AudioSender,
    params: AudioSendParams,
    loss: ExpectedLoss,
}

struct Receiver {
    audio: AudioReceiver,
    /// The number of the stream that it is being fed, once there is one.
    ssrc: Option<u32>,
}

impl Sender {
    /// Arms the encoder against the loss that the peer has reported.
    fn expect_loss(&mut self, share: f32) {
        self.loss.report(share);
        let percent = self.loss.percent();
        if percent == self.params.expected_loss_percent {
            return;
        }
        self.params.expected_loss_percent = percent;
        if let Err(error) = self.audio.set_params(self.params) {
            tracing::warn!(%error, percent, "the encoder is not armed against loss");
        }
    }
}

/// A peer connection together with its media.
pub(crate) struct State {
    pub(crate) peer: Peer,
    config: ConnectionConfig,
    media: BTreeMap<TransceiverId, Media>,
    driver: Arc<dyn Driver>,
    /// Over which datagrams can be sent at once.
    sockets: Vec<Arc<Socket>>,
    /// When the driver will look at this by itself.
    alarm: Option<Instant>,
    settled: Vec<oneshot::Sender<()>>,
    /// Who waits for sound that has come.
    listeners: Vec<Waker>,
    /// The driver has ended.
    ended: bool,
}

impl State {
    pub(super) fn new(now: Instant, config: ConnectionConfig, driver: Arc<dyn Driver>) -> Self {
        Self {
            peer: Peer::new(now),
            config,
            media: BTreeMap::new(),
            driver,
            sockets: Vec::new(),
            alarm: None,
            settled: Vec::new(),
            listeners: Vec::new(),
            ended: false,
        }
    }

    pub(super) fn config(&self) -> &ConnectionConfig {
        &self.config
    }

    pub(super) fn configure(&mut self, config: ConnectionConfig) -> Result<(), PcError> {
        self.peer.check_open()?;
        self.config = config;
        Ok(())
    }

    /// Has `done` told when the driver has delivered all that has happened so far.
    pub(super) fn notify_settled(&mut self, done: oneshot::Sender<()>) {
        if !self.ended {
            self.settled.push(done);
        }
    }

    pub(super) fn take_settled(&mut self) -> Vec<oneshot::Sender<()>> {
        std::mem::take(&mut self.settled)
    }

    /// Who is to be woken for sound that has come, once this is unlocked: they may send in answer.
    pub(super) fn take_listeners(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.listeners)
    }

    /// The driver will do nothing more.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.settled.clear();
        self.sockets.clear();
    }

    /// Takes over which sockets there are.
    pub(super) fn set_sockets(&mut self, sockets: Vec<Arc<Socket>>) {
        self.sockets = sockets;
    }

    /// Takes over when the driver will look at this by itself.
    pub(super) fn set_alarm(&mut self, alarm: Option<Instant>) {
        self.alarm = alarm;
    }

    pub(super) fn close(&mut self, now: Instant) {
        self.peer.close(now);
        self.follow_receivers();
        for media in self.media.values_mut() {
            media.sender = None;
            media.receiver = None;
        }
    }

    /// Sets a description of this side.
    pub(crate) fn set_local(
        &mut self,
        now: Instant,
        kind: DescriptionKind,
        text: &str,
    ) -> Result<(), PcError> {
        self.peer.set_local(now, kind, text)?;
        self.follow_receivers();
        self.follow_senders();
        Ok(())
    }

    /// Sets a description of the peer.
    pub(crate) fn set_remote(
        &mut self,
        now: Instant,
        kind: DescriptionKind,
        text: &str,
    ) -> Result<(), PcError> {
        self.peer.set_remote(now, kind, text)?;
        self.follow_receivers();
        self.follow_senders();
        Ok(())
    }

    /// Adds a transceiver.
    pub(crate) fn add_transceiver(
        &mut self,
        kind: MediaKind,
        track: Option<Track>,
        direction: Direction,
        streams: Vec<String>,
        encodings: Vec<Encoding>,
    ) -> Result<TransceiverId, PcError> {
        let track_id = track.as_ref().map(|track| track.id().to_owned());
        let id = self
            .peer
            .add_transceiver(kind, direction, track_id, streams)?;
        self.media.insert(
            id,
            Media {
                local: track,
                encodings,
                ..Media::default()
            },
        );
        Ok(id)
    }

    /// Sends a track over a transceiver that is free, or a new one.
    pub(crate) fn add_track(
        &mut self,
        track: Track,
        streams: Vec<String>,
    ) -> Result<TransceiverId, PcError> {
        let kind = track.kind();
        let unused = |id: &TransceiverId| {
            let transceiver = self.peer.transceiver(*id);
            // One that has sent before stays with its past.
            transceiver.is_some_and(|t| t.kind == kind && !t.sending() && !t.direction.sends())
                && self.media.get(id).is_none_or(|media| media.local.is_none())
        };
        let free = self.peer.transceiver_ids().into_iter().find(unused);
        let Some(id) = free else {
            let direction = Direction::SendRecv;
            return self.add_transceiver(kind, Some(track), direction, streams, Vec::new());
        };
        self.peer.set_local_streams(id, streams)?;
        self.peer
            .set_sending(id, Some(track.id().to_owned()), true)?;
        self.media.entry(id).or_default().local = Some(track);
        self.follow_senders();
        Ok(id)
    }

    /// Stops sending; the transceiver stays.
    pub(crate) fn remove_track(&mut self, id: TransceiverId) -> Result<(), PcError> {
        self.peer.set_sending(id, None, false)?;
        if let Some(media) = self.media.get_mut(&id) {
            media.local = None;
            media.sender = None;
        }
        Ok(())
    }

    /// Replaces what is sent, without a negotiation.
    pub(crate) fn set_local_track(
        &mut self,
        id: TransceiverId,
        track: Option<Track>,
    ) -> Result<(), PcError> {
        let transceiver = self
            .peer
            .transceiver(id)
            .ok_or(PcError::Unknown("sender"))?;
        if track
            .as_ref()
            .is_some_and(|track| track.kind() != transceiver.kind)
        {
            return Err(PcError::State("the track is of the other kind"));
        }
        self.peer
            .replace_track(id, track.as_ref().map(|track| track.id().to_owned()))?;
        let media = self.media.entry(id).or_default();
        media.local = track;
        media.sender = None;
        self.follow_senders();
        Ok(())
    }

    /// Ends a transceiver.
    pub(crate) fn stop_transceiver(&mut self, id: TransceiverId) -> Result<(), PcError> {
        self.peer.stop_transceiver(id)?;
        self.follow_receivers();
        self.follow_senders();
        Ok(())
    }

    /// Replaces the encodings of a sender.
    pub(crate) fn set_encodings(
        &mut self,
        id: TransceiverId,
        encodings: Vec<Encoding>,
    ) -> Result<(), PcError> {
        self.peer
            .transceiver(id)
            .ok_or(PcError::Unknown("sender"))?;
        self.media.entry(id).or_default().encodings = encodings;
        self.follow_senders();
        Ok(())
    }

    /// The track that a transceiver sends.
    pub(crate) fn local_track(&self, id: TransceiverId) -> Option<Track> {
        self.media.get(&id)?.local.clone()
    }

    /// The track that a transceiver receives.
    pub(crate) fn remote_track(&self, id: TransceiverId) -> Option<Track> {
        self.media.get(&id)?.remote.clone()
    }

    /// What a sender works with.
    pub(crate) fn sender_parameters(&self, id: TransceiverId) -> Option<StreamParameters> {
        let transceiver = self.peer.transceiver(id)?;
        let mut encodings = self
            .media
            .get(&id)
            .map(|media| media.encodings.clone())
            .unwrap_or_default();
        if encodings.is_empty() {
            encodings.push(Encoding {
                active: true,
                ..Encoding::default()
            });
        }
        if let [encoding] = &mut encodings[..] {
            encoding.ssrc = Some(transceiver.ssrc);
        }
        Some(StreamParameters {
            codecs: transceiver.codecs.clone(),
            extensions: transceiver.extensions.clone(),
            encodings,
            cname: transceiver.local_track.clone().unwrap_or_default(),
        })
    }

    /// What a receiver works with.
    pub(crate) fn receiver_parameters(&self, id: TransceiverId) -> Option<StreamParameters> {
        let transceiver = self.peer.transceiver(id)?;
        Some(StreamParameters {
            codecs: transceiver.codecs.clone(),
            extensions: transceiver.extensions.clone(),
            encodings: Vec::new(),
            cname: String::new(),
        })
    }

    pub(super) fn report(&self, only: Option<TransceiverId>) -> ConnectionReport {
        let mut peer = self.peer.report();
        if let Some(only) = only {
            peer.inbound.retain(|stream| stream.transceiver == only);
            peer.outbound.retain(|stream| stream.transceiver == only);
        }
        let wanted = |id: &TransceiverId| only.is_none_or(|only| only == *id);
        let senders = self
            .media
            .iter()
            .filter(|(id, _)| wanted(id))
            .filter_map(|(id, media)| Some((*id, media.sender.as_ref()?.audio.stats())))
            .collect();
        let receivers = self
            .media
            .iter()
            .filter(|(id, _)| wanted(id))
            .filter_map(|(id, media)| Some((*id, media.receiver.as_ref()?.audio.stats().clone())))
            .collect();
        ConnectionReport {
            peer,
            senders,
            receivers,
        }
    }

    /// Takes over which tracks the peer has begun and ended.
    fn follow_receivers(&mut self) {
        while let Some(change) = self.peer.poll_receiver_change() {
            let id = match &change {
                ReceiverChange::Began { id, .. } | ReceiverChange::Ended { id } => *id,
            };
            let kind = self
                .peer
                .transceiver(id)
                .map(|transceiver| transceiver.kind);
            let media = self.media.entry(id).or_default();
            media.receiver = None;
            if let Some(old) = media.remote.take() {
                old.end();
            }
            if let (ReceiverChange::Began { track, .. }, Some(kind)) = (change, kind) {
                let track = Track::remote(kind, &track);
                media.receiver = receiver(&track, None, &self.driver);
                media.remote = Some(track);
            }
        }
    }

    /// Starts, adjusts and stops encoders as agreed.
    fn follow_senders(&mut self) {
        for (id, media) in &mut self.media {
            let transceiver = self.peer.transceiver(*id).filter(|t| t.sending());
            let (Some(transceiver), Some(Track::Audio(track))) = (transceiver, &media.local) else {
                media.sender = None;
                continue;
            };
            let AudioHandle::Local(audio) = track.handle() else {
                media.sender = None;
                continue;
            };
            let expected = media.sender.as_ref().map(|sender| sender.loss);
            let params = AudioSendParams {
                expected_loss_percent: expected.unwrap_or_default().percent(),
                ..send_params(transceiver, &media.encodings)
            };
            if media
                .encodings
                .first()
                .is_some_and(|encoding| !encoding.active)
            {
                media.sender = None;
                continue;
            }
            let result = match &mut media.sender {
                Some(sender) if sender.params == params => Ok(()),
                Some(sender) => {
                    sender.params = params;
                    sender.audio.set_params(params)
                }
                None => {
                    let sender = AudioSender::new(audio.clone(), params, self.driver.clone());
                    sender.map(|audio| {
                        media.sender = Some(Sender {
                            audio,
                            params,
                            loss: ExpectedLoss::default(),
                        });
                    })
                }
            };
            if let Err(error) = result {
                tracing::error!(%error, "a track cannot be encoded");
                media.sender = None;
            }
        }
    }

    /// Hands the media that has come to those who want it. Says whether somebody was given packets as they are.
    pub(super) fn receive_media(&mut self) -> bool {
        let mut handed_on = false;
        while let Some(packet) = self.peer.poll_packet() {
            handed_on |= self.receive(packet);
        }
        handed_on
    }

    /// Does what is due: media in, media out; the peer is to be settled after it. Returns when it wants to be called again.
    pub(super) fn run_media(&mut self, now: Instant) -> Option<Instant> {
        self.receive_media();
        let mut next: Option<Instant> = None;
        for media in self.media.values_mut() {
            if let Some(Receiver { audio, .. }) = &mut media.receiver {
                audio.handle_timeout(now);
                self.listeners.extend(audio.take_wakers());
                next = earlier(next, audio.poll_timeout(now));
            }
        }
        earlier(next, self.send_media(now))
    }

    /// Does on any thread what the driver would do when a source has something to send. Says whether nothing is left for the driver.
    pub(super) fn send_now(&mut self, now: Instant) -> bool {
        self.send_media(now);
        self.peer.settle(now);
        while let Some(transmit) = self.peer.next_transmit() {
            let socket = self.sockets.iter().find(|socket| socket.carries(transmit));
            let Some(socket) = socket else {
                return false;
            };
            socket.transmit(transmit);
            self.peer.poll_transmit();
        }
        let due = self.peer.poll_timeout();
        let in_time = due.is_none_or(|due| self.alarm.is_some_and(|alarm| alarm <= due));
        in_time && !self.peer.has_news()
    }

    /// Has senders make the packets that are due. Returns when it wants to be called again.
    fn send_media(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for (id, media) in &mut self.media {
            let Some(sender) = &mut media.sender else {
                continue;
            };
            if let Some(share) = self.peer.take_reported_loss(*id) {
                sender.expect_loss(share);
            }
            let Sender { audio, params, .. } = sender;
            while let Some(packet) = audio.poll_packet(now) {
                // The clock of RTP wraps at 32 bits.
                #[expect(clippy::cast_possible_truncation)]
                let time = packet.rtp_time_48k as u32;
                let packet = SendPacket {
                    time,
                    marker: packet.marker,
                    level_below_full_db: packet.audio_level_dbov.unsigned_abs(),
                    voice: packet.voice_activity,
                    redundant: params.red.is_some(),
                    payload: packet.payload.as_ref().into(),
                };
                self.peer.send_rtp(now, *id, packet);
            }
            next = earlier(next, audio.poll_timeout(now));
        }
        next
    }

    fn receive(&mut self, packet: ReceivedRtp) -> bool {
        let Some(media) = self.media.get_mut(&packet.transceiver) else {
            return false;
        };
        let (Some(track), Some(receiver)) = (&media.remote, &mut media.receiver) else {
            return false;
        };
        if receiver.ssrc.is_some_and(|ssrc| ssrc != packet.ssrc) {
            // Sequence and time begin anew.
            let Some(fresh) = self::receiver(track, Some(packet.ssrc), &self.driver) else {
                return false;
            };
            *receiver = fresh;
        }
        receiver.ssrc = Some(packet.ssrc);
        receiver.audio.push_packet(ReceivedPacket {
            seq: packet.sequence,
            rtp_time: packet.time,
            payload: packet.payload.to_vec().into(),
            kind: if packet.redundant {
                PayloadKind::Red
            } else {
                PayloadKind::Opus
            },
            arrival: packet.arrived,
        })
    }
}

/// What plays a received track; there is nothing to play of a video track.
fn receiver(track: &Track, ssrc: Option<u32>, driver: &Arc<dyn Driver>) -> Option<Receiver> {
    let Track::Audio(track) = track else {
        return None;
    };
    let AudioHandle::Remote(audio) = track.handle() else {
        return None;
    };
    Some(Receiver {
        audio: AudioReceiver::new(audio.clone(), driver.clone()),
        ssrc,
    })
}

/// What the peer wishes of a sender, and what the application does.
fn send_params(transceiver: &Transceiver, encodings: &[Encoding]) -> AudioSendParams {
    let wishes = transceiver.wishes.as_ref();
    let wish = |name| wishes.and_then(|codec| codec.parameter(name));
    let bitrates = [
        encodings.first().and_then(|encoding| encoding.max_bitrate),
        wish("maxaveragebitrate").and_then(|rate| rate.parse().ok()),
    ];
    AudioSendParams {
        bitrate: bitrates
            .into_iter()
            .flatten()
            .min()
            .and_then(|rate| rate.try_into().ok()),
        dtx: wish("usedtx") == Some("1"),
        fec: wish("useinbandfec") == Some("1"),
        stereo: wish("stereo") == Some("1"),
        red: transceiver
            .prefers_red()
            .then(|| transceiver.main_codec().map(|codec| codec.payload_type))
            .flatten(),
        ..AudioSendParams::default()
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
