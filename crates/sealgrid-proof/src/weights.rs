//! The commitment to a model's private parameters: made once, used in many proofs (docs/design/0005).
//!
//! The parameters, as elements, fill the rows of a matrix; behind each row stand pads, uniform elements. Every row is encoded as a Reed-Solomon word
//! (its elements are the coefficients of a polynomial, the word its values at the roots of unity), and a Merkle tree with salted leaves
//! stands over the columns of all words: its root is the commitment.
//!
//! A proof commits to parameters and pads anew, in its own vector, and opens columns here ([`Level`] says how many) at positions that are drawn afterwards. What stands in
//! the vector encodes to what was opened, which is linear in the vector. Any columns, as many as there are pads in a row, are uniform whatever
//! the parameters are: the pads' coefficients are neighbours, so they are an invertible Vandermonde system away from the opened values. So a commitment with
//! pads for `R` openings bears `R` proofs, and not one more.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

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
use crate::field::{Challenge, DEGREE, Element, LANES, Packed, basis, equality_within, random, unpack, wipe};
use crate::folding::Factor as _;
use crate::hidden::Hidden;
use crate::level::Level;
use crate::order::powers;
use crate::transcript::WORK_BITS;

/// Most openings that a commitment may be made for.
pub const OPENINGS_MAX: u32 = 1 << 12;
/// From so many parameters on a proof's vector holds a combination of rows instead of all of them.
const COMBINED_MIN: usize = 1 << 17;
/// How much longer rows are than they are many, as a logarithm, where they are combined.
const COMBINED_BITS: u32 = 7;
/// Words are at most as long as the field has roots of unity.
const LENGTH_BITS_MAX: usize = 24;

/// Salted: whoever has seen all openings could otherwise try parameters against the leaves that were not opened.
type Salted = Trees<ChaCha20Rng>;
/// Columns, and the paths to the root.
pub(crate) type ShownColumns = (Vec<Vec<Vec<Element>>>, <Salted as p3_commit::Mmcs<Element>>::MultiProof);

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
    /// What proofs about it are made for: how many columns each opens.
    level: Level,
    /// Elements.
    count: usize,
    /// Elements of a row, a power of two.
    row: usize,
    /// Pads behind a row.
    pads: usize,
    /// Logarithm of a word's length.
    length_bits: usize,
    /// Whether a proof's vector holds a combination of the rows, and not all of them.
    is_combined: bool,
}

impl Shape {
    /// Of `count` parameters, to be opened `openings` times.
    ///
    /// # Errors
    /// [`BadShape`].
    pub fn new(level: Level, count: usize, openings: u32) -> Result<Self, BadShape> {
        if count == 0 || count > 1 << LENGTH_BITS_MAX || openings == 0 || openings > OPENINGS_MAX {
            return Err(BadShape);
        }
        if count >= COMBINED_MIN {
            return Self::combined(level, count, openings);
        }
        // Few rows, because each brings pads; short ones, because the tree has a leaf for each of their codeword's elements.
        let bits = count.next_power_of_two().ilog2();
        let row_bits = bits.saturating_sub(2).clamp(bits.clamp(11, 13), 16);
        Ok(Self::of_rows(level, count, row_bits, openings))
    }

    /// The same, of which a proof's vector holds a combination of rows, however few there are.
    ///
    /// # Errors
    /// [`BadShape`].
    pub(crate) fn combined(level: Level, count: usize, openings: u32) -> Result<Self, BadShape> {
        if count == 0 || count > 1 << LENGTH_BITS_MAX || openings == 0 || openings > OPENINGS_MAX {
            return Err(BadShape);
        }
        // A proof commits to five elements for each of a row, and opens as many columns as long as there are rows.
        let row_bits = (count.next_power_of_two().ilog2() + COMBINED_BITS).div_ceil(2).clamp(6, 16);
        Ok(Self { is_combined: true, ..Self::of_rows(level, count, row_bits, openings) })
    }

    /// Of the values of one run, to be opened once.
    ///
    /// # Errors
    /// [`BadShape`].
    pub(crate) fn of_values(level: Level, count: usize) -> Result<Self, BadShape> {
        if count == 0 || count > 1 << LENGTH_BITS_MAX {
            return Err(BadShape);
        }
        // The same with few pads: a row is mostly hardly longer than these.
        let row_bits = count.next_power_of_two().ilog2().saturating_sub(2).clamp(6, 16);
        Ok(Self::of_rows(level, count, row_bits, 1))
    }

