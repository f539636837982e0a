//! What each primitive means, on paper. Random graphs (`arbitrary`) compare other executors with this one; these
//! examples compare this one with the specification.

use super::*;
use crate::integer::{Builder, ParameterId, ValueId};
use crate::tensor::{DType, Data};

fn shape(axes: &[usize]) -> Shape {
    Shape::new(axes).expect("small")
}

fn tensor(axes: &[usize], data: Data) -> Tensor {
    Tensor::new(shape(axes), data).expect("elements fill the shape")
}

fn int8(axes: &[usize], elements: &[i8]) -> Tensor {
    tensor(axes, Data::I8(elements.to_vec()))
}

fn int16(axes: &[usize], elements: &[i16]) -> Tensor {
    tensor(axes, Data::I16(elements.to_vec()))
}

fn int32(axes: &[usize], elements: &[i32]) -> Tensor {
    tensor(axes, Data::I32(elements.to_vec()))
}

/// The accumulator as it is.
fn exact() -> Requantise {
    let (low, high) = DType::I32.bounds();
    Requantise { multipliers: vec![1], shifts: vec![0], low, high, output: DType::I32 }
}

fn window(kernel: usize, stride: usize, dilation: usize, pads: [usize; 2]) -> Window {
    Window {
        kernel: vec![kernel],
        strides: vec![stride],
        dilations: vec![dilation],
        pads_before: vec![pads[0]],
        pads_after: vec![pads[1]],
    }
}

/// Builds a graph of one operation over `operands`, whose parameters are made by the closure, and runs it.
fn run(
    operands: &[Tensor],
    axes: Option<&[usize]>,
    primitive: impl FnOnce(&mut Builder) -> Primitive,
) -> Tensor {
    let mut builder = Builder::new(operands.iter().map(Tensor::value_type).collect());
    let primitive = primitive(&mut builder);
    let ids: Vec<ValueId> = (0..operands.len()).map(|index| builder.input(index)).collect();
    let output = match axes {
        Some(axes) => builder.push_shaped("op", primitive, &ids, &shape(axes)),
        None => builder.push("op", primitive, &ids),
    };
    let graph = builder.finish(vec![output.expect("a valid operation")]).expect("a valid graph");
    run_record(&graph, operands).expect("operands fit").remove(0)
}

fn check(operands: &[Tensor], primitive: Primitive, expected: &Tensor) {
    assert_eq!(run(operands, None, |_| primitive), *expected);
}

#[test]
fn the_output_stage_rounds_ties_towards_plus_infinity_and_clamps() {
    let stage = |multiplier, shift, low, high| Requantise {
        multipliers: vec![multiplier],
        shifts: vec![shift],
        low,
        high,
        output: DType::I32,
    };
    let half = stage(1, 1, -100, 100);
    let results = [-5, -4, -3, -2, -1, 0, 1, 2, 3].map(|a| requantised(a, &half, 0));
    assert_eq!(results, [-2, -2, -1, -1, 0, 0, 1, 1, 2]);
    assert_eq!([i32::MIN, 150, i32::MAX].map(|a| requantised(a, &half, 0)), [-100, 75, 100]);
    assert_eq!(requantised(7, &stage(3, 0, -100, 100), 0), 21);
    let (low, high) = DType::I32.bounds();
    let most = stage(i32::MAX, 31, low, high);
    assert_eq!([i32::MIN, i32::MAX, 1].map(|a| requantised(a, &most, 0)), [-i32::MAX, i32::MAX - 1, 1]);
    let furthest = stage(i32::MAX, 62, low, high);
    assert_eq!([i32::MIN, i32::MAX, 0].map(|a| requantised(a, &furthest, 0)), [-1, 1, 0]);
    assert_eq!(requantised(12345, &stage(0, 5, -100, 100), 0), 0);
}

#[test]
fn constant_is_its_parameter() {
    let value = int16(&[2], &[5, -6]);
    let operation = Operation {
        name: String::new(),
        primitive: Primitive::Constant { tensor: ParameterId(0) },
        operands: Vec::new(),
        output: value.value_type(),
    };
    assert_eq!(evaluate(&operation, &[], std::slice::from_ref(&value)), value);
}

#[test]
fn linear_multiplies_by_the_transposed_weight() {
    let result = run(&[int8(&[2, 3], &[1, 2, 3, -1, 0, 1])], None, |builder| {
        let weight = builder.parameter(int8(&[2, 3], &[1, 1, 1, 10, 0, -10]));
        let bias = builder.parameter(int32(&[2], &[100, -100]));
        let requantise = Requantise { multipliers: vec![1, 1], shifts: vec![0, 1], ..exact() };
        Primitive::Linear { weight, bias, requantise }
    });
    // Second channel halved: -120 / 2, (-20 - 100) / 2.
    assert_eq!(result, int32(&[2, 2], &[106, -60, 100, -60]));
}

