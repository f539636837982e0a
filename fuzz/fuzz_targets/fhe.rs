#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sealgrid_fhe::wire::fuzz::fuzz_parse(bytes));
