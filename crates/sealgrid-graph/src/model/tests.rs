use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::arbitrary;
use crate::integer::ValueType;

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([5; 32])
}

/// The first random graph from a seed on that is admitted and has some parameters.
fn model(seed: u64) -> Model {
    (seed..)
        .map(arbitrary::graph)
        .filter(|graph| graph.parameters().len() > 2)
        .find_map(|graph| Model::new(arbitrary::card("random", &graph), graph, &mut rng()).ok())
        .expect("many random graphs are admitted")
}

#[test]
fn a_model_survives_its_file_and_keeps_its_commitment() {
    for seed in 0..50 {
        let model = model(seed * 100);
        let read = Model::from_bytes(&model.to_bytes()).expect("the model's own file");
        assert_eq!(read.commitment(), model.commitment());
        assert_eq!(read.graph(), model.graph());
        assert_eq!(read.card(), model.card());
    }
}

#[test]
fn a_changed_byte_is_refused_or_changes_the_commitment() {
    let model = model(7);
    let (bytes, commitment) = (model.to_bytes(), model.commitment());
    let step = (bytes.len() / 400).max(1);
    for position in (0..bytes.len()).step_by(step) {
        let mut changed = bytes.clone();
        changed[position] ^= 1 << (position % 8);
        if let Ok(other) = Model::from_bytes(&changed) {
            assert_ne!(other.commitment(), commitment, "byte {position}");
        }
    }
}

#[test]
fn files_that_are_not_models_are_refused_with_their_codes() {
    let bytes = model(1).to_bytes();
    let code = |bytes: &[u8]| Model::from_bytes(bytes).expect_err("not a model").code();
    assert_eq!(code(b""), "E-IMP-53");
    assert_eq!(code(b"SGM2"), "E-IMP-53");
    assert_eq!(code(&bytes[..bytes.len() - 1]), "E-IMP-53");
    assert_eq!(code(&[bytes.as_slice(), &[0]].concat()), "E-IMP-53");
}

#[test]
fn a_card_that_is_not_the_graphs_is_refused() {
    let graph = arbitrary::graph(3);
    let check = |change: &dyn Fn(&mut ModelCard)| {
        let mut card = arbitrary::card("random", &graph);
        change(&mut card);
        card.check(&graph.architecture())
    };
    assert_eq!(check(&|_| ()), Ok(()));
    assert_eq!(check(&|card| card.version = 2), Err(CardFault::Version(2)));
    assert_eq!(check(&|card| card.name.clear()), Err(CardFault::Text));
    assert_eq!(check(&|card| card.summary = "x".repeat(5000)), Err(CardFault::Text));
    assert_eq!(check(&|card| card.name = "a\nb".into()), Err(CardFault::Text));
    assert_eq!(check(&|card| card.inputs.clear()), Err(CardFault::NotTheGraphs("inputs")));
    assert_eq!(check(&|card| card.outputs.clear()), Err(CardFault::NotTheGraphs("outputs")));
    assert_eq!(check(&|card| card.inputs[0].scales[0] = 0.0), Err(CardFault::Number));
    assert_eq!(check(&|card| card.inputs[0].scales[0] = f64::NAN), Err(CardFault::Number));
    assert_eq!(check(&|card| card.inputs[0].offsets[0] = f64::INFINITY), Err(CardFault::Number));
    assert_eq!(check(&|card| card.inputs[0].offsets.clear()), Err(CardFault::Length("offsets")));
    let labels = vec!["a".to_owned(); 1 << 20];
    assert_eq!(check(&|card| card.outputs[0].labels = labels.clone()), Err(CardFault::Decision));
    let accuracy =
        Accuracy { data: "test".into(), records: 10, clear_correct: 9, integer_correct: 11, agreeing: 8 };
    assert_eq!(check(&|card| card.accuracy = Some(accuracy.clone())), Err(CardFault::Accuracy));
    let error =
        Model::new(ModelCard { version: 9, ..arbitrary::card("random", &graph) }, graph.clone(), &mut rng());
    assert_eq!(error.expect_err("another version").code(), "E-IMP-54");
}

#[test]
fn every_parameter_opens_alone_and_nothing_else_does() {
    let model = model(11);
    let public = model.public();
    public.check().expect("the model's own card");
    assert_eq!(public.commitment(), model.commitment());
    let count = u32::try_from(model.graph().parameters().len()).expect("few");
    for index in 0..count {
        let opening = model.open_parameter(index).expect("exists");
        assert!(public.verify_parameter(&opening));
        let refuses = |change: &dyn Fn(&mut ParameterOpening)| {
            let mut other = opening.clone();
            change(&mut other);
            !public.verify_parameter(&other)
        };
        assert!(refuses(&|opening| opening.salt[31] ^= 1));
        assert!(refuses(&|opening| opening.index = (opening.index + 1) % count));
        assert!(refuses(&|opening| opening.index = count));
        assert!(refuses(&|opening| opening.path.push(opening.path[0])));
        assert!(refuses(&|opening| opening.path[0].0[0] ^= 1));
    }
    assert!(model.open_parameter(count).is_none());
}

