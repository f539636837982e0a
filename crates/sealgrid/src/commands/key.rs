//! `sealgrid key`: owner-held keys, and the signed record of what happened to them.

mod bind;

use std::path::{Path, PathBuf};

use sealgrid_node::keys::{KeysError, create_store, has_store, open_store};
use sealgrid_seal::envelope::JobKeyPair;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::keyfile::Cost;
use sealgrid_seal::keystore::{
    self, Action, KeyInfo, KeyRecord, KeyStore, KeyStoreError, PublicKey, Purpose, RingStore, State,
};
use sealgrid_seal::secret::SecretBytes;

use crate::failure::Failure;
use crate::home::Home;
use crate::output::{Output, Report, table};
use crate::passphrase;

/// Make, list, rotate and destroy keys that only you hold.
#[derive(Debug, clap::Args)]
pub struct KeyCommand {
    /// File whose first line is the passphrase; otherwise $SEALGRID_PASSPHRASE, otherwise you are asked.
    #[arg(long, global = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(subcommand)]
    action: KeyAction,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum KeyAction {
    /// Make a key.
    New {
        /// What you call it.
        name: String,
        /// What it is for; one key, one purpose.
        #[arg(long = "for", value_enum, default_value_t = PurposeWord::Owner)]
        purpose: PurposeWord,
    },
    /// List the keys.
    List,
    /// Show a key and its history.
    Show {
        /// Its name or identifier.
        key: String,
    },
    /// Replace a key by a fresh one; the old one still opens what was sealed to it.
    Rotate {
        /// Its name or identifier.
        key: String,
    },
    /// Let a wallet say that a key speaks for it: first the request for the wallet, then, with its signature, the binding.
    Bind(bind::Bind),
    /// Check a wallet's binding.
    Bound(bind::Bound),
    /// Destroy a key. What only this key opens is lost for ever.
    Destroy {
        /// Its name or identifier.
        key: String,
        /// Confirm that what only this key opens may be lost.
        #[arg(long)]
        yes: bool,
    },
}

/// Purposes on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PurposeWord {
    /// Signs as an owner, client or authority.
    Owner,
    /// Signs as a node and is its TLS key.
    Node,
    /// Signs a log's checkpoints.
    Log,
    /// Cosigns checkpoints.
    Witness,
    /// Opens envelopes of jobs.
    Job,
    /// Opens data at rest.
    Storage,
}

impl KeyCommand {
    /// Carries out the command.
    pub fn run(self, home: &Home, output: Output) -> Result<Report, Failure> {
        // A binding is public: whoever checks one needs no keys.
        if let KeyAction::Bound(bound) = self.action {
            return bound.run();
        }
        let folder = home.keys();
        let new = matches!(self.action, KeyAction::New { .. });
        if !new && !has_store(&folder) {
            return Err(no_keys(&folder));
        }
        let passphrase = passphrase::obtain(self.passphrase_file.as_deref(), new && !has_store(&folder))?;
        let store = open(&folder, passphrase)?;
        match self.action {
            KeyAction::New { name, purpose } => made(&store, &name, purpose.into()),
            KeyAction::List => list(&store),
            KeyAction::Show { key } => show(&store, &key),
            KeyAction::Rotate { key } => rotated(&store, &key),
            KeyAction::Bind(bind) => bind.run(&store),
            KeyAction::Destroy { key, yes } => destroyed(&store, &key, yes, output),
            KeyAction::Bound(_) => unreachable!("answered above, without a store"),
        }
    }
}

fn made(store: &dyn KeyStore, name: &str, purpose: Purpose) -> Result<Report, Failure> {
    let info =
        store.create(&mut crate::entropy(), crate::now(), purpose, name).map_err(|error| failed(&error))?;
    Ok(Report::new(format!("made {}", line(&info)), json(&info)))
}

fn list(store: &dyn KeyStore) -> Result<Report, Failure> {
    let infos = store.list().map_err(|error| failed(&error))?;
    let mut out = table(["name", "for", "state", "identifier"]);
    for info in &infos {
        out.add_row([info.name.clone(), word(info.purpose).to_owned(), state(info), info.id.0.to_string()]);
    }
    Ok(Report::new(
        out.to_string(),
        serde_json::json!({ "keys": infos.iter().map(json).collect::<Vec<_>>() }),
    ))
}

