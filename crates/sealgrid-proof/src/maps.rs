//! The linear maps of sums, and forms made of them.

use std::sync::Arc;

use p3_field::{PrimeCharacteristicRing as _, PrimeField32 as _};
use sealgrid_graph::execute::Batch;
use sealgrid_graph::integer::Window;
use sealgrid_graph::range::Interval;
use sealgrid_graph::tensor::Tensor;

use crate::field::{Challenge, Element, integer};
use crate::form::{Form, Pulling, Values};

/// Most bits of a limb, of which long numbers are made, where it is not said that there are more.
pub(crate) const LIMB_BITS: u8 = 11;

/// The limbs of a number of so many bits: how many bits stand below each, and its own. As few as there can be, and as equal: their ranges are
/// tables, and two of 2^9 rows are less than one of 2^11 and another of 2^7.
pub(crate) fn limbs_of(bits: u32) -> impl Iterator<Item = (u32, u32)> {
    limbs_within(bits, LIMB_BITS)
}

/// The same, of at most so many bits each.
fn limbs_within(bits: u32, most: u8) -> impl Iterator<Item = (u32, u32)> {
    let count = bits.div_ceil(most.into()).max(1);
    let width = bits.div_ceil(count);
    let below = (0..bits).step_by(width.max(1) as usize);
    below.map(move |below| (below, (bits - below).min(width)))
}

/// What an operation sums, over one record: which elements of the operand go into which of the result, and how often.
#[derive(Clone, Debug)]
pub(crate) enum Map {
    /// The last axis times a matrix `[channels, depth]`.
    Linear { rows: usize, weight: Tensor },
    /// A convolution: weights `[channels, inputs of a group, taps]`.
    Convolution { weight: Tensor, groups: usize, taps: Taps },
    /// Elements as they are: for each, where in the result, and which of the operand.
    Moves(Vec<(u32, u32)>),
}

/// For each tap of a window where it falls on an element: `(output, input)`, flat positions of the spatial axes.
#[derive(Clone, Debug)]
pub(crate) struct Taps {
    pub(crate) by_tap: Vec<Vec<(u32, u32)>>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl Taps {
    /// Of a window over `from` (the operand's spatial axes) onto `to`.
    pub(crate) fn new(window: &Window, from: &[usize], to: &[usize]) -> Self {
        let outputs: Vec<Vec<usize>> = positions(to).collect();
        let under = |tap: &[usize]| {
            let hits = outputs.iter().enumerate();
            let hits =
                hits.filter_map(|(output, at)| Some((narrow(output), narrow(hit(window, from, at, tap)?))));
            hits.collect()
        };
        let by_tap = positions(&window.kernel).map(|tap| under(&tap)).collect();
        Self { by_tap, inputs: from.iter().product(), outputs: to.iter().product() }
    }

    /// For each element of `channels` channels all taps, as many as the window has: where one falls beside the operand, another stands again.
    /// `None` when a window has no tap on the operand.
    pub(crate) fn alternatives(&self, channels: usize) -> Option<Vec<Vec<u32>>> {
        let mut under: Vec<Vec<u32>> = vec![Vec::new(); self.outputs];
        self.by_tap.iter().flatten().for_each(|(output, input)| under[*output as usize].push(*input));
        let most = under.iter().map(Vec::len).max()?;
        let of = |tap: usize, channel: usize| {
            let first = narrow(channel * self.inputs);
            under.iter().map(move |inputs| Some(first + *inputs.get(tap).or(inputs.first())?))
        };
        (0..most).map(|tap| (0..channels).flat_map(|channel| of(tap, channel)).collect()).collect()
    }

    /// Each channel for itself: `(channel, output) ← (channel, input)`.
    pub(crate) fn moves(&self, channels: usize) -> Map {
        let of = |channel: usize| {
            let moved = self.by_tap.iter().flatten().map(move |(output, input)| {
                let to = channel * self.outputs + *output as usize;
                (narrow(to), narrow(channel * self.inputs + *input as usize))
            });
            moved.collect::<Vec<_>>()
        };
        Map::Moves((0..channels).flat_map(of).collect())
    }
}

/// Flat position of the element under a tap; `None` in the padding.
fn hit(window: &Window, from: &[usize], at: &[usize], tap: &[usize]) -> Option<usize> {
    let mut flat = 0;
    for (axis, length) in from.iter().enumerate() {
        let shifted = at[axis] * window.strides[axis] + tap[axis] * window.dilations[axis];
        let position = shifted.checked_sub(window.pads_before[axis]).filter(|position| position < length)?;
        flat = flat * length + position;
    }
    Some(flat)
}

/// All positions in row-major order.
pub(crate) fn positions(axes: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    (0..axes.iter().product()).map(|flat: usize| {
        let mut rest = flat;
        let mut at: Vec<usize> = axes
            .iter()
            .rev()
            .map(|length| {
                let position = rest % length;
                rest /= length;
                position
            })
            .collect();
        at.reverse();
        at
    })
}

/// The numbers of a batch, record by record.
pub(crate) fn numbers(batch: &Batch) -> Vec<i32> {
    let data = batch.data().view();
    (0..data.len()).map(|position| data.at(position)).collect()
}

pub(crate) fn elements_of(tensor: &Tensor) -> Vec<Element> {
    (0..tensor.shape().count()).map(|at| Element::from_i32(tensor.at(at))).collect()
}

pub(crate) fn narrow(value: usize) -> u32 {
    u32::try_from(value).expect("a value has at most 2^28 elements")
}

impl Map {
    /// The weights, as elements.
    fn factors(&self) -> Vec<Element> {
        match self {
            Self::Linear { weight, .. } | Self::Convolution { weight, .. } => elements_of(weight),
            Self::Moves(_) => Vec::new(),
        }
    }

