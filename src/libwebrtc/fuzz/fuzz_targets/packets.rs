//! Audio packets of one track.
#![no_main]

use libwebrtc::checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::packets(bytes));
