//! Output stages: what is left of a sum is rounded and clamped.

use std::collections::BTreeMap;
use std::sync::Arc;

use p3_field::PrimeField32 as _;
use sealgrid_graph::integer::{Operation, Requantise};
use sealgrid_graph::range::Interval;

use super::tables::{ROWS_MAX, Rows, SPLIT_ROWS};
use super::walk::{Builder, Pooled, Value, hull};
use super::{Column, NotProvable};
use crate::field::Element;
use crate::form::{Columns, Form};
use crate::lookups::Looked;
use crate::maps::{LIMB_BITS, Map, Moved, Rounded, Stage, Sum, Term, limbs_of, narrow};

/// Why a sum is refused that the field cannot hold.
pub(super) const WRAPS: &str = "its sums times their multiplier may leave the field";

impl Builder<'_> {
    /// A sum behind its output stage.
    pub(super) fn stage(
        &mut self,
        index: usize,
        operation: &Operation,
        sum: impl Into<Summed>,
        requantise: &Requantise,
        channel: impl Fn(usize) -> usize,
    ) -> Result<Value, NotProvable> {
        let summed: Summed = sum.into();
        let count = summed.form.count();
        let entry_of = |position| if requantise.multipliers.len() == 1 { 0 } else { channel(position) };
        let entry: Vec<u32> = (0..count).map(|position| narrow(entry_of(position))).collect();
        let stages = requantise.multipliers.iter().zip(&requantise.shifts);
        let mut stages: Vec<Stage> =
            stages.map(|(&multiplier, &shift)| Stage::new(multiplier, shift)).collect();
        let Some(groups) = groups(summed.bounds.as_deref(), &entry, &stages) else {
            return self.wide_stage(index, operation, summed, requantise, entry);
        };
        let axes = operation.output.shape.axes().to_vec();
        let (low, high) = (i64::from(requantise.low), i64::from(requantise.high));
        let all = groups.values().map(|group| group.quotients).reduce(hull).expect("a value has elements");
        let unclamped = low <= all.low && all.high <= high;
        // What is made of sums that are not is committed before it is an operand.
        let as_it_is = unclamped && summed.is_committed;
        let clamped = Interval { low: all.low.clamp(low, high), high: all.high.clamp(low, high) };
        let width =
            u64::try_from(high - low + 1).ok().and_then(u64::checked_next_power_of_two).map(u64::ilog2);
        // What a clamp yields is told by one limb, or by several that nothing else can be made of.
        let narrow_width = width.filter(|width| !unclamped && *width <= LIMB_BITS.into());
        let whole = width.filter(|width| !unclamped && *width <= 16 && high - low + 1 == 1 << width);
        let width = narrow_width.or(whole);
        let split = |group: &Group, shift: u8, width: Option<u32>| {
            width.filter(|width| {
                !self.is_short(group.rows(), group.members.len()) && may_split(group.quotients, *width, shift)
            })
        };
        let is_longer = |most: i64, width: Option<u32>| {
            let mut rows = groups.iter().map(|(shift, group)| {
                (group.quotients.high - group.quotients.low) >> split(group, *shift, width).unwrap_or(0)
            });
            rows.any(|rows| rows >= most)
        };
        let most = clamped.low.abs().max(clamped.high.abs());
        let widest = groups.keys().copied().max().unwrap_or(0);
        let wraps = (most + 1) << widest >= i64::from(Element::ORDER_U32) / 2;
        let exact = stages.iter().all(|stage| stage.shift == 0);
        let is_open =
            self.open[index] && !wraps && is_longer(SPLIT_ROWS, narrow_width) && !(as_it_is && exact);
        if is_longer(ROWS_MAX, width) && !is_open && !(as_it_is && exact) {
            return self.wide_stage(index, operation, summed, requantise, entry);
        }
        let later = !(as_it_is && exact) && self.is_later(index, all, (low, high), widest);
        let splits: Vec<Option<u32>> =
            groups.iter().map(|(shift, group)| split(group, *shift, width)).collect();
        let limbs = self.limbs(&entry, &mut stages);
        let form = Arc::new(Rounded { sum: summed.form, entry, stages, limbs });
        if !form.limbs.is_empty() {
            self.columns.push(Column::Limbs(Arc::clone(&form)));
        }
        if as_it_is && exact {
            return Ok(Value::shown(form, all, &axes));
        }
        if is_open {
            let open = Some(Interval { low, high });
            return Ok(Value { open, ..Value::shown(form, clamped, &axes) });
        }
        if later {
            let later = Some((requantise.low, requantise.high));
            return Ok(Value { later, ..Value::shown(form, all, &axes) });
        }
        let in_limbs = width.filter(|width| *width > LIMB_BITS.into() && splits.iter().any(Option::is_some));
        // Parts of the output: their bounds, and where they stand.
        let mut parts = vec![(requantise.low, requantise.high, self.content)];
        let output: Option<Arc<dyn Form>> = match in_limbs {
            Some(width) => {
                let limbs = self.above(low, width, count);
                self.columns.push(Column::OutputLimbs { index, limbs });
                let widths = limbs_of(width).enumerate();
                parts = widths
                    .map(|(limb, (_, width))| (0, (1 << width) - 1, limbs.start + limb * count))
                    .collect();
                Some(Arc::new(limbs.form(count)))
            }
            None => (!as_it_is).then(|| self.output(index, count)),
        };
        for (Group { quotients, members }, width) in groups.into_values().zip(splits) {
            let part = |operand: Arc<dyn Form>| -> Arc<dyn Form> {
                if members.len() == count {
                    operand
                } else {
                    let from = members.iter().copied().map(Some).collect();
                    Arc::new(Moved { operand, from, constant: 0 })
                }
            };
            if output.is_some()
                && let Some(width) = width
            {
                let parts = parts
                    .iter()
                    .map(|(low, high, start)| ((*low, *high), part(Arc::new(Columns::one(*start, count)))));
                let parts = parts.collect::<Vec<_>>();
                self.split_clamp(part(Arc::<Rounded>::clone(&form)), parts, quotients, low, width);
                continue;
            }
            let looked = match &output {
                Some(output) => Looked {
                    table: self.table(Rows::Clamp {
                        from: quotients,
                        low: requantise.low,
                        high: requantise.high,
                    }),
                    tuple: vec![part(Arc::<Rounded>::clone(&form)), part(Arc::clone(output))],
                },
                // A quotient is one only where it is an integer of its range: with another remainder it is anywhere in the field.
                None => Looked {
                    table: self.table(Rows::Range(quotients)),
                    tuple: vec![part(Arc::<Rounded>::clone(&form))],
                },
            };
            self.looked.push(looked);
        }
        Ok(Value::shown(output.unwrap_or(form), clamped, &axes))
    }

    /// A clamp whose table would be long: `t = low + q·2^width + v`. Where `q` is negative, zero or positive, the result is the least,
    /// `low + v` as far as there is, or the greatest; `outputs` are the result, or the limbs of what it is above the least, each with its bounds.
    pub(super) fn split_clamp(
        &mut self,
        quotients: Arc<dyn Form>,
        outputs: Vec<((i32, i32), Arc<dyn Form>)>,
        range: Interval,
        low: i64,
        width: u32,
    ) {
        let count = quotients.count();
        let shift = u8::try_from(width).expect("a limb's bits");
        let identity = (0..count).map(|at| (narrow(at), narrow(at))).collect();
        let stage = Stage::new(1, shift);
        let offset = i32::try_from(-low - stage.half()).expect("the bounds of a narrow clamp");
        let term = Term { operand: quotients, range, map: Map::Moves(identity), factor: 1 };
        // The stage rounds; a constant takes that back.
        let sum = Arc::new(Sum { constants: vec![offset; count], terms: vec![term] });
        let widths: Vec<(u32, u32)> = limbs_of(width).collect();
        let places = self.column(widths.len() * count);
        let of = |at: usize| {
            let limb = move |(limb, (below, _)): (usize, &(u32, u32))| {
                (narrow(places + limb * count + at), u8::try_from(*below).expect("a number's bits"))
            };
            widths.iter().enumerate().map(limb)
        };
        let limbs = (0..count).flat_map(of).collect();
        let above = Arc::new(Rounded { sum, entry: vec![0; count], stages: vec![stage], limbs });
        self.columns.push(Column::Limbs(Arc::clone(&above)));
        let signs = self.column(count);
        let above: Arc<dyn Form> = above;
        self.columns.push(Column::Clamped { start: signs, list: Arc::clone(&above), low: -1, high: 1 });
        let signs: Arc<dyn Form> = Arc::new(Columns::one(signs, count));
        let range = Interval { low: (range.low - low) >> shift, high: (range.high - low) >> shift };
        let table = self.table(Rows::Clamp { from: range, low: -1, high: 1 });
        self.looked.push(Looked { table, tuple: vec![above, Arc::clone(&signs)] });
        for (limb, (((low, high), output), (_, width))) in outputs.into_iter().zip(widths).enumerate() {
            let table = self.table(Rows::Select { low, high, width });
            let limb = Arc::new(Columns::one(places + limb * count, count));
            self.looked.push(Looked { table, tuple: vec![Arc::clone(&signs), limb, output] });
        }
    }

    /// Whether a value's clamp is shown behind the maxima that it is taken for and nothing else, where it changes what it would have changed before them. What
    /// the lookups of differences and of maxima admit must not wrap either: of two numbers the greater is the sum of the smaller and their difference, so each lies at
    /// most as many differences below the greatest as there are others.
    fn is_later(&self, index: usize, all: Interval, (low, high): (i64, i64), shift: u8) -> bool {
        let Some(Pooled { of, results }) = self.pooled[index] else { return false };
        let apart = all.high - all.low;
        let width = (high - low + 1).unsigned_abs().next_power_of_two().ilog2();
        let is_split = !self.is_short(apart + 1, results);
        let slack = if is_split { 2 << width } else { 0 };
        let reach = i128::from(all.low.abs().max(all.high.abs()) + low.abs() + slack);
        let reach = reach + i128::from(apart) * of as i128 + 1;
        apart > 0
            && self.is_short(2 * apart + 1, results)
            && !(is_split && width > LIMB_BITS.into())
            && reach << shift < i128::from(Element::ORDER_U32) / 2
    }

    /// Columns for the limbs of all elements, those of one width together, each looked up in its range. As few limbs as can be, each of which has as many bits
    /// as elements pay for.
    pub(super) fn limbs(&mut self, entry: &[u32], stages: &mut [Stage]) -> Vec<(u32, u8)> {
        let mut members: BTreeMap<u8, usize> = BTreeMap::new();
        entry.iter().for_each(|entry| *members.entry(stages[*entry as usize].shift).or_default() += 1);
        for stage in stages.iter_mut() {
            let count = members.get(&stage.shift).copied().unwrap_or(0);
            let widths = (1..=stage.shift).map(|limbs| stage.shift.div_ceil(limbs));
            let mut short = widths.filter(|width| *width < 32 && self.is_short(1 << width, count));
            stage.limb_bits = short.next().unwrap_or(LIMB_BITS);
        }
        let mut widths: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        let mut limbs = Vec::new();
        for entry in entry {
            for (below, width) in stages[*entry as usize].limbs() {
                widths.entry(width).or_default().push(limbs.len());
                limbs.push((0, u8::try_from(below).expect("below a shift")));
            }
        }
        for (width, members) in widths {
            let start = self.column(members.len());
            for (place, member) in members.iter().enumerate() {
                limbs[*member].0 = narrow(start + place);
            }
            let table = self.table(Rows::Range(Interval { low: 0, high: (1 << width) - 1 }));
            self.looked.push(Looked { table, tuple: vec![Arc::new(Columns::one(start, members.len()))] });
        }
        limbs
    }

    /// A column for an operation's output.
    pub(super) fn output(&mut self, index: usize, count: usize) -> Arc<dyn Form> {
        let start = self.column(count);
        self.columns.push(Column::Output { index, start });
        Arc::new(Columns::one(start, count))
    }
}

