//! Owner-held keys: created, listed, used, rotated, destroyed; each change leaves a signed record.
//!
//! [`KeyStore`] is the socket: a store may be a file, a TPM or a service, so the trait lets keys be *used*, and hands a
//! seed out only where a store says it can ([`KeyStore::danger_seed`]). [`KeyRing`] is the state behind a software
//! store, without I/O; [`RingStore`] keeps a ring under a passphrase with a function that makes bytes
//! durable.
//!
//! Records form a chain: each names the digest of the one before it, all are signed by the ring's recorder key, and a
//! destroyed key stays in them for ever. [`verify_records`] checks a whole chain.

use std::sync::{Mutex, MutexGuard, PoisonError};

use minicbor::{Decode, Decoder, Encode, Encoder};
use rand_core::CryptoRng;

use crate::digest::{Digest, Label, labels};
use crate::envelope::{EnvelopeError, Exporter, JobKeyPair, JobPublicKey, Sealed};
use crate::identity::{PublicIdentity, SigningIdentity};
use crate::keyfile::{self, Cost, KeyfileError};
use crate::secret::{Secret, SecretBytes};
use crate::statement::{self, Kind, StatementError, Unverified};

/// Keys in one ring at most.
pub const KEYS_MAX: usize = 256;

/// Records of one ring at most.
pub const RECORDS_MAX: usize = 4096;

/// Bytes of one signed record at most.
pub const RECORD_LENGTH_MAX: usize = 512;

/// The kind of statement a [`KeyRecord`] is.
pub const RECORD: Kind =
    Kind { label: labels::KEY_RECORD, content_type: "application/sealgrid-key-record+cbor" };

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// A key: the digest of its public half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct KeyId(pub Digest);

/// What a key is for. One key, one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Purpose {
    /// Signs as a node and is its TLS key (Ed25519).
    #[n(0)]
    Node,
    /// Signs as an owner, client or authority (Ed25519).
    #[n(1)]
    Owner,
    /// Signs a log's checkpoints (Ed25519).
    #[n(2)]
    Log,
    /// Cosigns checkpoints (Ed25519).
    #[n(3)]
    Witness,
    /// Opens envelopes of jobs (X-Wing).
    #[n(4)]
    Job,
    /// Opens data at rest (X-Wing).
    #[n(5)]
    Storage,
}

impl Purpose {
    /// Whether the key signs; otherwise it opens.
    #[must_use]
    pub fn signs(self) -> bool {
        matches!(self, Self::Node | Self::Owner | Self::Log | Self::Witness)
    }
}

/// The public half of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// Signs.
    Ed25519(PublicIdentity),
    /// Opens.
    XWing(JobPublicKey),
}

impl PublicKey {
    /// The key's identifier.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(match self {
            Self::Ed25519(identity) => Digest::of(labels::KEY_ID, &[b"ed25519", &identity.0]),
            Self::XWing(key) => Digest::of(labels::KEY_ID, &[b"x-wing", key.as_bytes()]),
        })
    }
}

/// Whether a key may still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Signs and opens.
    Active,
    /// Replaced: opens what was sealed to it before, signs nothing more.
    Rotated {
        /// The key that took its place.
        successor: KeyId,
    },
}

/// What may be known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Identifier.
    pub id: KeyId,
    /// What its owner calls it.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The public half.
    pub public: PublicKey,
    /// When it was made.
    pub created: Millis,
    /// Whether it may still be used.
    pub state: State,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Action {
    /// It was made.
    #[n(0)]
    Created,
    /// Another took its place.
    #[n(1)]
    Rotated {
        /// That other.
        #[n(0)]
        successor: KeyId,
    },
    /// Its secret half was overwritten in this store.
    #[n(2)]
    Destroyed,
}

/// One link of the chain: the payload of a statement of kind [`RECORD`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct KeyRecord {
    /// Format version, 1.
    #[n(0)]
    pub version: u8,
    /// Position in the chain, from 0.
    #[n(1)]
    pub sequence: u64,
    /// Digest of the signed record before this one.
    #[n(2)]
    pub previous: Option<Digest>,
    /// Which key.
    #[n(3)]
    pub key: KeyId,
    /// What it was for.
    #[n(4)]
    pub purpose: Purpose,
    /// What happened.
    #[n(5)]
    pub action: Action,
    /// When, by the store's clock.
    #[n(6)]
    pub at: Millis,
}

