//! Byte streams: how LiveKit carries a message that may be larger than a packet.

use futures_util::StreamExt;
use livekit::data_stream::api::ByteStreamReader;

/// A byte stream that comes in. Whose it is the server does not vouch for: no authority comes from one.
#[derive(Debug)]
pub struct IncomingBytes {
    reader: ByteStreamReader,
    taken: Vec<u8>,
}

impl IncomingBytes {
    pub(super) fn new(reader: ByteStreamReader) -> Self {
        Self {
            reader,
            taken: Vec::new(),
        }
    }

    /// All of it, once it is there; nothing if it breaks off or has more than `bytes_max`. Cancel-safe: what has come is
    /// kept.
    pub async fn whole(&mut self, bytes_max: usize) -> Option<Vec<u8>> {
        while let Some(chunk) = self.reader.next().await {
            let chunk = chunk.ok()?;
            if self.taken.len() + chunk.len() > bytes_max {
                return None;
            }
            self.taken.extend_from_slice(&chunk);
        }
        Some(std::mem::take(&mut self.taken))
    }
}
