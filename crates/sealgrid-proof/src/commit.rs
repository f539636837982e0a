//! The commitment to a vector: hides it, is opened once, at points that are drawn after it was made (hiding WHIR, eprint 2026/391, over
//! salted Merkle trees; Plonky3's).
//!
//! What an opening shows is the values at those points, codeword rows that are uniform whatever the vector is, and nothing else. A second
//! opening of the same commitment would show more rows than the encoding has randomness for: an opening uses the commitment up.

use std::panic::{AssertUnwindSafe, catch_unwind};

use p3_commit::MultilinearPcs as _;
use p3_dft::Radix2DFTSmallBatch;
use p3_merkle_tree::{MerkleCap, MerkleTreeHidingMmcs};
use p3_multilinear_util::point::Point;
use p3_multilinear_util::poly::Poly;
use p3_symmetric::{CompressionFunctionFromHasher, SerializingHasher};
use p3_whir::parameters::{FoldingFactor, ProtocolParameters, SecurityAssumption};
use p3_whir::pcs::zk::{HidingWhirPcs, HidingWhirProverData, ZkParameters, ZkWhirConfig, ZkWhirProof};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand_core::CryptoRng;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::channel::ProofError;
use crate::field::{Challenge, Element, soundness_bits};
use crate::last::Opening;
use crate::level::Level;
use crate::transcript::{Challenger, LIBRARY_WORK_BITS, Transcript, WORK_BITS};

/// Elements by which each leaf of a tree is salted: 124 bits.
const SALT: usize = 4;

/// Merkle trees with salted leaves; the generator draws the salts.
pub(crate) type Trees<R> = MerkleTreeHidingMmcs<
    Element,
    u8,
    SerializingHasher<p3_blake3::Blake3>,
    CompressionFunctionFromHasher<p3_blake3::Blake3, 2, 32>,
    R,
    2,
    32,
    SALT,
>;
/// What opens a vector, as the library has it.
pub(crate) type Shown = ZkWhirProof<Element, Challenge, Trees<StdRng>>;

/// What opens a vector, of its bytes.
///
/// # Errors
/// [`ProofError`].
pub(crate) fn read_opening(bytes: &[u8]) -> Result<Shown, ProofError> {
    if bytes.len() > OPENING_BYTES_MAX {
        return Err(ProofError::TooLong);
    }
    read(bytes)
}
type Library =
    HidingWhirPcs<Challenge, Element, Radix2DFTSmallBatch<Element>, Trees<StdRng>, Challenger, StdRng>;

/// Trees over BLAKE3 with one root each.
pub(crate) fn trees<R>(rng: R) -> Trees<R> {
    let hash = SerializingHasher::new(p3_blake3::Blake3 {});
    Trees::new(hash, CompressionFunctionFromHasher::new(p3_blake3::Blake3 {}), 0, rng)
}

/// Reads what the library wrote, and nothing behind it. Its encoding takes lengths that are spelled longer than they must be; a proof has one spelling,
/// so what was read is written again and compared.
pub(crate) fn read<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, ProofError> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|_| ProofError::Truncated)?;
    if !rest.is_empty() {
        return Err(ProofError::TooLong);
    }
    let spelled = postcard::to_allocvec(&value).expect("plain data in memory");
    if spelled == bytes { Ok(value) } else { Err(ProofError::Wrong) }
}

/// What the library's verifier says. Nothing is known that makes it panic; it promises nothing, and a verifier must not end by what it is sent.
pub(crate) fn guarded<E>(verify: impl FnOnce() -> Result<(), E>) -> Result<(), ProofError> {
    match catch_unwind(AssertUnwindSafe(verify)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(ProofError::Wrong),
    }
}

/// Fewest variables of a vector: below, the codeword has no room for the randomness of one opening.
pub const VARIABLES_MIN: usize = 14;
/// Most variables of a vector: 2^24 elements.
pub const VARIABLES_MAX: usize = 24;
/// Most bytes of an opening, for any vector.
pub const OPENING_BYTES_MAX: usize = 4 << 20;

/// Commits to vectors of one length.
pub struct Scheme {
    library: Library,
    variables: usize,
}

/// A commitment: what the verifier gets first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment(<Library as p3_commit::MultilinearPcs<Challenge, Challenger>>::Commitment);

impl Commitment {
    /// Bytes of a commitment: the root of one tree.
    pub const BYTES: usize = 32;

    /// The root.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        self.0.roots()[0]
    }

    /// Of a root.
    #[must_use]
    pub fn from_bytes(root: [u8; Self::BYTES]) -> Self {
        Self(MerkleCap::new(vec![root]))
    }
}

