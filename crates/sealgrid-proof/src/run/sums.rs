//! Sums that are not committed, over private weights and of products of two values: everything that is claimed of them comes to one sum of
//! products, `Σ_j right_j·met_j`. On the right stand the registered parameters and the right operands of all products, `met_j` is
//! what the left operands contribute to each of them.

use std::sync::Arc;

use p3_field::{Field as _, PrimeCharacteristicRing as _};

use crate::argument::ContentClaim;
use crate::channel::{ProofError, Prover, Verifier};
use crate::field::{Challenge, Element, equality};
use crate::hidden::Hidden;
use crate::inner;
use crate::layers::Layer;
use crate::lookups::Form;
use crate::maps::signed;

/// All of a run.
#[derive(Default)]
pub(super) struct Sums {
    /// How many: elements of the lookups' content that stand first and are not committed.
    pub(super) count: usize,
    /// Registered parameters, with which the right side begins.
    pub(super) parameters: usize,
    pub(super) layers: Vec<Layer>,
    pub(super) products: Vec<Product>,
}

/// `sum[to] = Σ left[from]·right[index]` over the `(to, from, index)` of its pairs, record by record.
pub(super) struct Product {
    /// Made of what is committed alone, as the right operand is.
    pub(super) left: Arc<dyn Form>,
    pub(super) right: Arc<dyn Form>,
    pub(super) pairs: Pairs,
    pub(super) records: usize,
    /// Sums of one record.
    pub(super) each: usize,
    /// Where its sums begin among all sums.
    pub(super) sums: usize,
    /// Where its right operand begins on the right side.
    pub(super) first: usize,
}

/// Products of matrices `[rows, depth]·[depth, columns]`, one a block: where the block's sums, its left and its right operand begin in a record.
#[derive(Clone, Debug)]
pub(super) struct Pairs {
    pub(super) blocks: Vec<[u32; 3]>,
    pub(super) rows: usize,
    pub(super) depth: usize,
    pub(super) columns: usize,
}

impl Pairs {
    /// Of single elements.
    pub(super) fn single(blocks: Vec<[u32; 3]>) -> Self {
        Self { blocks, rows: 1, depth: 1, columns: 1 }
    }

    /// Calls `visit(to, from, index)` for every product.
    fn each(&self, mut visit: impl FnMut(usize, usize, usize)) {
        for block in &self.blocks {
            let [to, from, index] = block.map(|start| start as usize);
            for row in 0..self.rows {
                for k in 0..self.depth {
                    for column in 0..self.columns {
                        let to = to + row * self.columns + column;
                        visit(to, from + row * self.depth + k, index + k * self.columns + column);
                    }
                }
            }
        }
    }
}

impl Product {
    /// Where the next product's right operand begins.
    fn end(&self) -> usize {
        self.first + self.right.count()
    }

    /// Calls `visit(to, from, index)` for every product of all records.
    fn each(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let (left, right) = (self.left.count() / self.records, self.right.count() / self.records);
        for record in 0..self.records {
            self.pairs.each(|to, from, index| {
                visit(record * self.each + to, record * left + from, record * right + index);
            });
        }
    }

    /// The sums, as integers, which an honest run has below 2^63.
    pub(super) fn values(&self, content: &[Element]) -> Vec<i64> {
        let [left, right] = [&self.left, &self.right]
            .map(|form| form.values(content).into_iter().map(signed).collect::<Vec<i64>>());
        let mut sums = vec![0i64; self.records * self.each];
        self.each(|to, from, index| sums[to] = sums[to].wrapping_add(left[from].wrapping_mul(right[index])));
        sums
    }

    fn contribute(&self, weights: &[Challenge], content: &[Element], met: &mut [Challenge]) {
        let left = self.left.values(content);
        let (weights, met) = (&weights[self.sums..], &mut met[self.first..]);
        self.each(|to, from, index| met[index] += weights[to] * left[from]);
    }