    /// Calls `visit(result, operand, factor)` for every term of every sum.
    fn each(&self, mut visit: impl FnMut(usize, usize, i32)) {
        match self {
            Self::Linear { weight, .. } | Self::Convolution { weight, .. } => {
                self.each_index(|to, from, index| visit(to, from, weight.at(index)));
            }
            Self::Moves(_) => self.each_index(|to, from, _| visit(to, from, 1)),
        }
    }

    /// Calls `visit(result, operand, index)` for every term of every sum, the index being that of its weight.
    pub(crate) fn each_index(&self, mut visit: impl FnMut(usize, usize, usize)) {
        match self {
            Self::Linear { rows, weight } => {
                let [channels, depth] = *weight.shape().axes() else { unreachable!("checked") };
                for row in 0..*rows {
                    for channel in 0..channels {
                        for k in 0..depth {
                            visit(row * channels + channel, row * depth + k, channel * depth + k);
                        }
                    }
                }
            }
            Self::Convolution { weight, groups, taps } => {
                let (channels, inputs) = (weight.shape().axes()[0], weight.shape().axes()[1]);
                for channel in 0..channels {
                    let group = channel / (channels / groups);
                    for input in 0..inputs {
                        let first = (channel * inputs + input) * taps.by_tap.len();
                        let from = (group * inputs + input) * taps.inputs;
                        for (tap, hits) in taps.by_tap.iter().enumerate() {
                            for (output, under) in hits {
                                let to = channel * taps.outputs + *output as usize;
                                visit(to, from + *under as usize, first + tap);
                            }
                        }
                    }
                }
            }
            Self::Moves(moves) => moves.iter().for_each(|(to, from)| visit(*to as usize, *from as usize, 0)),
        }
    }
}

/// An operand of a sum.
#[derive(Clone)]
pub(crate) struct Term {
    pub(crate) operand: Arc<dyn Form>,
    /// Where the operand's elements lie.
    pub(crate) range: Interval,
    pub(crate) map: Map,
    pub(crate) factor: i32,
}

/// `constant + Σ factor · map(operand)`.
pub(crate) struct Sum {
    pub(crate) constants: Vec<i32>,
    pub(crate) terms: Vec<Term>,
}

impl Sum {
    /// Where each element lies, whatever the operands are within their ranges; `None` when that exceeds 62 bits.
    pub(crate) fn bounds(&self) -> Option<Vec<Interval>> {
        let known = self.constants.iter().map(|constant| i128::from(*constant));
        let mut bounds: Vec<[i128; 2]> = known.map(|constant| [constant; 2]).collect();
        for term in &self.terms {
            let ends = [term.range.low, term.range.high].map(|end| i128::from(end) * i128::from(term.factor));
            term.map.each(|to, _, weight| {
                let [one, other] = ends.map(|end| end * i128::from(weight));
                bounds[to][0] += one.min(other);
                bounds[to][1] += one.max(other);
            });
        }
        let fits = |end: i128| i64::try_from(end).ok().filter(|end| end.abs() < 1 << 62);
        bounds.into_iter().map(|[low, high]| Some(Interval { low: fits(low)?, high: fits(high)? })).collect()
    }
}

impl Form for Sum {
    fn count(&self) -> usize {
        self.constants.len()
    }

