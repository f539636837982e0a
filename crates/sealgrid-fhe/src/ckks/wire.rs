//! The bytes of ciphertexts of slots and of evaluation keys: see [`crate::wire`], whose rules hold here, too.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use sealgrid_seal::canonical;

use super::keys::SwitchingKey;
use super::{Ciphertext, EvaluationKeys, FreshCiphertext, Operation};
use crate::parameters::{Parameters, Scheme};
use crate::ring::{Basis, Polynomial, Ring, Values};
use crate::rlwe::KeyId;
use crate::sampling::Seed;
use crate::wire::{Kind, VERSION, WireError, decode, expect, pack, unpack};

/// Most bytes of a ciphertext: two times four rows of 2^13 residues of at most 49 bits, and a header.
pub const CIPHERTEXT_BYTES_MAX: usize = 512 << 10;

/// Most keys of an evaluator.
pub const KEYS_MAX: usize = 256;

/// Most bytes of evaluation keys: each four digits of five rows of 49 KiB.
pub const KEYS_BYTES_MAX: usize = KEYS_MAX << 20;

/// Most rows of a polynomial: four primes and the special one.
const ROWS_MAX: usize = 5;

/// Most items of a ciphertext: an array, its seven elements, and the rows of two polynomials.
const CIPHERTEXT_ITEMS_MAX: usize = 8 + 2 * ROWS_MAX;

/// Most items of evaluation keys: an array and its five elements; of each key an array, a number and an array of four digits, each an
/// array, a seed and an array of rows.
const KEYS_ITEMS_MAX: usize = 6 + KEYS_MAX * (3 + 4 * (3 + ROWS_MAX));

/// The rows of a polynomial, each packed at the length of its prime.
type Rows = Vec<ByteVec>;

#[derive(Encode, Decode)]
struct FreshWire {
    #[n(0)]
    kind: u8,
    #[n(1)]
    version: u8,
    #[n(2)]
    set: u16,
    #[n(3)]
    key: KeyId,
    /// The bits of a double.
    #[n(4)]
    scale: u64,
    #[n(5)]
    seed: ByteVec,
    #[n(6)]
    b: Rows,
}

#[derive(Encode, Decode)]
struct CiphertextWire {
    #[n(0)]
    kind: u8,
    #[n(1)]
    version: u8,
    #[n(2)]
    set: u16,
    #[n(3)]
    key: KeyId,
    #[n(4)]
    scale: u64,
    #[n(5)]
    b: Rows,
    #[n(6)]
    a: Rows,
}

#[derive(Encode, Decode)]
struct KeysWire {
    #[n(0)]
    kind: u8,
    #[n(1)]
    version: u8,
    #[n(2)]
    set: u16,
    #[n(3)]
    key: KeyId,
    #[n(4)]
    keys: Vec<KeyWire>,
}

#[derive(Encode, Decode)]
struct KeyWire {
    /// 0 for products.
    #[n(0)]
    rotation: u32,
    #[n(1)]
    digits: Vec<DigitWire>,
}

#[derive(Encode, Decode)]
struct DigitWire {
    #[n(0)]
    seed: ByteVec,
    #[n(1)]
    b: Rows,
}

impl FreshCiphertext {
    /// The ciphertext as bytes.
    ///
    /// # Errors
    /// [`WireError::Inconsistent`] when the parameters are not its own.
    pub fn to_bytes(&self, parameters: &Parameters) -> Result<Vec<u8>, WireError> {
        own(parameters, self.set.number())?;
        Ok(canonical::encode(&FreshWire {
            kind: Kind::Fresh as u8,
            version: VERSION,
            set: self.set.number(),
            key: self.key,
            scale: self.scale.to_bits(),
            seed: self.seed.to_vec().into(),
            b: packed(parameters.ring(), &self.b),
        }))
    }

    /// Reads a fresh ciphertext of the given parameters.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are not the one spelling of a value within its limits.
    pub fn from_bytes(parameters: &Parameters, bytes: &[u8]) -> Result<Self, WireError> {
        let wire: FreshWire = decode(bytes, CIPHERTEXT_BYTES_MAX, CIPHERTEXT_ITEMS_MAX)?;
        expect(Kind::Fresh, wire.kind, wire.version)?;
        own(parameters, wire.set)?;
        let ring = parameters.ring();
        let b = unpacked(ring, &wire.b, ring.chain())?;
        let (scale, seed) = (scale(wire.scale)?, seed(&wire.seed)?);
        Ok(Self { set: parameters.set(), key: wire.key, scale, seed, b })
    }
}

