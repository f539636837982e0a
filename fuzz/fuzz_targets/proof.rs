#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sealgrid_proof::file::fuzz_parse(bytes);
});