    fn values(&self, of: Values<'_>) -> Vec<Element> {
        let mut sums: Vec<i64> = self.constants.iter().map(|constant| i64::from(*constant)).collect();
        for term in &self.terms {
            let operand = of.integers(&term.operand);
            let factor = i64::from(term.factor);
            // Modulo p in the end: what an honest run yields is far below 2^63.
            term.map.each(|to, from, weight| {
                sums[to] = sums[to].wrapping_add(factor * i64::from(weight) * operand[from]);
            });
        }
        sums.into_iter().map(integer).collect()
    }

    fn operands(&self) -> Vec<&Arc<dyn Form>> {
        self.terms.iter().map(|term| &term.operand).collect()
    }

    fn pull(&self, weights: &[Challenge], to: &mut Pulling<'_>) -> Challenge {
        let constants = weights.iter().zip(&self.constants).filter(|(_, constant)| **constant != 0);
        let known =
            constants.map(|(weight, constant)| *weight * Element::from_i32(*constant)).sum::<Challenge>();
        for term in &self.terms {
            let factor = Element::from_i32(term.factor);
            match &term.map {
                Map::Moves(moves) => {
                    let pulled = to.of(&term.operand);
                    let moves = moves.iter().map(|(to, from)| (weights[*to as usize], *from as usize));
                    match term.factor {
                        1 => moves.for_each(|(weight, from)| pulled[from] += weight),
                        -1 => moves.for_each(|(weight, from)| pulled[from] -= weight),
                        _ => moves.for_each(|(weight, from)| pulled[from] += weight * factor),
                    }
                }
                map => {
                    let mut pulled = vec![Challenge::ZERO; term.operand.count()];
                    map.fold(weights, &map.factors(), &mut pulled);
                    to.add(&term.operand, pulled.into_iter().map(|weight| weight * factor));
                }
            }
        }
        known
    }
}

/// Elements of one form in another order; a constant where nothing is taken.
pub(crate) struct Moved {
    pub(crate) operand: Arc<dyn Form>,
    pub(crate) from: Vec<Option<u32>>,
    pub(crate) constant: i32,
}

impl Form for Moved {
    fn count(&self) -> usize {
        self.from.len()
    }

    fn values(&self, of: Values<'_>) -> Vec<Element> {
        let operand = of.of(&self.operand);
        let constant = Element::from_i32(self.constant);
        self.from.iter().map(|from| from.map_or(constant, |from| operand[from as usize])).collect()
    }

    fn operands(&self) -> Vec<&Arc<dyn Form>> {
        vec![&self.operand]
    }

    fn pull(&self, weights: &[Challenge], to: &mut Pulling<'_>) -> Challenge {
        let pulled = to.of(&self.operand);
        let mut constants = Challenge::ZERO;
        for (weight, from) in weights.iter().zip(&self.from) {
            match from {
                Some(from) => pulled[*from as usize] += *weight,
                None => constants += *weight,
            }
        }
        constants * Element::from_i32(self.constant)
    }
}

/// Elements of the content at equal distances.
pub(crate) struct Strided {
    pub(crate) first: usize,
    pub(crate) step: usize,
    pub(crate) count: usize,
}

impl Form for Strided {
    fn count(&self) -> usize {
        self.count
    }

    fn values(&self, of: Values<'_>) -> Vec<Element> {
        of.places()[self.first..].iter().step_by(self.step).take(self.count).copied().collect()
    }

    fn pull(&self, weights: &[Challenge], to: &mut Pulling<'_>) -> Challenge {
        let places = to.content()[self.first..].iter_mut().step_by(self.step).zip(weights);
        places.for_each(|(place, weight)| *place += *weight);
        Challenge::ZERO
    }
}

/// The sums of several forms, element by element.
pub(crate) struct Plus(pub(crate) Vec<Arc<dyn Form>>);

impl Form for Plus {
    fn count(&self) -> usize {
        self.0[0].count()
    }

    fn values(&self, of: Values<'_>) -> Vec<Element> {
        let mut sums = of.of(&self.0[0]).to_vec();
        for form in &self.0[1..] {
            sums.iter_mut().zip(&*of.of(form)).for_each(|(sum, value)| *sum += *value);
        }
        sums
    }

    fn operands(&self) -> Vec<&Arc<dyn Form>> {
        self.0.iter().collect()
    }

