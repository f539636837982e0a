//! A whole argument about one committed vector: the commitment, a conversation whose claims are linear in the vector, all of them merged into one
//! functional, the last step, the opening.
//!
//! ```text
//! vector = content | pads, five elements each | zeros | the block that masks the last step
//! ```
//!
//! The statement must be in the transcript before; nothing is drawn before the commitment is.
//!
//! A content may have a second part, which follows from what is drawn: a combination of rows of registered parameters, all of which would be a far longer
//! vector. Then content and pads are committed to by columns, as registered parameters are; the conversation is about these; in the middle of it the second part
//! is known, and the vector is committed to:
//!
//! ```text
//! vector = second part | zeros | content | pads | zeros | the columns' own pads | zeros | the block
//! ```
//!
//! Opened columns show that content and pads in it are those that were committed to before anything was drawn.

use std::ops::Range;
use std::sync::Arc;

use p3_field::{BasedVectorSpace as _, Field as _, PackedFieldExtension as _, PrimeCharacteristicRing as _};
use rand_core::CryptoRng;
use sealgrid_seal::secret::Secret;

use crate::channel::{PadClaim, Pads, ProofError, Prover, Sent, Verifier};
use crate::commit::{
    Commitment, Committed, Scheme, Shown, VARIABLES_MAX, VARIABLES_MIN, opening_bits, read_opening,
};
use crate::field::{
    Challenge, DEGREE, Element, LANES, PACKS_OF_A_THREAD, add_scaled, basis, equality, equality_at,
    equality_of_both, equality_within, evaluate_from, pack, random, soundness_bits, wipe,
};
use crate::hidden::Hidden;
use crate::last::{self, Block, Last};
use crate::level::Level;
use crate::lookups::{Pulled, Witness};
use crate::threads::{beside, each};
use crate::transcript::Transcript;
use crate::weights::{Opened, Parameters, Registered, Shape};

/// A claim about the content: `Σ functional·content = value`.
#[derive(Clone, Debug)]
pub struct ContentClaim {
    /// What weighs the content, part by part; parts may overlap, and then add up.
    pub functional: Vec<Part>,
    /// What they come to.
    pub value: Hidden,
}

/// What weighs a part of the content.
#[derive(Clone, Debug)]
pub struct Part {
    start: usize,
    /// Whether it weighs the content's second part.
    is_second: bool,
    weights: Weights,
}

#[derive(Clone, Debug)]
enum Weights {
    /// Places of several records, or rows of several elements: the weight of `content[start + place·R + record]` is `places[place]·records[record]`. `R`, the
    /// number of `records`, is a power of two, and `start` a multiple of it.
    Product(Product),
    /// Of `content[i]`, for `i` below a count, `eq(point, i)`. It begins where the content does.
    Equal { count: usize, point: Vec<Challenge> },
    /// Rows of `2^bits` elements that stand aligned, each weighed with coefficients of opened columns from the first one on.
    Opened { rows: Vec<Challenge>, opened: Arc<Opened>, first: usize, bits: usize },
    /// Rows that stand aligned, whose elements weigh `eq(point, i)`.
    EqualRows { rows: Vec<Challenge>, point: Vec<Challenge> },
}

#[derive(Clone, Debug)]
struct Product {
    places: Vec<Challenge>,
    records: Vec<Challenge>,
}

impl Part {
    /// One weight an element, from `start` on.
    #[must_use]
    pub fn plain(start: usize, weights: Vec<Challenge>) -> Self {
        Self {
            start,
            is_second: false,
            weights: Weights::Product(Product { places: weights, records: vec![Challenge::ONE] }),
        }
    }

    /// A weight for each place and one for each record.
    ///
    /// # Panics
    /// When the records are no power of two, or `start` no multiple of it.
    #[must_use]
    pub fn of_records(start: usize, places: Vec<Challenge>, records: &[Challenge]) -> Self {
        assert!(
            records.len().is_power_of_two() && start.is_multiple_of(records.len()),
            "an aligned part, so that its value at a point is a product"
        );
        Self {
            start,
            is_second: false,
            weights: Weights::Product(Product { places, records: records.to_vec() }),
        }
    }

