//! A session description of the other side's.
#![no_main]

use libwebrtc::checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::description(bytes));
