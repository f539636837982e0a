//! Every error code that the program can print has a line in docs/reference/errors/ and a test that provokes it, and
//! every line there has a code that exists.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;

use super::Finding;
use crate::source::{self, Kind, Rust};

/// Codes that no test names yet: a debt that may only shrink. A code that is tested, or gone, must leave the list.
const UNTESTED: &[&str] = &[];

const RULE: &str = "error codes are documented and tested";
const DOCS: &str = "docs/reference/errors";

/// A place in a file.
type Place = (PathBuf, usize);

/// Codes by where they stand.
#[derive(Default)]
struct Codes {
    printed: BTreeMap<String, Place>,
    tested: BTreeSet<String>,
    documented: BTreeMap<String, Place>,
    documented_twice: Vec<(String, Place)>,
}

pub fn workspace() -> Vec<Finding> {
    let mut codes = Codes::default();
    for source in source::rust("crates") {
        codes.read_source(&source);
    }
    for path in source::files(DOCS) {
        let text = source::text(&path).unwrap_or_default();
        codes.read_page(&path, &text);
    }
    codes.findings()
}

impl Codes {
    fn read_source(&mut self, source: &Rust) {
        let asserted = asserted(source);
        for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Literal) {
            for code in codes_in(&token.text) {
                if token.test || asserted.iter().any(|range| range.contains(&at)) {
                    self.tested.insert(code);
                } else if !is_doc(&token.text) {
                    self.printed.entry(code).or_insert_with(|| (source.path.clone(), token.line));
                }
            }
        }
    }

    /// Reads the first column of a page's tables.
    fn read_page(&mut self, path: &std::path::Path, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let Some(row) = line.strip_prefix('|') else { continue };
            let first = row.split('|').next().unwrap_or_default();
            for code in codes_in(first) {
                let place = (path.to_path_buf(), index + 1);
                match self.documented.entry(code) {
                    Entry::Vacant(entry) => {
                        entry.insert(place);
                    }
                    Entry::Occupied(entry) => self.documented_twice.push((entry.key().clone(), place)),
                }
            }
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let finding = |(path, line): &Place, what: String, advice| Finding {
            path: path.clone(),
            line: *line,
            rule: RULE,
            what,
            advice,
        };
        let undocumented = self.printed.iter().filter(|(code, _)| !self.documented.contains_key(*code)).map(
            |(code, place)| {
                let advice =
                    "add a table line `code | what | why | what to type next` in docs/reference/errors/";
                finding(place, format!("{code} has no line in {DOCS}"), advice)
            },
        );
        let untested = self
            .printed
            .iter()
            .filter(|(code, _)| !self.tested.contains(*code) && !UNTESTED.contains(&code.as_str()))
            .map(|(code, place)| {
                finding(
                    place,
                    format!("{code} is in no test"),
                    "write a test that provokes the error and names its code",
                )
            });
        let unknown = self.documented.iter().filter(|(code, _)| !self.printed.contains_key(*code)).map(
            |(code, place)| {
                finding(place, format!("{code} is printed nowhere"), "remove the line, or print the code")
            },
        );
        let twice = self.documented_twice.iter().map(|(code, place)| {
            finding(place, format!("{code} already has a line"), "a code means one thing: take a new number")
        });
        undocumented.chain(untested).chain(unknown).chain(twice).collect()
    }
}

/// What stands inside `assert…!(…)`: contract suites are ordinary functions that every implementation's test calls.
fn asserted(source: &Rust) -> Vec<Range<usize>> {
    let tokens = &source.tokens;
    let opens = |at: usize| {
        tokens[at].text.starts_with("assert") && tokens.get(at + 1).is_some_and(|token| token.text == "!")
    };
    let closes = |start: usize| {
        let mut depth = 0_usize;
        (start..tokens.len()).find(|at| {
            match tokens[*at].text.as_str() {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        })
    };
    (0..tokens.len()).filter(|at| opens(*at)).filter_map(|at| closes(at + 2).map(|end| at..end)).collect()
}

/// Doc comments reach us as string literals whose text starts with a space; messages do not.
fn is_doc(literal: &str) -> bool {
    literal.starts_with("\" ") || literal.starts_with("r\" ")
}

/// Every `E-XXX-NN` in `text`.
fn codes_in(text: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    bytes
        .windows(8)
        .filter(|code| {
            code.starts_with(b"E-")
                && code[2..5].iter().all(u8::is_ascii_uppercase)
                && code[5] == b'-'
                && code[6..].iter().all(u8::is_ascii_digit)
        })
        .map(|code| String::from_utf8_lossy(code).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, page: &str) -> Vec<String> {
        let mut codes = Codes::default();
        codes.read_source(&Rust::new("crates/a/src/lib.rs", code));
        codes.read_page("docs/reference/errors/a.md".as_ref(), page);
        codes.findings().into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_code_without_line_or_test_is_found() {
        let code = "fn code() -> &'static str { \"E-DAT-01\" }";
        assert_eq!(
            check(code, ""),
            ["E-DAT-01 has no line in docs/reference/errors", "E-DAT-01 is in no test"]
        );
        assert_eq!(check(code, "| `E-DAT-01` | … |"), ["E-DAT-01 is in no test"]);
    }

    #[test]
    fn a_line_whose_code_is_gone_is_found() {
        assert_eq!(check("", "| E-DAT-09 | … |"), ["E-DAT-09 is printed nowhere"]);
    }

    #[test]
    fn a_code_in_an_assertion_of_a_contract_suite_is_tested() {
        let code = "fn code() -> &'static str { \"E-DAT-01\" }\npub fn contract() { assert_eq!(code(), \"E-DAT-01\"); }";
        assert!(check(code, "| E-DAT-01 | … |").is_empty());
    }

    #[test]
    fn a_code_with_two_meanings_is_found() {
        let code = "fn code() -> &'static str { \"E-DAT-01\" }\n#[test] fn t() { assert_eq!(code(), \"E-DAT-01\"); }";
        assert_eq!(check(code, "| E-DAT-01 | … |\n| E-DAT-01 | … |"), ["E-DAT-01 already has a line"]);
    }

    #[test]
    fn a_code_with_line_and_test_is_fine() {
        let code = "fn code() -> &'static str { \"E-DAT-01\" }\n#[test] fn t() { assert_eq!(code(), \"E-DAT-01\"); }";
        assert!(check(code, "| E-DAT-01 | … |").is_empty());
    }

    #[test]
    fn error_codes_are_documented_and_tested() {
        super::super::assert_none(&workspace());
    }
}
