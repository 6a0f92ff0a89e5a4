//! The state machine of a call: who holds the baton, and how it moves.
