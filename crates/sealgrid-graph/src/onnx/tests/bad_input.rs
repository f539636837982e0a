//! Files that must be refused, each for the stated reason, and files that nobody wrote.

use prost::Message;

use super::build::{integers, model, node, value, weights};
use crate::onnx::schema::{
    AttributeProto, ExternalData, GraphProto, ModelProto, OperatorSetIdProto, SparseTensorProto, Subgraph,
    TensorTypeProto, TypeProto, data_type,
};
use crate::onnx::{ImportProblems, Kind, MESSAGES_MAX, PROBLEMS_MAX, import};

fn small() -> ModelProto {
    let nodes =
        vec![node("MatMul", &["x", "w"], "h"), node("Add", &["h", "b"], "z"), node("Relu", &["z"], "y")];
    model(nodes, vec![weights("w", &[3, 2], vec![1.0; 6]), weights("b", &[2], vec![0.5, -0.5])])
}

fn refused(model: &ModelProto) -> ImportProblems {
    import(&model.encode_to_vec()).expect_err("a model that must be refused")
}

fn check(model: &ModelProto, expected: &[(Kind, &str)]) {
    let problems = refused(model).problems;
    let found: Vec<(Kind, &str)> = problems.iter().map(|p| (p.kind, p.what.as_str())).collect();
    assert_eq!(found, expected);
}

fn with_graph(change: impl FnOnce(&mut GraphProto)) -> ModelProto {
    let mut model = small();
    change(model.graph.as_mut().expect("a graph"));
    model
}

// --- refusals --------------------------------------------------------------------------------------------------------

#[test]
fn the_small_model_itself_is_imported_and_its_bias_folded() {
    let imported = import(&small().encode_to_vec()).expect("a good model");
    let operations = imported.graph.operations();
    assert_eq!(operations.len(), 2, "{operations:?}");
    assert_eq!((imported.opset, imported.inputs.as_slice()), (17, &["x".to_owned()][..]));
    let x =
        crate::float::Tensor::new(imported.graph.inputs()[0].clone(), vec![1.0, 2.0, -3.0]).expect("fits");
    let y = crate::float::run(&imported.graph, &[x]).expect("runs");
    assert_eq!(y[0].elements(), [0.5, 0.0]);
}

#[test]
fn bytes_that_are_no_model_are_e_imp_01() {
    for bytes in [&b""[..], b"\xff\xff\xff", b"not a model at all", b"\x3a\xff\xff\xff\xff\x0f"] {
        assert_eq!(import(bytes).expect_err("not a model").code(), "E-IMP-01", "{bytes:?}");
    }
}

#[test]
fn opsets_outside_the_range_are_e_imp_02() {
    let mut old = small();
    old.opset_import[0].version = 12;
    check(&old, &[(Kind::Version, "opset 12, where 13 to 21 are known")]);
    let mut new = small();
    new.opset_import[0].version = 22;
    new.opset_import.push(OperatorSetIdProto { domain: "ai.onnx.ml".to_owned(), version: 5 });
    let ml = "opset 5 of ai.onnx.ml, where 1 to 4 are known";
    check(&new, &[(Kind::Version, "opset 22, where 13 to 21 are known"), (Kind::Version, ml)]);
    let mut none = small();
    none.opset_import.clear();
    assert_eq!(refused(&none).code(), "E-IMP-02");
}

#[test]
fn all_unknown_operators_are_listed_with_names_and_alternatives() {
    let mut foreign = node("FancyNorm", &["b1"], "c1");
    foreign.domain = "com.example".to_owned();
    let nodes = vec![
        node("LSTM", &["x"], "a1"),
        node("Relu", &["a1"], "b1"),
        foreign,
        node("QuantizeLinear", &["x"], "d1"),
        node("Add", &["c1", "d1"], "y"),
    ];
    let problems = refused(&model(nodes, vec![]));
    assert_eq!(problems.code(), "E-IMP-03");
    let expected = "the model cannot be imported (3 problems)
  E-IMP-03 node a1 (LSTM): the operator is not supported; recurrent networks are not supported; use convolutions or attention
  E-IMP-03 node c1 (com.example:FancyNorm): the operator is not supported; see docs/reference/onnx.md for the operators that are
  E-IMP-03 node d1 (QuantizeLinear): the operator is not supported; export the float model; it is quantised here";
    assert_eq!(problems.to_string(), expected);
}

#[test]
fn more_problems_than_the_list_holds_are_counted() {
    let nodes = (0..PROBLEMS_MAX + 7).map(|at| node("LSTM", &["x"], &format!("v{at}"))).collect();
    let problems = refused(&model(nodes, vec![]));
    // The output that nothing defines is one more.
    assert_eq!((problems.problems.len(), problems.omitted), (PROBLEMS_MAX, 8));
}

