//! A participant of a room that has str0m, a socket, and LiveKit's signalling, and nothing else.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use kit::bare::{self, Bare};
use livekit_protocol::{
    AddTrackRequest, SessionDescription, TrackSource, TrackType, signal_request, signal_response,
};
use livekit_signaling::{SignalClient, SignalEvent, SignalEvents, SignalOptions};
use serde::Deserialize;
use tokio::runtime::Runtime;

use crate::part::{JOIN_MAX, Server};

/// The track that it publishes.
const TRACK: &str = "bare";
/// How often it looks for messages of the server while it joins.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// See the module.
pub(crate) struct Participant {
    pub(crate) end: Bare,
    pub(crate) socket: UdpSocket,
    signals: SignalClient,
    events: SignalEvents,
    /// The server knows of the track.
    published: bool,
    /// Tracks to receive that are not offered yet.
    wanted: u32,
    /// An offer waits for its answer.
    asked: bool,
}

/// A candidate, as signalling has it.
#[derive(Deserialize)]
struct Trickled {
    candidate: String,
}

impl Participant {
    /// Joins a room, publishes a track, and subscribes to the one that there is; returns when packets come.
    pub(crate) fn join(
        server: &Server,
        runtime: &Runtime,
        room: &str,
        identity: &str,
    ) -> Result<Self> {
        let mut options = SignalOptions::default();
        options.single_peer_connection = true;
        let token = server.token(room, identity)?;
        let joining = SignalClient::connect(server.url(), &token, options, None);
        let (signals, _, events) = runtime.block_on(joining)?;
        let socket = bare::socket()?;
        let end = Bare::new(socket.local_addr()?)?;
        let mut participant = Self {
            end,
            socket,
            signals,
            events,
            published: false,
            wanted: 1,
            asked: false,
        };
        participant.tell(
            runtime,
            signal_request::Message::AddTrack(AddTrackRequest {
                cid: TRACK.to_owned(),
                name: TRACK.to_owned(),
                r#type: TrackType::Audio.into(),
                source: TrackSource::Microphone.into(),
                disable_red: true,
                ..Default::default()
            }),
        );
        let until = Instant::now() + JOIN_MAX;
        loop {
            ensure!(Instant::now() < until, "nothing is received in time");
            participant.listen(runtime)?;
            let Self { end, socket, .. } = &mut participant;
            if end.next(socket, Instant::now() + LOOK_EVERY)?.is_some() {
                return Ok(participant);
            }
        }
    }

    /// Leaves the room.
    pub(crate) fn leave(self, runtime: &Runtime) {
        runtime.block_on(self.signals.close());
    }

    /// Does what the server has asked for meanwhile.
    fn listen(&mut self, runtime: &Runtime) -> Result<()> {
        while let Ok(event) = self.events.try_recv() {
            let message = match event {
                SignalEvent::Message(message) => *message,
                SignalEvent::Close(reason) => bail!("the server closes: {reason}"),
            };
            match message {
                signal_response::Message::TrackPublished(_) => self.published = true,
                signal_response::Message::MediaSectionsRequirement(more) => {
                    self.wanted += more.num_audios;
                }
                signal_response::Message::Answer(answer) => {
                    self.end.answered(&answer.sdp)?;
                    self.asked = false;
                }
                signal_response::Message::Trickle(trickle) => {
                    let trickled: Trickled = serde_json::from_str(&trickle.candidate_init)
                        .context("the server's candidate cannot be read")?;
                    self.end.add_candidate(&trickled.candidate);
                }
                // Nothing that matters to one voice.
                _ => {}
            }
        }
        if self.published && self.wanted > 0 && !self.asked {
            let offer = SessionDescription {
                r#type: "offer".to_owned(),
                sdp: self.end.offer(TRACK, std::mem::take(&mut self.wanted))?,
                ..Default::default()
            };
            self.tell(runtime, signal_request::Message::Offer(offer));
            self.asked = true;
        }
        Ok(())
    }

    fn tell(&self, runtime: &Runtime, message: signal_request::Message) {
        runtime.block_on(self.signals.send(message));
    }
}