/// Why a store does not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// There is no such key, or it was destroyed.
    #[error("no key {}", .0.0)]
    UnknownKey(KeyId),
    /// The key is for something else.
    #[error("key is for {0:?}")]
    WrongPurpose(Purpose),
    /// The key was rotated: its successor signs.
    #[error("key was rotated to {}", .0.0)]
    Rotated(KeyId),
    /// The name is empty, longer than 64 bytes, not printable, or taken by an active key.
    #[error("name cannot be given to a key")]
    BadName,
    /// The store is full.
    #[error("store holds as many keys or records as it can")]
    Full,
    /// The store's bytes are not a key ring.
    #[error("not a key ring")]
    Malformed,
    /// This store never lets a secret out.
    #[error("this store does not hand out secrets")]
    Unsupported,
    /// The change could not be made durable; it was not made at all.
    #[error("store could not be written: {0}")]
    NotKept(#[source] std::io::Error),
    /// The key file.
    #[error(transparent)]
    Keyfile(#[from] KeyfileError),
    /// The envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

impl KeyStoreError {
    /// The code in docs/reference/errors/seal.md.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownKey(_) => "E-KEY-24",
            Self::WrongPurpose(_) => "E-KEY-25",
            Self::Rotated(_) => "E-KEY-26",
            Self::BadName => "E-KEY-27",
            Self::Full => "E-KEY-28",
            Self::Malformed => "E-KEY-29",
            Self::Unsupported => "E-KEY-30",
            Self::NotKept(_) => "E-KEY-31",
            Self::Keyfile(error) => error.code(),
            Self::Envelope(error) => error.code(),
        }
    }
}

/// The socket for owner-held keys. [`contract`] says what every implementation must do.
pub trait KeyStore: Send + Sync {
    /// Makes a key called `name`.
    ///
    /// # Errors
    /// [`KeyStoreError::BadName`], [`KeyStoreError::Full`], [`KeyStoreError::NotKept`].
    fn create(
        &self,
        rng: &mut dyn CryptoRng,
        now: Millis,
        purpose: Purpose,
        name: &str,
    ) -> Result<KeyInfo, KeyStoreError>;

    /// Every key that is not destroyed, oldest first.
    ///
    /// # Errors
    /// When the store cannot be reached.
    fn list(&self) -> Result<Vec<KeyInfo>, KeyStoreError>;

    /// The signed records, oldest first, and who signed them.
    ///
    /// # Errors
    /// When the store cannot be reached.
    fn records(&self) -> Result<(PublicIdentity, Vec<Vec<u8>>), KeyStoreError>;

    /// Signs `payload` as a statement of `kind` with an active signing key.
    ///
    /// # Errors
    /// [`KeyStoreError::UnknownKey`], [`KeyStoreError::WrongPurpose`], [`KeyStoreError::Rotated`].
    fn sign(&self, id: &KeyId, kind: &Kind, payload: &[u8]) -> Result<Vec<u8>, KeyStoreError>;

    /// Opens an envelope with a key for opening, also with a rotated one.
    ///
    /// # Errors
    /// [`KeyStoreError::UnknownKey`], [`KeyStoreError::WrongPurpose`], [`KeyStoreError::Envelope`].
    fn open(
        &self,
        id: &KeyId,
        label: Label,
        aad: &[u8],
        sealed: &Sealed,
    ) -> Result<(SecretBytes, Exporter), KeyStoreError>;

    /// Replaces an active key by a fresh one of the same name and purpose.
    ///
    /// # Errors
    /// [`KeyStoreError::UnknownKey`], [`KeyStoreError::Rotated`], [`KeyStoreError::Full`],
    /// [`KeyStoreError::NotKept`].
    fn rotate(&self, rng: &mut dyn CryptoRng, now: Millis, id: &KeyId) -> Result<KeyInfo, KeyStoreError>;