#[test]
fn salts_hide_equal_weights() {
    let graph = Graph::clone(model(3).graph());
    let commitment = |seed: u8| {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        Model::new(arbitrary::card("random", &graph), graph.clone(), &mut rng)
            .expect("admitted before")
            .commitment()
    };
    assert_ne!(commitment(1), commitment(2));
}

mod encoding {
    use super::*;
    use crate::execute::Batch;
    use crate::tensor::{DType, Data, Shape};

    fn card() -> InputCard {
        InputCard {
            name: "x".into(),
            value_type: ValueType { dtype: DType::I8, shape: Shape::new(&[2]).expect("small") },
            columns: vec!["age".into(), "size".into()],
            offsets: vec![10.0, 0.0],
            scales: vec![2.0, 0.5],
        }
    }

    #[test]
    fn rows_are_shifted_scaled_rounded_to_even_and_clamped() {
        let rows = [[15.0, 0.25], [13.0, -0.25], [10.0, 0.75], [1e300, -1e300]];
        let batch = card().encode(&rows).expect("finite rows");
        assert_eq!(*batch.data(), Data::I8(vec![2, 0, 2, 0, 0, 2, 127, -128]));
        assert_eq!(batch.records(), 4);
    }

    #[test]
    fn rows_that_do_not_fit_are_named_without_content() {
        let check = |rows: &[Vec<f64>], code: &str, text: &str| {
            let error = card().encode(rows).expect_err("does not fit");
            assert_eq!((error.code(), error.to_string().as_str()), (code, text));
        };
        check(&[], "E-DAT-53", "there are no rows");
        check(&[vec![1.0]], "E-DAT-51", "row 1 has 1 values where the model takes 2");
        check(
            &[vec![1.0, 2.0], vec![1.0, f64::NAN]],
            "E-DAT-52",
            "row 2, column size is not a finite number",
        );
        check(&[vec![f64::NEG_INFINITY, 0.0]], "E-DAT-52", "row 1, column age is not a finite number");
        let many = vec![vec![0.0, 0.0]; crate::execute::RECORDS_MAX + 1];
        check(&many, "E-RES-35", "1048577 rows where one job may have 1048576");
    }

    #[test]
    fn columns_are_found_by_name() {
        assert_eq!(card().locate_columns(&["label", "size", "age"]), Ok(vec![2, 1]));
        let missing = card().locate_columns(&["size"]).expect_err("age is missing");
        assert_eq!(missing.code(), "E-DAT-54");
        assert_eq!(missing.to_string(), "the data lacks 1 of the model's columns, first age");
        let repeated = card().locate_columns(&["size", "age", "size"]).expect_err("size twice");
        assert_eq!(repeated.code(), "E-DAT-55");
    }

    #[test]
    fn answers_carry_values_classes_and_labels() {
        let mut output = OutputCard {
            name: "y".into(),
            value_type: ValueType { dtype: DType::I16, shape: Shape::new(&[1, 2]).expect("small") },
            scales: vec![0.25],
            labels: vec!["no".into(), "yes".into()],
            decision: Decision::Largest,
        };
        let batch =
            Batch::new(2, output.value_type.shape.clone(), Data::I16(vec![4, 8, 3, 3])).expect("fits");
        let answers = output.decode(&batch);
        assert_eq!(answers[0], Answer { values: vec![1.0, 2.0], class: Some(1), label: Some("yes".into()) });
        assert_eq!(answers[1].class, Some(0), "the first of equals");
        output.decision = Decision::None;
        assert_eq!(output.decode(&batch)[0].class, None);

        output.value_type.shape = Shape::new(&[1]).expect("small");
        let single = Batch::new(2, output.value_type.shape.clone(), Data::I16(vec![1, 3])).expect("fits");
        output.decision = Decision::Threshold { above: 0.5 };
        let classes: Vec<_> = output.decode(&single).iter().map(|answer| answer.class).collect();
        assert_eq!(classes, [Some(0), Some(1)]);
        output.decision = Decision::Index;
        assert_eq!(output.decode(&single)[0].label.as_deref(), Some("yes"));
    }
}
