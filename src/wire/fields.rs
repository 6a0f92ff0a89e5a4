//! The fields of an encoded protobuf message, without knowing the message: what a newer minor version has added is found
//! and kept this way.

use std::iter::FusedIterator;

const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const DELIMITED: u64 = 2;
const GROUP_START: u64 = 3;
const GROUP_END: u64 = 4;
const FOUR_BYTES: u64 = 5;

/// One field as it was encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    /// The field with its key.
    pub(crate) whole: &'a [u8],
    /// What is in it, if it has a length.
    pub(crate) content: Option<&'a [u8]>,
}

/// The fields of a message, up to the first that cannot be read.
pub(crate) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let read = read_field(self.rest);
        self.rest = read.map_or(&[], |(_, rest)| rest);
        read.map(|(field, _)| field)
    }
}

impl FusedIterator for Fields<'_> {}

/// The first field, and what follows it.
fn read_field(message: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (number, kind, mut rest) = read_key(message)?;
    let mut content = None;
    if kind == GROUP_START {
        rest = skip_group(rest)?;
    } else {
        (content, rest) = read_value(kind, rest)?;
    }
    let whole = &message[..message.len() - rest.len()];
    let field = Field {
        number,
        whole,
        content,
    };
    Some((field, rest))
}

/// What follows the end of a group that has just started. A counter instead of recursion: the depth is the sender's.
fn skip_group(mut rest: &[u8]) -> Option<&[u8]> {
    let mut depth = 1_usize;
    while depth > 0 {
        let (_, kind, after) = read_key(rest)?;
        rest = after;
        match kind {
            GROUP_START => depth += 1,
            GROUP_END => depth -= 1,
            value => rest = read_value(value, rest)?.1,
        }
    }
    Some(rest)
}

/// The content of a value, if it has a length, and what follows it.
fn read_value(kind: u64, bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    match kind {
        VARINT => read_varint(bytes).map(|(_, rest)| (None, rest)),
        EIGHT_BYTES => bytes.get(8..).map(|rest| (None, rest)),
        FOUR_BYTES => bytes.get(4..).map(|rest| (None, rest)),
        DELIMITED => {
            let (length, rest) = read_varint(bytes)?;
            let (content, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((Some(content), rest))
        }
        _ => None,
    }
}

fn read_key(bytes: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (key, rest) = read_varint(bytes)?;
    Some((key >> 3, key & 7, rest))
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}
