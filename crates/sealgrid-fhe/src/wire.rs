//! The bytes of keys and ciphertexts.
//!
//! Every format begins with a kind and a version. Public ones are canonical CBOR ([`sealgrid_seal::canonical`]): one spelling a
//! value, nothing behind it, lengths compared with their limits before anything is allocated for them. Residues are packed
//! at the length of their prime, so 50 bits take 50. A secret key is its coefficients at two bits each, in memory that is wiped.
//!
//! Reading any bytes gives a value or a [`WireError`]; what was read is written to the same bytes.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use sealgrid_graph::model::ModelCommitment;
use sealgrid_seal::canonical::{self, NotCanonical};
use sealgrid_seal::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::linear::{EncryptedOutput, EncryptedRecords, EncryptedSums, OUTPUTS_MAX, Shape, Width};
use crate::model::{BATCH_SUMS_BYTES_MAX, PARTS_MAX, RecordsBatch, SumsBatch};
use crate::parameters::{ParameterError, ParameterSet, Parameters};
use crate::ring::{Basis, Modulus, Polynomial};
use crate::rlwe::{KeyId, SecretKey};

/// The version of every format here.
pub(crate) const VERSION: u8 = 1;

/// Most bytes of encrypted records: a full ciphertext of 2^11 residues of 50 bits is 12,800, and a header.
pub const RECORDS_BYTES_MAX: usize = 16 << 10;

/// Most bytes of encrypted sums: [`OUTPUTS_MAX`] times a mask of 12,800 bytes and as many bodies at most.
pub const SUMS_BYTES_MAX: usize = OUTPUTS_MAX * (26 << 10);

/// Most items of encrypted records: an array and its nine elements.
const RECORDS_ITEMS_MAX: usize = 10;

/// Most items of encrypted sums: an array, its seven elements, and three an output.
const SUMS_ITEMS_MAX: usize = 8 + 3 * OUTPUTS_MAX;

/// Most items of a batch: an array, its five elements, and the ciphertexts.
const BATCH_ITEMS_MAX: usize = 6 + PARTS_MAX;

/// Most bytes of a batch of encrypted records: [`PARTS_MAX`] ciphertexts, and a header.
pub const BATCH_RECORDS_BYTES_MAX: usize = (PARTS_MAX + 1) * RECORDS_BYTES_MAX;

/// Separates the digests of batches from all others.
const BATCH: &str = "sealgrid/fhe/batch/v1";

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Records = 1,
    Sums = 2,
    SecretKey = 3,
    Fresh = 4,
    Ciphertext = 5,
    EvaluationKeys = 6,
    RecordsBatch = 7,
    SumsBatch = 8,
}