#[test]
fn accumulators_wrap_modulo_2_to_the_32() {
    let result = run(&[int8(&[1], &[1])], None, |builder| {
        let weight = builder.parameter(int8(&[1, 1], &[1]));
        let bias = builder.parameter(int32(&[1], &[i32::MAX]));
        Primitive::Linear { weight, bias, requantise: exact() }
    });
    assert_eq!(result, int32(&[1], &[i32::MIN]));
}

#[test]
fn convolution_pads_with_zeros_and_steps_and_dilates() {
    let x = int8(&[1, 2, 4], &[1, 2, 3, 4, 10, 20, 30, 40]);
    let result = run(std::slice::from_ref(&x), None, |builder| {
        let weight = builder.parameter(int8(&[1, 2, 2], &[1, 2, 0, 1]));
        let bias = builder.parameter(int32(&[1], &[1000]));
        let window = window(2, 2, 2, [1, 1]);
        Primitive::Convolution { weight, bias, window, groups: 1, requantise: exact() }
    });
    // Taps at (-1, 1) and (1, 3): 0 + 2*2 + 20, then 2 + 2*4 + 40.
    assert_eq!(result, int32(&[1, 1, 2], &[1024, 1050]));

    let grouped = run(&[x], None, |builder| {
        let weight = builder.parameter(int8(&[2, 1, 1], &[3, -1]));
        let bias = builder.parameter(int32(&[2], &[0, 0]));
        let window = window(1, 1, 1, [0, 0]);
        Primitive::Convolution { weight, bias, window, groups: 2, requantise: exact() }
    });
    assert_eq!(grouped, int32(&[1, 2, 4], &[3, 6, 9, 12, -10, -20, -30, -40]));
}

#[test]
fn matrix_product_broadcasts_its_leading_axes() {
    let a = int8(&[2, 1, 2], &[1, 2, 3, 4]);
    let b = int16(&[1, 2, 2], &[1, 10, 100, 1000]);
    let expected = int32(&[2, 1, 2], &[201, 2010, 403, 4030]);
    check(&[a, b], Primitive::MatrixProduct { requantise: exact() }, &expected);
}

#[test]
fn add_scales_each_operand_exactly_and_broadcasts() {
    let (x, y) = (int32(&[2, 1], &[i32::MAX, 3]), int8(&[2], &[1, 2]));
    let requantise = Requantise { shifts: vec![30], ..exact() };
    let add = Primitive::Add { left: 1 << 30, right: -(1 << 29), requantise };
    // x - y/2 with ties towards plus infinity.
    check(&[x, y], add, &int32(&[2, 2], &[i32::MAX, i32::MAX - 1, 3, 2]));
}

#[test]
fn multiply_broadcasts() {
    let (x, y) = (int8(&[2, 2], &[1, 2, 3, -128]), int16(&[1], &[-3]));
    let expected = int32(&[2, 2], &[-3, -6, -9, 384]);
    check(&[x, y], Primitive::Multiply { requantise: exact() }, &expected);
}

#[test]
fn rescale_has_its_channels_on_axis_1() {
    let requantise =
        Requantise { multipliers: vec![1, 3], shifts: vec![0, 1], low: 0, high: 127, output: DType::I8 };
    let x = int32(&[1, 2, 2], &[-7, 200, 5, 6]);
    check(&[x], Primitive::Rescale { requantise }, &int8(&[1, 2, 2], &[0, 127, 8, 9]));
}

#[test]
fn lookup_clamps_to_its_table() {
    let lookup = Primitive::Lookup { first: -1, table: vec![7, 8, 9], output: DType::I8 };
    let x = int32(&[5], &[i32::MIN, -1, 0, 1, i32::MAX]);
    check(&[x], lookup, &int8(&[5], &[7, 7, 8, 9, 9]));
}

#[test]
fn pools_leave_out_the_padding() {
    let x = int8(&[1, 1, 3], &[-5, -6, -7]);
    let maximum = Primitive::PoolMaximum { window: window(2, 1, 1, [1, 1]) };
    check(std::slice::from_ref(&x), maximum, &int8(&[1, 1, 4], &[-5, -5, -6, -7]));
    let sum = Primitive::PoolSum { window: window(2, 2, 1, [1, 0]), requantise: exact() };
    check(std::slice::from_ref(&x), sum, &int32(&[1, 1, 2], &[-5, -13]));
    // Taps at -1 and 1 of a single element: nothing but padding.
    let nothing = Primitive::PoolMaximum { window: window(2, 1, 2, [1, 1]) };
    check(&[int8(&[1, 1, 1], &[-5])], nothing, &int8(&[1, 1, 1], &[-128]));
}

