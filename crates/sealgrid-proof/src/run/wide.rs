//! Numbers that the field does not hold. What is multiplied is split into limbs, short numbers of which nothing else can be made; a sum of
//! limbs times known factors, of up to 2^120, is divided by a power of two piece by piece, as one does it on paper, lowest digits first.
//!
//! At each step `S = Σ limb·digit + carry` is an integer below half of the field, `S = q·2^w + r` with `r` and `q` in ranges whose every pair stays less
//! than the field's order away from every `S`. So the equation modulo the order is one of integers, and quotient and remainder are unique.

use std::sync::Arc;

use p3_field::{PrimeCharacteristicRing as _, PrimeField32 as _};
use sealgrid_graph::integer::{Operation, Requantise};
use sealgrid_graph::range::Interval;

use super::stage::{Factors, Part, Summed, WRAPS};
use super::sums::{Pairs, Product};
use super::tables::{ROWS_MAX, Rows};
use super::walk::{Builder, Value, hull, refused};
use super::{Column, NotProvable};
use crate::field::{Element, integer};
use crate::form::{Columns, Form, Memo, Values};
use crate::lookups::Looked;
use crate::maps::{Known, LIMB_BITS, Moved, Rounded, Stage, Weighed, limbs_of, narrow};

/// The field's order.
const ORDER: i128 = Element::ORDER_U32 as i128;
/// Most bits of one step of a division.
const STEP_BITS: u32 = 18;

/// What is split into limbs.
pub(super) enum Of {
    /// A list above its least.
    Form(Arc<dyn Form>, i64),
    /// Sums of products as integers, above their least: they may lie farther apart than the field's elements.
    Product(usize, i64),
    /// What a list is above zero, or below it, and zero elsewhere; with the least that it can be.
    Above(Arc<dyn Form>, i64),
    Below(Arc<dyn Form>, i64),
    /// Numbers that are not negative.
    Numbers(Numbers),
}

