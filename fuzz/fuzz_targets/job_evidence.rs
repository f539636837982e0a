#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sealgrid_protocol::job::fuzz::evidence(bytes));
