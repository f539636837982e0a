//! `sealgrid log`: the grid's transparency log.

use std::path::PathBuf;

use sealgrid_seal::identity::SigningIdentity;

use crate::asking::{self, Asking};
use crate::failure::Failure;
use crate::home::Home;
use crate::local_grid;
use crate::output::Report;

/// Look at the grid's transparency log.
#[derive(Debug, clap::Subcommand)]
pub enum LogCommand {
    /// Show the latest checkpoint: how many receipts, under which root, cosigned by whom.
    Head(Head),
}

/// Show the latest checkpoint.
#[derive(Debug, clap::Args)]
pub struct Head {
    /// The grid's folder [default: the home's].
    #[arg(long, value_name = "DIR")]
    grid: Option<PathBuf>,
    /// Folder of the trust roots [default: the grid's, else the home's].
    #[arg(long, value_name = "DIR")]
    roots: Option<PathBuf>,
    /// Cosignatures that the checkpoint must have.
    #[arg(long, default_value_t = 1)]
    witnesses: u8,
}

impl LogCommand {
    /// Carries out the command.
    pub fn run(self, home: &Home) -> Result<Report, Failure> {
        let Self::Head(head) = self;
        let grid = local_grid::existing(head.grid, home)?;
        let trust = asking::trust_roots(head.roots.as_deref(), &grid, home)?;
        let asking = Asking::open(&grid, trust, SigningIdentity::generate(&mut crate::entropy()))?;
        let note = asking.head(head.witnesses)?;
        asking.close();
        let checkpoint = sealgrid_protocol::log::Checkpoint::from_text(note.text())
            .map_err(|error| Failure::new(error.code(), error.to_string()))?;
        let witnesses = note.signatures().len().saturating_sub(1);
        let json = serde_json::json!({
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": hex::encode(checkpoint.root.0),
            "witnesses": witnesses,
            "note": note.to_text(),
        });
        Ok(Report::new(
            format!("{}\n{witnesses} witnesses cosigned; signatures hold", note.to_text().trim_end()),
            json,
        ))
    }
}
