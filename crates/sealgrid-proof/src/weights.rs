//! The commitment to a model's private parameters: made once, used in many proofs (docs/design/0005).
//!
//! The parameters, as elements, fill the rows of a matrix; behind each row stand pads, uniform elements. Every row is encoded as a Reed-Solomon word
//! (its elements are the coefficients of a polynomial, the word its values at the roots of unity), and a Merkle tree with salted leaves
//! stands over the columns of all words: its root is the commitment.
//!
//! A proof commits to parameters and pads anew, in its own vector, and opens [`QUERIES`] columns here at positions that are drawn afterwards. What stands in
//! the vector encodes to what was opened, which is linear in the vector. Any columns, as many as there are pads in a row, are uniform whatever
//! the parameters are: the pads' coefficients are neighbours, so they are an invertible Vandermonde system away from the opened values. So a commitment with
//! pads for `R` openings bears `R` proofs, and not one more.

use std::collections::BTreeSet;

use p3_commit::Mmcs as _;
use p3_dft::{Radix2DFTSmallBatch, TwoAdicSubgroupDft as _};
use p3_field::{BasedVectorSpace as _, PrimeCharacteristicRing as _, TwoAdicField as _};
use p3_matrix::dense::RowMajorMatrix;
use p3_matrix::{Dimensions, Matrix as _};
use p3_merkle_tree::MerkleCap;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sealgrid_seal::secret::Secret;

use crate::argument::{ContentClaim, Part};
use crate::channel::{ProofError, Prover, Verifier};
use crate::commit::{Trees, guarded, read, trees};
use crate::field::{Challenge, DEGREE, Element, random, wipe};
use crate::hidden::Hidden;

/// Columns that a proof opens: each misses another word with probability at most `(1 + rate) / 2` and the rate is at most `1/4`, so
/// all of them with less than `2^-104`.
pub const QUERIES: usize = 154;
/// Most openings that a commitment may be made for.
pub const OPENINGS_MAX: u32 = 1 << 12;
/// Words are at most as long as the field has roots of unity.
const LENGTH_BITS_MAX: usize = 24;

/// Salted: whoever has seen all openings could otherwise try parameters against the leaves that were not opened.
type Salted = Trees<ChaCha20Rng>;
/// Columns, and the paths to the root.
pub(crate) type Opened = (Vec<Vec<Vec<Element>>>, <Salted as p3_commit::Mmcs<Element>>::MultiProof);

/// For opening and checking, which draw no salt.
fn unsalted() -> Salted {
    trees(ChaCha20Rng::from_seed([0; 32]))
}

/// No commitment has this shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a registration has 1 to 2^24 parameters and 1 to 4,096 openings")]
pub struct BadShape;

/// How many parameters are committed to, and for how many openings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Elements.
    count: usize,
    /// Elements of a row, a power of two.
    row: usize,
    /// Pads behind a row.
    pads: usize,
    /// Logarithm of a word's length.
    length_bits: usize,
}

impl Shape {
    /// Of `count` parameters, to be opened `openings` times.
    ///
    /// # Errors
    /// [`BadShape`].
    pub fn new(count: usize, openings: u32) -> Result<Self, BadShape> {
        if count == 0 || count > 1 << LENGTH_BITS_MAX || openings == 0 || openings > OPENINGS_MAX {
            return Err(BadShape);
        }
        // Few rows, because each brings pads; short ones, because the tree has a leaf for each of their codeword's elements.
        let row_bits = count.next_power_of_two().ilog2().saturating_sub(2).clamp(11, 16);
        Ok(Self::of_rows(count, row_bits, openings))
    }

    /// Of the values of one run, to be opened once.
    ///
    /// # Errors
    /// [`BadShape`].
    pub(crate) fn of_values(count: usize) -> Result<Self, BadShape> {
        if count == 0 || count > 1 << LENGTH_BITS_MAX {
            return Err(BadShape);
        }
        // The same with few pads: a row is mostly hardly longer than these.
        let row_bits = count.next_power_of_two().ilog2().saturating_sub(2).clamp(6, 16);
        Ok(Self::of_rows(count, row_bits, 1))
    }

