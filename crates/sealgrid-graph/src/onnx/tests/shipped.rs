//! The models of models/: what they become, operation by operation.

use crate::float::{Graph, Primitive};
use crate::onnx::{Imported, import};

fn shipped(name: &str) -> Imported {
    let path = format!("{}/../../models/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).expect("a shipped model");
    import(&bytes).unwrap_or_else(|problems| panic!("{name}: {problems}"))
}

fn primitives(graph: &Graph) -> Vec<&'static str> {
    let name = |primitive: &Primitive| match primitive {
        Primitive::Linear { .. } => "linear",
        Primitive::Convolution { .. } => "convolution",
        Primitive::Affine { .. } => "affine",
        Primitive::Unary(_) => "unary",
        Primitive::Softmax { .. } => "softmax",
        Primitive::PoolMaximum { .. } => "pool",
        Primitive::ArgMaximum { .. } => "argmax",
        Primitive::Reshape => "reshape",
        Primitive::TreeEnsemble { .. } => "trees",
        _ => "other",
    };
    graph.operations().iter().map(|operation| name(&operation.primitive)).collect()
}

#[test]
fn a_scaler_becomes_one_leading_affine_step() {
    let mlp = shipped("breast-cancer-mlp");
    assert_eq!(primitives(&mlp.graph), ["affine", "linear", "unary", "linear"]);
    let logistic = shipped("breast-cancer-logreg");
    assert_eq!(primitives(&logistic.graph)[..2], ["affine", "linear"]);
}

#[test]
fn a_boosted_model_becomes_trees_and_a_sigmoid() {
    let trees = shipped("breast-cancer-gbt");
    assert_eq!(primitives(&trees.graph), ["trees", "unary", "argmax", "reshape"]);
    assert_eq!(trees.labels.as_deref(), Some(&["0".to_owned(), "1".to_owned()][..]));
}

#[test]
fn convolutional_networks_become_what_they_were_trained_as() {
    let lenet = shipped("lenet5");
    let expected = [
        "affine",
        "convolution",
        "unary",
        "pool",
        "convolution",
        "unary",
        "pool",
        "reshape",
        "linear",
        "unary",
        "linear",
        "unary",
        "linear",
    ];
    assert_eq!(primitives(&lenet.graph), expected);
    assert_eq!(lenet.graph.inputs()[0].axes(), [1, 1, 28, 28]);
    shipped("digits-cnn");
    shipped("digits-mlp");
}