fn show(store: &dyn KeyStore, key: &str) -> Result<Report, Failure> {
    let info = find(store, key)?;
    let (recorder, records) = store.records().map_err(|error| failed(&error))?;
    let records = checked(&recorder, &records)?;
    let mut out = table(["at (ms)", "what happened"]);
    let mut history = Vec::new();
    for record in records.iter().filter(|record| record.key == info.id) {
        let what = match record.action {
            Action::Created => "made".to_owned(),
            Action::Rotated { successor } => format!("replaced by {}", successor.0),
            Action::Destroyed => "destroyed".to_owned(),
        };
        out.add_row([record.at.to_string(), what.clone()]);
        history.push(serde_json::json!({ "at": record.at, "what": what, "sequence": record.sequence }));
    }
    let public = public_hex(&info.public);
    let text =
        format!("{}\npublic key {public}\n{out}\nrecord signed by {recorder}, chain complete", line(&info));
    let mut json = json(&info);
    json["history"] = history.into();
    json["recorder"] = recorder.to_string().into();
    Ok(Report::new(text, json))
}

/// What the records say, if nothing is missing, reordered or somebody else's.
fn checked(recorder: &PublicIdentity, records: &[Vec<u8>]) -> Result<Vec<KeyRecord>, Failure> {
    keystore::verify_records(recorder, records).map_err(|error| {
        Failure::new("E-KEY-91", "the record of this store does not hold together")
            .why(error)
            .hint("restore the key file from a copy")
    })
}

fn rotated(store: &dyn KeyStore, key: &str) -> Result<Report, Failure> {
    let old = find(store, key)?;
    let new = store.rotate(&mut crate::entropy(), crate::now(), &old.id).map_err(|error| failed(&error))?;
    let text = format!("replaced {}\nby {}", line(&old), line(&new));
    Ok(Report::new(text, serde_json::json!({ "old": old.id.0.to_string(), "new": json(&new) })))
}

fn destroyed(store: &dyn KeyStore, key: &str, yes: bool, output: Output) -> Result<Report, Failure> {
    let info = find(store, key)?;
    if !yes {
        return Err(Failure::new("E-KEY-92", format!("{} is not destroyed without --yes", info.name))
            .why("what only this key opens is lost for ever")
            .hint(format!("sealgrid key destroy {key} --yes")));
    }
    output.say("overwriting the secret half in this store; copies elsewhere are yours to destroy");
    let record =
        store.destroy(&mut crate::entropy(), crate::now(), &info.id).map_err(|error| failed(&error))?;
    let json = serde_json::json!({ "destroyed": info.id.0.to_string(), "record": hex::encode(record) });
    Ok(Report::new(format!("destroyed {}; the signed record says so", line(&info)), json))
}

/// The key of that name, the active one first, or of that identifier.
pub(super) fn find(store: &dyn KeyStore, key: &str) -> Result<KeyInfo, Failure> {
    let infos = store.list().map_err(|error| failed(&error))?;
    let named = infos.iter().filter(|info| info.name == key).max_by_key(|info| info.state == State::Active);
    let found = named.or_else(|| infos.iter().find(|info| info.id.0.to_string() == key));
    found
        .cloned()
        .ok_or_else(|| Failure::new("E-KEY-24", format!("there is no key {key}")).hint("sealgrid key list"))
}

/// Opens the store in a folder, or makes one.
pub(super) fn open(folder: &Path, passphrase: SecretBytes) -> Result<RingStore, Failure> {
    if has_store(folder) {
        let store = open_store(folder, passphrase, Cost::STANDARD).map_err(|error| from_keys(&error))?;
        store.ok_or_else(|| Failure::new("E-KEY-90", format!("the keys in {} are gone", folder.display())))
    } else {
        create_store(folder, passphrase, Cost::STANDARD).map_err(|error| from_keys(&error))
    }
}

/// Opens the home's store, which must be there.
fn existing(home: &Home, passphrase_file: Option<&Path>) -> Result<RingStore, Failure> {
    let folder = home.keys();
    if !has_store(&folder) {
        return Err(no_keys(&folder));
    }
    open(&folder, passphrase::obtain(passphrase_file, false)?)
}

/// The seed of a signing key in the home's store, for a command that signs with it.
pub fn signing(home: &Home, name: &str, passphrase_file: Option<&Path>) -> Result<SigningIdentity, Failure> {
    let store = existing(home, passphrase_file)?;
    let info = find(&store, name)?;
    if info.purpose != Purpose::Owner {
        return Err(Failure::new(
            "E-KEY-99",
            format!("{name} is a key for {}, not an owner's", word(info.purpose)),
        )
        .hint("sealgrid key new NAME --for owner"));
    }
    let seed = store.danger_seed(&info.id).map_err(|error| failed(&error))?;
    Ok(SigningIdentity::from_seed(&seed))
}

