//! The stored form of a record.

use bytes::Bytes;
use proptest::prelude::*;
use store::{Entry, Kind, Record, RecordError};

fn records() -> impl Strategy<Value = Record> {
    let payload = prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    (
        any::<u64>(),
        any::<u32>(),
        any::<u64>(),
        any::<u64>(),
        payload,
    )
        .prop_map(|(seq, kind, epoch, unix_ms, payload)| Record {
            seq,
            entry: Entry {
                kind: Kind::from_number(kind % 12),
                epoch,
                unix_ms,
                payload,
            },
        })
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(record in records()) {
        prop_assert_eq!(Record::decode(&record.encode()).expect("our own bytes"), record);
    }

    #[test]
    fn altered_bytes_are_refused(record in records(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut stored = record.encode();
        let at = at.index(stored.len());
        stored[at] ^= flip;
        prop_assert!(Record::decode(&stored).is_err());
    }

    #[test]
    fn cut_bytes_are_refused(record in records(), at in any::<prop::sample::Index>()) {
        let stored = record.encode();
        prop_assert!(Record::decode(&stored[..at.index(stored.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(stored in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Record::decode(&stored);
    }
}

#[test]
fn the_stored_form_does_not_change() {
    let record = Record {
        seq: 3,
        entry: Entry {
            kind: Kind::Grant,
            epoch: 7,
            unix_ms: 1_790_000_000_000,
            payload: Bytes::from_static(b"p"),
        },
    };
    let stored = [
        1, 130, 155, 87, 195, 8, 3, 16, 3, 24, 7, 32, 128, 216, 193, 162, 140, 52, 42, 1, 112,
    ];
    assert_eq!(record.encode(), stored);
}

#[test]
fn a_field_of_a_newer_baton_is_skipped_and_another_version_refused() {
    let mut record = Record {
        seq: 3,
        entry: Entry {
            kind: Kind::Unknown(99),
            epoch: 0,
            unix_ms: 0,
            payload: Bytes::new(),
        },
    };
    let mut stored = record.encode();
    // Field 100, a number.
    stored.extend_from_slice(&[0xa0, 0x06, 5]);
    let checksum = crc32(&stored[5..]);
    stored[1..5].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(
        Record::decode(&stored).expect("newer, and readable"),
        record
    );
    record.entry.kind = Kind::Core;
    let mut other = record.encode();
    other[0] = 2;
    assert!(matches!(
        Record::decode(&other),
        Err(RecordError::Version { found: 2 })
    ));
}

#[test]
fn what_people_said_is_never_printed() {
    let entry = Entry {
        kind: Kind::ContextItem,
        epoch: 1,
        unix_ms: 2,
        payload: Bytes::from_static(b"my card number"),
    };
    assert_eq!(
        format!("{:?}", Record { seq: 4, entry }),
        "#4 Entry(ContextItem epoch 1 at 2, 14 bytes)"
    );
    assert_eq!(
        format!(
            "{:?}",
            store::CallKey::new("call-_+15550199_x").expect("short")
        ),
        "CallKey(..)"
    );
}

/// CRC-32 as in IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
