//! Each float operation, quantised from random calibration records, comes close to itself on records that calibration
//! has not seen.

use super::*;
use crate::arbitrary::Random;
use crate::float::{Branch, Child, Function, ParameterId, Reduction, Trees, ValueId};
use crate::integer::Window;
use crate::reference::Reference;
use crate::tensor::Shape;

fn shape(axes: &[usize]) -> Shape {
    Shape::new(axes).expect("small")
}

/// Between −1 and 1, much like a normal distribution.
fn noise(random: &mut Random) -> f32 {
    let sum: i64 = (0..4).map(|_| i64::try_from(random.below(2001)).expect("small") - 1000).sum();
    sum as f32 / 4000.0
}

fn tensor(random: &mut Random, axes: &[usize], scale: f32) -> Tensor {
    let shape = shape(axes);
    let elements = (0..shape.count()).map(|_| noise(random) * scale).collect();
    Tensor::new(shape, elements).expect("elements fill the shape")
}

/// Builds a graph over one input, quantises it on 64 records and returns the relative error on 64 others.
struct Trial {
    random: Random,
    builder: float::Builder,
    axes: Vec<usize>,
    shift: f32,
}

impl Trial {
    fn new(axes: &[usize]) -> Self {
        Self {
            random: Random::new(9),
            builder: float::Builder::new(vec![shape(axes)]),
            axes: axes.to_vec(),
            shift: 0.0,
        }
    }

    fn parameter(&mut self, axes: &[usize], scale: f32) -> ParameterId {
        let tensor = tensor(&mut self.random, axes, scale);
        self.builder.parameter(tensor)
    }

    fn constant(&mut self, axes: &[usize], scale: f32) -> ValueId {
        let tensor = self.parameter(axes, scale);
        self.push(Primitive::Constant { tensor }, &[])
    }

    fn positive(&mut self, axes: &[usize], offset: f32) -> ValueId {
        let made = tensor(&mut self.random, axes, 0.5);
        let elements = made.elements().iter().map(|x| x + offset).collect();
        let tensor = self.builder.parameter(Tensor::new(shape(axes), elements).expect("fits"));
        self.push(Primitive::Constant { tensor }, &[])
    }

    fn push(&mut self, primitive: Primitive, operands: &[ValueId]) -> ValueId {
        self.builder.push("op", primitive, operands).expect("a valid operation")
    }

    fn x(&self) -> ValueId {
        self.builder.input(0)
    }

    fn records(&mut self, count: usize) -> Vec<Vec<Tensor>> {
        let mut record = || {
            let made = tensor(&mut self.random, &self.axes, 2.0);
            let elements = made.elements().iter().map(|x| x + self.shift).collect();
            vec![Tensor::new(shape(&self.axes), elements).expect("fits")]
        };
        (0..count).map(|_| record()).collect()
    }

    fn quantise(mut self, output: ValueId) -> (Quantised, float::Graph, Vec<Vec<Tensor>>) {
        let (calibration, fresh) = (self.records(64), self.records(64));
        let graph = self.builder.finish(vec![output]).expect("a valid graph");
        let quantised = quantise(&graph, &calibration, &Reference).expect("has an integer meaning");
        (quantised, graph, fresh)
    }

    fn error(self, output: ValueId) -> f64 {
        let (quantised, graph, fresh) = self.quantise(output);
        let expected: Vec<_> = fresh.iter().map(|record| float::run(&graph, record).expect("fits")).collect();
        quantised.compare(&Reference, &fresh, &expected).expect("runs").error
    }

    /// One operation on the input.
    fn check(mut self, primitive: Primitive, limit: f64) {
        let text = format!("{primitive:?}");
        let x = self.x();
        let output = self.push(primitive, &[x]);
        let error = self.error(output);
        assert!(error < limit, "{text}: {error}");
    }
}

fn window(kernel: usize, stride: usize, pad: usize) -> Window {
    Window {
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![1; 2],
        pads_before: vec![pad; 2],
        pads_after: vec![pad; 2],
    }
}

#[test]
fn linear_layers() {
    let mut trial = Trial::new(&[1, 24]);
    let (weight, bias) = (trial.parameter(&[5, 24], 0.3), trial.parameter(&[5], 1.0));
    trial.check(Primitive::Linear { weight, bias }, 0.01);
}

