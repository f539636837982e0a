//! How the rules see the workspace: files, and Rust files as a flat list of tokens with line numbers, without
//! comments, each marked whether it is compiled only for tests.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The workspace's root folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Folders that hold nothing of ours.
const SKIPPED: &[&str] =
    &["target", ".git", ".venv", "book", "node_modules", "__pycache__", "corpus", "artifacts"];

/// Every file below `folder` (relative to the root), relative to the root, sorted.
pub fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let skipped = path.file_name().is_some_and(|name| SKIPPED.iter().any(|skip| name == *skip));
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !skipped => folders.push(path),
                Ok(kind) if kind.is_file() => {
                    found.push(path.strip_prefix(root()).expect("walked from the root").to_path_buf());
                }
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// The text of a file relative to the root; `None` when it is not UTF-8.
pub fn text(path: &Path) -> Option<String> {
    std::fs::read_to_string(root().join(path)).ok()
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name or keyword.
    Ident,
    /// One punctuation character, or an opening or closing bracket.
    Punct,
    /// A number, string or character.
    Literal,
}

/// One token of a Rust file.
#[derive(Clone, Debug)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// As written.
    pub text: String,
    /// Line, from 1.
    pub line: usize,
    /// Compiled only for tests.
    pub test: bool,
}

/// One Rust file.
#[derive(Clone, Debug)]
pub struct Rust {
    /// Relative to the root.
    pub path: PathBuf,
    /// Without comments.
    pub tokens: Vec<Token>,
}

/// A path such as `std::fs::read`, from a `use` tree or an expression.
#[derive(Clone, Debug)]
pub struct UsedPath {
    /// Its segments, `*` for a glob.
    pub segments: Vec<String>,
    /// Line, from 1.
    pub line: usize,
    /// Compiled only for tests.
    pub test: bool,
}

impl Rust {
    /// Tokenises `text`; a file that is not Rust is a finding of the compiler, not of ours, and has no tokens.
    pub fn new(path: impl Into<PathBuf>, text: &str) -> Self {
        let path = path.into();
        let mut tokens = Vec::new();
        if let Ok(stream) = TokenStream::from_str(text) {
            flatten(stream, is_test_file(&path), &mut tokens);
        }
        Self { path, tokens }
    }

    /// Every path of the file; trees such as `std::{fs, net}` are taken apart.
    pub fn paths(&self) -> Vec<UsedPath> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            at = match self.tokens[at].kind {
                Kind::Ident => self.path_at(at, Vec::new(), &mut found),
                _ => at + 1,
            };
        }
        found
    }

    /// Reads the path that starts at `at`, adds it to `found`, and returns where reading goes on.
    fn path_at(&self, mut at: usize, mut segments: Vec<String>, found: &mut Vec<UsedPath>) -> usize {
        let first = &self.tokens[at];
        loop {
            segments.push(self.tokens[at].text.clone());
            at += 1;
            if !(self.is(at, ":") && self.is(at + 1, ":")) {
                break;
            }
            at += 2;
            if self.is(at, "{") {
                return self.tree_at(at, &segments, found);
            }
            match self.tokens.get(at) {
                Some(token) if token.kind == Kind::Ident || token.text == "*" => {}
                _ => break, // a turbofish
            }
        }
        found.push(UsedPath { segments, line: first.line, test: first.test });
        at
    }

    /// Reads `{a, b::c}` behind a prefix.
    fn tree_at(&self, open: usize, prefix: &[String], found: &mut Vec<UsedPath>) -> usize {
        let mut at = open + 1;
        while at < self.tokens.len() && !self.is(at, "}") {
            at = match self.tokens[at].kind {
                Kind::Ident => self.path_at(at, prefix.to_vec(), found),
                Kind::Punct if self.is(at, "*") => {
                    let segments = prefix.iter().cloned().chain(["*".to_owned()]).collect();
                    let Token { line, test, .. } = self.tokens[at];
                    found.push(UsedPath { segments, line, test });
                    at + 1
                }
                _ => at + 1,
            };
        }
        at + 1
    }

    fn is(&self, at: usize, text: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.text == text)
    }

    /// Names of functions that are compiled for tests only, with their lines.
    pub fn test_functions(&self) -> impl Iterator<Item = (&str, usize)> {
        self.tokens
            .windows(2)
            .filter(|pair| pair[1].test && pair[0].text == "fn" && pair[1].kind == Kind::Ident)
            .map(|pair| (pair[1].text.as_str(), pair[1].line))
    }
}

/// Every Rust file of a folder; a file that is declared behind `#[cfg(test)]` is marked as a whole.
pub fn rust(folder: &str) -> Vec<Rust> {
    let mut sources: Vec<Rust> = files(folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| text(&path).map(|text| Rust::new(path, &text)))
        .collect();
    mark_test_modules(&mut sources);
    sources
}