    /// Destroys a key; answers the signed record that says so. What only this key opens is lost.
    ///
    /// # Errors
    /// [`KeyStoreError::UnknownKey`], [`KeyStoreError::Full`], [`KeyStoreError::NotKept`].
    fn destroy(&self, rng: &mut dyn CryptoRng, now: Millis, id: &KeyId) -> Result<Vec<u8>, KeyStoreError>;

    /// The 32-byte seed, for keys that have to live in the process (TLS). Every call is a place to review.
    ///
    /// # Errors
    /// [`KeyStoreError::UnknownKey`]; [`KeyStoreError::Unsupported`] from hardware.
    fn danger_seed(&self, id: &KeyId) -> Result<Secret<32>, KeyStoreError>;
}

/// Checks a chain of records signed by `recorder`: nothing missing, nothing reordered. Answers what they say.
///
/// # Errors
/// [`StatementError`] of the first record that does not follow.
pub fn verify_records(
    recorder: &PublicIdentity,
    records: &[Vec<u8>],
) -> Result<Vec<KeyRecord>, StatementError> {
    let mut previous = None;
    let mut verified = Vec::with_capacity(records.len().min(RECORDS_MAX));
    for (sequence, bytes) in (0..).zip(records) {
        let record: KeyRecord =
            Unverified::parse(bytes, RECORD_LENGTH_MAX)?.verify(recorder, &RECORD)?.value()?;
        if record.version != 1 || record.sequence != sequence || record.previous != previous {
            return Err(StatementError::Malformed);
        }
        previous = Some(digest_of_record(bytes));
        verified.push(record);
    }
    Ok(verified)
}

fn digest_of_record(signed: &[u8]) -> Digest {
    Digest::of(labels::KEY_RECORD, &[signed])
}

/// The state of a software store: secrets, and the records of what happened to them.
#[derive(Debug)]
pub struct KeyRing {
    recorder: SigningIdentity,
    keys: Vec<Entry>,
    records: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Entry {
    info: KeyInfo,
    seed: Secret<32>,
}

impl KeyRing {
    /// A ring without keys.
    pub fn new(rng: &mut impl CryptoRng) -> Self {
        Self { recorder: SigningIdentity::generate(rng), keys: Vec::new(), records: Vec::new() }
    }

    /// Every key that is not destroyed, oldest first.
    pub fn list(&self) -> impl Iterator<Item = &KeyInfo> {
        self.keys.iter().map(|entry| &entry.info)
    }

    /// Who signs the records.
    #[must_use]
    pub fn recorder(&self) -> PublicIdentity {
        self.recorder.public()
    }

    /// The signed records, oldest first.
    #[must_use]
    pub fn records(&self) -> &[Vec<u8>] {
        &self.records
    }

    /// See [`KeyStore::create`].
    ///
    /// # Errors
    /// [`KeyStoreError::BadName`], [`KeyStoreError::Full`].
    pub fn create(
        &mut self,
        rng: &mut impl CryptoRng,
        now: Millis,
        purpose: Purpose,
        name: &str,
    ) -> Result<KeyInfo, KeyStoreError> {
        let taken = self.list().any(|info| info.name == name && info.state == State::Active);
        let printable = name.chars().all(|c| !c.is_control() && !c.is_whitespace());
        if name.is_empty() || name.len() > 64 || !printable || taken {
            return Err(KeyStoreError::BadName);
        }
        self.insert(Secret::random(rng), now, purpose, name)
    }

    fn insert(
        &mut self,
        seed: Secret<32>,
        now: Millis,
        purpose: Purpose,
        name: &str,
    ) -> Result<KeyInfo, KeyStoreError> {
        if self.keys.len() >= KEYS_MAX {
            return Err(KeyStoreError::Full);
        }
        let public = public_half(purpose, &seed);
        let info = KeyInfo {
            id: public.id(),
            name: name.to_owned(),
            purpose,
            public,
            created: now,
            state: State::Active,
        };
        self.record(&info, Action::Created, now)?;
        self.keys.push(Entry { info: info.clone(), seed });
        Ok(info)
    }

