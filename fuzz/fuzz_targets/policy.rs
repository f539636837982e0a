#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sealgrid_protocol::policy::fuzz_parse(bytes));
