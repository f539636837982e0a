//! `sealgrid completions` and `sealgrid man`: both made from the command tree itself.

#[cfg(test)]
mod hints;
#[cfg(test)]
mod reference;

use std::path::PathBuf;

use crate::failure::{Failure, unwritable};
use crate::output::Report;

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// Which shell.
    shell: clap_complete::Shell,
}

impl Completions {
    /// The script, as text and as the member `script`.
    pub fn run(self) -> Result<Report, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::command_tree(), "sealgrid", &mut script);
        let script = String::from_utf8_lossy(&script).into_owned();
        Ok(Report::new(
            script.clone(),
            serde_json::json!({ "shell": self.shell.to_string(), "script": script }),
        ))
    }
}

/// Write the manual pages, one a command.
#[derive(Debug, clap::Args)]
pub struct Man {
    /// Folder to write them to.
    #[arg(value_name = "DIR", default_value = "man")]
    dir: PathBuf,
}

impl Man {
    /// Writes `sealgrid.1`, `sealgrid-run.1`, ….
    pub fn run(self) -> Result<Report, Failure> {
        std::fs::create_dir_all(&self.dir).map_err(|error| unwritable(&self.dir, &error))?;
        clap_mangen::generate_to(crate::command_tree(), &self.dir)
            .map_err(|error| unwritable(&self.dir, &error))?;
        Ok(Report::new(
            format!(
                "manual pages written to {}; read one with: man -l {}/sealgrid.1",
                self.dir.display(),
                self.dir.display()
            ),
            serde_json::json!({ "dir": self.dir }),
        ))
    }
}
