#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sealgrid_graph::fuzz::onnx(bytes));