#[test]
fn reductions_keep_axes_of_length_1() {
    let x = int16(&[2, 3], &[1, 2, 3, -4, -5, 30]);
    let one = std::slice::from_ref(&x);
    let sum = |axes: &[usize]| Primitive::ReduceSum { axes: axes.to_vec(), requantise: exact() };
    check(one, sum(&[1]), &int32(&[2, 1], &[6, 21]));
    check(one, sum(&[0, 1]), &int32(&[1, 1], &[27]));
    check(one, sum(&[]), &int32(&[2, 3], &[1, 2, 3, -4, -5, 30]));
    check(one, Primitive::ReduceMaximum { axes: vec![0] }, &int16(&[1, 3], &[1, 2, 30]));
}

#[test]
fn arg_maximum_is_the_first_of_equals() {
    let x = int8(&[2, 3], &[-128, -128, -128, 1, 5, 5]);
    check(std::slice::from_ref(&x), Primitive::ArgMaximum { axis: 1 }, &int32(&[2, 1], &[0, 1]));
    check(&[x], Primitive::ArgMaximum { axis: 0 }, &int32(&[1, 3], &[1, 1, 1]));
}

#[test]
fn reciprocals_are_floors_and_take_operands_below_1_as_1() {
    let x = int32(&[5], &[i32::MIN, 0, 1, 3, i32::MAX]);
    let one = std::slice::from_ref(&x);
    check(one, Primitive::Reciprocal { bits: 10 }, &int32(&[5], &[1024, 1024, 1024, 341, 0]));
    let root = Primitive::ReciprocalSquareRoot { bits: 60 };
    // floor(sqrt(floor(2^60 / 3))) = 619,925,131; 2^60 / (2^31 - 1) is 536,870,912 and its root 23,170.
    check(one, root, &int32(&[5], &[1 << 30, 1 << 30, 1 << 30, 619_925_131, 23_170]));
}

#[test]
fn moves_keep_their_elements() {
    let x = int8(&[2, 3], &[1, 2, 3, 4, 5, 6]);
    let one = std::slice::from_ref(&x);
    let reshaped = run(one, Some(&[3, 1, 2]), |_| Primitive::Reshape);
    assert_eq!(reshaped, int8(&[3, 1, 2], &[1, 2, 3, 4, 5, 6]));
    let transpose = Primitive::Transpose { permutation: vec![1, 0] };
    check(one, transpose, &int8(&[3, 2], &[1, 4, 2, 5, 3, 6]));
    let turn = Primitive::Transpose { permutation: vec![2, 0, 1] };
    check(&[int8(&[1, 2, 3], &[1, 2, 3, 4, 5, 6])], turn, &int8(&[3, 1, 2], &[1, 4, 2, 5, 3, 6]));
    let slice = Primitive::Slice { starts: vec![1, 2], steps: vec![-1, -2] };
    assert_eq!(run(one, Some(&[2, 2]), |_| slice), int8(&[2, 2], &[6, 4, 3, 1]));
    let gather = Primitive::Gather { axis: 1, indices: vec![2, 2, 0, 1] };
    check(one, gather, &int8(&[2, 4], &[3, 3, 1, 2, 6, 6, 4, 5]));
    let pad = Primitive::Pad { before: vec![0, 1], after: vec![1, 0], value: -9 };
    check(one, pad, &int8(&[3, 4], &[-9, 1, 2, 3, -9, 4, 5, 6, -9, -9, -9, -9]));
    let wide = run(&[int8(&[2, 1], &[7, 8])], Some(&[2, 2, 2]), |_| Primitive::Broadcast);
    assert_eq!(wide, int8(&[2, 2, 2], &[7, 7, 8, 8, 7, 7, 8, 8]));
    let joined = int8(&[2, 4], &[1, 2, 3, 9, 4, 5, 6, 8]);
    check(&[x, int8(&[2, 1], &[9, 8])], Primitive::Concatenate { axis: 1 }, &joined);
}

#[test]
fn extrema_broadcast() {
    let operands = [int8(&[2, 2], &[1, 2, 3, 4]), int8(&[2], &[2, 3])];
    check(&operands, Primitive::Maximum, &int8(&[2, 2], &[2, 3, 3, 4]));
    check(&operands, Primitive::Minimum, &int8(&[2, 2], &[1, 2, 2, 3]));
}

