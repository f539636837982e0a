#![no_main]
#![expect(dead_code, reason = "the binary uses more of these files than the target does")]

// By their paths: the binary is no library.
#[path = "../../crates/sealgrid/src/data.rs"]
mod data;
#[path = "../../crates/sealgrid/src/failure.rs"]
mod failure;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for (format, id) in
        [("csv", None), ("csv", Some("id")), ("npy", None), ("json", None), ("json", Some("id"))]
    {
        if let Ok(records) = data::Records::parse(bytes, format, id) {
            let width = records.rows[0].len();
            assert!(
                records.rows.iter().all(|row| row.len() == width && row.iter().all(|cell| cell.is_finite()))
            );
        }
    }
});