#[test]
fn a_perceptron_with_activations_inside() {
    for function in [Function::Relu, Function::Gelu, Function::Tanh, Function::Sigmoid, Function::HardSwish] {
        let mut trial = Trial::new(&[1, 24]);
        let mut x = trial.x();
        for (inputs, outputs) in [(24, 32), (32, 16)] {
            let (weight, bias) = (trial.parameter(&[outputs, inputs], 0.5), trial.parameter(&[outputs], 0.5));
            x = trial.push(Primitive::Linear { weight, bias }, &[x]);
            x = trial.push(Primitive::Unary(function), &[x]);
        }
        let (weight, bias) = (trial.parameter(&[3, 16], 0.5), trial.parameter(&[3], 0.5));
        let output = trial.push(Primitive::Linear { weight, bias }, &[x]);
        let error = trial.error(output);
        assert!(error < 0.02, "{function:?}: {error}");
    }
}

#[test]
fn convolutions_pools_and_a_dense_layer() {
    let mut trial = Trial::new(&[1, 2, 8, 8]);
    let x = trial.x();
    let (weight, bias) = (trial.parameter(&[8, 2, 3, 3], 0.5), trial.parameter(&[8], 0.5));
    let x = trial.push(Primitive::Convolution { weight, bias, window: window(3, 1, 1), groups: 1 }, &[x]);
    let x = trial.push(Primitive::Unary(Function::Relu), &[x]);
    let (weight, bias) = (trial.parameter(&[8, 1, 3, 3], 0.5), trial.parameter(&[8], 0.5));
    let x = trial.push(Primitive::Convolution { weight, bias, window: window(3, 2, 1), groups: 8 }, &[x]);
    let x = trial.push(Primitive::Unary(Function::Clip { low: 0.0, high: 6.0 }), &[x]);
    let maximum = trial.push(Primitive::PoolMaximum { window: window(2, 2, 0) }, &[x]);
    let average = trial.push(Primitive::PoolAverage { window: window(2, 2, 0) }, &[x]);
    let x = trial.push(Primitive::Concatenate { axis: 1 }, &[maximum, average]);
    let x = trial.builder.push_shaped("flat", Primitive::Reshape, &[x], &shape(&[1, 64])).expect("valid");
    let (weight, bias) = (trial.parameter(&[4, 64], 0.3), trial.parameter(&[4], 0.5));
    let output = trial.push(Primitive::Linear { weight, bias }, &[x]);
    let error = trial.error(output);
    assert!(error < 0.02, "{error}");
}

#[test]
fn leading_affine_steps_move_into_the_encoding() {
    let mut trial = Trial::new(&[1, 6]);
    let (mean, deviation) = (trial.constant(&[6], 300.0), trial.positive(&[1, 6], 2.0));
    let x = trial.x();
    let x = trial.push(Primitive::Subtract, &[x, mean]);
    let x = trial.push(Primitive::Divide, &[x, deviation]);
    let (weight, bias) = (trial.parameter(&[3, 6], 0.5), trial.parameter(&[3], 0.5));
    let output = trial.push(Primitive::Linear { weight, bias }, &[x]);
    let (quantised, ..) = trial.quantise(output);
    assert_eq!(quantised.graph.operations().len(), 1, "only the linear layer is left");
    assert_eq!(quantised.graph.inputs()[0].dtype, crate::tensor::DType::I16);
}

#[test]
fn functions_of_one_number() {
    use Function::{
        Absolute, Ceil, Clip, Elu, Erf, Exp, Floor, Gelu, GeluTanh, HardSigmoid, HardSwish, LeakyRelu, Log,
        Negate, Reciprocal, Relu, Sigmoid, Softplus, Sqrt, Tanh,
    };
    let of_any_sign = [
        Relu,
        LeakyRelu { slope: 0.1 },
        Clip { low: -0.5, high: 0.25 },
        Sigmoid,
        Tanh,
        Gelu,
        GeluTanh,
        Erf,
        HardSigmoid { slope: 0.2, offset: 0.5 },
        HardSwish,
        Elu { scale: 1.0 },
        Softplus,
        Exp,
        Negate,
        Absolute,
        Floor,
        Ceil,
    ];
    for function in of_any_sign {
        Trial::new(&[1, 40]).check(Primitive::Unary(function), 0.005);
    }
    for function in [Log, Sqrt, Reciprocal] {
        let trial = Trial { shift: 3.0, ..Trial::new(&[1, 40]) };
        trial.check(Primitive::Unary(function), 0.005);
    }
}

