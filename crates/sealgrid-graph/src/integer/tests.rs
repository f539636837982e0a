use super::*;
use crate::tensor::Data;

fn shape(axes: &[usize]) -> Shape {
    Shape::new(axes).expect("small")
}

fn value(dtype: DType, axes: &[usize]) -> ValueType {
    ValueType { dtype, shape: shape(axes) }
}

fn zeros(dtype: DType, axes: &[usize]) -> Tensor {
    let value_type = value(dtype, axes);
    Tensor::from_elements(&value_type, &vec![0; value_type.shape.count()]).expect("zeros fit")
}

fn stage() -> Requantise {
    Requantise { multipliers: vec![1], shifts: vec![0], low: -128, high: 127, output: DType::I8 }
}

fn window() -> Window {
    Window {
        kernel: vec![3],
        strides: vec![1],
        dilations: vec![1],
        pads_before: vec![0],
        pads_after: vec![0],
    }
}

/// The fault of one operation on operands of the given types; `None` when it is valid.
fn fault(primitive: &Primitive, operands: &[ValueType], parameters: &[Tensor]) -> Option<Fault> {
    let operands: Vec<&ValueType> = operands.iter().collect();
    output_type(primitive, &operands, parameters, None).err()
}

fn refused(primitive: &Primitive, operands: &[ValueType], parameters: &[Tensor], text: &str) {
    let fault = fault(primitive, operands, parameters).expect("not a valid operation");
    assert!(fault.to_string().contains(text), "{fault} does not speak of {text}");
}

#[test]
fn linear_operands_and_parameters_fit() {
    let parameters =
        [zeros(DType::I8, &[2, 3]), zeros(DType::I32, &[2]), zeros(DType::I32, &[3]), zeros(DType::I8, &[6])];
    let linear = |weight: u32, bias: u32, requantise: Requantise| Primitive::Linear {
        weight: ParameterId(weight),
        bias: ParameterId(bias),
        requantise,
    };
    let x = [value(DType::I8, &[4, 3])];
    let valid = linear(0, 1, stage());
    assert_eq!(fault(&valid, &x, &parameters), None);
    refused(&valid, &[value(DType::I32, &[4, 3])], &parameters, "int8 or int16");
    refused(&valid, &[value(DType::I8, &[4, 2])], &parameters, "weight's last");
    refused(&valid, &[value(DType::I8, &[])], &parameters, "weight's last");
    refused(&valid, &[x[0].clone(), x[0].clone()], &parameters, "2 operands where 1");
    refused(&linear(3, 1, stage()), &x, &parameters, "two axes");
    refused(&linear(1, 1, stage()), &x, &parameters, "wrong element type");
    refused(&linear(0, 2, stage()), &x, &parameters, "per output channel");
    refused(&linear(0, 4, stage()), &x, &parameters, "does not exist");
}

#[test]
fn output_stages_stay_within_their_bounds() {
    let x = [value(DType::I8, &[1, 3])];
    let with = |change: &dyn Fn(&mut Requantise)| {
        let mut requantise = stage();
        change(&mut requantise);
        Primitive::Rescale { requantise }
    };
    assert_eq!(fault(&with(&|stage| stage.shifts[0] = 62), &x, &[]), None);
    refused(&with(&|stage| stage.shifts[0] = 63), &x, &[], "at most 62");
    refused(&with(&|stage| stage.multipliers[0] = -1), &x, &[], "not negative");
    refused(&with(&|stage| stage.multipliers.push(1)), &x, &[], "one entry");
    refused(&with(&|stage| stage.multipliers.clear()), &x, &[], "one entry");
    refused(&with(&|stage| stage.high = 128), &x, &[], "low <= high");
    refused(&with(&|stage| stage.low = -129), &x, &[], "low <= high");
    refused(&with(&|stage| (stage.low, stage.high) = (1, 0)), &x, &[], "low <= high");
    let per_channel = with(&|stage| (stage.multipliers, stage.shifts) = (vec![1; 3], vec![0; 3]));
    assert_eq!(fault(&per_channel, &x, &[]), None);
    refused(&per_channel, &[value(DType::I8, &[1, 4])], &[], "one entry");
}

