//! Write a Baton specialist in Rust.
