//! Tests of the configuration through its public face.

mod broken;
mod examples;
mod explain;
mod odd;
mod schema;
mod valid;