/// Why bytes are not a key or a ciphertext.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// Not the canonical form of anything.
    #[error("E-FHE-20: not a key or ciphertext: {0}")]
    NotCanonical(#[from] NotCanonical),
    /// Another kind or version of file.
    #[error("E-FHE-21: kind {kind} of version {version} was found where another was expected")]
    OtherKind {
        /// What it says it is.
        kind: u8,
        /// Of which version.
        version: u8,
    },
    /// A parameter set that this program does not know.
    #[error(transparent)]
    Parameters(#[from] ParameterError),
    /// Its parts do not fit together.
    #[error("E-FHE-22: the parts of a key or ciphertext do not fit together")]
    Inconsistent,
    /// The content is not what the digest behind it was made of.
    #[error("E-FHE-23: the content is not what was written: its digest differs")]
    Changed,
}

#[derive(Encode, Decode)]
struct RecordsWire {
    #[n(0)]
    kind: u8,
    #[n(1)]
    version: u8,
    #[n(2)]
    set: u16,
    #[n(3)]
    key: KeyId,
    #[n(4)]
    features: u32,
    /// 8 or 16.
    #[n(5)]
    width: u8,
    #[n(6)]
    records: u32,
    #[n(7)]
    seed: ByteVec,
    #[n(8)]
    body: ByteVec,
}

#[derive(Encode, Decode)]
struct SumsWire {
    #[n(0)]
    kind: u8,
    #[n(1)]
    version: u8,
    #[n(2)]
    set: u16,
    #[n(3)]
    key: KeyId,
    #[n(4)]
    features: u32,
    #[n(5)]
    records: u32,
    #[n(6)]
    outputs: Vec<OutputWire>,
}

#[derive(Encode, Decode)]
struct OutputWire {
    #[n(0)]
    mask: ByteVec,
    #[n(1)]
    body: ByteVec,
}

/// Ciphertexts of one model, one behind the other. The digest finds what storage and transport changed, no liar.
#[derive(Encode, Decode)]
struct BatchWire {
    #[n(0)]
    kind: u8,
    #[n(1)]
    version: u8,
    #[n(2)]
    model: ModelCommitment,
    #[n(3)]
    parts: Vec<ByteVec>,
    #[n(4)]
    digest: ByteVec,
}

impl BatchWire {
    fn bytes(kind: Kind, model: ModelCommitment, parts: Vec<ByteVec>) -> Vec<u8> {
        let kind = kind as u8;
        let mut wire = Self { kind, version: VERSION, model, parts, digest: Vec::new().into() };
        wire.digest = wire.digested().to_vec().into();
        canonical::encode(&wire)
    }

    fn read(kind: Kind, bytes: &[u8], limit: usize) -> Result<Self, WireError> {
        if let Some(other) = other_kind(kind, bytes) {
            return Err(other);
        }
        let wire: Self = decode(bytes, limit, BATCH_ITEMS_MAX)?;
        expect(kind, wire.kind, wire.version)?;
        if wire.digest[..] != wire.digested() {
            return Err(WireError::Changed);
        }
        if !(1..=PARTS_MAX).contains(&wire.parts.len()) {
            return Err(WireError::Inconsistent);
        }
        Ok(wire)
    }

    /// The ciphertexts, which are alike in what `of` yields.
    fn parts<T, K: PartialEq>(
        &self,
        read: impl Fn(&[u8]) -> Result<T, WireError>,
        of: impl Fn(&T) -> K,
    ) -> Result<Vec<T>, WireError> {
        let parts = self.parts.iter().map(|part| read(part)).collect::<Result<Vec<_>, _>>()?;
        let alike = parts.windows(2).all(|pair| of(&pair[0]) == of(&pair[1]));
        if alike { Ok(parts) } else { Err(WireError::Inconsistent) }
    }

    /// Of everything before the digest.
    fn digested(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(BATCH);
        hasher.update(&[self.kind, self.version]).update(&self.model.0.0);
        for part in &self.parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        *hasher.finalize().as_bytes()
    }
}

/// Files of this crate that were taken for one another are told by their first bytes: an array, and in it a small kind and version.
fn other_kind(expected: Kind, bytes: &[u8]) -> Option<WireError> {
    let (kind, version) = match *bytes {
        [0x80..=0x97, kind @ 1..=8, version @ 1..=23, ..] => (kind, version),
        [3, version @ 1..=23, ..] => (3, version),
        _ => return None,
    };
    expect(expected, kind, version).err()
}

impl RecordsBatch {
    /// The batch as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let parts = self.parts.iter().map(|part| part.to_bytes().into()).collect();
        BatchWire::bytes(Kind::RecordsBatch, self.model, parts)
    }

    /// Reads a batch.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are not the one spelling of a value within its limits.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let wire = BatchWire::read(Kind::RecordsBatch, bytes, BATCH_RECORDS_BYTES_MAX)?;
        let parts = wire.parts(EncryptedRecords::from_bytes, |part| (part.set, part.key, part.shape))?;
        Ok(Self { model: wire.model, parts })
    }
}

impl SumsBatch {
    /// The batch as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let parts = self.parts.iter().map(|part| part.to_bytes().into()).collect();
        BatchWire::bytes(Kind::SumsBatch, self.model, parts)
    }

    /// Reads a batch.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are not the one spelling of a value within its limits.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let wire = BatchWire::read(Kind::SumsBatch, bytes, BATCH_SUMS_BYTES_MAX)?;
        let shape = |part: &EncryptedSums| (part.set, part.key, part.features, part.outputs.len());
        let parts = wire.parts(EncryptedSums::from_bytes, shape)?;
        Ok(Self { model: wire.model, parts })
    }
}

