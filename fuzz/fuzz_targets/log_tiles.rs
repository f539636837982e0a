#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sealgrid_protocol::log::fuzz_tiles(bytes));