/// The committed vector, to be opened once.
pub struct Committed {
    commitment: Commitment,
    data: HidingWhirProverData<Element, Challenge, Trees<StdRng>>,
}

impl Committed {
    /// What the verifier gets of it.
    #[must_use]
    pub fn commitment(&self) -> &Commitment {
        &self.commitment
    }

    /// The vector.
    pub(crate) fn values(&self) -> &[Element] {
        self.data.message.as_slice()
    }
}

impl std::fmt::Debug for Committed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Committed(..)")
    }
}

impl std::fmt::Debug for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scheme(2^{})", self.variables)
    }
}

impl Scheme {
    /// For vectors of `2^variables` elements. All that hides a vector is drawn from `rng`: a verifier, who hides nothing, gives any.
    ///
    /// # Panics
    /// When `variables` is not between [`VARIABLES_MIN`] and [`VARIABLES_MAX`].
    pub fn new(level: Level, variables: usize, rng: &mut impl CryptoRng) -> Self {
        assert!((VARIABLES_MIN..=VARIABLES_MAX).contains(&variables), "a vector of a supported length");
        let config = config(level, variables);
        let trees = trees(StdRng::from_rng(rng));
        let library = Library::new(config, Radix2DFTSmallBatch::default(), trees, StdRng::from_rng(rng));
        Self { library, variables }
    }

    /// Commits to a vector; the transcript absorbs the commitment.
    ///
    /// # Panics
    /// When the vector has another length.
    pub fn commit(&self, transcript: &mut Transcript, values: Vec<Element>) -> Committed {
        assert!(values.len() == 1 << self.variables, "a vector of the scheme's length");
        let committed = self.library.commit(Poly::new(values), transcript.challenger());
        let (commitment, data) = committed.expect("the length was checked");
        Committed { commitment: Commitment(commitment), data }
    }

    /// What the verifier does with a commitment: absorbs it.
    pub fn absorb(&self, transcript: &mut Transcript, commitment: &Commitment) {
        self.library.observe_commitment(&commitment.0, transcript.challenger());
    }

    /// Opens the vector at points; the bytes show the values there.
    ///
    /// # Panics
    /// When there is no point, or one of another number of variables.
    #[must_use]
    pub fn open(
        &self,
        transcript: &mut Transcript,
        committed: Committed,
        points: &[Vec<Challenge>],
    ) -> Vec<u8> {
        // The library's verifier absorbs it when it begins, which is here: a second time.
        self.absorb(transcript, &committed.commitment);
        let points = points.iter().map(|point| Point::new(point.clone())).collect();
        let proof = self.library.open(committed.data, points, transcript.challenger());
        let proof = proof.expect("a point of the vector's variables, and some");
        postcard::to_allocvec(&proof).expect("plain data in memory")
    }

    /// Checks that the committed vector has the values of `openings`.
    ///
    /// # Errors
    /// [`ProofError`].
    pub(crate) fn verify(
        &self,
        transcript: &mut Transcript,
        commitment: &Commitment,
        openings: &[Opening],
        proof: &Shown,
    ) -> Result<(), ProofError> {
        let stated = openings.iter().map(|opening| opening.value);
        if !stated.eq(proof.evals.iter().copied()) {
            return Err(ProofError::Wrong);
        }
        let points = openings.iter().map(|opening| Point::new(opening.point.clone())).collect();
        let challenger = transcript.challenger();
        guarded(|| self.library.verify(&commitment.0, proof, challenger, points))
    }
}

/// How long codewords are and how fast vectors get shorter: what makes an opening small.
#[derive(Clone, Debug)]
struct Geometry {
    /// Logarithm of the first codeword's length beside the vector's.
    log_inverse_rate: usize,
    /// Variables that each round folds, until six are left.
    folded: Vec<usize>,
}

/// Of all that were tried those with the fewest bytes, or nearly so and the least work. More rounds bring masks, two groups each; what is opened of a round
/// has rows as long as two to the power of what it folds, the first of single elements and all others of five coordinates each. The longest vectors have the
/// shortest codewords, for the sake of time and memory.
fn geometry(variables: usize) -> Geometry {
    let (log_inverse_rate, folded) = match variables {
        0..=14 => (2, vec![4, 4]),
        15 => (2, vec![5, 4]),
        16 => (2, vec![6, 4]),
        17 => (2, vec![6, 5]),
        18 => (2, vec![7, 5]),
        19 => (2, vec![7, 6]),
        20 => (1, vec![6, 4, 4]),
        21 => (1, vec![5, 5, 5]),
        22 => (1, vec![6, 5, 5]),
        23 => (1, vec![7, 5, 5]),
        _ => (1, vec![7, 6, 5]),
    };
    Geometry { log_inverse_rate, folded }
}