#[test]
fn windows_fit_their_operands() {
    let x = [value(DType::I8, &[1, 2, 5])];
    let with = |change: &dyn Fn(&mut Window)| {
        let mut window = window();
        change(&mut window);
        Primitive::PoolMaximum { window }
    };
    let output = output_type(&with(&|_| ()), &[&x[0]], &[], None).expect("valid");
    assert_eq!(output.shape.axes(), [1, 2, 3]);
    let padded = with(&|window| (window.pads_before, window.pads_after) = (vec![2], vec![2]));
    assert_eq!(output_type(&padded, &[&x[0]], &[], None).expect("valid").shape.axes(), [1, 2, 7]);
    refused(&with(&|window| window.strides[0] = 0), &x, &[], "at least 1");
    refused(&with(&|window| window.dilations[0] = 0), &x, &[], "at least 1");
    refused(&with(&|window| window.kernel[0] = 0), &x, &[], "at least 1");
    refused(&with(&|window| window.kernel[0] = usize::MAX), &x, &[], "exceeds");
    let cube = value(DType::I8, &[1, 1, 200, 200, 200]);
    let wide = Window {
        kernel: vec![200; 3],
        strides: vec![1; 3],
        dilations: vec![1; 3],
        pads_before: vec![0; 3],
        pads_after: vec![0; 3],
    };
    refused(&Primitive::PoolMaximum { window: wide }, &[cube], &[], "2^20 taps");
    refused(&with(&|window| window.pads_before[0] = 3), &x, &[], "beyond the window");
    refused(&with(&|window| window.dilations[0] = 3), &x, &[], "longer than");
    refused(&with(&|window| window.kernel.push(1)), &x, &[], "per spatial axis");
    refused(&with(&|_| ()), &[value(DType::I8, &[2, 2, 5])], &[], "[1, C, spatial…]");
    refused(&with(&|_| ()), &[value(DType::I8, &[1, 2])], &[], "per spatial axis");
}

#[test]
fn convolutions_fit_their_groups() {
    let parameters = [zeros(DType::I8, &[4, 1, 3]), zeros(DType::I32, &[4])];
    let with = |groups| Primitive::Convolution {
        weight: ParameterId(0),
        bias: ParameterId(1),
        window: window(),
        groups,
        requantise: stage(),
    };
    let x = [value(DType::I8, &[1, 2, 5])];
    assert_eq!(fault(&with(2), &x, &parameters), None);
    refused(&with(0), &x, &parameters, "groups divide");
    refused(&with(1), &x, &parameters, "groups divide");
    refused(&with(usize::MAX), &x, &parameters, "groups divide");
    refused(&with(2), &[value(DType::I16, &[1, 2, 5])], &parameters, "int8");
    refused(&with(2), &[value(DType::I8, &[1, 2, 5, 5])], &parameters, "per spatial axis");
}

#[test]
fn broadcasting_aligns_at_the_end() {
    let common =
        |a: &[usize], b: &[usize]| broadcast(&shape(a), &shape(b)).map(|shape| shape.axes().to_vec());
    assert_eq!(common(&[2, 1, 4], &[3, 1]), Ok(vec![2, 3, 4]));
    assert_eq!(common(&[], &[3]), Ok(vec![3]));
    assert_eq!(common(&[2], &[3]), Err(Fault::Broadcast));
    let x = [value(DType::I8, &[2]), value(DType::I16, &[2])];
    refused(&Primitive::Maximum, &x, &[], "one element type");
    refused(&Primitive::Multiply { requantise: stage() }, &x[..1], &[], "1 operands where 2");
}

#[test]
fn sums_carry_their_scales_in_their_own_multipliers() {
    let x = [value(DType::I8, &[2]), value(DType::I32, &[2])];
    let add = |left, multiplier| Primitive::Add {
        left,
        right: 1,
        requantise: Requantise { multipliers: vec![multiplier], ..stage() },
    };
    assert_eq!(fault(&add(1 << 30, 1), &x, &[]), None);
    refused(&add((1 << 30) + 1, 1), &x, &[], "2^30");
    refused(&add(1, 2), &x, &[], "m = 1");
}

