#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sealgrid_protocol::receipt::fuzz_parse(bytes);
    sealgrid_verify::fuzz_parse(bytes);
});
