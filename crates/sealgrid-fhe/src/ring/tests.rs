//! Every backend equals the plain transform and plain arithmetic, bit for bit.

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::transform::plain;
use super::{Available, Backend, Degree, Modulus, Table};

fn backends() -> impl Iterator<Item = Available> {
    Backend::ALL.into_iter().filter_map(Backend::available)
}

fn degrees() -> impl Iterator<Item = Degree> {
    (Degree::LOG_MIN..=Degree::LOG_MAX).filter_map(Degree::from_log)
}

/// Uniform residues with the extremes among them.
fn row(degree: Degree, q: Modulus, rng: &mut ChaCha20Rng) -> Vec<u64> {
    let mut row: Vec<u64> = (0..degree.get()).map(|_| rng.next_u64() % q.value()).collect();
    row[3] = q.value() - 1;
    row[4] = 0;
    row[degree.get() - 1] = q.value() - 1;
    row
}

/// `a · b` modulo `X^N + 1`, by definition.
fn negacyclic(a: &[u64], b: &[u64], q: Modulus) -> Vec<u64> {
    let n = a.len();
    let mut product = vec![0; n];
    for (i, &a) in a.iter().enumerate().filter(|(_, a)| **a != 0) {
        for (j, &b) in b.iter().enumerate() {
            let term = q.multiply(a, b);
            let signed = if i + j < n { term } else { q.value() - term };
            product[(i + j) % n] = (product[(i + j) % n] + signed) % q.value();
        }
    }
    product
}

#[test]
fn the_plain_transform_is_the_values_at_the_odd_powers_of_the_root() {
    for degree in [Degree::MIN, Degree::MAX] {
        let q = Modulus::largest(50, degree, 0).expect("exists");
        let table = Table::new(degree, q);
        let a = row(degree, q, &mut ChaCha20Rng::seed_from_u64(1));
        let values = plain::forward(&table, &a);
        let mut seen = vec![false; 2 * degree.get()];
        for position in 0..degree.get() {
            let exponent = Table::exponent(degree, position);
            assert!(exponent % 2 == 1 && !std::mem::replace(&mut seen[exponent], true));
        }
        for position in [0, 1, 7, 8, 63, 64, 65, degree.get() / 2, degree.get() - 1] {
            let exponent = Table::exponent(degree, position);
            assert_eq!(values[position], plain::value_at(&table, &a, exponent), "position {position}");
        }
    }
}

#[test]
fn every_backend_transforms_as_the_plain_one_at_every_degree_and_length_of_prime() {
    let rng = &mut ChaCha20Rng::seed_from_u64(2);
    for degree in degrees() {
        for bits in [20, 27, 37, 49, 50] {
            let Some(q) = Modulus::largest(bits, degree, 0) else { continue };
            let table = Table::new(degree, q);
            let extremes = vec![q.value() - 1; degree.get()];
            for a in [row(degree, q, rng), extremes, vec![0; degree.get()]] {
                let expected = plain::forward(&table, &a);
                for available in backends() {
                    let mut values = a.clone();
                    table.transform(&mut values, available);
                    assert!(values == expected, "{available:?}, {degree:?}, {bits} bits");
                    table.transform_back(&mut values, available);
                    assert!(values == a, "back: {available:?}, {degree:?}, {bits} bits");
                }
            }
        }
    }
}

#[test]
fn products_of_values_are_negacyclic_products_of_coefficients() {
    let degree = Degree::MIN;
    let q = Modulus::largest(50, degree, 1).expect("exists");
    let table = Table::new(degree, q);
    let rng = &mut ChaCha20Rng::seed_from_u64(3);
    let a = row(degree, q, rng);
    let b = row(degree, q, rng);
    for available in backends() {
        let [mut x, mut y, mut product] = [a.clone(), b.clone(), vec![0; degree.get()]];
        table.transform(&mut x, available);
        table.transform(&mut y, available);
        available.sum_of_products(&mut product, &[(&x, &y)], q);
        table.transform_back(&mut product, available);
        assert!(product == negacyclic(&a, &b, q), "{available:?}");
    }
}

#[test]
fn sums_of_many_products_do_not_overflow_at_the_extremes() {
    let q = Modulus::largest(50, Degree::MIN, 0).expect("exists");
    let a = vec![q.value() - 1; Degree::MIN.get()];
    for count in [0, 1, 14, 15, 16, 29, 30, 64] {
        let pairs = vec![(&a[..], &a[..]); count];
        for available in backends() {
            let mut sum = vec![7; a.len()];
            available.sum_of_products(&mut sum, &pairs, q);
            assert_eq!(sum, vec![count as u64; a.len()], "{available:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_backend_computes_as_plain_arithmetic(
        seed: u64,
        bits in 20_u32..=50,
        other_bits in 20_u32..=50,
        count in 1_usize..20,
    ) {
        let degree = Degree::MIN;
        let q = Modulus::largest(bits, degree, 0).expect("exists");
        let p = Modulus::largest(other_bits, degree, 0).expect("exists");
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let (a, b, c) = (row(degree, q, rng), row(degree, q, rng), row(degree, p, rng));
        let terms: Vec<_> = (0..count).map(|_| (row(degree, q, rng), row(degree, q, rng))).collect();
        let pairs: Vec<_> = terms.iter().map(|(x, y)| (&x[..], &y[..])).collect();
        let factor = q.factor(rng.next_u64());
        let each = |f: &dyn Fn(usize) -> u64| (0..degree.get()).map(f).collect::<Vec<u64>>();
        let q_ = q.value();
        for available in backends() {
            let run = |f: &dyn Fn(&mut [u64])| { let mut out = a.clone(); f(&mut out); out };
            prop_assert_eq!(run(&|out| available.add(out, &b, q)), each(&|i| (a[i] + b[i]) % q_));
            prop_assert_eq!(run(&|out| available.subtract(out, &b, q)), each(&|i| (a[i] + q_ - b[i]) % q_));
            prop_assert_eq!(run(&|out| available.scale(out, factor, q)), each(&|i| q.multiply(a[i], factor.value)));
            prop_assert_eq!(
                run(&|out| available.subtract_and_scale(out, &b, factor, q)),
                each(&|i| q.multiply(a[i] + q_ - b[i], factor.value))
            );
            prop_assert_eq!(
                run(&|out| available.sum_of_products(out, &pairs, q)),
                each(&|i| terms.iter().fold(0, |sum, (x, y)| (sum + q.multiply(x[i], y[i])) % q_))
            );
            prop_assert_eq!(
                run(&|out| available.change_modulus(out, &c, p, q)),
                each(&|i| q.of_integer(p.centred(c[i])))
            );
        }
    }
}
