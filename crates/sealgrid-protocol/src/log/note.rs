//! Signed notes (C2SP signed-note): text, an empty line, signature lines.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealgrid_seal::identity::{PublicIdentity, Signature, SigningIdentity};
use sha2::{Digest as _, Sha256};

use super::LogError;

/// Bytes of a note at most; a checkpoint with 16 Ed25519 signatures has about 2,500.
pub const NOTE_LENGTH_MAX: usize = 64 * 1024;

/// Signatures on a note at most.
pub const SIGNATURES_MAX: usize = 64;

/// Bytes of a key name or an origin at most (C2SP tlog-cosignature encodes their length in one byte).
pub const NAME_LENGTH_MAX: usize = 255;

const MALFORMED: LogError = LogError::Malformed { what: "signed note" };

/// What a signature line is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Ed25519 over the text (type 0x01): a log's own signature.
    Ed25519,
    /// Timestamped Ed25519 cosignature of a checkpoint (type 0x04): a witness's.
    CosignatureV1,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
        }
    }
}

/// A name and a key to verify with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NoteKey {
    name: String,
    kind: KeyKind,
    identity: PublicIdentity,
}

impl NoteKey {
    /// The key of `identity` under `name`.
    ///
    /// # Errors
    /// [`LogError::Malformed`] when the name is empty, longer than [`NAME_LENGTH_MAX`], or holds a space, a plus or a
    /// control character.
    pub fn new(name: &str, kind: KeyKind, identity: PublicIdentity) -> Result<Self, LogError> {
        if !is_name(name) {
            return Err(LogError::Malformed { what: "key name" });
        }
        Ok(Self { name: name.to_owned(), kind, identity })
    }

    /// Reads a verifier key: `name+key id in hexadecimal+base64(type || key)`.
    ///
    /// # Errors
    /// [`LogError::Malformed`], also for a key identifier that is not the recommended one and other key types.
    pub fn from_vkey(vkey: &str) -> Result<Self, LogError> {
        Self::read_vkey(vkey).ok_or(LogError::Malformed { what: "verifier key" })
    }

    fn read_vkey(vkey: &str) -> Option<Self> {
        let mut parts = vkey.splitn(3, '+');
        let (name, _id, key) = (parts.next()?, parts.next()?, parts.next()?);
        let key = BASE64.decode(key).ok()?;
        let (kind, key) = key.split_first()?;
        let kind =
            [KeyKind::Ed25519, KeyKind::CosignatureV1].into_iter().find(|known| known.byte() == *kind)?;
        let key = Self::new(name, kind, PublicIdentity(key.try_into().ok()?)).ok()?;
        (key.to_vkey() == vkey).then_some(key)
    }

    /// The verifier key as text.
    #[must_use]
    pub fn to_vkey(&self) -> String {
        let key = [&[self.kind.byte()], &self.identity.0[..]].concat();
        format!("{}+{:08x}+{}", self.name, self.id(), BASE64.encode(key))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key.
    #[must_use]
    pub fn identity(&self) -> PublicIdentity {
        self.identity
    }

    /// The 32-bit identifier in signature lines: four bytes of `SHA-256(name || "\n" || type || key)`.
    #[must_use]
    pub fn id(&self) -> u32 {
        let digest = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', self.kind.byte()])
            .chain_update(self.identity.0)
            .finalize();
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }
}

fn is_name(name: &str) -> bool {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    !name.is_empty() && name.len() <= NAME_LENGTH_MAX && !name.contains(forbidden)
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_id: u32,
    bytes: Vec<u8>,
}

impl NoteSignature {
    /// Reads one line, without its newline.
    ///
    /// # Errors
    /// [`LogError::Malformed`].
    pub fn from_line(line: &str) -> Result<Self, LogError> {
        Self::read_line(line).ok_or(MALFORMED)
    }

    fn read_line(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let decoded = BASE64.decode(encoded).ok()?;
        let (key_id, bytes) = decoded.split_first_chunk::<4>()?;
        if !is_name(name) || bytes.is_empty() {
            return None;
        }
        Some(Self { name: name.to_owned(), key_id: u32::from_be_bytes(*key_id), bytes: bytes.to_vec() })
    }

    /// The line, without its newline.
    #[must_use]
    pub fn to_line(&self) -> String {
        let bytes = [&self.key_id.to_be_bytes(), &self.bytes[..]].concat();
        format!("\u{2014} {} {}", self.name, BASE64.encode(bytes))
    }

