//! Reading the models of models/ and their data.

use std::path::PathBuf;

use sealgrid_graph::execute::Executor;
use sealgrid_graph::float::Tensor;
use sealgrid_graph::onnx;
use sealgrid_graph::quantise::{Quantised, quantise};

/// Every model of models/ with the stem of its data.
pub const MODELS: [(&str, &str); 6] = [
    ("breast-cancer-logreg", "breast-cancer"),
    ("breast-cancer-mlp", "breast-cancer"),
    ("breast-cancer-gbt", "breast-cancer"),
    ("digits-mlp", "digits"),
    ("digits-cnn", "digits"),
    ("lenet5", "digits28"),
];

pub fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name)
}

/// Rows and labels (the last column) of a CSV with a header; labels by name or number.
pub struct Data {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<f64>>,
    pub labels: Vec<usize>,
}

pub fn read_csv(name: &str) -> Data {
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
pub fn read_npy(name: &str) -> Vec<Vec<f64>> {
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

/// The records of `part` (`calibration` or `test`) of some data.
pub fn data(stem: &str, part: &str) -> Data {
    if stem != "digits28" {
        return read_csv(&format!("data/{stem}-{part}.csv"));
    }
    let rows = read_npy(&format!("data/{stem}-{part}.npy"));
    let labels = match part {
        "test" => read_npy("data/digits28-test-labels.npy"),
        _ => Vec::new(),
    };
    #[expect(clippy::cast_sign_loss, reason = "labels are classes")]
    let labels = labels.iter().map(|label| label[0] as usize).collect();
    Data { columns: Vec::new(), rows, labels }
}

/// A shipped model, imported and quantised on its calibration records.
pub fn load(name: &str, stem: &str, executor: &dyn Executor) -> (onnx::Imported, Quantised) {
    let bytes = std::fs::read(file(&format!("{name}.onnx"))).expect("the model is shipped");
    let imported = onnx::import(&bytes).expect("a supported model");
    let calibration = records(&imported, &data(stem, "calibration").rows);
    let quantised =
        quantise(&imported.graph, &calibration, executor).expect("the model has an integer meaning");
    (imported, quantised)
}

pub fn records(imported: &onnx::Imported, rows: &[Vec<f64>]) -> Vec<Vec<Tensor>> {
    let shape = &imported.graph.inputs()[0];
    let tensor = |row: &Vec<f64>| {
        let elements = row.iter().map(|&x| x as f32).collect();
        vec![Tensor::new(shape.clone(), elements).expect("a row fills the input")]
    };
    rows.iter().map(tensor).collect()
}