    fn of_rows(count: usize, row_bits: u32, openings: u32) -> Self {
        let pads = openings as usize * QUERIES;
        let length_bits = (4 * ((1 << row_bits) + pads)).next_power_of_two().ilog2() as usize;
        Self { count, row: 1 << row_bits, pads, length_bits }
    }

    /// Parameters.
    pub(crate) fn count(self) -> usize {
        self.count
    }

    /// Openings that it bears.
    pub(crate) fn openings(self) -> u32 {
        u32::try_from(self.pads / QUERIES).expect("at most 2^12")
    }

    /// Rows.
    fn rows(self) -> usize {
        self.count.div_ceil(self.row)
    }

    /// Elements of all rows, of which those behind the parameters are zero: what stands in a proof's vector.
    #[must_use]
    pub fn elements(self) -> usize {
        self.rows() * self.row
    }

    /// Pads of all rows.
    fn all_pads(self) -> usize {
        self.rows() * self.pads
    }

    /// What parameters and pads take at the beginning of a content.
    pub(crate) fn taken(self) -> usize {
        self.elements() + self.all_pads()
    }

    /// `Σ_i weight_i · ω^(position_i·j)`: what the `j`-th coefficient of every row has to do with the opened columns, for all `j` below a word's length.
    fn coefficients(self, positions: &[usize], weights: &[Challenge]) -> Vec<Challenge> {
        // Few positions are opened, so with j = width·j' + j'' the sum over positions that are equal modulo the height is taken first, for each j'';
        // what is left are short transforms side by side.
        let height_bits = self.length_bits.min(9);
        let (height, width) = (1 << height_bits, 1 << (self.length_bits - height_bits));
        let root = Element::two_adic_generator(self.length_bits);
        let mut sums = vec![Challenge::ZERO; height * width];
        for (position, weight) in positions.iter().zip(weights) {
            let (root, mut weight) = (root.exp_u64(*position as u64), *weight);
            for sum in &mut sums[position % height * width..][..width] {
                *sum += weight;
                weight *= root;
            }
        }
        Radix2DFTSmallBatch::<Element>::default().dft_algebra_batch(RowMajorMatrix::new(sums, width)).values
    }

    fn dimensions(self) -> Dimensions {
        Dimensions { width: self.rows(), height: 1 << self.length_bits }
    }
}

/// What everybody knows of a commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Of what.
    pub shape: Shape,
    /// The root of the tree over the columns.
    pub root: [u8; 32],
}

/// The parameters behind a commitment: what the prover keeps.
pub struct Parameters {
    registered: Registered,
    elements: Vec<Element>,
    pads: Vec<Element>,
    tree: <Salted as p3_commit::Mmcs<Element>>::ProverData<RowMajorMatrix<Element>>,
}

impl std::fmt::Debug for Parameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Parameters({:?}, ..)", self.registered)
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        wipe(&mut self.elements);
        wipe(&mut self.pads);
    }
}

impl Parameters {
    /// Commits. The same parameters and `seed` yield the same commitment; pads and salts are drawn from the seed, which is as secret as the
    /// parameters and belongs to them alone.
    ///
    /// # Errors
    /// [`BadShape`].
    pub fn commit(parameters: &[Element], openings: u32, seed: &Secret<32>) -> Result<Self, BadShape> {
        Ok(Self::in_shape(Shape::new(parameters.len(), openings)?, parameters, seed))
    }

    /// [`Parameters::commit`] to as many elements as the shape has.
    pub(crate) fn in_shape(shape: Shape, parameters: &[Element], seed: &Secret<32>) -> Self {
        let mut rng = ChaCha20Rng::from_seed(*seed.expose());
        let mut pads = Vec::with_capacity(shape.all_pads().next_multiple_of(DEGREE));
        while pads.len() < shape.all_pads() {
            pads.extend_from_slice(random(&mut rng).as_basis_coefficients_slice());
        }
        pads.truncate(shape.all_pads());
        Self::with_pads(shape, parameters, pads, rng)
    }

    /// The parameters without pads, which hides nothing.
    #[cfg(test)]
    pub(crate) fn bare(shape: Shape, parameters: &[Element]) -> Self {
        let pads = vec![Element::ZERO; shape.all_pads()];
        Self::with_pads(shape, parameters, pads, ChaCha20Rng::from_seed([0; 32]))
    }