    /// The name it is made under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the line claims to be made with `key`.
    #[must_use]
    pub fn claims(&self, key: &NoteKey) -> bool {
        self.name == key.name && self.key_id == key.id()
    }
}

/// A note: its text and the signatures on it, none of which is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// A note over `text`, which ends in a newline, without signatures yet.
    ///
    /// # Errors
    /// [`LogError::Malformed`] when the text is empty, does not end in a newline or holds control characters.
    pub fn new(text: String) -> Result<Self, LogError> {
        let control = text.bytes().any(|byte| byte < 0x20 && byte != b'\n');
        if control || !text.ends_with('\n') || text.len() > NOTE_LENGTH_MAX {
            return Err(MALFORMED);
        }
        Ok(Self { text, signatures: Vec::new() })
    }

    /// Reads a note with at least one signature.
    ///
    /// # Errors
    /// [`LogError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, LogError> {
        if bytes.len() > NOTE_LENGTH_MAX {
            return Err(MALFORMED);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| MALFORMED)?;
        let split = note.rfind("\n\n").ok_or(MALFORMED)?;
        let mut parsed = Self::new(note[..=split].to_owned())?;
        let lines = note[split + 2..].strip_suffix('\n').ok_or(MALFORMED)?;
        for line in lines.split('\n') {
            if parsed.signatures.len() == SIGNATURES_MAX {
                return Err(MALFORMED);
            }
            parsed.signatures.push(NoteSignature::from_line(line)?);
        }
        Ok(parsed)
    }

    /// The note as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut note = format!("{}\n", self.text);
        for signature in &self.signatures {
            writeln!(note, "{}", signature.to_line()).expect("writing to a String does not fail");
        }
        note
    }

    /// The signed text, with its final newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, unchecked.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature line unless an equal one is there. At most [`SIGNATURES_MAX`] are kept.
    pub fn add(&mut self, signature: NoteSignature) {
        if self.signatures.len() < SIGNATURES_MAX && !self.signatures.contains(&signature) {
            self.signatures.push(signature);
        }
    }

    /// Signs the text as the log `name` (type 0x01).
    ///
    /// # Errors
    /// [`LogError::Malformed`] when `name` is not a key name.
    pub fn sign(&mut self, name: &str, identity: &SigningIdentity) -> Result<(), LogError> {
        let key = NoteKey::new(name, KeyKind::Ed25519, identity.public())?;
        let bytes = identity.danger_sign_unlabelled(self.text.as_bytes()).0.to_vec();
        self.add(NoteSignature { name: key.name.clone(), key_id: key.id(), bytes });
        Ok(())
    }

    /// The cosignature (type 0x04) of the witness `name` at `seconds` since the Unix epoch.
    ///
    /// # Errors
    /// [`LogError::Malformed`] when `name` is not a key name or the time is above 2^63 - 1.
    pub fn cosign(
        &self,
        name: &str,
        identity: &SigningIdentity,
        seconds: u64,
    ) -> Result<NoteSignature, LogError> {
        let key = NoteKey::new(name, KeyKind::CosignatureV1, identity.public())?;
        if i64::try_from(seconds).is_err() {
            return Err(LogError::Malformed { what: "time of a cosignature" });
        }
        let signature = identity.danger_sign_unlabelled(&cosigned_message(seconds, &self.text));
        let bytes = [&seconds.to_be_bytes(), &signature.0[..]].concat();
        Ok(NoteSignature { name: key.name.clone(), key_id: key.id(), bytes })
    }

    /// Checks every line that claims to be made with `key`. `Ok(None)`: there is none. For a witness the time of its
    /// latest cosignature in seconds since the Unix epoch, for a log 0.
    ///
    /// # Errors
    /// `Err(())` when a line claims the key and does not verify: such a note is to be refused as a whole.
    #[expect(clippy::result_unit_err, reason = "the caller knows which key it asked about and says so")]
    pub fn verify(&self, key: &NoteKey) -> Result<Option<u64>, ()> {
        let mut latest = None;
        for signature in self.signatures.iter().filter(|signature| signature.claims(key)) {
            let seconds = self.verify_line(key, &signature.bytes).ok_or(())?;
            latest = latest.max(Some(seconds));
        }
        Ok(latest)
    }

    fn verify_line(&self, key: &NoteKey, bytes: &[u8]) -> Option<u64> {
        match key.kind {
            KeyKind::Ed25519 => {
                let signature = Signature(bytes.try_into().ok()?);
                key.identity.danger_verify_unlabelled(self.text.as_bytes(), &signature).ok()?;
                Some(0)
            }
            KeyKind::CosignatureV1 => {
                let (seconds, signature) = bytes.split_first_chunk::<8>()?;
                let seconds = u64::from_be_bytes(*seconds);
                i64::try_from(seconds).ok()?;
                let signature = Signature(signature.try_into().ok()?);
                let message = cosigned_message(seconds, &self.text);
                key.identity.danger_verify_unlabelled(&message, &signature).ok()?;
                Some(seconds)
            }
        }
    }
}

/// What a witness signs (C2SP tlog-cosignature, "Ed25519 signed message").
fn cosigned_message(seconds: u64, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {seconds}\n{text}").into_bytes()
}

