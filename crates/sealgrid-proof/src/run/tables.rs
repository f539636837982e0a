//! Which tables a run looks something up in.

use std::sync::Arc;

use p3_field::PrimeCharacteristicRing as _;
use sealgrid_graph::range::Interval;

use super::walk::Builder;
use crate::field::{Element, integer};
use crate::form::Form;
use crate::lookups;
use crate::maps::narrow;

/// Rows of a table that is short, whatever is looked up in it.
pub(super) const SPLIT_ROWS: i64 = 1 << 11;
/// Most rows of one table.
pub(super) const ROWS_MAX: i64 = 1 << 17;

/// A table on its way: its rows.
#[derive(PartialEq)]
pub(super) enum Rows {
    /// `0 … 2^bits − 1`, and so on: all integers of an interval.
    Range(Interval),
    /// `(t, clamp(t))`.
    Clamp { from: Interval, low: i32, high: i32 },
    /// `(sign of q, v, clamp(low + q·2^width + v))`.
    Select { low: i32, high: i32, width: u32 },
    /// `(v, v mod 2)` up to a number.
    Parity(i64),
    /// `(x, f(x))` from `first` on.
    Function { first: i64, results: Vec<i32> },
    /// Forms of what all records share.
    Shared(Forms),
    /// Forms of what each record has for itself, where their multiplicities begin among a record's places.
    Own(Forms, usize),
}

/// Columns of a table that nobody is told.
pub(super) struct Forms(pub(super) Vec<Arc<dyn Form>>);

impl PartialEq for Forms {
    fn eq(&self, other: &Self) -> bool {
        let both = self.0.iter().zip(&other.0);
        self.0.len() == other.0.len() && both.into_iter().all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

impl Builder<'_> {
    /// Whether a table of so many rows is short where it spares each record so many lookups: a row, which all records share, costs what a lookup does.
    pub(super) fn is_short(&self, rows: i64, lookups: usize) -> bool {
        rows <= SPLIT_ROWS.max(i64::try_from(self.records * lookups).unwrap_or(ROWS_MAX)).min(ROWS_MAX)
    }
}

impl Rows {
    pub(super) fn rows(self) -> lookups::Rows {
        match self {
            Self::Shared(Forms(columns)) => lookups::Rows::Shared(columns),
            Self::Own(Forms(columns), _) => lookups::Rows::Own(columns),
            told => lookups::Rows::Told(told.columns()),
        }
    }

    fn columns(self) -> Vec<Vec<Element>> {
        let all = |from: Interval| (from.low..=from.high).map(integer).collect::<Vec<_>>();
        match self {
            Self::Range(interval) => vec![all(interval)],
            Self::Clamp { from, low, high } => {
                let clamped = (from.low..=from.high).map(|t| integer(t.clamp(low.into(), high.into())));
                vec![all(from), clamped.collect()]
            }
            Self::Select { low, high, width } => {
                let rows: Vec<(i64, i64)> =
                    (-1..=1).flat_map(|sign| (0..1 << width).map(move |v| (sign, v))).collect();
                let result = |(sign, v): (i64, i64)| match sign {
                    -1 => low.into(),
                    0 => (i64::from(low) + v).min(high.into()),
                    _ => i64::from(high),
                };
                let column =
                    |of: &dyn Fn((i64, i64)) -> i64| rows.iter().map(|row| integer(of(*row))).collect();
                vec![column(&|(sign, _)| sign), column(&|(_, v)| v), column(&result)]
            }
            Self::Parity(most) => {
                let parities = (0..=most).map(|value| integer(value & 1));
                vec![all(Interval { low: 0, high: most }), parities.collect()]
            }
            Self::Function { first, results } => {
                let last = first - 1 + i64::from(narrow(results.len()));
                let results = results.into_iter().map(Element::from_i32).collect();
                vec![all(Interval { low: first, high: last }), results]
            }
            Self::Shared(_) | Self::Own(..) => unreachable!("forms"),
        }
    }
}
