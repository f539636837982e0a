//! The frozen vectors of vectors/graph/: what they say must stay true for ever. `cargo xtask vectors --bless` writes
//! them anew from this code, for a new version of the formats.

use std::path::PathBuf;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sealgrid_seal::canonical;
use sealgrid_seal::digest::CommitmentKey;
use serde_json::{Value, json};

use crate::arbitrary;
use crate::execute::{Batch, Executor};
use crate::integer::{Architecture, Graph, Operation, Primitive, ValueId};
use crate::model::{Decision, InputCard, Model, ModelCard, OutputCard};
use crate::reference::Reference;
use crate::tensor::{DType, Data, Shape};
use crate::trace::TraceObserver;

/// The job key of every trace in the vectors.
const KEY: [u8; 32] = [0x5e; 32];

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/graph").join(name)
}

fn bless() -> bool {
    std::env::var("SEALGRID_BLESS").is_ok_and(|value| value == "1")
}

/// The frozen file, which is written first when blessing.
fn frozen(name: &str, make: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    if bless() {
        std::fs::write(file(name), make()).expect("vectors/graph can be written");
    }
    std::fs::read(file(name)).expect("the vector is there")
}

fn frozen_json(name: &str, make: impl FnOnce() -> Value) -> Value {
    let bytes = frozen(name, || {
        // One case a line: no text in it contains these characters.
        let text = serde_json::to_string(&make()).expect("values print");
        (text.replace("},{", "},\n{") + "\n").into_bytes()
    });
    serde_json::from_slice(&bytes).expect("the vector is JSON")
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().expect("a text")
}

fn bytes(value: &Value, key: &str) -> Vec<u8> {
    hex::decode(text(value, key)).expect("hexadecimal")
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().expect("a list")
}

fn batch_to_json(batch: &Batch) -> Value {
    let view = batch.data().view();
    let elements: Vec<i32> = (0..view.len()).map(|position| view.at(position)).collect();
    let dtype = match batch.dtype() {
        DType::I8 => "int8",
        DType::I16 => "int16",
        DType::I32 => "int32",
    };
    json!({ "dtype": dtype, "shape": batch.shape().axes(), "elements": elements })
}

fn batch_from_json(value: &Value, records: usize) -> Batch {
    let integers = |key| list(value, key).iter().map(|x| x.as_i64().expect("an integer"));
    let axes: Vec<usize> = integers("shape").map(|x| usize::try_from(x).expect("a length")).collect();
    let elements: Vec<i32> = integers("elements").map(|x| i32::try_from(x).expect("an int32")).collect();
    let dtype = match text(value, "dtype") {
        "int8" => DType::I8,
        "int16" => DType::I16,
        "int32" => DType::I32,
        other => panic!("no element type {other}"),
    };
    let data = Data::from_elements(dtype, &elements).expect("within the type");
    Batch::new(records, Shape::new(&axes).expect("small"), data).expect("elements fill the batch")
}

fn run(graph: &Arc<Graph>, inputs: &[Batch]) -> (Vec<Batch>, String) {
    let key = CommitmentKey::new(KEY);
    let mut trace = TraceObserver::new(&key);
    let prepared = Reference.prepare(graph.clone()).expect("the reference runs every graph");
    let outputs = prepared.run(inputs, &mut trace).expect("inputs fit");
    (outputs, trace.finish().expect("operations ran").root().to_string())
}

/// Three small graphs for each kind of primitive.
fn make_primitives() -> Value {
    let of_kind = |kind: u64| {
        let graphs = (0..).map(move |seed| (seed, arbitrary::graph_of_kind(kind, seed)));
        graphs.filter(|(_, graph)| graph.to_bytes().len() < 1200).take(3)
    };
    let cases = (0..25).flat_map(of_kind).map(|(seed, graph)| {
        let graph = Arc::new(graph);
        let inputs = arbitrary::inputs(&graph, 2, seed);
        let (outputs, root) = run(&graph, &inputs);
        let last = &graph.operations().last().expect("an operation").primitive;
        let name = format!("{last:?}");
        json!({
            "primitive": name.split([' ', '{']).next(),
            "graph": hex::encode(graph.to_bytes()),
            "records": 2,
            "inputs": inputs.iter().map(batch_to_json).collect::<Vec<_>>(),
            "outputs": outputs.iter().map(batch_to_json).collect::<Vec<_>>(),
            "trace_root": root,
        })
    });
    json!({ "version": 1, "key": hex::encode(KEY), "cases": cases.collect::<Vec<_>>() })
}