#[test]
fn axes_without_length_are_e_imp_04() {
    let model = with_graph(|graph| graph.input[0] = value("x", data_type::FLOAT, &[None, None]));
    check(&model, &[(Kind::Dynamic, "axis 1 of the input has no fixed length")]);
    assert_eq!(refused(&model).code(), "E-IMP-04");
    let model = with_graph(|graph| {
        let tensor_type = Some(TensorTypeProto { elem_type: data_type::FLOAT, shape: None });
        graph.input[0].r#type = Some(TypeProto { tensor_type });
    });
    check(&model, &[(Kind::Dynamic, "the input has no shape")]);
}

#[test]
fn element_types_that_are_not_taken_are_e_imp_05() {
    let model = with_graph(|graph| graph.input[0] = value("x", data_type::DOUBLE, &[None, Some(3)]));
    let what = "the input has element type 11 of onnx.TensorProto.DataType";
    check(&model, &[(Kind::ElementType, what)]);
    assert_eq!(refused(&model).code(), "E-IMP-05");
    let model = with_graph(|graph| graph.initializer[0].data_type = 10);
    check(&model, &[(Kind::ElementType, "element type 10 of onnx.TensorProto.DataType")]);
}

#[test]
fn external_and_sparse_weights_are_e_imp_06() {
    let what = "its elements lie outside the file";
    let model = with_graph(|graph| graph.initializer[0].external_data.push(ExternalData {}));
    check(&model, &[(Kind::External, what)]);
    assert_eq!(refused(&model).code(), "E-IMP-06");
    let model = with_graph(|graph| graph.initializer[0].data_location = 1);
    check(&model, &[(Kind::External, what)]);
    let model = with_graph(|graph| graph.sparse_initializer.push(SparseTensorProto {}));
    check(&model, &[(Kind::External, "sparse weights")]);
}

#[test]
fn weights_that_are_not_finite_are_e_imp_07() {
    for bad in [f32::NAN, f32::INFINITY] {
        let model = with_graph(|graph| graph.initializer[0].float_data[4] = bad);
        check(&model, &[(Kind::NotFinite, "an element is not a finite number")]);
        assert_eq!(refused(&model).code(), "E-IMP-07");
    }
    let zeros = vec![weights("zero", &[2], vec![0.0; 2])];
    let division = model(vec![node("Div", &["x", "zero"], "y")], zeros);
    assert!(matches!(refused(&division).problems[0].kind, Kind::NotFinite | Kind::Shape));
    let alpha = AttributeProto { name: "alpha".to_owned(), f: f32::NAN, ..AttributeProto::default() };
    let mut leaky = node("LeakyRelu", &["x"], "y");
    leaky.attribute.push(alpha);
    check(&model(vec![leaky], vec![]), &[(Kind::NotFinite, "alpha is not a finite number")]);
}

#[test]
fn circles_undefined_and_doubled_values_are_e_imp_08() {
    let circle = model(
        vec![node("Add", &["x", "b"], "a"), node("Relu", &["a"], "b"), node("Relu", &["b"], "y")],
        vec![],
    );
    check(&circle, &[(Kind::Structure, "reads \"b\", which depends on it or comes later")]);
    assert_eq!(refused(&circle).code(), "E-IMP-08");
    let undefined = model(vec![node("Relu", &["nothing"], "y")], vec![]);
    check(&undefined, &[(Kind::Structure, "reads \"nothing\", which nothing defines")]);
    let twice = model(vec![node("Relu", &["x"], "y"), node("Tanh", &["x"], "y")], vec![]);
    check(&twice, &[(Kind::Structure, "the value \"y\" is defined twice")]);
    let inputs = with_graph(|graph| graph.input.push(value("x", data_type::FLOAT, &[Some(1), Some(3)])));
    check(&inputs, &[(Kind::Structure, "the value \"x\" is defined twice")]);
    let missing = with_graph(|graph| graph.output[0].name = "elsewhere".to_owned());
    check(&missing, &[(Kind::Structure, "reads \"elsewhere\", which nothing defines")]);
}

#[test]
fn uses_that_are_not_supported_are_e_imp_09() {
    let computed = model(vec![node("Relu", &["x"], "w"), node("Conv", &["x", "w"], "y")], vec![]);
    check(&computed, &[(Kind::Unsupported, "operand 1 depends on the input")]);
    assert_eq!(refused(&computed).code(), "E-IMP-09");
    assert_eq!(refused(&computed).problems[0].alternative, "make it a constant or an initialiser");
    let remainder = |constants| model(vec![node("Mod", &["x", "b"], "y")], constants);
    let computed = remainder(vec![integers("b", vec![2])]);
    check(&computed, &[(Kind::Unsupported, "a remainder of computed values")]);
    let floats = vec![node("Mod", &["b", "b"], "c"), node("Add", &["x", "c"], "y")];
    let floats = model(floats, vec![weights("b", &[1], vec![2.0])]);
    check(&floats, &[(Kind::Unsupported, "a remainder of floats")]);
}

#[test]
fn a_remainder_of_a_division_by_zero_is_refused() {
    let nodes = vec![node("Mod", &["a", "b"], "r"), node("Gather", &["x", "r"], "y")];
    let model = model(nodes, vec![integers("a", vec![1]), integers("b", vec![0])]);
    check(&model, &[(Kind::Structure, "a remainder of a division by zero")]);
}

