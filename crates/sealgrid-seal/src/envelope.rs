//! Envelopes: bytes that only the holder of one key pair can read, and a way to answer without more public-key
//! work.
//!
//! HPKE (RFC 9180) in base mode, suite X-Wing (0x647a), HKDF-SHA256 (0x0001), AES-256-GCM (0x0002); one message per
//! encapsulation. `info` is a [`Label`], so an envelope for one purpose cannot be opened for another. The envelope
//! says nothing about its sender: sign it, or send it over an authenticated connection.
//!
//! An answer is keyed by the exporter (section 5.3) in the manner of RFC 9458, section 4.4: the answering side
//! draws a fresh 32-byte salt per message, and key and nonce are derived from it. Opening the same envelope
//! twice (a crash, a replay) therefore never repeats a nonce.

use std::fmt;

use hkdf::Hkdf;
use minicbor::{Decode, Encode, decode, encode};
use rand_core::CryptoRng;
use sha2::Sha256;

use crate::aead::{Aes256Gcm, Nonce, TAG_LENGTH};
use crate::digest::Label;
use crate::hpke::{self, X_WING_SUITE};
use crate::secret::{Secret, SecretBytes};
use crate::xwing::{self, ENCAPSULATION_LENGTH, PUBLIC_KEY_LENGTH};

/// Bytes by which a [`Sealed`] is longer than its plaintext, without its CBOR framing.
pub const OVERHEAD: usize = ENCAPSULATION_LENGTH + TAG_LENGTH;

/// Bytes by which [`ReplyKey::seal`]'s output is longer than its plaintext.
pub const REPLY_OVERHEAD: usize = SALT_LENGTH + TAG_LENGTH;

const SALT_LENGTH: usize = 32;

/// Why something cannot be sealed or opened.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum EnvelopeError {
    /// The recipient's key is not a key: wrong length, coefficients not reduced, or a point of small order.
    #[error("not an X-Wing public key")]
    BadPublicKey,
    /// Recipient, label, associated data and bytes do not belong together, or a byte was changed.
    #[error("envelope does not open with this key")]
    DoesNotOpen,
    /// The reply was not made for this envelope, label and associated data, or a byte was changed.
    #[error("reply does not open with this key")]
    ReplyDoesNotOpen,
}

impl EnvelopeError {
    /// The code in docs/reference/errors/seal.md.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadPublicKey => "E-KEY-01",
            Self::DoesNotOpen => "E-KEY-02",
            Self::ReplyDoesNotOpen => "E-KEY-03",
        }
    }
}

/// Whom to seal to: an X-Wing public key, 1,216 bytes, checked when read. In CBOR a byte string.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobPublicKey(Box<[u8; PUBLIC_KEY_LENGTH]>);

impl JobPublicKey {
    /// Bytes of a key.
    pub const LENGTH: usize = PUBLIC_KEY_LENGTH;

    /// Reads a key.
    ///
    /// # Errors
    /// [`EnvelopeError::BadPublicKey`] when the length is wrong or the ML-KEM part is not reduced (FIPS 203,
    /// section 7.2).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let bytes: &[u8; PUBLIC_KEY_LENGTH] = bytes.try_into().map_err(|_| EnvelopeError::BadPublicKey)?;
        if !xwing::is_public_key(bytes) {
            return Err(EnvelopeError::BadPublicKey);
        }
        Ok(Self(Box::new(*bytes)))
    }

    /// The bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LENGTH] {
        &self.0
    }
}

impl fmt::Debug for JobPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobPublicKey({}..)", hex::encode(&self.0[..4]))
    }
}

impl<C> Encode<C> for JobPublicKey {
    fn encode<W: encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0[..])?.ok()
    }
}

impl<'b, C> Decode<'b, C> for JobPublicKey {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        Self::from_bytes(d.bytes()?).map_err(decode::Error::custom)
    }
}

/// One sealed message: `[encapsulated key (1,120 bytes), ciphertext and tag]`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Sealed {
    /// The encapsulated key.
    #[n(0)]
    pub encapsulation: Encapsulation,
    /// Ciphertext, then a 16-byte tag.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub ciphertext: Vec<u8>,
}