    /// Of what a proof commits to before a combination of rows, to be opened once.
    pub(crate) fn of_first(level: Level, count: usize) -> Self {
        // Some sixteen rows: a column of these is not long, and the fewer there are, the more leaves has the tree.
        let row_bits = count.next_power_of_two().ilog2().saturating_sub(4).clamp(6, 16);
        Self::of_rows(level, count, row_bits, 1)
    }

    fn of_rows(level: Level, count: usize, row_bits: u32, openings: u32) -> Self {
        let pads = openings as usize * level.columns();
        let length_bits = (4 * ((1 << row_bits) + pads)).next_power_of_two().ilog2() as usize;
        Self { level, count, row: 1 << row_bits, pads, length_bits, is_combined: false }
    }

    /// Whether a proof's vector holds a combination of the rows.
    pub(crate) fn is_combined(self) -> bool {
        self.is_combined
    }

    /// Elements of a combination of rows and their pads, [`DEGREE`] each.
    pub(crate) fn combination(self) -> usize {
        DEGREE * (self.row + self.pads)
    }

    /// Elements of a row.
    pub(crate) fn row(self) -> usize {
        self.row
    }

    /// Where the rows' combination and its pads stand in what a proof holds of them: which coefficients, and where they begin, coordinate by coordinate.
    fn combined_parts(self) -> impl Iterator<Item = (Range<usize>, usize)> {
        let pads = self.pad_parts().map(move |part| self.row + part.start..self.row + part.end);
        std::iter::once(0..self.row).chain(pads).map(|part| (part.clone(), DEGREE * part.start))
    }

    /// A point of the cube of all elements: what weighs the rows, and the coordinates within a row.
    fn split(self, point: &[Challenge]) -> (Vec<Challenge>, &[Challenge]) {
        let (rows, within) = point.split_at(point.len() - self.row.ilog2() as usize);
        (equality_within(rows, 0..self.rows()), within)
    }

    /// What weighs a combination of rows, as [`Parameters::combination`] spells it, so that it comes to the elements' value at `point`, given that the rows were
    /// combined there.
    pub(crate) fn at(self, point: &[Challenge]) -> Part {
        let (_, within) = self.split(point);
        Part::equal_rows((0..DEGREE).map(basis).collect(), within.to_vec())
    }

    /// What proofs about it are made for.
    pub(crate) fn level(self) -> Level {
        self.level
    }

    /// Parameters.
    pub(crate) fn count(self) -> usize {
        self.count
    }

    /// Openings that it bears.
    pub(crate) fn openings(self) -> u32 {
        u32::try_from(self.pads / self.level.columns()).expect("at most 2^12")
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

    /// The parts of a row's pads, powers of two, which stand apart in a vector: those of all rows one behind the other.
    fn pad_parts(self) -> impl Iterator<Item = Range<usize>> {
        powers(self.pads)
    }

    fn dimensions(self) -> Dimensions {
        Dimensions { width: self.rows(), height: 1 << self.length_bits }
    }
}

/// Columns that were opened, weighed: what coefficients of rows have to do with them.
#[derive(Debug)]
pub(crate) struct Opened {
    length_bits: usize,
    positions: Vec<usize>,
    weights: Vec<Challenge>,
    coefficients: OnceLock<Vec<Challenge>>,
}

impl Opened {
    fn new(shape: Shape, positions: Vec<usize>, weights: Vec<Challenge>) -> Self {
        Self { length_bits: shape.length_bits, positions, weights, coefficients: OnceLock::new() }
    }

    /// `Σ_i weight_i · ω^(position_i·j)`: what the `j`-th coefficient of every row has to do with the opened columns, for all `j` below a word's length.
    pub(crate) fn coefficients(&self) -> &[Challenge] {
        self.coefficients.get_or_init(|| {
            // Few positions are opened, so with j = width·j' + j'' the sum over positions that are equal modulo the height is taken first, for each j'';
            // what is left are short transforms side by side.
            let height_bits = self.length_bits.min(9);
            let (height, width) = (1 << height_bits, 1 << (self.length_bits - height_bits));
            let root = Element::two_adic_generator(self.length_bits);
            let mut sums = vec![Challenge::ZERO; height * width];
            for (position, weight) in self.positions.iter().zip(&self.weights) {
                let (root, mut weight) = (root.exp_u64(*position as u64), *weight);
                for sum in &mut sums[position % height * width..][..width] {
                    *sum += weight;
                    weight *= root;
                }
            }
            Radix2DFTSmallBatch::<Element>::default()
                .dft_algebra_batch(RowMajorMatrix::new(sums, width))
                .values
        })
    }