impl EncryptedRecords {
    /// The records as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let q = prime(self.set);
        canonical::encode(&RecordsWire {
            kind: Kind::Records as u8,
            version: VERSION,
            set: self.set.number(),
            key: self.key,
            features: count(self.shape.features),
            width: match self.shape.width {
                Width::I8 => 8,
                Width::I16 => 16,
            },
            records: count(self.records()),
            seed: self.seed.to_vec().into(),
            body: pack(&self.body, q).into(),
        })
    }

    /// Reads records.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are not the one spelling of a value within its limits.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let wire: RecordsWire = decode(bytes, RECORDS_BYTES_MAX, RECORDS_ITEMS_MAX)?;
        expect(Kind::Records, wire.kind, wire.version)?;
        let set = ParameterSet::of_number(wire.set)?;
        let width = match wire.width {
            8 => Width::I8,
            16 => Width::I16,
            _ => return Err(WireError::Inconsistent),
        };
        let shape = Shape { features: wire.features as usize, width };
        let body = residues(&wire.body, set, shape, wire.records, wire.features)?;
        let seed = wire.seed.as_slice().try_into().map_err(|_| WireError::Inconsistent)?;
        Ok(Self { set, key: wire.key, shape, seed, body })
    }
}

impl EncryptedSums {
    /// The sums as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let q = prime(self.set);
        let output = |output: &EncryptedOutput| OutputWire {
            mask: pack(output.mask.row(0), q).into(),
            body: pack(&output.body, q).into(),
        };
        canonical::encode(&SumsWire {
            kind: Kind::Sums as u8,
            version: VERSION,
            set: self.set.number(),
            key: self.key,
            features: count(self.features),
            records: count(self.records),
            outputs: self.outputs.iter().map(output).collect(),
        })
    }

    /// Reads sums.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are not the one spelling of a value within its limits.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let wire: SumsWire = decode(bytes, SUMS_BYTES_MAX, SUMS_ITEMS_MAX)?;
        expect(Kind::Sums, wire.kind, wire.version)?;
        let set = ParameterSet::of_number(wire.set)?;
        // The width is the records' affair: sums are of 32 bits.
        let shape = Shape { features: wire.features as usize, width: Width::I8 };
        if !(1..=OUTPUTS_MAX).contains(&wire.outputs.len()) {
            return Err(WireError::Inconsistent);
        }
        let output = |output: &OutputWire| {
            let body = residues(&output.body, set, shape, wire.records, 1)?;
            let mut mask = Polynomial::zero(set.degree(), Basis::chain(1));
            let row = unpack(&output.mask, set.degree().get(), prime(set)).ok_or(WireError::Inconsistent)?;
            mask.row_mut(0).copy_from_slice(&row);
            Ok(EncryptedOutput { mask, body })
        };
        let outputs = wire.outputs.iter().map(output).collect::<Result<_, WireError>>()?;
        Ok(Self { set, key: wire.key, features: shape.features, records: wire.records as usize, outputs })
    }
}

impl SecretKey {
    /// The key as bytes, for a key store: kind, version, number of the parameter set, two bits a coefficient.
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        let coefficients = self.expose();
        let mut bytes = SecretBytes::zeroed(HEADER + coefficients.len() / 4);
        let (header, packed) = bytes.expose_mut().split_at_mut(HEADER);
        header.copy_from_slice(&key_header(self.parameters().set()));
        for (byte, four) in packed.iter_mut().zip(coefficients.as_chunks::<4>().0) {
            let codes = four.map(|coefficient| (coefficient + 1).to_le_bytes()[0]);
            *byte = codes[0] | codes[1] << 2 | codes[2] << 4 | codes[3] << 6;
        }
        bytes
    }

    /// Reads a key of the given parameters.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are not a key, or one of other parameters.
    pub fn from_secret_bytes(parameters: &Parameters, bytes: &SecretBytes) -> Result<Self, WireError> {
        let degree = parameters.ring().degree().get();
        let Some((header, packed)) = bytes.expose().split_first_chunk::<HEADER>() else {
            return Err(WireError::Inconsistent);
        };
        expect(Kind::SecretKey, header[0], header[1])?;
        if *header != key_header(parameters.set()) || packed.len() != degree / 4 {
            return Err(WireError::Inconsistent);
        }
        let mut coefficients = Zeroizing::new(Vec::with_capacity(degree));
        let codes = packed.iter().flat_map(|byte| [0, 2, 4, 6].map(|shift| byte >> shift & 3));
        coefficients.extend(codes.map(|code| i64::from(code) - 1));
        // Every coefficient is looked at, so that the time tells nothing of where the first wrong one is.
        let wrong = coefficients.iter().fold(0, |wrong, &coefficient| wrong | i64::from(coefficient > 1));
        if wrong != 0 {
            return Err(WireError::Inconsistent);
        }
        Ok(Self::of_coefficients(parameters, coefficients))
    }
}