/// The masks' codewords are eight times as long as what they encode.
const MASK_LOG_INVERSE_RATE: usize = 3;

/// The decoding radius is the unique one. Within Johnson's an opening would be a third shorter, but the error of the masked base
/// case grows with the product of the list sizes of all its codes (eprint 2026/391, construction 7.2), which leaves 66 proven
/// bits for 2^15 elements and none for 2^23; within the unique radius each list has one entry.
fn config(level: Level, variables: usize) -> Config {
    let geometry = geometry(variables);
    // The library takes a code's rate for that of its message alone. What hides the message fills the code, too, and brings it nearer to others: so more
    // positions are asked for, until they are enough for the code as it is.
    let wanted = level.query_bits() - WORK_BITS;
    let asked = wanted + LIBRARY_WORK_BITS..;
    let configs = asked.map(|asked| geometry.config(variables, asked));
    let enough = |config: &Config| rounds_bits(config).all(|bits| bits >= wanted as f64);
    configs.take(32).find(enough).expect("a test makes every length")
}

type Config = ZkWhirConfig<Challenge, Element, Challenger>;

impl Geometry {
    fn config(&self, variables: usize, asked: usize) -> Config {
        let parameters = ProtocolParameters {
            security_level: asked,
            pow_bits: LIBRARY_WORK_BITS,
            // Each codeword has half the length of the one before.
            round_log_inv_rates: Vec::new(),
            folding_factor: FoldingFactor::PerRound(self.folded.clone()),
            soundness_type: SecurityAssumption::UniqueDecoding,
            starting_log_inv_rate: self.log_inverse_rate,
        };
        let hiding = ZkParameters { ell_zk: 3, mask_log_inv_rate: MASK_LOG_INVERSE_RATE };
        ZkWhirConfig::new(variables, parameters, hiding).expect("a test makes every length")
    }
}

/// What the positions of each round but the last miss, as bits: a word further than the unique radius from the code, whose dimension is
/// message and randomness together, passes with `(1 + rate) / 2` each.
fn rounds_bits(config: &Config) -> impl Iterator<Item = f64> {
    let rounds = config.inner().round_parameters().iter();
    rounds.zip(config.oracle_randomness()).map(|(round, randomness)| {
        let message = 1 << round.num_variables;
        let length = round.domain_size >> round.folding_factor;
        let rate = (message + randomness) as f64 / length as f64;
        -(round.num_queries as f64) * f64::midpoint(1.0, rate).log2()
    })
}

/// Bits of soundness of one opening of `2^variables` elements, all its steps added up: what the queries of each round miss, what folding
/// and batching let through (a codeword's length a fold, at the unique radius; eprint 2024/1586, theorem 5.2), and the masked base case, whose
/// terms the library adds up.
///
/// # Panics
/// When `variables` is not between [`VARIABLES_MIN`] and [`VARIABLES_MAX`].
#[must_use]
pub fn opening_bits(level: Level, variables: usize) -> f64 {
    let config = config(level, variables);
    let works = config.inner().round_parameters().iter().map(|round| round.pow_bits);
    let works = works.chain([config.base_case_config().pow_bits]).all(|bits| bits == LIBRARY_WORK_BITS);
    assert!(works, "a work before every draw of positions");
    let miss = |bits: f64| (-bits - WORK_BITS as f64).exp2();
    let queries: f64 = rounds_bits(&config).map(miss).sum();
    let report = config.hiding_base_case_security_report();
    // All its positions are drawn behind one work, of which the library counts its own part alone, which it calls no proof.
    let base_queries = report.query_round.before_pow.proven_bits().expect("a test asks for every length");
    let base_algebra = report.gamma_round.combined.proven_bits().expect("likewise");
    // Of each round: its codeword's length for each of the folds, two degrees of their sumchecks, a constraint a query.
    let Geometry { log_inverse_rate, folded } = geometry(variables);
    let rounds = folded.into_iter().zip(config.oracle_randomness()).enumerate();
    let counted: u64 = rounds
        .map(|(round, (folded, randomness))| {
            let length = 1u64 << (variables + log_inverse_rate - round);
            length * folded as u64 + 2 * folded as u64 + 2 * *randomness as u64
        })
        .sum();
    let base = (-base_algebra).exp2() + miss(base_queries);
    -(queries + base + (-soundness_bits(counted)).exp2()).log2()
}

