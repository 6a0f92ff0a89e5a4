//! Tracks.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    audio::{
        frames::FrameQueue,
        sink::PcmSink,
        source::PcmSource,
        track::{LocalAudio, RemoteAudio},
    },
    pc::MediaKind,
};

/// A track of either kind. Clones are the same track.
#[derive(Debug, Clone)]
pub(crate) enum Track {
    Audio(Arc<AudioTrack>),
    Video(Arc<VideoTrack>),
}

impl Track {
    /// A track that is received.
    pub(super) fn remote(kind: MediaKind, id: &str) -> Self {
        match kind {
            MediaKind::Audio => Self::Audio(AudioTrack::remote(id)),
            MediaKind::Video => Self::Video(VideoTrack::new(id)),
        }
    }

    /// What it carries.
    pub(crate) fn kind(&self) -> MediaKind {
        match self {
            Self::Audio(_) => MediaKind::Audio,
            Self::Video(_) => MediaKind::Video,
        }
    }

    /// The identifier.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Audio(track) => track.id(),
            Self::Video(track) => track.id(),
        }
    }

    /// It will carry nothing any more.
    pub(super) fn end(&self) {
        match self {
            Self::Audio(track) => track.ended.store(true, Ordering::Relaxed),
            Self::Video(track) => track.ended.store(true, Ordering::Relaxed),
        }
    }
}

/// Where the sound of a track comes from.
#[derive(Debug, Clone)]
pub(crate) enum AudioHandle {
    Local(LocalAudio),
    Remote(RemoteAudio),
}

/// A track of sound.
#[derive(Debug)]
pub(crate) struct AudioTrack {
    id: String,
    ended: AtomicBool,
    audio: AudioHandle,
}

impl AudioTrack {
    /// A track that this side makes.
    pub(crate) fn local(id: &str, audio: LocalAudio) -> Arc<Self> {
        Self::new(id, AudioHandle::Local(audio))
    }

    /// A track of a source that nobody feeds.
    pub(crate) fn silent(id: &str) -> Arc<Self> {
        Self::local(id, LocalAudio::new(PcmSource::new(48_000, 1, 0)))
    }

    fn remote(id: &str) -> Arc<Self> {
        Self::new(id, AudioHandle::Remote(RemoteAudio::new()))
    }

    fn new(id: &str, audio: AudioHandle) -> Arc<Self> {
        Arc::new(Self {
            id: id.to_owned(),
            ended: AtomicBool::new(false),
            audio,
        })
    }

    /// The identifier.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Where the sound comes from.
    pub(crate) fn handle(&self) -> &AudioHandle {
        &self.audio
    }

    /// Also hands the sound to `sink`, until the sink is closed or dropped. Returns false if there are too many.
    pub(crate) fn add_sink(&self, sink: &Arc<PcmSink>) -> bool {
        match &self.audio {
            AudioHandle::Local(audio) => audio.add_sink(sink),
            AudioHandle::Remote(audio) => audio.add_sink(sink),
        }
    }

    /// Hands the packets to `tap` as they come, until the tap is closed or dropped. Returns false if there are too many,
    /// or if the track is this side's own.
    pub(crate) fn add_tap(&self, tap: &Arc<FrameQueue>) -> bool {
        match &self.audio {
            AudioHandle::Local(_) => false,
            AudioHandle::Remote(audio) => audio.add_tap(tap),
        }
    }

    /// Whether the track carries sound.
    pub(crate) fn enabled(&self) -> bool {
        match &self.audio {
            AudioHandle::Local(audio) => audio.enabled(),
            AudioHandle::Remote(audio) => audio.enabled(),
        }
    }

    /// Switches the sound on or off; returns whether that changed anything.
    pub(crate) fn set_enabled(&self, enabled: bool) -> bool {
        match &self.audio {
            AudioHandle::Local(audio) => audio.set_enabled(enabled),
            AudioHandle::Remote(audio) => audio.set_enabled(enabled),
        }
    }

    /// Whether the track is over.
    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// A track of pictures, which carries none.
#[derive(Debug)]
pub(crate) struct VideoTrack {
    id: String,
    enabled: AtomicBool,
    ended: AtomicBool,
}

impl VideoTrack {
    /// A track.
    pub(crate) fn new(id: &str) -> Arc<Self> {
        Arc::new(Self {
            id: id.to_owned(),
            enabled: AtomicBool::new(true),
            ended: AtomicBool::new(false),
        })
    }

    /// The identifier.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether the track is switched on.
    pub(crate) fn enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// Switches the track on or off; returns whether that changed anything.
    pub(crate) fn set_enabled(&self, enabled: bool) -> bool {
        self.enabled.swap(enabled, Ordering::Relaxed) != enabled
    }

    /// Whether the track is over.
    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}
