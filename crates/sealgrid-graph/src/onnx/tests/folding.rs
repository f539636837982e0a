//! What import simplifies: constants into weights, written-out functions into one.

use prost::Message;

use super::build::{integers, model, node, value, weights};
use crate::float::{Function, Primitive, Tensor, run};
use crate::onnx::schema::{AttributeProto, ModelProto, data_type};
use crate::onnx::{Imported, import};

fn attribute(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i, ..AttributeProto::default() }
}

fn imported(model: &ModelProto) -> Imported {
    import(&model.encode_to_vec()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn only_function(model: &ModelProto) -> Function {
    let imported = imported(model);
    match imported.graph.operations() {
        [operation] => match operation.primitive {
            Primitive::Unary(function) => function,
            ref other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// `erf(x / sqrt(2)) + 1` as `gate`.
fn gate() -> Vec<crate::onnx::schema::NodeProto> {
    vec![node("Div", &["x", "root"], "d"), node("Erf", &["d"], "e"), node("Add", &["e", "one"], "gate")]
}

fn constants() -> Vec<crate::onnx::schema::TensorProto> {
    let one = |name: &str, value: f32| weights(name, &[], vec![value]);
    vec![one("root", std::f32::consts::SQRT_2), one("one", 1.0), one("half", 0.5)]
}

#[test]
fn gelu_written_out_is_recognised_in_each_order_of_its_factors() {
    let orders = [
        vec![node("Mul", &["x", "gate"], "p"), node("Mul", &["p", "half"], "y")],
        vec![node("Mul", &["x", "half"], "h"), node("Mul", &["h", "gate"], "y")],
        vec![node("Mul", &["gate", "half"], "h"), node("Mul", &["h", "x"], "y")],
    ];
    for order in orders {
        let nodes = [gate(), order].concat();
        assert_eq!(only_function(&model(nodes, constants())), Function::Gelu);
    }
}

#[test]
fn what_is_only_like_gelu_is_not_taken_for_it() {
    let mut constants = constants();
    constants[0].float_data[0] = 1.5;
    let nodes = [gate(), vec![node("Mul", &["x", "gate"], "p"), node("Mul", &["p", "half"], "y")]].concat();
    let imported = imported(&model(nodes, constants));
    let gelu = |primitive: &Primitive| matches!(primitive, Primitive::Unary(Function::Gelu));
    assert!(!imported.graph.operations().iter().any(|operation| gelu(&operation.primitive)));
}

#[test]
fn a_batch_normalisation_behind_a_convolution_vanishes_into_its_weights() {
    let nodes = vec![
        node("Conv", &["x", "w", "b"], "c"),
        node("BatchNormalization", &["c", "scale", "shift", "mean", "variance"], "y"),
    ];
    let constants = vec![
        weights("w", &[2, 1, 1, 1], vec![3.0, -1.0]),
        weights("b", &[2], vec![0.5, 0.0]),
        weights("scale", &[2], vec![2.0, 1.0]),
        weights("shift", &[2], vec![0.0, 10.0]),
        weights("mean", &[2], vec![1.0, 0.0]),
        weights("variance", &[2], vec![4.0, 1.0]),
    ];
    let mut model = model(nodes, constants);
    let input = value("x", data_type::FLOAT, &[None, Some(1), Some(1), Some(1)]);
    model.graph.as_mut().expect("a graph").input = vec![input];
    let imported = imported(&model);
    assert_eq!(imported.graph.operations().len(), 1);
    let x = Tensor::new(imported.graph.inputs()[0].clone(), vec![2.0]).expect("fits");
    let y = run(&imported.graph, &[x]).expect("runs");
    // (3·2 + 0.5 − 1) · 2/√4 and (−2 − 0) · 1/√1 + 10, but for epsilon = 1e-5.
    assert!((y[0].elements()[0] - 5.5).abs() < 1e-4 && (y[0].elements()[1] - 8.0).abs() < 1e-4, "{y:?}");
}

#[test]
fn a_value_with_two_readers_keeps_its_own_meaning() {
    let nodes = vec![
        node("MatMul", &["x", "w"], "h"),
        node("Add", &["h", "b"], "shifted"),
        node("Mul", &["h", "shifted"], "y"),
    ];
    let constants = vec![weights("w", &[3, 1], vec![1.0; 3]), weights("b", &[1], vec![10.0])];
    let imported = imported(&model(nodes, constants));
    let x = Tensor::new(imported.graph.inputs()[0].clone(), vec![1.0, 2.0, 3.0]).expect("fits");
    assert_eq!(run(&imported.graph, &[x]).expect("runs")[0].elements(), [6.0 * 16.0]);
}

#[test]
fn shape_arithmetic_leaves_nothing_behind() {
    let nodes = vec![
        node("Shape", &["x"], "shape"),
        node("Gather", &["shape", "first"], "batch"),
        node("Concat", &["batch", "rest"], "wanted"),
        node("Reshape", &["x", "wanted"], "y"),
    ];
    let mut concat = nodes;
    concat[2].attribute.push(attribute("axis", 0));
    let constants = vec![integers("first", vec![0]), integers("rest", vec![3, -1])];
    let imported = imported(&model(concat, constants));
    assert_eq!(imported.graph.operations().len(), 1);
    assert_eq!(imported.graph.operations()[0].output.axes(), [1, 3, 1]);
}

/// The element of `[10, 11, 12]` at the position `dividend mod divisor`.
fn taken_at(dividend: i64, divisor: i64, fmod: bool) -> f32 {
    let mut remainder = node("Mod", &["dividend", "divisor"], "at");
    remainder.attribute.push(attribute("fmod", fmod.into()));
    let mut gather = node("Gather", &["x", "at"], "y");
    gather.attribute.push(attribute("axis", 1));
    let constants = vec![integers("dividend", vec![dividend]), integers("divisor", vec![divisor])];
    let imported = imported(&model(vec![remainder, gather], constants));
    assert_eq!(imported.graph.operations().len(), 1);
    let x = Tensor::new(imported.graph.inputs()[0].clone(), vec![10.0, 11.0, 12.0]).expect("fits");
    run(&imported.graph, &[x]).expect("runs")[0].elements()[0]
}

#[test]
fn remainders_of_known_integers_are_exact_and_have_the_sign_that_is_asked_for() {
    assert_eq!((taken_at(7, 3, false), taken_at(7, 3, true)), (11.0, 11.0));
    // 1 with the divisor's sign, -1 (the last) with the dividend's.
    assert_eq!((taken_at(-3, 2, false), taken_at(-3, 2, true)), (11.0, 12.0));
    assert_eq!((taken_at(3, -2, false), taken_at(3, -2, true)), (12.0, 11.0));
    // Beyond what a float holds, and the one quotient that overflows.
    assert_eq!(taken_at(i64::MAX, 3, false), 11.0);
    assert_eq!(taken_at(i64::MIN, -1, false), 10.0);
}
