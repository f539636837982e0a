//! The models of models/: imported, quantised on their calibration rows, judged on their test rows by the executor that
//! nodes use, and by the reference on some. The bar: at most 0.5 percentage points below the float model.

#![expect(clippy::print_stderr, reason = "what is judged is a table of the documents, too")]

mod shipped;

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sealgrid_graph::execute::{Batch, Executor};
use sealgrid_graph::fast::FastExecutor;
use sealgrid_graph::model::{Accuracy, Model};
use sealgrid_graph::onnx;
use sealgrid_graph::quantise::{Names, Quantised, measure, quantise};
use sealgrid_graph::reference::Reference;
use shipped::{Data, MODELS, data, load, records};

/// Percentage points that integers may lose.
const POINTS_LOST_MAX: f64 = 0.5;

struct Shipped {
    imported: onnx::Imported,
    quantised: Quantised,
    test: Data,
    accuracy: Accuracy,
}

/// Imports and quantises a shipped model and counts its decisions on the test rows. Classifiers as skl2onnx writes
/// them yield a label and probabilities: probabilities are judged.
fn shipped(name: &str, stem: &str) -> Shipped {
    let (executor, test) = (FastExecutor::new(), data(stem, "test"));
    let (imported, quantised) = load(name, stem, &executor);
    let output = imported.outputs.len() - 1;
    let accuracy = measure(
        &imported.graph,
        &quantised,
        &executor,
        (output, "test rows"),
        &records(&imported, &test.rows),
        &test.labels,
    )
    .expect("the rows fit");
    Shipped { imported, quantised, test, accuracy }
}

fn check(name: &str, clear_correct: u32) {
    let stem = MODELS.into_iter().find(|(known, _)| *known == name).expect("a shipped model").1;
    let shipped = shipped(name, stem);
    let Quantised { width, clipping, fidelity, .. } = &shipped.quantised;
    eprintln!(
        "{name}: {:?}; {width:?}, {clipping:?}, error of outputs {:.5}",
        shipped.accuracy, fidelity.error
    );
    assert_eq!(shipped.accuracy.clear_correct, clear_correct, "{name}: float accuracy of models.toml");
    assert!(shipped.accuracy.points_lost() <= POINTS_LOST_MAX, "{name}: {:?}", shipped.accuracy);
    survives_its_file(&shipped);
    fast_equals_reference(&shipped);
}

/// Card, salts, file and back; the client's encoding by column name is the one used above.
fn survives_its_file(shipped: &Shipped) {
    let columns = match shipped.imported.graph.inputs()[0].rank() {
        2 => shipped.test.columns.clone(),
        _ => Vec::new(),
    };
    let labels = |output: &onnx::Output| {
        output.labels.clone().or_else(|| shipped.imported.labels.clone()).unwrap_or_default()
    };
    let names = Names {
        name: "shipped".into(),
        release: "1".into(),
        summary: String::new(),
        inputs: vec![(shipped.imported.inputs[0].clone(), columns)],
        outputs: shipped.imported.outputs.iter().map(|o| (o.name.clone(), labels(o))).collect(),
    };
    let card = shipped.quantised.card(&names, Some(shipped.accuracy.clone()));
    let graph = (*shipped.quantised.graph).clone();
    let model = Model::new(card, graph, &mut ChaCha20Rng::from_seed([3; 32])).expect("admitted");
    let read = Model::from_bytes(&model.to_bytes()).expect("the model's own file");
    assert_eq!(read.commitment(), model.commitment());
    let rows = &shipped.test.rows[..4];
    let encoded = read.card().inputs[0].encode(rows).expect("finite rows");
    assert_eq!(encoded, shipped.quantised.encode(&records(&shipped.imported, rows))[0]);
}

fn fast_equals_reference(shipped: &Shipped) {
    let rows = &shipped.test.rows[..2];
    let inputs = shipped.quantised.encode(&records(&shipped.imported, rows));
    let run = |executor: &dyn Executor| -> Vec<Batch> {
        let graph = Arc::clone(&shipped.quantised.graph);
        executor.prepare(graph).expect("prepares").run(&inputs, &mut ()).expect("runs")
    };
    assert_eq!(run(&FastExecutor::new()), run(&Reference));
}

#[test]
fn breast_cancer_models_lose_at_most_half_a_point() {
    check("breast-cancer-logreg", 218);
    check("breast-cancer-mlp", 219);
    check("breast-cancer-gbt", 212);
}

#[test]
fn digits_models_lose_at_most_half_a_point() {
    check("digits-mlp", 703);
    check("digits-cnn", 703);
}

#[test]
fn lenet_loses_at_most_half_a_point() {
    check("lenet5", 711);
}

/// Records of vectors/encoder.
fn encoder_records(name: &str) -> Vec<Vec<f64>> {
    shipped::read_npy(&format!("../vectors/encoder/{name}.npy"))
}

#[test]
fn an_encoder_of_pytorch_answers_in_integers_nearly_what_it_answers_in_pytorch() {
    let executor = FastExecutor::new();
    let (rows, answers) = (encoder_records("records"), encoder_records("answers"));
    for exporter in ["torchscript", "dynamo"] {
        let bytes = std::fs::read(shipped::file(&format!("../vectors/encoder/encoder-{exporter}.onnx")));
        let imported = onnx::import(&bytes.expect("committed")).expect("a supported model");
        let calibration = records(&imported, &encoder_records("calibration"));
        let quantised =
            quantise(&imported.graph, &calibration, &executor).expect("it has an integer meaning");
        let inputs = quantised.encode(&records(&imported, &rows));
        let run = |executor: &dyn Executor, inputs: &[Batch]| -> Vec<Batch> {
            let prepared = executor.prepare(Arc::clone(&quantised.graph)).expect("prepares");
            prepared.run(inputs, &mut ()).expect("runs")
        };
        let outputs = run(&executor, &inputs);
        let names = Names {
            inputs: vec![("x".into(), Vec::new())],
            outputs: vec![("y".into(), Vec::new())],
            ..Names::default()
        };
        let found = quantised.card(&names, None).outputs[0].decode(&outputs[0]);
        assert_eq!(found.len(), answers.len());
        let (mut off, mut size) = (0.0, 0.0);
        for (found, answer) in found.iter().zip(&answers) {
            assert_eq!(found.values.len(), answer.len());
            off +=
                found.values.iter().zip(answer).map(|(found, answer)| (found - answer).powi(2)).sum::<f64>();
            size += answer.iter().map(|answer| answer.powi(2)).sum::<f64>();
        }
        eprintln!("encoder, {exporter}: off by {:.4}", (off / size).sqrt());
        // Measured: 1.2 % of the answers' root mean square, through two layers of eight and sixteen bits.
        assert!((off / size).sqrt() < 0.015, "{exporter}: off by {}", (off / size).sqrt());
        let one = quantised.encode(&records(&imported, &rows[..1]));
        assert_eq!(run(&Reference, &one), run(&executor, &one), "{exporter}");
    }
}