#[test]
fn vectors_of_primitives_hold() {
    let vectors = frozen_json("primitives.json", make_primitives);
    assert_eq!(bytes(&vectors, "key"), KEY);
    let cases = list(&vectors, "cases");
    assert_eq!(cases.len(), 75);
    for case in cases {
        let primitive = text(case, "primitive");
        let graph = Graph::from_bytes(&bytes(case, "graph")).expect("a valid graph");
        let last = format!("{:?}", graph.operations().last().expect("an operation").primitive);
        assert!(last.starts_with(primitive));
        let batches = |key| list(case, key).iter().map(|value| batch_from_json(value, 2)).collect::<Vec<_>>();
        let (outputs, root) = run(&Arc::new(graph), &batches("inputs"));
        assert_eq!(outputs, batches("outputs"), "{primitive}");
        assert_eq!(root, text(case, "trace_root"), "{primitive}");
    }
}

/// A model of one input and one output, admitted, with parameters.
fn make_model() -> Model {
    let small = |graph: &Graph| graph.parameters().len() > 3 && graph.to_bytes().len() < 4000;
    let graph = (0..)
        .map(arbitrary::graph)
        .find(|graph| small(graph) && graph.outputs().len() == 1 && crate::range::analyse(graph).is_ok());
    let graph = graph.expect("one of many");
    let output_type = graph.value_type(graph.outputs()[0]).clone();
    let input = |(index, value_type): (usize, &crate::integer::ValueType)| InputCard {
        name: format!("input {index}"),
        value_type: value_type.clone(),
        columns: Vec::new(),
        offsets: vec![-0.5],
        scales: vec![0.1],
    };
    let output = OutputCard {
        name: "output".into(),
        value_type: output_type,
        scales: vec![1.0 / 3.0],
        labels: Vec::new(),
        decision: Decision::Largest,
    };
    let card = ModelCard {
        version: 1,
        name: "vector".into(),
        release: "1.0.0".into(),
        summary: "A frozen model without meaning".into(),
        inputs: graph.inputs().iter().enumerate().map(input).collect(),
        outputs: vec![output],
        accuracy: None,
    };
    Model::new(card, graph, &mut ChaCha20Rng::from_seed([1; 32])).expect("admitted")
}

#[test]
fn vectors_of_models_hold() {
    let bytes = frozen("model.sgm", || make_model().to_bytes());
    let model = Model::from_bytes(&bytes).expect("the frozen model is valid");
    let vectors = frozen_json("model.json", || {
        let public = model.public();
        json!({
            "commitment": model.commitment().to_string(),
            "architecture": public.architecture.digest().to_string(),
            "parameter_root": public.parameter_root.to_string(),
            "public": hex::encode(canonical::encode(&public)),
            "opening_of_parameter_1": hex::encode(canonical::encode(&model.open_parameter(1).expect("exists"))),
        })
    });
    let public = model.public();
    assert_eq!(model.commitment().to_string(), text(&vectors, "commitment"));
    assert_eq!(public.architecture.digest().to_string(), text(&vectors, "architecture"));
    assert_eq!(public.parameter_root.to_string(), text(&vectors, "parameter_root"));
    let read = |key| hex::decode(text(&vectors, key)).expect("hexadecimal");
    assert_eq!(canonical::decode(&read("public"), 1 << 20), Ok(public.clone()));
    let opening = canonical::decode(&read("opening_of_parameter_1"), 1 << 20).expect("an opening");
    assert!(public.verify_parameter(&opening));
}

