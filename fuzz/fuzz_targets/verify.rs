#![no_main]

use sealgrid_verify::{TrustRoots, fuzz};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let roots = TrustRoots::decode(include_bytes!("../../vectors/receipt/trust.roots"));
    fuzz::receipt(bytes, &roots.expect("frozen roots"), 1_750_003_600_000);
});
