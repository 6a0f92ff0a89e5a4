//! Sources of video: they can be published, and their frames go nowhere.

/// The size of a picture in pixels.
#[derive(Debug, Clone)]
pub struct VideoResolution {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Default for VideoResolution {
    fn default() -> Self {
        Self {
            width: 1280,
            height: 720,
        }
    }
}

/// A source of video.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub enum RtcVideoSource {
    /// One that the application would feed.
    Native(native::NativeVideoSource),
}

impl RtcVideoSource {
    /// The size that the source was made with.
    pub fn video_resolution(&self) -> VideoResolution {
        match self {
            Self::Native(source) => source.video_resolution(),
        }
    }
}

/// The source that an application would feed.
pub mod native {
    use super::VideoResolution;
    use crate::{
        native::packet_trailer::PacketTrailerHandler,
        video_frame::{VideoBuffer, VideoFrame},
    };

    /// A source of video that takes no frames.
    #[derive(Debug, Clone, Default)]
    pub struct NativeVideoSource {
        resolution: VideoResolution,
    }

    impl NativeVideoSource {
        /// Makes a source of a nominal size.
        pub fn new(resolution: VideoResolution, _is_screencast: bool) -> Self {
            Self { resolution }
        }

        /// Takes no frame; returns false, which says so.
        pub fn capture_frame<T: AsRef<dyn VideoBuffer>>(&self, _frame: &VideoFrame<T>) -> bool {
            false
        }

        /// Accepts a handler of frame metadata; as there are no frames, it is never used.
        pub fn set_packet_trailer_handler(&self, _handler: PacketTrailerHandler) {}

        /// The size that the source was made with.
        pub fn video_resolution(&self) -> VideoResolution {
            self.resolution.clone()
        }
    }
}
