//! Tickets: the random secret in a dispatch's metadata by which its participant is known.

use std::fmt::Write as _;

use call::Ticket;

/// Bytes of a ticket.
const TICKET_BYTES: usize = 16;

/// A fresh ticket, from a generator that the operating system has seeded.
pub(super) fn fresh_ticket() -> Ticket {
    let mut text = String::with_capacity(2 * TICKET_BYTES);
    for byte in rand::random::<[u8; TICKET_BYTES]>() {
        write!(text, "{byte:02x}").expect("a string takes whatever is written");
    }
    Ticket::from(text)
}

/// A fresh number that is not 0, for the streams of a process.
pub(super) fn fresh_number() -> u64 {
    rand::random::<u64>().max(1)
}
