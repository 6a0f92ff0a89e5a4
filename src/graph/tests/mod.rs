//! Tests of the drawings through the crate's public face, and of the layout with random graphs.

mod drawing;
mod layout;
