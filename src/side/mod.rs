//! A room beside the call's room, for an agent that knows nothing of Baton, or for a person.
//!
//! Such an agent publishes as it likes and takes whoever is in its room for the user. So it gets a room of its own, in
//! which Baton is the only other participant, under the caller's identity, kind and attributes: the agent sees a caller,
//! and nobody sees the agent. Its packets go to the call's program as those of any source do; the caller's go the other
//! way as they came. A task of its own ([`run`]) has the room, and does for the agent what an SDK would.
//!
//! A person gets one too: whoever joins it that is no agent is that person, and hears nothing of the call before it has accepted.
//!
//! **Invariant**: nothing here reaches the caller, and nothing decides who has the baton: what the agent sounds like is
//! handed to the call, whose mixer admits it or not.

mod duties;
mod ear;
mod human;
mod room;

pub use self::duties::Word;
pub use self::ear::{Ear, Line};
pub use self::human::Keys;
pub use self::room::{Beside, Order, Said, run};
