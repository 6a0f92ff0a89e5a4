//! Newtypes for what could be swapped: names, identities, numbers.
//!
//! Nothing here is ever made up at random: counters start at one in each call, strings come in from outside.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares a cheap-to-clone string newtype.
macro_rules! string_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The bare string.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self(value.into())
            }
        }

        impl From<String> for $name {
            fn from(value: String) -> Self {
                Self(value.into())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::from)
            }
        }
    };
}

/// Declares how a string newtype that is no secret prints.
macro_rules! printed {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

/// Declares a counter newtype.
macro_rules! number_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl $name {
            /// The number that follows.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

string_newtype! {
    /// Names one call for its whole life, across processes.
    CallId
}
printed!(CallId);

string_newtype! {
    /// A participant's identity in the room. A caller's carries its phone number: personal data, to be
    /// hashed by whoever logs it.
    Identity
}
printed!(Identity);

string_newtype! {
    /// A specialist's name in the configuration.
    SpecialistName
}
printed!(SpecialistName);

string_newtype! {
    /// The name under which a specialist's worker registers with the server.
    AgentName
}
printed!(AgentName);

string_newtype! {
    /// A secret that the shell puts into a dispatch's metadata and that the specialist shows in its Hello: it
    /// binds a participant to a [`DispatchId`]. The state machine never sees one. `Debug` does not print it.
    Ticket
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(..)")
    }
}

number_newtype! {
    /// Grows with every grant of the baton; whatever carries an older one is refused. `Epoch(0)` is the time before
    /// the first grant.
    Epoch
}

number_newtype! {
    /// One try to put a specialist into the room, and the instance that came of it. Counted within a call.
    DispatchId
}

number_newtype! {
    /// One try to move the baton. Counted within a call.
    HandoffId
}

number_newtype! {
    /// The asker's own number for its request, given back in the result.
    RequestId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_not_printed() {
        assert_eq!(format!("{:?}", Ticket::from("hush")), "Ticket(..)");
    }
}

/// A key of a phone. Digits may be a card's or a PIN's: `Debug` does not show which one it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digit(char);

impl Digit {
    /// One of `0` to `9`, `*`, `#` and `A` to `D`; `None` for anything else.
    pub fn new(key: char) -> Option<Self> {
        matches!(key, '0'..='9' | '*' | '#' | 'A'..='D').then_some(Self(key))
    }

    /// The key as it is printed on a phone.
    pub fn as_char(self) -> char {
        self.0
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digit(..)")
    }
}
