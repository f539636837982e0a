//! Topics inside `sealgrid-protocol` never import each other: each can be read, audited and simulated alone.

use super::Finding;
use crate::source::{self, Rust};

const RULE: &str = "topics do not import each other";
const FOLDER: &str = "crates/sealgrid-protocol/src";

/// Modules that all topics share. Every other module of the crate is a topic.
const SHARED: &[&str] = &["machine", "names", "text", "draw", "directory", "claims"];

pub fn workspace() -> Vec<Finding> {
    let sources = source::rust(FOLDER);
    let modules: Vec<String> = sources.iter().filter_map(module).collect();
    sources.iter().flat_map(|source| imports(source, &modules)).collect()
}

/// The top-level module that a file of the crate belongs to; `None` for lib.rs.
fn module(source: &Rust) -> Option<String> {
    let inside = source.path.strip_prefix(FOLDER).ok()?;
    let name = inside.components().next()?.as_os_str().to_string_lossy().into_owned();
    let name = name.strip_suffix(".rs").unwrap_or(&name).to_owned();
    (name != "lib").then_some(name)
}

fn imports(source: &Rust, modules: &[String]) -> Vec<Finding> {
    let Some(own) = module(source) else { return Vec::new() };
    let is_topic = |name: &String| modules.contains(name) && !SHARED.contains(&name.as_str());
    source
        .paths()
        .into_iter()
        .filter(|path| !path.test && path.segments[0] == "crate")
        .filter_map(|path| path.segments.get(1).cloned().map(|to| (path.line, to)))
        .filter(|(_, to)| *to != own && is_topic(to))
        .map(|(line, to)| Finding {
            path: source.path.clone(),
            line,
            rule: RULE,
            what: format!("topic `{own}` imports topic `{to}`"),
            advice: "move what both need into a shared module, or pass it in as an argument or event",
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str) -> Vec<Finding> {
        let modules = ["quorum", "receipt", "names"].map(String::from);
        imports(&Rust::new(format!("{FOLDER}/{path}"), text), &modules)
    }

    #[test]
    fn a_topic_that_imports_another_is_found() {
        let found = check("quorum/tally.rs", "use crate::names::JobId;\nuse crate::receipt::Claims;");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
        assert_eq!(found[0].what, "topic `quorum` imports topic `receipt`");
    }

    #[test]
    fn its_own_parts_and_its_tests_are_free() {
        assert!(check("quorum.rs", "use crate::quorum::tally;").is_empty());
        assert!(check("quorum.rs", "#[cfg(test)] mod tests { use crate::receipt::Claims; }").is_empty());
    }

    #[test]
    fn topics_do_not_import_each_other() {
        super::super::assert_none(&workspace());
    }
}
