//! Which openings of a registration are spent, or given to nodes: its own proof and every proof about its parameters use one up, and one more than there
//! are would begin to tell the parameters.
//!
//! A file for each registration in the home, a line for each opening. It is durable before a proof is made, or a node may make one, so that a crash wastes
//! openings and never gives one twice.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::iter;
use std::path::Path;

use crate::failure::{Failure, unwritable};
use crate::home::Home;

/// Spends one of the `openings` of the registration `root`, for the proof that goes to `out`; yields how many are left.
pub fn spend(home: &Home, root: [u8; 32], openings: u32, out: &Path) -> Result<u32, Failure> {
    let mut left = 0;
    take(home, root, openings, &out.display().to_string(), |unspent| {
        left = unspent.checked_sub(1).ok_or_else(|| none_left(openings))?;
        Ok(1)
    })?;
    Ok(left)
}

/// Gives all of the `openings` of the registration `root` that are left to `nodes` nodes of the grid in `grid`, each the same number; yields that, which may be none.
pub fn share_out(
    home: &Home,
    root: [u8; 32],
    openings: u32,
    nodes: u32,
    grid: &Path,
) -> Result<u32, Failure> {
    let mut share = 0;
    take(home, root, openings, &format!("the nodes of {}", grid.display()), |unspent| {
        share = unspent / nodes.max(1);
        Ok(share * nodes)
    })?;
    Ok(share)
}

fn none_left(openings: u32) -> Failure {
    Failure::new("E-RES-82", "the model's registration has no openings left")
        .why(format!("all {openings} are spent, and one more would begin to tell the weights"))
        .hint("sealgrid model register MODEL --openings N --out FILE, with another N, and publish that")
        .exit(6)
}

/// Durably takes as many openings as `wanted` says when it hears how many are left.
fn take(
    home: &Home,
    root: [u8; 32],
    openings: u32,
    what_for: &str,
    wanted: impl FnOnce(u32) -> Result<u32, Failure>,
) -> Result<(), Failure> {
    let folder = home.path().join("openings");
    std::fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
    let path = folder.join(hex::encode(root));
    let failed = |error: std::io::Error| unwritable(&path, &error);
    let mut file = File::options().create(true).read(true).append(true).open(&path).map_err(failed)?;
    file.lock().map_err(failed)?;
    let mut spent = String::new();
    file.read_to_string(&mut spent).map_err(failed)?;
    // A line that was cut counts: its proof may have left.
    let spent = u32::try_from(spent.lines().count()).unwrap_or(u32::MAX);
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now());
    let line = format!("{now} {}\n", what_for.replace('\n', " "));
    let taken = wanted(openings.saturating_sub(spent))? as usize;
    let lines: String = iter::repeat_n(line, taken).collect();
    file.write_all(lines.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_opening_is_spent_once_and_a_cut_line_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::new(Some(folder.path().to_owned()));
        let out = Path::new("a.proof");
        assert_eq!(spend(&home, [1; 32], 3, out).expect("left"), 2);
        assert_eq!(spend(&home, [2; 32], 3, out).expect("of another registration"), 2);
        let path = folder.path().join("openings").join(hex::encode([1; 32]));
        let mut cut = std::fs::read(&path).expect("written");
        cut.extend_from_slice(b"2026");
        std::fs::write(&path, &cut).expect("a crash");
        // The next line continues the cut one: three were begun, and two lines say so.
        assert_eq!(spend(&home, [1; 32], 4, out).expect("left"), 1);
        let grid = Path::new("grid");
        assert_eq!(share_out(&home, [2; 32], 12, 5, grid).expect("eleven are left"), 2);
        assert_eq!(spend(&home, [2; 32], 12, out).expect("of five twos nothing is left, of eleven one"), 0);
        assert_eq!(share_out(&home, [2; 32], 12, 5, grid).expect("none are left"), 0);
        let failure = (0..3).find_map(|_| spend(&home, [1; 32], 4, out).err()).expect("spent");
        assert_eq!((failure.code.as_str(), failure.exit_status()), ("E-RES-82", 6));
    }
}