    /// See [`KeyStore::sign`].
    ///
    /// # Errors
    /// [`KeyStoreError::UnknownKey`], [`KeyStoreError::WrongPurpose`], [`KeyStoreError::Rotated`].
    pub fn sign(&self, id: &KeyId, kind: &Kind, payload: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
        let entry = self.find(id)?;
        if !entry.info.purpose.signs() {
            return Err(KeyStoreError::WrongPurpose(entry.info.purpose));
        }
        if let State::Rotated { successor } = entry.info.state {
            return Err(KeyStoreError::Rotated(successor));
        }
        Ok(statement::sign(&SigningIdentity::from_seed(&entry.seed), kind, payload))
    }

    /// See [`KeyStore::open`].
    ///
    /// # Errors
    /// [`KeyStoreError::UnknownKey`], [`KeyStoreError::WrongPurpose`], [`KeyStoreError::Envelope`].
    pub fn open(
        &self,
        id: &KeyId,
        label: Label,
        aad: &[u8],
        sealed: &Sealed,
    ) -> Result<(SecretBytes, Exporter), KeyStoreError> {
        let entry = self.find(id)?;
        if entry.info.purpose.signs() {
            return Err(KeyStoreError::WrongPurpose(entry.info.purpose));
        }
        Ok(JobKeyPair::from_seed(entry.seed.duplicate()).open(label, aad, sealed)?)
    }

    /// See [`KeyStore::rotate`].
    ///
    /// # Errors
    /// [`KeyStoreError::UnknownKey`], [`KeyStoreError::Rotated`], [`KeyStoreError::Full`].
    pub fn rotate(
        &mut self,
        rng: &mut impl CryptoRng,
        now: Millis,
        id: &KeyId,
    ) -> Result<KeyInfo, KeyStoreError> {
        let old = self.find(id)?.info.clone();
        if let State::Rotated { successor } = old.state {
            return Err(KeyStoreError::Rotated(successor));
        }
        if self.records.len() + 2 > RECORDS_MAX {
            return Err(KeyStoreError::Full);
        }
        let new = self.insert(Secret::random(rng), now, old.purpose, &old.name)?;
        self.record(&old, Action::Rotated { successor: new.id }, now)?;
        if let Some(entry) = self.keys.iter_mut().find(|entry| entry.info.id == *id) {
            entry.info.state = State::Rotated { successor: new.id };
        }
        Ok(new)
    }

    /// See [`KeyStore::destroy`].
    ///
    /// # Errors
    /// [`KeyStoreError::UnknownKey`], [`KeyStoreError::Full`].
    pub fn destroy(&mut self, now: Millis, id: &KeyId) -> Result<Vec<u8>, KeyStoreError> {
        let info = self.find(id)?.info.clone();
        let record = self.record(&info, Action::Destroyed, now)?;
        self.keys.retain(|entry| entry.info.id != *id);
        Ok(record)
    }

    /// See [`KeyStore::danger_seed`].
    ///
    /// # Errors
    /// [`KeyStoreError::UnknownKey`].
    pub fn danger_seed(&self, id: &KeyId) -> Result<Secret<32>, KeyStoreError> {
        Ok(self.find(id)?.seed.duplicate())
    }

    fn find(&self, id: &KeyId) -> Result<&Entry, KeyStoreError> {
        self.keys.iter().find(|entry| entry.info.id == *id).ok_or(KeyStoreError::UnknownKey(*id))
    }

    fn record(&mut self, info: &KeyInfo, action: Action, at: Millis) -> Result<Vec<u8>, KeyStoreError> {
        if self.records.len() >= RECORDS_MAX {
            return Err(KeyStoreError::Full);
        }
        let record = KeyRecord {
            version: 1,
            sequence: self.records.len() as u64,
            previous: self.records.last().map(|last| digest_of_record(last)),
            key: info.id,
            purpose: info.purpose,
            action,
            at,
        };
        let signed = statement::sign_value(&self.recorder, &RECORD, &record);
        self.records.push(signed.clone());
        Ok(signed)
    }

