//! What the fuzzer and the replay of its corpus call.
//!
//! Ciphertexts of slots have some hundred kilobytes and evaluation keys a megabyte, nearly all of it residues: a fuzzer would change
//! residues and never a length. So an input is read twice: as it is, and as edits of a file that is valid ([`edited`]).

use std::sync::OnceLock;

use minicbor::{Encoder, bytes::ByteVec};
use sealgrid_seal::secret::SecretBytes;

use super::{Kind, VERSION, pack};
use crate::ckks::{Ciphertext, EvaluationKeys, FreshCiphertext};
use crate::linear::{EncryptedRecords, EncryptedSums};
use crate::parameters::{ParameterSet, Parameters};
use crate::ring::Basis;
use crate::rlwe::SecretKey;

/// Reads an input as every format of this crate, and what it says of a valid file, too.
pub fn fuzz_parse(bytes: &[u8]) {
    read(bytes);
    if let Some(edited) = edited(bytes) {
        read(&edited);
    }
}

/// Whatever can be read is written back to the same bytes.
fn read(bytes: &[u8]) {
    let [linear, ckks] = parameters();
    if let Ok(records) = EncryptedRecords::from_bytes(bytes) {
        assert_eq!(records.to_bytes(), bytes, "one spelling");
        assert!(records.records() > 0, "there is something to evaluate");
    }
    if let Ok(sums) = EncryptedSums::from_bytes(bytes) {
        assert_eq!(sums.to_bytes(), bytes, "one spelling");
        assert!(sums.records() > 0 && sums.outputs() > 0, "there is something to decrypt");
    }
    let secret = SecretBytes::new(bytes.to_vec());
    for parameters in [linear, ckks] {
        if let Ok(key) = SecretKey::from_secret_bytes(parameters, &secret) {
            assert_eq!(key.to_secret_bytes().expose(), bytes, "one spelling");
        }
    }
    if let Ok(fresh) = FreshCiphertext::from_bytes(ckks, bytes) {
        assert!(fresh.to_bytes(ckks).is_ok_and(|written| written == bytes), "one spelling");
    }
    if let Ok(slots) = Ciphertext::from_bytes(ckks, bytes) {
        assert!(slots.to_bytes(ckks).is_ok_and(|written| written == bytes), "one spelling");
    }
    if let Ok(keys) = EvaluationKeys::from_bytes(ckks, bytes) {
        assert!(keys.to_bytes(ckks).is_ok_and(|written| written == bytes), "one spelling");
    }
}

fn parameters() -> &'static [Parameters; 2] {
    static PARAMETERS: OnceLock<[Parameters; 2]> = OnceLock::new();
    PARAMETERS.get_or_init(|| {
        [ParameterSet::LINEAR_1, ParameterSet::CKKS_1]
            .map(|set| Parameters::new(set).expect("a published set"))
    })
}

/// One of [`templates`], counted from 0xf8, which no format begins with, and altered: three bytes of a position, the first the highest, and a
/// byte that is put there; or behind the end, which cuts the file there from its end.
fn edited(bytes: &[u8]) -> Option<Vec<u8>> {
    let (first, edits) = bytes.split_first()?;
    let mut file = templates().get(usize::from(first.checked_sub(0xf8)?))?.clone();
    for &[high, middle, low, value] in edits.as_chunks::<4>().0 {
        let position = u32::from_be_bytes([0, high, middle, low]) as usize;
        match file.get_mut(position) {
            Some(byte) => *byte = value,
            None => file.truncate(file.len().saturating_sub(usize::from(value))),
        }
    }
    Some(file)
}

