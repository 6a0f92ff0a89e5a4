//! Redundant audio payloads (RFC 2198): earlier packets travel again with later ones.

use bytes::{BufMut as _, Bytes, BytesMut};
use thiserror::Error;

use super::decoder::{PACKET_MAX_48K, is_silence};

/// The largest offset of a copy that is sent, in ticks of the RTP clock: one of the longest packets. What came before a pause would only be
/// taken for late sound. The format allows for 16,383.
const OFFSET_MAX: u64 = PACKET_MAX_48K;

/// The largest copy, in bytes.
const COPY_MAX: usize = (1 << 10) - 1;

/// The most copies in one packet that are read; a packet with more is refused.
const COPIES_MAX: usize = 8;

/// A payload that is not RED.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum RedError {
    /// A header or a block goes beyond the end.
    #[error("the payload ends inside a block")]
    Truncated,
    /// More copies than anyone sends.
    #[error("more than {COPIES_MAX} copies")]
    TooMany,
}

/// One packet inside a RED payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedBlock {
    /// How many packets before the newest it was sent, 0 for the newest itself.
    pub(crate) age: u64,
    /// How long before the newest it begins, in ticks of the RTP clock.
    pub(crate) offset: u64,
    /// Its payload; empty if the sender had none.
    pub(crate) payload: Bytes,
}

/// Splits a RED payload, oldest block first. The last one is the packet proper.
pub(crate) fn unwrap(payload: &Bytes) -> Result<Vec<RedBlock>, RedError> {
    let mut headers = Vec::with_capacity(2);
    let mut at = 0;
    loop {
        let first = *payload.get(at).ok_or(RedError::Truncated)?;
        if first & 0x80 == 0 {
            at += 1;
            break;
        }
        let Some(&[_, high, middle, low]) = payload
            .get(at..at + 4)
            .and_then(|header| <&[u8; 4]>::try_from(header).ok())
        else {
            return Err(RedError::Truncated);
        };
        if headers.len() == COPIES_MAX {
            return Err(RedError::TooMany);
        }
        let offset = u64::from(high) << 6 | u64::from(middle) >> 2;
        let length = usize::from(middle & 3) << 8 | usize::from(low);
        headers.push((offset, length));
        at += 4;
    }
    let mut blocks = Vec::with_capacity(headers.len() + 1);
    for (index, &(offset, length)) in headers.iter().enumerate() {
        if at + length > payload.len() {
            return Err(RedError::Truncated);
        }
        let age = (headers.len() - index) as u64;
        blocks.push(RedBlock {
            age,
            offset,
            payload: payload.slice(at..at + length),
        });
        at += length;
    }
    blocks.push(RedBlock {
        age: 0,
        offset: 0,
        payload: payload.slice(at..),
    });
    Ok(blocks)
}

/// Makes RED payloads in which each packet brings a copy of the one before it.
#[derive(Debug, Default)]
pub(crate) struct RedWriter {
    last: Option<(u64, Bytes)>,
}

impl RedWriter {
    /// Wraps a packet whose own payload type is `payload_type` (0 to 127). The copy is left out when a pause
    /// lies between, when it is of silence, and when it is too large for the format.
    pub(crate) fn wrap(&mut self, payload_type: u8, rtp_time: u64, payload: Bytes) -> Bytes {
        let payload_type = payload_type & 0x7f;
        // WebRTC would take a copy of the packet that begins a silence for more of it, and cut the speech that follows to make up for it.
        let kept = (!is_silence(&payload)).then(|| (rtp_time, payload.clone()));
        let last = std::mem::replace(&mut self.last, kept);
        let copy = last.and_then(|(time, copy)| {
            let offset = rtp_time.checked_sub(time)?;
            (offset <= OFFSET_MAX && copy.len() <= COPY_MAX).then_some((offset as u32, copy))
        });
        let copied = copy.as_ref().map_or(0, |(_, copy)| copy.len());
        let mut out = BytesMut::with_capacity(5 + copied + payload.len());
        if let Some((offset, copy)) = &copy {
            let block = u32::from(0x80 | payload_type) << 24;
            out.put_u32(block | offset << 10 | copy.len() as u32);
        }
        out.put_u8(payload_type);
        if let Some((_, copy)) = copy {
            out.put(copy);
        }
        out.put(payload);
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_brings_the_one_before_but_not_across_a_pause() {
        let copies = copies(&[(0, 3), (960, 3), (1_920, 3), (21_120, 3), (22_080, 3)]);
        let expected = [None, Some(960), Some(960), None, Some(960)];
        assert_eq!(copies, expected);
    }

    #[test]
    fn silence_is_not_copied() {
        let copies = copies(&[(0, 3), (960, 1), (1_920, 3), (2_880, 3)]);
        assert_eq!(copies, [None, Some(960), None, Some(960)]);
    }

    /// How far back the copies are that packets of these times and lengths bring.
    fn copies(packets: &[(u64, usize)]) -> Vec<Option<u64>> {
        let mut writer = RedWriter::default();
        let mut copies = Vec::new();
        for &(rtp_time, length) in packets {
            let wrapped = writer.wrap(111, rtp_time, Bytes::from(vec![7; length]));
            let blocks = unwrap(&wrapped).expect("it is RED");
            let copy = blocks.iter().find(|block| block.age == 1);
            copies.push(copy.map(|copy| copy.offset));
        }
        copies
    }
}
