//! `sealgrid model`: import, inspect, register, publish, list.

mod describe;
mod import;
mod publish;
mod register;

use std::path::{Path, PathBuf};

use sealgrid_graph::model::Model;

use crate::failure::{Failure, unreadable};
use crate::home::Home;
use crate::output::{Output, Report, table};
use crate::{engines, files};

pub use describe::describe;
pub use import::{Source, import};

/// Import, inspect, register, publish, list models.
#[derive(Debug, clap::Subcommand)]
pub enum ModelCommand {
    /// Import an ONNX model.
    Import(import::Import),
    /// Show what a model file holds and what it would cost to run.
    Inspect(Inspect),
    /// Register a model's weights for proofs that tell nothing of them.
    Register(register::Register),
    /// Give a model to the nodes of a grid, and have the grid's directory name it.
    Publish(publish::Publish),
    /// List the models of this home, or those that a grid's nodes hold.
    List(List),
}

impl ModelCommand {
    /// Carries out the command.
    pub fn run(self, home: &Home, output: Output) -> Result<Report, Failure> {
        match self {
            Self::Import(command) => command.run(home, output),
            Self::Inspect(command) => command.run(home),
            Self::Register(command) => command.run(home, output),
            Self::Publish(command) => command.run(home, output),
            Self::List(command) => match command.grid {
                Some(grid) => publish::held(grid, command.roots.as_deref(), home),
                None => list(&home.models()),
            },
        }
    }
}

/// List the models of this home, or those that a grid's nodes hold.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Ask the nodes of the grid in this folder.
    #[arg(long, value_name = "DIR")]
    grid: Option<PathBuf>,
    /// Folder of the trust roots [default: the grid's, else the home's].
    #[arg(long, value_name = "DIR", requires = "grid")]
    roots: Option<PathBuf>,
}

/// Show what a model file holds and what it would cost to run.
#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// Model file, or the name of an imported model.
    model: PathBuf,
}

impl Inspect {
    fn run(self, home: &Home) -> Result<Report, Failure> {
        let model = load(&self.model, home)?;
        let (text, json) = describe(&model);
        Ok(Report::new(text, json))
    }
}

/// The file of a model that was named by it, or by the name of an imported model.
pub fn file(path: &Path, home: &Home) -> PathBuf {
    let named = home.models().join(format!("{}.sgm", path.display()));
    if !path.exists() && named.exists() { named } else { path.to_owned() }
}

/// Reads a model file, or the imported model of that name.
pub fn load(path: &Path, home: &Home) -> Result<Model, Failure> {
    let path = &file(path, home);
    let bytes = files::read(path)?;
    Model::from_bytes(&bytes).map_err(|error| {
        let failure = Failure::new(error.code(), format!("{} is not a model of this program", path.display()));
        match bytes.starts_with(engines::REGISTERED_MAGIC) {
            true => failure
                .why("it is what was published of a registered model: proofs are checked with it, and it holds no weights")
                .hint("name the registered model itself, the .sgm file beside it"),
            false => failure
                .why(error)
                .hint("sealgrid model import MODEL.onnx --calibrate DATA.csv -o MODEL.sgm"),
        }
    })
}

fn list(dir: &Path) -> Result<Report, Failure> {
    let mut rows = Vec::new();
    if dir.exists() {
        for entry in std::fs::read_dir(dir).map_err(|error| unreadable(dir, &error))? {
            let path = entry.map_err(|error| unreadable(dir, &error))?.path();
            if path.extension().is_some_and(|extension| extension == "sgm") {
                rows.push(listed(&path)?);
            }
        }
    }
    rows.sort_by(|a, b| a["file"].to_string().cmp(&b["file"].to_string()));
    let mut out = table(["model", "commitment", "file"]);
    for row in &rows {
        let cell = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        out.add_row([cell("name"), cell("commitment"), cell("file")]);
    }
    let text = if rows.is_empty() {
        format!("no model in {}; try: sealgrid model import MODEL.onnx --calibrate DATA.csv", dir.display())
    } else {
        out.to_string()
    };
    Ok(Report::new(text, serde_json::json!({ "models": rows })))
}

/// A broken file is listed with its code, so that it can be found and removed.
fn listed(path: &Path) -> Result<serde_json::Value, Failure> {
    let bytes = files::read(path)?;
    Ok(match Model::from_bytes(&bytes) {
        Ok(model) => serde_json::json!({
            "name": model.card().name, "commitment": model.commitment().to_string(), "file": path.display().to_string(),
        }),
        Err(error) => serde_json::json!({
            "name": format!("unreadable ({})", error.code()), "commitment": "", "file": path.display().to_string(),
        }),
    })
}
