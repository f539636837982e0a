//! `sealgrid log witness`: what every witness cosigned last, beside the log's own head and each other's.
//!
//! Two signed heads of one size with different roots are evidence against the log that needs no trust in who shows it;
//! it is written to a file, and `--check` judges such a file offline.

use std::path::PathBuf;

use sealgrid_node::client::ClientError;
use sealgrid_node::folder::write_durably;
use sealgrid_protocol::log::note::Note;
use sealgrid_protocol::log::witness::Fork;
use sealgrid_protocol::log::{Checkpoint, LogError, tree};
use sealgrid_seal::canonical;

use super::{Where, refused, unanswered};
use crate::failure::{Failure, unreadable, unwritable};
use crate::home::Home;
use crate::log_tiles::GridTiles;
use crate::output::{Report, table};

/// Compare what every witness cosigned with the log and with each other; keep both heads of a fork.
#[derive(Debug, clap::Args)]
pub struct Witness {
    /// Where both heads of a fork go.
    #[arg(long, value_name = "FILE", default_value = "log.fork")]
    out: PathBuf,
    /// Check the evidence in this file instead; nothing is asked of anybody.
    #[arg(long, value_name = "FORK")]
    check: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
}

/// Bytes of a file of evidence at most: two notes.
const FORK_LENGTH_MAX: usize = 256 << 10;

impl Witness {
    /// Compares; exit status 4 when the log contradicts itself.
    pub fn run(self, home: &Home) -> Result<Report, Failure> {
        if let Some(path) = self.check {
            return check(&path, self.place, home);
        }
        let (asking, trust) = self.place.open(home)?;
        let head = asking.head(0)?;
        let mut heads = vec![("the log itself".to_owned(), Some(head.clone()))];
        heads.extend(asking.witness_heads());
        let tiles = GridTiles::new(&asking);
        let current = read(&trust.log, &head)?;
        let mut out = table(["who", "leaves", "root", "beside the log's head"]);
        let mut rows = Vec::new();
        let mut broken = None;
        for (name, note) in &heads {
            let Some(note) = note else {
                out.add_row([name.as_str(), "–", "–", "does not answer, or has cosigned nothing"]);
                rows.push(serde_json::json!({ "who": name, "answers": false }));
                continue;
            };
            let seen = read(&trust.log, note)?;
            let fits = fits(&tiles, &seen, &current)?;
            let word = if fits { "one history" } else { "CONTRADICTS IT" };
            out.add_row([
                name.clone(),
                seen.size.to_string(),
                hex::encode(&seen.root.0[..8]),
                word.to_owned(),
            ]);
            rows.push(serde_json::json!({
                "who": name, "answers": true, "size": seen.size, "root": hex::encode(seen.root.0), "fits": fits,
            }));
            if !fits {
                broken = Some(note);
            }
        }
        asking.close();
        let pair = forked(&trust.log, &heads).or_else(|| broken.map(|note| (head.clone(), note.clone())));
        let Some((first, second)) = pair else {
            let json = serde_json::json!({ "one_history": true, "heads": rows });
            return Ok(Report::new(out.to_string(), json));
        };
        let fork = Fork { first: first.to_text(), second: second.to_text() };
        write_durably(&self.out, &canonical::encode(&fork)).map_err(|error| unwritable(&self.out, &error))?;
        let text =
            format!("{out}\nTHE LOG CONTRADICTS ITSELF: both signed heads are in {}", self.out.display());
        let json = serde_json::json!({ "one_history": false, "heads": rows, "evidence": self.out });
        Ok(Report::new(text, json).exit(4))
    }
}

fn read(roots: &sealgrid_protocol::log::LogRoots, note: &Note) -> Result<Checkpoint, Failure> {
    let trusted = roots.verify_signed(note).map_err(|error| refused(&error, "a head is not the log's"))?;
    Ok(trusted.checkpoint)
}

/// Whether one of two heads is a prefix of the other, by the log's own tiles.
fn fits(tiles: &GridTiles<'_>, seen: &Checkpoint, current: &Checkpoint) -> Result<bool, Failure> {
    let (old, new) = if seen.size <= current.size { (seen, current) } else { (current, seen) };
    match tiles.consistency(old.size, new.size) {
        Ok(proof) => Ok(tree::verify_consistency(old.size, &old.root, new.size, &new.root, &proof).is_ok()),
        // tiles that do not fit the tree, or a head beyond the log's: the log's doing
        Err(ClientError::Log(_)) => Ok(false),
        Err(error) => Err(unanswered(&error, "the log does not show its tiles")),
    }
}

/// Two heads of one size over different trees.
fn forked(
    roots: &sealgrid_protocol::log::LogRoots,
    heads: &[(String, Option<Note>)],
) -> Option<(Note, Note)> {
    let notes: Vec<&Note> = heads.iter().filter_map(|(_, note)| note.as_ref()).collect();
    let pairs = notes
        .iter()
        .enumerate()
        .flat_map(|(at, first)| notes[at + 1..].iter().map(move |second| (*first, *second)));
    pairs
        .filter(|(first, second)| {
            Fork { first: first.to_text(), second: second.to_text() }.verify(roots).is_ok()
        })
        .map(|(first, second)| (first.clone(), second.clone()))
        .next()
}

fn check(path: &PathBuf, place: Where, home: &Home) -> Result<Report, Failure> {
    let roots = place.offline(home)?.log;
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    let fork: Fork = canonical::decode(&bytes, FORK_LENGTH_MAX).map_err(|error| {
        let malformed = LogError::Malformed { what: "evidence of a fork" };
        Failure::new(malformed.code(), format!("{} is no evidence of a fork", path.display())).why(error)
    })?;
    let (first, second) =
        fork.verify(&roots).map_err(|error| refused(&error, "the file does not show that the log forked"))?;
    let text = format!(
        "THE LOG FORKED: {} signed two trees of {} leaves\n{}\n{}",
        first.origin,
        first.size,
        hex::encode(first.root.0),
        hex::encode(second.root.0)
    );
    let json = serde_json::json!({
        "forked": true, "origin": first.origin, "size": first.size,
        "first": hex::encode(first.root.0), "second": hex::encode(second.root.0),
    });
    Ok(Report::new(text, json).exit(4))
}
