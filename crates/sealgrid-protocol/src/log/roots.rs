//! Whom to trust about a log: its origin and key, its witnesses, and how many of them must have cosigned.

use std::collections::HashSet;
use std::fmt::Write as _;

use minicbor::{Decode, Encode};
use sealgrid_seal::identity::PublicIdentity;

use super::note::{KeyKind, Note, NoteKey};
use super::{Checkpoint, LogError};

/// Witnesses in one set of roots at most.
pub const WITNESSES_MAX: usize = 32;

/// Bytes of a policy file at most.
pub const POLICY_LENGTH_MAX: usize = 64 * 1024;

const MALFORMED: LogError = LogError::Malformed { what: "log policy" };

/// Trust roots of one log. Build one with [`LogRoots::new`], which checks the names.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LogRoots {
    #[n(0)]
    origin: String,
    #[n(1)]
    log: PublicIdentity,
    #[n(2)]
    witnesses: Vec<Witness>,
    #[n(3)]
    witnesses_min: u8,
}

/// A trusted witness.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Witness {
    /// The name in its signature lines.
    #[n(0)]
    pub name: String,
    /// Its key.
    #[n(1)]
    pub identity: PublicIdentity,
}

/// A checkpoint that the log and enough witnesses signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Trusted witnesses that cosigned, with the time each states, in seconds since the Unix epoch.
    pub cosigned: Vec<(String, u64)>,
}

impl LogRoots {
    /// Trusts `log` to speak for `origin` when at least `witnesses_min` of `witnesses` cosigned.
    ///
    /// # Errors
    /// [`LogError::Malformed`] when a name is not a key name, a witness's key or name stands twice or is the log's,
    /// there are more than [`WITNESSES_MAX`] of them, or fewer than `witnesses_min`.
    pub fn new(
        origin: &str,
        log: PublicIdentity,
        witnesses: Vec<Witness>,
        witnesses_min: u8,
    ) -> Result<Self, LogError> {
        let roots = Self { origin: origin.to_owned(), log, witnesses, witnesses_min };
        if roots.is_sound() { Ok(roots) } else { Err(MALFORMED) }
    }

    /// Whether these roots are what [`LogRoots::new`] would have accepted; for roots that came out of CBOR.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let mut keys = HashSet::from([self.log]);
        let mut names = HashSet::new();
        self.log_key().is_some()
            && self.witnesses.len() <= WITNESSES_MAX
            && usize::from(self.witnesses_min) <= self.witnesses.len()
            && self.witnesses.iter().all(|witness| {
                witness.key().is_some() && keys.insert(witness.identity) && names.insert(&witness.name)
            })
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The log's key.
    #[must_use]
    pub fn log(&self) -> PublicIdentity {
        self.log
    }

    /// The trusted witnesses.
    #[must_use]
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// How many witnesses must have cosigned.
    #[must_use]
    pub fn witnesses_min(&self) -> u8 {
        self.witnesses_min
    }

    /// Checks that `note` is a checkpoint of this log, signed by it and cosigned by enough witnesses.
    ///
    /// # Errors
    /// [`LogError`]: malformed, of another log, not signed by it, a wrong cosignature in a trusted name, or too few
    /// witnesses.
    pub fn verify(&self, note: &Note) -> Result<Trusted, LogError> {
        let trusted = self.verify_signed(note)?;
        let required = usize::from(self.witnesses_min);
        if trusted.cosigned.len() < required {
            return Err(LogError::TooFewWitnesses { cosigned: trusted.cosigned.len(), required });
        }
        Ok(trusted)
    }

    /// As [`LogRoots::verify`], without demanding a number of witnesses.
    ///
    /// # Errors
    /// As [`LogRoots::verify`].
    pub fn verify_signed(&self, note: &Note) -> Result<Trusted, LogError> {
        let checkpoint = Checkpoint::from_text(note.text())?;
        if checkpoint.origin != self.origin {
            return Err(LogError::OtherLog { expected: self.origin.clone() });
        }
        let log_key = self.log_key().ok_or(MALFORMED)?;
        match note.verify(&log_key) {
            Ok(Some(_)) => {}
            Ok(None) | Err(()) => return Err(LogError::NotSigned),
        }
        let mut cosigned = Vec::new();
        for witness in &self.witnesses {
            let key = witness.key().ok_or(MALFORMED)?;
            let time =
                note.verify(&key).map_err(|()| LogError::BadCosignature { witness: witness.name.clone() })?;
            cosigned.extend(time.map(|time| (witness.name.clone(), time)));
        }
        Ok(Trusted { checkpoint, cosigned })
    }

