//! The largest of several.

use std::sync::Arc;

use sealgrid_graph::integer::Operation;
use sealgrid_graph::range::Interval;

use super::tables::{ROWS_MAX, Rows};
use super::walk::{Builder, Value, refused};
use super::{Column, NotProvable};
use crate::lookups::{Columns, Form, Looked};
use crate::maps::{Map, Sum, Term, narrow};

impl Builder<'_> {
    /// The value of [`Builder::maximum`].
    pub(super) fn largest(
        &mut self,
        index: usize,
        operation: &Operation,
        lists: &[(&Value, Vec<u32>)],
    ) -> Result<Value, NotProvable> {
        let wide = "its operands have too wide a range for a table";
        let (form, range) = self.maximum(lists).ok_or_else(|| refused(index, operation, wide))?;
        Ok(Value::shown(form, range, operation.output.shape.axes()))
    }

    /// The largest of several lists, element by element: `max(x, y) = y + (x − y)⁺`, the positive part being looked up. Each list is elements
    /// of a value, taken from these places of a record.
    pub(super) fn maximum(&mut self, lists: &[(&Value, Vec<u32>)]) -> Option<(Arc<dyn Form>, Interval)> {
        let (records, each) = (self.records, lists[0].1.len());
        let term = |(value, from): &(&Value, Vec<u32>), factor| Term {
            operand: Arc::clone(&value.form),
            range: value.range,
            map: Map::Moves(from.iter().enumerate().map(|(to, from)| (narrow(to), *from)).collect()),
            factor,
        };
        let sum = |terms| Sum { records, constants: vec![0; each], terms };
        let (mut best, mut range) = (vec![term(&lists[0], 1)], lists[0].0.range);
        for list in &lists[1..] {
            let other = list.0.range;
            let difference = Interval { low: range.low - other.high, high: range.high - other.low };
            if difference.high - difference.low >= ROWS_MAX {
                return None;
            }
            best.push(term(list, -1));
            let difference_list = Arc::new(sum(best));
            let most = i32::try_from(difference.high.max(0)).ok()?;
            let table = self.table(Rows::Clamp { from: difference, low: 0, high: most });
            let start = self.column(records * each);
            let list_form: Arc<dyn Form> = Arc::<Sum>::clone(&difference_list);
            self.columns.push(Column::Clamped { start, list: list_form, low: 0, high: most.into() });
            let above = Arc::new(Columns::one(start, records * each));
            let tuple: Vec<Arc<dyn Form>> = vec![difference_list, Arc::<Columns>::clone(&above)];
            self.looked.push(Looked { table, tuple });
            let identity = (0..each).map(|at| (narrow(at), narrow(at))).collect();
            let above_range = Interval { low: 0, high: most.into() };
            let above = Term { operand: above, range: above_range, map: Map::Moves(identity), factor: 1 };
            best = vec![term(list, 1), above];
            range = Interval { low: range.low.max(other.low), high: range.high.max(other.high) };
        }
        Some((Arc::new(sum(best)), range))
    }
}
