//! Proof that a leaf is in the log, to be kept and checked offline (C2SP tlog-proof).

use std::fmt::Write as _;

use minicbor::{Decode, Encode};

use super::checkpoint::{hash_from_base64, hash_to_base64};
use super::note::{NOTE_LENGTH_MAX, Note};
use super::roots::{LogRoots, Trusted};
use super::tree::{self, PROOF_LENGTH_MAX, TreeHash};
use super::{Checkpoint, LogError};

/// Bytes of a proof as text at most.
pub const LOG_PROOF_LENGTH_MAX: usize = NOTE_LENGTH_MAX + 4096;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
const MALFORMED: LogError = LogError::Malformed { what: "log proof" };

/// Index, inclusion proof and the signed checkpoint it leads to. In CBOR: its text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// Index of the leaf.
    pub index: u64,
    /// Siblings from the leaf's own up to the child of the root.
    pub inclusion: Vec<TreeHash>,
    /// The checkpoint, with the log's signature and those of its witnesses.
    pub note: Note,
}

/// A leaf is in the log, as far as the trust roots reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// Index of the leaf.
    pub index: u64,
    /// The checkpoint that commits to it.
    pub checkpoint: Checkpoint,
    /// Trusted witnesses that cosigned it, with the time each states, in seconds since the Unix epoch.
    pub cosigned: Vec<(String, u64)>,
}

impl LogProof {
    /// Checks that `leaf` is in the log that `roots` describe.
    ///
    /// # Errors
    /// [`LogError`]: the checkpoint is not trusted, or the leaf is not in it.
    pub fn verify(&self, leaf: &[u8], roots: &LogRoots) -> Result<Included, LogError> {
        let Trusted { checkpoint, cosigned } = roots.verify(&self.note)?;
        let leaf = TreeHash::leaf(leaf);
        tree::verify_inclusion(self.index, checkpoint.size, &leaf, &self.inclusion, &checkpoint.root)?;
        Ok(Included { index: self.index, checkpoint, cosigned })
    }

    /// Reads a `.tlog-proof`, in one spelling. An `extra` line is refused: we have no use for unauthenticated bytes.
    ///
    /// # Errors
    /// [`LogError::Malformed`].
    pub fn from_text(text: &str) -> Result<Self, LogError> {
        if text.len() > LOG_PROOF_LENGTH_MAX {
            return Err(MALFORMED);
        }
        Self::read_text(text).filter(|proof| proof.to_text() == text).ok_or(MALFORMED)
    }

    fn read_text(text: &str) -> Option<Self> {
        let (proof, note) = text.split_once("\n\n")?;
        let mut lines = proof.split('\n');
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let index = lines.next()?.strip_prefix("index ")?.parse().ok()?;
        let mut inclusion = Vec::new();
        for line in lines {
            if inclusion.len() == PROOF_LENGTH_MAX {
                return None;
            }
            inclusion.push(hash_from_base64(line)?);
        }
        Some(Self { index, inclusion, note: Note::parse(note.as_bytes()).ok()? })
    }

    /// The proof as the text of a `.tlog-proof` file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\nindex {}\n", self.index);
        for hash in &self.inclusion {
            writeln!(text, "{}", hash_to_base64(hash)).expect("writing to a String does not fail");
        }
        text.push('\n');
        text.push_str(&self.note.to_text());
        text
    }
}

impl<C> Encode<C> for LogProof {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.to_text())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for LogProof {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::from_text(d.str()?).map_err(minicbor::decode::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use sealgrid_seal::canonical;
    use sealgrid_seal::identity::SigningIdentity;
    use sealgrid_seal::secret::Secret;

    use super::super::roots::Witness;
    use super::*;

    fn identity(seed: u8) -> SigningIdentity {
        SigningIdentity::from_seed(&Secret::new([seed; 32]))
    }

    fn roots() -> LogRoots {
        let witness = Witness { name: "example.com/witness".into(), identity: identity(2).public() };
        LogRoots::new("example.com/log", identity(1).public(), vec![witness], 1).expect("sound")
    }

    /// A proof for leaf 5 of 11, cosigned.
    fn proof() -> LogProof {
        let leaves: Vec<TreeHash> = (0..11u8).map(|leaf| TreeHash::leaf(&[leaf])).collect();
        let root = tree::root(&leaves[..], 11).expect("in memory");
        let checkpoint = Checkpoint { origin: "example.com/log".into(), size: 11, root };
        let mut note = checkpoint.sign(&identity(1)).expect("a name");
        note.add(note.cosign("example.com/witness", &identity(2), 7).expect("a name"));
        let inclusion = tree::inclusion_proof(&leaves[..], 5, 11).expect("in memory");
        LogProof { index: 5, inclusion, note }
    }

    #[test]
    fn a_leaf_is_shown_to_be_in_the_log() {
        let included = proof().verify(&[5], &roots()).expect("leaf 5 is there");
        assert_eq!((included.index, included.checkpoint.size), (5, 11));
        assert_eq!(included.cosigned, [("example.com/witness".into(), 7)]);
        assert_eq!(proof().verify(&[6], &roots()).expect_err("another leaf").code(), "E-LOG-06");
    }

    #[test]
    fn a_proof_has_one_spelling() {
        let proof = proof();
        let text = proof.to_text();
        assert_eq!(LogProof::from_text(&text), Ok(proof.clone()));
        assert_eq!(canonical::decode::<LogProof>(&canonical::encode(&proof), 8192), Ok(proof));
        for wrong in [
            text.replace("@v1", "@v2"),
            text.replace("index 5", "index 05"),
            text.replace("index 5\n", "extra AAAA\nindex 5\n"),
            text.replacen('=', "", 1),
            text.trim_end().to_owned(),
            "a".repeat(LOG_PROOF_LENGTH_MAX + 1),
        ] {
            assert_eq!(LogProof::from_text(&wrong), Err(MALFORMED));
        }
        let long =
            text.replace("index 5\n", &format!("index 5\n{}", format!("{}=\n", "A".repeat(43)).repeat(61)));
        assert_eq!(LogProof::from_text(&long), Err(MALFORMED));
    }

    #[test]
    fn no_flipped_bit_of_a_proof_is_accepted() {
        let text = proof().to_text().into_bytes();
        for bit in 0..text.len() * 8 {
            let mut wrong = text.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            let Ok(wrong) = String::from_utf8(wrong) else { continue };
            let accepted = LogProof::from_text(&wrong).and_then(|proof| proof.verify(&[5], &roots()));
            assert!(accepted.is_err(), "bit {bit}");
        }
    }
}
