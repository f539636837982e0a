use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sealgrid_graph::arbitrary;
use sealgrid_graph::tensor::Tensor;
use sealgrid_seal::canonical;

use super::*;
use crate::wire::WireError;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn key(seed: u64) -> SecretKey {
    SecretKey::generate(&Parameters::new(SET).expect("a published set"), &mut rng(seed))
}

fn axes(axes: &[usize]) -> Axes {
    Axes::new(axes).expect("small")
}

fn tensor(of: &[usize], data: Data) -> Tensor {
    Tensor::new(axes(of), data).expect("filled")
}

fn stage(outputs: usize) -> Requantise {
    let multipliers = (1..).take(outputs).collect();
    Requantise { multipliers, shifts: vec![6; outputs], low: -128, high: 127, output: DType::I8 }
}

/// Adds a layer of so many outputs over so many features.
fn layer(builder: &mut Builder, of: ValueId, [outputs, features]: [usize; 2], seed: u64) -> ValueId {
    let rng = &mut rng(seed);
    let mut weights = || i8::from_le_bytes([rand_core::Rng::next_u32(rng).to_le_bytes()[0]]);
    let weights = (0..outputs * features).map(|_| weights()).collect();
    let weight = builder.parameter(tensor(&[outputs, features], Data::I8(weights)));
    let biases = (0..).map(|index| 1000 * index - 500).take(outputs).collect();
    let bias = builder.parameter(tensor(&[outputs], Data::I32(biases)));
    let linear = Primitive::Linear { weight, bias, requantise: stage(outputs) };
    builder.push("layer", linear, &[of]).expect("valid")
}

fn model(of: &[usize], build: impl FnOnce(&mut Builder, ValueId) -> Vec<ValueId>) -> Model {
    let mut builder = Builder::new(vec![ValueType { dtype: DType::I8, shape: axes(of) }]);
    let input = builder.input(0);
    let outputs = build(&mut builder, input);
    let graph = builder.finish(outputs).expect("valid");
    Model::new(arbitrary::card("m", &graph), graph, &mut rng(3)).expect("admitted")
}

/// A layer of three outputs over 2 x 15 features that are made one row, a table behind it, and the largest of that.
fn classifier() -> Model {
    model(&[1, 2, 15], |builder, records| {
        let row = builder.push_shaped("row", Primitive::Reshape, &[records], &axes(&[1, 30]));
        let sums = layer(builder, row.expect("valid"), [3, 30], 5);
        let table = (0..256).map(|at| (at * at / 512) - 60).collect();
        let table = Primitive::Lookup { first: -128, table, output: DType::I8 };
        let scores = builder.push("table", table, &[sums]).expect("valid");
        let class = builder.push("class", Primitive::ArgMaximum { axis: 1 }, &[scores]).expect("valid");
        vec![scores, class]
    })
}

fn records(model: &Model, count: usize) -> Batch {
    let shape = model.graph().inputs()[0].shape.clone();
    let element = |at: usize| i8::from_le_bytes([(at * at * 31 + at).to_le_bytes()[0]]);
    let elements = (0..count * shape.count()).map(element).collect();
    Batch::new(count, shape, Data::I8(elements)).expect("filled")
}

fn plain(model: &Model, records: &Batch) -> Vec<Batch> {
    let reference = Reference.prepare(Arc::clone(model.graph())).expect("prepared");
    reference.run(std::slice::from_ref(records), &mut ()).expect("runs")
}

#[test]
fn a_model_of_one_layer_gives_the_integer_graphs_results_at_every_number_of_ciphertexts() {
    let model = classifier();
    let known = LinearModel::of(&model.public()).expect("one layer");
    assert_eq!((known.outputs(), known.shape().features, known.layer()), (3, 30, "layer"));
    let (key, evaluator) = (key(1), Evaluator::of(&model).expect("exact"));
    for (count, parts) in [(1, 1), (68, 1), (69, 2), (150, 3)] {
        let records = records(&model, count);
        let encrypted = known.encrypt(&key, &records, &mut rng(2)).expect("they fit");
        assert_eq!((encrypted.parts(), encrypted.records()), (parts, count));
        let encrypted = RecordsBatch::from_bytes(&encrypted.to_bytes()).expect("written");
        let sums = evaluator.evaluate(&encrypted).expect("this model's");
        let sums = SumsBatch::from_bytes(&sums.to_bytes()).expect("written");
        assert_eq!(known.decrypt(&key, &sums).expect("this key's"), plain(&model, &records));
    }
}

