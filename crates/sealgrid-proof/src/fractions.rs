//! That `Σ numerator / denominator = 0`: all lookups of a proof in one sum (LogUp, eprint 2022/1530), shown by a tree of fractions
//! whose layers are sumchecks (GKR, eprint 2023/1284).
//!
//! With the leaves' fractions `p/q` at the vertices of a cube, a layer adds each of the lower half to its partner of the upper half:
//! `p = p0·q1 + p1·q0`, `q = q0·q1`. The root's numerator must be zero and its denominator not; a sumcheck a layer carries a
//! claim about both down to the next, to the leaves, whose values at a random point are what is left to show.

use std::ops::{Mul, Range};

use p3_field::{Algebra, Field, PackedFieldExtension as _, PackedValue as _, PrimeCharacteristicRing};

use crate::channel::{ProofError, Prover, Verifier};
use crate::field::{
    Challenge, Element, LANES, PACKS_OF_A_THREAD, Packed, PackedElement, Quarters, bind, equality,
    packed_equality, total, unpack,
};
use crate::hidden::Hidden;
use crate::threads::each;

/// What is left to show of the leaves: the values of their multilinear extensions at a point (most significant variable first).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafClaim {
    /// The point.
    pub point: Vec<Challenge>,
    /// Of the numerators.
    pub numerator: Hidden,
    /// Of the denominators.
    pub denominator: Hidden,
}

/// Pads that a proof over `2^variables` leaves uses, without those of its products.
#[must_use]
pub fn pads(variables: usize) -> usize {
    // The root and its inverse's product; a layer of k variables: two a round, four values, two products.
    3 + (0..variables).map(|k| 2 * k + 6).sum::<usize>()
}

/// Products that a proof over `2^variables` leaves shows.
#[must_use]
pub fn products(variables: usize) -> usize {
    1 + 2 * variables
}

/// Numerator of the soundness error over `2^variables` leaves: in a layer of `k` variables two degrees a round, one for the two
/// claims that become one, one for the point between the halves.
#[must_use]
pub fn errors(variables: usize) -> u64 {
    (0..variables as u64).map(|k| 2 * k + 2).sum()
}

/// The fractions at the vertices of a cube, packed. Numerators are numbers of the base field.
pub struct Leaves {
    variables: usize,
    /// The lower half and the upper one; all in the lower while they fill no two packs.
    numerators: [Vec<PackedElement>; 2],
    denominators: [Vec<Packed>; 2],
}

impl std::fmt::Debug for Leaves {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Leaves(2^{}, ..)", self.variables)
    }
}

impl Leaves {
    /// No fraction yet of `2^variables`.
    pub(crate) fn empty(variables: usize) -> Self {
        let half = Self::half(variables);
        let (numerators, denominators) =
            ([(); 2].map(|()| Vec::with_capacity(half)), [(); 2].map(|()| Vec::with_capacity(half)));
        Self { variables, numerators, denominators }
    }

    /// Packs of a half.
    fn half(variables: usize) -> usize {
        ((1 << variables) / (2 * LANES)).max(1)
    }

    /// As many fractions as a pack has.
    pub(crate) fn push(&mut self, numerators: PackedElement, denominators: Packed) {
        let which = usize::from(self.numerators[0].len() == Self::half(self.variables));
        self.numerators[which].push(numerators);
        self.denominators[which].push(denominators);
    }

    /// Fewer fractions than a pack has, or many, and 0/1 up to the end.
    pub(crate) fn finish(&mut self, rest: &[(Element, Challenge)]) {
        for rest in rest.chunks(LANES) {
            let numerator = |lane: usize| rest.get(lane).map_or(Element::ZERO, |fraction| fraction.0);
            let denominator = |lane: usize| rest.get(lane).map_or(Challenge::ONE, |fraction| fraction.1);
            self.push(PackedElement::from_fn(numerator), Packed::from_ext_fn(denominator));
        }
        let all = ((1 << self.variables) / LANES).max(1);
        while self.numerators.iter().map(Vec::len).sum::<usize>() < all {
            self.push(PackedElement::ZERO, Packed::ONE);
        }
    }