    /// A second owner of the same secrets, asked for by name.
    fn duplicate(&self) -> Self {
        let keys =
            self.keys.iter().map(|entry| Entry { info: entry.info.clone(), seed: entry.seed.duplicate() });
        Self { recorder: self.recorder.duplicate(), keys: keys.collect(), records: self.records.clone() }
    }

    /// The ring as canonical CBOR: `[1, recorder seed, [[seed, name, purpose, created, successor or null]…], [record…]]`.
    #[must_use]
    pub fn to_bytes(&self) -> SecretBytes {
        // Reserved at once: a Vec that grows leaves copies of secrets behind.
        let records: usize = self.records.iter().map(|record| record.len() + 9).sum();
        let mut bytes = Vec::with_capacity(128 + records + self.keys.len() * 256);
        self.encode(&mut Encoder::new(&mut bytes)).expect("writing to a Vec does not fail");
        SecretBytes::new(bytes)
    }

    fn encode(
        &self,
        e: &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        e.array(4)?.u8(1)?.bytes(self.recorder.seed().expose())?.array(self.keys.len() as u64)?;
        for Entry { info, seed } in &self.keys {
            let successor = match info.state {
                State::Active => None,
                State::Rotated { successor } => Some(successor),
            };
            e.array(5)?.bytes(seed.expose())?.str(&info.name)?.encode(info.purpose)?.u64(info.created)?;
            e.encode(successor)?;
        }
        e.array(self.records.len() as u64)?;
        for record in &self.records {
            e.bytes(record)?;
        }
        Ok(())
    }

    /// Reads a ring back, in one spelling, and checks its records.
    ///
    /// # Errors
    /// [`KeyStoreError::Malformed`].
    pub fn from_bytes(bytes: &SecretBytes) -> Result<Self, KeyStoreError> {
        let ring = Self::decode(&mut Decoder::new(bytes.expose())).ok_or(KeyStoreError::Malformed)?;
        let sound = verify_records(&ring.recorder(), &ring.records).is_ok() && ring.to_bytes() == *bytes;
        if sound { Ok(ring) } else { Err(KeyStoreError::Malformed) }
    }

    fn decode(d: &mut Decoder<'_>) -> Option<Self> {
        if d.array().ok()? != Some(4) || d.u8().ok()? != 1 {
            return None;
        }
        let recorder = SigningIdentity::from_seed(&decode_seed(d)?);
        let count = usize::try_from(d.array().ok()??).ok().filter(|&count| count <= KEYS_MAX)?;
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            keys.push(decode_entry(d)?);
        }
        let count = usize::try_from(d.array().ok()??).ok().filter(|&count| count <= RECORDS_MAX)?;
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            records.push(d.bytes().ok().filter(|record| record.len() <= RECORD_LENGTH_MAX)?.to_vec());
        }
        Some(Self { recorder, keys, records })
    }

    /// The ring as a key file.
    ///
    /// # Errors
    /// [`KeyStoreError::Keyfile`].
    pub fn seal(
        &self,
        rng: &mut impl CryptoRng,
        passphrase: &[u8],
        cost: Cost,
    ) -> Result<Vec<u8>, KeyStoreError> {
        Ok(keyfile::seal(rng, passphrase, cost, self.to_bytes().expose())?)
    }

    /// The ring in a key file.
    ///
    /// # Errors
    /// [`KeyStoreError::Keyfile`], [`KeyStoreError::Malformed`].
    pub fn unseal(passphrase: &[u8], file: &[u8]) -> Result<Self, KeyStoreError> {
        Self::from_bytes(&keyfile::open(passphrase, file)?)
    }
}

fn decode_seed(d: &mut Decoder<'_>) -> Option<Secret<32>> {
    let seed: &[u8; 32] = d.bytes().ok()?.try_into().ok()?;
    Some(Secret::fill(|bytes| bytes.copy_from_slice(seed)))
}

fn decode_entry(d: &mut Decoder<'_>) -> Option<Entry> {
    if d.array().ok()? != Some(5) {
        return None;
    }
    let seed = decode_seed(d)?;
    let name = d.str().ok().filter(|name| name.len() <= 64)?.to_owned();
    let purpose: Purpose = d.decode().ok()?;
    let created = d.u64().ok()?;
    let successor: Option<KeyId> = d.decode().ok()?;
    let state = successor.map_or(State::Active, |successor| State::Rotated { successor });
    let public = public_half(purpose, &seed);
    Some(Entry { info: KeyInfo { id: public.id(), name, purpose, public, created, state }, seed })
}

