//! Sums over private weights. They are never committed: what a proof says of them is, in the end, one number `Σ e·sum` for public `e`, and
//! that is an inner product of the weights with what the operands contribute to each of them.

use std::sync::Arc;

use p3_field::PrimeCharacteristicRing as _;
use sealgrid_graph::range::Interval;

use crate::field::{Challenge, Element};
use crate::folding::Factor;
use crate::lookups::Form;
use crate::maps::{Map, signed};

/// One operation: `sum[to] = Σ operand[from] · parameter[first + index]` for the `(to, from, index)` of its map, in each record.
pub(crate) struct Layer {
    /// Made of what is committed alone.
    pub(crate) operand: Arc<dyn Form>,
    pub(crate) map: Map,
    /// Sums of a record.
    pub(crate) each: usize,
    /// Where its sums begin among all sums.
    pub(crate) sums: usize,
    /// Where its weights begin among all parameters.
    pub(crate) first: usize,
}

impl Layer {
    /// The sums, of places among which the operand stands.
    pub(crate) fn values(&self, places: &[Element], parameters: &[i64]) -> Vec<Element> {
        let operand: Vec<i64> = self.operand.values(places).into_iter().map(signed).collect();
        let weights = &parameters[self.first..];
        let mut sums = vec![0i64; self.each];
        // Modulo p in the end: what an honest run yields is far below 2^63.
        self.map.each_index(|to, from, index| {
            sums[to] = sums[to].wrapping_add(operand[from].wrapping_mul(weights[index]));
        });
        sums.into_iter().map(Element::from_i64).collect()
    }

    /// Adds to each parameter what meets it in `Σ weights·sum`, the operand's elements being known or folded over records.
    pub(crate) fn contribute<F: Factor>(
        &self,
        weights: &[Challenge],
        operand: &[F],
        parameters: &mut [Challenge],
    ) {
        self.map.meet(&weights[self.sums..][..self.each], operand, &mut parameters[self.first..]);
    }

    /// [`Form::pull`] of `Σ weights·sum` where the parameters are `parameters`.
    pub(crate) fn pull(
        &self,
        weights: &[Challenge],
        parameters: &[Challenge],
        functional: &mut [Challenge],
    ) -> Challenge {
        let mut pulled = vec![Challenge::ZERO; self.operand.count()];
        self.map.fold(&weights[self.sums..][..self.each], &parameters[self.first..], &mut pulled);
        self.operand.pull(&pulled, functional)
    }
}

/// Where a sum of products lies, and what is added to it; `None` when it may leave 32 bits.
pub(crate) fn reach(operand: Interval, sums: u64, added: u64) -> Option<Interval> {
    let most = operand.low.unsigned_abs().max(operand.high.unsigned_abs());
    let reach = most.checked_mul(sums)?.checked_add(added)?;
    let reach = i32::try_from(reach).ok()?;
    Some(Interval { low: -i64::from(reach), high: reach.into() })
}