#[test]
fn trees_go_left_up_to_the_threshold_and_add_up() {
    let forest = |builder: &mut Builder| Primitive::TreeEnsemble {
        roots: builder.parameter(int32(&[3], &[0, 2, 3])),
        // Tree 0: x0 <= 5 ? (x1 <= -1 ? leaf 0 : leaf 1) : leaf 2. Tree 1: x1 <= 0 ? leaf 3 : leaf 2.
        nodes: builder.parameter(int32(&[3, 4], &[0, 5, 1, -3, 1, -1, -1, -2, 1, 0, -4, -3])),
        leaves: builder.parameter(int32(&[4, 2], &[1, 10, 2, 20, 3, 30, 4, 40])),
        base: builder.parameter(int32(&[2], &[1000, 2000])),
        requantise: exact(),
    };
    let scores = |x: [i16; 2]| run(&[int16(&[1, 2], &x)], None, forest);
    assert_eq!(scores([5, -1]), int32(&[1, 2], &[1005, 2050]));
    assert_eq!(scores([5, 0]), int32(&[1, 2], &[1006, 2060]));
    assert_eq!(scores([6, 1]), int32(&[1, 2], &[1006, 2060]));
}

#[test]
fn runs_map_the_graph_over_records_and_tell_their_observer_each_operation() {
    use crate::execute::BatchRef;
    use std::ops::ControlFlow;

    struct Stopping(Vec<(usize, usize)>, usize);
    impl Observer for Stopping {
        fn operation(&mut self, index: usize, output: BatchRef<'_>) -> ControlFlow<()> {
            self.0.push((index, output.records));
            if index == self.1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }

    let graph = Arc::new(crate::arbitrary::graph(12));
    let prepared = Reference.prepare(graph.clone()).expect("always");
    let inputs = crate::arbitrary::inputs(&graph, 3, 1);
    let outputs = prepared.run(&inputs, &mut ()).expect("inputs fit");
    for record in 0..3 {
        let alone: Vec<Tensor> = inputs.iter().map(|input| input.record(record)).collect();
        let together: Vec<Tensor> = outputs.iter().map(|output| output.record(record)).collect();
        assert_eq!(run_record(&graph, &alone).expect("inputs fit"), together);
    }
    let last = graph.operations().len() - 1;
    let mut all = Stopping(Vec::new(), last + 1);
    prepared.run(&inputs, &mut all).expect("runs to the end");
    assert_eq!(all.0, (0..=last).map(|index| (index, 3)).collect::<Vec<_>>());
    let mut first = Stopping(Vec::new(), 0);
    let stopped = prepared.run(&inputs, &mut first).expect_err("stopped");
    assert_eq!((stopped.code(), first.0.len()), ("E-RES-34", 1));
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let graph = Arc::new(crate::arbitrary::graph(12));
    let prepared = Reference.prepare(graph.clone()).expect("always");
    let inputs = crate::arbitrary::inputs(&graph, 3, 1);
    let code = |inputs: &[Batch]| prepared.run(inputs, &mut ()).expect_err("does not fit").code();
    assert_eq!(code(&[]), "E-DAT-50");
    let wrong = Batch::new(3, shape(&[7, 7, 7]), Data::I8(vec![0; 3 * 343])).expect("a batch");
    assert_eq!(code(&vec![wrong; inputs.len()]), "E-DAT-50");

    let mut builder = Builder::new(vec![int8(&[1], &[0]).value_type()]);
    let x = builder.input(0);
    let y = builder.push_shaped("wide", Primitive::Broadcast, &[x], &shape(&[1 << 20])).expect("valid");
    let graph = Arc::new(builder.finish(vec![y]).expect("valid"));
    let many = Batch::new(512, shape(&[1]), Data::I8(vec![0; 512])).expect("a batch");
    let error = Reference.prepare(graph).expect("always").run(&[many], &mut ()).expect_err("too large");
    assert_eq!(error.code(), "E-RES-32");
    let unsupported = ExecuteError::Unsupported { operation: 0, why: "no such kernel" };
    assert_eq!(unsupported.code(), "E-RES-33");
}

#[test]
fn an_operation_alone_yields_what_it_yields_in_the_run() {
    for seed in 0..300 {
        let graph = Arc::new(crate::arbitrary::graph(seed));
        let inputs = crate::arbitrary::inputs(&graph, 2, seed);
        let mut keep = Keep(inputs.clone());
        Reference.prepare(graph.clone()).expect("always").run(&inputs, &mut keep).expect("inputs fit");
        for (index, operation) in graph.operations().iter().enumerate() {
            let operands: Vec<Batch> =
                operation.operands.iter().map(|id| keep.0[id.0 as usize].clone()).collect();
            let alone = run_operation(&graph, index, 2, &operands).expect("operands fit");
            assert_eq!(alone, keep.0[inputs.len() + index], "seed {seed}, operation {index}");
        }
        assert!(run_operation(&graph, graph.operations().len(), 2, &[]).is_err());
    }
}

struct Keep(Vec<Batch>);

impl Observer for Keep {
    fn operation(&mut self, _: usize, output: crate::execute::BatchRef<'_>) -> std::ops::ControlFlow<()> {
        self.0.push(output.to_batch());
        std::ops::ControlFlow::Continue(())
    }
}
