//! `unsafe` stands in the fast kernels of two crates, where it is audited. The module for browsers says the word where it names what it exports, and nowhere
//! else: an attribute is no unsafe code, but two functions of one name would be unsound.

use std::path::Path;

use super::Finding;
use crate::source::{self, Rust};

const RULE: &str = "unsafe only in the fast kernels";

/// Where vector instructions need it: those that run models, and those that transform polynomials of ciphertexts.
const KERNELS: &[&str] = &["crates/sealgrid-graph/src/fast", "crates/sealgrid-fhe/src/ring/kernels"];

/// Where functions are named for hosts that are not Rust.
const EXPORTS: &str = "crates/sealgrid-verify-wasm/src/lib.rs";

pub fn workspace() -> Vec<Finding> {
    ["crates", "xtask"]
        .iter()
        .flat_map(|folder| source::rust(folder))
        .flat_map(|source| unsafety(&source))
        .collect()
}

fn unsafety(source: &Rust) -> Vec<Finding> {
    if KERNELS.iter().any(|kernels| source.path.starts_with(Path::new(kernels))) {
        return Vec::new();
    }
    let names = |at: usize| {
        let around = source.tokens.get(at.saturating_sub(1)..).unwrap_or_default();
        let around = around.iter().take(5).map(|token| token.text.as_str());
        source.path == Path::new(EXPORTS) && around.eq(["[", "unsafe", "(", "no_mangle", ")"])
    };
    source
        .tokens
        .iter()
        .enumerate()
        .filter(|(at, token)| token.text == "unsafe" && !names(*at))
        .map(|(_, token)| Finding {
            path: source.path.clone(),
            line: token.line,
            rule: RULE,
            what: "`unsafe`".into(),
            advice: "use a safe crate or function; only graph::fast and fhe::ring::kernels may hold unsafe code",
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
        assert!(unsafety(&Rust::new("crates/sealgrid-fhe/src/ring/kernels/avx2.rs", text)).is_empty());
        assert_eq!(unsafety(&Rust::new("crates/sealgrid-fhe/src/ring/mod.rs", text)).len(), 1);
        assert!(unsafety(&Rust::new("crates/sealgrid-net/src/lib.rs", "#![forbid(unsafe_code)]")).is_empty());
    }

    #[test]
    fn the_exports_are_named_and_hold_no_unsafe_code() {
        let count = |path, text| unsafety(&Rust::new(path, text)).len();
        let named = "#[unsafe(no_mangle)] pub extern \"C\" fn f() {}";
        assert_eq!(count(EXPORTS, named), 0);
        assert_eq!(count("crates/sealgrid-verify-wasm/src/desk.rs", named), 1);
        assert_eq!(count(EXPORTS, "fn f() { unsafe { g() } }"), 1);
        assert_eq!(count(EXPORTS, "#[unsafe(link_section = \"x\")] static X: u8 = 0;"), 1);
    }

    #[test]
    fn unsafe_only_in_the_fast_kernels() {
        super::super::assert_none(&workspace());
    }
}