#[cfg(test)]
mod tests {
    use sealgrid_seal::secret::Secret;
    use signed_note::Verifiers as _;

    use super::*;

    fn identity(seed: u8) -> SigningIdentity {
        SigningIdentity::from_seed(&Secret::new([seed; 32]))
    }

    fn signed() -> Note {
        let mut note = Note::new("example.com/log\n7\nAAAA\n".to_owned()).expect("text");
        note.sign("example.com/log", &identity(1)).expect("a name");
        note
    }

    #[test]
    fn the_other_implementation_verifies_our_note() {
        let note = signed();
        let key = NoteKey::new("example.com/log", KeyKind::Ed25519, identity(1).public()).expect("a name");
        let verifier = signed_note::StandardVerifier::new(&key.to_vkey()).expect("they read our key");
        let verifiers = signed_note::VerifierList::new(vec![Box::new(verifier)]);
        assert!(verifiers.verifier("example.com/log", key.id()).is_ok());
        let theirs = signed_note::Note::from_bytes(note.to_text().as_bytes()).expect("they read our note");
        let (verified, unverified) = theirs.verify(&verifiers).expect("they verify our note");
        assert_eq!((verified.len(), unverified.len()), (1, 0));
        assert_eq!(theirs.to_bytes(), note.to_text().as_bytes());
    }

    /// The example in the Go documentation of golang.org/x/mod/sumdb/note, whose keys signed-note is defined by.
    #[test]
    fn the_note_of_the_go_documentation_verifies() {
        let key = NoteKey::from_vkey("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
            .expect("a key");
        let note = Note::parse(
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
             \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
                .as_bytes(),
        )
        .expect("a note");
        assert_eq!(note.verify(&key), Ok(Some(0)));
    }

    #[test]
    fn a_cosignature_binds_text_time_and_witness() {
        let mut note = signed();
        let line = note.cosign("example.com/witness", &identity(2), 1_679_315_147).expect("a name");
        note.add(line.clone());
        note.add(line);
        assert_eq!(note.signatures().len(), 2, "an equal line is added once");
        let key = NoteKey::new("example.com/witness", KeyKind::CosignatureV1, identity(2).public())
            .expect("a name");
        let read = Note::parse(note.to_text().as_bytes()).expect("a note");
        assert_eq!(read, note);
        assert_eq!(read.verify(&key), Ok(Some(1_679_315_147)));
        let stranger =
            NoteKey::new("example.com/other", KeyKind::CosignatureV1, identity(2).public()).expect("a name");
        assert_eq!(read.verify(&stranger), Ok(None));

        let wrong = note.to_text().replacen("7\n", "8\n", 1);
        assert_eq!(Note::parse(wrong.as_bytes()).expect("a note").verify(&key), Err(()));
        let mut earlier = note.clone();
        earlier.signatures[1].bytes[7] ^= 1;
        assert_eq!(earlier.verify(&key), Err(()));
        assert!(note.cosign("example.com/witness", &identity(2), 1 << 63).is_err());
    }

    #[test]
    fn verifier_keys_have_one_spelling() {
        let key =
            NoteKey::new("example.com/log", KeyKind::CosignatureV1, identity(1).public()).expect("a name");
        let vkey = key.to_vkey();
        assert_eq!(NoteKey::from_vkey(&vkey), Ok(key));
        for wrong in [vkey.to_uppercase(), vkey.replacen('+', "++", 1), vkey[1..].to_owned(), String::new()] {
            assert!(NoteKey::from_vkey(&wrong).is_err(), "{wrong}");
        }
        for name in ["", "a b", "a+b", "a\nb", "a\u{a0}b", &"a".repeat(256)] {
            assert!(NoteKey::new(name, KeyKind::Ed25519, identity(1).public()).is_err());
        }
    }

    #[test]
    fn malformed_notes_are_refused() {
        let good = signed().to_text();
        assert!(Note::parse(good.as_bytes()).is_ok());
        let lines = |count| {
            format!(
                "{}{}",
                &good[..good.find('\u{2014}').expect("a line")],
                "\u{2014} a AAAAAAA=\n".repeat(count)
            )
        };
        assert!(Note::parse(lines(SIGNATURES_MAX).as_bytes()).is_ok());
        for wrong in [
            String::new(),
            "text\n".to_owned(),
            "text\n\n".to_owned(),
            good.trim_end().to_owned(),
            good.replace('\u{2014}', "-"),
            good.replace("7\n", "7\t\n"),
            good.replace("example.com/log\n", "example.com/log\r\n"),
            format!("{good}\n"),
            lines(SIGNATURES_MAX + 1),
            "a".repeat(NOTE_LENGTH_MAX + 1),
        ] {
            assert_eq!(Note::parse(wrong.as_bytes()).expect_err("malformed").code(), "E-LOG-01");
        }
    }
}
