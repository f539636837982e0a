#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sealgrid_seal::envelope::fuzz_open(bytes));
