//! Every folder of frozen vectors says where its bytes come from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Finding;
use crate::source;

const RULE: &str = "vectors have sources";

pub fn workspace() -> Vec<Finding> {
    without_source(&source::files("vectors"))
}

fn without_source(files: &[PathBuf]) -> Vec<Finding> {
    let areas: BTreeSet<&Path> = files.iter().filter_map(|path| area(path)).collect();
    let has_source = |area: &Path| files.iter().any(|path| path == &area.join("SOURCE.md"));
    areas
        .into_iter()
        .filter(|area| !has_source(area))
        .map(|area| Finding {
            path: area.join("SOURCE.md"),
            line: 1,
            rule: RULE,
            what: "missing".into(),
            advice: "say which specification or program made the files, at which version, and how to make them again",
        })
        .collect()
}

/// `vectors/seal` for `vectors/seal/hpke/a.json`.
fn area(path: &Path) -> Option<&Path> {
    path.ancestors().find(|folder| folder.parent() == Some(Path::new("vectors")) && *folder != path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_source_is_found() {
        let files =
            ["vectors/seal/SOURCE.md", "vectors/seal/a.json", "vectors/graph/deep/b.json"].map(PathBuf::from);
        let found = without_source(&files);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, Path::new("vectors/graph/SOURCE.md"));
    }

    #[test]
    fn vectors_have_sources() {
        super::super::assert_none(&workspace());
    }
}
