#![no_main]
#![expect(dead_code, reason = "the crate uses more of this file than the target does")]

// By its path: the crate around it brings a QUIC stack.
#[path = "../../crates/sealgrid-net/src/frame.rs"]
mod frame;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| frame::fuzz_parse(bytes));
