//! Generates the protobuf types of the packet, with a compiler in Rust: no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo::rerun-if-changed={root}/baton");
    let descriptors = protox::compile([format!("{root}/baton/v1/packet.proto")], [root])?;
    prost_build::Config::new()
        .btree_map([".baton.v1.HandoffPacket"])
        .compile_fds(descriptors)?;
    Ok(())
}
