//! `sealgrid log`: the grid's transparency log, looked at by somebody who does not trust it.

mod audit;
mod prove;
mod witness;

use std::path::{Path, PathBuf};

use sealgrid_node::client::ClientError;
use sealgrid_protocol::log::note::Note;
use sealgrid_protocol::log::{LogError, LogRoots};
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_verify::TrustRoots;

use crate::asking::{self, Asking};
use crate::failure::{Failure, unreadable};
use crate::home::Home;
use crate::local_grid;
use crate::output::Report;

/// Look at the grid's transparency log, prove what is in it, catch it lying.
#[derive(Debug, clap::Subcommand)]
pub enum LogCommand {
    /// Show the latest checkpoint: how many receipts, under which root, cosigned by whom.
    Head(Head),
    /// Write a proof that a receipt is in the log, or that the log only grew; or check such a file offline.
    Prove(prove::Prove),
    /// Walk the log from the checkpoint kept last to now and check everything on the way.
    Audit(audit::Audit),
    /// Compare what every witness cosigned with the log and with each other.
    Witness(witness::Witness),
}

/// Which grid, believed by which roots.
#[derive(Debug, clap::Args)]
struct Where {
    /// The grid's folder [default: the home's].
    #[arg(long, value_name = "DIR")]
    grid: Option<PathBuf>,
    /// Folder of the trust roots [default: the grid's, else the home's].
    #[arg(long, value_name = "DIR")]
    roots: Option<PathBuf>,
}

/// Show the latest checkpoint.
#[derive(Debug, clap::Args)]
pub struct Head {
    #[command(flatten)]
    place: Where,
    /// Cosignatures that the checkpoint must have.
    #[arg(long, default_value_t = 1)]
    witnesses: u8,
}

impl LogCommand {
    /// Carries out the command.
    pub fn run(self, home: &Home) -> Result<Report, Failure> {
        match self {
            Self::Head(head) => head.run(home),
            Self::Prove(prove) => prove.run(home),
            Self::Audit(audit) => audit.run(home),
            Self::Witness(witness) => witness.run(home),
        }
    }
}

impl Head {
    fn run(self, home: &Home) -> Result<Report, Failure> {
        let (asking, _) = self.place.open(home)?;
        let note = asking.head(self.witnesses)?;
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

impl Where {
    /// A client of the grid, and whom to believe about its log.
    fn open(self, home: &Home) -> Result<(Asking, TrustRoots), Failure> {
        let grid = local_grid::existing(self.grid, home)?;
        let trust = asking::trust_roots(self.roots.as_deref(), &grid, home)?;
        let identity = SigningIdentity::generate(&mut crate::entropy());
        Ok((Asking::open(&grid, trust.clone(), identity)?, trust))
    }

    /// The trust roots alone: nobody is asked.
    fn offline(self, home: &Home) -> Result<TrustRoots, Failure> {
        let grid = local_grid::LocalGrid::at(self.grid.unwrap_or_else(|| home.grid()));
        asking::trust_roots(self.roots.as_deref(), &grid, home)
    }
}

/// A signed checkpoint from a file, believed by `roots`; cosignatures are not demanded of an old one.
fn read_checkpoint(
    path: &Path,
    roots: &LogRoots,
) -> Result<(Note, sealgrid_protocol::log::Checkpoint), Failure> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    let read = || {
        let note = Note::parse(&bytes)?;
        let checkpoint = roots.verify_signed(&note)?.checkpoint;
        Ok((note, checkpoint))
    };
    read().map_err(|error: LogError| {
        Failure::new(error.code(), format!("{} is no checkpoint of this log", path.display())).why(error)
    })
}

fn refused(error: &LogError, what: &str) -> Failure {
    Failure::new(error.code(), what.to_owned()).why(error)
}

fn unanswered(error: &ClientError, what: &str) -> Failure {
    Failure::new(error.code(), what.to_owned()).why(error)
}