fn public_half(purpose: Purpose, seed: &Secret<32>) -> PublicKey {
    if purpose.signs() {
        PublicKey::Ed25519(SigningIdentity::from_seed(seed).public())
    } else {
        PublicKey::XWing(JobKeyPair::from_seed(seed.duplicate()).public().clone())
    }
}

/// Makes the bytes of a key file durable in place of the last ones.
pub type Keep = Box<dyn Fn(&[u8]) -> std::io::Result<()> + Send + Sync>;

/// A [`KeyStore`] over a [`KeyRing`] that is kept as a key file. A change that cannot be kept is not made.
pub struct RingStore {
    ring: Mutex<KeyRing>,
    passphrase: SecretBytes,
    cost: Cost,
    keep: Keep,
}

impl RingStore {
    /// A store with a fresh ring, kept at once.
    ///
    /// # Errors
    /// [`KeyStoreError::NotKept`], [`KeyStoreError::Keyfile`].
    pub fn create(
        rng: &mut dyn CryptoRng,
        passphrase: SecretBytes,
        cost: Cost,
        keep: Keep,
    ) -> Result<Self, KeyStoreError> {
        let mut rng = rng;
        let ring = KeyRing::new(&mut rng);
        keep(&ring.seal(&mut rng, passphrase.expose(), cost)?).map_err(KeyStoreError::NotKept)?;
        Ok(Self { ring: Mutex::new(ring), passphrase, cost, keep })
    }

    /// The store in `file`.
    ///
    /// # Errors
    /// [`KeyStoreError::Keyfile`], [`KeyStoreError::Malformed`].
    pub fn open(file: &[u8], passphrase: SecretBytes, cost: Cost, keep: Keep) -> Result<Self, KeyStoreError> {
        let ring = KeyRing::unseal(passphrase.expose(), file)?;
        Ok(Self { ring: Mutex::new(ring), passphrase, cost, keep })
    }

    /// A change is made to a copy, kept, and only then made visible; so a panic in between leaves the ring as it was,
    /// and a poisoned lock may be taken.
    fn ring(&self) -> MutexGuard<'_, KeyRing> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(
        &self,
        mut rng: &mut dyn CryptoRng,
        change: impl FnOnce(&mut KeyRing, &mut &mut dyn CryptoRng) -> Result<T, KeyStoreError>,
    ) -> Result<T, KeyStoreError> {
        let mut ring = self.ring();
        let mut next = ring.duplicate();
        let result = change(&mut next, &mut rng)?;
        let file = next.seal(&mut rng, self.passphrase.expose(), self.cost)?;
        (self.keep)(&file).map_err(KeyStoreError::NotKept)?;
        *ring = next;
        Ok(result)
    }
}

impl std::fmt::Debug for RingStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RingStore").finish_non_exhaustive()
    }
}

impl KeyStore for RingStore {
    fn create(
        &self,
        rng: &mut dyn CryptoRng,
        now: Millis,
        purpose: Purpose,
        name: &str,
    ) -> Result<KeyInfo, KeyStoreError> {
        self.change(rng, |ring, rng| ring.create(rng, now, purpose, name))
    }

    fn list(&self) -> Result<Vec<KeyInfo>, KeyStoreError> {
        Ok(self.ring().list().cloned().collect())
    }

    fn records(&self) -> Result<(PublicIdentity, Vec<Vec<u8>>), KeyStoreError> {
        let ring = self.ring();
        Ok((ring.recorder(), ring.records().to_vec()))
    }

    fn sign(&self, id: &KeyId, kind: &Kind, payload: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
        self.ring().sign(id, kind, payload)
    }

    fn open(
        &self,
        id: &KeyId,
        label: Label,
        aad: &[u8],
        sealed: &Sealed,
    ) -> Result<(SecretBytes, Exporter), KeyStoreError> {
        self.ring().open(id, label, aad, sealed)
    }

