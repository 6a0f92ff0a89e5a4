//! The timers of a call: every state that waits has one, and each has a name.

use crate::ids::DispatchId;

/// What runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// No caller came: the call ends.
    CallerJoin,
    /// What is known of the caller was not told: the entry rules go by what is known.
    Entry,
    /// It has rung for long enough: the phone is answered.
    Ring,
    /// A prepared sound is not over: it is waited for no longer.
    Announcement,
    /// The caller does not hear the program track: the entry specialist is granted anyway.
    CallerListen,
    /// The caller did not come back: the call ends.
    CallerReturn,
    /// The summary of the conversation is not made: the target goes without.
    Summary,
    /// The holder's tools are not done: they are waited for no longer.
    Tools,
    /// No splice point came: the old voice is cut.
    Splice,
    /// The target has not said that it applied the end of the conversation: it is granted anyway.
    Tail,
    /// The grant's record is not durable: the baton moves all the same.
    Journal,
    /// The new holder did not sound: it goes on if it took its grant, else the old one takes the baton back.
    Switch,
    /// The crossfade was not reported done: it is taken for done.
    Fade,
    /// Nobody has the baton: the fallbacks are tried again.
    Hold,
    /// The caller has been on hold for too long: whoever had the baton goes on.
    Held,
    /// A delegation has no result: it ends, and the baton goes back.
    Delegation,
    /// The time of a rule has come.
    Rule(usize),
    /// A specialist did not join.
    Join(DispatchId),
    /// A specialist did not say Hello.
    Hello(DispatchId),
    /// A specialist did not get ready.
    Ready(DispatchId),
    /// A specialist sounds, or is to go on, and did not take its grant: it loses it.
    Grant(DispatchId),
    /// A holder of which nothing came was asked, and still nothing has come: it is lost.
    Answer(DispatchId),
    /// A specialist did not say Released: it is removed.
    Settle(DispatchId),
    /// A parked specialist's time is over: it is released.
    Park(DispatchId),
    /// A specialist that was told to leave is still there: it is removed, and forgotten when that takes as long again.
    Leave(DispatchId),
    /// A specialist did not come back.
    Return(DispatchId),
}
