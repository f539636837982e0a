use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng as _};

use super::*;
use crate::ring::Backend;

const SCALE: f64 = (1_u64 << 37) as f64;

struct Owner {
    parameters: Parameters,
    key: SecretKey,
    keys: EvaluationKeys,
    rng: ChaCha20Rng,
}

fn owner(rotations: &[usize]) -> Owner {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let parameters = Parameters::new(ParameterSet::CKKS_1).expect("a published set");
    let key = SecretKey::generate(&parameters, &mut rng);
    let keys = EvaluationKeys::generate(&key, rotations, &mut rng).expect("a set for slots");
    Owner { parameters, key, keys, rng }
}

impl Owner {
    fn values(&mut self, count: usize) -> Vec<f64> {
        let rng = &mut self.rng;
        (0..count).map(|_| f64::from(rng.next_u32().cast_signed()) / f64::from(1 << 30)).collect()
    }

    fn encrypted(&mut self, values: &[f64]) -> Ciphertext {
        let fresh = encrypt(&self.key, values, SCALE, &mut self.rng).expect("finite values");
        fresh.expand(&self.parameters).expect("its own parameters")
    }

    fn evaluator(&self) -> Evaluator<'_> {
        Evaluator::new(&self.parameters, &self.keys).expect("keys of these parameters")
    }

    /// The greatest distance of any slot from what it should be.
    fn error(&self, found: &Ciphertext, expected: &[f64]) -> f64 {
        let found = danger_decrypt(&self.key, found).expect("the right key");
        let distances = found.iter().zip(expected.iter().cycle()).map(|(a, b)| (a - b).abs());
        distances.fold(0.0, f64::max)
    }
}

fn each(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect()
}

/// Errors of a fresh ciphertext have deviation 3.24·√N in a slot at the scale 2^37: 2^-29; eight deviations over 4,096 slots.
const FRESH: f64 = 1.0 / (1 << 25) as f64;

/// Key switching adds, for the digit of 48 bits under a special prime of 49, coefficients of deviation `√N · 2^48/√12 · 3.24 / 2^49 = 42`
/// and slots of deviation `42·√N`: 2^-25 at the scale 2^37. Sixteen deviations.
const SWITCHED: f64 = 1.0 / (1 << 21) as f64;

#[test]
fn slots_are_encrypted_added_and_multiplied() {
    let mut owner = owner(&[]);
    let (x, y) = (owner.values(4096), owner.values(4096));
    let (cx, cy) = (owner.encrypted(&x), owner.encrypted(&y));
    let e = owner.evaluator();
    assert!(owner.error(&cx, &x) < FRESH);
    assert!(owner.error(&e.add(&cx, &cy).expect("alike"), &each(&x, &y, |x, y| x + y)) < 2.0 * FRESH);

    let p = Plaintext::encode(&owner.parameters, &y, e.last_prime(&cx), 4).expect("finite");
    let product = e.rescale(&e.multiply_plain(&cx, &p).expect("alike")).expect("a prime is left");
    assert_eq!((product.primes(), product.scale()), (3, SCALE), "the scale is what it was, exactly");
    assert!(owner.error(&product, &each(&x, &y, |x, y| x * y)) < 8.0 * FRESH);

    let p = Plaintext::encode(&owner.parameters, &y, SCALE, 4).expect("finite");
    assert!(owner.error(&e.add_plain(&cx, &p).expect("alike"), &each(&x, &y, |x, y| x + y)) < 2.0 * FRESH);
}

#[test]
fn products_reach_the_depth_of_the_set_and_stay_precise() {
    let mut owner = owner(&[]);
    let x = owner.values(4096).iter().map(|x| x / 2.0).collect::<Vec<_>>();
    let mut power = owner.encrypted(&x);
    let e = owner.evaluator();
    let mut expected = x;
    for left in [3, 2, 1] {
        power = e.rescale(&e.multiply(&power, &power).expect("a key for products")).expect("a prime is left");
        expected = each(&expected, &expected, |x, y| x * y);
        assert_eq!(power.primes(), left);
        assert!(owner.error(&power, &expected) < SWITCHED, "{left} left");
    }
    let refused = e.rescale(&power).err().expect("no prime to drop").to_string();
    assert!(refused.starts_with("E-FHE-34"), "{refused}");
}

#[test]
fn slots_rotate_to_the_left_alone_and_together() {
    let mut owner = owner(&[1, 7, 4095]);
    let x = owner.values(4096);
    let cx = owner.encrypted(&x);
    let e = owner.evaluator();
    let together = e.rotate_hoisted(&cx, &[0, 1, 7, 4095]).expect("keys for each");
    for (by, rotated) in [0, 1, 7, 4095].into_iter().zip(together) {
        let mut expected = x.clone();
        expected.rotate_left(by);
        let error = owner.error(&rotated, &expected);
        assert!(error < if by == 0 { FRESH } else { SWITCHED }, "{by}: {error:e}");
        assert!(e.rotate(&cx, by).expect("a key") == rotated, "{by}: the same bits alone");
    }
    let refused = e.rotate(&cx, 2).err().expect("no key").to_string();
    assert_eq!(refused, "E-FHE-35: no evaluation key for rotations by 2");
}