    fn pull(&self, weights: &[Challenge], right: &[Challenge], functional: &mut [Challenge]) -> Challenge {
        let mut pulled = vec![Challenge::ZERO; self.left.count()];
        let (weights, right) = (&weights[self.sums..], &right[self.first..]);
        self.each(|to, from, index| pulled[from] += weights[to] * right[index]);
        self.left.pull(&pulled, functional)
    }
}

impl Sums {
    /// Where the next product's right operand begins.
    pub(super) fn end(&self) -> usize {
        self.products.last().map_or(self.parameters, Product::end)
    }

    /// Variables of the right side's cube.
    fn variables(&self) -> usize {
        self.end().next_power_of_two().ilog2() as usize
    }

    /// Pads that showing the sums takes: the number that they come to, the sumcheck, and its product's value beyond.
    pub(super) fn pads(&self) -> usize {
        if self.count == 0 { 0 } else { 1 + inner::pads(self.variables()) + 1 }
    }

    /// Shows what the sums come to, `claim` being about them and the content behind them.
    pub(super) fn prove(
        &self,
        channel: &mut Prover<'_>,
        claim: &ContentClaim,
        content: &[Element],
        parameters: &[Element],
    ) {
        if self.count == 0 {
            return;
        }
        let (weights, _) = claim.functional.split_at(self.count);
        channel.send(weights.iter().zip(content).map(|(weight, sum)| *weight * *sum).sum());
        let mut met = vec![Challenge::ZERO; 1 << self.variables()];
        self.layers.iter().for_each(|layer| layer.contribute(weights, content, &mut met));
        self.products.iter().for_each(|product| product.contribute(weights, content, &mut met));
        let mut right: Vec<Challenge> = parameters.iter().map(|element| Challenge::from(*element)).collect();
        for product in &self.products {
            right.extend(product.right.values(content).into_iter().map(Challenge::from));
        }
        right.resize(met.len(), Challenge::ZERO);
        inner::prove(channel, met, right);
    }

    /// What is left to show of the content, where the parameters stand first; `claims` are one where there are sums.
    pub(super) fn verify(
        &self,
        channel: &mut Verifier<'_>,
        mut claims: Vec<ContentClaim>,
    ) -> Result<Vec<ContentClaim>, ProofError> {
        if self.count == 0 {
            return Ok(claims);
        }
        let mut claim = claims.pop().expect("all merged");
        let behind = claim.functional.split_off(self.count);
        let weights = std::mem::replace(&mut claim.functional, behind);
        let sum = channel.receive()?;
        claim.value = &claim.value - &sum;
        let sides = inner::verify(channel, self.variables(), &sum)?;
        let right = equality(&sides.point);
        let nothing = || vec![Challenge::ZERO; self.count + claim.functional.len()];
        let (mut functional, mut known) = (nothing(), Challenge::ZERO);
        for layer in &self.layers {
            known += layer.pull(&weights, &right, &mut functional);
        }
        for product in &self.products {
            known += product.pull(&weights, &right, &mut functional);
        }
        let left = self.claim(functional, &sides.left, known);
        let (mut functional, mut known) = (nothing(), Challenge::ZERO);
        functional[self.count..][..self.parameters].copy_from_slice(&right[..self.parameters]);
        for product in &self.products {
            known += product.right.pull(&right[product.first..product.end()], &mut functional);
        }
        let right = self.claim(functional, &sides.right, known);
        Ok(vec![left, right, claim])
    }

    /// Of operands that no sum has a part in.
    fn claim(&self, mut functional: Vec<Challenge>, value: &Hidden, known: Challenge) -> ContentClaim {
        let behind = functional.split_off(self.count);
        assert!(functional.iter().all(|weight| weight.is_zero()), "operands are made of what is committed");
        ContentClaim { functional: behind, value: value - &Hidden::known(known) }
    }

    pub(super) fn errors(&self) -> u64 {
        if self.count == 0 { 0 } else { inner::errors(self.variables()) }
    }
}