    /// `Σ_j coefficient_(first + j) · eq(point, j)` over a cube: powers of a root are a product over the cube's variables, so no coefficient is made.
    pub(crate) fn at(&self, first: usize, point: &[Challenge]) -> Challenge {
        let root = Element::two_adic_generator(self.length_bits);
        let of_position = |(position, weight): (&usize, &Challenge)| {
            let root = root.exp_u64(*position as u64);
            let mut power = root;
            let mut product = *weight * root.exp_u64(first as u64);
            for coordinate in point.iter().rev() {
                product *= *coordinate * (power - Element::ONE) + Element::ONE;
                power = power.square();
            }
            product
        };
        self.positions.iter().zip(&self.weights).map(of_position).sum()
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
    pub fn commit(
        level: Level,
        parameters: &[Element],
        openings: u32,
        seed: &Secret<32>,
    ) -> Result<Self, BadShape> {
        Ok(Self::in_shape(Shape::new(level, parameters.len(), openings)?, parameters, seed))
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

    /// What a cheat has instead: another element than the one that was committed to.
    #[cfg(test)]
    pub(crate) fn changed(mut self, place: usize) -> Self {
        let elements = self.elements.len();
        let place =
            if place < elements { &mut self.elements[place] } else { &mut self.pads[place - elements] };
        *place += Element::ONE;
        self
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

    /// What a content, or a part of it, begins with: the parameters, zeros behind them, and the pads, each part of them row by row.
    pub(crate) fn begin(&self, content: &mut [Element]) {
        let (elements, pads) = content[..self.registered.shape.taken()].split_at_mut(self.elements.len());
        elements.copy_from_slice(&self.elements);
        let shape = self.registered.shape;
        for part in shape.pad_parts() {
            let to = pads[shape.rows() * part.start..].chunks_exact_mut(part.len());
            to.zip(self.pads.chunks_exact(shape.pads))
                .for_each(|(to, row)| to.copy_from_slice(&row[part.clone()]));
        }
    }

    /// The combination of all rows, pads included, by what weighs them at a point of the elements' cube: each part of it coordinate by coordinate.
    pub(crate) fn combination(&self, point: &[Challenge]) -> Vec<Element> {
        let shape = self.registered.shape;
        let (weights, _) = shape.split(point);
        let mut packs = [shape.row, shape.pads].map(|count| vec![Packed::ZERO; count.div_ceil(LANES)]);
        let [elements, pads] = &mut packs;
        for (row, weight) in weights.into_iter().enumerate() {
            Element::row(elements, weight, &self.elements[row * shape.row..][..shape.row]);
            Element::row(pads, weight, &self.pads[row * shape.pads..][..shape.pads]);
        }
        let mut combined = unpack(elements);
        combined.truncate(shape.row);
        combined.extend(unpack(pads));
        packs.iter_mut().for_each(|packs| wipe(packs));
        let mut coordinates = Vec::with_capacity(shape.combination());
        for (part, _) in shape.combined_parts() {
            for coordinate in 0..DEGREE {
                let of =
                    |element: &Challenge| -> Element { element.as_basis_coefficients_slice()[coordinate] };
                coordinates.extend(combined[part.clone()].iter().map(of));
            }
        }
        wipe(&mut combined);
        coordinates
    }

    /// Opens the columns that are drawn now.
    pub(crate) fn prove(&self, channel: &mut Prover<'_>) {
        // The challenge is the verifier's, to weigh rows with.
        let _rows = channel.challenge();
        self.open(channel);
    }

    /// The same where the rows are combined already.
    pub(crate) fn open(&self, channel: &mut Prover<'_>) {
        channel.work();
        let positions = positions(self.registered.shape, |bits| channel.position(bits));
        let opened: ShownColumns = unsalted().open_multi_batch(&positions, &self.tree);
        channel.attach(postcard::to_allocvec(&opened).expect("plain data in memory"));
        let _columns = channel.challenge();
    }
}

/// The columns to open, ascending, none twice.
fn positions(shape: Shape, mut position: impl FnMut(usize) -> usize) -> Vec<usize> {
    let drawn: BTreeSet<usize> = (0..shape.level.columns()).map(|_| position(shape.length_bits)).collect();
    drawn.into_iter().collect()
}

impl Registered {
    /// Checks that in a content what was committed to stands from `start` on, the parameters and then their pads: what is left to show of the content,
    /// and to look at of what was opened.
    ///
    /// # Errors
    /// [`ProofError`].
    pub(crate) fn verify<'c>(
        &self,
        channel: &mut Verifier<'c>,
        start: usize,
    ) -> Result<impl FnOnce() -> Result<ContentClaim, ProofError> + Send + use<'c>, ProofError> {
        let shape = self.shape;
        let row = channel.challenge();
        let opening = Opening::hear(self, channel)?;
        Ok(move || {
            let rows: Vec<Challenge> = row.powers().take(shape.rows()).collect();
            let (opened, value) = opening.check(&rows)?;
            let mut functional = vec![Part::opened(start, rows.clone(), &opened, &(0..shape.row))];
            let start = start + shape.elements();
            functional.extend(shape.pad_parts().map(|part| {
                let own = shape.row + part.start..shape.row + part.end;
                Part::opened(start + shape.rows() * part.start, rows.clone(), &opened, &own)
            }));
            Ok(ContentClaim { functional, value: Hidden::known(value) })
        })
    }

    /// Checks that what stands in a proof's vector is the combination of the rows, by what weighs them at `point`. That the rows are words, or nearly, is
    /// the registration's own proof's to show.
    ///
    /// # Errors
    /// [`ProofError`].
    pub(crate) fn verify_combination<'c>(
        &self,
        channel: &mut Verifier<'c>,
        point: Vec<Challenge>,
    ) -> Result<impl FnOnce() -> Result<ContentClaim, ProofError> + Send + use<'c>, ProofError> {
        let shape = self.shape;
        let opening = Opening::hear(self, channel)?;
        Ok(move || {
            let (rows, _) = shape.split(&point);
            let (opened, value) = opening.check(&rows)?;
            let coordinates: Vec<Challenge> = (0..DEGREE).map(basis).collect();
            let part = |(own, start): (Range<usize>, usize)| {
                Part::opened(start, coordinates.clone(), &opened, &own).of_second()
            };
            let functional = shape.combined_parts().map(part).collect();
            Ok(ContentClaim { functional, value: Hidden::known(value) })
        })
    }