    fn rotate(&self, rng: &mut dyn CryptoRng, now: Millis, id: &KeyId) -> Result<KeyInfo, KeyStoreError> {
        self.change(rng, |ring, rng| ring.rotate(rng, now, id))
    }

    fn destroy(&self, rng: &mut dyn CryptoRng, now: Millis, id: &KeyId) -> Result<Vec<u8>, KeyStoreError> {
        self.change(rng, |ring, _| ring.destroy(now, id))
    }

    fn danger_seed(&self, id: &KeyId) -> Result<Secret<32>, KeyStoreError> {
        self.ring().danger_seed(id)
    }
}

/// What every [`KeyStore`] must do, checked on an empty one; for the tests of implementations.
///
/// # Panics
/// At the first promise that is broken.
pub fn contract(store: &dyn KeyStore, rng: &mut dyn CryptoRng) {
    let mut rng = rng;
    let code = |result: KeyStoreError| result.code();
    let kind = Kind { label: labels::POLICY, content_type: "application/sealgrid-test+cbor" };

    let owner = store.create(&mut rng, 1, Purpose::Owner, "owner").expect("an empty store has room");
    let job = store.create(&mut rng, 2, Purpose::Job, "job").expect("an empty store has room");
    assert_eq!(store.list().expect("reachable"), [owner.clone(), job.clone()]);
    let again = store.create(&mut rng, 3, Purpose::Owner, "owner").expect_err("the name is taken");
    assert_eq!(code(again), "E-KEY-27");
    assert_eq!(code(store.create(&mut rng, 3, Purpose::Owner, "a b").expect_err("a space")), "E-KEY-27");

    let PublicKey::Ed25519(identity) = &owner.public else { panic!("an owner signs") };
    let PublicKey::XWing(public) = &job.public else { panic!("a job key opens") };
    let signed = store.sign(&owner.id, &kind, b"terms").expect("an active key signs");
    let verified = Unverified::parse(&signed, 4096).and_then(|statement| statement.verify(identity, &kind));
    assert_eq!(verified.expect("its own signature").payload(), b"terms");
    assert_eq!(code(store.sign(&job.id, &kind, b"").expect_err("opens only")), "E-KEY-25");

    let (sealed, _) =
        crate::envelope::seal(&mut rng, public, labels::JOB_PAYLOAD, b"", b"record").expect("a good key");
    let open = |id: &KeyId| store.open(id, labels::JOB_PAYLOAD, b"", &sealed);
    assert_eq!(open(&job.id).expect("its own envelope").0.expose(), b"record");
    assert_eq!(code(open(&owner.id).expect_err("signs only")), "E-KEY-25");

    let new_owner = store.rotate(&mut rng, 4, &owner.id).expect("active");
    assert_eq!((new_owner.name.as_str(), new_owner.purpose), ("owner", Purpose::Owner));
    assert_eq!(code(store.sign(&owner.id, &kind, b"").expect_err("rotated")), "E-KEY-26");
    assert_eq!(code(store.rotate(&mut rng, 5, &owner.id).expect_err("rotated")), "E-KEY-26");
    let new_job = store.rotate(&mut rng, 6, &job.id).expect("active");
    assert_eq!(open(&job.id).expect("a rotated key still opens").0.expose(), b"record");
    assert_eq!(code(open(&new_job.id).expect_err("sealed to its predecessor")), "E-KEY-02");

    let record = store.destroy(&mut rng, 7, &job.id).expect("known");
    assert_eq!(code(open(&job.id).expect_err("destroyed")), "E-KEY-24");
    assert_eq!(code(store.destroy(&mut rng, 8, &job.id).expect_err("destroyed")), "E-KEY-24");
    assert!(store.list().expect("reachable").iter().all(|info| info.id != job.id));
    match store.danger_seed(&new_job.id) {
        Ok(seed) => assert_eq!(public_half(Purpose::Job, &seed), new_job.public),
        Err(error) => assert_eq!(code(error), "E-KEY-30"),
    }

    let (recorder, records) = store.records().expect("reachable");
    assert_eq!(records.last(), Some(&record));
    let said: Vec<_> = verify_records(&recorder, &records)
        .expect("an unbroken chain")
        .into_iter()
        .map(|record| (record.at, record.key, record.action))
        .collect();
    assert_eq!(
        said,
        [
            (1, owner.id, Action::Created),
            (2, job.id, Action::Created),
            (4, new_owner.id, Action::Created),
            (4, owner.id, Action::Rotated { successor: new_owner.id }),
            (6, new_job.id, Action::Created),
            (6, job.id, Action::Rotated { successor: new_job.id }),
            (7, job.id, Action::Destroyed),
        ]
    );
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(7)
    }

    fn passphrase() -> SecretBytes {
        SecretBytes::new(b"correct horse".to_vec())
    }

    #[test]
    fn the_ring_store_keeps_the_contract_and_what_it_kept_opens_again() {
        let disk = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&disk);
        let keep: Keep = Box::new(move |file| {
            *kept.lock().expect("not poisoned") = file.to_vec();
            Ok(())
        });
        let store = RingStore::create(&mut rng(), passphrase(), Cost::LEAST, keep).expect("kept");
        contract(&store, &mut rng());

        let file = disk.lock().expect("not poisoned").clone();
        let again = RingStore::open(&file, passphrase(), Cost::LEAST, Box::new(|_| Ok(()))).expect("opens");
        assert_eq!(again.list().expect("reachable"), store.list().expect("reachable"));
        assert_eq!(again.records().expect("reachable"), store.records().expect("reachable"));
    }

    #[test]
    fn a_change_that_cannot_be_kept_is_not_made() {
        let store =
            RingStore::create(&mut rng(), passphrase(), Cost::LEAST, Box::new(|_| Ok(()))).expect("kept");
        let store = RingStore { keep: Box::new(|_| Err(std::io::ErrorKind::StorageFull.into())), ..store };
        let error = store.create(&mut rng(), 1, Purpose::Owner, "owner").expect_err("the disk is full");
        assert_eq!(error.code(), "E-KEY-31");
        assert_eq!(store.list().expect("reachable"), []);
        assert_eq!(store.records().expect("reachable").1.len(), 0);
    }

    #[test]
    fn a_chain_with_a_missing_reordered_or_foreign_record_is_refused() {
        let mut ring = KeyRing::new(&mut rng());
        for name in ["a", "b", "c"] {
            ring.create(&mut rng(), 1, Purpose::Owner, name).expect("room");
        }
        let records = ring.records().to_vec();
        let refused = |records: &[Vec<u8>]| verify_records(&ring.recorder(), records).expect_err("broken");
        assert_eq!(refused(&records[1..]), StatementError::Malformed);
        assert_eq!(refused(&[records[0].clone(), records[2].clone()]), StatementError::Malformed);
        assert_eq!(refused(&[records[1].clone(), records[0].clone()]), StatementError::Malformed);
        let stranger = SigningIdentity::from_seed(&Secret::new([9; 32])).public();
        assert_eq!(verify_records(&stranger, &records).expect_err("foreign").code(), "E-KEY-05");
    }

    #[test]
    fn a_ring_is_bounded_and_has_one_spelling() {
        let mut ring = KeyRing::new(&mut rng());
        for index in 0..KEYS_MAX {
            ring.insert(Secret::new([7; 32]), 0, Purpose::Owner, &index.to_string()).expect("room");
        }
        assert_eq!(ring.create(&mut rng(), 0, Purpose::Owner, "more").expect_err("full").code(), "E-KEY-28");

        let bytes = ring.to_bytes();
        assert_eq!(KeyRing::from_bytes(&bytes).expect("its own bytes").to_bytes(), bytes);
        let refused =
            |bytes: Vec<u8>| KeyRing::from_bytes(&SecretBytes::new(bytes)).expect_err("wrong").code();
        assert_eq!(refused([bytes.expose(), &[0]].concat()), "E-KEY-29");
        assert_eq!(refused(bytes.expose()[..100].to_vec()), "E-KEY-29");
        assert_eq!(refused(Vec::new()), "E-KEY-29");
    }
}
