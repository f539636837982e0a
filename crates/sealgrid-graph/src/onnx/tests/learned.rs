//! Operators of `ai.onnx.ml` that exports seldom or never use.

use prost::Message;

use super::build::{model, node};
use crate::float::{Tensor, run};
use crate::onnx::schema::{AttributeProto, ModelProto, NodeProto, OperatorSetIdProto};
use crate::onnx::{Imported, Kind, import};

fn learned(op_type: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    let mut node = node(op_type, &["x"], "y");
    node.domain = "ai.onnx.ml".to_owned();
    node.attribute = attributes;
    node
}

fn numbers(name: &str, floats: &[f32]) -> AttributeProto {
    AttributeProto { name: name.to_owned(), floats: floats.to_vec(), ..Default::default() }
}

fn integers(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.to_owned(), ints: ints.to_vec(), ..Default::default() }
}

fn texts(name: &str, strings: &[&str]) -> AttributeProto {
    let strings = strings.iter().map(|text| text.as_bytes().to_vec()).collect();
    AttributeProto { name: name.to_owned(), strings, ..Default::default() }
}

fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto { name: name.to_owned(), s: s.as_bytes().to_vec(), ..Default::default() }
}

fn with_ml(nodes: Vec<NodeProto>) -> ModelProto {
    let mut model = model(nodes, vec![]);
    model.opset_import.push(OperatorSetIdProto { domain: "ai.onnx.ml".to_owned(), version: 3 });
    model
}

fn imported(nodes: Vec<NodeProto>) -> Imported {
    import(&with_ml(nodes).encode_to_vec()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn outputs(imported: &Imported, x: [f32; 3]) -> Vec<f32> {
    let x = Tensor::new(imported.graph.inputs()[0].clone(), x.to_vec()).expect("fits");
    run(&imported.graph, &[x]).expect("runs").remove(0).into_elements()
}

/// Two trees: one decision on `x[1]` with leaves 2 and 6, and a leaf of 10 alone.
fn trees(mode: &str, more: Vec<AttributeProto>) -> NodeProto {
    let mut attributes = vec![
        integers("nodes_treeids", &[0, 0, 0, 1]),
        integers("nodes_nodeids", &[0, 1, 2, 0]),
        integers("nodes_featureids", &[1, 0, 0, 0]),
        numbers("nodes_values", &[0.5, 0.0, 0.0, 0.0]),
        texts("nodes_modes", &[mode, "LEAF", "LEAF", "LEAF"]),
        integers("nodes_truenodeids", &[1, 0, 0, 0]),
        integers("nodes_falsenodeids", &[2, 0, 0, 0]),
        integers("target_treeids", &[0, 0, 1]),
        integers("target_nodeids", &[1, 2, 0]),
        integers("target_ids", &[0, 0, 0]),
        numbers("target_weights", &[2.0, 6.0, 10.0]),
    ];
    attributes.extend(more);
    learned("TreeEnsembleRegressor", attributes)
}

#[test]
fn every_comparison_of_a_tree_means_what_it_says() {
    let modes = [
        ("BRANCH_LEQ", (|x| x <= 0.5) as fn(f32) -> bool),
        ("BRANCH_LT", |x| x < 0.5),
        ("BRANCH_GT", |x| x > 0.5),
        ("BRANCH_GTE", |x| x >= 0.5),
    ];
    for (mode, holds) in modes {
        let model = imported(vec![trees(mode, vec![])]);
        for x in [0.5, 0.5f32.next_down(), 0.5f32.next_up(), -7.0, 7.0] {
            let expected = if holds(x) { 12.0 } else { 16.0 };
            assert_eq!(outputs(&model, [0.0, x, 0.0]), [expected], "{mode} at {x}");
        }
    }
    let problems = import(&with_ml(vec![trees("BRANCH_EQ", vec![])]).encode_to_vec()).expect_err("refused");
    assert_eq!(problems.problems[0].kind, Kind::Unsupported);
}

#[test]
fn an_average_of_trees_divides_by_their_number_and_then_adds_the_base() {
    let average = vec![text("aggregate_function", "AVERAGE"), numbers("base_values", &[100.0])];
    let model = imported(vec![trees("BRANCH_LEQ", average)]);
    assert_eq!(outputs(&model, [0.0, 0.0, 0.0]), [106.0]);
}

#[test]
fn trees_in_a_circle_are_refused() {
    let mut circle = trees("BRANCH_LEQ", vec![]);
    circle.attribute[5].ints[0] = 0;
    let problems = import(&with_ml(vec![circle]).encode_to_vec()).expect_err("a circle");
    assert_eq!(problems.problems[0].kind, Kind::Structure);
    assert_eq!(problems.problems[0].what, "a tree node has two parents, or lies in a circle");
}

#[test]
fn one_row_of_weights_scores_two_classes_and_a_map_gives_way_to_scores() {
    let mut classifier = learned(
        "LinearClassifier",
        vec![
            texts("classlabels_strings", &["no", "yes"]),
            numbers("coefficients", &[1.0, 0.0, 0.0]),
            numbers("intercepts", &[0.25]),
            text("post_transform", "LOGISTIC"),
        ],
    );
    classifier.output = vec!["label".to_owned(), "scores".to_owned()];
    let mut map = learned("ZipMap", vec![texts("classlabels_strings", &["no", "yes"])]);
    map.input = vec!["scores".to_owned()];
    let model = imported(vec![classifier, map]);
    assert_eq!(model.labels, Some(vec!["no".to_owned(), "yes".to_owned()]));
    let yes = 1.0 / (1.0 + (-1.25f32).exp());
    let scores = outputs(&model, [1.0, 9.0, 9.0]);
    assert!((scores[0] - (1.0 - yes)).abs() < 1e-6 && (scores[1] - yes).abs() < 1e-6, "{scores:?}");
}

#[test]
fn a_record_of_zeros_stays_zeros_when_it_is_normalised() {
    for norm in ["MAX", "L1", "L2"] {
        let model = imported(vec![learned("Normalizer", vec![text("norm", norm)])]);
        assert_eq!(outputs(&model, [0.0; 3]), [0.0; 3]);
    }
    let model = imported(vec![learned("Normalizer", vec![text("norm", "L1")])]);
    assert_eq!(outputs(&model, [1.0, -1.0, 2.0]), [0.25, -0.25, 0.5]);
}

#[test]
fn computing_with_labels_is_refused() {
    let mut classifier = learned(
        "LinearClassifier",
        vec![integers("classlabels_ints", &[3, 4]), numbers("coefficients", &[1.0; 6])],
    );
    classifier.output = vec!["label".to_owned()];
    let problems = import(&with_ml(vec![classifier, node("Relu", &["label"], "y")]).encode_to_vec());
    let problem = &problems.expect_err("refused").problems[0];
    assert_eq!((problem.kind, problem.what.as_str()), (Kind::Unsupported, "computes with class labels"));
}