/// Fresh slots, slots of one prime and of four, keys for products, and for a rotation, too: all residues zero.
fn templates() -> &'static [Vec<u8>; 5] {
    static TEMPLATES: OnceLock<[Vec<u8>; 5]> = OnceLock::new();
    TEMPLATES.get_or_init(|| {
        let file =
            |kind, elements: &[&[u8]]| [&header(kind, 4 + elements.len())[..], &elements.concat()].concat();
        let (scale, seed) = (encoded(2.0_f64.powi(37).to_bits()), encoded(ByteVec::from(vec![0; 32])));
        let chain = |primes| rows(Basis::chain(primes));
        let slots = |primes| file(Kind::Ciphertext, &[&scale, &chain(primes), &chain(primes)]);
        let digit = [&list(2)[..], &seed, &rows(Basis::chain(4).with_special())].concat();
        let key = |rotation: u32| [&list(2)[..], &encoded(rotation), &list(4), &digit.repeat(4)].concat();
        [
            file(Kind::Fresh, &[&scale, &seed, &chain(4)]),
            slots(1),
            slots(4),
            file(Kind::EvaluationKeys, &[&[&list(1)[..], &key(0)].concat()]),
            file(Kind::EvaluationKeys, &[&[&list(2)[..], &key(0), &key(1)].concat()]),
        ]
    })
}

/// The head of a file for slots under a key of no name.
fn header(kind: Kind, elements: usize) -> Vec<u8> {
    let set = encoded(ParameterSet::CKKS_1.number());
    [list(elements), encoded(kind as u8), encoded(VERSION), set, encoded(ByteVec::from(vec![0; 16]))].concat()
}

/// A polynomial that is zero.
fn rows(basis: Basis) -> Vec<u8> {
    let ring = parameters()[1].ring();
    let row = |row| encoded(ByteVec::from(pack(&vec![0; ring.degree().get()], ring.modulus(basis, row))));
    [list(basis.rows())].into_iter().chain((0..basis.rows()).map(row)).collect::<Vec<_>>().concat()
}

fn list(length: usize) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    encoder.array(length as u64).expect("writing to a Vec does not fail");
    encoder.into_writer()
}

fn encoded<T: minicbor::Encode<()>>(value: T) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to a Vec does not fail")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng as _, SeedableRng as _};

    use super::*;

    /// The committed inputs, and the frozen files, which are valid.
    fn inputs() -> Vec<Vec<u8>> {
        let folder = |name| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
        let files = ["fuzz/corpus/fhe", "vectors/fhe"].map(|name| std::fs::read_dir(folder(name)));
        let files = files.into_iter().flat_map(|files| files.expect("committed files"));
        files.map(|file| std::fs::read(file.expect("an entry").path()).expect("an input")).collect()
    }

    #[test]
    fn templates_are_valid() {
        let [fresh, one, four, product, rotation] = templates();
        let ckks = &parameters()[1];
        assert!(FreshCiphertext::from_bytes(ckks, fresh).is_ok());
        assert!([one, four].iter().all(|slots| Ciphertext::from_bytes(ckks, slots).is_ok()));
        assert!([product, rotation].iter().all(|keys| EvaluationKeys::from_bytes(ckks, keys).is_ok()));
        assert_eq!(edited(&[0xf9]).as_ref(), Some(one));
        assert_eq!(edited(&[0xf9, 0xff, 0xff, 0xff, 1]).expect("a template"), one[..one.len() - 1]);
        assert_eq!(edited(&[0xf9, 0, 0, 2, 7]).expect("a template")[..4], [one[0], one[1], 7, one[3]]);
        assert!(edited(&[0xfd]).is_none() && edited(&[0x89]).is_none());
    }

    #[test]
    fn the_corpus_is_replayed() {
        for input in inputs() {
            fuzz_parse(&input);
        }
    }

    #[test]
    fn cut_flipped_doubled_and_overwritten_inputs_are_refused_or_written_back_the_same() {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let mut below = |bound: usize| usize::try_from(rng.next_u64() % bound.max(1) as u64).expect("below");
        let inputs = inputs();
        // More of them by hand, for machines without a fuzzer.
        let rounds = std::env::var("SEALGRID_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
        for _ in 0..rounds.unwrap_or(300) {
            let mut input = inputs[below(inputs.len())].clone();
            for _ in 0..=below(3) {
                // Most of a file is residues: its head is changed as often.
                let head = input.len().min(48 << (4 * below(4)));
                let position = below(head);
                match below(4) {
                    0 => input.truncate(position),
                    1 if !input.is_empty() => input[position] ^= 1 << below(8),
                    2 if !input.is_empty() => input[position] = [0, 0x7f, 0x80, 0xff][below(4)],
                    _ => input.extend_from_within(position..),
                }
            }
            fuzz_parse(&input);
        }
    }
}