    /// `eq(point, i)` for each `content[i]` with `i` below `count`.
    pub(crate) fn equal(count: usize, point: Vec<Challenge>) -> Self {
        Self { start: 0, is_second: false, weights: Weights::Equal { count, point } }
    }

    /// Rows of elements, which weigh `rows` times those coefficients of opened columns that stand in a range of a power of two.
    pub(crate) fn opened(
        start: usize,
        rows: Vec<Challenge>,
        opened: &Arc<Opened>,
        range: &Range<usize>,
    ) -> Self {
        assert!(range.len().is_power_of_two(), "a part of a power of two");
        if !start.is_multiple_of(range.len()) {
            let own = &opened.coefficients()[range.clone()];
            return Self::plain(start, rows.iter().flat_map(|row| own.iter().map(|it| *row * *it)).collect());
        }
        let bits = range.len().ilog2() as usize;
        let weights = Weights::Opened { rows, opened: Arc::clone(opened), first: range.start, bits };
        Self { start, is_second: false, weights }
    }

    /// Rows of a content's second part, from its beginning on, whose elements weigh `eq(point, i)`.
    pub(crate) fn equal_rows(rows: Vec<Challenge>, point: Vec<Challenge>) -> Self {
        Self { start: 0, is_second: true, weights: Weights::EqualRows { rows, point } }
    }

    /// The same of the content's second part.
    pub(crate) fn of_second(self) -> Self {
        Self { is_second: true, ..self }
    }

    /// The same, farther on.
    fn moved(self, by: usize) -> Self {
        let start = self.start + by;
        let aligned = match &self.weights {
            Weights::Product(product) => product.records.len(),
            Weights::Equal { .. } => usize::MAX,
            Weights::Opened { bits, .. } => 1 << bits,
            Weights::EqualRows { point, .. } => 1 << point.len(),
        };
        if by == 0 || start.is_multiple_of(aligned) {
            return Self { start, ..self };
        }
        let Product { places, records } = self.product();
        Self::plain(start, places.iter().flat_map(|place| records.iter().map(|it| *place * *it)).collect())
    }

    /// How many weights its value at a point is made of one by one.
    fn weights(&self) -> usize {
        match &self.weights {
            Weights::Product(Product { places, records }) => places.len() + records.len(),
            Weights::Opened { rows, .. } | Weights::EqualRows { rows, .. } => rows.len(),
            Weights::Equal { .. } => 0,
        }
    }

    /// Weight by weight.
    fn product(&self) -> Product {
        match &self.weights {
            Weights::Product(product) => product.clone(),
            Weights::Equal { count, point } => {
                let bits = count.next_power_of_two().ilog2() as usize;
                let (outside, within) = point.split_at(point.len().saturating_sub(bits));
                let outside = equality_at(outside, 0);
                let mut places = equality_within(within, 0..*count);
                places.iter_mut().for_each(|place| *place *= outside);
                Product { places, records: vec![Challenge::ONE] }
            }
            Weights::Opened { rows, opened, first, bits } => {
                let records = opened.coefficients()[*first..][..1 << bits].to_vec();
                Product { places: rows.clone(), records }
            }
            Weights::EqualRows { rows, point } => Product { places: rows.clone(), records: equality(point) },
        }
    }

    /// The value of its multilinear extension on the vector's cube.
    fn at(&self, point: &[Challenge]) -> Challenge {
        match &self.weights {
            Weights::Product(Product { places, records }) => {
                let (of_places, of_records) = point.split_at(point.len() - records.len().ilog2() as usize);
                let record = evaluate_from(records, 0, of_records);
                record * evaluate_from(places, self.start / records.len(), of_places)
            }
            Weights::Equal { count, point: of } => equality_of_both(of, point, *count),
            Weights::Opened { rows, opened, first, bits } => {
                let (of_rows, within) = point.split_at(point.len() - bits);
                opened.at(*first, within) * evaluate_from(rows, self.start >> bits, of_rows)
            }
            Weights::EqualRows { rows, point: of } => {
                let (of_rows, within) = point.split_at(point.len() - of.len());
                let each = equality_of_both(of, within, 1 << of.len());
                each * evaluate_from(rows, self.start >> of.len(), of_rows)
            }
        }
    }
}

