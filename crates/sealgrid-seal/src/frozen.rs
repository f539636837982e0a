//! Frozen vectors: what a format looked like when it was published. Compiled for tests only.

use std::path::PathBuf;

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/seal").join(name)
}

pub(crate) fn read(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn json(name: &str) -> Vec<serde_json::Value> {
    serde_json::from_slice(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The bytes of a hexadecimal field.
pub(crate) fn bytes(case: &serde_json::Value, field: &str) -> Vec<u8> {
    hex::decode(case[field].as_str().unwrap_or_else(|| panic!("no {field} in {case}"))).expect("hexadecimal")
}

/// Compares `written` with the frozen file; writes a missing one when asked to (see SOURCE.md).
pub(crate) fn check(name: &str, written: &[u8]) {
    if std::env::var_os("SEALGRID_WRITE_VECTORS").is_some() && !path(name).exists() {
        std::fs::write(path(name), written).expect("the folder is there");
    }
    assert!(
        read(name) == written,
        "{name} is no longer what is written: a format changed without a new version"
    );
}
