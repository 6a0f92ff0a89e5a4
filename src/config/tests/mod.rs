//! Tests of the configuration through its public face.

mod broken;
mod schema;
mod valid;