impl Ciphertext {
    /// The ciphertext as bytes: the fewer primes are left, the fewer.
    ///
    /// # Errors
    /// [`WireError::Inconsistent`] when the parameters are not its own.
    pub fn to_bytes(&self, parameters: &Parameters) -> Result<Vec<u8>, WireError> {
        own(parameters, self.set.number())?;
        let [b, a] = self.parts.each_ref().map(|part| packed(parameters.ring(), part));
        Ok(canonical::encode(&CiphertextWire {
            kind: Kind::Ciphertext as u8,
            version: VERSION,
            set: self.set.number(),
            key: self.key,
            scale: self.scale.to_bits(),
            b,
            a,
        }))
    }

    /// Reads a ciphertext of the given parameters.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are not the one spelling of a value within its limits.
    pub fn from_bytes(parameters: &Parameters, bytes: &[u8]) -> Result<Self, WireError> {
        let wire: CiphertextWire = decode(bytes, CIPHERTEXT_BYTES_MAX, CIPHERTEXT_ITEMS_MAX)?;
        expect(Kind::Ciphertext, wire.kind, wire.version)?;
        own(parameters, wire.set)?;
        let ring = parameters.ring();
        if !(1..=ring.chain().primes).contains(&wire.b.len()) {
            return Err(WireError::Inconsistent);
        }
        let basis = Basis::chain(wire.b.len());
        let parts = [unpacked(ring, &wire.b, basis)?, unpacked(ring, &wire.a, basis)?];
        Ok(Self { set: parameters.set(), key: wire.key, scale: scale(wire.scale)?, parts })
    }
}

impl EvaluationKeys {
    /// The keys as bytes: halves that come from seeds are seeds.
    ///
    /// # Errors
    /// [`WireError::Inconsistent`] when the parameters are not their own, or there are more than [`KEYS_MAX`] keys.
    pub fn to_bytes(&self, parameters: &Parameters) -> Result<Vec<u8>, WireError> {
        own(parameters, self.set.number())?;
        if self.keys.len() > KEYS_MAX {
            return Err(WireError::Inconsistent);
        }
        let ring = parameters.ring();
        let digit = |(seed, [b, _]): (&Seed, &[Polynomial<Values>; 2])| DigitWire {
            seed: seed.to_vec().into(),
            b: packed(ring, b),
        };
        let key = |(operation, key): (&Operation, &SwitchingKey)| KeyWire {
            rotation: match operation {
                Operation::Product => 0,
                Operation::Rotation(by) => u32::try_from(*by).expect("below the slots"),
            },
            digits: key.seeds.iter().zip(&key.digits).map(digit).collect(),
        };
        Ok(canonical::encode(&KeysWire {
            kind: Kind::EvaluationKeys as u8,
            version: VERSION,
            set: self.set.number(),
            key: self.key,
            keys: self.keys.iter().map(key).collect(),
        }))
    }

    /// Reads keys of the given parameters: the one for products first, then rotations in ascending order.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are not the one spelling of a value within its limits.
    pub fn from_bytes(parameters: &Parameters, bytes: &[u8]) -> Result<Self, WireError> {
        let wire: KeysWire = decode(bytes, KEYS_BYTES_MAX, KEYS_ITEMS_MAX)?;
        expect(Kind::EvaluationKeys, wire.kind, wire.version)?;
        own(parameters, wire.set)?;
        let ring = parameters.ring();
        let slots = ring.degree().get() / 2;
        let ascend = wire.keys.is_sorted_by(|a, b| a.rotation < b.rotation);
        let first = wire.keys.first().is_some_and(|key| key.rotation == 0);
        let inside = wire.keys.iter().all(|key| (key.rotation as usize) < slots);
        if !(ascend && first && inside && wire.keys.len() <= KEYS_MAX) {
            return Err(WireError::Inconsistent);
        }
        let read = |wire: &KeyWire| {
            if wire.digits.len() != ring.chain().primes {
                return Err(WireError::Inconsistent);
            }
            let digit = |digit: &DigitWire| Ok((seed(&digit.seed)?, unpacked(ring, &digit.b, ring.all())?));
            let digits = wire.digits.iter().map(digit).collect::<Result<Vec<_>, WireError>>()?;
            let by = wire.rotation as usize;
            let operation = if by == 0 { Operation::Product } else { Operation::Rotation(by) };
            Ok((operation, SwitchingKey::of_digits(ring, digits, by)))
        };
        let keys = wire.keys.iter().map(read).collect::<Result<_, WireError>>()?;
        Ok(Self { set: parameters.set(), key: wire.key, keys })
    }
}

fn own(parameters: &Parameters, number: u16) -> Result<(), WireError> {
    let set = parameters.set();
    let own = set.number() == number && set.scheme() == Scheme::Ckks;
    own.then_some(()).ok_or(WireError::Inconsistent)
}

fn scale(bits: u64) -> Result<f64, WireError> {
    let scale = f64::from_bits(bits);
    (scale.is_finite() && scale >= 1.0).then_some(scale).ok_or(WireError::Inconsistent)
}

