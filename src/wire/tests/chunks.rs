//! Bodies in pieces: what is assembled, and what is refused.

use std::time::{Duration, Instant};

use call::{CallId, Epoch, Opening, Targets};
use sha2::{Digest as _, Sha256};
use wire::{
    Assembled, Assembly, AssemblyError, Body, ChunkError, ChunkLimits, Chunks, ChunksProgress,
    ContextChunk, ContextItem, FRAME_BYTES_MAX, Frame, Link, LinkConfig, LinkEvent, RejectReason,
    SendError, Seq, Side, StreamId,
};

fn body(bytes: usize) -> Body {
    Body::ContextAppend {
        items: vec![ContextItem {
            id: "item_1".to_owned(),
            position: None,
            chat_item: Vec::new(),
            framework: "livekit-python".to_owned(),
            framework_json: (0..bytes).map(|at| (at % 251) as u8).collect(),
            unknown: Vec::new(),
        }],
    }
}

/// Two ends that have greeted one another.
fn pair(now: Instant, call: &str) -> (Link, Link) {
    let link =
        |side, stream| Link::new(LinkConfig::new(side, CallId::from(call), StreamId(stream)));
    let (mut baton, mut specialist) = (link(Side::Orchestrator, 1), link(Side::Specialist, 2));
    specialist.hello(now, crate::samples::hello());
    carry(now, &mut specialist, &mut baton);
    baton.welcome(Epoch(1), Targets::default());
    carry(now, &mut baton, &mut specialist);
    (baton, specialist)
}

/// Brings all that is to be sent to the peer, and returns the chunks that it was given.
fn carry(now: Instant, from: &mut Link, to: &mut Link) -> Vec<ContextChunk> {
    let mut events = Vec::new();
    while let Some(transmit) = from.poll_transmit(now) {
        assert!(transmit.payload.len() <= FRAME_BYTES_MAX);
        to.handle_frame(now, &transmit.payload, &mut events);
    }
    events
        .into_iter()
        .filter_map(|event| match event {
            LinkEvent::Received {
                body: Body::ContextChunk(chunk),
                ..
            } => Some(chunk),
            LinkEvent::Received { .. } => None,
            LinkEvent::Rejected { .. } | LinkEvent::Unresponsive => panic!("{event:?}"),
        })
        .collect()
}

/// The pieces of a body, as a specialist sends them.
fn pieces(transfer: u64, body: &Body) -> Vec<ContextChunk> {
    let now = Instant::now();
    let (mut baton, mut specialist) = pair(now, "call-17");
    let limits = ChunkLimits::new(Side::Specialist);
    let mut chunks = Chunks::new(&limits, transfer, body).unwrap();
    let mut pieces = Vec::new();
    loop {
        let progress = chunks.send(now, Epoch(1), &mut specialist).unwrap();
        pieces.extend(carry(now, &mut specialist, &mut baton));
        carry(now, &mut baton, &mut specialist);
        if progress == ChunksProgress::Done {
            return pieces;
        }
    }
}

/// One piece that is the whole of some bytes.
fn whole(transfer: u64, bytes: Vec<u8>) -> ContextChunk {
    ContextChunk {
        transfer,
        offset: 0,
        total_bytes: bytes.len() as u64,
        sha256: Sha256::digest(&bytes).to_vec(),
        data: bytes,
    }
}

/// An envelope with a body and nothing else that counts.
fn envelope(body: Option<Body>) -> Vec<u8> {
    Frame {
        version: wire::VERSION,
        call: CallId::from(""),
        epoch: Epoch(0),
        stream: StreamId(1),
        seq: None,
        ack: None,
        body,
    }
    .encode()
}

fn assembly() -> Assembly {
    Assembly::new(ChunkLimits::new(Side::Orchestrator))
}

/// Assembles pieces of which only the last may complete something.
fn assemble(assembly: &mut Assembly, pieces: Vec<ContextChunk>) -> Result<Body, AssemblyError> {
    let count = pieces.len();
    for (at, piece) in pieces.into_iter().enumerate() {
        match assembly.take(piece)? {
            Assembled::Whole(body) if at + 1 == count => return Ok(body),
            Assembled::More if at + 1 < count => {}
            other => panic!("piece {at} of {count}: {other:?}"),
        }
    }
    panic!("no pieces")
}

#[test]
fn a_body_of_eight_mebibytes_comes_out_as_it_went_in() {
    let sent = body((8 << 20) - 100);
    let pieces = pieces(1, &sent);
    assert!(pieces.len() <= (8 << 20) / 14_800, "{}", pieces.len());
    let mut assembly = assembly();
    assert_eq!(assemble(&mut assembly, pieces), Ok(sent));
    assert_eq!((assembly.transfers(), assembly.held_bytes()), (0, 0));
}

