//! That `Σ numerator / denominator = 0`: all lookups of a proof in one sum (LogUp, eprint 2022/1530), shown by a tree of fractions
//! whose layers are sumchecks (GKR, eprint 2023/1284).
//!
//! With the leaves' fractions `p/q` at the vertices of a cube, a layer adds each of the lower half to its partner of the upper half:
//! `p = p0·q1 + p1·q0`, `q = q0·q1`. The root's numerator must be zero and its denominator not; a sumcheck a layer carries a
//! claim about both down to the next, to the leaves, whose values at a random point are what is left to show.

use p3_field::{Field, PrimeCharacteristicRing};

use crate::channel::{ProofError, Prover, Verifier};
use crate::field::{Challenge, bind, equality};
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
    let mut layers = vec![(numerators, denominators)];
    while let Some((p, q)) = layers.last().filter(|(p, _)| p.len() > 1) {
        layers.push(added(p, q));
    }
    let root = layers.pop().expect("at least the leaves").1[0];
    channel.send(root);
    let inverse = root.inverse();
    channel.send(inverse);
    channel.product(root, inverse);
    let mut point = Vec::new();
    while let Some((p, q)) = layers.pop() {
        point = prove_layer(channel, p, q, &point);
    }
    point
}

/// The layer above: half as many fractions.
fn added(p: &[Challenge], q: &[Challenge]) -> (Vec<Challenge>, Vec<Challenge>) {
    let ((p0, p1), (q0, q1)) = (p.split_at(p.len() / 2), q.split_at(q.len() / 2));
    let pairs = p0.iter().zip(p1).zip(q0.iter().zip(q1));
    pairs.map(|((p0, p1), (q0, q1))| (*p0 * *q1 + *p1 * *q0, *q0 * *q1)).unzip()
}

fn prove_layer(
    channel: &mut Prover<'_>,
    mut p: Vec<Challenge>,
    mut q: Vec<Challenge>,
    above: &[Challenge],
) -> Vec<Challenge> {
    let lambda = channel.challenge();
    let (mut p1, mut q1) = (p.split_off(p.len() / 2), q.split_off(q.len() / 2));
    // p0·q1 + p1·q0 + λ·q0·q1 = u·q1 + p1·q0 with u = p0 + λ·q0.
    let (mut u, mut q0) = (p, q);
    u.iter_mut().zip(&q0).for_each(|(u, q0)| *u += lambda * *q0);
    let mut weights = equality(above.get(1..).unwrap_or_default());
    let mut point = Vec::with_capacity(above.len() + 1);
    for round in 0..above.len() {
        let (zero, leading) = round_polynomial([&u, &q1, &p1, &q0], &weights);
        channel.send(zero);
        channel.send(leading);
        let at = channel.challenge();
        [&mut u, &mut q1, &mut p1, &mut q0].into_iter().for_each(|values| bind(values, at));
        point.push(at);
        if round + 2 < above.len() {
            let half = weights.len() / 2;
            weights = (0..half).map(|low| weights[low] + weights[low + half]).collect();
        } else {
            weights = vec![Challenge::ONE];
        }
    }
    let [u, q1, p1, q0] = [u[0], q1[0], p1[0], q0[0]];
    [u, q1, p1, q0].into_iter().for_each(|value| channel.send(value));
    channel.product(u, q1);
    channel.product(p1, q0);
    let at = channel.challenge();
    std::iter::once(at).chain(point).collect()
}

/// `Σ weight·(u·q1 + p1·q0)` as a polynomial in the first variable: its value at 0 and its leading coefficient.
fn round_polynomial([u, q1, p1, q0]: [&[Challenge]; 4], weights: &[Challenge]) -> (Challenge, Challenge) {
    let half = u.len() / 2;
    let (mut zero, mut leading) = (Challenge::ZERO, Challenge::ZERO);
    for (low, weight) in weights.iter().enumerate().take(half) {
        let high = low + half;
        zero += *weight * (u[low] * q1[low] + p1[low] * q0[low]);
        let slope = |values: &[Challenge]| values[high] - values[low];
        leading += *weight * (slope(u) * slope(q1) + slope(p1) * slope(q0));
    }
    (zero, leading)
}

/// Checks what [`prove`] says about `2^variables` leaves.
///
/// A prover whose fractions do not add up to zero, or one of whose denominators is zero, is left with a true claim with
/// probability at most `(3·variables² / 2 + 4·variables) / |Challenge|`: two degrees a round, three challenges a layer.
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
