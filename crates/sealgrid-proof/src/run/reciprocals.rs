//! Reciprocals, and those of square roots: `y·z + r = 2^b` with `0 ≤ r < z`, and `y²·z + r = 2^b` with `0 ≤ r < (2y + 1)·z`, where `z` is the operand, or 1
//! where that is less. All of these are shown over the integers, digit by digit ([`super::wide`]).

use std::sync::Arc;

use sealgrid_graph::integer::Operation;
use sealgrid_graph::range::Interval;
use sealgrid_graph::reference;

use super::NotProvable;
use super::sums::Pairs;
use super::walk::{Builder, Joined, Value, range_of, refused};
use super::wide::{Limbs, Numbers, Of, Whole, WholeTerm, is_told, weighed};
use crate::form::Form;
use crate::maps::{narrow, signed};

/// Why reciprocals are refused.
const WIDE: &str = "its operand has too wide a range";
/// Bits of a digit: so few that sums of products of two are short.
const DIGIT: u32 = 8;
/// Lookups that a reciprocal of a long number takes, about.
const LOOKUPS: usize = 40;
/// Most reciprocals of long numbers that a proof has room for.
const COUNT_MAX: usize = 1 << 19;

/// `floor(2^bits / x)`, or the root of that.
#[derive(Clone, Copy)]
pub(super) enum Inverse {
    Of(u8),
    OfRoot(u8),
}

impl Inverse {
    fn at(self, x: i64) -> i32 {
        let x = i32::try_from(x).expect("an element of the graph");
        match self {
            Self::Of(bits) => reference::reciprocal(x, bits),
            Self::OfRoot(bits) => reference::reciprocal_square_root(x, bits),
        }
    }
}