#[test]
fn pieces_fill_their_frames() {
    let pieces = pieces(1, &body(100_000));
    assert_eq!(pieces.len(), 7);
    assert!(
        pieces[..6].iter().all(|piece| piece.data.len() > 14_800),
        "{:?}",
        pieces[0].data.len()
    );
}

#[test]
fn chunks_leave_half_of_the_window_to_others() {
    let now = Instant::now();
    let (mut baton, mut specialist) = pair(now, "call-17");
    let limits = ChunkLimits::new(Side::Specialist);
    let mut chunks = Chunks::new(&limits, 1, &body(2_000_000)).unwrap();
    assert_eq!(
        chunks.send(now, Epoch(1), &mut specialist),
        Ok(ChunksProgress::Waiting)
    );
    assert_eq!(specialist.waiting(), 32);
    let sent_bytes = chunks.sent_bytes();
    chunks.send(now, Epoch(1), &mut specialist).unwrap();
    assert_eq!(chunks.sent_bytes(), sent_bytes, "nothing was acked");
    for _ in 0..32 {
        specialist
            .send(
                now,
                Epoch(1),
                &Body::Granted {
                    epoch: Epoch(1),
                    preroll_ms: None,
                },
            )
            .unwrap();
    }
    carry(now, &mut specialist, &mut baton);
    carry(now, &mut baton, &mut specialist);
    chunks.send(now, Epoch(1), &mut specialist).unwrap();
    assert!(chunks.sent_bytes() > sent_bytes);
}

#[test]
fn a_call_id_that_fills_the_frame_leaves_no_room_for_chunks() {
    let now = Instant::now();
    let (_, mut specialist) = pair(now, &"x".repeat(14_880));
    let limits = ChunkLimits::new(Side::Specialist);
    let mut chunks = Chunks::new(&limits, 1, &body(20_000)).unwrap();
    let error = chunks.send(now, Epoch(1), &mut specialist).unwrap_err();
    assert!(
        matches!(error, SendError::TooLarge { bytes, .. } if bytes > FRAME_BYTES_MAX),
        "{error}"
    );
}

#[test]
fn only_what_is_ones_own_and_divisible_is_cut_up() {
    let limits = ChunkLimits::new(Side::Specialist);
    let error = |body| Chunks::new(&limits, 1, &body).unwrap_err();
    assert_eq!(
        error(Body::Leave),
        ChunkError::WrongDirection { body: "leave" }
    );
    assert_eq!(
        error(Body::Hello(crate::samples::hello())),
        ChunkError::NotDivisible { body: "hello" }
    );
    assert_eq!(
        error(Body::ContextChunk(whole(1, vec![1]))),
        ChunkError::NotDivisible {
            body: "context_chunk"
        }
    );
    let large = error(body(8 << 20));
    assert!(
        large.to_string().starts_with("context_append has 83886")
            && large.to_string().ends_with("bytes, the limit is 8388608"),
        "{large}"
    );
}

#[test]
fn a_restarted_transfer_starts_at_its_first_piece() {
    let now = Instant::now();
    let limits = ChunkLimits::new(Side::Specialist);
    let sent = body(40_000);
    let mut chunks = Chunks::new(&limits, 1, &sent).unwrap();
    let (_, mut specialist) = pair(now, "call-17");
    chunks.send(now, Epoch(1), &mut specialist).unwrap();

    let (mut baton, mut specialist) = pair(now, "call-17");
    chunks.restart();
    assert_eq!(
        chunks.send(now, Epoch(1), &mut specialist),
        Ok(ChunksProgress::Done)
    );
    let pieces = carry(now, &mut specialist, &mut baton);
    assert_eq!(assemble(&mut assembly(), pieces), Ok(sent));
}

