//! `unsafe` stands in one place, the fast kernels, where it is audited.

use std::path::Path;

use super::Finding;
use crate::source::{self, Rust};

const RULE: &str = "unsafe only in the fast kernels";

/// Where vector instructions need it.
const KERNELS: &str = "crates/sealgrid-graph/src/fast";

pub fn workspace() -> Vec<Finding> {
    ["crates", "xtask"]
        .iter()
        .flat_map(|folder| source::rust(folder))
        .flat_map(|source| unsafety(&source))
        .collect()
}

fn unsafety(source: &Rust) -> Vec<Finding> {
    if source.path.starts_with(Path::new(KERNELS)) {
        return Vec::new();
    }
    source
        .tokens
        .iter()
        .filter(|token| token.text == "unsafe")
        .map(|token| Finding {
            path: source.path.clone(),
            line: token.line,
            rule: RULE,
            what: "`unsafe`".into(),
            advice: "use a safe crate or function; only graph::fast may hold unsafe code",
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_is_found_outside_the_kernels_only() {
        let text = "fn f() { unsafe { g() } }";
        assert_eq!(unsafety(&Rust::new("crates/sealgrid-net/src/lib.rs", text)).len(), 1);
        assert!(unsafety(&Rust::new("crates/sealgrid-graph/src/fast/kernels/avx2.rs", text)).is_empty());
        assert!(unsafety(&Rust::new("crates/sealgrid-net/src/lib.rs", "#![forbid(unsafe_code)]")).is_empty());
    }

    #[test]
    fn unsafe_only_in_the_fast_kernels() {
        super::super::assert_none(&workspace());
    }
}