/// What an output stage takes.
pub(super) struct Summed {
    pub(super) form: Arc<dyn Form>,
    /// Of each element; `None` when one is too large to say.
    pub(super) bounds: Option<Vec<Interval>>,
    /// Whether it is made of what is committed alone.
    pub(super) is_committed: bool,
    /// What it is the sum of, element by element; empty where that is the form itself.
    pub(super) parts: Vec<Part>,
}

/// `factor` times an operand, its elements taken `from` these places, or all as they are.
pub(super) struct Part {
    pub(super) operand: Arc<dyn Form>,
    pub(super) range: Interval,
    pub(super) from: Option<Vec<Option<u32>>>,
    pub(super) factor: i32,
    /// Of what it is the product, where it may be more than the field tells apart.
    pub(super) product: Option<Factors>,
}

/// A product, each of whose sums has one term, and the operands.
pub(super) struct Factors {
    pub(super) product: usize,
    pub(super) operands: [(Arc<dyn Form>, Interval); 2],
}

impl Part {
    /// Elements as they are.
    pub(super) fn new(operand: Arc<dyn Form>, range: Interval) -> Self {
        Self { operand, range, from: None, factor: 1, product: None }
    }

    /// The operand's elements, where they are taken.
    pub(super) fn form(&self) -> Arc<dyn Form> {
        let operand = Arc::clone(&self.operand);
        match &self.from {
            Some(from) => Arc::new(Moved { operand, from: from.clone(), constant: 0 }),
            None => operand,
        }
    }
}