#[test]
fn a_body_that_another_baton_process_has_half_of_is_sent_again() {
    let now = Instant::now();
    let (mut first, mut specialist) = pair(now, "call-17");
    let limits = ChunkLimits::new(Side::Specialist);
    let sent = body(70_000);
    let mut chunks = Chunks::new(&limits, 1, &sent).unwrap();
    assert_eq!(
        chunks.send(now, Epoch(1), &mut specialist),
        Ok(ChunksProgress::Done)
    );
    // Two pieces arrive and are acked, then the process dies.
    let mut events = Vec::new();
    for _ in 0..2 {
        let transmit = specialist.poll_transmit(now).unwrap();
        first.handle_frame(now, &transmit.payload, &mut events);
    }
    carry(now, &mut first, &mut specialist);
    assert_eq!((specialist.acked(), specialist.waiting()), (Seq(2), 3));
    assert!(!chunks.is_acked(&specialist));

    let config = LinkConfig::new(Side::Orchestrator, CallId::from("call-17"), StreamId(3));
    let mut second = Link::new(config);
    let mut assembly = assembly();
    specialist.hello(now, crate::samples::hello());
    carry(now, &mut specialist, &mut second);
    second.welcome(Epoch(2), Targets::default());
    carry(now, &mut second, &mut specialist);
    let mut rest = carry(now, &mut specialist, &mut second).into_iter();
    let error = assembly.take(rest.next().unwrap()).unwrap_err();
    assert!(matches!(error, AssemblyError::Gap { .. }), "{error}");
    for piece in rest {
        assert_eq!(assembly.take(piece), Ok(Assembled::PassedOver));
    }

    chunks.restart();
    chunks.send(now, Epoch(2), &mut specialist).unwrap();
    assert!(!chunks.is_acked(&specialist));
    let pieces = carry(now, &mut specialist, &mut second);
    assert_eq!(assemble(&mut assembly, pieces), Ok(sent));
    carry(now, &mut second, &mut specialist);
    let late = now + Duration::from_millis(50);
    carry(late, &mut second, &mut specialist);
    assert!(chunks.is_acked(&specialist));
}

#[test]
fn transfers_may_be_mixed() {
    let bodies = [body(40_000), body(50_000)];
    let mut assembly = assembly();
    let mut wholes = Vec::new();
    let (first, second) = (pieces(1, &bodies[0]), pieces(2, &bodies[1]));
    for at in 0..4 {
        for piece in [first.get(at), second.get(at)].into_iter().flatten() {
            match assembly.take(piece.clone()).unwrap() {
                Assembled::Whole(body) => wholes.push(body),
                Assembled::More => {}
                Assembled::PassedOver => panic!("{piece:?}"),
            }
        }
    }
    assert_eq!(wholes, bodies);
}

#[test]
fn a_declared_size_over_the_bound_is_refused_before_anything_is_held() {
    let mut assembly = assembly();
    let piece = ContextChunk {
        total_bytes: (8 << 20) + 1,
        ..whole(1, vec![0; 10])
    };
    let error = assembly.take(piece).unwrap_err();
    assert_eq!(
        error.to_string(),
        "transfer 1 declares 8388609 bytes, the limit is 8388608"
    );
    assert_eq!(error.reject_reason(), RejectReason::TooLarge);
    assert_eq!((assembly.transfers(), assembly.held_bytes()), (0, 0));
    let endless = ContextChunk {
        total_bytes: u64::MAX,
        ..whole(2, vec![0; 10])
    };
    assert!(matches!(
        assembly.take(endless),
        Err(AssemblyError::TooLarge { .. })
    ));
}

#[test]
fn one_transfer_too_many_is_refused_and_the_others_go_on() {
    let mut assembly = assembly();
    let sent = body(40_000);
    let mut first = pieces(1, &sent);
    let last = first.split_off(2);
    for piece in first {
        assert_eq!(assembly.take(piece), Ok(Assembled::More));
    }
    assembly.take(pieces(2, &sent).remove(0)).unwrap();
    let mut third = pieces(3, &sent).into_iter();
    assert_eq!(
        assembly.take(third.next().unwrap()),
        Err(AssemblyError::TooMany {
            transfer: 3,
            limit: 2
        })
    );
    for piece in third {
        assert_eq!(assembly.take(piece), Ok(Assembled::PassedOver));
    }
    assert_eq!(assemble(&mut assembly, last), Ok(sent));
}

#[test]
fn a_wrong_hash_is_refused() {
    let mut pieces = pieces(1, &body(40_000));
    pieces[1].data[7] ^= 1;
    assert_eq!(
        assemble(&mut assembly(), pieces),
        Err(AssemblyError::WrongHash { transfer: 1 })
    );
}

#[test]
fn a_transfer_refused_in_the_middle_is_passed_over_and_may_start_anew() {
    let mut assembly = assembly();
    let sent = body(60_000);
    let good = pieces(1, &sent);
    let mut bad = good.clone();
    bad.remove(1);
    assert_eq!(assembly.take(bad.remove(0)), Ok(Assembled::More));
    let error = assembly.take(bad.remove(0)).unwrap_err();
    assert!(matches!(error, AssemblyError::Gap { .. }), "{error}");
    assert_eq!(assembly.held_bytes(), 0);
    assert_eq!(assembly.take(bad.remove(0)), Ok(Assembled::PassedOver));
    assert_eq!(assemble(&mut assembly, good), Ok(sent));
}