    fn level(self) -> Level {
        let Self { variables, numerators, denominators } = self;
        if 1 << variables >= 2 * LANES {
            return Level::Layer(Layer::Leaves(numerators, denominators));
        }
        let numerators = numerators.iter().flatten().flat_map(|pack| pack.as_slice());
        let numerators = numerators.map(|element| Challenge::from(*element)).take(1 << variables).collect();
        let mut denominators = unpack(&denominators.concat());
        denominators.truncate(1 << variables);
        Level::single(numerators, denominators)
    }

    /// Numerators and denominators of a whole cube.
    ///
    /// # Panics
    /// When there are not as many of both, or no power of two of them.
    #[must_use]
    pub fn new(numerators: &[Element], denominators: &[Challenge]) -> Self {
        assert!(
            numerators.len().is_power_of_two() && numerators.len() == denominators.len(),
            "a cube of fractions"
        );
        let mut leaves = Self::empty(numerators.len().ilog2() as usize);
        let fractions: Vec<_> = numerators.iter().copied().zip(denominators.iter().copied()).collect();
        leaves.finish(&fractions);
        leaves
    }
}

/// Shows that the fractions add up to zero; yields the point of the leaves' claim.
///
/// # Panics
/// When one denominator is zero.
pub fn prove(channel: &mut Prover<'_>, leaves: Leaves) -> Vec<Challenge> {
    let mut layers = Vec::new();
    let mut level = leaves.level();
    let root = loop {
        match level {
            Level::Layer(layer) => {
                level = layer.added();
                layers.push(layer);
            }
            Level::Root(denominator) => break denominator,
        }
    };
    channel.send(root);
    let inverse = root.inverse();
    channel.send(inverse);
    channel.product(root, inverse);
    let mut point = Vec::new();
    while let Some(layer) = layers.pop() {
        point = prove_layer(channel, layer, &point);
    }
    point
}

/// Lower and upper half of numerators or denominators.
type Both<A> = [Vec<A>; 2];

/// Numerators and denominators of one layer, packed while either half has a pack.
enum Layer {
    Leaves(Both<PackedElement>, Both<Packed>),
    Packed(Both<Packed>, Both<Packed>),
    Single(Both<Challenge>, Both<Challenge>),
}

enum Level {
    Layer(Layer),
    /// The one fraction that is the sum of all: its denominator.
    Root(Challenge),
}

impl Level {
    fn single(mut p: Vec<Challenge>, mut q: Vec<Challenge>) -> Self {
        if let [denominator] = q[..] {
            return Self::Root(denominator);
        }
        let (p1, q1) = (p.split_off(p.len() / 2), q.split_off(q.len() / 2));
        Self::Layer(Layer::Single([p, p1], [q, q1]))
    }

    fn packed(p: Both<Packed>, q: Both<Packed>) -> Self {
        // The sum of a pack to either half is one pack, in the lower half.
        if p[1].is_empty() {
            Self::single(unpack(&p[0]), unpack(&q[0]))
        } else {
            Self::Layer(Layer::Packed(p, q))
        }
    }
}

impl Layer {
    /// The layer above: half as many fractions.
    fn added(&self) -> Level {
        match self {
            Self::Leaves(p, q) => {
                let [(p0, q0), (p1, q1)] = added(p, q);
                Level::packed([p0, p1], [q0, q1])
            }
            Self::Packed(p, q) => {
                let [(p0, q0), (p1, q1)] = added(p, q);
                Level::packed([p0, p1], [q0, q1])
            }
            Self::Single(p, q) => {
                let [(p0, q0), (p1, q1)] = added(p, q);
                Level::single([p0, p1].concat(), [q0, q1].concat())
            }
        }
    }
}

/// The sums of pairs; of one pair, in the lower half.
fn added<P, A>(p: &Both<P>, q: &Both<A>) -> [(Vec<A>, Vec<A>); 2]
where
    P: Copy + Sync,
    A: Algebra<Challenge> + Mul<P, Output = A> + Copy + Send + Sync,
{
    let (all, half) = (p[0].len(), p[0].len().div_ceil(2));
    let of = |range: Range<usize>| {
        let [p0, p1] = p.each_ref().map(|p| &p[range.clone()]);
        let [q0, q1] = q.each_ref().map(|q| &q[range.clone()]);
        let p = p0.iter().zip(p1).zip(q0.iter().zip(q1));
        let p = p.map(|((p0, p1), (q0, q1))| *q1 * *p0 + *q0 * *p1);
        (p.collect(), q0.iter().zip(q1).map(|(q0, q1)| *q0 * *q1).collect())
    };
    let parts = [0..half, half..all];
    if half >= PACKS_OF_A_THREAD { each(parts, of) } else { parts.map(of) }
}

