//! The fields of a proof.

use std::ops::{AddAssign, Mul, Range, Sub};

use p3_field::extension::QuinticTrinomialExtensionField;
use p3_field::{
    Algebra, BasedVectorSpace, ExtensionField, Field, PackedFieldExtension, PackedValue,
    PrimeCharacteristicRing, PrimeField32,
};
use p3_koala_bear::KoalaBear;
use rand_core::CryptoRng;

use crate::threads::each;

/// What is committed: integers modulo `2^31 − 2^24 + 1`.
pub type Element = KoalaBear;

/// What is drawn and sent: the extension of degree 5, about `2^154.9` elements.
pub type Challenge = QuinticTrinomialExtensionField<KoalaBear>;

/// Coordinates of an element of the extension.
pub(crate) const DEGREE: usize = <Challenge as BasedVectorSpace<Element>>::DIMENSION;

/// The element whose one coordinate that is not zero is this one.
pub(crate) fn basis(coordinate: usize) -> Challenge {
    Challenge::from_basis_coefficients_fn(|at| if at == coordinate { Element::ONE } else { Element::ZERO })
}

/// What an integer is modulo the field's order. The library's own way from 64 bits is a division of 128, some twenty nanoseconds.
pub(crate) fn integer(number: i64) -> Element {
    let least = number.rem_euclid(i64::from(Element::ORDER_U32));
    Element::from_u32(u32::try_from(least).expect("below the order"))
}

/// Bits of soundness that remain when the errors of all steps add up to `errors / |Challenge|`.
#[must_use]
pub fn soundness_bits(errors: u64) -> f64 {
    5.0 * f64::from(Element::ORDER_U32).log2() - (errors.max(1) as f64).log2()
}

/// A uniform element: 16 bytes a coordinate, reduced, so that the bias is below `2^-96`.
pub(crate) fn random(rng: &mut impl CryptoRng) -> Challenge {
    Challenge::from_basis_coefficients_fn(|_| {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Element::from_u128(u128::from_le_bytes(bytes))
    })
}

/// Overwrites what nobody may find later. The field's types know no wiping; the black box keeps the compiler from dropping the writes.
pub(crate) fn wipe<T: PrimeCharacteristicRing + Copy>(values: &mut [T]) {
    values.fill(T::ZERO);
    std::hint::black_box(values);
}

/// `eq(point, x)` for every vertex `x` of the cube, the first coordinate of the point the most significant bit.
pub(crate) fn equality(point: &[Challenge]) -> Vec<Challenge> {
    equality_times(Challenge::ONE, point)
}

/// `factor·eq(point, x)` for every vertex.
pub(crate) fn equality_times(factor: Challenge, point: &[Challenge]) -> Vec<Challenge> {
    // Without vectors, as in a browser, nothing is packed.
    if LANES == 1 || point.len() < 2 * LANES.ilog2() as usize {
        return equality_one_by_one(factor, point);
    }
    let (high, low) = point.split_at(point.len() - LANES.ilog2() as usize);
    let low = Packed::from_ext_slice(&equality_one_by_one(Challenge::ONE, low));
    let mut weights = Vec::with_capacity(1 << point.len());
    for weight in equality_times(factor, high) {
        let weights_of = low * weight;
        weights.extend((0..LANES).map(|lane| -> Challenge { weights_of.extract(lane) }));
    }
    weights
}

/// The same, of a few vertices.
fn equality_one_by_one(factor: Challenge, point: &[Challenge]) -> Vec<Challenge> {
    let mut weights = Vec::with_capacity(1 << point.len());
    weights.push(factor);
    // From the least significant coordinate on: each makes as many again.
    for &coordinate in point.iter().rev() {
        for at in 0..weights.len() {
            let one = weights[at] * coordinate;
            weights[at] -= one;
            weights.push(one);
        }
    }
    weights
}

/// `eq(point, index)`: one entry of [`equality`].
pub(crate) fn equality_at(point: &[Challenge], index: usize) -> Challenge {
    let of_bit = |(bit, coordinate): (usize, &Challenge)| {
        let is_one = u32::try_from(bit).is_ok_and(|bit| index.checked_shr(bit).unwrap_or(0) & 1 == 1);
        if is_one { *coordinate } else { Challenge::ONE - *coordinate }
    };
    point.iter().rev().enumerate().map(of_bit).product()
}

