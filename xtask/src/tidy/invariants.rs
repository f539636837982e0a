//! Every invariant of ARCHITECTURE.md names the tests that hold it, and those tests exist.

use std::collections::BTreeSet;
use std::path::Path;

use super::Finding;
use crate::source::{self, Rust};

const RULE: &str = "invariants name their tests";
const PAGE: &str = "ARCHITECTURE.md";
const HEADING: &str = "## Invariants";

pub fn workspace() -> Vec<Finding> {
    let sources: Vec<Rust> = ["crates", "xtask"].iter().flat_map(|folder| source::rust(folder)).collect();
    let page = source::text(Path::new(PAGE)).unwrap_or_default();
    check(&page, &sources)
}

/// One row of the table: its line and the tests in its last column.
struct Invariant {
    line: usize,
    tests: Vec<String>,
}

fn check(page: &str, sources: &[Rust]) -> Vec<Finding> {
    let known: BTreeSet<String> = sources.iter().flat_map(tests_of).collect();
    let finding = |line, what, advice| Finding { path: PAGE.into(), line, rule: RULE, what, advice };
    let invariants = invariants(page);
    if invariants.is_empty() {
        return vec![finding(
            1,
            format!("no table below `{HEADING}`"),
            "list the invariants: number, rule, tests",
        )];
    }
    let mut found = Vec::new();
    for Invariant { line, tests } in invariants {
        if tests.is_empty() {
            found.push(finding(line, "no test is named".into(), "name the test as `crate::test_name`"));
        }
        for test in tests.iter().filter(|test| !known.contains(*test)) {
            found.push(finding(
                line,
                format!("there is no test `{test}`"),
                "correct the name, or write the test",
            ));
        }
    }
    found
}

fn invariants(page: &str) -> Vec<Invariant> {
    page.lines()
        .enumerate()
        .skip_while(|(_, line)| line.trim() != HEADING)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with("## "))
        .filter(|(_, line)| line.starts_with("| ") && line[2..].starts_with(|c: char| c.is_ascii_digit()))
        .map(|(index, line)| {
            let last = line.trim().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
            let tests = last.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            Invariant { line: index + 1, tests }
        })
        .collect()
}

/// `crate_name::function` of every test function in a file.
fn tests_of(source: &Rust) -> Vec<String> {
    let mut parts = source.path.components().map(|part| part.as_os_str().to_string_lossy().replace('-', "_"));
    let name = match parts.next().as_deref() {
        Some("crates") => parts.next().unwrap_or_default(),
        Some(other) => other.to_owned(),
        None => String::new(),
    };
    source.test_functions().map(|(function, _)| format!("{name}::{function}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(page: &str) -> Vec<String> {
        let source =
            Rust::new("crates/sealgrid-seal/src/digest.rs", "#[test] fn no_two_labels_are_equal() {}");
        check(page, &[source]).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_row_without_test_and_a_test_that_does_not_exist_are_found() {
        let page = "## Invariants\n\n| | rule | held by |\n|---|---|---|\n| 1 | a | |\n| 2 | b | `sealgrid_seal::gone` |\n";
        assert_eq!(whats(page), ["no test is named", "there is no test `sealgrid_seal::gone`"]);
    }

    #[test]
    fn a_row_whose_test_exists_is_fine_and_a_page_without_table_is_not() {
        assert!(whats("## Invariants\n| 1 | a | `sealgrid_seal::no_two_labels_are_equal` |\n").is_empty());
        assert_eq!(whats("# Architecture\n").len(), 1);
    }

    #[test]
    fn invariants_name_their_tests() {
        super::super::assert_none(&workspace());
    }
}
