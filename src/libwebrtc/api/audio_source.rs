//! Where the sound of a local track comes from.

/// The sample rate of a source whose rate nobody knows, in Hz.
pub const DEFAULT_SAMPLE_RATE: u32 = 48_000;

/// The channels of a source whose channels nobody knows.
pub const DEFAULT_NUM_CHANNELS: u32 = 1;

/// Processing that an application would like. This engine does none; it only remembers the wish.
#[derive(Default, Debug)]
pub struct AudioSourceOptions {
    /// Take out what the loudspeaker plays.
    pub echo_cancellation: bool,
    /// Take out steady noise.
    pub noise_suppression: bool,
    /// Keep the level steady.
    pub auto_gain_control: bool,
}

/// A source of either kind.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub enum RtcAudioSource {
    /// The application hands over frames.
    Native(native::NativeAudioSource),
    /// A microphone. This engine has no access to devices: such a track is silent.
    Device,
}

impl RtcAudioSource {
    /// Remembers which processing is wanted.
    pub fn set_audio_options(&self, options: AudioSourceOptions) {
        match self {
            Self::Native(source) => source.set_audio_options(options),
            Self::Device => {}
        }
    }

    /// Which processing is wanted.
    pub fn audio_options(&self) -> AudioSourceOptions {
        match self {
            Self::Native(source) => source.audio_options(),
            Self::Device => AudioSourceOptions::default(),
        }
    }

    /// Samples per second and channel.
    pub fn sample_rate(&self) -> u32 {
        match self {
            Self::Native(source) => source.sample_rate(),
            Self::Device => DEFAULT_SAMPLE_RATE,
        }
    }

    /// Channels, interleaved.
    pub fn num_channels(&self) -> u32 {
        match self {
            Self::Native(source) => source.num_channels(),
            Self::Device => DEFAULT_NUM_CHANNELS,
        }
    }
}

/// The source that takes frames from the application.
pub mod native {
    use std::{
        fmt::{self, Debug},
        sync::Arc,
        time::Instant,
    };

    use parking_lot::Mutex;
    use tokio::{runtime::Handle, sync::Notify};

    use super::AudioSourceOptions;
    use crate::{
        RtcError, RtcErrorType,
        audio::source::{PcmSource, PushError},
        audio_frame::AudioFrame,
    };

    /// A source of frames. Clones are the same source.
    #[derive(Clone)]
    pub struct NativeAudioSource {
        source: PcmSource,
        shared: Arc<Shared>,
    }

    struct Shared {
        options: Mutex<AudioSourceOptions>,
        cleared: Notify,
    }

    impl NativeAudioSource {
        /// A source of `num_channels` interleaved channels at `sample_rate` Hz.
        ///
        /// With a `queue_size_ms` above 0 frames of any length are buffered and leave every 10 ms, sent or not;
        /// [`Self::capture_frame`] waits while more than that is buffered. With 0 frames must last 10 ms and leave at
        /// once: the thread that hands in the second of a packet encodes and sends it.
        ///
        /// # Panics
        ///
        /// If `queue_size_ms` is not a multiple of 10.
        pub fn new(
            options: AudioSourceOptions,
            sample_rate: u32,
            num_channels: u32,
            queue_size_ms: u32,
        ) -> Self {
            assert!(
                queue_size_ms.is_multiple_of(10),
                "queue_size_ms must be a multiple of 10, not {queue_size_ms}"
            );
            Self {
                source: PcmSource::new(sample_rate, num_channels, queue_size_ms),
                shared: Arc::new(Shared {
                    options: Mutex::new(options),
                    cleared: Notify::new(),
                }),
            }
        }

        /// Forgets what is buffered; whoever waits in [`Self::capture_frame`] goes on.
        pub fn clear_buffer(&self) {
            self.source.clear();
            self.shared.cleared.notify_waiters();
        }

        /// Hands over a frame in the source's format, and waits until the buffer is no longer over its size.
        ///
        /// It fails if the format differs, or if a source without a buffer gets anything but 10 ms. To wait it needs
        /// a tokio runtime; without one it makes room by dropping the oldest samples.
        pub async fn capture_frame(&self, frame: &AudioFrame<'_>) -> Result<(), RtcError> {
            if frame.sample_rate != self.sample_rate() || frame.num_channels != self.num_channels()
            {
                return Err(invalid(
                    "sample_rate and num_channels don't match".to_owned(),
                ));
            }
            if !frame
                .data
                .len()
                .is_multiple_of(self.num_channels().max(1) as usize)
            {
                return Err(invalid(
                    "frame.data length not divisible by channel count".to_owned(),
                ));
            }
            if self.source.is_direct() {
                return self
                    .source
                    .push(Instant::now(), &frame.data)
                    .map_err(refused);
            }
            for chunk in frame.data.chunks(self.source.queue_samples().max(1)) {
                loop {
                    let cleared = self.shared.cleared.notified();
                    match self.source.push(Instant::now(), chunk) {
                        Ok(()) => break,
                        Err(PushError::Full { until }) => {
                            if !wait(until, cleared).await {
                                self.source.make_room(chunk.len());
                            }
                        }
                        Err(error) => return Err(refused(error)),
                    }
                }
                loop {
                    let cleared = self.shared.cleared.notified();
                    let Some(until) = self.source.full_until(Instant::now()) else {
                        break;
                    };
                    if !wait(until, cleared).await {
                        break;
                    }
                }
            }
            Ok(())
        }

        /// Remembers which processing is wanted.
        pub fn set_audio_options(&self, options: AudioSourceOptions) {
            *self.shared.options.lock() = options;
        }

        /// Which processing is wanted.
        pub fn audio_options(&self) -> AudioSourceOptions {
            let options = self.shared.options.lock();
            AudioSourceOptions {
                echo_cancellation: options.echo_cancellation,
                noise_suppression: options.noise_suppression,
                auto_gain_control: options.auto_gain_control,
            }
        }

        /// Samples per second and channel.
        pub fn sample_rate(&self) -> u32 {
            self.source.sample_rate()
        }

        /// Channels, interleaved.
        pub fn num_channels(&self) -> u32 {
            self.source.channels()
        }

        /// The engine's side of the source.
        pub(crate) fn handle(&self) -> PcmSource {
            self.source.clone()
        }
    }

    impl Debug for NativeAudioSource {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("NativeAudioSource").finish_non_exhaustive()
        }
    }

    /// Waits for the time or the clearing; false if there is nothing to wait with.
    async fn wait(until: Instant, cleared: tokio::sync::futures::Notified<'_>) -> bool {
        if Handle::try_current().is_err() {
            return false;
        }
        // Both are safe to drop: one is a time, the other a wake-up that is asked for again.
        tokio::select! {
            () = tokio::time::sleep_until(until.into()) => {}
            () = cleared => {}
        }
        true
    }

    fn refused(error: PushError) -> RtcError {
        invalid(error.to_string())
    }

    fn invalid(message: String) -> RtcError {
        RtcError {
            error_type: RtcErrorType::InvalidState,
            message,
        }
    }
}