impl Product {
    /// Adds it, times a factor, to a functional from some place on.
    fn add(&self, factor: Challenge, functional: &mut [Challenge]) {
        let records: Vec<Challenge> = self.records.iter().map(|record| *record * factor).collect();
        let middle = self.places.len() / 2;
        let (low, high) = functional.split_at_mut(middle * records.len());
        let parts = [(low, &self.places[..middle]), (high, &self.places[middle..])];
        let add = |(functional, places): (&mut [Challenge], &[Challenge])| {
            Self::add_places(places, &records, functional);
        };
        if middle * records.len() >= LANES * PACKS_OF_A_THREAD {
            each(parts, add);
        } else {
            parts.into_iter().for_each(add);
        }
    }

    /// Adds the products of `places` and `records` to a functional.
    fn add_places(places: &[Challenge], records: &[Challenge], functional: &mut [Challenge]) {
        if let [one] = records {
            return add_scaled(functional, places, *one);
        }
        let chunks = functional.chunks_exact_mut(records.len()).zip(places);
        // Most parts say nothing of some places.
        let chunks = chunks.filter(|(_, place)| !place.is_zero());
        if records.len() < LANES {
            chunks.for_each(|(chunk, place)| {
                chunk.iter_mut().zip(records).for_each(|(sum, record)| *sum += *record * *place);
            });
        } else {
            let records = pack(records);
            chunks.for_each(|(chunk, place)| {
                for (sums, records) in chunk.chunks_exact_mut(LANES).zip(&records) {
                    let products = *records * *place;
                    for (lane, sum) in sums.iter_mut().enumerate() {
                        let product: Challenge = products.extract(lane);
                        *sum += product;
                    }
                }
            });
        }
    }

    /// Takes on another part from the same place on, times a factor, if it weighs the same records' places.
    fn takes(&mut self, factor: Challenge, other: &Self) -> bool {
        let same = self.places.len() == other.places.len() && self.records == other.records;
        if same {
            let places = self.places.iter_mut().zip(&other.places);
            places.for_each(|(place, other)| *place += factor * *other);
        }
        same
    }
}

/// What is left to show of the content once a conversation was heard, in parts, the longest first; none takes more of it, so they can be worked out beside
/// each other and beside what comes then.
pub type Later<'c> = Vec<LaterClaims<'c>>;
/// One of these parts.
pub type LaterClaims<'c> = Box<dyn FnOnce() -> Result<Vec<ContentClaim>, ProofError> + Send + 'c>;

/// What is said about the content, by both sides alike.
pub trait Conversation {
    /// What its proof is made for.
    fn level(&self) -> Level;

    /// Elements of the content.
    fn content(&self) -> usize;

    /// Elements of a second part of the content, if there is one, which is made of what is drawn when the first is committed to: as many as are told in the middle
    /// of the conversation ([`Prover::second`]).
    fn second(&self) -> Option<usize> {
        None
    }

    /// Pads that the conversation uses, those of its products included.
    fn pads(&self) -> usize;

    /// The prover's words. What it had to work out of that which both sides do need not be done again.
    fn prove(&self, channel: &mut Prover<'_>, witness: &Witness) -> Option<Pulled>;

    /// The verifier's; what is left to show. A prover who hears itself brings what [`Conversation::prove`] yielded.
    ///
    /// # Errors
    /// [`ProofError`].
    fn verify<'c>(
        &'c self,
        channel: &mut Verifier<'c>,
        pulled: Option<Pulled>,
    ) -> Result<Later<'c>, ProofError>;

    /// Numerator of the soundness error of [`Conversation::verify`], the channel's own excluded.
    fn errors(&self) -> u64;

    /// What a cheat does to the vector before it commits to that in the middle of the conversation.
    #[cfg(test)]
    fn spoil(&self, _vector: &mut [Element]) {}

    /// What its spot checks miss, which is no fraction of the challenges: a probability.
    fn missed(&self) -> f64 {
        0.0
    }
}

