use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng as _};
use sealgrid_graph::integer::{Builder, Primitive, Requantise, ValueType};
use sealgrid_graph::reference;
use sealgrid_graph::tensor::{DType, Data, Shape as Axes, Tensor};

use super::*;
use crate::ring::Backend;

fn parameters() -> Parameters {
    Parameters::new(ParameterSet::LINEAR_1).expect("a published set")
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

const I8: fn(usize) -> Shape = |features| Shape { features, width: Width::I8 };

fn integers(count: usize, magnitude: i32, rng: &mut impl Rng) -> Vec<i32> {
    let span = 2 * magnitude.unsigned_abs() + 1;
    (0..count).map(|_| (rng.next_u32() % span).cast_signed() - magnitude).collect()
}

fn rows(values: &[i32], features: usize) -> Vec<&[i32]> {
    values.chunks_exact(features).collect()
}

/// The graph's reference on one record.
fn by_the_graph(shape: Shape, weights: &[i32], biases: &[i32], record: &[i32]) -> Vec<i32> {
    let axes = |axes: &[usize]| Axes::new(axes).expect("small");
    let dtype = if shape.width == Width::I8 { DType::I8 } else { DType::I16 };
    let tensor = |dtype, shape: &[usize], elements: &[i32]| {
        let data = Data::from_elements(dtype, elements).expect("in range");
        Tensor::new(axes(shape), data).expect("as many as the shape says")
    };
    let input = ValueType { dtype, shape: axes(&[1, shape.features]) };
    let mut builder = Builder::new(vec![input]);
    let weight = builder.parameter(tensor(DType::I8, &[biases.len(), shape.features], weights));
    let bias = builder.parameter(tensor(DType::I32, &[biases.len()], biases));
    let requantise = Requantise {
        multipliers: vec![1],
        shifts: vec![0],
        low: i32::MIN,
        high: i32::MAX,
        output: DType::I32,
    };
    let input_id = builder.input(0);
    let output = builder
        .push("layer", Primitive::Linear { weight, bias, requantise }, &[input_id])
        .expect("a valid layer");
    let graph = builder.finish(vec![output]).expect("a valid graph");
    let outputs = reference::run_record(&graph, &[tensor(dtype, &[1, shape.features], record)]);
    let outputs = outputs.expect("one record of the right type");
    (0..biases.len()).map(|k| outputs[0].at(k)).collect()
}

fn check(shape: Shape, weights: &[i32], biases: &[i32], records: &[i32], seed: u64) {
    let (parameters, rng) = (parameters(), &mut rng(seed));
    let key = SecretKey::generate(&parameters, rng);
    let encrypted = encrypt(&key, shape, &rows(records, shape.features), rng).expect("they fit");
    let layer = Layer::new(&parameters, shape, &rows(weights, shape.features), biases).expect("exact");
    let sums = layer.evaluate(&encrypted).expect("the layer's shape");
    let found = decrypt(&key, &sums).expect("the right key");
    let expected: Vec<_> =
        rows(records, shape.features).iter().map(|r| by_the_graph(shape, weights, biases, r)).collect();
    assert_eq!(found, expected);
}

#[test]
fn sums_are_those_of_the_integer_graph_at_the_extremes() {
    let full = |features: usize, w: i32, x: i32| {
        check(I8(features), &vec![w; features], &[7], &vec![x; features], 1);
    };
    full(1, 127, -128);
    full(30, -128, -128);
    full(1024, -128, 127);
    full(2048, 96, -128);
    let sixteen = Shape { features: 2, width: Width::I16 };
    check(sixteen, &[127, -128], &[i32::MAX - 8_355_840], &[32767, -32768], 2);
}

#[test]
fn a_full_ciphertext_of_records_gives_all_outputs_of_each() {
    let rng = &mut rng(3);
    let records = I8(30).records_max(ParameterSet::LINEAR_1).expect("30 fit");
    assert_eq!(records, 68);
    let weights = integers(3 * 30, 127, rng);
    check(I8(30), &weights, &[1 << 20, 0, -5], &integers(30 * records, 127, rng), 4);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn random_layers_equal_the_integer_graph(seed: u64, features in 1_usize..200, outputs in 1_usize..4, records in 1_usize..6) {
        let rng = &mut rng(seed);
        let weights = integers(features * outputs, 127, rng);
        let biases = integers(outputs, 1 << 20, rng);
        check(I8(features), &weights, &biases, &integers(features * records, 127, rng), seed);
    }
}

#[test]
fn evaluation_gives_the_same_bits_on_every_backend() {
    let rng = &mut rng(5);
    let key = SecretKey::generate(&parameters(), rng);
    let encrypted = encrypt(&key, I8(30), &[&integers(30, 127, rng)], rng).expect("fits");
    let weights = integers(30, 127, rng);
    let mut results = Backend::ALL.into_iter().filter_map(Backend::available).map(|available| {
        let parameters =
            Parameters::with_kernels(ParameterSet::LINEAR_1, available).expect("a published set");
        let layer = Layer::new(&parameters, I8(30), &[&weights], &[3]).expect("exact");
        layer.evaluate(&encrypted).expect("the layer's shape")
    });
    let first = results.next().expect("portable");
    assert!(results.all(|other| other == first));
}

/// The greatest error of many sums stays where its bound says, so the bound is no formality and no fiction.
#[test]
fn errors_of_sums_are_as_large_as_computed() {
    let (parameters, rng) = (parameters(), &mut rng(6));
    let key = SecretKey::generate(&parameters, rng);
    let ring = parameters.ring();
    let q = ring.modulus(BASIS, 0);
    let weights = vec![127; 30];
    let layer = Layer::new(&parameters, I8(30), &[&weights], &[0]).expect("exact");
    let zeros = vec![0; 30 * 68];
    let (mut greatest, mut squares, mut count) = (0, 0.0, 0);
    for _ in 0..20 {
        let sums =
            layer.evaluate(&encrypt(&key, I8(30), &rows(&zeros, 30), rng).expect("fits")).expect("fits");
        let product = key.product(&ring.forward(sums.outputs[0].mask.clone()));
        for (record, body) in sums.outputs[0].body.iter().enumerate() {
            let error = q.centred((product.row(0)[30 * record] + body) % q.value());
            greatest = greatest.max(error.abs());
            squares += (error as f64).powi(2);
            count += 1;
        }
    }
    // Σ w² · 10.5 is the variance; 1,360 sums estimate it within 20 %.
    let ratio = squares / f64::from(count) / (30.0 * 127.0 * 127.0 * 10.5);
    assert!((0.8..1.2).contains(&ratio), "{ratio}");
    assert!(greatest < step(q) / 2 / 8, "{greatest}: eight times below what would be wrong");
    assert_eq!(layer.failure_log2(), f64::NEG_INFINITY, "30 features of 8 bits cannot fail");
}

#[test]
fn what_could_be_wrong_or_overflow_is_no_layer() {
    let parameters = parameters();
    let layer = |shape: Shape, weights: &[i32], bias| {
        Layer::new(&parameters, shape, &[weights], &[bias]).map(|layer| layer.failure_log2())
    };
    let code = |result: Result<f64, LinearError>| result.expect_err("refused").to_string()[..8].to_owned();
    // (131,071² · log2 e) / (21 · 127² · n) - 1 is at least 60 up to n = 1,199.
    let failure = layer(I8(1199), &[127; 1199], 0).expect("just exact enough");
    assert!((-60.1..=-60.0).contains(&failure), "{failure}");
    assert_eq!(code(layer(I8(1200), &[127; 1200], 0)), "E-FHE-16");
    assert_eq!(code(layer(I8(2), &[127; 1], 0)), "E-FHE-14");
    assert_eq!(code(layer(I8(1), &[128], 0)), "E-FHE-14");
    assert_eq!(code(layer(I8(1), &[127], i32::MAX)), "E-FHE-15");
    assert_eq!(code(layer(I8(0), &[], 0)), "E-FHE-11");
    assert_eq!(code(layer(I8(2049), &[0; 2049], 0)), "E-FHE-11");
}

#[test]
fn what_does_not_belong_together_is_refused_with_its_code() {
    let (parameters, rng) = (parameters(), &mut rng(7));
    let key = SecretKey::generate(&parameters, rng);
    let record = vec![1; 30];
    let code = |error: LinearError| error.to_string()[..8].to_owned();
    let refused = |result: Result<EncryptedRecords, LinearError>| code(result.expect_err("refused"));
    assert_eq!(refused(encrypt(&key, I8(31), &[&record], rng)), "E-FHE-12");
    assert_eq!(refused(encrypt(&key, I8(30), &[], rng)), "E-FHE-12");
    assert_eq!(refused(encrypt(&key, I8(30), &[&record[..]; 69], rng)), "E-FHE-12");
    assert_eq!(refused(encrypt(&key, I8(30), &[&[128; 30]], rng)), "E-FHE-13");
    assert_eq!(refused(encrypt(&key, I8(0), &[&[]], rng)), "E-FHE-11");

    let slots = SecretKey::generate(&Parameters::new(ParameterSet::CKKS_1).expect("a published set"), rng);
    assert_eq!(refused(encrypt(&slots, I8(30), &[&record], rng)), "E-FHE-10");

    let encrypted = encrypt(&key, I8(30), &[&record], rng).expect("fits");
    let wide =
        Layer::new(&parameters, Shape { width: Width::I16, ..I8(30) }, &[&record], &[0]).expect("exact");
    assert_eq!(code(wide.evaluate(&encrypted).err().expect("another width")), "E-FHE-17");
    let layer = Layer::new(&parameters, I8(30), &[&record], &[0]).expect("exact");
    let sums = layer.evaluate(&encrypted).expect("fits");
    let other = SecretKey::generate(&parameters, rng);
    assert_eq!(code(decrypt(&other, &sums).expect_err("another key")), "E-FHE-18");
}
