//! Tests of the configuration through its public face.

mod broken;
mod explain;
mod schema;
mod valid;
