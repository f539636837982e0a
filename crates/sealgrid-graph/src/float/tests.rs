//! The walk, the observer, and what a graph refuses. What each operation computes is tested against ONNX's own tests
//! (`crate::onnx`).

use super::{
    Branch, Builder, Child, Fault, Function, GraphError, Primitive, RunError, Tensor, Trees, ValueId, run,
    run_observed,
};
use crate::tensor::Shape;

fn shape(axes: &[usize]) -> Shape {
    Shape::new(axes).expect("a small shape")
}

fn tensor(axes: &[usize], elements: &[f32]) -> Tensor {
    Tensor::new(shape(axes), elements.to_vec()).expect("elements of the shape")
}

#[test]
fn the_observer_sees_every_value_once_and_in_order() {
    let mut builder = Builder::new(vec![shape(&[1, 2])]);
    let x = builder.input(0);
    let relu = builder.push("relu", Primitive::Unary(Function::Relu), &[x]).expect("fits");
    let sum = builder.push("sum", Primitive::Add, &[x, relu]).expect("fits");
    let graph = builder.finish(vec![sum, x]).expect("valid");
    let mut seen = Vec::new();
    let outputs = run_observed(&graph, &[tensor(&[1, 2], &[-1.0, 2.0])], |id, value| {
        seen.push((id, value.elements().to_vec()));
    });
    let expected =
        [(ValueId(0), vec![-1.0, 2.0]), (ValueId(1), vec![0.0, 2.0]), (ValueId(2), vec![-1.0, 4.0])];
    assert_eq!(seen, expected);
    let outputs = outputs.expect("runs");
    assert_eq!((outputs[0].elements(), outputs[1].elements()), (&[-1.0, 4.0][..], &[-1.0, 2.0][..]));
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let mut builder = Builder::new(vec![shape(&[2])]);
    let x = builder.input(0);
    let y = builder.push("y", Primitive::Unary(Function::Tanh), &[x]).expect("fits");
    let graph = builder.finish(vec![y]).expect("valid");
    assert_eq!(run(&graph, &[]), Err(RunError::Inputs { expected: 1, found: 0 }));
    assert_eq!(run(&graph, &[tensor(&[3], &[0.0; 3])]), Err(RunError::InputShape(0)));
}

#[test]
fn what_no_output_needs_is_pruned_with_its_parameters() {
    let mut builder = Builder::new(vec![shape(&[2])]);
    let x = builder.input(0);
    let unused = builder.parameter(tensor(&[2], &[1.0, 1.0]));
    let used = builder.parameter(tensor(&[2], &[5.0, 6.0]));
    builder.push("unused", Primitive::Constant { tensor: unused }, &[]).expect("fits");
    let constant = builder.push("used", Primitive::Constant { tensor: used }, &[]).expect("fits");
    let y = builder.push("y", Primitive::Multiply, &[x, constant]).expect("fits");
    let graph = builder.pruned(&[y]).expect("valid");
    assert_eq!((graph.operations().len(), graph.parameters().len()), (2, 1));
    let y = run(&graph, &[tensor(&[2], &[2.0, 3.0])]).expect("runs");
    assert_eq!(y[0].elements(), [10.0, 18.0]);
}

#[test]
fn operations_that_do_not_fit_are_refused() {
    let builder = Builder::new(vec![shape(&[1, 2, 3]), shape(&[4])]);
    let (x, y) = (builder.input(0), builder.input(1));
    let refused = |primitive: Primitive, operands: &[ValueId], stated: &[usize]| {
        let stated = shape(stated);
        builder.clone().push_shaped("it", primitive, operands, &stated).expect_err("must be refused")
    };
    assert_eq!(refused(Primitive::Add, &[x, y], &[]), Fault::Broadcast);
    assert_eq!(refused(Primitive::Add, &[x], &[]), Fault::Operands { expected: 2, found: 1 });
    assert_eq!(refused(Primitive::Add, &[x, ValueId(9)], &[]), Fault::UnknownOperand(9));
    let reshape = Fault::Attribute("a reshape keeps the number of elements");
    assert_eq!(refused(Primitive::Reshape, &[x], &[5]), reshape);
    let axis = Fault::Attribute("the axis exists");
    assert_eq!(refused(Primitive::Softmax { axis: 3 }, &[x], &[]), axis);
    let slice = Primitive::Slice { starts: vec![3], steps: vec![-1] };
    let outside = Fault::Attribute("a slice lies within its operand");
    assert_eq!(refused(slice, &[y], &[5]), outside);
    let transpose = Primitive::Transpose { permutation: vec![0, 0, 1] };
    assert_eq!(refused(transpose, &[x], &[]), Fault::Attribute("a transpose names each axis once"));
}

#[test]
fn trees_that_could_walk_in_circles_are_refused() {
    let mut builder = Builder::new(vec![shape(&[1, 1])]);
    let leaves = builder.parameter(tensor(&[2, 1], &[1.0, 2.0]));
    let base = builder.parameter(tensor(&[1], &[0.5]));
    let ensemble = |left, right| {
        let nodes = vec![Branch { feature: 0, threshold: 0.0, left, right }];
        Primitive::TreeEnsemble { trees: Trees { roots: vec![0, 1], nodes }, leaves, base }
    };
    let x = builder.input(0);
    let why = Fault::Attribute("a child is a leaf or lies behind its parent in the same tree");
    for left in [Child::Node(0), Child::Node(1), Child::Leaf(2)] {
        assert_eq!(builder.push("trees", ensemble(left, Child::Leaf(1)), &[x]), Err(why.clone()));
    }
    let y = builder.push("trees", ensemble(Child::Leaf(0), Child::Leaf(1)), &[x]).expect("fits");
    let graph = builder.finish(vec![y]).expect("valid");
    for (input, expected) in [(0.0, 1.5), (0.1, 2.5), (f32::NAN, 2.5)] {
        assert_eq!(run(&graph, &[tensor(&[1, 1], &[input])]).expect("runs")[0].elements(), [expected]);
    }
}

#[test]
fn a_graph_names_its_faulty_operation() {
    let mut builder = Builder::new(vec![shape(&[2])]);
    let x = builder.input(0);
    builder.push("y", Primitive::Unary(Function::Tanh), &[x]).expect("fits");
    let mut operations = builder.operations().to_vec();
    operations[0].output = shape(&[3]);
    let error = super::Graph::new(vec![shape(&[2])], operations, vec![ValueId(1)], Vec::new());
    assert_eq!(error, Err(GraphError::Operation { index: 0, name: "y".to_owned(), fault: Fault::Output }));
    let missing = builder.finish(vec![ValueId(7)]);
    assert_eq!(missing, Err(GraphError::UnknownOutput { index: 0, value: 7 }));
}

#[test]
fn functions_meet_their_definitions_at_known_points() {
    let check = |function: Function, x: f32, expected: f32| {
        assert!((function.apply(x) - expected).abs() < 1e-6, "{function:?}({x})");
    };
    check(Function::Gelu, 1.0, 0.841_344_8);
    check(Function::GeluTanh, 1.0, 0.841_192);
    check(Function::Erf, 0.5, 0.520_499_9);
    check(Function::Softplus, 100.0, 100.0);
    check(Function::HardSwish, -3.0, 0.0);
    check(Function::Clip { low: 2.0, high: 1.0 }, 5.0, 1.0);
    check(Function::Elu { scale: 2.0 }, -1.0, 2.0 * ((-1.0f32).exp() - 1.0));
}