/// Bytes before the coefficients of a secret key.
const HEADER: usize = 4;

fn key_header(set: ParameterSet) -> [u8; HEADER] {
    let [low, high] = set.number().to_le_bytes();
    [Kind::SecretKey as u8, VERSION, low, high]
}

/// Reads a value of at most so many bytes and CBOR items from its canonical bytes.
///
/// Of an item of one byte a list makes an element of 24 to 48 in memory, so items are counted before anything is made of them.
pub(crate) fn decode<T>(bytes: &[u8], bytes_max: usize, items_max: usize) -> Result<T, NotCanonical>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    if bytes.len() <= bytes_max {
        bounded(bytes, items_max)?;
    }
    canonical::decode(bytes, bytes_max)
}

/// Refuses bytes of more items, and items that are in no format here: all are integers, byte strings and arrays whose length is stated.
fn bounded(bytes: &[u8], items_max: usize) -> Result<(), NotCanonical> {
    let (mut rest, mut items) = (bytes, 0);
    while let Some((&first, behind)) = rest.split_first() {
        let malformed = NotCanonical::Malformed { position: bytes.len() - rest.len() };
        let (major, short) = (first >> 5, first & 0x1f);
        let argument_length = match short {
            0..24 => 0,
            24..28 => 1 << (short - 24),
            _ => return Err(malformed),
        };
        let (argument, behind) = behind.split_at_checked(argument_length).ok_or(malformed)?;
        let argument = if argument.is_empty() {
            u64::from(short)
        } else {
            argument.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
        };
        let content = match major {
            0 | 4 => 0,
            2 => usize::try_from(argument).map_err(|_| malformed)?,
            _ => return Err(malformed),
        };
        items += 1;
        if items > items_max {
            return Err(malformed);
        }
        rest = behind.get(content..).ok_or(malformed)?;
    }
    Ok(())
}

pub(crate) fn expect(expected: Kind, kind: u8, version: u8) -> Result<(), WireError> {
    if kind != expected as u8 || version != VERSION {
        return Err(WireError::OtherKind { kind, version });
    }
    Ok(())
}

/// `records · each` residues, where that many records of the shape fit a ciphertext.
fn residues(
    bytes: &[u8],
    set: ParameterSet,
    shape: Shape,
    records: u32,
    each: u32,
) -> Result<Vec<u64>, WireError> {
    let limit = shape.records_max(set).map_err(|_| WireError::Inconsistent)?;
    if records == 0 || records as usize > limit {
        return Err(WireError::Inconsistent);
    }
    unpack(bytes, records as usize * each as usize, prime(set)).ok_or(WireError::Inconsistent)
}

/// The prime of a set for linear layers.
fn prime(set: ParameterSet) -> Modulus {
    set.first_prime()
}

fn count(count: usize) -> u32 {
    u32::try_from(count).expect("counts are at most a degree")
}

