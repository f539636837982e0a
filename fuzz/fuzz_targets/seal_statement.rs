#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sealgrid_seal::statement::fuzz_parse(bytes));
