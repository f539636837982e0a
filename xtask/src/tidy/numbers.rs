//! No floats where machines must agree: what is hashed, signed, proved or voted on is integer.

use std::path::Path;

use super::Finding;
use crate::source::{self, Kind, Rust};

const RULE: &str = "no floats where machines must agree";

/// Crates whose sources are integer but for the files below.
const INTEGER: &[&str] =
    &["crates/sealgrid-graph/src", "crates/sealgrid-protocol/src", "crates/sealgrid-seal/src"];

/// Files and folders that may compute in floats, each with its reason.
const FLOAT: &[(&str, &str)] = &[
    ("crates/sealgrid-graph/src/onnx", "reads float weights; what comes out is checked after lowering"),
    ("crates/sealgrid-graph/src/quantise.rs", "chooses the integers that a model file then states"),
    (
        "crates/sealgrid-graph/src/float",
        "the float graph is what a model means before it is lowered; it never runs in a job",
    ),
    (
        "crates/sealgrid-graph/src/quantise",
        "chooses the integers that a model file then states; run once, by the model's owner",
    ),
    (
        "crates/sealgrid-graph/src/model/card.rs",
        "scales of the owner's units, stored bit for bit; accuracies for people",
    ),
    ("crates/sealgrid-graph/src/model/input.rs", "encodes the owner's records before anything is hashed"),
    (
        "crates/sealgrid-graph/src/model/output.rs",
        "shows results in the owner's units after everything was checked",
    ),
    ("crates/sealgrid-graph/src/cost.rs", "estimates of time and money for people; nothing depends on them"),
];

pub fn workspace() -> Vec<Finding> {
    INTEGER.iter().flat_map(|folder| source::rust(folder)).flat_map(|source| floats(&source)).collect()
}

fn may_use_floats(path: &Path) -> bool {
    FLOAT.iter().any(|(allowed, _)| path.starts_with(allowed))
}

fn floats(source: &Rust) -> Vec<Finding> {
    if may_use_floats(&source.path) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| !token.test) {
        // `pair.0.1` lexes as the number `0.1` behind a full stop.
        let behind_dot = at > 0 && source.tokens[at - 1].text == ".";
        let float = match token.kind {
            Kind::Ident => token.text == "f32" || token.text == "f64",
            Kind::Literal => {
                token.text.starts_with(|c: char| c.is_ascii_digit()) && is_float(&token.text) && !behind_dot
            }
            Kind::Punct => false,
        };
        if float {
            found.push(Finding {
                path: source.path.clone(),
                line: token.line,
                rule: RULE,
                what: format!("`{}`", token.text),
                advice: "use integers; if nothing here is hashed, signed, proved or voted on, add the file to FLOAT in \
                         xtask/src/tidy/numbers.rs with the reason",
            });
        }
    }
    found.dedup_by_key(|finding: &mut Finding| finding.line);
    found
}

fn is_float(number: &str) -> bool {
    let hexadecimal = number.starts_with("0x") || number.starts_with("0b") || number.starts_with("0o");
    let digits = number.trim_end_matches(|c: char| c.is_ascii_alphanumeric() && !c.is_ascii_digit());
    let exponent = number.split_once('e').is_some_and(|(before, after)| {
        before.bytes().all(|b| b.is_ascii_digit() || b == b'_' || b == b'.')
            && after.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+')
    });
    !hexadecimal && (digits.contains('.') || number.ends_with("f32") || number.ends_with("f64") || exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        floats(&Rust::new("crates/sealgrid-graph/src/reference.rs", text)).len()
    }

    #[test]
    fn floats_are_found_in_types_and_in_numbers() {
        assert_eq!(count("fn f(x: f32) {}"), 1);
        assert_eq!(count("const HALF: X = y(0.5);"), 1);
        assert_eq!(count("let x = 1e3;"), 1);
        assert_eq!(count("let x = 2f64;"), 1);
    }

    #[test]
    fn integers_and_fields_of_fields_are_not_floats() {
        assert_eq!(count("let x = pair.0.1 + 0xfe + 12_u64 + 1usize;"), 0);
    }

    #[test]
    fn no_floats_where_machines_must_agree() {
        super::super::assert_none(&workspace());
    }

    #[test]
    fn every_allowance_names_a_file_that_exists_and_says_why() {
        for (path, reason) in FLOAT {
            assert!(source::root().join(path).exists(), "{path} does not exist: remove it from FLOAT");
            assert!(reason.len() > 20, "{path} needs a reason");
        }
    }
}