/// The four halves of a layer on their way to one value each: `p0·q1 + p1·q0 + λ·q0·q1 = u·q1 + p1·q0` with `u = p0 + λ·q0`.
struct Halves<A> {
    /// `u`, `q1`, `p1`, `q0`.
    values: [Vec<A>; 4],
    /// `eq` of what is left of the point above, without the variable of this round.
    weights: Vec<A>,
}

impl<A: Algebra<Challenge> + Copy + Send + Sync> Halves<A> {
    /// Rounds until one element is left.
    fn rounds(&mut self, channel: &mut Prover<'_>, total: fn(A) -> Challenge, point: &mut Vec<Challenge>) {
        let mut length = self.values[0].len();
        if length == 1 {
            return;
        }
        let mut polynomial = self.first();
        loop {
            channel.send(total(polynomial[0]));
            channel.send(total(polynomial[1]));
            let at = channel.challenge();
            point.push(at);
            length /= 2;
            if length == 1 {
                return self.values.iter_mut().for_each(|values| bind(values, at));
            }
            polynomial = self.next(at);
        }
    }

    /// `Σ weight·(u·q1 + p1·q0)` as a polynomial in the first variable: its value at 0 and its leading coefficient.
    fn first(&self) -> [A; 2] {
        let half = self.values[0].len() / 2;
        let [u, q1, p1, q0] = self.values.each_ref().map(|values| values.split_at(half));
        let of = |range: Range<usize>| {
            let mut sums = [A::ZERO; 2];
            for low in range {
                let values = [u, q1, p1, q0].map(|(zeros, ones)| [zeros[low], ones[low]]);
                add_products(&mut sums, self.weights[low], values);
            }
            sums
        };
        let middle = half / 2;
        if middle < PACKS_OF_A_THREAD {
            return of(0..half);
        }
        let [one, other] = each([0..middle, middle..half], of);
        [one[0] + other[0], one[1] + other[1]]
    }

