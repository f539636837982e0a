//! Nothing unfinished and nothing of one person's machine is left in the tree.

use std::path::{Path, PathBuf};

use super::Finding;
use crate::source;

const RULE: &str = "finished words";

/// Folders and files that people wrote.
const WRITTEN: &[&str] =
    &["crates", "xtask", "docs", "examples", "models", "fuzz", "vectors", ".ci", "contracts"];

/// File kinds that people write; vectors and data are bytes.
const KINDS: &[&str] = &["rs", "md", "toml", "py", "sh", "sol", "ts", "html", "css", "yml", "yaml"];

/// Words, split here so that this file does not find itself; matched as whole words.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("unimple", "mented!"),
    concat!("to", "do!"),
    concat!("for ", "now"),
];

/// Starts of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

pub fn workspace() -> Vec<Finding> {
    written().iter().flat_map(|path| words(path, &source::text(path).unwrap_or_default())).collect()
}

fn written() -> Vec<PathBuf> {
    let of_kind = |path: &PathBuf| {
        path.extension().is_some_and(|kind| KINDS.iter().any(|known| kind == *known))
            || path.starts_with(".ci")
    };
    let root_files = std::fs::read_dir(source::root()).into_iter().flatten().flatten();
    let root_files = root_files.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let root_files = root_files.map(|entry| PathBuf::from(entry.file_name()));
    WRITTEN.iter().flat_map(|folder| source::files(folder)).chain(root_files).filter(of_kind).collect()
}

fn words(path: &Path, text: &str) -> Vec<Finding> {
    let finding = |line, what: &str, advice| Finding {
        path: path.to_path_buf(),
        line,
        rule: RULE,
        what: format!("`{what}`"),
        advice,
    };
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in UNFINISHED.iter().filter(|word| has_word(line, word)) {
            found.push(finding(
                index + 1,
                word,
                "finish it, or leave the feature out and say so in the documents",
            ));
        }
        for start in MACHINE_PATHS.iter().filter(|start| line.contains(*start)) {
            found.push(finding(
                index + 1,
                start,
                "use a path relative to the repository, or an example such as DIR",
            ));
        }
    }
    found
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let letter = |character: Option<char>| character.is_some_and(|character| character.is_alphanumeric());
        let after = &line[at + word.len()..];
        // A loop over instants reads like the promise of a later change, and is none.
        !letter(line[..at].chars().next_back()) && !letter(after.chars().next()) && !after.starts_with(" in ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        words(Path::new("a.rs"), text).len()
    }

    #[test]
    fn unfinished_words_and_machine_paths_are_found() {
        for word in UNFINISHED {
            assert_eq!(count(&format!("// {word} later")), 1, "{word}");
        }
        for path in MACHINE_PATHS {
            assert_eq!(count(&format!("see {path}x")), 1, "{path}");
        }
    }

    #[test]
    fn words_inside_other_words_are_not() {
        assert_eq!(count("for now in [0, 99, 200] {"), 0);
        assert_eq!(count(concat!("AUTO", "DORS and for ", "nowhere")), 0);
    }

    #[test]
    fn finished_words() {
        assert!(written().len() > 20, "the walk finds the tree");
        super::super::assert_none(&workspace());
    }
}