/// What the prover sends.
#[derive(Clone, Debug)]
pub struct Argument {
    /// To the vector.
    pub commitment: Commitment,
    /// The conversation's messages.
    pub wires: Vec<Challenge>,
    /// What it says that is no element.
    pub attached: Vec<Vec<u8>>,
    /// The last step's messages.
    pub last: Vec<Challenge>,
    /// The opening.
    pub opening: Vec<u8>,
}

/// Too much for one proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// A conversation has more content and pads than a vector may have elements.
    #[error("a proof of {0} elements; 2^24 are the most")]
    Elements(usize),
    /// Of a proof as long as this one more bits are lost than its level leaves.
    #[error("a proof of 2^{variables} elements does not reach {level}")]
    Level {
        /// What was asked for.
        level: Level,
        /// Logarithm of the vector's length.
        variables: usize,
    },
}

/// Where everything stands in the vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// Where the content begins: behind its second part.
    start: usize,
    content: usize,
    pads: usize,
    /// How content and pads are committed to before the second part is known, if there is one.
    first: Option<Shape>,
    variables: usize,
    block: Block,
}

impl Layout {
    fn of(conversation: &impl Conversation) -> Result<Self, TooLarge> {
        let (content, pads, second) = (conversation.content(), conversation.pads(), conversation.second());
        let known = content + DEGREE * pads;
        let first = second.map(|_| Shape::of_first(conversation.level(), known));
        // Aligned, so that what weighs rows of it is a product.
        let start = match (second, first) {
            (Some(second), Some(first)) => second.next_multiple_of(first.row()),
            _ => 0,
        };
        let taken = start + first.map_or(known, Shape::taken);
        let elements = |variables| taken + (1 << Block::variables_for(variables));
        let variables = (VARIABLES_MIN..=VARIABLES_MAX)
            .find(|variables| elements(*variables) <= 1 << variables)
            .ok_or_else(|| TooLarge::Elements(elements(VARIABLES_MAX)))?;
        let block = Block::variables_for(variables);
        let last = (1 << (variables - block)) - 1;
        Ok(Self { start, content, pads, first, variables, block: Block { number: last, variables: block } })
    }

    /// A part of the content, in the vector.
    fn placed(&self, part: Part) -> Part {
        if part.is_second { part } else { part.moved(self.start) }
    }

    /// Fills a vector up: zeros, and the block that masks the last step.
    fn fill(&self, vector: &mut Vec<Element>, rng: &mut impl CryptoRng) {
        vector.resize((1 << self.variables) - (1 << self.block.variables), Element::ZERO);
        while vector.len() < 1 << self.variables {
            let coefficients = random(rng);
            let coefficients = coefficients.as_basis_coefficients_slice();
            let room = (1 << self.variables) - vector.len();
            vector.extend_from_slice(&coefficients[..room.min(DEGREE)]);
        }
    }
}

/// What all claims weigh as one, about the whole vector.
struct Merged(Vec<(Challenge, Part)>);

impl Merged {
    /// Claims weighed with powers of `weight`, and what is said of the pads, which stand behind the content; with what it comes to.
    fn new(
        layout: &Layout,
        claims: Vec<ContentClaim>,
        said: PadClaim,
        weight: Challenge,
    ) -> (Self, Challenge) {
        let (of_pads, value) = merged_pads(layout, claims.iter().map(|claim| &claim.value), said, weight);
        let mut parts = Vec::new();
        for (claim, power) in claims.into_iter().zip(weight.powers().skip(1)) {
            parts.extend(claim.functional.into_iter().map(|part| (power, layout.placed(part))));
        }
        parts.push((Challenge::ONE, of_pads));
        (Self(parts), value)
    }

    fn functional(&self, layout: &Layout) -> Vec<Challenge> {
        let mut functional = vec![Challenge::ZERO; 1 << layout.variables];
        // Several claims weigh the same records: they are merged before each place is multiplied by each record.
        let mut merged: Vec<(usize, Product)> = Vec::new();
        for (factor, part) in &self.0 {
            let mut product = part.product();
            if product.records.len() == 1 {
                product.add(*factor, &mut functional[part.start..]);
            } else if !merged
                .iter_mut()
                .any(|(start, own)| *start == part.start && own.takes(*factor, &product))
            {
                product.places.iter_mut().for_each(|place| *place *= *factor);
                merged.push((part.start, product));
            }
        }
        merged.iter().for_each(|(start, product)| product.add(Challenge::ONE, &mut functional[*start..]));
        functional
    }