/// An encapsulated X-Wing key, 1,120 bytes. In CBOR a byte string.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Encapsulation(pub Box<[u8; ENCAPSULATION_LENGTH]>);

impl fmt::Debug for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encapsulation({}..)", hex::encode(&self.0[..4]))
    }
}

impl<C> Encode<C> for Encapsulation {
    fn encode<W: encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0[..])?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Encapsulation {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let bytes: &[u8; ENCAPSULATION_LENGTH] = d
            .bytes()?
            .try_into()
            .map_err(|_| decode::Error::message("an encapsulated key has 1,120 bytes"))?;
        Ok(Self(Box::new(*bytes)))
    }
}

/// Seals `plaintext` to `recipient` for the purpose `label`, bound to `aad`. Also yields the sender's end of the
/// [`Exporter`].
///
/// # Errors
/// [`EnvelopeError::BadPublicKey`] when the recipient's X25519 point has small order.
pub fn seal(
    rng: &mut impl CryptoRng,
    recipient: &JobPublicKey,
    label: Label,
    aad: &[u8],
    plaintext: &[u8],
) -> Result<(Sealed, Exporter), EnvelopeError> {
    let mut held = Vec::with_capacity(plaintext.len() + TAG_LENGTH);
    held.extend_from_slice(plaintext);
    seal_owned(rng, recipient, label, aad, SecretBytes::new(held))
}

/// [`seal`] of bytes that are encrypted where they lie: no second copy is made and none has to be wiped, if there is room
/// for [`TAG_LENGTH`] bytes behind them.
///
/// # Errors
/// As [`seal`].
pub fn seal_owned(
    rng: &mut impl CryptoRng,
    recipient: &JobPublicKey,
    label: Label,
    aad: &[u8],
    plaintext: SecretBytes,
) -> Result<(Sealed, Exporter), EnvelopeError> {
    seal_with(&Secret::random(rng), recipient, label.0.as_bytes(), aad, plaintext)
}

/// [`seal_owned`] with its 64 random bytes given, for known answers.
fn seal_with(
    randomness: &Secret<64>,
    recipient: &JobPublicKey,
    info: &[u8],
    aad: &[u8],
    plaintext: SecretBytes,
) -> Result<(Sealed, Exporter), EnvelopeError> {
    let (encapsulation, shared_secret) =
        xwing::encapsulate(&recipient.0, randomness).map_err(|_| EnvelopeError::BadPublicKey)?;
    let schedule = hpke::schedule(X_WING_SUITE, &shared_secret, info);
    // The key was derived for this encapsulation alone and this is its only message: the nonce is new.
    let key = Aes256Gcm::new(&schedule.key);
    let ciphertext = key.danger_seal_in_place(schedule.base_nonce, aad, plaintext);
    let sealed = Sealed { encapsulation: Encapsulation(encapsulation), ciphertext };
    Ok((sealed, Exporter(schedule.exporter_secret)))
}

/// A key pair to be sealed to, made from a 32-byte seed (the HPKE private key); wiped when dropped.
pub struct JobKeyPair {
    seed: Secret<32>,
    private: xwing::PrivateKey,
    public: JobPublicKey,
}

