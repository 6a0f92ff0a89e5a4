//! Messages with a sidecar, which may be damaged.
#![no_main]

#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::sidecar(bytes));