impl Builder<'_> {
    pub(super) fn inverse(
        &mut self,
        index: usize,
        operation: &Operation,
        operand: &Value,
        inverse: Inverse,
    ) -> Result<Value, NotProvable> {
        let (from, count) = (operand.range, operand.form.count());
        let range = Interval { low: inverse.at(from.high).into(), high: inverse.at(from.low).into() };
        let axes = operation.output.shape.axes();
        let rows = from.high - from.low + 1;
        if self.is_short(rows, LOOKUPS * count) {
            let results: Vec<i32> = (from.low..=from.high).map(|x| inverse.at(x)).collect();
            let range = range_of(&results);
            let output = self.function(index, &operand.form, from.low, results);
            return Ok(Value::shown(output, range, axes));
        }
        let output = self.output(index, count);
        let shown = self.inverse_equations(operand, &output, range.high, inverse);
        shown.ok_or_else(|| refused(index, operation, WIDE))?;
        Ok(Value::shown(output, range, axes))
    }

    fn inverse_equations(
        &mut self,
        operand: &Value,
        output: &Arc<dyn Form>,
        most: i64,
        inverse: Inverse,
    ) -> Option<()> {
        let count = output.count();
        if count * self.records > COUNT_MAX {
            return None;
        }
        let z_most = operand.range.high.max(1);
        let z_form = match operand.range.low {
            1.. => Arc::clone(&operand.form),
            low => {
                let above = weighed(count, -1, [(Arc::clone(&operand.form), 1)].into_iter());
                let above = self.positive(&above, Interval { low: low - 1, high: z_most - 1 })?;
                weighed(count, 1, [(above, 1)].into_iter())
            }
        };
        let z = self.told_digits(&z_form, z_most)?;
        let y = self.told_digits(output, most)?;
        let (power, rest_most, factors) = match inverse {
            Inverse::Of(bits) => (bits, z_most - 1, [y, z.clone()]),
            Inverse::OfRoot(bits) => {
                // u = y·z, which is at most the root of 2^b·z.
                let root = (1u128 << bits).checked_mul(z_most.unsigned_abs().into())?.isqrt();
                let u_most =
                    i64::try_from(root.min((i128::from(most) * i128::from(z_most)).cast_unsigned())).ok()?;
                let both = [Arc::clone(output), Arc::clone(&z_form)];
                let u = self.digits(Of::Numbers(computed(both, |[y, z]| y * z)), u_most, count);
                let mut product = self.product_of_digits(&y, &z, count);
                product.add(&u, -1);
                self.nothing(product, DIGIT)?;
                (bits, u_most.checked_mul(2)?.checked_add(z_most)?, [u, y])
            }
        };
        // The rest r of 2^b, and what it is short of its limit.
        let both = || [Arc::clone(output), Arc::clone(&z_form)];
        let is_root = matches!(inverse, Inverse::OfRoot(_));
        let rest = move |y: i64, z: i64| (1i64 << power) - if is_root { y * y * z } else { y * z };
        let limit = move |y: i64, z: i64| if is_root { (2 * y + 1) * z } else { z };
        let r = self.digits(Of::Numbers(computed(both(), move |[y, z]| rest(y, z))), rest_most, count);
        let short = computed(both(), move |[y, z]| limit(y, z) - 1 - rest(y, z));
        let short = self.digits(Of::Numbers(short), rest_most, count);
        let mut equation = self.product_of_digits(&factors[0], &factors[1], count);
        equation.add(&r, 1);
        equation.constants[0] -= 1i128 << power;
        self.nothing(equation, DIGIT)?;
        let mut below = Whole::of(count, -1);
        below.add(&z, 1);
        if is_root {
            below.add(&factors[0], 2);
        }
        below.add(&r, -1);
        below.add(&short, -1);
        self.nothing(below, DIGIT)
    }

    /// Digits of a list of numbers from 0 to `most`.
    fn told_digits(&mut self, form: &Arc<dyn Form>, most: i64) -> Option<Limbs> {
        let digits = self.digits(Of::Form(Arc::clone(form), 0), most, form.count());
        self.equal.push([Arc::clone(form), digits.form()]);
        let all = Interval { low: 0, high: i64::try_from(digits.most()).ok()? };
        is_told(all).then_some(digits)
    }

    fn digits(&mut self, of: Of, most: i64, count: usize) -> Limbs {
        let bits = most.max(1).ilog2() + 1;
        let widths = (0..bits).step_by(DIGIT as usize).map(|below| (below, (bits - below).min(DIGIT)));
        self.limbs_in(of, Interval { low: 0, high: most }, widths.collect(), count)
    }

    /// The product of two numbers, as sums of products of their digits.
    fn product_of_digits(&mut self, left: &Limbs, right: &Limbs, count: usize) -> Whole {
        let joined = |limbs: &Limbs| -> Arc<dyn Form> {
            Arc::new(Joined(limbs.limbs.iter().map(|limb| Arc::clone(&limb.form)).collect()))
        };
        let (lefts, rights) = (left.limbs.len(), right.limbs.len());
        let places = lefts + rights - 1;
        let pair = |i: usize, j: usize, at: usize| {
            [(i + j) * count + at, i * count + at, j * count + at].map(narrow)
        };
        let pairs = (0..lefts).flat_map(|i| (0..rights).map(move |j| (i, j)));
        let blocks = pairs.flat_map(|(i, j)| (0..count).map(move |at| pair(i, j, at))).collect();
        let products = self.products([joined(left), joined(right)], Pairs::single(blocks), places * count);
        let mut whole = Whole::of(count, 0);
        let square = i64::from((1u32 << DIGIT) - 1).pow(2);
        for place in 0..places {
            let from = (place * count..(place + 1) * count).map(|at| Some(narrow(at))).collect();
            let operand = Arc::clone(&products);
            let form: Arc<dyn Form> = Arc::new(crate::maps::Moved { operand, from, constant: 0 });
            let terms = (0..lefts).filter(|i| (0..rights).contains(&place.wrapping_sub(*i))).count();
            let range = Interval { low: 0, high: square * i64::from(narrow(terms)) };
            let below = DIGIT * narrow(place);
            whole.terms.push(WholeTerm { form, range, coefficients: vec![1 << below] });
        }
        whole
    }
}

/// Numbers that follow from two lists.
fn computed(lists: [Arc<dyn Form>; 2], of: impl Fn([i64; 2]) -> i64 + Send + Sync + 'static) -> Numbers {
    Box::new(move |values| {
        let [left, right] = lists.each_ref().map(|list| values.of(list));
        let pairs = left.iter().zip(&*right);
        // Neither list has negative numbers.
        let number = |value| match signed(value) {
            number @ 0.. => number,
            number => number + i64::from(<crate::field::Element as p3_field::PrimeField32>::ORDER_U32),
        };
        pairs.map(|(left, right)| of([number(*left), number(*right)])).collect()
    })
}
