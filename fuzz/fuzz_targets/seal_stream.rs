#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sealgrid_seal::stream::fuzz_open(bytes));