#[test]
fn matrices_multiply_vectors() {
    for rows in [1, 2, 8, 32] {
        let mut owner = owner(&Matrix::rotations(rows));
        let (x, m) = (owner.values(rows), owner.values(rows * rows));
        let cx = owner.encrypted(&x);
        let matrix = Matrix::encode(&owner.parameters, &m, rows, 4).expect("square");
        let y = owner.evaluator().multiply_matrix(&matrix, &cx).expect("all keys");
        let dot = |row: &[f64]| row.iter().zip(&x).map(|(m, x)| m * x).sum();
        let expected: Vec<f64> = m.chunks(rows).map(dot).collect();
        assert_eq!((y.primes(), y.scale()), (3, SCALE));
        let error = owner.error(&y, &expected);
        assert!(error < (rows as f64).sqrt() * SWITCHED, "{rows}: {error:e}");
    }
}

#[test]
fn evaluation_gives_the_same_bits_on_every_backend() {
    let mut owner = owner(&Matrix::rotations(4));
    let (x, m) = (owner.values(4), owner.values(16));
    let cx = owner.encrypted(&x);
    let mut results = Backend::ALL.into_iter().filter_map(Backend::available).map(|available| {
        let parameters = Parameters::with_kernels(ParameterSet::CKKS_1, available).expect("a published set");
        let e = Evaluator::new(&parameters, &owner.keys).expect("keys of these parameters");
        let matrix = Matrix::encode(&parameters, &m, 4, 4).expect("square");
        let y = e.multiply_matrix(&matrix, &cx).expect("all keys");
        e.rescale(&e.multiply(&y, &y).expect("a key")).expect("a prime is left")
    });
    let first = results.next().expect("portable");
    assert!(results.all(|other| other == first));
}

#[test]
fn what_would_be_a_wrong_number_is_an_error_with_its_code() {
    let mut owner = owner(&[]);
    let cx = owner.encrypted(&[1.0]);
    let e = owner.evaluator();
    let code = |error: Option<CkksError>| error.expect("refused").to_string()[..8].to_owned();
    let encode = |values: &[f64], scale, primes| {
        code(Plaintext::encode(&owner.parameters, values, scale, primes).err())
    };
    assert_eq!(encode(&[f64::NAN], SCALE, 4), "E-FHE-30");
    assert_eq!(encode(&[1.0, f64::INFINITY], SCALE, 4), "E-FHE-30");
    assert_eq!(encode(&[1e30], SCALE, 4), "E-FHE-30");
    assert_eq!(encode(&[1024.0], SCALE, 1), "E-FHE-30");
    assert_eq!(encode(&[1.0], 0.5, 4), "E-FHE-30");
    assert_eq!(encode(&[1.0], f64::NAN, 4), "E-FHE-30");
    assert_eq!(encode(&[], SCALE, 4), "E-FHE-31");
    assert_eq!(encode(&[1.0; 3], SCALE, 4), "E-FHE-31");
    assert_eq!(encode(&[1.0], SCALE, 5), "E-FHE-34");
    assert_eq!(encode(&[1.0], SCALE, 0), "E-FHE-34");

    let product = e.multiply(&cx, &cx).expect("a key");
    assert_eq!(code(e.add(&cx, &product).err()), "E-FHE-33");
    let shorter = e.truncate(&cx, 3).expect("there are four");
    assert_eq!(code(e.add(&cx, &shorter).err()), "E-FHE-34");
    assert_eq!(code(e.truncate(&shorter, 4).err()), "E-FHE-34");
    assert!(owner.error(&shorter, &[1.0]) < FRESH);
    let matrix = |m: &[f64], rows, primes| code(Matrix::encode(&owner.parameters, m, rows, primes).err());
    assert_eq!(matrix(&[1.0; 9], 3, 4), "E-FHE-36");
    assert_eq!(matrix(&[1.0; 8], 2, 4), "E-FHE-36");
    assert_eq!(matrix(&[1.0; 4], 2, 1), "E-FHE-34");

    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let exact = Parameters::new(ParameterSet::LINEAR_1).expect("a published set");
    let exact_key = SecretKey::generate(&exact, &mut rng);
    assert_eq!(code(Plaintext::encode(&exact, &[1.0], SCALE, 1).err()), "E-FHE-10");
    assert_eq!(code(encrypt(&exact_key, &[1.0], SCALE, &mut rng).err()), "E-FHE-10");
    assert_eq!(code(EvaluationKeys::generate(&exact_key, &[], &mut rng).err()), "E-FHE-10");
    assert_eq!(code(Evaluator::new(&exact, &owner.keys).err()), "E-FHE-32");
    let other = SecretKey::generate(&owner.parameters, &mut rng);
    let theirs = encrypt(&other, &[1.0], SCALE, &mut rng).expect("finite").expand(&owner.parameters);
    assert_eq!(code(e.add(&cx, &theirs.expect("the same set")).err()), "E-FHE-32");
    assert_eq!(code(danger_decrypt(&other, &cx).err()), "E-FHE-18");
}
