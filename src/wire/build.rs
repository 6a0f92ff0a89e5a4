//! Generates the protobuf types, with a compiler in Rust: no `protoc` is needed.

use std::path::PathBuf;
use std::{env, fs};

use protox::prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo::rerun-if-changed={root}/baton");
    let descriptors = protox::compile([format!("{root}/baton/v1/envelope.proto")], [root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // The tests print frames as canonical JSON with it.
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    prost_build::Config::new()
        // With its items still encoded, so that what is unknown in them is kept.
        .extern_path(".baton.v1.ContextAppend", "crate::items::ContextAppend")
        .compile_fds(descriptors)?;
    Ok(())
}