impl JobKeyPair {
    /// A fresh key pair drawn from `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(Secret::random(rng))
    }

    /// The key pair of a stored seed.
    #[must_use]
    pub fn from_seed(seed: Secret<32>) -> Self {
        let (private, public) = xwing::PrivateKey::expand(&seed);
        Self { seed, private, public: JobPublicKey(public) }
    }

    /// The seed, for storing under the owner's key.
    #[must_use]
    pub fn seed(&self) -> &Secret<32> {
        &self.seed
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &JobPublicKey {
        &self.public
    }

    /// Opens what was sealed to this key for the purpose `label` and bound to `aad`. Also yields the recipient's
    /// end of the [`Exporter`].
    ///
    /// # Errors
    /// [`EnvelopeError::DoesNotOpen`].
    pub fn open(
        &self,
        label: Label,
        aad: &[u8],
        sealed: &Sealed,
    ) -> Result<(SecretBytes, Exporter), EnvelopeError> {
        self.open_info(label.0.as_bytes(), aad, sealed.clone())
    }

    /// [`JobKeyPair::open`] of bytes that are decrypted where they lie: no second copy is made.
    ///
    /// # Errors
    /// As [`JobKeyPair::open`].
    pub fn open_owned(
        &self,
        label: Label,
        aad: &[u8],
        sealed: Sealed,
    ) -> Result<(SecretBytes, Exporter), EnvelopeError> {
        self.open_info(label.0.as_bytes(), aad, sealed)
    }

    fn open_info(
        &self,
        info: &[u8],
        aad: &[u8],
        sealed: Sealed,
    ) -> Result<(SecretBytes, Exporter), EnvelopeError> {
        let shared_secret =
            self.private.decapsulate(&sealed.encapsulation.0).map_err(|_| EnvelopeError::DoesNotOpen)?;
        let schedule = hpke::schedule(X_WING_SUITE, &shared_secret, info);
        let plaintext = Aes256Gcm::new(&schedule.key)
            .open_in_place(schedule.base_nonce, aad, sealed.ciphertext)
            .map_err(|_| EnvelopeError::DoesNotOpen)?;
        Ok((plaintext, Exporter(schedule.exporter_secret)))
    }
}

impl fmt::Debug for JobKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobKeyPair({:?}, ..)", self.public)
    }
}

/// One end of an opened envelope: both ends derive the same further secrets from it (RFC 9180, section 5.3).
#[derive(Debug)]
pub struct Exporter(Secret<32>);

impl Exporter {
    /// A secret that both ends know, for the purpose `label`.
    #[must_use]
    pub fn export(&self, label: Label) -> Secret<32> {
        Secret::fill(|out| hpke::export(X_WING_SUITE, &self.0, label.0.as_bytes(), out))
    }

    /// The key under which messages for the purpose `label` travel between the two ends. Take one label per
    /// direction: a message then cannot be reflected to its sender.
    #[must_use]
    pub fn reply_key(&self, label: Label) -> ReplyKey {
        ReplyKey(self.export(label))
    }
}

/// A symmetric key that both ends of an envelope share. It may seal any number of messages, on any number of
/// machines: each message has its own salt, hence its own AES key and nonce. Order and freshness are the caller's to
/// bind in `aad`.
#[derive(Debug)]
pub struct ReplyKey(Secret<32>);

impl ReplyKey {
    /// The key a stored secret stands for.
    #[must_use]
    pub fn from_secret(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// The secret, for storing across a restart.
    #[must_use]
    pub fn secret(&self) -> &Secret<32> {
        &self.0
    }

    /// Seals one message bound to `aad`: `salt (32 bytes) || ciphertext || tag (16 bytes)`.
    pub fn seal(&self, rng: &mut impl CryptoRng, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; plaintext.len() + REPLY_OVERHEAD];
        let (salt, body) = sealed.split_at_mut(SALT_LENGTH);
        rng.fill_bytes(salt);
        let (key, nonce) = self.derive(salt);
        // Two messages share key and nonce only if two of 2^256 salts are equal.
        key.danger_seal(nonce, aad, plaintext, body);
        sealed
    }

    /// Opens one message bound to `aad`.
    ///
    /// # Errors
    /// [`EnvelopeError::ReplyDoesNotOpen`].
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<SecretBytes, EnvelopeError> {
        let (salt, body) = sealed.split_at_checked(SALT_LENGTH).ok_or(EnvelopeError::ReplyDoesNotOpen)?;
        let (key, nonce) = self.derive(salt);
        key.open(nonce, aad, body).map_err(|_| EnvelopeError::ReplyDoesNotOpen)
    }

    /// RFC 9458, section 4.4: extract with the salt, expand with `"key"` and `"nonce"`.
    fn derive(&self, salt: &[u8]) -> (Aes256Gcm, Nonce) {
        let (_, prk) = Hkdf::<Sha256>::extract(Some(salt), self.0.expose());
        let expand = |info: &[u8], out: &mut [u8]| {
            prk.expand(info, out).expect("at most 8,160 bytes are asked for");
        };
        let key = Secret::fill(|out| expand(b"key", out));
        let mut nonce = [0; 12];
        expand(b"nonce", &mut nonce);
        (Aes256Gcm::new(&key), nonce)
    }
}

