//! Products of two values, neither of which is public: they are sums that are not committed ([`super::sums`]).

use std::sync::Arc;

use sealgrid_graph::range::Interval;

use super::Column;
use super::stage::{Factors, Part, Summed};
use super::sums::{Pairs, Product};
use super::walk::{Builder, Value, broadcast};
use crate::form::{Columns, Form};
use crate::maps::narrow;

impl Builder<'_> {
    /// Sums of products of two values, `count` of them.
    pub(super) fn product(
        &mut self,
        operands: [&Value; 2],
        pairs: Pairs,
        count: usize,
        is_square: bool,
    ) -> Summed {
        let one =
            if is_square { square(operands[0].range) } else { times(operands[0].range, operands[1].range) };
        let depth = i64::try_from(pairs.depth).ok();
        let all = one.zip(depth).and_then(|(one, depth)| {
            let all = Interval { low: one.low.checked_mul(depth)?, high: one.high.checked_mul(depth)? };
            // Modulo 2^32 it would be another sum: a graph that is admitted has none such.
            all.fits_int32().then_some(all)
        });
        let forms = operands.map(|operand| Arc::clone(&operand.form));
        let (product, is_single) = (self.sums.products.len(), pairs.depth == 1);
        let form = self.products(forms.clone(), pairs, count);
        let ranges = operands.map(|operand| operand.range);
        let [left, right] = forms;
        let factors = Factors { product, operands: [(left, ranges[0]), (right, ranges[1])] };
        let factors = is_single.then_some(factors);
        let parts = all.map(|all| Part { product: factors, ..Part::new(Arc::clone(&form), all) });
        Summed {
            form,
            bounds: all.map(|all| vec![all; count]),
            is_committed: false,
            parts: parts.into_iter().collect(),
        }
    }

    /// The same of two forms, both of them made of what is committed alone.
    pub(super) fn products(
        &mut self,
        [left, right]: [Arc<dyn Form>; 2],
        pairs: Pairs,
        count: usize,
    ) -> Arc<dyn Form> {
        let (sums, first) = (self.sums.count, self.sums.end());
        self.columns.push(Column::Products(self.sums.products.len()));
        self.sums.products.push(Product { left, right, pairs, count, sums, first });
        self.sums.count += count;
        Arc::new(Columns::one(sums, count))
    }
}

/// Where the products of two numbers lie; `None` beyond 62 bits.
fn times(one: Interval, other: Interval) -> Option<Interval> {
    let ends =
        [one.low, one.high].into_iter().flat_map(|a| [other.low, other.high].map(|b| a.checked_mul(b)));
    let ends: Vec<i64> = ends.collect::<Option<_>>()?;
    Some(Interval { low: ends.iter().copied().min()?, high: ends.iter().copied().max()? })
}

/// Where squares lie.
fn square(of: Interval) -> Option<Interval> {
    let least = if of.contains(0) { 0 } else { of.low.abs().min(of.high.abs()) };
    Some(Interval { low: least.checked_mul(least)?, high: times(of, of)?.high })
}

/// The matrices of a product of two values over their last two axes, leading axes broadcast.
pub(super) fn matrices(left: &[usize], right: &[usize], to: &[usize]) -> Pairs {
    let of = |axes: &[usize]| -> (Vec<usize>, [usize; 2]) {
        let (lead, last) = axes.split_at(axes.len() - 2);
        (lead.to_vec(), [last[0], last[1]])
    };
    let ((lead, [rows, columns]), (left, [_, depth]), (right, _)) = (of(to), of(left), of(right));
    let blocks = broadcast(&left, &lead).into_iter().zip(broadcast(&right, &lead));
    let blocks = blocks.map(|((to, left), (_, right))| {
        let start = |block: u32, size: usize| narrow(block as usize * size);
        [start(to, rows * columns), start(left, rows * depth), start(right, depth * columns)]
    });
    Pairs { blocks: blocks.collect(), rows, depth, columns }
}