/// Checks bytes as an opening of a fixed commitment: what the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_open(bytes: &[u8]) {
    let scheme = Scheme::new(Level::default(), VARIABLES_MIN, &mut StdRng::from_seed([1; 32]));
    let mut transcript = Transcript::new(sealgrid_seal::digest::labels::PROOF);
    // The values that the bytes themselves state, so that the library gets to see the rest.
    let stated =
        postcard::take_from_bytes::<Vec<Challenge>>(bytes).map_or_else(|_| Vec::new(), |(values, _)| values);
    let point = vec![Challenge::default(); VARIABLES_MIN];
    let openings: Vec<Opening> =
        stated.into_iter().take(4).map(|value| Opening { point: point.clone(), value }).collect();
    if let Ok(shown) = read_opening(bytes) {
        let _ = scheme.verify(&mut transcript, &Commitment::from_bytes([1; 32]), &openings, &shown);
    }
}

#[cfg(test)]
mod tests {
    use p3_field::PrimeCharacteristicRing as _;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::field::{evaluate, random};

    #[test]
    fn every_length_has_parameters_with_as_many_proven_bits_as_its_level() {
        for variables in VARIABLES_MIN..=VARIABLES_MAX {
            let bits = Level::ALL.map(|level| opening_bits(level, variables));
            assert!((100.0..105.0).contains(&bits[0]), "{variables}: {bits:?}");
            // The longest words lose more than the higher level leaves; a proof that needs them is refused it.
            let least = if variables == VARIABLES_MAX { 126.0 } else { 127.0 };
            assert!((least..133.0).contains(&bits[1]), "{variables}: {bits:?}");
        }
    }

    #[test]
    fn what_hides_a_message_counts_in_its_code() {
        // As many positions as the library asks for by itself would miss a word of the shortest vector too often.
        let wanted = Level::default().query_bits() - WORK_BITS;
        let nominal = geometry(VARIABLES_MIN).config(VARIABLES_MIN, wanted + LIBRARY_WORK_BITS);
        assert!(rounds_bits(&nominal).any(|bits| bits < wanted as f64));
        for variables in VARIABLES_MIN..=VARIABLES_MAX {
            assert!(
                rounds_bits(&config(Level::default(), variables)).all(|bits| bits >= wanted as f64),
                "{variables}"
            );
        }
    }

    #[test]
    fn a_vector_is_opened_at_two_points_and_at_no_other_value() {
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let variables = VARIABLES_MIN;
        let scheme = Scheme::new(Level::default(), variables, &mut rng);
        let values: Vec<Element> =
            (0..1u32 << variables).map(|index| Element::from_u32(index * index)).collect();
        let wide: Vec<Challenge> = values.iter().map(|value| Challenge::from(*value)).collect();
        let openings = [(); 2].map(|()| {
            let point: Vec<Challenge> = (0..variables).map(|_| random(&mut rng)).collect();
            Opening { value: evaluate(&wide, &point), point }
        });
        let mut transcript = Transcript::of_test();
        let committed = scheme.commit(&mut transcript, values);
        let commitment = committed.commitment().clone();
        let points = openings.clone().map(|opening| opening.point);
        let bytes = scheme.open(&mut transcript, committed, &points);
        let verify = |openings: &[Opening], bytes: &[u8]| {
            let mut transcript = Transcript::of_test();
            scheme.absorb(&mut transcript, &commitment);
            scheme.verify(&mut transcript, &commitment, openings, &read_opening(bytes)?)
        };
        assert_eq!(verify(&openings, &bytes), Ok(()));
        for which in 0..2 {
            let mut other = openings.clone();
            other[which].value += Challenge::ONE;
            assert_eq!(verify(&other, &bytes), Err(ProofError::Wrong));
            let mut other = openings.clone();
            other[which].point[3] += Challenge::ONE;
            assert_eq!(verify(&other, &bytes), Err(ProofError::Wrong));
        }
        assert_eq!(verify(&openings, &bytes[..bytes.len() - 1]), Err(ProofError::Truncated));
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(verify(&openings, &longer), Err(ProofError::TooLong));
        // The number of openings, two, in two bytes where one is enough.
        let overlong = [&[bytes[0] | 0x80, 0], &bytes[1..]].concat();
        assert_eq!(verify(&openings, &overlong), Err(ProofError::Wrong));
        // No changed byte is taken, and none makes the library panic.
        for step in 0..200 {
            let mut changed = bytes.clone();
            let place = step * bytes.len() / 200;
            changed[place] ^= 1 << (step % 8);
            assert!(verify(&openings, &changed).is_err(), "byte {place}");
        }
    }
}