    /// Reads a policy file (C2SP tlog-policy) with one `log`, any number of `witness` lines, at most one `group` and a
    /// `quorum`. Nested groups and several logs are refused.
    ///
    /// # Errors
    /// [`LogError::Malformed`].
    pub fn from_policy(text: &str) -> Result<Self, LogError> {
        if text.len() > POLICY_LENGTH_MAX {
            return Err(MALFORMED);
        }
        Policy::read(text).and_then(Policy::into_roots).ok_or(MALFORMED)
    }

    /// The policy file that says the same.
    #[must_use]
    pub fn to_policy(&self) -> String {
        let mut text = String::new();
        let mut line = |words: std::fmt::Arguments<'_>| {
            writeln!(text, "{words}").expect("writing to a String does not fail");
        };
        if let Some(key) = self.log_key() {
            line(format_args!("log {}", key.to_vkey()));
        }
        let mut members = String::new();
        for (index, witness) in self.witnesses.iter().enumerate() {
            if let Some(key) = witness.key() {
                line(format_args!("witness w{index} {}", key.to_vkey()));
                write!(members, " w{index}").expect("writing to a String does not fail");
            }
        }
        if self.witnesses_min == 0 {
            line(format_args!("quorum none"));
        } else {
            line(format_args!("group witnesses {}{members}", self.witnesses_min));
            line(format_args!("quorum witnesses"));
        }
        text
    }

    fn log_key(&self) -> Option<NoteKey> {
        NoteKey::new(&self.origin, KeyKind::Ed25519, self.log).ok()
    }
}

impl Witness {
    fn key(&self) -> Option<NoteKey> {
        NoteKey::new(&self.name, KeyKind::CosignatureV1, self.identity).ok()
    }
}

/// A policy file while it is read.
#[derive(Default)]
struct Policy<'t> {
    log: Option<NoteKey>,
    witnesses: Vec<(&'t str, Witness)>,
    group: Option<(&'t str, usize, Vec<&'t str>)>,
    quorum: Option<&'t str>,
}