    /// What is behind a shape, pads and what salts are drawn from.
    fn with_pads(shape: Shape, parameters: &[Element], pads: Vec<Element>, rng: ChaCha20Rng) -> Self {
        let mut elements = parameters.to_vec();
        elements.resize(shape.elements(), Element::ZERO);
        let rows = shape.rows();
        let mut columns = vec![Element::ZERO; rows << shape.length_bits];
        for (row, (elements, pads)) in
            elements.chunks_exact(shape.row).zip(pads.chunks_exact(shape.pads)).enumerate()
        {
            for (place, element) in elements.iter().chain(pads).enumerate() {
                columns[place * rows + row] = *element;
            }
        }
        let words = Radix2DFTSmallBatch::default().dft_batch(RowMajorMatrix::new(columns, rows));
        let (cap, tree) = trees(rng).commit(vec![words.to_row_major_matrix()]);
        let registered = Registered { shape, root: cap.roots()[0] };
        Self { registered, elements, pads, tree }
    }

    /// What everybody may know.
    #[must_use]
    pub fn registered(&self) -> &Registered {
        &self.registered
    }

    /// The parameters, zeros behind them.
    pub(crate) fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// What a content, or a part of it, begins with: the parameters, zeros behind them, and the pads, row by row.
    pub(crate) fn begin(&self, content: &mut [Element]) {
        let (elements, pads) = content[..self.registered.shape.taken()].split_at_mut(self.elements.len());
        elements.copy_from_slice(&self.elements);
        pads.copy_from_slice(&self.pads);
    }

    /// Opens the columns that are drawn now.
    pub(crate) fn prove(&self, channel: &mut Prover<'_>) {
        // The challenges are the verifier's, to weigh rows and columns with.
        let _rows = channel.challenge();
        let positions = positions(self.registered.shape, |bits| channel.position(bits));
        let opened: Opened = unsalted().open_multi_batch(&positions, &self.tree);
        channel.attach(postcard::to_allocvec(&opened).expect("plain data in memory"));
        let _columns = channel.challenge();
    }
}

/// The columns to open, ascending, none twice.
fn positions(shape: Shape, mut position: impl FnMut(usize) -> usize) -> Vec<usize> {
    let drawn: BTreeSet<usize> = (0..QUERIES).map(|_| position(shape.length_bits)).collect();
    drawn.into_iter().collect()
}

impl Registered {
    /// Checks that in a content what was committed to stands from `start` on, the parameters and then their pads: what is left to show of the content,
    /// and to look at of what was opened.
    ///
    /// # Errors
    /// [`ProofError`].
    pub(crate) fn verify<'c>(
        &'c self,
        channel: &mut Verifier<'c>,
        start: usize,
    ) -> Result<impl FnOnce() -> Result<ContentClaim, ProofError> + Send + use<'c>, ProofError> {
        let shape = self.shape;
        let row = channel.challenge();
        let positions = positions(shape, |bits| channel.position(bits));
        let opened = channel.attached()?;
        let column = channel.challenge();
        Ok(move || {
            let rows: Vec<Challenge> = row.powers().take(shape.rows()).collect();
            let columns = self.opened(&positions, opened)?;
            let weights: Vec<Challenge> = column.powers().take(positions.len()).collect();
            let mut value = Challenge::ZERO;
            for (column, weight) in columns.iter().zip(&weights) {
                let sum: Challenge = rows.iter().zip(column).map(|(row, element)| *row * *element).sum();
                value += *weight * sum;
            }
            let coefficients = shape.coefficients(&positions, &weights);
            let (elements, pads) = coefficients[..shape.row + shape.pads].split_at(shape.row);
            // Rows of a power of two that stand aligned weigh their elements with a product; other rows one by one.
            let mut functional = Vec::new();
            for (start, coefficients) in [(start, elements), (start + shape.elements(), pads)] {
                functional.push(if coefficients.len().is_power_of_two() && start % coefficients.len() == 0 {
                    Part::of_records(start, rows.clone(), coefficients)
                } else {
                    let weights = rows.iter().flat_map(|row| coefficients.iter().map(|it| *row * *it));
                    Part::plain(start, weights.collect())
                });
            }
            Ok(ContentClaim { functional, value: Hidden::known(value) })
        })
    }

    /// The columns at `positions` that `bytes` show.
    fn opened(&self, positions: &[usize], bytes: &[u8]) -> Result<Vec<Vec<Element>>, ProofError> {
        let (values, proof): Opened = read(bytes)?;
        let one_matrix = values.iter().all(|matrices| matrices.len() == 1);
        if values.len() != positions.len() || !one_matrix {
            return Err(ProofError::Wrong);
        }
        let cap = MerkleCap::new(vec![self.root]);
        let dimensions = [self.shape.dimensions()];
        guarded(|| unsalted().verify_multi_batch(&cap, &dimensions, positions, &values, &proof))?;
        Ok(values.into_iter().flatten().collect())
    }

    /// Numerator of the soundness error besides [`Registered::missed`]: a word's length for each row that is folded in (within the unique
    /// radius; eprint 2020/654, theorem 6.1), a degree for each column.
    pub(crate) fn errors(&self) -> u64 {
        ((self.shape.rows() << self.shape.length_bits) + QUERIES) as u64
    }

    /// The probability that other parameters agree at all opened columns.
    pub(crate) fn missed(&self) -> f64 {
        let rate = (self.shape.row + self.shape.pads) as f64 / (1u64 << self.shape.length_bits) as f64;
        let each = f64::midpoint(1.0, rate);
        each.powi(i32::try_from(QUERIES).expect("few"))
    }
}

