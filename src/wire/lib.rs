//! The protocol between Baton and its specialists.