impl<'t> Policy<'t> {
    fn read(text: &'t str) -> Option<Self> {
        let mut policy = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            policy.read_line(&words)?;
        }
        Some(policy)
    }

    fn read_line(&mut self, words: &[&'t str]) -> Option<()> {
        match words {
            [] => {}
            [comment, ..] if comment.starts_with('#') => {}
            ["log", vkey] | ["log", vkey, _] if self.log.is_none() => {
                self.log = Some(NoteKey::from_vkey(vkey).ok().filter(|key| key.kind() == KeyKind::Ed25519)?);
            }
            ["witness", name, vkey] | ["witness", name, vkey, _] if *name != "none" => {
                let key = NoteKey::from_vkey(vkey).ok().filter(|key| key.kind() == KeyKind::CosignatureV1)?;
                let witness = Witness { name: key.name().to_owned(), identity: key.identity() };
                let known = self.witnesses.iter().any(|(known, _)| known == name);
                if known || self.witnesses.len() == WITNESSES_MAX {
                    return None;
                }
                self.witnesses.push((name, witness));
            }
            ["group", name, threshold, members @ ..]
                if self.group.is_none() && *name != "none" && !members.is_empty() =>
            {
                let is_witness = |name: &str| self.witnesses.iter().any(|(known, _)| *known == name);
                let unique: HashSet<_> = members.iter().collect();
                let sound = unique.len() == members.len() && members.iter().all(|member| is_witness(member));
                if !sound || is_witness(name) {
                    return None;
                }
                let threshold = match *threshold {
                    "any" => 1,
                    "all" => members.len(),
                    number => number.parse().ok()?,
                };
                if !(1..=members.len()).contains(&threshold) {
                    return None;
                }
                self.group = Some((name, threshold, members.to_vec()));
            }
            ["quorum", name] if self.quorum.is_none() => self.quorum = Some(name),
            _ => return None,
        }
        Some(())
    }

    /// Only the members of the quorum become trusted witnesses: a cosignature of another must not count.
    fn into_roots(self) -> Option<LogRoots> {
        let log = self.log?;
        let (members, witnesses_min) = match (self.quorum?, self.group) {
            ("none", _) => (self.witnesses.iter().map(|(name, _)| *name).collect(), 0),
            (quorum, Some((name, threshold, members))) if name == quorum => (members, threshold),
            (witness, _) => (vec![witness], 1),
        };
        let witnesses: Vec<Witness> = self
            .witnesses
            .into_iter()
            .filter(|(name, _)| members.contains(name))
            .map(|(_, witness)| witness)
            .collect();
        LogRoots::new(log.name(), log.identity(), witnesses, u8::try_from(witnesses_min).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use sealgrid_seal::canonical;
    use sealgrid_seal::identity::SigningIdentity;
    use sealgrid_seal::secret::Secret;

    use super::super::TreeHash;
    use super::*;

    fn identity(seed: u8) -> SigningIdentity {
        SigningIdentity::from_seed(&Secret::new([seed; 32]))
    }

    fn witness(seed: u8) -> Witness {
        Witness { name: format!("example.com/witness{seed}"), identity: identity(seed).public() }
    }

    fn roots(witnesses_min: u8) -> LogRoots {
        LogRoots::new("example.com/log", identity(1).public(), vec![witness(2), witness(3)], witnesses_min)
            .expect("sound")
    }

    fn note(witnesses: &[u8]) -> Note {
        let checkpoint = Checkpoint { origin: "example.com/log".into(), size: 7, root: TreeHash([9; 32]) };
        let mut note = checkpoint.sign(&identity(1)).expect("a name");
        for &seed in witnesses {
            let line = note.cosign(&witness(seed).name, &identity(seed), 100 + u64::from(seed));
            note.add(line.expect("a name"));
        }
        note
    }

    #[test]
    fn enough_trusted_witnesses_make_a_checkpoint_trusted() {
        let trusted = roots(2).verify(&note(&[2, 3, 4])).expect("both cosigned");
        assert_eq!(trusted.checkpoint.size, 7);
        assert_eq!(
            trusted.cosigned,
            [("example.com/witness2".into(), 102), ("example.com/witness3".into(), 103)]
        );
        assert!(roots(0).verify(&note(&[])).is_ok());
    }

    #[test]
    fn each_refusal_has_its_code() {
        let code = |roots: &LogRoots, note: &Note| roots.verify(note).expect_err("must be refused").code();
        assert_eq!(code(&roots(2), &note(&[2, 4])), "E-LOG-05");
        assert_eq!(code(&roots(2), &note(&[2, 2])), "E-LOG-05", "one witness counts once");

        let text = note(&[2, 3]).to_text();
        let forged = Note::parse(text.replacen("\n7\n", "\n8\n", 1).as_bytes()).expect("a note");
        assert_eq!(code(&roots(2), &forged), "E-LOG-03");
        let other = LogRoots::new("example.com/other", identity(1).public(), vec![], 0).expect("sound");
        assert_eq!(code(&other, &note(&[])), "E-LOG-02");

        // The log signs a second text; the witness's line of the first is pasted under it.
        let second = Checkpoint { origin: "example.com/log".into(), size: 8, root: TreeHash([9; 32]) };
        let mut second = second.sign(&identity(1)).expect("a name");
        second.add(note(&[2]).signatures()[1].clone());
        assert_eq!(code(&roots(1), &second), "E-LOG-04");
        assert_eq!(code(&roots(1), &Note::new("one line\n".into()).expect("text")), "E-LOG-01");
    }

    #[test]
    fn roots_survive_cbor_and_policy_files() {
        for witnesses_min in 0..=2 {
            let roots = roots(witnesses_min);
            assert_eq!(canonical::decode::<LogRoots>(&canonical::encode(&roots), 4096), Ok(roots.clone()));
            assert_eq!(LogRoots::from_policy(&roots.to_policy()), Ok(roots));
        }
        let lenient =
            format!("# comment\n\n \t{}", roots(2).to_policy().replace("witnesses 2", "witnesses all"));
        assert_eq!(LogRoots::from_policy(&lenient), Ok(roots(2)));
        let single = roots(2)
            .to_policy()
            .replace("group witnesses 2 w0 w1\n", "")
            .replace("quorum witnesses", "quorum w1");
        let single = LogRoots::from_policy(&single).expect("one witness");
        assert_eq!((single.witnesses(), single.witnesses_min()), (&[witness(3)][..], 1));
    }

    #[test]
    fn unsound_roots_are_refused() {
        let log = identity(1).public();
        let named = |name: &str| Witness { name: name.into(), ..witness(2) };
        assert!(LogRoots::new("", log, vec![], 0).is_err());
        assert!(LogRoots::new("a", log, vec![], 1).is_err());
        assert!(LogRoots::new("a", log, vec![named("b"), named("c")], 1).is_err(), "one key twice");
        assert!(
            LogRoots::new("a", identity(2).public(), vec![named("b")], 1).is_err(),
            "the log witnesses itself"
        );
        let policy = roots(2).to_policy();
        for wrong in [
            policy.replace("quorum witnesses\n", ""),
            policy.replace("quorum witnesses", "quorum others"),
            policy.replace("witnesses 2", "witnesses 3"),
            policy.replace("w0 w1", "w0 w0"),
            policy.replace("w0 w1", "w0 w9"),
            format!("{policy}quorum none\n"),
            format!("{policy}unknown\n"),
            policy.replace("log ", "witness x "),
        ] {
            assert_eq!(LogRoots::from_policy(&wrong), Err(MALFORMED), "{wrong}");
        }
    }
}