/// Reads an envelope and opens it with a fixed key: what the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_open(bytes: &[u8]) {
    let key = JobKeyPair::from_seed(Secret::new([7; 32]));
    if let Ok(sealed) = crate::canonical::decode::<Sealed>(bytes, 1 << 20) {
        let _ = key.open(crate::digest::labels::JOB_PAYLOAD, b"", &sealed);
    }
    let _ = key_from(bytes);
    let _ = ReplyKey::from_secret(Secret::new([7; 32])).open(b"", bytes);
}

fn key_from(bytes: &[u8]) -> Option<JobPublicKey> {
    crate::canonical::decode(bytes, 2048).ok()
}

#[cfg(test)]
mod tests {
    use ::hpke::aead::AesGcm256;
    use ::hpke::kdf::HkdfSha256;
    use ::hpke::kem::XWing;
    use ::hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::canonical;
    use crate::digest::labels::{JOB_PAYLOAD, JOB_REPLY, POLICY};

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(7)
    }

    #[test]
    fn the_hpke_crate_opens_what_we_seal() {
        let rng = &mut rng();
        let (private, public) = XWing::gen_keypair_with_rng(rng);
        let ours = JobPublicKey::from_bytes(&public.to_bytes()).expect("a key");
        let (sealed, exporter) = seal(rng, &ours, JOB_PAYLOAD, b"header", b"record").expect("a good key");

        let encapsulation = <XWing as ::hpke::Kem>::EncappedKey::from_bytes(&sealed.encapsulation.0[..])
            .expect("well formed");
        let mut theirs = ::hpke::setup_receiver::<AesGcm256, HkdfSha256, XWing>(
            &OpModeR::Base,
            &private,
            &encapsulation,
            JOB_PAYLOAD.0.as_bytes(),
        )
        .expect("decapsulates");
        assert_eq!(theirs.open(&sealed.ciphertext, b"header").expect("opens"), b"record");

        let mut exported = [0; 32];
        theirs.export(JOB_REPLY.0.as_bytes(), &mut exported).expect("exports");
        assert_eq!(exporter.export(JOB_REPLY), Secret::new(exported));
    }

    #[test]
    fn we_open_what_the_hpke_crate_seals() {
        let rng = &mut rng();
        let pair = JobKeyPair::generate(rng);
        let private = <XWing as ::hpke::Kem>::PrivateKey::from_bytes(pair.seed().expose()).expect("a seed");
        assert_eq!(XWing::sk_to_pk(&private).to_bytes()[..], pair.public().as_bytes()[..]);

        let public = XWing::sk_to_pk(&private);
        let (encapsulation, mut theirs) = ::hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, XWing>(
            &OpModeS::Base,
            &public,
            JOB_PAYLOAD.0.as_bytes(),
            rng,
        )
        .expect("encapsulates");
        let sealed = Sealed {
            encapsulation: Encapsulation(Box::new(encapsulation.to_bytes().into())),
            ciphertext: theirs.seal(b"record", b"header").expect("seals"),
        };
        let (plaintext, exporter) = pair.open(JOB_PAYLOAD, b"header", &sealed).expect("opens");
        assert_eq!(plaintext.expose(), b"record");

        let mut exported = [0; 32];
        theirs.export(JOB_REPLY.0.as_bytes(), &mut exported).expect("exports");
        assert_eq!(exporter.export(JOB_REPLY), Secret::new(exported));
    }

    #[test]
    fn an_envelope_opens_only_with_its_key_label_and_associated_data() {
        let rng = &mut rng();
        let (alice, mallory) = (JobKeyPair::generate(rng), JobKeyPair::generate(rng));
        let (sealed, _) = seal(rng, alice.public(), JOB_PAYLOAD, b"header", b"record").expect("a good key");
        let refused = |pair: &JobKeyPair, label, aad: &[u8], sealed: &Sealed| {
            let error = pair.open(label, aad, sealed).expect_err("must be refused");
            assert_eq!((error, error.code()), (EnvelopeError::DoesNotOpen, "E-KEY-02"));
        };
        assert_eq!(alice.open(JOB_PAYLOAD, b"header", &sealed).expect("opens").0.expose(), b"record");
        refused(&mallory, JOB_PAYLOAD, b"header", &sealed);
        refused(&alice, POLICY, b"header", &sealed);
        refused(&alice, JOB_PAYLOAD, b"other", &sealed);
        for position in [0, 500, 1087, 1088, 1119] {
            let mut wrong = sealed.clone();
            wrong.encapsulation.0[position] ^= 1;
            refused(&alice, JOB_PAYLOAD, b"header", &wrong);
        }
        let mut wrong = sealed.clone();
        wrong.encapsulation.0[1088..].fill(0);
        refused(&alice, JOB_PAYLOAD, b"header", &wrong);
        wrong = sealed;
        wrong.ciphertext.truncate(15);
        refused(&alice, JOB_PAYLOAD, b"header", &wrong);
    }

    #[test]
    fn a_reply_opens_at_the_other_end_and_nowhere_else() {
        let rng = &mut rng();
        let pair = JobKeyPair::generate(rng);
        let (sealed, ours) = seal(rng, pair.public(), JOB_PAYLOAD, b"", b"record").expect("a good key");
        let (_, theirs) = pair.open(JOB_PAYLOAD, b"", &sealed).expect("opens");

        let reply = theirs.reply_key(JOB_REPLY).seal(rng, b"output", b"benign");
        assert_eq!(reply.len(), b"benign".len() + REPLY_OVERHEAD);
        let key = ours.reply_key(JOB_REPLY);
        assert_eq!(key.open(b"output", &reply).expect("opens").expose(), b"benign");
        let restored = ReplyKey::from_secret(key.secret().duplicate());
        assert_eq!(restored.open(b"output", &reply).expect("opens").expose(), b"benign");

        let error = key.open(b"other", &reply).expect_err("other associated data");
        assert_eq!((error, error.code()), (EnvelopeError::ReplyDoesNotOpen, "E-KEY-03"));
        assert_eq!(ours.reply_key(POLICY).open(b"output", &reply), Err(EnvelopeError::ReplyDoesNotOpen));
        for byte in 0..reply.len() {
            let mut wrong = reply.clone();
            wrong[byte] ^= 1;
            assert_eq!(key.open(b"output", &wrong), Err(EnvelopeError::ReplyDoesNotOpen));
            assert_eq!(key.open(b"output", &reply[..byte]), Err(EnvelopeError::ReplyDoesNotOpen));
        }
    }

    #[test]
    fn the_same_reply_twice_shares_no_bytes() {
        let rng = &mut rng();
        let key = ReplyKey::from_secret(Secret::new([1; 32]));
        let (first, second) = (key.seal(rng, b"", &[0; 64]), key.seal(rng, b"", &[0; 64]));
        assert_ne!(first[..32], second[..32], "the salt is fresh");
        assert_ne!(first[32..], second[32..]);
    }

    #[test]
    fn only_reduced_keys_of_the_right_length_are_keys() {
        let pair = JobKeyPair::from_seed(Secret::new([1; 32]));
        let bytes = canonical::encode(pair.public());
        assert_eq!(canonical::decode::<JobPublicKey>(&bytes, 2048).as_ref(), Ok(pair.public()));

        let mut unreduced = *pair.public().as_bytes();
        unreduced[..3].fill(0xff); // two coefficients of 4,095, above q = 3,329
        let error = JobPublicKey::from_bytes(&unreduced).expect_err("not reduced");
        assert_eq!((error, error.code()), (EnvelopeError::BadPublicKey, "E-KEY-01"));
        assert_eq!(JobPublicKey::from_bytes(&unreduced[1..]), Err(EnvelopeError::BadPublicKey));

        let mut small_order = *pair.public().as_bytes();
        small_order[1184..].fill(0);
        let key = JobPublicKey::from_bytes(&small_order).expect("every 32 bytes are a point");
        assert_eq!(
            seal(&mut rng(), &key, JOB_PAYLOAD, b"", b"").map(|_| ()),
            Err(EnvelopeError::BadPublicKey)
        );
    }
}