/// Follows `#[cfg(test)] mod name;` to the files it names.
fn mark_test_modules(sources: &mut [Rust]) {
    let modules: Vec<PathBuf> = sources.iter().flat_map(test_modules).collect();
    let is_test = |path: &Path| {
        modules.iter().any(|module| path.starts_with(module) || path == module.with_extension("rs"))
    };
    for source in sources.iter_mut().filter(|source| is_test(&source.path)) {
        source.tokens.iter_mut().for_each(|token| token.test = true);
    }
}

/// `src/frozen` for `#[cfg(test)] mod frozen;` in src/lib.rs.
fn test_modules(source: &Rust) -> Vec<PathBuf> {
    let folder = match source.path.file_name().and_then(|name| name.to_str()) {
        Some("lib.rs" | "main.rs" | "mod.rs") => source.path.parent().unwrap_or(Path::new("")).to_path_buf(),
        _ => source.path.with_extension(""),
    };
    source
        .tokens
        .windows(3)
        .filter(|tokens| tokens[0].text == "mod" && tokens[0].test && tokens[2].text == ";")
        .map(|tokens| folder.join(&tokens[1].text))
        .collect()
}

/// Integration tests, benchmarks, examples and `tests.rs` modules.
fn is_test_file(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests")
        || path.components().any(|part| {
            let part = part.as_os_str();
            part == "tests" || part == "benches" || part == "examples"
        })
}

fn flatten(stream: TokenStream, test: bool, tokens: &mut Vec<Token>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut item_is_test = false;
    for (at, tree) in trees.iter().enumerate() {
        if let [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] = &trees[at..]
            && hash.as_char() == '#'
        {
            item_is_test |= marks_test(&attribute.stream().to_string());
        }
        let test = test || item_is_test;
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                tokens.push(Token { kind: Kind::Punct, text: open.into(), line, test });
                flatten(group.stream(), test, tokens);
                let line = tree.span().end().line;
                tokens.push(Token { kind: Kind::Punct, text: close.into(), line, test });
                if group.delimiter() == Delimiter::Brace {
                    item_is_test = false;
                }
            }
            TokenTree::Ident(ident) => {
                tokens.push(Token { kind: Kind::Ident, text: ident.to_string(), line, test });
            }
            TokenTree::Punct(punct) => {
                tokens.push(Token { kind: Kind::Punct, text: punct.as_char().to_string(), line, test });
                if punct.as_char() == ';' {
                    item_is_test = false;
                }
            }
            TokenTree::Literal(literal) => {
                tokens.push(Token { kind: Kind::Literal, text: literal.to_string(), line, test });
            }
        }
    }
}

/// Whether the item behind this attribute exists in test builds only.
fn marks_test(attribute: &str) -> bool {
    let attribute: String = attribute.chars().filter(|character| !character.is_whitespace()).collect();
    attribute == "test"
        || attribute.ends_with("::test")
        || attribute == "cfg(test)"
        || attribute.starts_with("cfg(all(test")
        || attribute == "cfg(any(test,feature=\"testing\"))"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        Rust::new("src/lib.rs", text).paths().into_iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn trees_of_imports_are_taken_apart() {
        let found = paths("use std::{fs, net::{TcpStream, *}, io as input};");
        for expected in ["std::fs", "std::net::TcpStream", "std::net::*", "std::io"] {
            assert!(found.iter().any(|path| path == expected), "{expected} in {found:?}");
        }
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        assert!(!paths("// std::fs\nfn f() { g(\"std::fs\") }").iter().any(|path| path.starts_with("std")));
    }

    #[test]
    fn what_only_tests_compile_is_marked() {
        let text = "use a::one;\n#[cfg(test)]\nmod tests { use a::two; }\nuse a::three;\n#[cfg(test)] use a::four;\nuse a::five;";
        let source = Rust::new("src/lib.rs", text);
        let marked: Vec<_> = source
            .paths()
            .into_iter()
            .filter(|path| path.test)
            .map(|path| path.segments.join("::"))
            .collect();
        assert!(
            marked.contains(&"a::two".to_owned()) && marked.contains(&"a::four".to_owned()),
            "{marked:?}"
        );
        for outside in ["a::one", "a::three", "a::five"] {
            assert!(!marked.contains(&outside.to_owned()), "{outside} in {marked:?}");
        }
    }

    #[test]
    fn a_file_declared_for_tests_is_marked_as_a_whole() {
        let mut sources = [
            Rust::new("src/lib.rs", "#[cfg(test)]\nmod frozen;\nmod real;"),
            Rust::new("src/frozen.rs", "fn f() {}"),
            Rust::new("src/frozen/deep.rs", "fn f() {}"),
            Rust::new("src/real.rs", "fn f() {}\n#[cfg(test)] mod checks;"),
            Rust::new("src/real/checks.rs", "fn f() {}"),
        ];
        mark_test_modules(&mut sources);
        let marked = sources.iter().map(|source| source.tokens[0].test).collect::<Vec<_>>();
        assert_eq!(marked[1..], [true, true, false, true]);
    }

    #[test]
    fn lines_count_from_one() {
        let found = Rust::new("src/lib.rs", "\n\nuse std::fs;\n").paths();
        assert!(found.iter().any(|path| path.segments == ["std", "fs"] && path.line == 3));
    }
}
