//! Checkpoints (C2SP tlog-checkpoint): a log's signed statement of its size and root.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealgrid_seal::identity::SigningIdentity;

use super::note::{NAME_LENGTH_MAX, Note};
use super::{LogError, TreeHash};

const MALFORMED: LogError = LogError::Malformed { what: "checkpoint" };

/// The text of a checkpoint: origin, size, root. Extension lines are refused: nobody could audit them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: its unique name, also the name of its key.
    pub origin: String,
    /// Leaves in the tree.
    pub size: u64,
    /// Root of the tree.
    pub root: TreeHash,
}

impl Checkpoint {
    /// Reads the text of a note as a checkpoint.
    ///
    /// # Errors
    /// [`LogError::Malformed`], also for extension lines and for an empty tree with a root of its own.
    pub fn from_text(text: &str) -> Result<Self, LogError> {
        Self::read_text(text).filter(|checkpoint| checkpoint.to_text() == text).ok_or(MALFORMED)
    }

    fn read_text(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        if origin.is_empty() || origin.len() > NAME_LENGTH_MAX || lines.next().is_some() {
            return None;
        }
        let root = hash_from_base64(root)?;
        let checkpoint = Self { origin: origin.to_owned(), size: size.parse().ok()?, root };
        (checkpoint.size > 0 || root == TreeHash::empty()).then_some(checkpoint)
    }

    /// The text, three lines.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, hash_to_base64(&self.root))
    }

    /// The checkpoint as a note signed by the log itself.
    ///
    /// # Errors
    /// [`LogError::Malformed`] when the origin is not a key name.
    pub fn sign(&self, log: &SigningIdentity) -> Result<Note, LogError> {
        let mut note = Note::new(self.to_text())?;
        note.sign(&self.origin, log)?;
        Ok(note)
    }
}

pub(super) fn hash_to_base64(hash: &TreeHash) -> String {
    BASE64.encode(hash.0)
}

pub(super) fn hash_from_base64(text: &str) -> Option<TreeHash> {
    let bytes = BASE64.decode(text).ok()?;
    Some(TreeHash(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_has_one_spelling() {
        let checkpoint = Checkpoint { origin: "example.com/log".into(), size: 7, root: TreeHash([9; 32]) };
        let text = checkpoint.to_text();
        assert_eq!(Checkpoint::from_text(&text), Ok(checkpoint));
        let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).expect("they read it");
        assert_eq!((theirs.size(), theirs.hash().0), (7, [9; 32]));
        for wrong in [
            text.replace("\n7\n", "\n07\n"),
            text.replace("\n7\n", "\n+7\n"),
            text.replace("\n7\n", "\n0\n"),
            text.replace("\n7\n", "\n18446744073709551616\n"),
            text.replace("example.com/log", ""),
            text.replace('=', ""),
            format!("{text}extension\n"),
            text.trim_end().to_owned(),
            String::new(),
        ] {
            assert_eq!(Checkpoint::from_text(&wrong), Err(MALFORMED), "{wrong:?}");
        }
        let empty = Checkpoint { origin: "a".into(), size: 0, root: TreeHash::empty() };
        assert_eq!(Checkpoint::from_text(&empty.to_text()), Ok(empty));
    }
}