    #[cfg(test)]
    fn at(&self, point: &[Challenge]) -> Challenge {
        self.0.iter().map(|(factor, part)| *factor * part.at(point)).sum()
    }
}

/// What weighs the pads where claims of these values are weighed with powers of `weight`, and what everything comes to.
fn merged_pads<'v>(
    layout: &Layout,
    values: impl Iterator<Item = &'v Hidden>,
    said: PadClaim,
    weight: Challenge,
) -> (Part, Challenge) {
    let PadClaim { mut coefficients, mut value } = said;
    for (claimed, power) in values.zip(weight.powers().skip(1)) {
        for (pad, coefficient) in claimed.terms() {
            coefficients[*pad as usize] -= power * *coefficient;
        }
        value += power * claimed.constant();
    }
    let weights = |coefficient: Challenge| (0..DEGREE).map(move |at| coefficient * basis(at));
    let pads = coefficients.into_iter().take(layout.pads).flat_map(weights).collect();
    (Part::plain(layout.start + layout.content, pads), value)
}

/// A claim of which the functional was worked out at the point where the vector is opened.
struct ClaimAt {
    value: Hidden,
    at: Challenge,
}

/// Weights of claims from which on they are evaluated by two threads; tests do both.
const WEIGHTS_OF_TWO_THREADS: usize = if cfg!(test) { 1 << 11 } else { 1 << 16 };

impl ClaimAt {
    fn of(claim: ContentClaim, layout: &Layout, point: &[Challenge]) -> Self {
        let parts = claim.functional.into_iter().map(|part| layout.placed(part).at(point));
        Self { value: claim.value, at: parts.sum() }
    }

    fn all(claims: Vec<ContentClaim>, layout: &Layout, point: &[Challenge]) -> Vec<Self> {
        let weights = claims.iter().flat_map(|claim| &claim.functional).map(Part::weights).sum::<usize>();
        let evaluate = |claim| move || Self::of(claim, layout, point);
        let claims = claims.into_iter().map(evaluate);
        if weights < WEIGHTS_OF_TWO_THREADS {
            return claims.map(|evaluate| evaluate()).collect();
        }
        beside(|| (), claims.collect()).1
    }
}

/// Variables of the vector that a conversation needs.
///
/// # Errors
/// [`TooLarge`] when there is no room for it, or its level out of reach.
pub fn variables(conversation: &impl Conversation) -> Result<usize, TooLarge> {
    let layout = Layout::of(conversation)?;
    let (level, variables) = (conversation.level(), layout.variables);
    if soundness(conversation, &layout, SPOKEN_MAX) < f64::from(level.bits()) {
        return Err(TooLarge::Level { level, variables });
    }
    Ok(variables)
}

/// More than what is said in any conversation adds to the numerator of its error, and the claims that are left.
const SPOKEN_MAX: u64 = 1 << 20;

/// Bits of soundness, all steps added up, where what is said and the claims that are left add so much to the numerator of the error.
fn soundness(conversation: &impl Conversation, layout: &Layout, spoken: u64) -> f64 {
    let errors = spoken + conversation.errors() + last::errors(layout.variables, layout.block);
    let first = layout.first.map(|shape| Registered { shape, root: [0; 32] });
    let (first_errors, first_missed) = first.map_or((0, 0.0), |first| (first.errors(), first.missed()));
    let interactive = (-soundness_bits(errors + first_errors)).exp2();
    let opening = (-opening_bits(conversation.level(), layout.variables)).exp2();
    -(interactive + first_missed + conversation.missed() + opening).log2()
}

