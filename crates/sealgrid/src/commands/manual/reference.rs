//! docs/reference/cli.md, made from the command tree, so that it cannot say something else than the binary.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, Command};

const HEAD: &str = "\
# Command line

Made from the command tree by a test; after a change of options run `SEALGRID_BLESS=1 cargo test -p sealgrid reference`.

Data go to stdout, talk to stderr. `--json` prints one JSON object instead of text; a failure is its member `error`.
`NO_COLOR` and pipes are respected. Nothing is drawn in the first quarter second of a command.

| exit | meaning |
|---|---|
| 0 | done |
| 2 | usage, model import or input data |
| 3 | refused by policy |
| 4 | verification failed |
| 5 | not available |
| 6 | a resource limit |
| 7 | a key or a consent |

Data in are CSV with a header, `.npy` or JSON; data out the same, by the extension of `--out`. Codes of errors:
[error index](errors.md).
";

fn reference() -> String {
    let mut tree = crate::command_tree();
    tree.build();
    let mut out = HEAD.to_owned();
    let globals: Vec<&Arg> = tree.get_arguments().filter(|argument| argument.is_global_set()).collect();
    out.push_str("\n## Options of every command\n\n");
    arguments(&mut out, &globals);
    for command in tree.get_subcommands() {
        section(&mut out, command, "sealgrid", 2);
    }
    out
}

fn section(out: &mut String, command: &Command, parent: &str, depth: usize) {
    if command.get_name() == "help" {
        return;
    }
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    write!(out, "\n{} `{name}`\n\n{about}\n", "#".repeat(depth)).expect("writing to a string");
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|argument| !argument.is_global_set() && !argument.is_hide_set())
        .filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version"))
        .collect();
    if !command.has_subcommands() {
        let usage = command.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").trim();
        write!(out, "\n```text\n{usage}\n```\n").expect("writing to a string");
    }
    if !own.is_empty() {
        out.push('\n');
        arguments(out, &own);
    }
    for inner in command.get_subcommands() {
        section(out, inner, &name, depth + 1);
    }
}

fn arguments(out: &mut String, arguments: &[&Arg]) {
    out.push_str("| option | meaning |\n|---|---|\n");
    for argument in arguments {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
        let default: Vec<_> =
            argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let takes_value = argument.get_action().takes_values();
        let default = match default.as_slice() {
            [] => String::new(),
            _ if !takes_value => String::new(),
            values => format!(" Default: `{}`.", values.join(" ")),
        };
        writeln!(out, "| `{}` | {}{default} |", spelling(argument), sentence(&help))
            .expect("writing to a string");
    }
}

/// `--nodes <N>`, `-q, --quiet`, `<MODEL>`.
fn spelling(argument: &Arg) -> String {
    let values: Vec<String> = match argument.get_value_names() {
        Some(names) if argument.get_action().takes_values() => {
            names.iter().map(|name| format!("<{name}>")).collect()
        }
        _ => Vec::new(),
    };
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let names = short.into_iter().chain(long).collect::<Vec<_>>().join(", ");
    [names, values.join(" ")].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Clap takes the full stop off; a table of sentences wants it back.
fn sentence(help: &str) -> String {
    let help = help.replace('\n', " ");
    if help.is_empty() || help.ends_with(['.', '?', '!']) { help } else { format!("{help}.") }
}

#[test]
fn the_command_reference_is_that_of_the_binary() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let made = reference();
    if std::env::var_os("SEALGRID_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&page, &made).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&page).expect("docs/reference/cli.md exists");
    assert!(
        written == made,
        "docs/reference/cli.md is stale; run: SEALGRID_BLESS=1 cargo test -p sealgrid reference"
    );
}

#[test]
fn every_command_and_every_option_says_what_it_does() {
    fn silent(command: &Command, path: &str, found: &mut Vec<String>) {
        let path = format!("{path} {}", command.get_name());
        if command.get_about().is_none() {
            found.push(path.clone());
        }
        let hidden = |argument: &&Arg| {
            argument.is_hide_set() || matches!(argument.get_id().as_str(), "help" | "version")
        };
        for argument in command.get_arguments().filter(|argument| !hidden(argument)) {
            if argument.get_help().is_none() {
                found.push(format!("{path} {}", spelling(argument)));
            }
        }
        for inner in command.get_subcommands() {
            silent(inner, &path, found);
        }
    }
    let mut found = Vec::new();
    silent(&crate::command_tree(), "", &mut found);
    assert!(found.is_empty(), "without a word of help: {found:?}");
}
