//! `sealgrid log prove`: proofs to be kept and checked without the log, in the formats of C2SP.

use std::path::{Path, PathBuf};

use sealgrid_protocol::log::witness::AddCheckpoint;
use sealgrid_protocol::log::{LogProof, tree};
use sealgrid_protocol::receipt::ReceiptFile;

use super::{Where, read_checkpoint, refused, unanswered};
use crate::failure::{Failure, unreadable, unwritable};
use crate::home::Home;
use crate::log_tiles::GridTiles;
use crate::output::Report;

/// Write a proof that a receipt is in the log under its latest checkpoint, or (`--from`) that the log has only grown since
/// an earlier one.
#[derive(Debug, clap::Args)]
pub struct Prove {
    /// The receipt. Its bundle names its place in the log.
    #[arg(value_name = "RECEIPT", required_unless_present = "from", conflicts_with = "from")]
    receipt: Option<PathBuf>,
    /// An earlier checkpoint: prove that the latest one extends it.
    #[arg(long, value_name = "CHECKPOINT")]
    from: Option<PathBuf>,
    /// Where the proof goes [default: stdout].
    #[arg(long, short, value_name = "FILE", conflicts_with = "check")]
    out: Option<PathBuf>,
    /// Check this proof instead of writing one; nothing is asked of anybody.
    #[arg(long, value_name = "PROOF")]
    check: Option<PathBuf>,
    /// Cosignatures that the checkpoint of the proof must have.
    #[arg(long, default_value_t = 1)]
    witnesses: u8,
    #[command(flatten)]
    place: Where,
}

impl Prove {
    /// Writes or checks.
    pub fn run(self, home: &Home) -> Result<Report, Failure> {
        match (self.receipt.clone(), self.from.clone(), self.check.clone()) {
            (Some(receipt), _, None) => self.place_of(home, &receipt),
            (Some(receipt), _, Some(proof)) => self.check_place(home, &receipt, &proof),
            (None, Some(from), None) => self.growth_since(home, &from),
            (None, Some(from), Some(proof)) => self.check_growth(home, &from, &proof),
            (None, None, _) => unreachable!("clap demands a receipt or --from"),
        }
    }

    fn place_of(self, home: &Home, receipt: &Path) -> Result<Report, Failure> {
        let (leaf, kept) = leaf_of(receipt)?;
        let (asking, trust) = self.place.open(home)?;
        let note = asking.head(self.witnesses)?;
        let checkpoint = trust
            .log
            .verify_signed(&note)
            .map_err(|error| refused(&error, "the log's head is not trusted"))?
            .checkpoint;
        let inclusion = GridTiles::new(&asking)
            .inclusion(kept.index, checkpoint.size)
            .map_err(|error| unanswered(&error, "the log does not prove the receipt's place"))?;
        asking.close();
        let proof = LogProof { index: kept.index, inclusion, note };
        proof.verify(&leaf, &trust.log).map_err(|error| refused(&error, "the log's proof does not hold"))?;
        let json = serde_json::json!({ "index": proof.index, "size": checkpoint.size, "out": self.out, "proof": proof.to_text() });
        written(self.out, &proof.to_text(), json, &format!("leaf {} of {}", proof.index, checkpoint.size))
    }

    fn check_place(self, home: &Home, receipt: &Path, proof: &Path) -> Result<Report, Failure> {
        let (leaf, _) = leaf_of(receipt)?;
        let roots = self.place.offline(home)?.log;
        let text = std::fs::read_to_string(proof).map_err(|error| unreadable(proof, &error))?;
        let included = LogProof::from_text(&text)
            .and_then(|proof| proof.verify(&leaf, &roots))
            .map_err(|error| refused(&error, "the proof does not hold"))?;
        let witnesses: Vec<String> = included.cosigned.iter().map(|(name, _)| name.clone()).collect();
        Ok(Report::new(
            format!(
                "the receipt is leaf {} of a log of {}; cosigned by {}",
                included.index,
                included.checkpoint.size,
                witnesses.join(", ")
            ),
            serde_json::json!({ "holds": true, "index": included.index, "size": included.checkpoint.size, "witnesses": witnesses }),
        ))
    }

    fn growth_since(self, home: &Home, from: &Path) -> Result<Report, Failure> {
        let (asking, trust) = self.place.open(home)?;
        let (_, old) = read_checkpoint(from, &trust.log)?;
        let note = asking.head(self.witnesses)?;
        let new = trust
            .log
            .verify_signed(&note)
            .map_err(|error| refused(&error, "the log's head is not trusted"))?
            .checkpoint;
        let consistency = GridTiles::new(&asking)
            .consistency(old.size, new.size)
            .map_err(|error| unanswered(&error, "the log does not prove that it grew"))?;
        asking.close();
        tree::verify_consistency(old.size, &old.root, new.size, &new.root, &consistency)
            .map_err(|error| refused(&error, "the log took something back"))?;
        let proof = AddCheckpoint { old_size: old.size, consistency, note };
        let json = serde_json::json!({ "old": old.size, "new": new.size, "out": self.out, "proof": proof.to_text() });
        written(self.out, &proof.to_text(), json, &format!("from {} to {} leaves", old.size, new.size))
    }

    fn check_growth(self, home: &Home, from: &Path, proof: &Path) -> Result<Report, Failure> {
        let roots = self.place.offline(home)?.log;
        let (_, old) = read_checkpoint(from, &roots)?;
        let text = std::fs::read_to_string(proof).map_err(|error| unreadable(proof, &error))?;
        let checked = || {
            let proof = AddCheckpoint::from_text(&text)?;
            let new = roots.verify(&proof.note)?.checkpoint;
            tree::verify_consistency(old.size, &old.root, new.size, &new.root, &proof.consistency)?;
            Ok(new)
        };
        let new = checked().map_err(|error| refused(&error, "the proof does not hold"))?;
        Ok(Report::new(
            format!("the log of {} leaves extends the one of {}", new.size, old.size),
            serde_json::json!({ "holds": true, "old": old.size, "new": new.size }),
        ))
    }
}

/// The leaf of a receipt, and the proof that its bundle carries.
fn leaf_of(path: &Path) -> Result<(Vec<u8>, LogProof), Failure> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    let file = ReceiptFile::decode(&bytes).map_err(|error| {
        Failure::new(error.code(), format!("{} is not a receipt", path.display())).why(error)
    })?;
    let text =
        file.log_proof.as_deref().and_then(|proof| std::str::from_utf8(proof).ok()).unwrap_or_default();
    let proof = LogProof::from_text(text)
        .map_err(|error| refused(&error, "the receipt's bundle does not say where it stands in the log"))?;
    Ok((file.receipt.leaf().0.to_vec(), proof))
}

fn written(
    out: Option<PathBuf>,
    proof: &str,
    json: serde_json::Value,
    what: &str,
) -> Result<Report, Failure> {
    let Some(path) = out else { return Ok(Report::new(proof, json)) };
    std::fs::write(&path, proof).map_err(|error| unwritable(&path, &error))?;
    Ok(Report::new(format!("{what}: proof in {}", path.display()), json))
}