/// What is computed of a content.
pub(super) type Numbers = Box<dyn Fn(Values<'_>) -> Vec<i64> + Send + Sync>;

/// Columns for limbs of a list, one column a limb, the lowest first.
pub(super) struct Split {
    pub(super) of: Of,
    pub(super) start: usize,
    pub(super) count: usize,
    /// Bits below each limb, and its own.
    pub(super) limbs: Vec<(u32, u32)>,
}

/// `low + Σ limb·2^below`, element by element.
#[derive(Clone)]
pub(super) struct Limbs {
    pub(super) low: i64,
    pub(super) limbs: Vec<Limb>,
}

/// Numbers from 0 to `most`.
#[derive(Clone)]
pub(super) struct Limb {
    pub(super) form: Arc<dyn Form>,
    pub(super) below: u32,
    pub(super) most: i64,
}

/// `constant + Σ coefficient·term` over the integers, each element with the constants and coefficients of its entry.
#[derive(Clone)]
pub(super) struct Whole {
    pub(super) entry: Vec<u32>,
    pub(super) constants: Vec<i128>,
    pub(super) terms: Vec<WholeTerm>,
}

#[derive(Clone)]
pub(super) struct WholeTerm {
    pub(super) form: Arc<dyn Form>,
    /// Where its elements lie.
    pub(super) range: Interval,
    pub(super) coefficients: Vec<i128>,
}

impl Split {
    /// Fills the columns, of places where what is split stands.
    pub(super) fn fill(&self, places: &mut [Element], memo: &Memo, products: &[Product]) {
        let of = memo.of(places);
        let numbers: Vec<i64> = match &self.of {
            Of::Form(form, low) => integers(form, *low, of, |value| value - low),
            Of::Product(index, low) => {
                products[*index].values(of).into_iter().map(|value| value - low).collect()
            }
            Of::Above(form, low) => integers(form, *low, of, |value| value.max(0)),
            Of::Below(form, low) => integers(form, *low, of, |value| (-value).max(0)),
            Of::Numbers(numbers) => numbers(of),
        };
        for (limb, (below, width)) in self.limbs.iter().enumerate() {
            let last = limb + 1 == self.limbs.len();
            for (at, number) in numbers.iter().enumerate() {
                let digits = number >> below;
                let digits = if last { digits } else { digits & ((1 << width) - 1) };
                places[self.start + limb * self.count + at] = integer(digits);
            }
        }
    }
}

#[cfg(test)]
impl Split {
    pub(super) fn is_of_products(&self) -> bool {
        matches!(self.of, Of::Product(..))
    }

    /// Adds to one of the numbers; whether there are limbs for what it becomes.
    pub(super) fn shifted(&self, content: &mut [Element], place: usize, by: i64) -> bool {
        let at = |limb: usize| self.start + limb * self.count + place;
        let limbs = self.limbs.iter().enumerate();
        let number: i64 = limbs
            .clone()
            .map(|(limb, (below, _))| i64::from(content[at(limb)].as_canonical_u32()) << below)
            .sum();
        let number = number + by;
        let bits = self.limbs.iter().map(|(below, width)| below + width).max().unwrap_or(0);
        for (limb, (below, width)) in limbs {
            content[at(limb)] = Element::from_i64(number >> below & ((1 << width) - 1));
        }
        (0..1 << bits).contains(&number)
    }
}

/// What is made of the integers that a list's elements stand for, of which none is below `low`.
fn integers(form: &Arc<dyn Form>, low: i64, of: Values<'_>, make: impl Fn(i64) -> i64) -> Vec<i64> {
    let least = integer(low);
    let above = |value: &Element| (*value - least).as_canonical_u32();
    of.of(form).iter().map(|value| make(low + i64::from(above(value)))).collect()
}

impl Limbs {
    /// The greatest number that they make.
    pub(super) fn most(&self) -> i128 {
        let limbs = self.limbs.iter().map(|limb| i128::from(limb.most) << limb.below);
        i128::from(self.low) + limbs.sum::<i128>()
    }

    /// The number.
    pub(super) fn form(&self) -> Arc<dyn Form> {
        let terms = self.limbs.iter().map(|limb| (Arc::clone(&limb.form), 1i128 << limb.below));
        weighed(self.limbs[0].form.count(), i128::from(self.low), terms)
    }

    /// Elements from these places.
    fn moved(&self, from: &[Option<u32>]) -> Self {
        let moved = |limb: &Limb| {
            let operand = Arc::clone(&limb.form);
            Limb { form: Arc::new(Moved { operand, from: from.to_vec(), constant: 0 }), ..*limb }
        };
        Self { low: self.low, limbs: self.limbs.iter().map(moved).collect() }
    }
}

/// `constant + Σ factor·form`, the same for all elements.
pub(super) fn weighed(
    count: usize,
    constant: i128,
    terms: impl Iterator<Item = (Arc<dyn Form>, i128)>,
) -> Arc<dyn Form> {
    let terms = terms.map(|(form, factor)| (form, vec![element(factor)])).collect();
    Arc::new(Weighed { entry: vec![0; count], constants: vec![element(constant)], terms })
}

fn element(number: i128) -> Element {
    // Most fit: a remainder of 128 bits takes fifty times as long.
    let order = i64::from(Element::ORDER_U32);
    let number = i64::try_from(number).or_else(|_| i64::try_from(number % ORDER)).expect("below the order");
    Element::from_i32(i32::try_from(number % order).expect("31 bits"))
}

/// What `number / 2^bits`, towards zero, leaves of the number, and the quotient. By shifts: a division of 128 bits takes fifty times as long.
fn parted(number: i128, bits: u32) -> (i128, i128) {
    let quotient = (number + if number < 0 { (1 << bits) - 1 } else { 0 }) >> bits;
    (number - (quotient << bits), quotient)
}

/// Of integers, as far as 62 bits go.
fn interval([low, high]: [i128; 2]) -> Option<Interval> {
    let end = |end: i128| i64::try_from(end).ok().filter(|end| end.abs() < 1 << 62);
    Some(Interval { low: end(low)?, high: end(high)? })
}

/// Whether different integers of the range are different elements.
pub(super) fn is_told(range: Interval) -> bool {
    i128::from(range.high) - i128::from(range.low) < ORDER
}

/// Whether what is equal modulo the order is equal, of numbers from one range and numbers from the other.
pub(super) fn is_equal(one: [i128; 2], other: [i128; 2]) -> bool {
    one[1].max(other[1]) - one[0].min(other[0]) < ORDER
}

impl Whole {
    pub(super) fn of(count: usize, constant: i128) -> Self {
        Self { entry: vec![0; count], constants: vec![constant], terms: Vec::new() }
    }

    /// Adds `factor` times a number in limbs, the same for all entries.
    pub(super) fn add(&mut self, limbs: &Limbs, factor: i128) {
        self.constants.iter_mut().for_each(|constant| *constant += factor * i128::from(limbs.low));
        for limb in &limbs.limbs {
            let coefficients = vec![factor << limb.below; self.constants.len()];
            let range = Interval { low: 0, high: limb.most };
            self.terms.push(WholeTerm { form: Arc::clone(&limb.form), range, coefficients });
        }
    }

    fn count(&self) -> usize {
        self.entry.len()
    }

    /// Where the elements of all entries lie.
    fn bounds(&self) -> [i128; 2] {
        let of = |entry: usize| {
            self.terms.iter().fold([self.constants[entry]; 2], |[low, high], term| {
                let ends =
                    [term.range.low, term.range.high].map(|end| i128::from(end) * term.coefficients[entry]);
                [low + ends[0].min(ends[1]), high + ends[0].max(ends[1])]
            })
        };
        let all = (0..self.constants.len()).map(of);
        all.reduce(|one, other| [one[0].min(other[0]), one[1].max(other[1])]).expect("an entry")
    }

    /// Its lowest `bits` digits, and the others.
    fn digits(&self, bits: u32) -> [Self; 2] {
        let of = |numbers: &[i128]| -> (Vec<i128>, Vec<i128>) {
            numbers.iter().map(|number| parted(*number, bits)).unzip()
        };
        let (low, high) = of(&self.constants);
        let mut parts =
            [low, high].map(|constants| Self { entry: self.entry.clone(), constants, terms: vec![] });
        for term in &self.terms {
            let (low, high) = of(&term.coefficients);
            for (part, coefficients) in parts.iter_mut().zip([low, high]) {
                if coefficients.iter().any(|coefficient| *coefficient != 0) {
                    let form = Arc::clone(&term.form);
                    part.terms.push(WholeTerm { form, range: term.range, coefficients });
                }
            }
        }
        parts
    }

    fn is_nothing(&self) -> bool {
        self.terms.is_empty() && self.constants.iter().all(|constant| *constant == 0)
    }

    fn carry(&mut self, form: Arc<dyn Form>, range: Interval) {
        self.terms.push(WholeTerm { form, range, coefficients: vec![1; self.constants.len()] });
    }

    /// As the field has it.
    pub(super) fn form(&self) -> Arc<dyn Form> {
        let all = |numbers: &[i128]| numbers.iter().copied().map(element).collect::<Vec<_>>();
        let terms = self.terms.iter().map(|term| (Arc::clone(&term.form), all(&term.coefficients)));
        Arc::new(Weighed {
            entry: self.entry.clone(),
            constants: all(&self.constants),
            terms: terms.collect(),
        })
    }

    /// What a step over `bits` digits comes to, and the range of its quotients, as it is shown; `None` when it may leave the middle of the field.
    fn step(&self, bits: u32) -> Option<Interval> {
        let [low, high] = self.bounds();
        let quotients = interval([low >> bits, high >> bits])?;
        // As many as a power of two, so that many share one table, and limbs make these and no others.
        let most = quotients.high.max(-1 - quotients.low).max(0).cast_unsigned();
        let power = (most + 1).next_power_of_two().cast_signed();
        let shown = Interval { low: if quotients.low < 0 { -power } else { 0 }, high: power - 1 };
        let reach = [i128::from(shown.low) << bits, (i128::from(shown.high) + 1) << bits];
        let half = 1i128 << bits;
        let middle = -ORDER / 2 < low - half && high + half < ORDER / 2;
        (middle && is_equal([low, high], reach)).then_some(shown)
    }
}

impl Builder<'_> {
    /// That a list lies in a range of a power of two, modulo the order.
    pub(super) fn within(&mut self, form: &Arc<dyn Form>, range: Interval) -> Option<()> {
        if range.high - range.low < 1 << 13 {
            let table = self.table(Rows::Range(range));
            self.looked.push(Looked { table, tuple: vec![Arc::clone(form)] });
            return Some(());
        }
        self.limbs_above(form, range).map(drop)
    }

    /// That numbers of a range are not negative.
    pub(super) fn not_negative(&mut self, form: &Arc<dyn Form>, range: Interval) -> Option<()> {
        let shown = Interval { low: 0, high: (1 << (range.high.max(1).ilog2() + 1)) - 1 };
        let all = [range.low.into(), range.high.into()];
        is_equal(all, [0, shown.high.into()]).then(|| self.within(form, shown))?
    }

    /// A list in limbs; what is in the given range already is one limb where it is short.
    pub(super) fn split(&mut self, form: &Arc<dyn Form>, range: Interval) -> Option<Limbs> {
        let known =
            |(known, of, _): &&(Arc<dyn Form>, Interval, Limbs)| Arc::ptr_eq(known, form) && *of == range;
        if let Some((.., limbs)) = self.split.iter().find(known) {
            return Some(limbs.clone());
        }
        // An even least, so that the parity of the lowest limb is the number's.
        let low = range.low - range.low.rem_euclid(2);
        let most = range.high - low;
        let limbs = if most < 1 << LIMB_BITS {
            let above = weighed(form.count(), -i128::from(low), [(Arc::clone(form), 1)].into_iter());
            Limbs { low, limbs: vec![Limb { form: above, below: 0, most }] }
        } else {
            self.limbs_above(form, Interval { low, high: range.high })?
        };
        self.split.push((Arc::clone(form), range, limbs.clone()));
        Some(limbs)
    }

    /// Limbs of a list in columns, which show that it lies in the range, or a little above it.
    fn limbs_above(&mut self, form: &Arc<dyn Form>, range: Interval) -> Option<Limbs> {
        if !is_told(range) {
            return None;
        }
        let limbs = self.limbs_of(Of::Form(Arc::clone(form), range.low), range, form.count());
        let told = is_equal([range.low.into(), range.high.into()], [limbs.low.into(), limbs.most()]);
        self.equal.push([Arc::clone(form), limbs.form()]);
        told.then_some(limbs)
    }

    /// Columns for limbs that make the numbers of the range, and as few others as keep them apart in the field.
    pub(super) fn limbs_of(&mut self, of: Of, range: Interval, count: usize) -> Limbs {
        let bits = (range.high - range.low).max(1).ilog2() + 1;
        self.limbs_in(of, range, limbs_of(bits).collect(), count)
    }

    /// The same, of these widths.
    pub(super) fn limbs_in(
        &mut self,
        of: Of,
        range: Interval,
        widths: Vec<(u32, u32)>,
        count: usize,
    ) -> Limbs {
        let most = range.high - range.low;
        let start = self.column(widths.len() * count);
        let limb = |(limb, (below, width)): (usize, &(u32, u32))| {
            // The highest limb of long numbers ends where they do.
            let is_last = limb + 1 == widths.len();
            let most = if is_last && below + width >= 31 { most >> below } else { (1 << width) - 1 };
            let form: Arc<dyn Form> = Arc::new(Columns::one(start + limb * count, count));
            Limb { form, below: *below, most }
        };
        let limbs: Vec<Limb> = widths.iter().enumerate().map(limb).collect();
        for limb in &limbs {
            let table = self.table(Rows::Range(Interval { low: 0, high: limb.most }));
            self.looked.push(Looked { table, tuple: vec![Arc::clone(&limb.form)] });
        }
        self.columns.push(Column::Split(Split { of, start, count, limbs: widths }));
        Limbs { low: range.low, limbs }
    }

    /// `floor(whole / 2^bits)`, an integer of the field.
    pub(super) fn divided(&mut self, mut whole: Whole, bits: u32) -> Option<Arc<dyn Form>> {
        for width in steps(&whole, bits)? {
            let [mut low, mut high] = whole.digits(width);
            if !low.is_nothing() {
                let range = low.step(width)?;
                let shift = u8::try_from(width).ok()?;
                let mut stages = vec![Stage::new(1, shift)];
                let count = low.count();
                let limbs = self.limbs(&vec![0; count], &mut stages);
                // The stage rounds; a constant takes that back.
                low.constants.iter_mut().for_each(|constant| *constant -= i128::from(stages[0].half()));
                let rounded = Rounded { sum: low.form(), entry: vec![0; count], stages, limbs };
                let rounded = Arc::new(rounded);
                self.columns.push(Column::Limbs(Arc::clone(&rounded)));
                let carry: Arc<dyn Form> = rounded;
                self.within(&carry, range)?;
                high.carry(carry, range);
            }
            whole = high;
        }
        Some(whole.form())
    }

    /// That a sum of integers is zero, `widths` digits at a time.
    pub(super) fn nothing(&mut self, mut whole: Whole, width: u32) -> Option<()> {
        while !is_equal(whole.bounds(), [0; 2]) {
            let [low, mut high] = whole.digits(width);
            if !low.is_nothing() {
                let range = low.step(width)?;
                let scale = Element::ONE.div_2exp_u64(width.into());
                let terms = vec![(low.form(), vec![scale])];
                let carry: Arc<dyn Form> =
                    Arc::new(Weighed { entry: vec![0; low.count()], constants: vec![Element::ZERO], terms });
                self.within(&carry, range)?;
                high.carry(carry, range);
            }
            whole = high;
        }
        let zeros: Arc<dyn Form> = Arc::new(Known(vec![0; whole.count()]));
        self.equal.push([whole.form(), zeros]);
        Some(())
    }

    /// A sum of any size behind its output stage.
    pub(super) fn wide_stage(
        &mut self,
        index: usize,
        operation: &Operation,
        sum: Summed,
        requantise: &Requantise,
        entry: Vec<u32>,
    ) -> Result<Value, NotProvable> {
        let refuse = || refused(index, operation, WRAPS);
        let axes = operation.output.shape.axes();
        let (low, high) = (i64::from(requantise.low), i64::from(requantise.high));
        let widest = requantise.shifts.iter().copied().max().expect("an entry");
        // All behind one shift: m·2^d and h·2^d over 2^(s+d) are m and h over 2^s.
        let stages = requantise.multipliers.iter().zip(&requantise.shifts);
        let stages: Vec<[i128; 2]> = stages
            .map(|(multiplier, shift)| {
                let half = if *shift == 0 { 0 } else { 1i128 << (shift - 1) };
                [i128::from(*multiplier), half].map(|number| number << (widest - shift))
            })
            .collect();
        let mut whole =
            Whole { entry, constants: stages.iter().map(|[_, half]| *half).collect(), terms: vec![] };
        let mut exact = whole.clone();
        let mut parts = sum.parts;
        if parts.is_empty() {
            let all = sum.bounds.and_then(|bounds| bounds.into_iter().reduce(hull)).ok_or_else(refuse)?;
            parts.push(Part::new(sum.form, all));
        }
        for part in &parts {
            // Modulo 2^32 it would be another sum: a graph that is admitted has none such.
            if !part.range.fits_int32() {
                return Err(refuse());
            }
            let factors: Vec<i128> = stages.iter().map(|[m, _]| m * i128::from(part.factor)).collect();
            let (form, range) = (part.form(), part.range);
            exact.terms.push(WholeTerm { form, range, coefficients: factors.clone() });
            if widest == 0 {
                continue;
            }
            let limbs = self.part(part).ok_or_else(refuse)?;
            for (constant, factor) in whole.constants.iter_mut().zip(&factors) {
                *constant += factor * i128::from(limbs.low);
            }
            for limb in limbs.limbs {
                let coefficients = factors.iter().map(|factor| factor << limb.below).collect();
                let range = Interval { low: 0, high: limb.most };
                whole.terms.push(WholeTerm { form: limb.form, range, coefficients });
            }
        }
        let all = interval(exact.bounds().map(|end| end >> widest)).filter(|all| is_told(*all));
        let Some(all) = all else {
            let [part] = &parts[..] else { return Err(refuse()) };
            return self.clamped_first(index, operation, part, requantise, whole.entry).ok_or_else(refuse)?;
        };
        let quotient = match widest {
            0 => exact.form(),
            _ => self.divided(whole, widest.into()).ok_or_else(refuse)?,
        };
        let count = quotient.count();
        if low <= all.low && all.high <= high {
            // Committed, or what is made of it would be computed again and again.
            let output = self.output(index, count);
            self.equal.push([quotient, Arc::clone(&output)]);
            return Ok(Value::shown(output, all, axes));
        }
        let bounds = (requantise.low, requantise.high);
        let form = self.clamped(index, &quotient, all, bounds).ok_or_else(refuse)?;
        let range = Interval { low: all.low.clamp(low, high), high: all.high.clamp(low, high) };
        Ok(Value::shown(form, range, axes))
    }

    /// A stage of which the field cannot tell the quotients apart: the sum is clamped before, to where the result reaches its ends. `None` where that
    /// leaves nothing shorter.
    fn clamped_first(
        &mut self,
        index: usize,
        operation: &Operation,
        part: &Part,
        requantise: &Requantise,
        entry: Vec<u32>,
    ) -> Option<Result<Value, NotProvable>> {
        let (low, high) = (i128::from(requantise.low), i128::from(requantise.high));
        // a·m + h < (low + 1)·2^s, and a·m + h ≥ high·2^s.
        let ends = |(multiplier, shift): (&i32, &u8)| {
            let multiplier = i128::from(*multiplier) * i128::from(part.factor);
            let half = if *shift == 0 { 0 } else { 1i128 << (shift - 1) };
            let last = ((low + 1) * (1 << shift) - half - 1).checked_div_euclid(multiplier)?;
            let first = -(half - high * (1 << shift)).checked_div_euclid(multiplier)?;
            let of = |end: i128| end.clamp(part.range.low.into(), part.range.high.into());
            (multiplier > 0 && low < high).then(|| interval([of(last), of(first)]))?
        };
        let ends =
            requantise.multipliers.iter().zip(&requantise.shifts).map(ends).collect::<Option<Vec<_>>>()?;
        let all = Interval {
            low: ends.iter().map(|ends| ends.low).min()?,
            high: ends.iter().map(|ends| ends.high).max()?,
        };
        if all == part.range || !is_told(part.range) {
            return None;
        }
        let form = part.form();
        let mut above = |of: fn(&Interval) -> i64| {
            let constants = ends.iter().map(|ends| -i128::from(of(ends))).collect();
            let coefficients = vec![1; ends.len()];
            let terms = vec![WholeTerm { form: Arc::clone(&form), range: part.range, coefficients }];
            let above = Whole { entry: entry.clone(), constants, terms };
            let range = interval(above.bounds())?;
            self.positive(&above.form(), range)
        };
        let (above_low, above_high) = (above(|ends| ends.low)?, above(|ends| ends.high)?);
        let term =
            |form, factor| WholeTerm { form, range: part.range, coefficients: vec![factor; ends.len()] };
        let constants = ends.iter().map(|ends| ends.low.into()).collect();
        let terms = vec![term(above_low, 1), term(above_high, -1)];
        let form = Whole { entry: entry.clone(), constants, terms }.form();
        let part = Part { factor: part.factor, ..Part::new(Arc::clone(&form), all) };
        let sum = Summed { form, bounds: None, is_committed: false, parts: vec![part] };
        Some(self.wide_stage(index, operation, sum, requantise, entry))
    }

    /// Integers of a range, clamped.
    pub(super) fn clamped(
        &mut self,
        index: usize,
        quotient: &Arc<dyn Form>,
        all: Interval,
        (least, most): (i32, i32),
    ) -> Option<Arc<dyn Form>> {
        let count = quotient.count();
        let (low, high) = (i64::from(least), i64::from(most));
        if self.is_short(all.high - all.low + 1, count) {
            let output = self.output(index, count);
            let table = self.table(Rows::Clamp { from: all, low: least, high: most });
            self.looked.push(Looked { table, tuple: vec![Arc::clone(quotient), Arc::clone(&output)] });
            return Some(output);
        }
        let width = u64::try_from(high - low + 1).ok()?.next_power_of_two().ilog2();
        let whole = high - low + 1 == 1 << width;
        let reach = i128::from(all.low.abs().max(all.high.abs())) + i128::from(low.abs()) + (2 << width);
        let splits = reach < ORDER / 2 && (all.high - all.low) >> width < ROWS_MAX;
        if splits && width <= LIMB_BITS.into() {
            let part = ((least, most), self.output(index, count));
            let output = Arc::clone(&part.1);
            self.split_clamp(Arc::clone(quotient), vec![part], all, low, width);
            return Some(output);
        }
        if splits && width <= 16 && whole {
            let limbs = self.above(low, width, count);
            self.columns.push(Column::OutputLimbs { index, limbs });
            let parts = limbs_of(width).enumerate().map(|(limb, (_, width))| -> (_, Arc<dyn Form>) {
                ((0, (1 << width) - 1), Arc::new(Columns::one(limbs.start + limb * count, count)))
            });
            let parts = parts.collect();
            self.split_clamp(Arc::clone(quotient), parts, all, low, width);
            return Some(Arc::new(limbs.form(count)));
        }
        // low + (t − low)⁺ − (t − high)⁺
        let mut above = |end: i64| {
            let form = weighed(count, -i128::from(end), [(Arc::clone(quotient), 1)].into_iter());
            self.positive(
                &form,
                Interval { low: all.low.checked_sub(end)?, high: all.high.checked_sub(end)? },
            )
        };
        let (above_low, above_high) = (above(low)?, above(high)?);
        let clamped = weighed(count, i128::from(low), [(above_low, 1), (above_high, -1)].into_iter());
        let output = self.output(index, count);
        self.equal.push([clamped, Arc::clone(&output)]);
        Some(output)
    }

    /// What the numbers of a range are above zero. Where no table is that long they are the difference of two numbers that are not negative, the product
    /// of which is zero.
    pub(super) fn positive(&mut self, form: &Arc<dyn Form>, range: Interval) -> Option<Arc<dyn Form>> {
        let count = form.count();
        if range.high <= 0 {
            return Some(Arc::new(Known(vec![0; count])));
        }
        if range.low >= 0 {
            return Some(Arc::clone(form));
        }
        let rows = range.high - range.low + 1;
        let limbs = |end: i64| limbs_of(end.ilog2() + 1).count();
        if self.is_short(rows, count * (limbs(range.high) + limbs(-range.low))) {
            let table =
                self.table(Rows::Clamp { from: range, low: 0, high: i32::try_from(range.high).ok()? });
            let start = self.column(count);
            self.columns.push(Column::Clamped { start, list: Arc::clone(form), low: 0, high: range.high });
            let above: Arc<dyn Form> = Arc::new(Columns::one(start, count));
            self.looked.push(Looked { table, tuple: vec![Arc::clone(form), Arc::clone(&above)] });
            return Some(above);
        }
        // Either alone must not be what the other comes to modulo the order.
        let of = [Of::Above(Arc::clone(form), range.low), Of::Below(Arc::clone(form), range.low)];
        let [of_above, of_below] = of;
        let above = self.limbs_of(of_above, Interval { low: 0, high: range.high }, count);
        let below = self.limbs_of(of_below, Interval { low: 0, high: -range.low }, count);
        let all = [range.low.into(), range.high.into()];
        if !is_equal(all, [0, above.most()]) || !is_equal(all, [-below.most(), 0]) {
            return None;
        }
        let (above, below) = (above.form(), below.form());
        let difference = weighed(count, 0, [(Arc::clone(&above), 1), (Arc::clone(&below), -1)].into_iter());
        self.equal.push([Arc::clone(form), difference]);
        let blocks = (0..count).map(|at| [narrow(at); 3]).collect();
        let product = self.products([Arc::clone(&above), below], Pairs::single(blocks), count);
        self.equal.push([product, Arc::new(Known(vec![0; count]))]);
        Some(above)
    }

    /// The limbs of a part of a sum.
    fn part(&mut self, part: &Part) -> Option<Limbs> {
        if let Some(from) = &part.from {
            return Some(self.split(&part.operand, part.range)?.moved(from));
        }
        match &part.product {
            Some(product) if !is_told(part.range) => self.product_limbs(part, product),
            _ => self.split(&part.operand, part.range),
        }
    }

    /// The limbs of products that lie farther apart than the field's elements, but not twice as far: a number that is equal modulo the order, which is
    /// odd, and is another has another parity. The parity of a product is the product of its factors' parities.
    fn product_limbs(&mut self, part: &Part, factors: &Factors) -> Option<Limbs> {
        let (range, count) = (part.range, part.operand.count());
        let product = &self.sums.products[factors.product];
        let pairs = product.pairs.clone();
        if pairs.depth != 1 {
            return None;
        }
        let low = range.low - range.low.rem_euclid(2);
        let range = Interval { low, high: range.high };
        let limbs = self.limbs_of(Of::Product(factors.product, low), range, count);
        let apart = limbs.most().max(range.high.into()) - i128::from(low);
        if apart >= 2 * ORDER {
            return None;
        }
        self.equal.push([Arc::clone(&part.operand), limbs.form()]);
        let own = self.parity(&limbs);
        let [left, right] = factors.operands.each_ref().map(|(form, range)| {
            let limbs = self.split(form, *range)?;
            Some(self.parity(&limbs))
        });
        let both = self.products([left?, right?], pairs, count);
        self.equal.push([own, both]);
        Some(limbs)
    }

    /// Of numbers in limbs above an even number.
    fn parity(&mut self, limbs: &Limbs) -> Arc<dyn Form> {
        let limb = &limbs.limbs[0];
        if let Some((_, parity)) = self.parities.iter().find(|(known, _)| Arc::ptr_eq(known, &limb.form)) {
            return Arc::clone(parity);
        }
        let count = limb.form.count();
        let start = self.column(count);
        let list = Arc::clone(&limb.form);
        let odd = |value: Element| i64::from(value.as_canonical_u32() & 1);
        let numbers: Numbers = Box::new(move |of| of.of(&list).iter().copied().map(odd).collect());
        self.columns.push(Column::Numbers { start, numbers });
        let parity: Arc<dyn Form> = Arc::new(Columns::one(start, count));
        let table = self.table(Rows::Parity(limb.most));
        self.looked.push(Looked { table, tuple: vec![Arc::clone(&limb.form), Arc::clone(&parity)] });
        self.parities.push((Arc::clone(&limb.form), Arc::clone(&parity)));
        parity
    }
}

