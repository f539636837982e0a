//! The largest of several, the smallest, and where the largest is.

use std::sync::Arc;

use p3_field::PrimeCharacteristicRing as _;
use sealgrid_graph::integer::Operation;
use sealgrid_graph::range::Interval;

use super::sums::Pairs;
use super::tables::Rows;
use super::walk::{Builder, Value, refused};
use super::wide::weighed;
use super::{Column, NotProvable};
use crate::field::{Challenge, Element};
use crate::form::{Columns, Form, Pulling, Values};
use crate::lookups::Looked;
use crate::maps::{Known, Map, Moved, Sum, Term, Weighed, narrow};

/// Why maxima are refused.
const WIDE: &str = "its operands have too wide a range";

/// Which of two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extremum {
    Largest,
    Smallest,
}

impl Builder<'_> {
    /// The extremum of several lists, element by element: `max(x, y) = y + (x − y)⁺`, `min(x, y) = x − (x − y)⁺`. Each list is elements
    /// of a value, taken from these places. What is not clamped yet is clamped then, once for each result: a clamp keeps which of two is the greater.
    pub(super) fn extremum(
        &mut self,
        index: usize,
        operation: &Operation,
        which: Extremum,
        lists: &[(&Value, Vec<u32>)],
    ) -> Result<Value, NotProvable> {
        let (mut best, mut range) = (taken(&lists[0]), lists[0].0.range);
        for list in &lists[1..] {
            let (other, of) = (taken(list), list.0.range);
            let terms = [(Arc::clone(&best), 1), (Arc::clone(&other), -1)];
            let difference = weighed(best.count(), 0, terms.into_iter());
            let reach = Interval { low: range.low - of.high, high: range.high - of.low };
            let above = self.positive(&difference, reach);
            let above = above.ok_or_else(|| refused(index, operation, WIDE))?;
            let (terms, ends): (_, fn(i64, i64) -> i64) = match which {
                Extremum::Largest => ([(other, 1), (above, 1)], i64::max),
                Extremum::Smallest => ([(best, 1), (above, -1)], i64::min),
            };
            // A form of a form of a form would be computed again and again.
            best = weighed(terms[0].0.count(), 0, terms.into_iter());
            range = Interval { low: ends(range.low, of.low), high: ends(range.high, of.high) };
        }
        let axes = operation.output.shape.axes();
        let Some((low, high)) = lists[0].0.later else { return Ok(Value::shown(best, range, axes)) };
        let clamped = self.clamped(index, &best, range, (low, high));
        let clamped = clamped.ok_or_else(|| refused(index, operation, WIDE))?;
        let range = Interval {
            low: range.low.clamp(low.into(), high.into()),
            high: range.high.clamp(low.into(), high.into()),
        };
        Ok(Value::shown(clamped, range, axes))
    }

    /// The position of the first largest element along an axis. One number of each line is selected, `Σ b = 1`; it is `Σ b·x`, and that less `x_i` is not
    /// negative for any `i`, and for those before the one that is selected not zero either.
    pub(super) fn arg_maximum(
        &mut self,
        index: usize,
        operation: &Operation,
        operand: &Value,
        axis: usize,
    ) -> Result<Value, NotProvable> {
        let refuse = || refused(index, operation, WIDE);
        let (length, inner) = (operand.axes[axis], operand.axes[axis + 1..].iter().product::<usize>());
        let results = operand.axes.iter().product::<usize>() / length;
        let line = |result: usize| result / inner * length * inner + result % inner;
        let from =
            (0..results).flat_map(|result| (0..length).map(move |at| narrow(line(result) + at * inner)));
        let elements = taken(&(operand, from.collect()));
        let count = elements.count();

        let start = self.column(count);
        self.columns.push(Column::Selected { start, index, length });
        let bits: Arc<dyn Form> = Arc::new(Columns::one(start, count));
        let table = self.table(Rows::Range(Interval { low: 0, high: 1 }));
        self.looked.push(Looked { table, tuple: vec![Arc::clone(&bits)] });
        self.equal.push([added(&bits, length), Arc::new(Known(vec![1; results]))]);
        let blocks = (0..count).map(|at| [narrow(at / length), narrow(at), narrow(at)]).collect();
        let largest =
            self.products([Arc::clone(&bits), Arc::clone(&elements)], Pairs::single(blocks), results);

        let from = (0..count).map(|at| Some(narrow(at / length))).collect();
        let largest: Arc<dyn Form> = Arc::new(Moved { operand: largest, from, constant: 0 });
        let behind: Arc<dyn Form> = Arc::new(Behind { operand: Arc::clone(&bits), length });
        let left = weighed(count, 0, [(largest, 1), (elements, -1), (behind, -1)].into_iter());
        let reach = operand.range.high - operand.range.low;
        self.not_negative(&left, Interval { low: -reach - 1, high: reach }).ok_or_else(refuse)?;

        let positions = (0..length).map(Element::from_usize).collect();
        let entry = (0..count).map(|at| narrow(at % length)).collect();
        let terms = vec![(bits, positions)];
        let selected: Arc<dyn Form> =
            Arc::new(Weighed { entry, constants: vec![Element::ZERO; length], terms });
        let range = Interval { low: 0, high: i64::from(narrow(length)) - 1 };
        Ok(Value::shown(added(&selected, length), range, operation.output.shape.axes()))
    }
}

/// Elements of a value.
fn taken((value, from): &(&Value, Vec<u32>)) -> Arc<dyn Form> {
    let from = from.iter().map(|at| Some(*at)).collect();
    Arc::new(Moved { operand: Arc::clone(&value.form), from, constant: 0 })
}

/// The sums of lines of so many neighbours.
pub(super) fn added(form: &Arc<dyn Form>, length: usize) -> Arc<dyn Form> {
    let count = form.count();
    let moves = (0..count).map(|at| (narrow(at / length), narrow(at))).collect();
    let range = Interval { low: 0, high: 1 };
    let term = Term { operand: Arc::clone(form), range, map: Map::Moves(moves), factor: 1 };
    Arc::new(Sum { constants: vec![0; count / length], terms: vec![term] })
}

/// For each element what those behind it in its line add up to.
struct Behind {
    operand: Arc<dyn Form>,
    length: usize,
}

impl Form for Behind {
    fn count(&self) -> usize {
        self.operand.count()
    }

    fn values(&self, of: Values<'_>) -> Vec<Element> {
        let mut values = of.of(&self.operand).to_vec();
        for line in values.chunks_exact_mut(self.length) {
            let mut sum = Element::ZERO;
            for value in line.iter_mut().rev() {
                sum += std::mem::replace(value, sum);
            }
        }
        values
    }

    fn operands(&self) -> Vec<&Arc<dyn Form>> {
        vec![&self.operand]
    }

    fn pull(&self, weights: &[Challenge], to: &mut Pulling<'_>) -> Challenge {
        let pulled = to.of(&self.operand).chunks_exact_mut(self.length);
        for (pulled, weights) in pulled.zip(weights.chunks_exact(self.length)) {
            let mut sum = Challenge::ZERO;
            for (pulled, weight) in pulled.iter_mut().zip(weights) {
                *pulled += sum;
                sum += *weight;
            }
        }
        Challenge::ZERO
    }
}