/// Commits to the content and shows what the conversation says of it. `transcript` has absorbed the statement.
///
/// # Errors
/// [`TooLarge`].
///
/// # Panics
/// When the content has another length than the conversation's, or what is said of it is not true.
pub fn prove(
    conversation: &impl Conversation,
    witness: &Witness,
    transcript: Transcript,
    rng: &mut impl CryptoRng,
) -> Result<Argument, TooLarge> {
    assert!(witness.content.len() == conversation.content(), "the conversation's content");
    let layout = Layout::of(conversation)?;
    let scheme = Scheme::new(conversation.level(), layout.variables, rng);
    let pads = Pads::random(rng, layout.pads);
    let prover = Committing { layout, scheme: &scheme, pads: &pads };
    let Said { sent, pulled, transcript, committed } = match layout.first {
        None => prover.at_once(conversation, witness, transcript, rng),
        Some(shape) => prover.in_two(shape, conversation, witness, transcript, rng),
    };
    let Sent { wires, attached, used } = sent;
    assert!(used == layout.pads, "as many pads as announced");
    let commitment = committed.commitment().clone();
    // What it comes to is told to both sides by the same words.
    let absorb = |transcript: &mut Transcript| scheme.absorb(transcript, &commitment);
    let mut channel = Verifier::new(transcript, &wires, &attached).with_second(&absorb);
    let claims = hear(conversation, &layout, &mut channel, pulled).and_then(in_order);
    let (said, mut transcript) = channel.finish().expect("an honest conversation");
    let weight = transcript.challenge();
    let (merged, _) = Merged::new(&layout, claims.expect("an honest conversation"), said, weight);
    let functional = merged.functional(&layout);
    let (last, openings) = last::prove(&mut transcript, committed.values(), functional, layout.block);
    let opening = scheme.open(&mut transcript, committed, &openings.map(|opening| opening.point));
    Ok(Argument { commitment, wires, attached, last, opening })
}

/// What a prover has said, what it need not work out again, and the transcript that whoever hears it begins with.
struct Said {
    sent: Sent,
    pulled: Option<Pulled>,
    transcript: Transcript,
    committed: Committed,
}

/// A prover before its first word.
struct Committing<'s> {
    layout: Layout,
    scheme: &'s Scheme,
    pads: &'s Pads,
}

impl Committing<'_> {
    /// What is known before the first challenge: content and pads, with room for so many elements.
    fn known(&self, witness: &Witness, room: usize) -> Vec<Element> {
        let mut known = Vec::with_capacity(room);
        known.extend_from_slice(&witness.content);
        let pads = self.pads.expose().iter();
        pads.for_each(|pad| known.extend_from_slice(pad.as_basis_coefficients_slice()));
        known
    }

    /// Commits to everything, and then speaks.
    fn at_once(
        &self,
        conversation: &impl Conversation,
        witness: &Witness,
        mut transcript: Transcript,
        rng: &mut impl CryptoRng,
    ) -> Said {
        let mut vector = self.known(witness, 1 << self.layout.variables);
        self.layout.fill(&mut vector, rng);
        let committed = self.scheme.commit(&mut transcript, vector);
        let mut channel = Prover::new(transcript.clone(), self.pads);
        let pulled = conversation.prove(&mut channel, witness);
        Said { sent: channel.finish(), pulled, transcript, committed }
    }

    /// Commits to what is known, speaks, and commits to it again beside the second part once that is drawn; then shows that it is the same.
    fn in_two(
        &self,
        shape: Shape,
        conversation: &impl Conversation,
        witness: &Witness,
        transcript: Transcript,
        rng: &mut impl CryptoRng,
    ) -> Said {
        let seed = Secret::random(rng);
        let mut known = self.known(witness, self.layout.content + DEGREE * self.layout.pads);
        let first = Parameters::in_shape(shape, &known, &seed);
        wipe(&mut known);
        let mut committed = None;
        let mut channel = Prover::new(transcript.clone(), self.pads).with_second(|transcript, second| {
            let mut vector = Vec::with_capacity(1 << self.layout.variables);
            vector.extend_from_slice(second);
            vector.resize(self.layout.start + shape.taken(), Element::ZERO);
            first.begin(&mut vector[self.layout.start..]);
            self.layout.fill(&mut vector, rng);
            #[cfg(test)]
            conversation.spoil(&mut vector);
            committed = Some(self.scheme.commit(transcript, vector));
        });
        channel.attach(first.registered().root.to_vec());
        let pulled = conversation.prove(&mut channel, witness);
        first.prove(&mut channel);
        let sent = channel.finish();
        Said { sent, pulled, transcript, committed: committed.expect("the conversation has a second part") }
    }
}