    fn pull(&self, weights: &[Challenge], to: &mut Pulling<'_>) -> Challenge {
        self.0.iter().for_each(|form| to.add(form, weights.iter().copied()));
        Challenge::ZERO
    }
}

/// `constant + Σ coefficient·term`, each element with the constants and coefficients of its entry.
pub(crate) struct Weighed {
    pub(crate) entry: Vec<u32>,
    pub(crate) constants: Vec<Element>,
    pub(crate) terms: Vec<(Arc<dyn Form>, Vec<Element>)>,
}

impl Form for Weighed {
    fn count(&self) -> usize {
        self.entry.len()
    }

    fn values(&self, of: Values<'_>) -> Vec<Element> {
        let mut sums: Vec<Element> = self.entry.iter().map(|entry| self.constants[*entry as usize]).collect();
        for (form, coefficients) in &self.terms {
            let values = of.of(form);
            let terms = values.iter().zip(&self.entry);
            let terms = terms.map(|(value, entry)| *value * coefficients[*entry as usize]);
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
        sums
    }

    fn operands(&self) -> Vec<&Arc<dyn Form>> {
        self.terms.iter().map(|(form, _)| form).collect()
    }

    fn pull(&self, weights: &[Challenge], to: &mut Pulling<'_>) -> Challenge {
        let weighed = || weights.iter().zip(&self.entry);
        for (form, coefficients) in &self.terms {
            to.add(form, weighed().map(|(weight, entry)| *weight * coefficients[*entry as usize]));
        }
        if self.constants.iter().all(|constant| *constant == Element::ZERO) {
            return Challenge::ZERO;
        }
        weighed().map(|(weight, entry)| *weight * self.constants[*entry as usize]).sum()
    }
}

/// Numbers that everybody knows.
pub(crate) struct Known(pub(crate) Vec<i32>);

impl Form for Known {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn values(&self, _: Values<'_>) -> Vec<Element> {
        self.0.iter().map(|value| Element::from_i32(*value)).collect()
    }

    fn pull(&self, weights: &[Challenge], _: &mut Pulling<'_>) -> Challenge {
        weights.iter().zip(&self.0).map(|(weight, value)| *weight * Element::from_i32(*value)).sum()
    }
}

/// `constant[to] + Σ coefficient·operand[from]`, line by line.
pub(crate) struct Sparse {
    pub(crate) operand: Arc<dyn Form>,
    pub(crate) lines: usize,
    pub(crate) constants: Vec<Element>,
    pub(crate) terms: Vec<(u32, u32, Element)>,
}

impl Form for Sparse {
    fn count(&self) -> usize {
        self.lines * self.constants.len()
    }

    fn values(&self, of: Values<'_>) -> Vec<Element> {
        let operand = of.of(&self.operand);
        let mut sums = self.constants.repeat(self.lines);
        let lines = operand.chunks_exact(operand.len() / self.lines);
        for (sums, operand) in sums.chunks_exact_mut(self.constants.len()).zip(lines) {
            for (to, from, coefficient) in &self.terms {
                sums[*to as usize] += *coefficient * operand[*from as usize];
            }
        }
        sums
    }

    fn operands(&self) -> Vec<&Arc<dyn Form>> {
        vec![&self.operand]
    }

    fn pull(&self, weights: &[Challenge], to: &mut Pulling<'_>) -> Challenge {
        let pulled = to.of(&self.operand);
        let each = pulled.len() / self.lines;
        let mut known = Challenge::ZERO;
        for (weights, pulled) in weights.chunks_exact(self.constants.len()).zip(pulled.chunks_exact_mut(each))
        {
            for (to, from, coefficient) in &self.terms {
                pulled[*from as usize] += weights[*to as usize] * *coefficient;
            }
            known += weights
                .iter()
                .zip(&self.constants)
                .map(|(weight, constant)| *weight * *constant)
                .sum::<Challenge>();
        }
        known
    }
}

/// A sum behind its output stage, before the clamp: `t = (a·m + h − Σ limb·2^place) / 2^s`, which is an integer when the limbs are the
/// remainder's.
pub(crate) struct Rounded {
    pub(crate) sum: Arc<dyn Form>,
    /// Which entry of the stage an element has.
    pub(crate) entry: Vec<u32>,
    /// Of each entry.
    pub(crate) stages: Vec<Stage>,
    /// Of each limb of each element: where in the content, and how many bits below it. Elements in order, as many limbs as its entry has.
    pub(crate) limbs: Vec<(u32, u8)>,
}

/// One entry of an output stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) multiplier: i32,
    pub(crate) shift: u8,
    /// Most bits of a limb of its remainders.
    pub(crate) limb_bits: u8,
}

impl Stage {
    /// Of a multiplier and a shift, its limbs as long as any.
    pub(crate) fn new(multiplier: i32, shift: u8) -> Self {
        Self { multiplier, shift, limb_bits: LIMB_BITS }
    }