/// The storage keys of the home's store, rotated ones included, or the one of that name.
pub fn storage(
    home: &Home,
    name: Option<&str>,
    passphrase_file: Option<&Path>,
) -> Result<Vec<JobKeyPair>, Failure> {
    let store = existing(home, passphrase_file)?;
    let infos = match name {
        Some(name) => vec![find(&store, name)?],
        None => store.list().map_err(|error| failed(&error))?,
    };
    let keys = storage_of(&store, &infos)?;
    if keys.is_empty() {
        return Err(Failure::new("E-KEY-98", "there is no such storage key in this home")
            .why("what is kept or read here is sealed to a key that opens data at rest")
            .hint("sealgrid key new NAME --for storage"));
    }
    Ok(keys)
}

/// The secret halves of those of `infos` that open data at rest.
fn storage_of(store: &dyn KeyStore, infos: &[KeyInfo]) -> Result<Vec<JobKeyPair>, Failure> {
    let storage = infos.iter().filter(|info| info.purpose == Purpose::Storage);
    let seed = |info: &KeyInfo| store.danger_seed(&info.id).map(JobKeyPair::from_seed);
    storage.map(seed).collect::<Result<_, _>>().map_err(|error| failed(&error))
}

/// Every secret half in `store` that opens data at rest, rotated keys included.
pub(super) fn own_storage(store: &dyn KeyStore) -> Result<Vec<JobKeyPair>, Failure> {
    storage_of(store, &store.list().map_err(|error| failed(&error))?)
}

fn no_keys(folder: &Path) -> Failure {
    Failure::new("E-KEY-90", format!("there are no keys in {}", folder.display()))
        .hint("sealgrid key new NAME")
}

fn from_keys(error: &KeysError) -> Failure {
    Failure::new(error.code(), error.to_string())
}

pub(super) fn failed(error: &KeyStoreError) -> Failure {
    Failure::new(error.code(), error.to_string())
}

fn line(info: &KeyInfo) -> String {
    format!("{} ({}, {}) {}", info.name, word(info.purpose), state(info), info.id.0)
}

fn json(info: &KeyInfo) -> serde_json::Value {
    serde_json::json!({
        "id": info.id.0.to_string(),
        "name": info.name,
        "purpose": word(info.purpose),
        "public": public_hex(&info.public),
        "created": info.created,
        "state": state(info),
    })
}

fn state(info: &KeyInfo) -> String {
    match info.state {
        State::Active => "active".to_owned(),
        State::Rotated { successor } => format!("replaced by {}", &successor.0.to_string()[..8]),
    }
}

fn public_hex(public: &PublicKey) -> String {
    match public {
        PublicKey::Ed25519(identity) => identity.to_string(),
        PublicKey::XWing(key) => hex::encode(key.as_bytes()),
    }
}

const fn word(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Node => "node",
        Purpose::Owner => "owner",
        Purpose::Log => "log",
        Purpose::Witness => "witness",
        Purpose::Job => "job",
        Purpose::Storage => "storage",
    }
}

impl From<PurposeWord> for Purpose {
    fn from(word: PurposeWord) -> Self {
        match word {
            PurposeWord::Owner => Self::Owner,
            PurposeWord::Node => Self::Node,
            PurposeWord::Log => Self::Log,
            PurposeWord::Witness => Self::Witness,
            PurposeWord::Job => Self::Job,
            PurposeWord::Storage => Self::Storage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::new(text.as_bytes().to_vec())
    }

    #[test]
    fn keys_live_through_a_restart_and_leave_a_record_of_their_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("keys");
        let store = open(&folder, secret("correct horse")).expect("made");
        made(&store, "hospital", Purpose::Owner).expect("made");
        drop(store);

        assert_eq!(open(&folder, secret("wrong")).expect_err("another passphrase").exit_status(), 7);
        let store = open(&folder, secret("correct horse")).expect("opened");
        let old = find(&store, "hospital").expect("kept");
        rotated(&store, "hospital").expect("rotated");
        assert_ne!(find(&store, "hospital").expect("the new one").id, old.id);

        let quiet = Output { json: true, quiet: true };
        assert_eq!(
            destroyed(&store, "hospital", false, quiet).err().expect("not confirmed").code,
            "E-KEY-92"
        );
        destroyed(&store, &old.id.0.to_string(), true, quiet).expect("destroyed");
        assert_eq!(find(&store, &old.id.0.to_string()).expect_err("gone").code, "E-KEY-24");
        assert!(show(&store, "hospital").expect("the record holds").text.contains("chain complete"));

        let (recorder, records) = store.records().expect("read");
        assert_eq!(checked(&recorder, &records).expect("whole").len(), records.len());
        assert_eq!(checked(&recorder, &records[1..]).expect_err("one is missing").code, "E-KEY-91");
    }
}