#[test]
fn shapes_that_do_not_fit_are_e_imp_10() {
    let model = with_graph(|graph| graph.initializer[0] = weights("w", &[2, 3], vec![1.0; 6]));
    assert_eq!(refused(&model).code(), "E-IMP-10");
    let wide = with_graph(|graph| graph.initializer[1] = weights("b", &[5], vec![1.0; 5]));
    assert_eq!(refused(&wide).code(), "E-IMP-10");
}

#[test]
fn claims_beyond_the_file_are_e_imp_11_or_malformed() {
    let short = with_graph(|graph| graph.initializer[0].dims = vec![1 << 14, 1 << 14]);
    check(&short, &[(Kind::Malformed, "6 elements where its shape has 268435456")]);
    let huge = with_graph(|graph| graph.initializer[0].dims = vec![1 << 31, 1 << 31]);
    assert_eq!(refused(&huge).code(), "E-IMP-11");
    let filled = vec![node("ConstantOfShape", &["s"], "c"), node("Add", &["x", "c"], "y")];
    assert_eq!(refused(&model(filled, vec![integers("s", vec![1 << 20, 200])])).code(), "E-IMP-11");
    let expanded = vec![node("Expand", &["b", "s"], "c"), node("Add", &["x", "c"], "y")];
    let constants = vec![integers("s", vec![1 << 27, 1]), weights("b", &[1], vec![1.0])];
    assert_eq!(refused(&model(expanded, constants)).code(), "E-IMP-11");
    let padded = vec![node("Pad", &["x", "s"], "y")];
    let claim = vec![integers("s", vec![0, 0, 0, i64::MAX])];
    assert_eq!(refused(&model(padded, claim)).code(), "E-IMP-11");
    let input = with_graph(|graph| graph.input[0] = value("x", data_type::FLOAT, &[Some(1 << 40), Some(3)]));
    assert_eq!(refused(&input).code(), "E-IMP-11");
}

#[test]
fn too_many_messages_are_refused_before_they_are_decoded() {
    let mut graph = Vec::new();
    for _ in 0..MESSAGES_MAX {
        graph.extend_from_slice(&[0x0a, 0x00]);
    }
    let mut bytes = vec![0x3a];
    let mut length = graph.len();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).expect("seven bits"));
    bytes.extend_from_slice(&graph);
    assert_eq!(import(&bytes).expect_err("too many").code(), "E-IMP-11");
}

#[test]
fn graphs_inside_nodes_are_e_imp_12() {
    let mut inner = node("Relu", &["x"], "y");
    inner.attribute.push(AttributeProto { g: Some(Box::new(Subgraph {})), ..AttributeProto::default() });
    let model = model(vec![inner], vec![]);
    check(&model, &[(Kind::Subgraph, "the node holds a graph")]);
    assert_eq!(refused(&model).code(), "E-IMP-12");
}

#[test]
fn huge_steps_and_positions_do_no_harm() {
    for (start, end, step) in
        [(0, 3, i64::MAX), (-1, i64::MIN, i64::MIN), (i64::MIN, i64::MAX, 2), (2, -9, -1)]
    {
        let constants = vec![
            integers("s", vec![start]),
            integers("e", vec![end]),
            integers("a", vec![1]),
            integers("p", vec![step]),
        ];
        let slice = model(vec![node("Slice", &["x", "s", "e", "a", "p"], "y")], constants);
        let imported = import(&slice.encode_to_vec()).expect("a slice within the operand");
        let x =
            crate::float::Tensor::new(imported.graph.inputs()[0].clone(), vec![1.0, 2.0, 3.0]).expect("fits");
        crate::float::run(&imported.graph, &[x]).expect("runs");
    }
}

// --- files that nobody wrote ------------------------------------------------------------------------------------------

fn shipped() -> Vec<Vec<u8>> {
    let path = |name| format!("{}/../../models/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
    let read = |name| std::fs::read(path(name)).expect("a shipped model");
    let mut models: Vec<Vec<u8>> =
        ["breast-cancer-logreg", "breast-cancer-gbt", "digits-cnn"].map(read).to_vec();
    models.push(small().encode_to_vec());
    models
}

#[test]
fn a_model_cut_anywhere_is_refused_or_whole() {
    for model in shipped() {
        // Every byte of the small ones; of the others as many places.
        let step = (model.len() / 2_000).max(1);
        for length in (0..model.len()).step_by(step) {
            // Import must return. A cut behind the graph may leave a model that lacks only its opset.
            let _ = import(&model[..length]);
        }
        for length in 0..model.len().min(64) {
            assert!(import(&model[..length]).is_err(), "the first {length} bytes are no model");
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2_000))]

    #[test]
    fn mutated_models_are_imported_or_refused(
        which in 0usize..4,
        changes in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0u8..4, proptest::prelude::any::<u8>()), 1..12),
    ) {
        let mut bytes = shipped().swap_remove(which);
        for (index, kind, byte) in changes {
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.insert(at, byte),
                _ => {
                    bytes.remove(at);
                }
            }
        }
        let _ = import(&bytes);
    }
}