#[test]
fn a_layer_over_a_record_without_rows_has_its_output_stage_a_channel() {
    let model = model(&[7], |builder, records| vec![layer(builder, records, [4, 7], 9)]);
    let (known, key) = (LinearModel::of(&model.public()).expect("one layer"), key(1));
    let records = records(&model, 5);
    let encrypted = known.encrypt(&key, &records, &mut rng(2)).expect("they fit");
    let sums = Evaluator::of(&model).expect("exact").evaluate(&encrypted).expect("this model's");
    assert_eq!(known.decrypt(&key, &sums).expect("this key's"), plain(&model, &records));
}

#[test]
fn other_models_are_refused_with_what_keeps_them_out() {
    let check = |model: &Model, expected: &str| {
        let error = LinearModel::of(&model.public()).expect_err("refused").to_string();
        assert!(error.starts_with("E-FHE-40") && error.contains(expected), "{error}");
        assert!(Evaluator::of(model).is_err());
    };
    let relu = Primitive::Lookup { first: 0, table: vec![0, 1, 2], output: DType::I8 };
    let check_of = |build: &dyn Fn(&mut Builder, ValueId) -> Vec<ValueId>, expected: &str| {
        check(&model(&[1, 4], build), expected);
    };
    check_of(&|b, x| vec![b.push("relu", relu.clone(), &[x]).expect("valid")], "relu reads the records");
    check_of(
        &|b, x| {
            let first = layer(b, x, [3, 4], 1);
            vec![layer(b, first, [2, 3], 2)]
        },
        "layer has weights of its own",
    );
    check_of(&|b, x| vec![layer(b, x, [3, 4], 1), layer(b, x, [3, 4], 2)], "layer reads the records");
    check_of(&|b, x| vec![layer(b, x, [3, 4], 1), x], "the records themselves");
    check(&model(&[2, 4], |b, x| vec![layer(b, x, [3, 4], 1)]), "layer reads rows");
    let reshaped = |b: &mut Builder, x: ValueId| {
        vec![b.push_shaped("row", Primitive::Reshape, &[x], &axes(&[4, 1])).expect("valid")]
    };
    check(&model(&[1, 4], reshaped), "no linear layer");
}

#[test]
fn the_shared_random_graphs_are_refused_by_name_or_equal_their_reference() {
    let key = key(1);
    let mut exact = 0;
    for seed in 0..400 {
        let graph = arbitrary::graph(seed);
        let Ok(model) = Model::new(arbitrary::card("random", &graph), graph, &mut rng(3)) else { continue };
        let Ok(evaluator) = Evaluator::of(&model) else { continue };
        let known = LinearModel::of(&model.public()).expect("as the evaluator");
        if known.input.dtype != DType::I8 {
            continue;
        }
        let records = records(&model, 3);
        let encrypted = known.encrypt(&key, &records, &mut rng(2)).expect("they fit");
        let sums = evaluator.evaluate(&encrypted).expect("this model's");
        assert_eq!(known.decrypt(&key, &sums).expect("this key's"), plain(&model, &records), "seed {seed}");
        exact += 1;
    }
    println!("{exact} random graphs were one layer");
}