/// Steps of a division, as few as can be shown.
fn steps(whole: &Whole, bits: u32) -> Option<Vec<u32>> {
    let first = bits.div_ceil(STEP_BITS);
    // Whether a step fits is asked of the entries' coefficients; what they are multiplied with, and which element has which, is not looked at.
    let nothing: Arc<dyn Form> = Arc::new(Known(Vec::new()));
    let whole = Whole { entry: Vec::new(), ..whole.clone() };
    (first..=bits).find_map(|count| {
        let widths: Vec<u32> = (0..count).map(|step| bits / count + u32::from(step < bits % count)).collect();
        let mut whole = whole.clone();
        for width in &widths {
            let [low, mut high] = whole.digits(*width);
            if !low.is_nothing() {
                let range = low.step(*width)?;
                high.carry(Arc::clone(&nothing), range);
            }
            whole = high;
        }
        Some(widths)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_parted_as_it_is_divided() {
        for power in 0..120u32 {
            for near in -3..=3 {
                for number in [(1i128 << power) + near, near - (1 << power)] {
                    for bits in [0, 1, 2, 17, 30, 62] {
                        assert_eq!(parted(number, bits), (number % (1 << bits), number / (1 << bits)));
                    }
                    assert_eq!(
                        element(number),
                        Element::from_i64(i64::try_from(number % ORDER).expect("31 bits"))
                    );
                }
            }
        }
    }
}
