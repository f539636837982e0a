//! Whom a verifier trusts, and for what.

use minicbor::{Decode, Encode};
use sealgrid_protocol::directory::Directory;
use sealgrid_protocol::log::LogRoots;
use sealgrid_protocol::log::roots::Witness;
use sealgrid_seal::canonical;
use sealgrid_seal::identity::PublicIdentity;

/// Most bytes of trust roots in either form.
pub const ROOTS_BYTES_MAX: usize = 128 << 10;
const VERSION: u32 = 1;

/// The directory's authority, the log, its witnesses, and how many of them must have cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRoots {
    /// Whose lists of nodes count.
    pub authority: PublicIdentity,
    /// The log and its witnesses.
    pub log: LogRoots,
}

/// Bytes or text that are no trust roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} is not in the format of trust roots")]
pub struct RootsError {
    /// Which part.
    pub file: &'static str,
}

impl RootsError {
    /// The code in docs/reference/errors.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "E-VER-08"
    }
}

#[derive(Encode, Decode)]
struct Wire {
    #[n(0)]
    version: u32,
    #[n(1)]
    authority: PublicIdentity,
    #[n(2)]
    log: LogRoots,
}

impl TrustRoots {
    /// Name of the authority's file in a folder of trust roots.
    pub const AUTHORITY_FILE: &'static str = "authority.key";
    /// Name of the log's file in a folder of trust roots.
    pub const LOG_FILE: &'static str = "log.policy";

    /// The roots that a directory itself names, for its first trust on use. Its authority is taken at its word: compare
    /// the key by another way before relying on it.
    ///
    /// # Errors
    /// [`RootsError`] when the names of log or witnesses are not those of signed notes, or there are fewer witnesses
    /// than `witnesses_min`.
    pub fn danger_from_directory(directory: &Directory, witnesses_min: u8) -> Result<Self, RootsError> {
        let witnesses = directory
            .witnesses
            .iter()
            .map(|witness| Witness { name: witness.name.as_str().to_owned(), identity: witness.key })
            .collect();
        let log = LogRoots::new(directory.log.origin.as_str(), directory.log.key, witnesses, witnesses_min)
            .map_err(|_| RootsError { file: Self::LOG_FILE })?;
        Ok(Self { authority: directory.authority, log })
    }

    /// Reads the two files of a folder: 64 hexadecimal digits of the authority's key, and a C2SP tlog-policy.
    ///
    /// # Errors
    /// [`RootsError`] with the file at fault.
    pub fn from_files(authority: &str, log: &str) -> Result<Self, RootsError> {
        let authority = authority.strip_suffix('\n').unwrap_or(authority);
        let mut key = [0; 32];
        let is_lower = !authority.bytes().any(|byte| byte.is_ascii_uppercase());
        if !is_lower || hex::decode_to_slice(authority, &mut key).is_err() {
            return Err(RootsError { file: Self::AUTHORITY_FILE });
        }
        let log = LogRoots::from_policy(log).map_err(|_| RootsError { file: Self::LOG_FILE })?;
        Ok(Self { authority: PublicIdentity(key), log })
    }

    /// The contents of [`Self::AUTHORITY_FILE`] and [`Self::LOG_FILE`].
    #[must_use]
    pub fn to_files(&self) -> (String, String) {
        (format!("{}\n", self.authority), self.log.to_policy())
    }

    /// The roots as one canonical file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        canonical::encode(&Wire { version: VERSION, authority: self.authority, log: self.log.clone() })
    }

    /// Reads roots from one canonical file.
    ///
    /// # Errors
    /// [`RootsError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RootsError> {
        let wrong = RootsError { file: "trust roots" };
        let wire: Wire = canonical::decode(bytes, ROOTS_BYTES_MAX).map_err(|_| wrong)?;
        if wire.version != VERSION || !wire.log.is_sound() {
            return Err(wrong);
        }
        Ok(Self { authority: wire.authority, log: wire.log })
    }
}

/// Reads any bytes as roots in both forms: what the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_parse(bytes: &[u8]) {
    if let Ok(roots) = TrustRoots::decode(bytes) {
        assert_eq!(roots.encode(), bytes, "roots have one spelling");
        let (authority, log) = roots.to_files();
        assert_eq!(TrustRoots::from_files(&authority, &log), Ok(roots), "both forms say the same");
    }
    if let Some((authority, log)) = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once('\n')) {
        let _ = TrustRoots::from_files(authority, log);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots() -> TrustRoots {
        let key = |byte: u8| PublicIdentity([byte; 32]);
        let witness = |byte: u8| Witness { name: format!("w{byte}"), identity: key(byte) };
        let log = LogRoots::new("test/log", key(9), vec![witness(1), witness(2)], 2).expect("sound");
        TrustRoots { authority: key(7), log }
    }

    #[test]
    fn roots_read_back_in_both_forms() {
        assert_eq!(TrustRoots::decode(&roots().encode()), Ok(roots()));
        let (authority, log) = roots().to_files();
        assert_eq!(TrustRoots::from_files(&authority, &log), Ok(roots()));
        fuzz_parse(&roots().encode());
    }

    #[test]
    fn what_is_not_roots_is_refused_with_its_file() {
        let (authority, log) = roots().to_files();
        let file =
            |authority: &str, log: &str| TrustRoots::from_files(authority, log).expect_err("wrong").file;
        for wrong in ["", "07", &authority.to_uppercase().replace("07", "AB"), &format!("{authority} ")] {
            assert_eq!(file(wrong, &log), "authority.key", "{wrong:?}");
        }
        assert_eq!(file(&authority, "quorum none\n"), "log.policy");
        let mut bytes = roots().encode();
        bytes.push(0);
        let error = TrustRoots::decode(&bytes).expect_err("a byte behind");
        assert_eq!((error.file, error.code()), ("trust roots", "E-VER-08"));
    }
}