#[test]
fn another_model_key_shape_or_too_many_records_are_refused() {
    let code = |error: ModelError| error.to_string()[..8].to_owned();
    let (model, key) = (classifier(), key(1));
    let known = LinearModel::of(&model.public()).expect("one layer");
    let evaluator = Evaluator::of(&model).expect("exact");
    let batch = records(&model, 2);
    let encrypted = known.encrypt(&key, &batch, &mut rng(2)).expect("they fit");
    let sums = evaluator.evaluate(&encrypted).expect("this model's");
    // The same architecture and other salts: another model.
    let graph = Graph::clone(model.graph());
    let other = Model::new(arbitrary::card("m", &graph), graph, &mut rng(4)).expect("admitted");
    let of_other = LinearModel::of(&other.public()).expect("one layer");
    let refused = Evaluator::of(&other).expect("exact").evaluate(&encrypted);
    assert_eq!(refused.map(|_| ()).map_err(code).expect_err("another"), "E-FHE-41");
    assert_eq!(of_other.decrypt(&key, &sums).map_err(code).expect_err("another"), "E-FHE-41");
    let stranger = SecretKey::generate(key.parameters(), &mut rng(7));
    assert_eq!(known.decrypt(&stranger, &sums).map_err(code).expect_err("another key"), "E-FHE-18");
    // What says that it is this model's, and is of another shape.
    let mut forged = sums.clone();
    forged.parts[0].outputs.pop();
    assert_eq!(known.decrypt(&key, &forged).map_err(code).expect_err("forged"), "E-FHE-17");
    let mut forged = sums;
    forged.parts[0].features = 29;
    assert_eq!(known.decrypt(&key, &forged).map_err(code).expect_err("forged"), "E-FHE-17");
    let many = records(&model, known.records_max() + 1);
    assert_eq!(known.encrypt(&key, &many, &mut rng(2)).map_err(code).expect_err("many"), "E-FHE-42");
    let mut many = encrypted.clone();
    many.parts = vec![encrypted.parts[0].clone(); PARTS_MAX + 1];
    assert_eq!(evaluator.evaluate(&many).map(|_| ()).map_err(code).expect_err("many"), "E-FHE-42");
    let elements = vec![0; 30];
    let wide = Batch::new(1, axes(&[1, 2, 15]), Data::I16(elements)).expect("filled");
    assert_eq!(known.encrypt(&key, &wide, &mut rng(2)).map_err(code).expect_err("wide"), "E-FHE-12");
}

#[test]
fn every_changed_or_missing_byte_of_a_batch_is_noticed() {
    let (model, key) = (classifier(), key(1));
    let known = LinearModel::of(&model.public()).expect("one layer");
    let encrypted = known.encrypt(&key, &records(&model, 2), &mut rng(2)).expect("they fit");
    let sums = Evaluator::of(&model).expect("exact").evaluate(&encrypted).expect("this model's");
    let (encrypted, sums) = (encrypted.to_bytes(), sums.to_bytes());
    for at in 0..encrypted.len() {
        let mut changed = encrypted.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(RecordsBatch::from_bytes(&changed).is_err(), "byte {at}");
        assert!(RecordsBatch::from_bytes(&encrypted[..at]).is_err());
    }
    for at in (0..sums.len()).step_by(251) {
        let mut changed = sums.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(SumsBatch::from_bytes(&changed).is_err(), "byte {at}");
        assert!(SumsBatch::from_bytes(&sums[..at]).is_err());
    }
    let last = encrypted.len() - 1;
    let mut changed = encrypted.clone();
    changed[last] ^= 1;
    assert_eq!(RecordsBatch::from_bytes(&changed), Err(WireError::Changed));
    assert!(WireError::Changed.to_string().starts_with("E-FHE-23: "));
    // Taken for one another.
    let other = |kind| WireError::OtherKind { kind, version: 1 };
    assert_eq!(RecordsBatch::from_bytes(&sums), Err(other(8)));
    assert_eq!(SumsBatch::from_bytes(&encrypted).err(), Some(other(7)));
    assert_eq!(RecordsBatch::from_bytes(key.to_secret_bytes().expose()), Err(other(3)));
    assert!(canonical::decode::<u8>(&encrypted, 1 << 20).is_err());
}

#[test]
fn parts_of_two_keys_make_no_batch() {
    let model = classifier();
    let known = LinearModel::of(&model.public()).expect("one layer");
    let one = known.encrypt(&key(1), &records(&model, 2), &mut rng(2)).expect("they fit");
    let two = known.encrypt(&key(8), &records(&model, 2), &mut rng(2)).expect("they fit");
    let parts = vec![one.parts[0].clone(), two.parts[0].clone()];
    let mixed = RecordsBatch { model: one.model, parts };
    assert_eq!(RecordsBatch::from_bytes(&mixed.to_bytes()), Err(WireError::Inconsistent));
    let none = RecordsBatch { model: one.model, parts: Vec::new() };
    assert_eq!(RecordsBatch::from_bytes(&none.to_bytes()), Err(WireError::Inconsistent));
}