    /// The limbs of a remainder: how many bits stand below each, and its own.
    pub(crate) fn limbs(self) -> impl Iterator<Item = (u32, u32)> {
        limbs_within(self.shift.into(), self.limb_bits)
    }

    /// What is left of a sum when its quotient is taken.
    pub(crate) fn remainder(self, sum: i64) -> i64 {
        (sum * i64::from(self.multiplier) + self.half()).rem_euclid(1 << self.shift)
    }

    /// What is added before the quotient is taken, so that it is the nearest.
    pub(crate) fn half(self) -> i64 {
        if self.shift == 0 { 0 } else { 1 << (self.shift - 1) }
    }

    /// The quotients of sums within `bounds`; `None` when a product, or what a quotient of these and a remainder come to, may leave the
    /// middle of the field.
    pub(crate) fn quotients(self, bounds: Interval) -> Option<Interval> {
        let most = i64::from(Element::ORDER_U32) / 2;
        let of = |end: i64| {
            let product = end.checked_mul(i64::from(self.multiplier))?.checked_add(self.half())?;
            let floor = product >> self.shift;
            let reach =
                floor.checked_abs()?.checked_add(1)?.checked_mul(1i64.checked_shl(self.shift.into())?)?;
            (self.shift < 31 && product.abs() < most && reach < most).then_some(floor)
        };
        Some(Interval { low: of(bounds.low)?, high: of(bounds.high)? })
    }

    /// `2^(−shift)`.
    fn scale(self) -> Element {
        Element::ONE.div_2exp_u64(self.shift.into())
    }
}

/// A [`Stage`] as the field has it.
struct InElements {
    multiplier: Element,
    half: Element,
    scale: Element,
    limbs: usize,
}

impl InElements {
    fn of(stage: Stage) -> Self {
        let multiplier = Element::from_i32(stage.multiplier);
        Self { multiplier, half: integer(stage.half()), scale: stage.scale(), limbs: stage.limbs().count() }
    }
}

/// By how many bits a limb may stand above the lowest: all that a shift of a [`Stage`] has.
fn powers_of_two() -> [Element; 32] {
    std::array::from_fn(|bits| Element::ONE.mul_2exp_u64(bits as u64))
}

impl Form for Rounded {
    fn count(&self) -> usize {
        self.entry.len()
    }

    fn values(&self, of: Values<'_>) -> Vec<Element> {
        let elements: Vec<InElements> = self.stages.iter().copied().map(InElements::of).collect();
        let powers = powers_of_two();
        let mut limbs = self.limbs.iter();
        let (sums, places) = (of.of(&self.sum), of.places());
        let rounded = sums.iter().zip(&self.entry).map(|(sum, entry)| {
            let stage = &elements[*entry as usize];
            let mut value = *sum * stage.multiplier + stage.half;
            for (place, bits) in limbs.by_ref().take(stage.limbs) {
                value -= places[*place as usize] * powers[usize::from(*bits)];
            }
            value * stage.scale
        });
        rounded.collect()
    }

    fn operands(&self) -> Vec<&Arc<dyn Form>> {
        vec![&self.sum]
    }

    fn pull(&self, weights: &[Challenge], to: &mut Pulling<'_>) -> Challenge {
        // Of each entry: the scale, what is added, the multiplier, and how many limbs there are.
        let factor = |stage: &Stage| {
            let factors = [integer(stage.half()), Element::from_i32(stage.multiplier)];
            (stage.scale(), factors.map(|factor| factor * stage.scale()), stage.limbs().count())
        };
        let factors: Vec<_> = self.stages.iter().map(factor).collect();
        let of = || weights.iter().zip(self.entry.iter().map(|entry| &factors[*entry as usize]));
        let mut limbs = self.limbs.iter();
        let (mut known, functional) = (Challenge::ZERO, to.content());
        for (weight, (scale, [half, _], count)) in of() {
            known += *weight * *half;
            for (place, bits) in limbs.by_ref().take(*count) {
                functional[*place as usize] -= *weight * scale.mul_2exp_u64(u64::from(*bits));
            }
        }
        to.add(&self.sum, of().map(|(weight, (_, [_, multiplier], _))| *weight * *multiplier));
        known
    }
}

/// The integer nearest to zero that an element stands for.
pub(crate) fn signed(element: Element) -> i64 {
    let value = i64::from(element.as_canonical_u32());
    let order = i64::from(Element::ORDER_U32);
    if value > order / 2 { value - order } else { value }
}
