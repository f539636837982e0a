//! The verifier's module for browsers: built, made a page of, and run.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::source;
use crate::steps::{self, say};

/// The verifier's second target.
pub const TARGET: &str = "wasm32-unknown-unknown";
/// What is missing where it cannot be built, and what to do.
pub const NO_TARGET: &str = "the standard library for wasm32-unknown-unknown is not installed; rustup target add wasm32-unknown-unknown";

const CRATE: &str = "crates/sealgrid-verify-wasm";
/// Most memory that the module may have, and its stack's part: as much as a main thread has elsewhere. The linker puts the stack first, so that
/// one that runs over traps.
const LINK: [&str; 2] = ["link-arg=--max-memory=1073741824", "link-arg=-zstack-size=8388608"];

const MODULE: &str = "sealgrid_verify_wasm.wasm";
const PAGE: &str = "sealgrid-verify.html";

/// Whether the toolchain in use brings the target's standard library.
pub fn has_target() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(source::root())
        .output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

/// Builds the module and its page, and prints the folder where they are.
pub fn build(options: &[&str]) -> Result<(), String> {
    let folder = built(options)?;
    writeln!(std::io::stdout().lock(), "{}", folder.display())
        .map_err(|error| format!("cannot say where: {error}"))
}

/// Builds the module and its page, with these options to cargo beside ours: a toolchain that brings the standard library's sources alone, for one,
/// takes `-Zbuild-std=std,panic_abort`.
fn built(options: &[&str]) -> Result<PathBuf, String> {
    if !has_target() && !options.iter().any(|option| option.starts_with("-Zbuild-std")) {
        return Err(NO_TARGET.into());
    }
    let crate_type = ["rustc", "--package", "sealgrid-verify-wasm", "--lib", "--crate-type", "cdylib"];
    let target = ["--target", TARGET, "--profile", "wasm"];
    let no_paths = no_paths();
    let link = LINK.iter().flat_map(|argument| ["-C", *argument]);
    let config = ["--config", no_paths.as_str()];
    let arguments = crate_type.iter().chain(&target).chain(&config).chain(options).copied();
    let arguments: Vec<&str> = arguments.chain(["--"]).chain(link).collect();
    steps::cargo(
        &arguments,
        "`cargo tree --target wasm32-unknown-unknown` shows what brought a failing crate",
    )?;
    let folder = target_directory()?.join(TARGET).join("wasm");
    write(&folder.join(PAGE), page_of(&read(&folder.join(MODULE))?)?.as_bytes())?;
    Ok(folder)
}

/// Messages of panics name source files: without the folders of whoever built it.
fn no_paths() -> String {
    let home = std::env::var("HOME").unwrap_or_default();
    let cargo = std::env::var("CARGO_HOME").unwrap_or(format!("{home}/.cargo"));
    let root = source::root().display();
    let flags =
        [format!("--remap-path-prefix={cargo}=cargo"), format!("--remap-path-prefix={root}=sealgrid")];
    format!("target.{TARGET}.rustflags={flags:?}")
}

/// Builds the module, says how large it is, and runs it on the vectors beside the verifier of this machine.
pub fn build_and_run(options: &[&str]) -> Result<(), String> {
    let folder = built(options)?;
    let module = folder.join(MODULE);
    let bytes = read(&module)?.len();
    say(&format!("{}: {bytes} bytes, {} with gzip -9", module.display(), gzipped(&module)));
    say(&format!("{}: the page", folder.join(PAGE).display()));
    if !steps::installed("node") {
        return Err("the module is built and was not run: node is not installed".into());
    }
    let mut run = Command::new(env!("CARGO"));
    run.args(["test", "--package", "sealgrid-verify-wasm"]).current_dir(source::root());
    run.env("SEALGRID_WASM", folder);
    match ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| steps::installed(name)) {
        Some(browser) => _ = run.env("SEALGRID_CHROMIUM", browser),
        None => say("the page is not opened: Chromium is not installed"),
    }
    let status = run.status().map_err(|error| format!("cannot start cargo: {error}"))?;
    let differs = "the module and the verifier of this machine do not say the same of every file";
    if status.success() { Ok(()) } else { Err(differs.into()) }
}

/// The page: its script and the module within it, so that a browser opens it as a file and asks for nothing else.
fn page_of(module: &[u8]) -> Result<String, String> {
    let text = |name: &str| {
        read(&source::root().join(CRATE).join("www").join(name))
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| format!("{name} is not text")))
    };
    // Within the page's own script it is no module of its own.
    let script = text("verifier.mjs")?.replace("export async function", "async function");
    let page = text("page.html")?;
    let places = [("/*VERIFIER*/", script), ("/*MODULE*/", BASE64_STANDARD.encode(module))];
    places.iter().try_fold(page, |page, (place, text)| match page.matches(place).count() {
        1 => Ok(page.replace(place, text)),
        count => Err(format!("{CRATE}/www/page.html has {place} {count} times")),
    })
}

fn gzipped(module: &Path) -> String {
    let output = Command::new("gzip").args(["-9", "--stdout"]).arg(module).output();
    output.map_or_else(|_| "an unknown number".to_owned(), |output| output.stdout.len().to_string())
}

fn target_directory() -> Result<PathBuf, String> {
    let metadata = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = Command::new(env!("CARGO")).args(metadata).current_dir(source::root()).output();
    let output = output.map_err(|error| format!("cannot start cargo: {error}"))?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or("cargo metadata names no target directory".into())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_carries_script_and_module_and_asks_for_nothing() {
        let page = page_of(b"\0asm").expect("both places are there");
        assert!(page.contains("\"AGFzbQ==\"") && page.contains("WebAssembly.instantiate"));
        assert!(page.contains("default-src 'none'"));
        for way in ["fetch(", "XMLHttpRequest", "import(", "import {", "src=\"", "http:", "https:"] {
            assert!(!page.contains(way), "{way}");
        }
    }
}
