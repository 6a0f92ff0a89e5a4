//! What each fuzz target does with its bytes. The tests of `wire` run the same over the corpus.

#![allow(dead_code, reason = "a target needs one of them")]

use std::time::{Duration, Instant};

use call::{CallId, Epoch, SpecialistName, Targets, Ticket};
use sha2::{Digest as _, Sha256};
use wire::{
    Assembled, Assembly, ChunkLimits, Chunks, ContextChunk, DispatchMetadata, FRAME_BYTES_MAX,
    Frame, Hello, Link, LinkConfig, Seq, Side, StreamId, VERSION,
};

/// The largest body that `chunks` lets an assembly take, in bytes.
const BODY_BYTES_MAX: usize = 100_000;

/// What is read as a frame can be written, read again, and is the same.
pub(crate) fn frame(bytes: &[u8]) {
    let Ok(frame) = Frame::decode(bytes) else {
        return;
    };
    let written = frame.encode();
    // A hostile encoding may be shorter than ours.
    if written.len() <= FRAME_BYTES_MAX {
        assert_eq!(Frame::decode(&written), Ok(frame));
    }
}

/// Packets in a row, each behind its length in two bytes; the top bit says for which end, and that time passes.
pub(crate) fn link(mut bytes: &[u8]) {
    let mut now = Instant::now();
    let end = |side, stream| {
        Link::new(LinkConfig::new(
            side,
            CallId::from("call-17"),
            StreamId(stream),
        ))
    };
    let mut ends = [end(Side::Orchestrator, 1), end(Side::Specialist, 2)];
    ends[1].hello(now, hello());
    let mut events = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<2>() {
        let head = u16::from_be_bytes(*head);
        let length = usize::from(head & 0x3fff).min(rest.len());
        let (packet, rest) = rest.split_at(length);
        bytes = rest;
        let at = usize::from(head >> 15);
        ends[at].handle_frame(now, packet, &mut events);
        if at == 0 {
            ends[0].welcome(Epoch(1), Targets::default());
        } else {
            now += Duration::from_millis(100);
        }
        for end in &mut ends {
            end.handle_timeout(now, &mut events);
            while let Some(transmit) = end.poll_transmit(now) {
                assert!(transmit.payload.len() <= FRAME_BYTES_MAX);
                assert!(Frame::decode(&transmit.payload).is_ok());
            }
            assert!(end.waiting() <= end.window());
        }
        events.clear();
    }
}

/// An odd first byte: pieces as a hostile peer makes them. An even one: a whole, cut up as it should be.
pub(crate) fn chunks(bytes: &[u8]) {
    let limits = ChunkLimits {
        body_bytes_max: BODY_BYTES_MAX,
        ..ChunkLimits::new(Side::Orchestrator)
    };
    let assembly = Assembly::new(limits);
    match bytes {
        [mode, pieces @ ..] if mode % 2 == 1 => hostile_pieces(assembly, pieces),
        [_, size, whole @ ..] => cut_up(assembly, 1 + 64 * usize::from(*size), whole),
        [] | [_] => {}
    }
}

/// Five bytes before each piece: its transfer, offset, total, the first byte of its hash, and the length of its data.
fn hostile_pieces(mut assembly: Assembly, mut bytes: &[u8]) {
    while let Some(([transfer, offset, total, hash, length], rest)) = bytes.split_first_chunk::<5>()
    {
        let (data, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        bytes = rest;
        let chunk = ContextChunk {
            transfer: u64::from(*transfer),
            offset: u64::from(*offset),
            // Up to more than the bound.
            total_bytes: u64::from(*total).pow(3),
            sha256: vec![*hash; 32],
            data: data.to_vec(),
        };
        let _ = assembly.take(chunk);
        assert!(assembly.transfers() <= 2);
        assert!(assembly.held_bytes() <= 2 * BODY_BYTES_MAX);
    }
}

fn cut_up(mut assembly: Assembly, size: usize, whole: &[u8]) {
    let sha256 = Sha256::digest(whole).to_vec();
    let mut offset = 0;
    for data in whole.chunks(size) {
        let taken = assembly.take(ContextChunk {
            transfer: 1,
            offset,
            total_bytes: whole.len() as u64,
            sha256: sha256.clone(),
            data: data.to_vec(),
        });
        offset += data.len() as u64;
        let last = offset == whole.len() as u64;
        match taken {
            Ok(Assembled::Whole(body)) => {
                assert!(last && Side::Specialist.sends(&body));
                // What was read can be sent on.
                let sent_on = Chunks::new(&ChunkLimits::new(Side::Specialist), 1, &body);
                assert!(sent_on.is_ok());
            }
            Ok(Assembled::More) => assert!(!last),
            Ok(Assembled::PassedOver) => assert!(whole.len() > BODY_BYTES_MAX),
            Err(error) => assert!(last || whole.len() > BODY_BYTES_MAX, "{error}"),
        }
    }
    assert_eq!(assembly.held_bytes(), 0);
}

/// What is read as metadata can be written, read again, and is the same.
pub(crate) fn metadata(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(metadata) = DispatchMetadata::parse(text)
        && let Ok(written) = metadata.to_json()
    {
        assert_eq!(DispatchMetadata::parse(&written), Ok(metadata));
    }
}

fn hello() -> Hello {
    Hello {
        attempt: 0,
        ticket: Ticket::from("7d1f0c3e5a"),
        specialist: SpecialistName::from("billing"),
        sdk_name: "fuzz".to_owned(),
        sdk_version: "1".to_owned(),
        versions: vec![VERSION],
        track_sid: String::new(),
        open_track_sid: String::new(),
        seen: None,
        oldest: Seq(1),
    }
}
