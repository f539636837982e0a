//! The models of models/: imported, quantised on their calibration rows, judged on their test rows by the executor that
//! nodes use, and by the reference on some. The bar: at most 0.5 percentage points below the float model.

use std::path::PathBuf;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sealgrid_graph::execute::{Batch, Executor};
use sealgrid_graph::fast::FastExecutor;
use sealgrid_graph::float::Tensor;
use sealgrid_graph::model::{Accuracy, Model};
use sealgrid_graph::onnx;
use sealgrid_graph::quantise::{Names, Quantised, measure, quantise};
use sealgrid_graph::reference::Reference;

/// Percentage points that integers may lose.
const POINTS_LOST_MAX: f64 = 0.5;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name)
}

/// Rows and labels (the last column) of a CSV with a header; labels by name or number.
struct Data {
    columns: Vec<String>,
    rows: Vec<Vec<f64>>,
    labels: Vec<usize>,
}

fn read_csv(name: &str) -> Data {
    let text = std::fs::read_to_string(file(name)).expect("the data is shipped");
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let columns: Vec<String> = header[..header.len() - 1].iter().map(ToString::to_string).collect();
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let (label, values) = cells.split_last().expect("cells");
        labels.push(match *label {
            "malignant" => 0,
            "benign" => 1,
            number => number.parse().expect("a class"),
        });
        rows.push(values.iter().map(|cell| cell.parse().expect("a number")).collect());
    }
    Data { columns, rows, labels }
}

/// Unsigned bytes, or 64-bit integers, of an .npy file, and their count per row.
fn read_npy(name: &str) -> Vec<Vec<f64>> {
    let bytes = std::fs::read(file(name)).expect("the data is shipped");
    let header_end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..header_end]).expect("ASCII");
    let between = |from: &str, to: char| {
        let start = header.find(from).expect("a key") + from.len();
        let rest = &header[start..];
        rest[..rest.find(to).expect("an end")].to_owned()
    };
    let axes: Vec<usize> =
        between("'shape': (", ')').split(',').filter_map(|axis| axis.trim().parse().ok()).collect();
    let body = &bytes[header_end..];
    let elements: Vec<f64> = match between("'descr': '", '\'').as_str() {
        "|u1" => body.iter().map(|&byte| byte.into()).collect(),
        "<f4" => body.chunks(4).map(|c| f32::from_le_bytes(c.try_into().expect("4 bytes")).into()).collect(),
        other => panic!("element type {other}"),
    };
    elements.chunks(axes[1..].iter().product::<usize>().max(1)).map(<[f64]>::to_vec).collect()
}

struct Shipped {
    imported: onnx::Imported,
    quantised: Quantised,
    test: Data,
    accuracy: Accuracy,
}

fn records(imported: &onnx::Imported, rows: &[Vec<f64>]) -> Vec<Vec<Tensor>> {
    let shape = &imported.graph.inputs()[0];
    let tensor = |row: &Vec<f64>| {
        let elements = row.iter().map(|&x| x as f32).collect();
        vec![Tensor::new(shape.clone(), elements).expect("a row fills the input")]
    };
    rows.iter().map(tensor).collect()
}

/// Imports and quantises a shipped model and counts its decisions on the test rows. Classifiers as skl2onnx writes
/// them yield a label and probabilities: probabilities are judged.
fn shipped(name: &str, calibration: &Data, test: Data) -> Shipped {
    let bytes = std::fs::read(file(&format!("{name}.onnx"))).expect("the model is shipped");
    let imported = onnx::import(&bytes).expect("a supported model");
    let executor = FastExecutor::new();
    let quantised = quantise(&imported.graph, &records(&imported, &calibration.rows), &executor)
        .expect("the model has an integer meaning");
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

fn check(name: &str, calibration: &Data, test: Data, clear_correct: u32) {
    let shipped = shipped(name, calibration, test);
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
    let calibration = read_csv("data/breast-cancer-calibration.csv");
    for (name, correct) in
        [("breast-cancer-logreg", 218), ("breast-cancer-mlp", 219), ("breast-cancer-gbt", 212)]
    {
        check(name, &calibration, read_csv("data/breast-cancer-test.csv"), correct);
    }
}

#[test]
fn digits_models_lose_at_most_half_a_point() {
    let calibration = read_csv("data/digits-calibration.csv");
    for (name, correct) in [("digits-mlp", 703), ("digits-cnn", 703)] {
        check(name, &calibration, read_csv("data/digits-test.csv"), correct);
    }
}

#[test]
fn lenet_loses_at_most_half_a_point() {
    let data = |rows: Vec<Vec<f64>>, labels| Data { columns: Vec::new(), rows, labels };
    let calibration = data(read_npy("data/digits28-calibration.npy"), Vec::new());
    let labels = read_npy("data/digits28-test-labels.npy");
    #[expect(clippy::cast_sign_loss, reason = "labels are classes")]
    let labels = labels.iter().map(|label| label[0] as usize).collect();
    check("lenet5", &calibration, data(read_npy("data/digits28-test.npy"), labels), 711);
}
