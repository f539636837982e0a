//! Sums over private weights. They are never committed: what a proof says of them is, in the end, one number `Σ e·sum` for public `e`, and
//! that is an inner product of the weights with what the operands contribute to each of them.

use std::sync::Arc;

use p3_field::PrimeCharacteristicRing as _;
use sealgrid_graph::range::Interval;

use crate::field::{Challenge, Element};
use crate::lookups::Form;
use crate::maps::{Map, signed};

/// One operation: `sum[to] = Σ operand[from] · parameter[first + index]` for the `(to, from, index)` of its map, record by record.
pub(crate) struct Layer {
    /// Made of what is committed alone.
    pub(crate) operand: Arc<dyn Form>,
    pub(crate) map: Map,
    pub(crate) records: usize,
    /// Sums of one record.
    pub(crate) each: usize,
    /// Where its sums begin among all sums.
    pub(crate) sums: usize,
    /// Where its weights begin among all parameters.
    pub(crate) first: usize,
}

impl Layer {
    fn operand_each(&self) -> usize {
        self.operand.count() / self.records
    }

    /// The sums, of a content whose operand and whose parameters stand.
    pub(crate) fn values(&self, content: &[Element], parameters: &[Element]) -> Vec<Element> {
        let operand: Vec<i64> = self.operand.values(content).into_iter().map(signed).collect();
        let weights: Vec<i64> = parameters[self.first..].iter().map(|weight| signed(*weight)).collect();
        let mut sums = vec![0i64; self.records * self.each];
        let each_from = self.operand_each();
        for (sums, operand) in sums.chunks_exact_mut(self.each).zip(operand.chunks_exact(each_from)) {
            // Modulo p in the end: what an honest run yields is far below 2^63.
            self.map.each_index(|to, from, index| {
                sums[to] = sums[to].wrapping_add(operand[from].wrapping_mul(weights[index]));
            });
        }
        sums.into_iter().map(Element::from_i64).collect()
    }

    /// Adds to each parameter what meets it in `Σ weights·sum`.
    pub(crate) fn contribute(
        &self,
        weights: &[Challenge],
        content: &[Element],
        parameters: &mut [Challenge],
    ) {
        let operand = self.operand.values(content);
        let weights = &weights[self.sums..][..self.records * self.each];
        let parameters = &mut parameters[self.first..];
        let records = weights.chunks_exact(self.each).zip(operand.chunks_exact(self.operand_each()));
        for (weights, operand) in records {
            self.map.meet(weights, operand, parameters);
        }
    }

    /// [`Form::pull`] of `Σ weights·sum` where the parameters are `parameters`.
    pub(crate) fn pull(
        &self,
        weights: &[Challenge],
        parameters: &[Challenge],
        functional: &mut [Challenge],
    ) -> Challenge {
        let weights = &weights[self.sums..][..self.records * self.each];
        let parameters = &parameters[self.first..];
        let mut pulled = vec![Challenge::ZERO; self.operand.count()];
        let records = weights.chunks_exact(self.each).zip(pulled.chunks_exact_mut(self.operand_each()));
        for (weights, pulled) in records {
            self.map.fold(weights, parameters, pulled);
        }
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