fn seed(bytes: &ByteVec) -> Result<Seed, WireError> {
    bytes.as_slice().try_into().map_err(|_| WireError::Inconsistent)
}

fn packed(ring: &Ring, a: &Polynomial<Values>) -> Rows {
    let row = |(index, row)| pack(row, ring.modulus(a.basis(), index)).into();
    a.rows().enumerate().map(row).collect()
}

fn unpacked(ring: &Ring, rows: &Rows, basis: Basis) -> Result<Polynomial<Values>, WireError> {
    if rows.len() != basis.rows() {
        return Err(WireError::Inconsistent);
    }
    let mut result = Polynomial::zero(ring.degree(), basis);
    for (index, (out, bytes)) in result.rows_mut().zip(rows).enumerate() {
        let modulus = ring.modulus(basis, index);
        let row = unpack(bytes, ring.degree().get(), modulus).ok_or(WireError::Inconsistent)?;
        out.copy_from_slice(&row);
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::ckks::{self, Evaluator, Matrix};
    use crate::parameters::ParameterSet;
    use crate::rlwe::SecretKey;

    #[test]
    fn keys_and_ciphertexts_travel_as_bytes_and_still_compute() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let parameters = Parameters::new(ParameterSet::CKKS_1).expect("a published set");
        let key = SecretKey::generate(&parameters, rng);
        let keys = EvaluationKeys::generate(&key, &Matrix::rotations(4), rng).expect("a set for slots");
        let fresh = ckks::encrypt(&key, &[0.5, 1.0, -1.5, 2.0], (1_u64 << 37) as f64, rng).expect("finite");
        let [keys, fresh] =
            [keys.to_bytes(&parameters), fresh.to_bytes(&parameters)].map(|b| b.expect("own"));
        assert_eq!((fresh.len(), keys.len()), (162_893, 2_556_547), "as documented");

        // What the evaluator does with bytes alone.
        let x = FreshCiphertext::from_bytes(&parameters, &fresh).expect("written").expand(&parameters);
        let read = EvaluationKeys::from_bytes(&parameters, &keys).expect("written");
        let evaluator = Evaluator::new(&parameters, &read).expect("of these parameters");
        let x = x.expect("of these parameters");
        let product =
            evaluator.rescale(&evaluator.multiply(&x, &x).expect("a key")).expect("a prime is left");
        let rotated = evaluator.rotate(&product, 1).expect("a key");
        let answer =
            evaluator.truncate(&rotated, 1).expect("one is left").to_bytes(&parameters).expect("own");

        let answer = Ciphertext::from_bytes(&parameters, &answer).expect("written");
        let slots = ckks::danger_decrypt(&key, &answer).expect("the right key");
        for (found, expected) in slots.iter().zip([1.0, 2.25, 4.0, 0.25]) {
            assert!((found - expected).abs() < 1e-5, "{found}");
        }
        assert!(read.to_bytes(&parameters) == Ok(keys), "the same bytes again");
    }

    #[test]
    fn truncated_and_changed_bytes_are_refused_or_written_back_the_same() {
        let rng = &mut ChaCha20Rng::seed_from_u64(2);
        let parameters = Parameters::new(ParameterSet::CKKS_1).expect("a published set");
        let key = SecretKey::generate(&parameters, rng);
        let keys = EvaluationKeys::generate(&key, &[], rng).expect("a set for slots");
        let keys = keys.to_bytes(&parameters).expect("own");
        let fresh = ckks::encrypt(&key, &[1.0], 1e10, rng).expect("finite");
        let full = fresh.expand(&parameters).expect("own").to_bytes(&parameters).expect("own");
        let fresh = fresh.to_bytes(&parameters).expect("own");
        for (index, bytes) in [fresh, full, keys].into_iter().enumerate() {
            let again = |bytes: &[u8]| match index {
                0 => FreshCiphertext::from_bytes(&parameters, bytes)?.to_bytes(&parameters),
                1 => Ciphertext::from_bytes(&parameters, bytes)?.to_bytes(&parameters),
                _ => EvaluationKeys::from_bytes(&parameters, bytes)?.to_bytes(&parameters),
            };
            assert!(again(&bytes) == Ok(bytes.clone()));
            for length in (0..80).chain((80..bytes.len()).step_by(bytes.len() / 7)) {
                assert!(again(&bytes[..length]).is_err(), "{index}: {length} bytes");
            }
            for at in (0..90).chain((90..bytes.len()).step_by(bytes.len() / 7)) {
                let mut changed = bytes.clone();
                changed[at] ^= 0x41;
                assert!(again(&changed).is_err() || again(&changed) == Ok(changed), "{index}: byte {at}");
            }
        }
        let linear = Parameters::new(ParameterSet::LINEAR_1).expect("a published set");
        assert!(Ciphertext::from_bytes(&linear, &[]).is_err());
    }
}
