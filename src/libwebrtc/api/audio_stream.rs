//! The sound of a track, as a stream.

/// The stream of frames.
pub mod native {
    use std::{
        fmt::{self, Debug},
        pin::Pin,
        sync::Arc,
        task::{Context, Poll},
    };

    use futures_util::Stream;

    use crate::{
        audio::{resample::ResampleError, sink::PcmSink},
        audio_frame::AudioFrame,
        audio_track::RtcAudioTrack,
    };

    /// Frames of 10 ms that wait when nobody says how many may.
    const QUEUE_FRAMES: usize = 10;

    /// How a stream is set up.
    #[derive(Clone, Debug, Default)]
    pub struct NativeAudioStreamOptions {
        /// The most frames of 10 ms that wait to be taken; when one more comes, the oldest is dropped. `None` stands
        /// for 10, and `Some(0)` for as many as the engine allows, 6,000.
        pub queue_size_frames: Option<usize>,
    }

    /// The sound of a track in frames of 10 ms, for as long as the stream lives. Frames come whether or not anything
    /// arrives on a remote track, 100 a second: those of a packet at once, and up to 25 ms before they are due where another packet has
    /// come meanwhile. None comes late.
    pub struct NativeAudioStream {
        track: RtcAudioTrack,
        sink: Arc<PcmSink>,
    }

    impl NativeAudioStream {
        /// Listens to a track at `sample_rate` Hz with `num_channels` interleaved channels.
        ///
        /// The stream ends at once if the engine cannot produce that format.
        pub fn new(audio_track: RtcAudioTrack, sample_rate: i32, num_channels: i32) -> Self {
            let options = NativeAudioStreamOptions::default();
            Self::with_options(audio_track, sample_rate, num_channels, options)
        }

        /// As [`Self::new`], with a queue of another length.
        pub fn with_options(
            audio_track: RtcAudioTrack,
            sample_rate: i32,
            num_channels: i32,
            options: NativeAudioStreamOptions,
        ) -> Self {
            let capacity = match options.queue_size_frames {
                None => Some(QUEUE_FRAMES),
                Some(0) => None,
                Some(frames) => Some(frames),
            };
            let sink = match sink(sample_rate, num_channels, capacity) {
                Ok(sink) => sink,
                Err(error) => {
                    tracing::error!(%error, sample_rate, num_channels, "no audio in this format");
                    return Self {
                        sink: closed(),
                        track: audio_track,
                    };
                }
            };
            if !audio_track.inner().add_sink(&sink) {
                tracing::error!("the track has too many listeners");
                sink.close();
            }
            Self {
                sink,
                track: audio_track,
            }
        }

        /// The track that is listened to.
        pub fn track(&self) -> RtcAudioTrack {
            self.track.clone()
        }

        /// Stops listening; frames that wait are dropped and the stream ends.
        pub fn close(&mut self) {
            self.sink.close();
        }
    }

    impl Drop for NativeAudioStream {
        fn drop(&mut self) {
            self.close();
        }
    }

    impl Debug for NativeAudioStream {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("NativeAudioStream")
                .field("track", &self.track)
                .finish_non_exhaustive()
        }
    }

    impl Stream for NativeAudioStream {
        type Item = AudioFrame<'static>;

        fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            let (sample_rate, num_channels) = self.sink.format();
            let samples_per_channel = self.sink.frame_samples() as u32;
            self.sink.poll_frame(cx).map(|frame| {
                frame.map(|data| AudioFrame {
                    data: data.into(),
                    sample_rate,
                    num_channels,
                    samples_per_channel,
                })
            })
        }
    }

    fn sink(
        sample_rate: i32,
        num_channels: i32,
        capacity: Option<usize>,
    ) -> Result<Arc<PcmSink>, ResampleError> {
        // What is negative is as impossible as 0.
        let rate = u32::try_from(sample_rate).unwrap_or(0);
        let channels = u32::try_from(num_channels).unwrap_or(0);
        PcmSink::new(rate, channels, capacity).map(Arc::new)
    }

    fn closed() -> Arc<PcmSink> {
        let sink = PcmSink::new(48_000, 1, Some(1)).expect("48 kHz mono is a format");
        sink.close();
        Arc::new(sink)
    }
}