/// The entries of [`equality`] in a range, and no others made.
pub(crate) fn equality_within(point: &[Challenge], range: Range<usize>) -> Vec<Challenge> {
    let (high, low) = point.split_at(point.len() - point.len().min(10));
    let (within, length) = (equality(low), 1 << low.len());
    let mut entries = Vec::with_capacity(range.len());
    let mut next = range.start;
    while next < range.end {
        let end = range.end.min(next - next % length + length);
        let block = equality_at(high, next / length);
        let made = entries.len();
        entries.resize(made + end - next, Challenge::ZERO);
        add_scaled(&mut entries[made..], &within[next % length..][..end - next], block);
        next = end;
    }
    entries
}

/// `Σ_{i < count} eq(one, i)·eq(other, i)`, the shorter point's cube being the beginning of the longer one's: one product for each power of two that `count`
/// is made of.
///
/// # Panics
/// When either cube is shorter than `count`.
pub(crate) fn equality_of_both(one: &[Challenge], other: &[Challenge], count: usize) -> Challenge {
    let bits = one.len().min(other.len());
    assert!(count <= 1 << bits, "places of both cubes");
    let outside = |point: &[Challenge]| equality_at(&point[..point.len() - bits], 0);
    let mut prefix = outside(one) * outside(other);
    let pairs = one[one.len() - bits..].iter().zip(&other[other.len() - bits..]);
    let [ones, zeros]: [Vec<Challenge>; 2] = [
        pairs.clone().map(|(one, other)| *one * *other).collect(),
        pairs.map(|(one, other)| (Challenge::ONE - *one) * (Challenge::ONE - *other)).collect(),
    ];
    // What all vertices come to from each coordinate on.
    let mut rest = vec![Challenge::ONE; bits + 1];
    for at in (0..bits).rev() {
        rest[at] = rest[at + 1] * (ones[at] + zeros[at]);
    }
    if count == 1 << bits {
        return prefix * rest[0];
    }
    let mut sum = Challenge::ZERO;
    for at in 0..bits {
        if count >> (bits - 1 - at) & 1 == 1 {
            sum += prefix * zeros[at] * rest[at + 1];
            prefix *= ones[at];
        } else {
            prefix *= zeros[at];
        }
    }
    sum
}

/// As many elements of the extension as the machine's vectors hold coordinates: chosen when this is compiled.
pub(crate) type Packed = <Challenge as ExtensionField<Element>>::ExtensionPacking;

/// As many elements of the base field.
pub(crate) type PackedElement = <Element as Field>::Packing;

/// Elements in a [`Packed`].
pub(crate) const LANES: usize = <<Element as Field>::Packing as PackedValue>::WIDTH;

/// Packs neighbours; the length is a multiple of [`LANES`].
pub(crate) fn pack(values: &[Challenge]) -> Vec<Packed> {
    values.chunks_exact(LANES).map(Packed::from_ext_slice).collect()
}

/// Undoes [`pack`].
pub(crate) fn unpack(values: &[Packed]) -> Vec<Challenge> {
    values.iter().flat_map(|value| (0..LANES).map(|lane| value.extract(lane))).collect()
}

/// Adds `by·value` to each element.
pub(crate) fn add_scaled(to: &mut [Challenge], values: &[Challenge], by: Challenge) {
    let (packs, rest) = values.split_at(values.len() - values.len() % LANES);
    let (to_packs, to_rest) = to.split_at_mut(packs.len());
    for (to, values) in to_packs.chunks_exact_mut(LANES).zip(packs.chunks_exact(LANES)) {
        let products = Packed::from_ext_slice(values) * by;
        for (lane, to) in to.iter_mut().enumerate() {
            let product: Challenge = products.extract(lane);
            *to += product;
        }
    }
    to_rest.iter_mut().zip(rest).for_each(|(to, value)| *to += *value * by);
}

/// Sum of the lanes.
pub(crate) fn total(value: Packed) -> Challenge {
    (0..LANES).map(|lane| value.extract(lane)).sum()
}