    /// Binds the variable; the next polynomial, on the same way through the values.
    fn next(&mut self, at: Challenge) -> [A; 2] {
        let quarter = self.values[0].len() / 4;
        let (low, high) = self.weights.split_at_mut(quarter);
        low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
        self.weights.truncate(quarter);
        let weights = &self.weights[..];
        let of = |(mut values, weights): ([Quarters<'_, A>; 4], &[A])| {
            let mut sums = [A::ZERO; 2];
            for (index, weight) in weights.iter().enumerate() {
                let values = values.each_mut().map(|values| values.bind(index, at));
                add_products(&mut sums, *weight, values);
            }
            sums
        };
        let values = self.values.each_mut().map(|values| Quarters::of(values));
        let middle = quarter / 2;
        let sums = if middle < PACKS_OF_A_THREAD {
            of((values, weights))
        } else {
            let [u, q1, p1, q0] = values.map(|values| values.parted(middle));
            let ([u0, u1], [r0, r1], [p0, p1], [q0, q1]) = (u, q1, p1, q0);
            let (low, high) = weights.split_at(middle);
            let [one, other] = each([([u0, r0, p0, q0], low), ([u1, r1, p1, q1], high)], of);
            [one[0] + other[0], one[1] + other[1]]
        };
        self.values.iter_mut().for_each(|values| values.truncate(2 * quarter));
        sums
    }
}

/// Adds to value at 0 and leading coefficient what the four values, each at 0 and at 1, come to.
fn add_products<A: Algebra<Challenge> + Copy>(sums: &mut [A; 2], weight: A, values: [[A; 2]; 4]) {
    let [u, q1, p1, q0] = values;
    sums[0] += weight * (u[0] * q1[0] + p1[0] * q0[0]);
    let [u, q1, p1, q0] = values.map(|[zero, one]| one - zero);
    sums[1] += weight * (u * q1 + p1 * q0);
}

fn prove_layer(channel: &mut Prover<'_>, layer: Layer, above: &[Challenge]) -> Vec<Challenge> {
    let lambda = channel.challenge();
    let mut point = Vec::with_capacity(above.len() + 1);
    let later = above.get(1..).unwrap_or_default();
    let mut packed = |[u, p1]: Both<Packed>, [q0, q1]: Both<Packed>| {
        let mut values = [u, q1, p1, q0];
        // Weights of the variables behind the first: half as many as there are elements, which is a pack at least.
        if values[0].len() >= 2 {
            let mut halves = Halves { values, weights: packed_equality(later) };
            halves.rounds(channel, total, &mut point);
            values = halves.values;
        }
        let weights = equality(later.get(point.len()..).unwrap_or_default());
        Halves { values: values.map(|values| unpack(&values)), weights }
    };
    let mut halves = match layer {
        Layer::Leaves([p0, p1], q) => {
            let u = p0.into_iter().zip(&q[0]).map(|(p0, q0)| *q0 * lambda + p0).collect();
            packed([u, p1.into_iter().map(Packed::from).collect()], q)
        }
        Layer::Packed([mut u, p1], q) => {
            u.iter_mut().zip(&q[0]).for_each(|(p0, q0)| *p0 += *q0 * lambda);
            packed([u, p1], q)
        }
        Layer::Single([mut u, p1], [q0, q1]) => {
            u.iter_mut().zip(&q0).for_each(|(p0, q0)| *p0 += *q0 * lambda);
            Halves { values: [u, q1, p1, q0], weights: equality(later) }
        }
    };
    halves.rounds(channel, |value| value, &mut point);
    let [u, q1, p1, q0] = halves.values.map(|values| values[0]);
    [u, q1, p1, q0].into_iter().for_each(|value| channel.send(value));
    channel.product(u, q1);
    channel.product(p1, q0);
    let at = channel.challenge();
    std::iter::once(at).chain(point).collect()
}

/// Checks what [`prove`] says about `2^variables` leaves.
///
/// A prover whose fractions do not add up to zero, or one of whose denominators is zero, is left with a true claim with
/// probability at most [`errors`]` / |Challenge|`.
///
/// # Errors
/// [`ProofError`].
pub fn verify(channel: &mut Verifier<'_>, variables: usize) -> Result<LeafClaim, ProofError> {
    let root = channel.receive()?;
    let inverse = channel.receive()?;
    let one = channel.product(root.clone(), inverse)?;
    channel.require_zero(&one - &Hidden::known(Challenge::ONE));
    let mut claim =
        LeafClaim { point: Vec::new(), numerator: Hidden::known(Challenge::ZERO), denominator: root };
    for _ in 0..variables {
        claim = verify_layer(channel, &claim)?;
    }
    Ok(claim)
}

fn verify_layer(channel: &mut Verifier<'_>, above: &LeafClaim) -> Result<LeafClaim, ProofError> {
    let lambda = channel.challenge();
    let mut claim = &above.numerator + &(&above.denominator * lambda);
    let mut point = Vec::with_capacity(above.point.len() + 1);
    for &coordinate in &above.point {
        let (zero, leading) = (channel.receive()?, channel.receive()?);
        // claim = (1 − c)·h(0) + c·h(1); a coordinate of zero has probability 1 / |Challenge|.
        let inverse = coordinate.try_inverse().ok_or(ProofError::Wrong)?;
        let one = &(&claim - &(&zero * (Challenge::ONE - coordinate))) * inverse;
        let at = channel.challenge();
        let linear = &(&one - &zero) - &leading;
        claim = &(&zero + &(&linear * at)) + &(&leading * at.square());
        point.push(at);
    }
    let [u, q1, p1, q0] = [channel.receive()?, channel.receive()?, channel.receive()?, channel.receive()?];
    let left = channel.product(u.clone(), q1.clone())?;
    let right = channel.product(p1.clone(), q0.clone())?;
    channel.require_zero(&(&claim - &left) - &right);
    let p0 = &u - &(&q0 * lambda);
    let at = channel.challenge();
    let between = |zero: &Hidden, one: &Hidden| zero + &(&(one - zero) * at);
    Ok(LeafClaim {
        point: std::iter::once(at).chain(point).collect(),
        numerator: between(&p0, &p1),
        denominator: between(&q0, &q1),
    })
}

#[cfg(test)]
mod tests;