#[test]
fn attributes_name_axes_and_positions_that_exist() {
    let x = [value(DType::I8, &[2, 3])];
    let lookup = |first, length| Primitive::Lookup { first, table: vec![0; length], output: DType::I8 };
    assert_eq!(fault(&lookup(i32::MAX, 1), &x, &[]), None);
    refused(&lookup(i32::MAX, 2), &x, &[], "within int32");
    refused(&lookup(0, 0), &x, &[], "1 to 65,536");
    refused(&lookup(0, 65_537), &x, &[], "1 to 65,536");
    let wide = Primitive::Lookup { first: 0, table: vec![128], output: DType::I8 };
    refused(&wide, &x, &[], "within the output type");
    refused(&Primitive::Reciprocal { bits: 31 }, &x, &[], "too many bits");
    refused(&Primitive::ReciprocalSquareRoot { bits: 61 }, &x, &[], "too many bits");
    refused(&Primitive::ReduceMaximum { axes: vec![1, 0] }, &x, &[], "ascend");
    refused(&Primitive::ReduceMaximum { axes: vec![2] }, &x, &[], "exist");
    refused(&Primitive::ArgMaximum { axis: 2 }, &x, &[], "exist");
    refused(&Primitive::Transpose { permutation: vec![0, 0] }, &x, &[], "each axis once");
    refused(&Primitive::Gather { axis: 0, indices: vec![2] }, &x, &[], "within the axis");
    refused(&Primitive::Gather { axis: 0, indices: vec![] }, &x, &[], "no elements");
    refused(&Primitive::Gather { axis: 2, indices: vec![0] }, &x, &[], "exists");
    refused(&Primitive::Concatenate { axis: 2 }, &x, &[], "exists");
    refused(&Primitive::Concatenate { axis: 0 }, &[], &[], "0 operands");
    let pad = |before: &[usize], value| Primitive::Pad { before: before.to_vec(), after: vec![0, 0], value };
    refused(&pad(&[0], 0), &x, &[], "two widths");
    refused(&pad(&[0, 0], 128), &x, &[], "element type");
    refused(&pad(&[usize::MAX, 0], 0), &x, &[], "elements");
    refused(&Primitive::Reshape, &x, &[], "must be stated");
    let stated = |primitive: &Primitive, axes: &[usize]| {
        output_type(primitive, &[&x[0]], &[], Some(&shape(axes))).map(|output| output.shape.axes().to_vec())
    };
    assert!(stated(&Primitive::Reshape, &[7]).is_err());
    assert_eq!(stated(&Primitive::Broadcast, &[2, 2]), Err(Fault::Broadcast));
    assert_eq!(stated(&Primitive::Broadcast, &[4, 2, 3]), Ok(vec![4, 2, 3]));
    let slice = |start, step| Primitive::Slice { starts: vec![0, start], steps: vec![1, step] };
    assert_eq!(stated(&slice(2, -1), &[2, 3]), Ok(vec![2, 3]));
    assert!(stated(&slice(2, -1), &[2, 4]).is_err());
    assert!(stated(&slice(0, 0), &[2, 1]).is_err());
    assert!(stated(&slice(3, 1), &[2, 1]).is_err());
    assert!(stated(&slice(1, i64::MAX), &[2, 3]).is_err());
    assert!(stated(&slice(1, i64::MIN), &[2, 3]).is_err());
}

#[test]
fn every_walk_through_a_tree_ends() {
    let x = [value(DType::I16, &[1, 2])];
    let check = |roots: &[i32], nodes: &[i32], leaves: usize| {
        let table = |axes: &[usize], elements: &[i32]| {
            Tensor::new(shape(axes), Data::I32(elements.to_vec())).expect("fits")
        };
        let parameters = [
            table(&[roots.len()], roots),
            table(&[nodes.len() / 4, 4], nodes),
            zeros(DType::I32, &[leaves, 1]),
            zeros(DType::I32, &[1]),
        ];
        let [roots, nodes, leaves, base] = [0, 1, 2, 3].map(ParameterId);
        let trees = Primitive::TreeEnsemble { roots, nodes, leaves, base, requantise: stage() };
        fault(&trees, &x, &parameters).map(|fault| fault.to_string())
    };
    let refused = |found: Option<String>, text: &str| {
        let found = found.expect("not valid trees");
        assert!(found.contains(text), "{found} does not speak of {text}");
    };
    assert_eq!(check(&[0, 1], &[0, 5, -1, -2], 2), None);
    assert_eq!(check(&[0], &[], 2), None);
    assert_eq!(check(&[0, 2], &[0, 5, 1, -1, 1, 5, -1, -2], 2), None);
    refused(check(&[], &[], 2), "number of nodes");
    refused(check(&[1], &[], 2), "number of nodes");
    refused(check(&[0, 2], &[0, 5, -1, -2], 2), "number of nodes");
    refused(check(&[0, 0, 1], &[0, 5, -1, -2], 2), "every tree has a node");
    refused(check(&[0, 1], &[2, 5, -1, -2], 2), "feature");
    refused(check(&[0, 1], &[-1, 5, -1, -2], 2), "feature");
    refused(check(&[0, 1], &[0, 5, -1, -3], 2), "child");
    refused(check(&[0, 1], &[0, 5, 0, -1], 2), "child");
    refused(check(&[0, 1], &[0, 5, i32::MIN, -1], 2), "child");
    refused(check(&[0, 1, 2], &[0, 5, 1, -1, 0, 5, -1, -2], 2), "child");
}