#[test]
fn sums_products_and_extrema_with_constants_and_with_values() {
    for primitive in [
        Primitive::Add,
        Primitive::Subtract,
        Primitive::Multiply,
        Primitive::Divide,
        Primitive::Maximum,
        Primitive::Minimum,
    ] {
        let mut trial = Trial { shift: 3.0, ..Trial::new(&[1, 4, 5]) };
        let (x, c) = (trial.x(), trial.positive(&[4, 1], 1.0));
        // Through a table first, so that nothing is folded into the encoding.
        let x = trial.push(Primitive::Unary(Function::Sqrt), &[x]);
        let y = trial.push(primitive.clone(), &[x, c]);
        let z = trial.push(Primitive::Unary(Function::Sqrt), &[x]);
        let output = trial.push(primitive.clone(), &[y, z]);
        let error = trial.error(output);
        assert!(error < 0.005, "{primitive:?}: {error}");
    }
}

#[test]
fn per_channel_affine_steps_that_could_not_be_folded() {
    let mut trial = Trial::new(&[1, 3, 4]);
    let x = trial.x();
    let x = trial.push(Primitive::Unary(Function::Tanh), &[x]);
    let (scale, offset) = (trial.parameter(&[3], 2.0), trial.parameter(&[3], 2.0));
    let output = trial.push(Primitive::Affine { axis: 1, scale, offset }, &[x]);
    let error = trial.error(output);
    assert!(error < 0.005, "{error}");
}

#[test]
fn softmaxes() {
    Trial::new(&[1, 10]).check(Primitive::Softmax { axis: 1 }, 0.005);
    Trial::new(&[1, 3, 7]).check(Primitive::Softmax { axis: 1 }, 0.005);
    Trial::new(&[1, 10]).check(Primitive::LogSoftmax { axis: 1 }, 0.005);
}

#[test]
fn layer_normalisation() {
    let mut trial = Trial { shift: 0.5, ..Trial::new(&[1, 5, 48]) };
    let (scale, offset) = (trial.parameter(&[48], 2.0), trial.parameter(&[48], 1.0));
    trial.check(Primitive::LayerNormalization { axis: 2, epsilon: 1e-5, scale, offset }, 0.005);
}

#[test]
fn attention() {
    let mut trial = Trial::new(&[1, 6, 8]);
    let x = trial.x();
    let project = |trial: &mut Trial| {
        let (weight, bias) = (trial.parameter(&[8, 8], 1.0), trial.parameter(&[8], 0.1));
        trial.push(Primitive::Linear { weight, bias }, &[x])
    };
    let (q, k, v) = (project(&mut trial), project(&mut trial), project(&mut trial));
    let k = trial.push(Primitive::Transpose { permutation: vec![0, 2, 1] }, &[k]);
    let scores = trial.push(Primitive::MatrixProduct, &[q, k]);
    let shares = trial.push(Primitive::Softmax { axis: 2 }, &[scores]);
    let output = trial.push(Primitive::MatrixProduct, &[shares, v]);
    let error = trial.error(output);
    assert!(error < 0.02, "{error}");
}

#[test]
fn reductions_and_moves() {
    for reduction in [Reduction::Sum, Reduction::Mean, Reduction::Maximum] {
        Trial::new(&[1, 4, 6]).check(Primitive::Reduce { reduction, axes: vec![1, 2] }, 0.005);
    }
    Trial::new(&[1, 4, 6]).check(Primitive::Transpose { permutation: vec![2, 0, 1] }, 0.001);
    Trial::new(&[1, 4, 6]).check(Primitive::Gather { axis: 2, indices: vec![5, 0, 0] }, 0.001);
    let pad = Primitive::Pad { before: vec![0, 1, 0], after: vec![0, 0, 2], value: 0.5 };
    Trial::new(&[1, 4, 6]).check(pad, 0.001);
    let stated = [
        (Primitive::Slice { starts: vec![0, 3, 1], steps: vec![1, -2, 2] }, vec![1, 2, 3]),
        (Primitive::Broadcast, vec![3, 4, 6]),
        (Primitive::Reshape, vec![1, 24]),
    ];
    for (primitive, axes) in stated {
        let mut trial = Trial::new(&[1, 4, 6]);
        let x = trial.x();
        let output = trial.builder.push_shaped("op", primitive.clone(), &[x], &shape(&axes)).expect("valid");
        let error = trial.error(output);
        assert!(error < 0.001, "{primitive:?}: {error}");
    }
}

