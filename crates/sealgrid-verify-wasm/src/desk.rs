//! What the host gave, and what was said of it.

use sealgrid_verify::TrustRoots;
use sealgrid_verify::files::{self, Given};
use serde_json::{Value, json};

/// Most bytes of a file that is judged: as long as receipts and proofs may be.
pub const FILE_BYTES_MAX: usize = 64 << 20;
/// Most bytes of a model: what it becomes has to fit the module's memory beside it.
pub const MODEL_BYTES_MAX: usize = 128 << 20;

/// Exit status of the program, for what is accepted.
const ACCEPTED: u8 = 0;
/// For what could not be judged.
const NOT_JUDGED: u8 = 2;
/// For what is rejected.
const REJECTED: u8 = 4;

/// The files of one judgement, by the numbers that the host knows.
#[derive(Debug)]
pub struct Desk {
    files: [Option<Vec<u8>>; 4],
    verdict: Vec<u8>,
}

impl Desk {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { files: [const { None }; 4], verdict: Vec::new() }
    }

    /// Room for a file; `None` where there is no such file, it may not be as long, or memory does not suffice.
    pub fn room(&mut self, file: u32, bytes: u32) -> Option<&mut [u8]> {
        let (file, bytes) = (usize::try_from(file).ok()?, usize::try_from(bytes).ok()?);
        let most = [
            FILE_BYTES_MAX,
            MODEL_BYTES_MAX,
            sealgrid_verify::ROOTS_BYTES_MAX,
            sealgrid_verify::ROOTS_BYTES_MAX,
        ];
        let place = self.files.get_mut(file).filter(|_| bytes <= most[file])?;
        *place = None;
        let mut room = Vec::new();
        room.try_reserve_exact(bytes).ok()?;
        room.resize(bytes, 0);
        Some(place.insert(room))
    }

    /// Judges what is here, as of `at`, and forgets it: what the program would exit with.
    pub fn judge(&mut self, at: u64) -> u8 {
        let files = std::mem::replace(&mut self.files, [const { None }; 4]);
        let (exit, verdict) = match verdict(&files, at) {
            Ok(verdict) => (if files::is_accepted(&verdict) { ACCEPTED } else { REJECTED }, verdict),
            Err(why) => (NOT_JUDGED, json!({ "error": why })),
        };
        self.verdict = verdict.to_string().into_bytes();
        exit
    }

    /// What was said last.
    pub fn verdict(&self) -> &[u8] {
        &self.verdict
    }
}

fn verdict([file, model, authority, log]: &[Option<Vec<u8>>; 4], at: u64) -> Result<Value, String> {
    let file = file.as_deref().ok_or("no file was given")?;
    let roots = match (authority, log) {
        (None, None) => None,
        (Some(authority), Some(log)) => Some(roots(authority, log)?),
        _ => return Err("trust roots are two files: authority.key and log.policy".to_owned()),
    };
    let given = Given { model: model.as_deref(), roots: roots.as_ref(), at: Some(at) };
    files::judge(file, &given).map_err(|missing| missing.to_string())
}

fn roots(authority: &[u8], log: &[u8]) -> Result<TrustRoots, String> {
    let text = |bytes, name| std::str::from_utf8(bytes).map_err(|_| format!("{name} is not text"));
    let (authority, log) = (text(authority, TrustRoots::AUTHORITY_FILE)?, text(log, TrustRoots::LOG_FILE)?);
    TrustRoots::from_files(authority, log).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readable as a receipt, whatever is wrong with it.
    const RECEIPT: &[u8] = include_bytes!("../../../vectors/receipt/RCP-20-policy.receipt");

    fn said(files: &[(u32, &[u8])]) -> (u8, String) {
        let mut desk = Desk::new();
        for (file, bytes) in files {
            let length = u32::try_from(bytes.len()).expect("short");
            desk.room(*file, length).expect("room").copy_from_slice(bytes);
        }
        let exit = desk.judge(0);
        (exit, String::from_utf8(desk.verdict().to_vec()).expect("JSON"))
    }

    #[test]
    fn there_is_room_for_what_has_a_place_and_is_not_too_long() {
        let mut desk = Desk::new();
        assert_eq!(desk.room(0, 3), Some(&mut [0; 3][..]));
        assert_eq!(desk.room(4, 3), None);
        for (file, most) in [(0, FILE_BYTES_MAX), (1, MODEL_BYTES_MAX), (2, 128 << 10), (3, 128 << 10)] {
            let most = u32::try_from(most).expect("less than 4 GiB");
            assert!(desk.room(file, most).is_some_and(|room| room.len() as u64 == u64::from(most)));
            assert_eq!(desk.room(file, most + 1), None);
        }
    }

    #[test]
    fn what_is_missing_is_no_verdict_on_the_file() {
        type Files<'a> = &'a [(u32, &'a [u8])];
        let cases: [(Files<'_>, &str); 6] = [
            (&[], "no file was given"),
            (&[(0, RECEIPT)], "a receipt rests on trust roots"),
            (&[(0, b"SGP1")], "a proof is checked with its model"),
            (&[(0, b"x"), (2, b"")], "trust roots are two files"),
            (&[(0, b"x"), (2, b"00"), (3, b"")], "authority.key is not in the format"),
            (&[(0, b"x"), (2, b"\xff"), (3, b"")], "authority.key is not text"),
        ];
        for (files, why) in cases {
            let (exit, text) = said(files);
            assert_eq!(exit, NOT_JUDGED, "{text}");
            assert!(text.starts_with(&format!("{{\"error\":\"{why}")), "{text}");
        }
    }

    #[test]
    fn what_was_judged_is_forgotten() {
        let mut desk = Desk::new();
        desk.room(0, 4).expect("room").copy_from_slice(sealgrid_verify::proofs::REGISTERED_MAGIC);
        assert_eq!(desk.judge(0), REJECTED);
        assert!(desk.verdict().starts_with(b"{\"accepted\":false,\"code\":\"E-PRF-24\""));
        assert_eq!(desk.judge(0), NOT_JUDGED);
    }
}