/// Graphs and models that must be refused, each with its code.
fn make_wrong() -> Value {
    let graph = (0..).map(arbitrary::graph).find(|graph| graph.to_bytes().len() < 200).expect("a small one");
    let valid = graph.to_bytes();
    let model = make_model().to_bytes();
    let stored = |architecture: &Architecture| {
        let mut e = minicbor::Encoder::new(Vec::new());
        e.array(2)
            .and_then(|e| e.encode(architecture))
            .and_then(|e| e.encode(graph.parameters()))
            .expect("a Vec");
        e.into_writer()
    };
    let changed = |change: &dyn Fn(&mut Architecture)| {
        let mut architecture = graph.architecture();
        change(&mut architecture);
        stored(&architecture)
    };
    let op = |primitive: Primitive, operand: u32| Operation {
        name: "wrong".into(),
        primitive,
        operands: vec![ValueId(operand)],
        output: graph.inputs()[0].clone(),
    };
    let mut longer_length = valid.clone();
    longer_length.splice(0..1, [0x98, 0x02]);
    let graphs = [
        ("nothing", Vec::new(), "E-IMP-50"),
        ("its last byte is missing", valid[..valid.len() - 1].to_vec(), "E-IMP-50"),
        ("a byte follows", [valid.as_slice(), &[0]].concat(), "E-IMP-50"),
        ("the outer array's length takes two bytes where one is enough", longer_length, "E-IMP-50"),
        (
            "2^62 operations are claimed",
            vec![0x82, 0x85, 1, 0x80, 0x80, 0x9b, 0x40, 0, 0, 0, 0, 0, 0, 0],
            "E-IMP-50",
        ),
        ("other semantics", changed(&|architecture| architecture.version = 2), "E-IMP-52"),
        ("no outputs", changed(&|architecture| architecture.outputs.clear()), "E-RES-31"),
        ("an output that does not exist", changed(&|a| a.outputs[0] = ValueId(1 << 20)), "E-IMP-51"),
        (
            "an operation that reads its own result",
            changed(&|a| {
                let own = u32::try_from(a.inputs.len() + a.operations.len()).expect("few");
                a.operations.push(op(Primitive::Reshape, own));
            }),
            "E-IMP-51",
        ),
        (
            "a type that the operation does not yield",
            changed(&|a| a.operations.push(op(Primitive::Reciprocal { bits: 31 }, 0))),
            "E-IMP-51",
        ),
    ];
    let mut other_magic = model.clone();
    other_magic[3] = b'2';
    let models = [
        ("another magic", other_magic, "E-IMP-53"),
        ("its last byte is missing", model[..model.len() - 1].to_vec(), "E-IMP-53"),
        ("a byte follows", [model.as_slice(), &[0]].concat(), "E-IMP-53"),
    ];
    let case = |kind: &str, (what, bytes, code): (&str, Vec<u8>, &str)| json!({ "kind": kind, "what": what, "bytes": hex::encode(bytes), "code": code });
    let graphs = graphs.into_iter().map(|wrong| case("graph", wrong));
    let models = models.into_iter().map(|wrong| case("model", wrong));
    json!({ "version": 1, "cases": graphs.chain(models).collect::<Vec<_>>() })
}

#[test]
fn vectors_of_wrong_graphs_and_models_are_refused() {
    let vectors = frozen_json("wrong.json", make_wrong);
    assert_eq!(list(&vectors, "cases").len(), 13);
    for case in list(&vectors, "cases") {
        let bytes = bytes(case, "bytes");
        let code = match text(case, "kind") {
            "graph" => Graph::from_bytes(&bytes).expect_err(text(case, "what")).code(),
            "model" => Model::from_bytes(&bytes).expect_err(text(case, "what")).code(),
            other => panic!("no kind {other}"),
        };
        assert_eq!(code, text(case, "code"), "{}", text(case, "what"));
    }
}