    /// The columns at `positions` that `bytes` show.
    fn opened(&self, positions: &[usize], bytes: &[u8]) -> Result<Vec<Vec<Element>>, ProofError> {
        let (values, proof): ShownColumns = read(bytes)?;
        let one_matrix = values.iter().all(|matrices| matrices.len() == 1);
        if values.len() != positions.len() || !one_matrix {
            return Err(ProofError::Wrong);
        }
        let cap = MerkleCap::new(vec![self.root]);
        let dimensions = [self.shape.dimensions()];
        guarded(|| unsalted().verify_multi_batch(&cap, &dimensions, positions, &values, &proof))?;
        Ok(values.into_iter().flatten().collect())
    }

    /// Numerator of the soundness error of a combination besides [`Registered::missed`]: a degree for each column.
    pub(crate) fn combination_errors(&self) -> u64 {
        self.shape.level.columns() as u64
    }

    /// Numerator of the soundness error besides [`Registered::missed`]: a word's length for each row that is folded in (within the unique
    /// radius; eprint 2020/654, theorem 6.1), a degree for each column.
    pub(crate) fn errors(&self) -> u64 {
        ((self.shape.rows() << self.shape.length_bits) + self.shape.level.columns()) as u64
    }

    /// The probability that other parameters agree at all opened columns, for one who does the work once.
    pub(crate) fn missed(&self) -> f64 {
        let rate = (self.shape.row + self.shape.pads) as f64 / (1u64 << self.shape.length_bits) as f64;
        let each = f64::midpoint(1.0, rate);
        each.powi(i32::try_from(self.shape.level.columns()).expect("few")) * (-(WORK_BITS as f64)).exp2()
    }
}

