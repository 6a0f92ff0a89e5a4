//! Pictures, as far as an application needs them to compile: nothing encodes or shows them.

/// By how much a picture is to be turned before it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoRotation {
    /// Not at all.
    VideoRotation0 = 0,
    /// A quarter turn clockwise.
    VideoRotation90 = 90,
    /// Half a turn.
    VideoRotation180 = 180,
    /// Three quarters of a turn clockwise.
    VideoRotation270 = 270,
}

/// What holds the pixels of a picture.
pub trait VideoBuffer {
    /// Columns.
    fn width(&self) -> u32;
    /// Rows.
    fn height(&self) -> u32;
}

/// A picture.
#[derive(Debug)]
pub struct VideoFrame<T> {
    /// By how much it is to be turned.
    pub rotation: VideoRotation,
    /// When it was taken, in microseconds.
    pub timestamp_us: i64,
    /// Its pixels.
    pub buffer: T,
}

impl<T: AsRef<dyn VideoBuffer>> VideoFrame<T> {
    /// A picture without a time.
    pub fn new(rotation: VideoRotation, buffer: T) -> Self {
        Self {
            rotation,
            timestamp_us: 0,
            buffer,
        }
    }
}

/// Pixels in planes: brightness in full, colour at half the resolution.
#[derive(Debug, Clone)]
pub struct I420Buffer {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

impl I420Buffer {
    /// A black picture.
    pub fn new(width: u32, height: u32) -> Self {
        let size = (width * height) as usize + 2 * Self::chroma_size(width, height);
        Self {
            width,
            height,
            data: vec![0; size],
        }
    }

    /// The brightness plane and the two colour planes.
    pub fn data(&self) -> (&[u8], &[u8], &[u8]) {
        let (y, rest) = self.data.split_at((self.width * self.height) as usize);
        let (u, v) = rest.split_at(Self::chroma_size(self.width, self.height));
        (y, u, v)
    }

    /// The brightness plane and the two colour planes.
    pub fn data_mut(&mut self) -> (&mut [u8], &mut [u8], &mut [u8]) {
        let chroma_size = Self::chroma_size(self.width, self.height);
        let (y, rest) = self.data.split_at_mut((self.width * self.height) as usize);
        let (u, v) = rest.split_at_mut(chroma_size);
        (y, u, v)
    }

    fn chroma_size(width: u32, height: u32) -> usize {
        (width.div_ceil(2) * height.div_ceil(2)) as usize
    }
}

impl VideoBuffer for I420Buffer {
    fn width(&self) -> u32 {
        self.width
    }

    fn height(&self) -> u32 {
        self.height
    }
}

impl<'a> AsRef<dyn VideoBuffer + 'a> for I420Buffer {
    fn as_ref(&self) -> &(dyn VideoBuffer + 'a) {
        self
    }
}
