//! That `Σ numerator / denominator = 0`: all lookups of a proof in one sum (LogUp, eprint 2022/1530), shown by a tree of fractions
//! whose layers are sumchecks (GKR, eprint 2023/1284).
//!
//! With the leaves' fractions `p/q` at the vertices of a cube, a layer adds each of the lower half to its partner of the upper half:
//! `p = p0·q1 + p1·q0`, `q = q0·q1`. The root's numerator must be zero and its denominator not; a sumcheck a layer carries a
//! claim about both down to the next, to the leaves, whose values at a random point are what is left to show.

use p3_field::{Algebra, Field, PrimeCharacteristicRing};

use crate::channel::{ProofError, Prover, Verifier};
use crate::field::{Challenge, LANES, Packed, bind, equality, pack, packed_equality, total, unpack};
use crate::hidden::Hidden;

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

/// Shows that the fractions add up to zero; yields the point of the leaves' claim.
///
/// # Panics
/// When there are not `2^variables` numerators and as many denominators, or one denominator is zero.
pub fn prove(
    channel: &mut Prover<'_>,
    numerators: Vec<Challenge>,
    denominators: Vec<Challenge>,
) -> Vec<Challenge> {
    assert!(
        numerators.len().is_power_of_two() && numerators.len() == denominators.len(),
        "a cube of fractions"
    );
    let mut layers = vec![Layer::new(numerators, denominators)];
    while let Some(below) = layers.last().filter(|layer| layer.len() > 1) {
        layers.push(below.added());
    }
    let root = layers.pop().expect("at least the leaves").denominators()[0];
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

/// Numerators and denominators of one layer, packed while there are at least two packs.
enum Layer {
    Packed(Vec<Packed>, Vec<Packed>),
    Single(Vec<Challenge>, Vec<Challenge>),
}

impl Layer {
    fn new(p: Vec<Challenge>, q: Vec<Challenge>) -> Self {
        if p.len() >= 2 * LANES { Self::Packed(pack(&p), pack(&q)) } else { Self::Single(p, q) }
    }

    fn len(&self) -> usize {
        match self {
            Self::Packed(p, _) => p.len() * LANES,
            Self::Single(p, _) => p.len(),
        }
    }

    fn denominators(&self) -> Vec<Challenge> {
        match self {
            Self::Packed(_, q) => unpack(q),
            Self::Single(_, q) => q.clone(),
        }
    }

    /// The layer above: half as many fractions.
    fn added(&self) -> Self {
        match self {
            Self::Packed(p, q) => match added(p, q) {
                (p, q) if p.len() >= 2 => Self::Packed(p, q),
                (p, q) => Self::Single(unpack(&p), unpack(&q)),
            },
            Self::Single(p, q) => {
                let (p, q) = added(p, q);
                Self::Single(p, q)
            }
        }
    }
}

fn added<A: Algebra<Challenge> + Copy>(p: &[A], q: &[A]) -> (Vec<A>, Vec<A>) {
    let ((p0, p1), (q0, q1)) = (p.split_at(p.len() / 2), q.split_at(q.len() / 2));
    let pairs = p0.iter().zip(p1).zip(q0.iter().zip(q1));
    pairs.map(|((p0, p1), (q0, q1))| (*p0 * *q1 + *p1 * *q0, *q0 * *q1)).unzip()
}

/// The four halves of a layer on their way to one value each: `p0·q1 + p1·q0 + λ·q0·q1 = u·q1 + p1·q0` with `u = p0 + λ·q0`.
struct Halves<A> {
    u: Vec<A>,
    q1: Vec<A>,
    p1: Vec<A>,
    q0: Vec<A>,
    /// `eq` of what is left of the point above, without the variable of this round.
    weights: Vec<A>,
}

impl<A: Algebra<Challenge> + Copy> Halves<A> {
    fn new(mut p: Vec<A>, mut q: Vec<A>, weights: Vec<A>, lambda: Challenge) -> Self {
        let (p1, q1) = (p.split_off(p.len() / 2), q.split_off(q.len() / 2));
        p.iter_mut().zip(&q).for_each(|(p0, q0)| *p0 += *q0 * lambda);
        Self { u: p, q1, p1, q0: q, weights }
    }

    /// Rounds until one element is left.
    fn rounds(&mut self, channel: &mut Prover<'_>, total: fn(A) -> Challenge, point: &mut Vec<Challenge>) {
        while self.u.len() > 1 {
            let (zero, leading) = self.round_polynomial();
            channel.send(total(zero));
            channel.send(total(leading));
            let at = channel.challenge();
            for values in [&mut self.u, &mut self.q1, &mut self.p1, &mut self.q0] {
                bind(values, at);
            }
            let half = self.weights.len() / 2;
            for low in 0..half {
                let high = self.weights[low + half];
                self.weights[low] += high;
            }
            self.weights.truncate(half.max(1));
            point.push(at);
        }
    }

    /// `Σ weight·(u·q1 + p1·q0)` as a polynomial in the first variable: its value at 0 and its leading coefficient.
    fn round_polynomial(&self) -> (A, A) {
        let half = self.u.len() / 2;
        let (mut zero, mut leading) = (A::ZERO, A::ZERO);
        let halves = [&self.u, &self.q1, &self.p1, &self.q0].map(|values| values.split_at(half));
        for (low, weight) in self.weights.iter().enumerate().take(half) {
            let [u, q1, p1, q0] = halves.map(|(zeros, _)| zeros[low]);
            zero += *weight * (u * q1 + p1 * q0);
            let [u, q1, p1, q0] = halves.map(|(zeros, ones)| ones[low] - zeros[low]);
            leading += *weight * (u * q1 + p1 * q0);
        }
        (zero, leading)
    }
}

fn prove_layer(channel: &mut Prover<'_>, layer: Layer, above: &[Challenge]) -> Vec<Challenge> {
    let lambda = channel.challenge();
    let mut point = Vec::with_capacity(above.len() + 1);
    let later = above.get(1..).unwrap_or_default();
    let mut halves = match layer {
        // Weights of the variables behind the first: half as many as there are elements, which is a pack at least.
        Layer::Packed(p, q) if p.len() >= 4 => {
            let mut halves = Halves::new(p, q, packed_equality(later), lambda);
            halves.rounds(channel, total, &mut point);
            let Halves { u, q1, p1, q0, .. } = halves;
            let [u, q1, p1, q0] = [u, q1, p1, q0].map(|values| unpack(&values));
            let weights = equality(later.get(point.len()..).unwrap_or_default());
            Halves { u, q1, p1, q0, weights }
        }
        Layer::Packed(p, q) => Halves::new(unpack(&p), unpack(&q), equality(later), lambda),
        Layer::Single(p, q) => Halves::new(p, q, equality(later), lambda),
    };
    halves.rounds(channel, |value| value, &mut point);
    let [u, q1, p1, q0] = [halves.u[0], halves.q1[0], halves.p1[0], halves.q0[0]];
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