/// [`equality`], packed; the point has enough coordinates for one pack.
pub(crate) fn packed_equality(point: &[Challenge]) -> Vec<Packed> {
    let (high, low) = point.split_at(point.len() - LANES.ilog2() as usize);
    let low = Packed::from_ext_slice(&equality(low));
    equality(high).into_iter().map(|weight| low * weight).collect()
}

/// Binds the most significant variable of a multilinear polynomial given by its values, packed or not.
pub(crate) fn bind<A: Algebra<Challenge> + Copy>(values: &mut Vec<A>, at: Challenge) {
    let half = values.len() / 2;
    for low in 0..half {
        let (zero, one) = (values[low], values[low + half]);
        values[low] = zero + (one - zero) * at;
    }
    values.truncate(half);
}

/// Packs whose work is worth a thread.
pub(crate) const PACKS_OF_A_THREAD: usize = 1 << 10;

/// Values on their way through a round: those at 0 of the variable that is bound, which become what is left, and those at 1; of either, those at 0 and
/// those at 1 of the next variable.
pub(crate) struct Quarters<'v, A> {
    zeros: [&'v mut [A]; 2],
    ones: [&'v [A]; 2],
}

impl<'v, A: Algebra<Challenge> + Copy> Quarters<'v, A> {
    /// Of at least four values.
    pub(crate) fn of(values: &'v mut [A]) -> Self {
        let (zeros, ones) = values.split_at_mut(values.len() / 2);
        let quarter = zeros.len() / 2;
        let ((low, high), (low_ones, high_ones)) = (zeros.split_at_mut(quarter), ones.split_at(quarter));
        Self { zeros: [low, high], ones: [low_ones, high_ones] }
    }

    /// The values of a part of each, and of the rest.
    pub(crate) fn parted(self, at: usize) -> [Self; 2] {
        let [low, high] = self.zeros.map(|zeros| zeros.split_at_mut(at));
        let [low_ones, high_ones] = self.ones.map(|ones| ones.split_at(at));
        [
            Self { zeros: [low.0, high.0], ones: [low_ones.0, high_ones.0] },
            Self { zeros: [low.1, high.1], ones: [low_ones.1, high_ones.1] },
        ]
    }

    /// Binds the variable in the values at `index`: at 0 of the next, and at 1.
    pub(crate) fn bind(&mut self, index: usize, at: Challenge) -> [A; 2] {
        let Self { zeros, ones } = self;
        for (zeros, ones) in zeros.iter_mut().zip(ones) {
            let zero = zeros[index];
            zeros[index] = zero + (ones[index] - zero) * at;
        }
        [zeros[0][index], zeros[1][index]]
    }
}

/// Adds a pair of values, each at 0 and at 1 of a variable, to the polynomial of their product: its value at 0 and its leading coefficient.
fn add_product<A: Copy + Mul<B, Output = A> + AddAssign + Sub<Output = A>, B: Copy + Sub<Output = B>>(
    sums: &mut [A; 2],
    [left, left_one]: [A; 2],
    [right, right_one]: [B; 2],
) {
    sums[0] += left * right;
    sums[1] += (left_one - left) * (right_one - right);
}

/// A round that binds the variable in both sides: the next polynomial.
fn product_round<A: Algebra<Challenge> + Copy + Send + Sync>(
    [left, right]: [&mut Vec<A>; 2],
    at: Challenge,
) -> [A; 2] {
    let quarter = left.len() / 4;
    let of = |[mut left, mut right]: [Quarters<'_, A>; 2]| {
        let mut sums = [A::ZERO; 2];
        for index in 0..left.zeros[0].len() {
            add_product(&mut sums, left.bind(index, at), right.bind(index, at));
        }
        sums
    };
    let sides = [Quarters::of(left), Quarters::of(right)];
    let sums = if quarter < 2 * PACKS_OF_A_THREAD {
        of(sides)
    } else {
        let [[left, left_rest], [right, right_rest]] = sides.map(|side| side.parted(quarter / 2));
        let [one, other] = each([[left, right], [left_rest, right_rest]], of);
        [one[0] + other[0], one[1] + other[1]]
    };
    left.truncate(2 * quarter);
    right.truncate(2 * quarter);
    sums
}

/// Rounds from a first polynomial on, until one element of either side is left.
fn product_rounds_from<A: Algebra<Challenge> + Copy + Send + Sync>(
    [left, right]: [&mut Vec<A>; 2],
    mut polynomial: [A; 2],
    mut say: impl FnMut([A; 2]) -> Challenge,
) {
    loop {
        let at = say(polynomial);
        if left.len() == 2 {
            bind(left, at);
            return bind(right, at);
        }
        polynomial = product_round([left, right], at);
    }
}

/// All rounds of a sumcheck over `Σ left·right`: `say` is given each round's polynomial, its value at 0 and its leading coefficient, and draws the next
/// coordinate. Leaves one element of either side; yields the point.
pub(crate) fn product_rounds(
    left: &mut Vec<Challenge>,
    right: &mut Vec<Challenge>,
    mut say: impl FnMut(Challenge, Challenge) -> Challenge,
) -> Vec<Challenge> {
    let mut point = Vec::with_capacity(left.len().ilog2() as usize);
    let mut said = |[zero, leading]: [Challenge; 2]| {
        point.push(say(zero, leading));
        point[point.len() - 1]
    };
    if left.len() >= 2 * LANES {
        let (mut packed_left, mut packed_right) = (pack(left), pack(right));
        let first = first_product(&packed_left, &packed_right);
        product_rounds_from([&mut packed_left, &mut packed_right], first, |sums| said(sums.map(total)));
        (*left, *right) = (unpack(&packed_left), unpack(&packed_right));
    }
    if left.len() > 1 {
        let first = first_product(left, right);
        product_rounds_from([left, right], first, said);
    }
    point
}

fn first_product<A: Algebra<Challenge> + Copy>(left: &[A], right: &[A]) -> [A; 2] {
    let half = left.len() / 2;
    let mut sums = [A::ZERO; 2];
    for low in 0..half {
        add_product(&mut sums, [left[low], left[low + half]], [right[low], right[low + half]]);
    }
    sums
}

/// [`product_rounds`] whose right side is of the base field, which leaves it in the first round: what both sides come to, and the point. Both sides are as
/// long; what is missing of a power of two is zeros.
pub(crate) fn product_rounds_of(
    mut left: Vec<Challenge>,
    right: &[Element],
    mut say: impl FnMut(Challenge, Challenge) -> Challenge,
) -> ([Challenge; 2], Vec<Challenge>) {
    assert!(left.len() == right.len() && !left.is_empty(), "two sides of one length");
    let whole = left.len().next_power_of_two();
    if whole < 4 * LANES || !left.len().is_multiple_of(LANES) {
        let mut right: Vec<Challenge> = right.iter().map(|right| Challenge::from(*right)).collect();
        for side in [&mut left, &mut right] {
            side.resize(whole, Challenge::ZERO);
        }
        let point = product_rounds(&mut left, &mut right, say);
        return ([left[0], right[0]], point);
    }
    let half = whole / 2;
    let pairs = |low: usize| {
        let lefts = [low, low + half].map(|at| match left.get(at..at + LANES) {
            Some(left) => Packed::from_ext_slice(left),
            None => Packed::ZERO,
        });
        let rights = [low, low + half].map(|at| match right.get(at..at + LANES) {
            Some(right) => *PackedElement::from_slice(right),
            None => PackedElement::ZERO,
        });
        (lefts, rights)
    };
    let middle = half / (2 * LANES) * LANES;
    let measured = |range: Range<usize>| {
        let mut sums = [Packed::ZERO; 2];
        for low in range.step_by(LANES) {
            let (left, right) = pairs(low);
            add_product(&mut sums, left, right);
        }
        sums
    };
    let parts = [0..middle, middle..half];
    let threads = middle / LANES >= PACKS_OF_A_THREAD;
    let [one, other] = if threads { each(parts.clone(), measured) } else { parts.clone().map(measured) };
    let at = say(total(one[0] + other[0]), total(one[1] + other[1]));
    let mut point = vec![at];
    let wide = Packed::from(at);
    let bound = |range: Range<usize>| -> (Vec<Packed>, Vec<Packed>) {
        let pairs = range.step_by(LANES).map(pairs);
        pairs.map(|([l, l1], [r, r1])| (l + (l1 - l) * at, wide * (r1 - r) + r)).unzip()
    };
    let [(mut bound_left, mut bound_right), rest] =
        if threads { each(parts, bound) } else { parts.map(bound) };
    bound_left.extend(rest.0);
    bound_right.extend(rest.1);
    drop(left);
    let (mut left, mut right) = (bound_left, bound_right);
    let first = first_product(&left, &right);
    product_rounds_from([&mut left, &mut right], first, |sums| {
        let at = say(total(sums[0]), total(sums[1]));
        point.push(at);
        at
    });
    let (mut left, mut right) = (unpack(&left), unpack(&right));
    point.extend(product_rounds(&mut left, &mut right, say));
    ([left[0], right[0]], point)
}

/// The multilinear extension of values at a point (most significant variable first).
pub(crate) fn evaluate(values: &[Challenge], point: &[Challenge]) -> Challenge {
    if values.len() < LANES {
        return equality(point).into_iter().zip(values).map(|(weight, value)| weight * *value).sum();
    }
    let packs = values.chunks_exact(LANES).map(Packed::from_ext_slice);
    total(packed_equality(point).into_iter().zip(packs).map(|(weight, values)| weight * values).sum())
}

/// `Σ weight_i · eq(point, start + i)`: the multilinear extension, at a point, of weights that stand somewhere on a cube.
pub(crate) fn evaluate_from(weights: &[Challenge], start: usize, point: &[Challenge]) -> Challenge {
    let (high, low) = point.split_at(point.len() - point.len().min(10));
    let length = 1 << low.len();
    let first = start / length;
    let blocks = equality_within(high, first..(start + weights.len()).div_ceil(length));
    let (mut sum, mut at, mut rest) = (Challenge::ZERO, start, weights);
    let within = equality(low);
    // What stands at multiples of a pack, so that it is packed once.
    let packs = pack(&within);
    while !rest.is_empty() {
        let (own, later) = rest.split_at(rest.len().min(length - at % length));
        sum += blocks[at / length - first] * inner(own, at % length, &within, &packs);
        (at, rest) = (at + own.len(), later);
    }
    sum
}

/// `Σ left_i·right_(from + i)`; `packs` are those of the right side.
fn inner(left: &[Challenge], from: usize, right: &[Challenge], packs: &[Packed]) -> Challenge {
    let one_by_one = |left: &[Challenge], right: &[Challenge]| {
        left.iter().zip(right).map(|(left, right)| *left * *right).sum::<Challenge>()
    };
    let (head, left) = left.split_at(left.len().min(from.next_multiple_of(LANES) - from));
    let first = from + head.len();
    let (left_packs, left_rest) = left.as_chunks::<LANES>();
    let pairs = left_packs.iter().zip(packs.get(first / LANES..).unwrap_or_default());
    let sum = total(pairs.map(|(left, right)| Packed::from_ext_slice(left) * *right).sum());
    let last = first + LANES * left_packs.len();
    sum + one_by_one(head, &right[from..]) + one_by_one(left_rest, &right[last.min(right.len())..])
}

/// Rank over the base field, by elimination.
#[cfg(test)]
pub(crate) fn rank(mut vectors: Vec<Vec<Element>>) -> usize {
    let mut rank = 0;
    for place in 0..vectors[0].len() {
        let Some(pivot) = (rank..vectors.len()).find(|index| vectors[*index][place] != Element::ZERO) else {
            continue;
        };
        vectors.swap(rank, pivot);
        let inverse = vectors[rank][place].inverse();
        let pivot = vectors[rank].clone();
        for vector in vectors.iter_mut().skip(rank + 1) {
            let factor = vector[place] * inverse;
            if factor != Element::ZERO {
                vector.iter_mut().zip(&pivot).for_each(|(x, p)| *x -= factor * *p);
            }
        }
        rank += 1;
    }
    rank
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn entries_of_equality_are_made_alone_in_a_range_and_added_up_over_two() {
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([5; 32]);
        let mut point = |bits: usize| (0..bits).map(|_| random(&mut rng)).collect::<Vec<Challenge>>();
        for (bits, other_bits) in [(0, 0), (1, 3), (5, 5), (12, 11), (11, 13)] {
            let (one, other) = (point(bits), point(other_bits));
            let (all, others) = (equality(&one), equality(&other));
            let most = all.len().min(others.len());
            for count in [0, 1, most / 3, most / 2, most - most / 5, most] {
                let sum: Challenge = all.iter().zip(&others).take(count).map(|(a, b)| *a * *b).sum();
                assert_eq!(equality_of_both(&one, &other, count), sum, "{count} of {bits} and {other_bits}");
                assert_eq!(equality_within(&one, count / 2..count), all[count / 2..count]);
            }
            assert!((0..all.len()).step_by(7).all(|at| equality_at(&one, at) == all[at]));
        }
    }

    #[test]
    fn weights_that_stand_anywhere_on_a_cube_are_those_of_its_vertices() {
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([7; 32]);
        for bits in [0, 2, 5, 10, 12] {
            let point: Vec<Challenge> = (0..bits).map(|_| random(&mut rng)).collect();
            let all = 1usize << bits;
            let (factor, entries) = (random(&mut rng), equality(&point));
            assert!(entries.iter().enumerate().all(|(at, entry)| *entry == equality_at(&point, at)));
            let times = equality_times(factor, &point);
            assert!(times.iter().zip(&entries).all(|(times, entry)| *times == factor * *entry));
            for (start, count) in
                [(0, all), (1, all / 2), (all / 3, all - all / 3), (all / 2, 1), (all - 1, 0), (all, 0)]
            {
                let count = count.min(all - start);
                let weights: Vec<Challenge> = (0..count).map(|_| random(&mut rng)).collect();
                let expected: Challenge = weights.iter().zip(&entries[start..]).map(|(a, b)| *a * *b).sum();
                assert_eq!(evaluate_from(&weights, start, &point), expected, "{count} from {start} of {all}");
            }
        }
    }

    #[test]
    fn integers_are_what_the_library_makes_of_them() {
        let order = i64::from(Element::ORDER_U32);
        let ends = [0, 1, order / 2, order - 1, order, order + 1, 5 * order - 3, 1 << 40, i64::MAX];
        for number in ends.into_iter().chain([i64::MIN]) {
            assert_eq!(integer(number), Element::from_i64(number), "{number}");
            assert_eq!(integer(number.wrapping_neg()), Element::from_i64(number.wrapping_neg()), "-{number}");
        }
    }

    #[test]
    fn a_sumcheck_takes_what_is_missing_for_zeros() {
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([6; 32]);
        for length in [1, 2, 3, 8, 20, 40, 64, 72, 2056, 40_000, 65_536] {
            let left: Vec<Challenge> = (0..length).map(|_| random(&mut rng)).collect();
            let right: Vec<Element> = (0..length).map(|at| Element::from_usize(at * at + 3)).collect();
            let mut sides = [left.clone(), right.iter().map(|right| Challenge::from(*right)).collect()];
            sides.iter_mut().for_each(|side| side.resize(side.len().next_power_of_two(), Challenge::ZERO));
            let said = |said: &mut Vec<[Challenge; 2]>, zero: Challenge, leading: Challenge| {
                said.push([zero, leading]);
                zero + leading.double() + Challenge::from_usize(said.len())
            };
            let (mut expected, mut heard) = (Vec::new(), Vec::new());
            let [mut whole, mut other] = sides;
            let point =
                product_rounds(&mut whole, &mut other, |zero, leading| said(&mut expected, zero, leading));
            let (last, same) =
                product_rounds_of(left, &right, |zero, leading| said(&mut heard, zero, leading));
            assert_eq!((expected, point, [whole[0], other[0]]), (heard, same, last), "{length} values");
        }
    }

    #[test]
    fn a_proof_of_a_million_lookups_keeps_all_but_ten_bits() {
        let lookups = crate::fractions::errors(20);
        assert_eq!(lookups, 20 * 21);
        assert!((soundness_bits(1) - 154.94).abs() < 0.01);
        let bits = soundness_bits(lookups + crate::inner::errors(12));
        assert!((145.0..147.0).contains(&bits), "{bits}");
    }
}