#[test]
fn each_bad_piece_is_refused_by_name() {
    let good = pieces(7, &body(40_000));
    let had = good[0].data.len() as u64;
    let second = |change: fn(&mut ContextChunk)| {
        let mut assembly = assembly();
        assembly.take(good[0].clone()).unwrap();
        let mut piece = good[1].clone();
        change(&mut piece);
        let error = assembly.take(piece).unwrap_err();
        assert_eq!(assembly.held_bytes(), 0, "{error}");
        error
    };
    let (transfer, got) = (7, had + 1);
    assert_eq!(
        second(|piece| piece.offset += 1),
        AssemblyError::Gap { transfer, had, got }
    );
    assert_eq!(
        second(|piece| piece.offset -= 1),
        AssemblyError::Overlap {
            transfer,
            had,
            got: had - 1
        }
    );
    assert_eq!(
        second(|piece| piece.data.clear()),
        AssemblyError::Empty { transfer }
    );
    assert_eq!(
        second(|piece| piece.total_bytes += 1),
        AssemblyError::Changed { transfer }
    );
    assert_eq!(
        second(|piece| piece.sha256[0] ^= 1),
        AssemblyError::Changed { transfer }
    );
    assert!(matches!(
        second(|piece| piece.data = vec![0; 40_000]),
        AssemblyError::Beyond { .. }
    ));

    let first = |piece| assembly().take(piece).unwrap_err();
    assert_eq!(
        first(good[1].clone()),
        AssemblyError::Gap {
            transfer,
            had: 0,
            got: had
        }
    );
    let short = ContextChunk {
        sha256: vec![0; 31],
        ..good[0].clone()
    };
    assert_eq!(
        first(short),
        AssemblyError::NotAHash {
            transfer,
            bytes: 31
        }
    );
}

#[test]
fn what_is_assembled_is_held_to_the_same_rules_as_a_frame() {
    let refused = |bytes| assembly().take(whole(1, bytes)).unwrap_err();
    let transfer = 1;
    let grant = Body::Grant {
        epoch: Epoch(9),
        opening: Opening::Continue,
        handoff: None,
        packet: None,
    };
    assert_eq!(
        refused(envelope(Some(grant))),
        AssemblyError::WrongDirection {
            transfer,
            body: "grant"
        }
    );
    assert_eq!(
        refused(envelope(Some(Body::Hello(crate::samples::hello())))),
        AssemblyError::NotDivisible {
            transfer,
            body: "hello"
        }
    );
    let nested = Body::ContextChunk(whole(2, vec![1]));
    assert_eq!(
        refused(envelope(Some(nested))),
        AssemblyError::NotDivisible {
            transfer,
            body: "context_chunk"
        }
    );
    assert_eq!(
        refused(envelope(None)),
        AssemblyError::UnknownBody { transfer }
    );
    let error = refused(vec![0xff; 40]);
    assert!(matches!(error, AssemblyError::Malformed { .. }), "{error}");
    // Version 2.0 and nothing else.
    let error = refused(vec![0x0a, 0x02, 0x08, 0x02]);
    assert_eq!(
        error.to_string(),
        "transfer 1 is no body: protocol version 2.0, only major version 1 is understood"
    );
}

#[test]
fn items_that_take_more_memory_than_bytes_are_counted_before_they_are_read() {
    let items = Body::ContextAppend {
        items: (0..70_000)
            .map(|_| ContextItem {
                id: String::new(),
                position: None,
                chat_item: Vec::new(),
                framework: String::new(),
                framework_json: Vec::new(),
                unknown: Vec::new(),
            })
            .collect(),
    };
    let error = assembly()
        .take(whole(1, envelope(Some(items))))
        .unwrap_err();
    assert_eq!(
        error,
        AssemblyError::TooManyItems {
            transfer: 1,
            items: 70_000,
            limit: 65_536
        }
    );
}

#[test]
fn another_process_of_the_peer_starts_with_nothing() {
    let mut assembly = assembly();
    let sent = body(40_000);
    let pieces = pieces(1, &sent);
    assembly.take(pieces[0].clone()).unwrap();
    assembly.clear();
    assert_eq!(assemble(&mut assembly, pieces), Ok(sent));
}

proptest::proptest! {
    /// Whatever pieces come, nothing panics and what is held stays within the bounds.
    #[test]
    fn no_pieces_break_the_bounds(
        pieces in proptest::collection::vec(
            (0u64..5, 0u64..64, 0u64..1_200, 0usize..34, 0usize..64),
            0..60,
        ),
    ) {
        let limits = ChunkLimits {
            body_bytes_max: 1_000,
            ..ChunkLimits::new(Side::Orchestrator)
        };
        let mut assembly = Assembly::new(limits);
        for (transfer, offset, total_bytes, hash, data) in pieces {
            let _ = assembly.take(ContextChunk {
                transfer,
                offset,
                total_bytes,
                sha256: vec![0; hash.max(30)],
                data: vec![1; data],
            });
            proptest::prop_assert!(assembly.transfers() <= 2 && assembly.held_bytes() <= 2_000);
        }
    }
}