/// The elements of one shift, and where their quotients lie.
struct Group {
    quotients: Interval,
    members: Vec<u32>,
}

impl Group {
    /// Rows of a table of its quotients.
    fn rows(&self) -> i64 {
        self.quotients.high - self.quotients.low + 1
    }
}

/// Elements by shift: quotients of one shift have one table, and then whatever it admits does not wrap either. `None` where the field does not hold a sum
/// times its multiplier.
fn groups(bounds: Option<&[Interval]>, entry: &[u32], stages: &[Stage]) -> Option<BTreeMap<u8, Group>> {
    let mut groups: BTreeMap<u8, Group> = BTreeMap::new();
    for (position, (bounds, entry)) in bounds?.iter().zip(entry).enumerate() {
        let stage = stages[*entry as usize];
        let quotients = stage.quotients(*bounds)?;
        let group = groups.entry(stage.shift).or_insert(Group { quotients, members: Vec::new() });
        group.quotients = hull(group.quotients, quotients);
        group.members.push(narrow(position));
    }
    Some(groups)
}

impl From<Sum> for Summed {
    fn from(sum: Sum) -> Self {
        Self { bounds: sum.bounds(), form: Arc::new(sum), is_committed: true, parts: Vec::new() }
    }
}

/// Whether a clamp of `width` bits may be split: what the parts admit beyond the quotients, less than `2^width`, does not wrap behind a shift either.
fn may_split(quotients: Interval, width: u32, shift: u8) -> bool {
    let reach = quotients.low.abs().max(quotients.high.abs()) + (1 << width) + 1;
    reach << shift < i64::from(Element::ORDER_U32) / 2
}
