//! Tests of the configuration through its public face.

mod broken;
mod examples;
mod explain;
mod schema;
mod valid;