#[test]
fn positions_are_exact_and_decide_as_they_are() {
    let mut trial = Trial::new(&[1, 7]);
    let x = trial.x();
    let output = trial.push(Primitive::ArgMaximum { axis: 1 }, &[x]);
    let (quantised, graph, fresh) = trial.quantise(output);
    let labels: Vec<usize> = fresh
        .iter()
        .map(|record| verdict::largest(record[0].elements().iter().map(|&x| f64::from(x))))
        .collect();
    let accuracy = measure(&graph, &quantised, &Reference, (0, "fresh"), &fresh, &labels).expect("fits");
    assert_eq!((accuracy.records, accuracy.clear_correct, accuracy.agreeing), (64, 64, 64));
}

#[test]
fn trees_decide_as_the_float_trees() {
    let mut trial = Trial::new(&[1, 3]);
    let branch = |feature, threshold, left, right| Branch { feature, threshold, left, right };
    let trees = Trees {
        roots: vec![0, 3, 4],
        nodes: vec![
            branch(0, 0.1, Child::Node(1), Child::Node(2)),
            branch(1, -0.2, Child::Leaf(0), Child::Leaf(1)),
            branch(0, 0.3, Child::Leaf(2), Child::Leaf(3)),
            branch(2, 0.0, Child::Leaf(4), Child::Leaf(0)),
        ],
    };
    let (leaves, base) = (trial.parameter(&[5, 2], 1.0), trial.parameter(&[2], 0.1));
    let x = trial.x();
    let scores = trial.push(Primitive::TreeEnsemble { trees, leaves, base }, &[x]);
    let output = trial.push(Primitive::Softmax { axis: 1 }, &[scores]);
    let error = trial.error(output);
    assert!(error < 0.001, "{error}");
}

#[test]
fn verdicts_count_operators_and_estimate_times() {
    let mut trial = Trial::new(&[1, 24]);
    let (x, weight, bias) = (trial.x(), trial.parameter(&[5, 24], 0.3), trial.parameter(&[5], 1.0));
    let output = trial.push(Primitive::Linear { weight, bias }, &[x]);
    let (quantised, ..) = trial.quantise(output);
    let verdict = Verdict::new(&quantised, None);
    assert_eq!(verdict.operators, [("Linear".to_owned(), 1)].into());
    assert_eq!((verdict.cost.multiply_adds, verdict.cost.parameters), (120, 125));
    assert_eq!(verdict.times_ns(&Default::default()).len(), 3);
    let names = Names {
        name: "m".into(),
        inputs: vec![("x".into(), vec![])],
        outputs: vec![("y".into(), (0..5).map(|c| c.to_string()).collect())],
        ..Names::default()
    };
    let card = quantised.card(&names, None);
    assert_eq!(card.check(&quantised.graph.architecture()), Ok(()));
    assert_eq!(card.outputs[0].decision, Decision::Largest);
}

#[test]
fn graphs_without_an_integer_meaning_are_refused_with_their_codes() {
    let refusal = |trial: Trial, output: ValueId, records: usize| {
        let mut trial = trial;
        let calibration = trial.records(records);
        let graph = trial.builder.finish(vec![output]).expect("valid");
        quantise(&graph, &calibration, &Reference).expect_err("refused")
    };
    let mut trial = Trial::new(&[1, 4]);
    let x = trial.x();
    let y = trial.push(Primitive::Unary(Function::Tanh), &[x]);
    let z = trial.push(Primitive::Unary(Function::Relu), &[x]);
    let output = trial.push(Primitive::Divide, &[y, z]);
    assert!(matches!(refusal(trial, output, 1).code(), "E-IMP-57" | "E-IMP-58"));

    let mut trial = Trial::new(&[1, 40]);
    let x = trial.x();
    let y = trial.push(Primitive::Unary(Function::Tanh), &[x]);
    let output = trial.push(Primitive::Divide, &[y, x]);
    let error = refusal(trial, output, 4);
    assert_eq!(error.code(), "E-IMP-58");
    assert_eq!(error.to_string(), "node op: divides by a value that may be 0");

    let mut trial = Trial::new(&[1, 4]);
    let x = trial.x();
    let output = trial.push(Primitive::Unary(Function::Log), &[x]);
    assert_eq!(refusal(trial, output, 8).code(), "E-IMP-57");

    let mut trial = Trial::new(&[1, 4]);
    let x = trial.x();
    let output = trial.push(Primitive::Unary(Function::Tanh), &[x]);
    assert_eq!(refusal(trial, output, 0).code(), "E-IMP-56");
}