/// Columns that a prover has opened, not looked at yet.
struct Opening<'c> {
    of: Registered,
    positions: Vec<usize>,
    bytes: &'c [u8],
    column: Challenge,
}

impl<'c> Opening<'c> {
    fn hear(of: &Registered, channel: &mut Verifier<'c>) -> Result<Self, ProofError> {
        channel.worked()?;
        let positions = positions(of.shape, |bits| channel.position(bits));
        let bytes = channel.attached()?;
        Ok(Self { of: of.clone(), positions, bytes, column: channel.challenge() })
    }

    /// The columns as the coefficients have to do with them, and what they come to where `rows` weigh the rows.
    fn check(self, rows: &[Challenge]) -> Result<(Arc<Opened>, Challenge), ProofError> {
        let columns = self.of.opened(&self.positions, self.bytes)?;
        let weights: Vec<Challenge> = self.column.powers().take(self.positions.len()).collect();
        let mut value = Challenge::ZERO;
        for (column, weight) in columns.iter().zip(&weights) {
            let sum: Challenge = rows.iter().zip(column).map(|(row, element)| *row * *element).sum();
            value += *weight * sum;
        }
        Ok((Arc::new(Opened::new(self.of.shape, self.positions, weights)), value))
    }
}

#[cfg(test)]
mod tests {
    use sealgrid_graph::arbitrary::Random;

    use super::*;
    use crate::argument::{self, Conversation, Later};
    use crate::field::evaluate;
    use crate::file::evidence::{seed, times};
    use crate::lookups::{Pulled, Witness};
    use crate::transcript::Transcript;

    /// A content that is parameters and pads, about which nothing else is said.
    struct Alone<'p> {
        registered: Registered,
        parameters: Option<&'p Parameters>,
    }

    impl Conversation for Alone<'_> {
        fn level(&self) -> Level {
            self.registered.shape.level
        }

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
            Ok(vec![Box::new(|| Ok(vec![registered()?]))])
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
        Parameters::commit(Level::default(), &elements, 3, &Secret::new([seed; 32])).expect("small")
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
            assert!((100.0..105.0).contains(&bits), "{bits}");
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
        let level = Level::default();
        let shape = Shape { level, count: 8, row: 8, pads: 16, length_bits: 7, is_combined: false };
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
            let shape = Shape::new(Level::default(), count, openings).expect("in bounds");
            let positions = [0, 1, 511, 512, 777, (1 << shape.length_bits) - 1];
            let weights: Vec<Challenge> = (1..7).map(Challenge::from_u32).collect();
            let opened = Opened::new(shape, positions.to_vec(), weights.clone());
            let coefficients = opened.coefficients();
            let root = Element::two_adic_generator(shape.length_bits);
            for j in [0, 1, 2, 100, 513, shape.row + shape.pads - 1] {
                let power = |position: usize| root.exp_u64((position * j) as u64);
                let terms =
                    positions.iter().zip(&weights).map(|(position, weight)| *weight * power(*position));
                assert_eq!(coefficients[j], terms.sum::<Challenge>(), "coefficient {j}");
            }
            for (first, bits) in [(0, 0), (5, 3), (shape.row, 7)] {
                let point: Vec<Challenge> = (0..bits).map(|at| Challenge::from_u32(3 * at + 7)).collect();
                let expected = evaluate(&coefficients[first..][..1 << bits], &point);
                assert_eq!(opened.at(first, &point), expected, "{bits} variables from {first} on");
            }
        }
    }

    #[test]
    fn the_same_seed_commits_alike_and_sizes_are_bounded() {
        assert_eq!(parameters(600, 4).registered(), parameters(600, 4).registered());
        for (count, openings) in [(0, 1), (1, 0), (1, OPENINGS_MAX + 1), ((1 << 24) + 1, 1)] {
            assert!(Shape::new(Level::default(), count, openings).is_err());
        }
        for (count, openings) in [(1, 1), (548, 32), (61_706, 32), (1 << 24, OPENINGS_MAX)] {
            let shape = Shape::new(Level::default(), count, openings).expect("in bounds");
            assert!(shape.elements() >= count && shape.length_bits <= LENGTH_BITS_MAX);
            let registered = Registered { shape, root: [0; 32] };
            assert!(registered.missed().log2() < -104.0, "{shape:?}");
        }
    }
}
