//! Every page under docs/ is in the book's summary, and no link inside the repository is broken.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::Finding;
use crate::source;

const RULE: &str = "pages are in the book, links lead somewhere";
const SUMMARY: &str = "docs/SUMMARY.md";

pub fn workspace() -> Vec<Finding> {
    let pages: Vec<PathBuf> = ["docs", "models", "vectors", "crates", "examples", "fuzz", ".github"]
        .iter()
        .flat_map(|folder| source::files(folder))
        .chain(
            ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "STYLE.md"].map(PathBuf::from),
        )
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"))
        .collect();
    let text = |path: &Path| source::text(path).unwrap_or_default();
    let exists = |path: &Path| source::root().join(path).exists();
    let mut found = unlisted(&pages, &text(Path::new(SUMMARY)));
    for page in &pages {
        found.extend(broken(page, &text(page), &exists));
    }
    found
}

/// Pages below docs/ that the summary does not name.
fn unlisted(pages: &[PathBuf], summary: &str) -> Vec<Finding> {
    let listed: BTreeSet<PathBuf> =
        links(summary).into_iter().filter_map(|(_, target)| resolve(Path::new(SUMMARY), &target)).collect();
    pages
        .iter()
        .filter(|page| page.starts_with("docs") && *page != Path::new(SUMMARY) && !listed.contains(*page))
        .map(|page| Finding {
            path: page.clone(),
            line: 1,
            rule: RULE,
            what: format!("{SUMMARY} does not list this page"),
            advice: "add a line for it where a reader would look",
        })
        .collect()
}

/// Links of a page that lead to no file.
fn broken(page: &Path, text: &str, exists: &dyn Fn(&Path) -> bool) -> Vec<Finding> {
    links(text)
        .into_iter()
        .filter_map(|(line, target)| resolve(page, &target).map(|path| (line, path)))
        .filter(|(_, path)| !exists(path))
        .map(|(line, path)| Finding {
            path: page.to_path_buf(),
            line,
            rule: RULE,
            what: format!("links to {}, which does not exist", path.display()),
            advice: "correct the link, or write the page",
        })
        .collect()
}

/// `](target)` of every line outside fenced code, without titles and anchors.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '#']).next());
            found.extend(targets.map(|target| (index + 1, target.to_owned())));
        }
    }
    found
}

/// A link's target relative to the root; `None` when it leaves the repository or points into its own page.
fn resolve(page: &Path, target: &str) -> Option<PathBuf> {
    if target.is_empty() || target.contains(':') {
        return None;
    }
    let mut path = PathBuf::new();
    for part in page.parent().unwrap_or(Path::new("")).join(target).components() {
        match part {
            Component::ParentDir => path.pop().then_some(())?,
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_the_summary_forgets_is_found() {
        let pages = ["docs/SUMMARY.md", "docs/a.md", "docs/spec/b.md", "README.md"].map(PathBuf::from);
        let found = unlisted(&pages, "- [A](a.md)\n");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, Path::new("docs/spec/b.md"));
    }

    #[test]
    fn a_broken_link_is_found_with_its_line() {
        let exists = |path: &Path| path == Path::new("docs/a.md");
        let text = "[a](a.md#top) [w](https://example.org) [t](#here)\n\n[up](../docs/a.md) [no](b.md)\n```\n[code](c.md)\n```\n";
        let found = broken(Path::new("docs/x.md"), text, &exists);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, found[0].what.as_str()), (3, "links to docs/b.md, which does not exist"));
    }

    #[test]
    fn pages_are_in_the_book_and_links_lead_somewhere() {
        super::super::assert_none(&workspace());
    }
}