/// Every node without an integer counterpart is named at once, with what follows from one left out.
#[test]
fn all_problems_are_listed_with_their_nodes() {
    let mut builder = float::Builder::new(vec![shape(&[4])]);
    let x = builder.input(0);
    let zeros = builder.parameter(Tensor::zeros(shape(&[4])));
    let mut push = |name: &str, primitive, operands: &[ValueId]| {
        builder.push(name, primitive, operands).expect("a valid operation")
    };
    let zeros = push("zeros", Primitive::Constant { tensor: zeros }, &[]);
    let first = push("first", Primitive::Divide, &[zeros, x]);
    let sound = push("sound", Primitive::Add, &[first, x]);
    let second = push("second", Primitive::Divide, &[zeros, sound]);
    let graph = builder.finish(vec![second]).expect("a valid graph");
    let record = |x: f32| vec![Tensor::new(shape(&[4]), vec![x, -x, 2.0 * x, 3.0]).expect("four elements")];
    let records: Vec<_> = (1..9_u8).map(|x| record(f32::from(x))).collect();
    let error = quantise(&graph, &records, &Reference).expect_err("two divisions have no counterpart");
    assert_eq!(error.code(), "E-IMP-58");
    assert_eq!(
        error.to_string(),
        "node first: divides by a value that may be 0\nnode second: divides by a value that may be 0"
    );
}

#[test]
fn each_node_that_begins_to_be_infinite_is_named_and_what_follows_is_not() {
    let mut builder = float::Builder::new(vec![shape(&[2])]);
    let x = builder.input(0);
    let zeros = builder.parameter(Tensor::zeros(shape(&[2])));
    let mut push = |name: &str, primitive, operands: &[ValueId]| {
        builder.push(name, primitive, operands).expect("a valid operation")
    };
    let zeros = push("zeros", Primitive::Constant { tensor: zeros }, &[]);
    let first = push("first", Primitive::Divide, &[x, zeros]);
    let follows = push("follows", Primitive::Add, &[first, x]);
    let second = push("second", Primitive::Divide, &[x, zeros]);
    let graph = builder.finish(vec![follows, second]).expect("a valid graph");
    let records = vec![vec![Tensor::new(shape(&[2]), vec![1.0, 2.0]).expect("two elements")]];
    let error = quantise(&graph, &records, &Reference).expect_err("two divisions are infinite");
    let named = ["first", "second"].map(|node| QuantiseError::NotFinite { node: node.into() });
    assert_eq!((error.code(), error), ("E-IMP-57", QuantiseError::Several(named.into())));
}

#[test]
fn a_record_that_is_not_finite_is_refused_and_named() {
    let mut trial = Trial::new(&[1, 3]);
    let (weight, bias) = (trial.parameter(&[2, 3], 0.5), trial.parameter(&[2], 0.5));
    let x = trial.x();
    let output = trial.push(Primitive::Linear { weight, bias }, &[x]);
    let mut wrong = trial.records(3);
    wrong[1] = vec![Tensor::new(shape(&[1, 3]), vec![0.0, f32::INFINITY, 0.0]).expect("fits")];
    let (quantised, graph, fresh) = trial.quantise(output);
    let refused = [
        quantise(&graph, &wrong, &Reference).err(),
        measure(&graph, &quantised, &Reference, (0, "wrong"), &wrong, &[0; 3]).err(),
    ];
    for error in refused.into_iter().map(|error| error.expect("refused")) {
        assert_eq!((error.code(), error.to_string().contains("record 1")), ("E-DAT-52", true), "{error}");
    }
    measure(&graph, &quantised, &Reference, (0, "fresh"), &fresh, &vec![0; fresh.len()]).expect("finite");
}
