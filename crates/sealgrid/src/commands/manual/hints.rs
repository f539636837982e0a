//! Every `sealgrid …` that documents and messages tell a person to type exists in the command tree.

use std::path::{Path, PathBuf};

use clap::Command;

/// Pages and sources that tell people what to type; docs/design speaks of what is to come.
const WHERE: &[&str] =
    &["README.md", "docs/guides", "docs/reference", "docs/spec", "docs/concepts", "examples", "crates"];

/// Words behind `sealgrid ` that name something else: the first text of a receipt file.
const NO_COMMANDS: &[&str] = &["receipt"];

/// What stands in front of a command and what ends it.
const MARKS: &[(&str, char)] = &[("`sealgrid ", '`'), ("\"sealgrid ", '"'), ("\nsealgrid ", '\n')];

fn files(path: &Path, found: &mut Vec<PathBuf>) {
    if let Ok(entries) = std::fs::read_dir(path) {
        entries.flatten().for_each(|entry| files(&entry.path(), found));
    } else if path.extension().is_some_and(|kind| kind == "md" || kind == "rs") {
        found.push(path.to_path_buf());
    }
}

/// The commands that a text tells to type, without the first word. A line that ends in `\` goes on.
fn told(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let mut found = Vec::new();
    for (mark, end) in MARKS {
        for (at, _) in text.match_indices(mark) {
            let rest = &text[at + mark.len()..];
            found.push(rest.split(*end).next().unwrap_or_default().to_owned());
        }
    }
    found
}

/// What is wrong with a command, if anything: an unknown subcommand, or an option that it does not take.
fn wrong(told: &str, tree: &Command) -> Option<String> {
    let words: Vec<&str> =
        told.split_whitespace().take_while(|word| !matches!(*word, "#" | "&&" | "|" | "…")).collect();
    let mut command = tree;
    let mut rest = words.as_slice();
    while let [word, after @ ..] = rest {
        let Some(inner) = command.find_subcommand(word) else { break };
        (command, rest) = (inner, after);
    }
    if std::ptr::eq(command, tree) {
        let first = *words.first()?;
        let is_name = first.chars().all(|character| character.is_ascii_lowercase());
        return is_name.then(|| format!("there is no command `{first}`"));
    }
    if command.has_subcommands()
        && rest.first().is_some_and(|word| word.chars().all(|c| c.is_ascii_lowercase()))
    {
        return Some(format!("`{}` has no `{}`", command.get_name(), rest[0]));
    }
    let takes = |name: &str| command.get_arguments().any(|argument| argument.get_long() == Some(name));
    let unknown = rest.iter().find(|word| {
        let name = word.strip_prefix("--").unwrap_or_default();
        let name = name.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next().unwrap_or_default();
        !name.is_empty() && name != "help" && !takes(name)
    })?;
    Some(format!("`{}` does not take `{unknown}`", command.get_name()))
}

#[test]
fn an_invented_command_or_option_is_noticed() {
    let mut tree = crate::command_tree();
    tree.build();
    let check = |text: &str| told(text).first().and_then(|told| wrong(told, &tree));
    assert_eq!(check("type `sealgrid conjure x`").as_deref(), Some("there is no command `conjure`"));
    assert_eq!(check("type `sealgrid model conjure`").as_deref(), Some("`model` has no `conjure`"));
    assert_eq!(check("type `sealgrid doctor --wand`").as_deref(), Some("`doctor` does not take `--wand`"));
    assert_eq!(check("type `sealgrid doctor --json`"), None);
}

#[test]
fn what_people_are_told_to_type_exists() {
    let mut tree = crate::command_tree();
    tree.build();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths = Vec::new();
    WHERE.iter().for_each(|place| files(&root.join(place), &mut paths));
    assert!(paths.len() > 50, "the walk finds the tree");
    let mut found = Vec::new();
    for path in paths.iter().filter(|path| !path.ends_with(file!().rsplit('/').next().expect("a name"))) {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for told in told(&text).into_iter().filter(|told| !NO_COMMANDS.contains(&told.as_str())) {
            if let Some(what) = wrong(&told, &tree) {
                found.push(format!(
                    "{}: `sealgrid {told}`: {what}",
                    path.strip_prefix(&root).unwrap_or(path).display()
                ));
            }
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}