#[cfg(test)]
mod tests {
    use sealgrid_graph::arbitrary::Random;

    use super::*;
    use crate::argument::{self, Conversation, Later};
    use crate::file::evidence::{seed, times};
    use crate::lookups::{Pulled, Witness};
    use crate::transcript::Transcript;

    /// A content that is parameters and pads, about which nothing else is said.
    struct Alone<'p> {
        registered: Registered,
        parameters: Option<&'p Parameters>,
    }

    impl Conversation for Alone<'_> {
        fn content(&self) -> usize {
            self.registered.shape.taken()
        }

        fn pads(&self) -> usize {
            0
        }

        fn prove(&self, channel: &mut Prover<'_>, _: &Witness) -> Option<Pulled> {
            self.parameters.expect("the prover's").prove(channel);
            None
        }

        fn verify<'c>(
            &'c self,
            channel: &mut Verifier<'c>,
            _: Option<Pulled>,
        ) -> Result<Later<'c>, ProofError> {
            let registered = self.registered.verify(channel, 0)?;
            Ok(Box::new(|| Ok(vec![registered()?])))
        }

        fn errors(&self) -> u64 {
            self.registered.errors()
        }

        fn missed(&self) -> f64 {
            self.registered.missed()
        }
    }

    fn parameters(count: u32, seed: u8) -> Parameters {
        let elements: Vec<Element> = (0..count).map(|i| Element::from_u32(i * i % 251)).collect();
        Parameters::commit(&elements, 3, &Secret::new([seed; 32])).expect("small")
    }

    fn content(parameters: &Parameters) -> Vec<Element> {
        let mut content = vec![Element::ZERO; parameters.registered().shape.taken()];
        parameters.begin(&mut content);
        content
    }

    fn convinces(
        parameters: &Parameters,
        content: &[Element],
        registered: &Registered,
    ) -> Result<f64, ProofError> {
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let prover = Alone { registered: parameters.registered().clone(), parameters: Some(parameters) };
        let argument = argument::prove(&prover, &content.to_vec().into(), Transcript::of_test(), &mut rng)
            .expect("small");
        let verifier = Alone { registered: registered.clone(), parameters: None };
        let bits = argument::verify(&verifier, &argument, Transcript::of_test(), &mut rng)?;
        // What is attached is bound like everything else.
        let length = argument.attached[0].len();
        for place in (0..length).step_by(length / 23) {
            let mut changed = argument.clone();
            changed.attached[0][place] ^= 1;
            assert!(
                argument::verify(&verifier, &changed, Transcript::of_test(), &mut rng).is_err(),
                "byte {place}"
            );
        }
        let mut others = vec![argument.clone(); 3];
        others[0].attached[0].push(0);
        others[1].attached.push(Vec::new());
        others[2].attached.clear();
        for other in others {
            assert!(argument::verify(&verifier, &other, Transcript::of_test(), &mut rng).is_err());
        }
        Ok(bits)
    }

    #[test]
    fn what_was_committed_to_is_shown_and_nothing_else() {
        for count in [548, 5000] {
            let parameters = parameters(count, 1);
            let registered = parameters.registered();
            let own = content(&parameters);
            let bits = convinces(&parameters, &own, registered).expect("an honest proof");
            assert!((100.0..104.0).contains(&bits), "{bits}");
            // A parameter, the last one, a pad, the last pad.
            for place in [0, count as usize - 1, registered.shape.elements(), own.len() - 1] {
                let mut other = own.clone();
                other[place] += Element::ONE;
                assert!(convinces(&parameters, &other, registered).is_err(), "element {place} of {count}");
            }
            let other = self::parameters(count, 2);
            assert_ne!(other.registered().root, registered.root, "hidden by the seed");
            assert!(convinces(&other, &content(&other), registered).is_err(), "of another commitment");
        }
    }

    #[test]
    fn as_many_columns_as_there_are_pads_are_uniform_whatever_the_parameters_are() {
        // The opened columns as linear forms of a row's pads: with as many positions as pads the matrix is invertible, so every column is as
        // likely as any other.
        let shape = Shape { count: 8, row: 8, pads: 16, length_bits: 7 };
        let root = Element::two_adic_generator(shape.length_bits);
        for step in [1, 3, 5] {
            let points = (0..shape.pads).map(|i| root.exp_u64((i * step) as u64));
            let matrix: Vec<Vec<Element>> = points
                .map(|x| (0..shape.pads).map(|j| x.exp_u64((shape.row + j) as u64)).collect())
                .collect();
            assert_eq!(crate::field::rank(matrix), shape.pads);
        }
        // Of any shape, at any positions.
        let mut random = Random::new(seed());
        for _ in 0..times(30, 2_000) {
            let mut below = |limit: usize| usize::try_from(random.below(limit as u64)).expect("small");
            let (row, pads) = (1 << below(8), 1 + below(48));
            let length_bits = (4 * (row + pads)).next_power_of_two().ilog2() as usize;
            let mut positions = BTreeSet::new();
            while positions.len() < pads {
                positions.insert(below(1 << length_bits));
            }
            let root = Element::two_adic_generator(length_bits);
            let matrix: Vec<Vec<Element>> = positions
                .iter()
                .map(|position| (0..pads).map(|j| root.exp_u64((position * (row + j)) as u64)).collect())
                .collect();
            assert_eq!(crate::field::rank(matrix), pads, "{row} elements, {positions:?}");
        }
    }

    #[test]
    fn weights_of_coefficients_are_the_powers_of_the_opened_places() {
        for (count, openings) in [(30, 1), (5000, 32)] {
            let shape = Shape::new(count, openings).expect("in bounds");
            let positions = [0, 1, 511, 512, 777, (1 << shape.length_bits) - 1];
            let weights: Vec<Challenge> = (1..7).map(Challenge::from_u32).collect();
            let coefficients = shape.coefficients(&positions, &weights);
            let root = Element::two_adic_generator(shape.length_bits);
            for j in [0, 1, 2, 100, 513, shape.row + shape.pads - 1] {
                let power = |position: usize| root.exp_u64((position * j) as u64);
                let terms =
                    positions.iter().zip(&weights).map(|(position, weight)| *weight * power(*position));
                assert_eq!(coefficients[j], terms.sum::<Challenge>(), "coefficient {j}");
            }
        }
    }

    #[test]
    fn the_same_seed_commits_alike_and_sizes_are_bounded() {
        assert_eq!(parameters(600, 4).registered(), parameters(600, 4).registered());
        assert!(Shape::new(0, 1).is_err() && Shape::new(1, 0).is_err());
        assert!(Shape::new(1, OPENINGS_MAX + 1).is_err() && Shape::new((1 << 24) + 1, 1).is_err());
        for (count, openings) in [(1, 1), (548, 32), (61_706, 32), (1 << 24, OPENINGS_MAX)] {
            let shape = Shape::new(count, openings).expect("in bounds");
            assert!(shape.elements() >= count && shape.length_bits <= LENGTH_BITS_MAX);
            let registered = Registered { shape, root: [0; 32] };
            assert!(registered.missed().log2() < -104.0, "{shape:?}");
        }
    }
}
