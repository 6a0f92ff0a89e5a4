//! Messages on a data channel, and a stranger's datagrams.
#![no_main]

use libwebrtc::checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::datagrams(bytes));