/// Hears a conversation, and that what was committed to before its second part is in the vector, if there is one.
fn hear<'c>(
    conversation: &'c impl Conversation,
    layout: &Layout,
    channel: &mut Verifier<'c>,
    pulled: Option<Pulled>,
) -> Result<Later<'c>, ProofError> {
    let Some(shape) = layout.first else { return conversation.verify(channel, pulled) };
    let root = channel.attached()?.try_into().map_err(|_| ProofError::Wrong)?;
    let mut later = conversation.verify(channel, pulled)?;
    assert!(!channel.awaits_second(), "a conversation with a second part absorbs the commitment to it");
    let first = Registered { shape, root }.verify(channel, 0)?;
    later.push(Box::new(move || Ok(vec![first()?])));
    Ok(later)
}

/// All parts of what is left to show, one behind the other.
fn in_order(later: Later<'_>) -> Result<Vec<ContentClaim>, ProofError> {
    let parts: Result<Vec<_>, _> = later.into_iter().map(|part| part()).collect();
    Ok(parts?.concat())
}

/// Checks an argument; yields its bits of soundness, all steps added up.
///
/// # Errors
/// [`ProofError`].
pub fn verify(
    conversation: &impl Conversation,
    argument: &Argument,
    transcript: Transcript,
    rng: &mut impl CryptoRng,
) -> Result<f64, ProofError> {
    verify_read(conversation, argument, read_opening(&argument.opening), transcript, rng)
}

/// [`verify`] of an argument whose opening was read already.
pub(crate) fn verify_read(
    conversation: &impl Conversation,
    argument: &Argument,
    shown: Result<Shown, ProofError>,
    mut transcript: Transcript,
    rng: &mut impl CryptoRng,
) -> Result<f64, ProofError> {
    let layout = Layout::of(conversation).map_err(|_| ProofError::TooLong)?;
    let scheme = Scheme::new(conversation.level(), layout.variables, rng);
    if layout.first.is_none() {
        scheme.absorb(&mut transcript, &argument.commitment);
    }
    let absorb = |transcript: &mut Transcript| scheme.absorb(transcript, &argument.commitment);
    let mut channel = Verifier::new(transcript, &argument.wires, &argument.attached).with_second(&absorb);
    let later = hear(conversation, &layout, &mut channel, None)?;
    let errors = channel.errors();
    let (said, mut transcript) = channel.finish()?;
    let weight = transcript.challenge();
    let last = Last::hear(&mut transcript, &argument.last, layout.variables, layout.block)?;
    let openings = last.openings();
    // Everything was drawn that the claims depend on, so they are worked out while the opening is checked.
    let opened = || scheme.verify(&mut transcript, &argument.commitment, &openings, &shown?);
    let point = &openings[0].point;
    let evaluated = |part: LaterClaims<'_>| Ok(ClaimAt::all(part()?, &layout, point));
    let (opened, claims) = beside(opened, later.into_iter().map(|part| || evaluated(part)).collect());
    opened?;
    let claims: Vec<Vec<ClaimAt>> = claims.into_iter().collect::<Result<_, ProofError>>()?;
    let claims: Vec<ClaimAt> = claims.into_iter().flatten().collect();
    let (of_pads, value) = merged_pads(&layout, claims.iter().map(|claim| &claim.value), said, weight);
    let powers = weight.powers().skip(1);
    let at = claims.iter().zip(powers).map(|(claim, power)| power * claim.at).sum::<Challenge>();
    last.check(value, at + of_pads.at(point))?;
    let bits = soundness(conversation, &layout, errors + claims.len() as u64);
    // An honest prover had none of these begun.
    if bits < f64::from(conversation.level().bits()) { Err(ProofError::Weak) } else { Ok(bits) }
}

#[cfg(test)]
pub(crate) mod simulator;