/// Residues at the length of their prime, lowest bits first; the last byte is filled with zeros.
pub(crate) fn pack(residues: &[u64], q: Modulus) -> Vec<u8> {
    let width = q.bits();
    let mut bytes = Vec::with_capacity(packed_length(residues.len(), q));
    let (mut waiting, mut bits) = (0_u128, 0);
    for &residue in residues {
        waiting |= u128::from(residue) << bits;
        bits += width;
        while bits >= 8 {
            bytes.push(waiting.to_le_bytes()[0]);
            waiting >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        bytes.push(waiting.to_le_bytes()[0]);
    }
    bytes
}

/// `None` when the length is not that of `count` residues, one is not below `q`, or the filling is not zero.
pub(crate) fn unpack(bytes: &[u8], count: usize, q: Modulus) -> Option<Vec<u64>> {
    if bytes.len() != packed_length(count, q) {
        return None;
    }
    let width = q.bits();
    let mut residues = Vec::with_capacity(count);
    let (mut waiting, mut bits) = (0_u128, 0);
    for &byte in bytes {
        waiting |= u128::from(byte) << bits;
        bits += 8;
        if bits >= width {
            let residue = u64::try_from(waiting & ((1 << width) - 1)).expect("at most 50 bits");
            if residue >= q.value() {
                return None;
            }
            residues.push(residue);
            waiting >>= width;
            bits -= width;
        }
    }
    (waiting == 0 && residues.len() == count).then_some(residues)
}

fn packed_length(count: usize, q: Modulus) -> usize {
    (count * q.bits() as usize).div_ceil(8)
}

#[doc(hidden)]
pub mod fuzz;

#[cfg(test)]
mod vectors;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::linear::{self, Layer};
    use crate::ring::Degree;

    fn parameters() -> Parameters {
        Parameters::new(ParameterSet::LINEAR_1).expect("a published set")
    }

    /// A key, two records of three features and the sums of two outputs over them.
    fn sample() -> (SecretKey, EncryptedRecords, EncryptedSums) {
        let (parameters, rng) = (parameters(), &mut ChaCha20Rng::seed_from_u64(8));
        let key = SecretKey::generate(&parameters, rng);
        let shape = Shape { features: 3, width: Width::I8 };
        let records = linear::encrypt(&key, shape, &[&[1, -2, 3], &[4, 5, -6]], rng).expect("they fit");
        let layer = Layer::new(&parameters, shape, &[&[7, 8, 9], &[1, 0, 0]], &[1, 2]).expect("exact");
        let sums = layer.evaluate(&records).expect("the same shape");
        (key, records, sums)
    }

    #[test]
    fn what_is_written_is_read_and_still_decrypts() {
        let (key, records, sums) = sample();
        assert_eq!(EncryptedRecords::from_bytes(&records.to_bytes()), Ok(records));
        let read = EncryptedSums::from_bytes(&sums.to_bytes()).expect("what was written");
        assert!(read == sums);
        let key_read = SecretKey::from_secret_bytes(&parameters(), &key.to_secret_bytes()).expect("a key");
        assert_eq!(key_read.id(), key.id());
        assert_eq!(
            linear::decrypt(&key_read, &read),
            Ok(vec![vec![7 - 16 + 27 + 1, 3], vec![28 + 40 - 54 + 1, 6]])
        );
    }

    #[test]
    fn one_record_of_thirty_features_takes_as_many_bytes_as_documented() {
        let (parameters, rng) = (parameters(), &mut ChaCha20Rng::seed_from_u64(9));
        let key = SecretKey::generate(&parameters, rng);
        let shape = Shape { features: 30, width: Width::I8 };
        let records = linear::encrypt(&key, shape, &[&[1; 30]], rng).expect("they fit");
        assert_eq!(records.to_bytes().len(), 249);
        let layer = Layer::new(&parameters, shape, &[&[1; 30]], &[0]).expect("exact");
        assert_eq!(layer.evaluate(&records).expect("the same shape").to_bytes().len(), 12_837);
        assert_eq!(key.to_secret_bytes().len(), 516);
    }

    #[test]
    fn every_truncation_is_refused() {
        let (key, records, sums) = sample();
        let bytes = records.to_bytes();
        assert!((0..bytes.len()).all(|length| EncryptedRecords::from_bytes(&bytes[..length]).is_err()));
        let bytes = sums.to_bytes();
        assert!(
            (0..bytes.len()).step_by(97).all(|length| EncryptedSums::from_bytes(&bytes[..length]).is_err())
        );
        let bytes = key.to_secret_bytes();
        for length in 0..bytes.len() {
            let cut = SecretBytes::new(bytes.expose()[..length].to_vec());
            assert!(SecretKey::from_secret_bytes(&parameters(), &cut).is_err());
        }
    }

    #[test]
    fn each_fault_has_its_code() {
        let (_, records, sums) = sample();
        let code = |bytes: &[u8]| {
            EncryptedRecords::from_bytes(bytes).expect_err("refused").to_string()[..8].to_owned()
        };
        let changed = |change: &dyn Fn(&mut RecordsWire)| {
            let mut wire: RecordsWire = canonical::decode(&records.to_bytes(), 1 << 16).expect("canonical");
            change(&mut wire);
            code(&canonical::encode(&wire))
        };
        assert_eq!(code(&[]), "E-FHE-20");
        assert_eq!(code(&[0; RECORDS_BYTES_MAX + 1]), "E-FHE-20");
        assert_eq!(code(&sums.to_bytes()), "E-FHE-20");
        assert_eq!(changed(&|wire| wire.version = 2), "E-FHE-21");
        assert_eq!(changed(&|wire| wire.kind = 2), "E-FHE-21");
        assert_eq!(changed(&|wire| wire.set = 99), "E-FHE-01");
        assert_eq!(changed(&|wire| wire.width = 9), "E-FHE-22");
        assert_eq!(changed(&|wire| wire.features = 0), "E-FHE-22");
        assert_eq!(changed(&|wire| wire.features = u32::MAX), "E-FHE-22");
        assert_eq!(changed(&|wire| wire.records = u32::MAX), "E-FHE-22");
        assert_eq!(changed(&|wire| wire.seed.push(0)), "E-FHE-22");
        assert_eq!(changed(&|wire| wire.body.push(0)), "E-FHE-22");
        assert_eq!(changed(&|wire| wire.body[..7].fill(0xff)), "E-FHE-22", "a residue that is none");
        assert_eq!(changed(&|wire| *wire.body.last_mut().expect("bytes") |= 0x80), "E-FHE-22", "filling");
    }

    #[test]
    fn lists_longer_than_any_format_has_are_refused_before_they_are_read() {
        let empty = |outputs: usize| {
            let output = || OutputWire { mask: Vec::new().into(), body: Vec::new().into() };
            canonical::encode(&SumsWire {
                kind: Kind::Sums as u8,
                version: VERSION,
                set: 1,
                key: sample().0.id(),
                features: 1,
                records: 1,
                outputs: (0..outputs).map(|_| output()).collect(),
            })
        };
        let refused = |bytes: &[u8]| EncryptedSums::from_bytes(bytes).err().expect("refused");
        assert_eq!(refused(&empty(OUTPUTS_MAX)), WireError::Inconsistent, "what they say is looked at");
        let malformed = |error| matches!(error, WireError::NotCanonical(NotCanonical::Malformed { .. }));
        assert!(malformed(refused(&empty(OUTPUTS_MAX + 1))));
        // Lists that do not say how long they are, strings beyond the end, items of other types.
        for bytes in
            [&[0x9f, 0xff][..], &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[0x19, 1], &[0xf6]]
        {
            assert!(malformed(refused(bytes)), "{bytes:x?}");
        }
    }

    #[test]
    fn a_key_with_a_coefficient_that_is_none_is_refused() {
        let (key, _, _) = sample();
        for (index, value) in [(0, 1), (1, 2), (2, 9), (4, 0xff), (515, 0xff)] {
            let mut bytes = SecretBytes::new(key.to_secret_bytes().expose().to_vec());
            bytes.expose_mut()[index] = value;
            assert!(SecretKey::from_secret_bytes(&parameters(), &bytes).is_err(), "byte {index}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn arbitrary_bytes_are_refused_or_written_back_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(read) = EncryptedRecords::from_bytes(&bytes) {
                prop_assert_eq!(read.to_bytes(), &bytes[..]);
            }
            prop_assert!(EncryptedSums::from_bytes(&bytes).is_err());
            prop_assert!(SecretKey::from_secret_bytes(&parameters(), &SecretBytes::new(bytes)).is_err());
        }

        #[test]
        fn a_changed_byte_is_refused_or_written_back_the_same(at: prop::sample::Index, value: u8) {
            let (_, records, sums) = sample();
            let mut bytes = records.to_bytes();
            *at.get_mut(&mut bytes) = value;
            if let Ok(read) = EncryptedRecords::from_bytes(&bytes) {
                prop_assert_eq!(read.to_bytes(), bytes);
            }
            let mut bytes = sums.to_bytes();
            *at.get_mut(&mut bytes) = value;
            if let Ok(read) = EncryptedSums::from_bytes(&bytes) {
                prop_assert_eq!(read.to_bytes(), bytes);
            }
        }

        #[test]
        fn packing_is_undone(values in proptest::collection::vec(any::<u64>(), 0..40), bits in 20_u32..=50) {
            let q = Modulus::largest(bits, Degree::MIN, 0).expect("exists");
            let residues: Vec<u64> = values.iter().map(|value| value % q.value()).collect();
            prop_assert_eq!(unpack(&pack(&residues, q), residues.len(), q), Some(residues));
        }
    }
}
