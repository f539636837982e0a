//! Functions of one number, by their values.

use std::sync::Arc;

use p3_field::PrimeCharacteristicRing as _;
use sealgrid_graph::range::Interval;

use super::Column;
use super::maxima::added;
use super::sums::Pairs;
use super::tables::{ROWS_MAX, Rows, SPLIT_ROWS};
use super::walk::Builder;
use super::wide::{Numbers, weighed};
use crate::field::Element;
use crate::form::{Columns, Form};
use crate::lookups::Looked;
use crate::maps::{Known, Sparse, Weighed, narrow};

impl Builder<'_> {
    /// The output of an operation that yields `results`, from the one for `first` on, for the elements of a list, which lie among these.
    pub(super) fn function(
        &mut self,
        index: usize,
        operand: &Arc<dyn Form>,
        first: i64,
        results: Vec<i32>,
    ) -> Arc<dyn Form> {
        let count = operand.count();
        let output = self.output(index, count);
        let side = results.len().isqrt() + 1;
        // A row, which all records share, costs about what a digit's selection costs.
        let all = count * self.records;
        if results.len() as u64 > SPLIT_ROWS.unsigned_abs() && results.len() / (2 * side) > all {
            self.selected(operand, &output, first, &results, side);
            return output;
        }
        assert!(results.len() as u64 <= ROWS_MAX.unsigned_abs(), "a table's rows");
        let table = self.table(Rows::Function { first, results });
        self.looked.push(Looked { table, tuple: vec![Arc::clone(operand), Arc::clone(&output)] });
        output
    }

    /// The same for few elements: with a high and a low digit selected, `x = first + side·Σ i·b_i + Σ j·c_j`, the result is `Σ b_i·c_j·result[i, j]`.
    fn selected(
        &mut self,
        operand: &Arc<dyn Form>,
        output: &Arc<dyn Form>,
        first: i64,
        results: &[i32],
        side: usize,
    ) {
        let count = operand.count();
        let step = i64::from(narrow(side));
        let digit = |this: &mut Self, of: fn(i64, i64) -> i64| {
            let list = Arc::clone(operand);
            let numbers: Numbers = Box::new(move |values| {
                let digits = values.integers(&list).into_iter().map(|x| of(x - first, step));
                digits.flat_map(|digit| (0..step).map(move |at| i64::from(at == digit))).collect()
            });
            let start = this.column(count * side);
            this.columns.push(Column::Numbers { start, numbers });
            let bits: Arc<dyn Form> = Arc::new(Columns::one(start, count * side));
            let table = this.table(Rows::Range(Interval { low: 0, high: 1 }));
            this.looked.push(Looked { table, tuple: vec![Arc::clone(&bits)] });
            this.equal.push([added(&bits, side), Arc::new(Known(vec![1; count]))]);
            bits
        };
        let high = digit(self, |above, step| above.div_euclid(step));
        let low = digit(self, |above, step| above.rem_euclid(step));
        let number = |bits: &Arc<dyn Form>| {
            let entry = (0..count * side).map(|at| narrow(at % side)).collect();
            let digits = (0..side).map(Element::from_usize).collect();
            let terms = vec![(Arc::clone(bits), digits)];
            let digits: Arc<dyn Form> =
                Arc::new(Weighed { entry, constants: vec![Element::ZERO; side], terms });
            added(&digits, side)
        };
        let terms = [(number(&high), i128::from(step)), (number(&low), 1)];
        self.equal.push([Arc::clone(operand), weighed(count, first.into(), terms.into_iter())]);
        // A row of results for each low digit, of those of the high digit.
        let terms = results
            .iter()
            .enumerate()
            .map(|(at, result)| (narrow(at % side), narrow(at / side), Element::from_i32(*result)));
        let constants = vec![Element::ZERO; side];
        let row: Arc<dyn Form> =
            Arc::new(Sparse { operand: high, lines: count, constants, terms: terms.collect() });
        let blocks = (0..count * side).map(|at| [narrow(at / side), narrow(at), narrow(at)]).collect();
        let result = self.products([row, low], Pairs::single(blocks), count);
        self.equal.push([result, Arc::clone(output)]);
    }
}
