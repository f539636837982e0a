//! A label of hashing or signing means one thing: no two constants carry the same text, wherever they stand.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Finding;
use crate::source::{self, Kind, Rust};

const RULE: &str = "labels are unique";

pub fn workspace() -> Vec<Finding> {
    twice(&source::rust("crates"))
}

fn twice(sources: &[Rust]) -> Vec<Finding> {
    let mut first: BTreeMap<&str, (PathBuf, usize)> = BTreeMap::new();
    let mut found = Vec::new();
    for source in sources {
        for token in source.tokens.iter().filter(|token| !token.test && is_label(token.kind, &token.text)) {
            let place = (source.path.clone(), token.line);
            if let Some((path, line)) = first.get(token.text.as_str()) {
                found.push(Finding {
                    path: place.0,
                    line: place.1,
                    rule: RULE,
                    what: format!("{} is also at {}:{line}", token.text, path.display()),
                    advice: "name the constant instead of repeating its text, or take a new label",
                });
            } else {
                first.insert(&token.text, place);
            }
        }
    }
    found
}

/// `"sealgrid/…/v1"`: the form of all our labels.
fn is_label(kind: Kind, text: &str) -> bool {
    let version =
        |part: &str| part.strip_prefix('v').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    kind == Kind::Literal
        && inside.is_some_and(|label| {
            label.starts_with("sealgrid/")
                && label.rsplit('/').next().is_some_and(|last| last.len() > 1 && version(last))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_used_twice_is_found_with_both_places() {
        let one = Rust::new("crates/a/src/lib.rs", "const A: Label = Label(\"sealgrid/a/v1\");");
        let two = Rust::new("crates/b/src/lib.rs", "\nconst B: Label = Label(\"sealgrid/a/v1\");");
        let found = twice(&[one.clone(), two]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.to_str(), found[0].line), (Some("crates/b/src/lib.rs"), 2));
        assert!(twice(&[one]).is_empty());
    }

    #[test]
    fn labels_are_unique() {
        assert!(
            source::rust("crates")
                .iter()
                .flat_map(|s| &s.tokens)
                .filter(|t| is_label(t.kind, &t.text))
                .count()
                > 10
        );
        super::super::assert_none(&workspace());
    }
}