#[test]
fn graphs_are_checked_as_a_whole() {
    let input = value(DType::I8, &[2]);
    let rescale = |operand: u32| Operation {
        name: "op".into(),
        primitive: Primitive::Rescale { requantise: stage() },
        operands: vec![ValueId(operand)],
        output: input.clone(),
    };
    let graph = |operations: Vec<Operation>, outputs: &[u32]| {
        let outputs = outputs.iter().copied().map(ValueId).collect();
        Graph::new(vec![input.clone()], operations, outputs, Vec::new()).map_err(|error| error.to_string())
    };
    assert!(graph(vec![rescale(0)], &[1, 0, 1]).is_ok());
    assert_eq!(
        graph(vec![rescale(1)], &[1]),
        Err("operation 0 (op): value 1 is neither an input nor an earlier result".into())
    );
    assert_eq!(graph(vec![rescale(0)], &[2]), Err("output 0 names value 2, which does not exist".into()));
    assert_eq!(graph(vec![rescale(0)], &[]), Err("0 outputs where 1 to 64 are allowed".into()));
    assert_eq!(graph(vec![], &[0]), Err("0 operations where 1 to 65536 are allowed".into()));
    let other = Operation { output: value(DType::I8, &[3]), ..rescale(0) };
    assert!(graph(vec![other], &[1]).expect_err("another type").contains("stated output type"));
    let long = Operation { name: "x".repeat(NAME_MAX + 1), ..rescale(0) };
    assert!(graph(vec![long], &[1]).expect_err("a long name").contains("256 bytes"));
    let empty = Graph::new(vec![value(DType::I8, &[0])], vec![rescale(0)], vec![ValueId(1)], Vec::new());
    let error = empty.expect_err("no elements");
    assert_eq!((error.to_string().as_str(), error.code()), ("input 0 has no elements", "E-IMP-51"));
    let many = Graph::new(vec![input.clone(); 65], vec![rescale(0)], vec![ValueId(1)], Vec::new());
    assert_eq!(many.expect_err("many inputs").code(), "E-RES-31");
}

#[test]
fn a_graph_survives_its_bytes() {
    for seed in 0..500 {
        let graph = crate::arbitrary::graph(seed);
        assert_eq!(Graph::from_bytes(&graph.to_bytes()), Ok(graph), "seed {seed}");
    }
}

#[test]
fn bytes_that_are_not_a_graph_are_refused_with_their_codes() {
    let graph = crate::arbitrary::graph(4);
    let bytes = graph.to_bytes();
    let code = |bytes: &[u8]| Graph::from_bytes(bytes).expect_err("not a graph").code();
    assert_eq!(code(&[]), "E-IMP-50");
    assert_eq!(code(&bytes[1..]), "E-IMP-50");
    assert_eq!(code(&[bytes.as_slice(), &[0]].concat()), "E-IMP-50");
    let newer = Architecture { version: 2, ..graph.architecture() };
    let error = Graph::from_parts(newer, graph.parameters().to_vec()).expect_err("another version");
    assert_eq!(error.code(), "E-IMP-52");
    let mut fewer = graph.architecture();
    fewer.parameters.push(value(DType::I8, &[1]));
    let error = Graph::from_parts(fewer, graph.parameters().to_vec()).expect_err("a parameter is missing");
    assert_eq!(error, GraphDecodeError::Parameters);
    let mut invalid = graph.architecture();
    invalid.operations[0].operands.push(ValueId(999));
    let error = Graph::from_parts(invalid, graph.parameters().to_vec()).expect_err("no such operand");
    assert_eq!(error.code(), "E-IMP-51");
}

#[test]
fn values_are_dropped_behind_their_last_use_and_outputs_are_not() {
    let mut builder = Builder::new(vec![value(DType::I8, &[2])]);
    let rescale = || Primitive::Rescale { requantise: stage() };
    let x = builder.input(0);
    let a = builder.push("a", rescale(), &[x]).expect("valid");
    let b = builder.push("b", rescale(), &[a]).expect("valid");
    let graph = builder.finish(vec![b, a, x]).expect("valid");
    assert_eq!(graph.last_uses(), [None, None, None]);
    let names: Vec<_> = graph.interpret(&mut Names).expect("cannot fail");
    assert_eq!(names, ["b(a(x))", "a(x)", "x"]);
}

struct Names;

impl Interpreter for Names {
    type Value = String;
    type Error = std::convert::Infallible;

    fn input(&mut self, _: usize, _: &ValueType) -> Result<String, Self::Error> {
        Ok("x".into())
    }

    fn operation(
        &mut self,
        _: usize,
        operation: &Operation,
        operands: &[&String],
        _: &[Tensor],
    ) -> Result<String, Self::Error> {
        Ok(format!("{}({})", operation.name, operands[0]))
    }
}
