//! Tests of the configuration through its public face.

mod broken;
mod docs;
mod examples;
mod explain;
mod odd;
mod schema;
mod valid;
