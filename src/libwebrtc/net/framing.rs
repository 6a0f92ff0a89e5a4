//! Datagrams over a stream: each after its length, as ICE over TCP has them (RFC 4571), and the messages of a TURN server,
//! which tell their length themselves and are padded to a multiple of four bytes (RFC 8656, 12.5).

/// The largest datagram that is taken from a stream, in bytes; a longer one cannot be anything that the peer should send.
const DATAGRAM_BYTES_MAX: usize = 8 * 1024;

/// Puts a datagram into a frame; `None` when it is too long for one.
pub(super) fn frame(datagram: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(datagram.len()).ok()?;
    let mut frame = Vec::with_capacity(2 + datagram.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(datagram);
    Some(frame)
}

/// The peer has sent a frame that is too long, after which the stream makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overlong;

/// Cuts a stream into datagrams.
#[derive(Debug, Default)]
pub(super) struct Deframer {
    /// Less than one frame.
    rest: Vec<u8>,
}

impl Deframer {
    /// Takes bytes as they arrive and hands over each datagram that is complete.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        mut datagram: impl FnMut(&[u8]),
    ) -> Result<(), Overlong> {
        self.rest.extend_from_slice(bytes);
        let mut used = 0;
        while let Some((header, rest)) = self.rest[used..].split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*header));
            if length > DATAGRAM_BYTES_MAX {
                return Err(Overlong);
            }
            let Some(contents) = rest.get(..length) else {
                break;
            };
            datagram(contents);
            used += 2 + length;
        }
        self.rest.drain(..used);
        Ok(())
    }
}

/// Pads what goes to a TURN server over a stream; its own messages have a fitting length already.
pub(super) fn pad(message: &mut Vec<u8>) {
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Cuts the stream from a TURN server into messages, without their padding.
#[derive(Debug, Default)]
pub(super) struct TurnCutter {
    /// Less than one message.
    rest: Vec<u8>,
}

/// Something has arrived that is no message of a TURN server, after which the stream makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoMessage;

impl TurnCutter {
    /// Takes bytes as they arrive and hands over each message that is complete.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        mut message: impl FnMut(&[u8]),
    ) -> Result<(), NoMessage> {
        self.rest.extend_from_slice(bytes);
        let mut used = 0;
        while let Some([kind, _, high, low]) = self.rest[used..].first_chunk::<4>() {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let length = match kind >> 6 {
                0 => 20 + length,
                1 => 4 + length,
                _ => return Err(NoMessage),
            };
            let padded = length.next_multiple_of(4);
            if self.rest.len() - used < padded {
                break;
            }
            message(&self.rest[used..used + length]);
            used += padded;
        }
        self.rest.drain(..used);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_survive_any_cut_of_the_stream() {
        let datagrams: [&[u8]; 4] = [b"one", b"", b"three", &[7; 1_200]];
        let stream: Vec<u8> = datagrams.iter().flat_map(|d| frame(d).unwrap()).collect();
        for cut in 1..stream.len() {
            let mut deframer = Deframer::default();
            let mut got: Vec<Vec<u8>> = Vec::new();
            for piece in stream.chunks(cut) {
                deframer.push(piece, |d| got.push(d.to_vec())).unwrap();
            }
            assert_eq!(got, datagrams, "in pieces of {cut}");
        }
    }

    #[test]
    fn an_overlong_frame_ends_the_stream() {
        let mut deframer = Deframer::default();
        let result = deframer.push(&[0xff, 0xff, 1], |_| unreachable!("nothing is complete"));
        assert_eq!(result, Err(Overlong));
        assert_eq!(frame(&vec![0; 70_000]), None);
    }

    #[test]
    fn messages_of_a_turn_server_lose_their_padding_at_any_cut() {
        let mut stun = vec![1, 1, 0, 4];
        stun.extend_from_slice(&[9; 20]);
        let channel = |data: &[u8]| {
            let mut message = vec![0x40, 0, 0, u8::try_from(data.len()).unwrap()];
            message.extend_from_slice(data);
            message
        };
        let messages = [channel(b"five!"), stun, channel(b""), channel(b"four")];
        let mut stream = Vec::new();
        for message in &messages {
            let mut padded = message.clone();
            pad(&mut padded);
            stream.extend_from_slice(&padded);
        }
        for cut in 1..stream.len() {
            let mut cutter = TurnCutter::default();
            let mut got: Vec<Vec<u8>> = Vec::new();
            for piece in stream.chunks(cut) {
                cutter.push(piece, |m| got.push(m.to_vec())).unwrap();
            }
            assert_eq!(got, messages, "in pieces of {cut}");
        }
        let mut cutter = TurnCutter::default();
        let nonsense = cutter.push(b"HTTP/1.1", |_| unreachable!("nothing is complete"));
        assert_eq!(nonsense, Ok(()), "a length that is still awaited");
        assert_eq!(
            TurnCutter::default().push(&[0xff; 4], |_| {}),
            Err(NoMessage)
        );
    }
}
