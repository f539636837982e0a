//! The frozen vectors of vectors/proof/: files that must verify for ever once the format is frozen. `SEALGRID_BLESS=1` writes them anew from
//! this code, as `cargo xtask vectors --bless` does.

use std::path::PathBuf;

use sealgrid_graph::integer::{ParameterId, ValueId};

use super::structure::{Fields, Tree};
use super::*;
use crate::run::tests::encoder;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/proof").join(name)
}

/// The frozen file, which is written first when blessing; else it must be what this code makes.
fn frozen(name: &str, made: &[u8]) -> Vec<u8> {
    if std::env::var("SEALGRID_BLESS").is_ok_and(|value| value == "1") {
        std::fs::write(file(name), made).expect("vectors/proof can be written");
    }
    let frozen = std::fs::read(file(name)).expect("the vector is there");
    assert!(frozen == made, "{name}: the same seed no longer makes the same bytes");
    frozen
}

/// Graphs beside each other, with the inputs and outputs of all.
fn beside(graphs: &[Graph]) -> Graph {
    let mut builder = Builder::new(graphs.iter().flat_map(|graph| graph.inputs().to_vec()).collect());
    let (mut inputs, mut outputs) = (0, Vec::new());
    for (number, graph) in graphs.iter().enumerate() {
        let mut values: Vec<ValueId> = Vec::new();
        for _ in graph.inputs() {
            values.push(builder.input(inputs));
            inputs += 1;
        }
        let parameters: Vec<_> =
            graph.parameters().iter().map(|parameter| builder.parameter(parameter.clone())).collect();
        for operation in graph.operations() {
            let mut primitive = operation.primitive.clone();
            for id in named(&mut primitive) {
                *id = parameters[id.0 as usize];
            }
            let operands: Vec<_> = operation.operands.iter().map(|id| values[id.0 as usize]).collect();
            let name = format!("{number} {}", operation.name);
            let shape = &operation.output.shape;
            values.push(builder.push_shaped(&name, primitive, &operands, shape).expect("valid by itself"));
        }
        outputs.extend(graph.outputs().iter().map(|id| values[id.0 as usize]));
    }
    builder.finish(outputs).expect("valid by themselves")
}

/// The parameters that an operation names.
fn named(primitive: &mut Primitive) -> Vec<&mut ParameterId> {
    match primitive {
        Primitive::Constant { tensor } => vec![tensor],
        Primitive::Linear { weight, bias, .. } | Primitive::Convolution { weight, bias, .. } => {
            vec![weight, bias]
        }
        Primitive::TreeEnsemble { roots, nodes, leaves, base, .. } => vec![roots, nodes, leaves, base],
        _ => Vec::new(),
    }
}

fn proven(model: Model, own: Option<RegisteredParameters>, role: Role, inputs: Vec<Batch>) -> Case {
    Case::of(model, own, role, inputs, 77, 20).unwrap_or_else(|_| panic!("provable"))
}

/// The first small graph of a kind that can be proven.
fn small(kind: u64, registered: bool) -> Graph {
    let role =
        Role { registered, inputs: Told::Hidden, outputs_shown: true, records: 1, level: Level::default() };
    let found = (0..).find_map(|seed| {
        let found = graph(kind, registered, seed)?;
        let again = graph(kind, registered, seed)?;
        let layers = found.operations().len() > 1 && found.parameters().len() > usize::from(registered) * 3;
        let small = layers && found.to_bytes().len() < 3000;
        (small && Case::new(found, role, 1, 14).is_ok()).then_some(again)
    });
    found.expect("one of many")
}

/// Two layers of registered weights, three records, records and results committed to.
fn perceptron() -> Case {
    let role = Role {
        registered: true,
        inputs: Told::Committed,
        outputs_shown: false,
        records: 3,
        level: Level::default(),
    };
    let graph = small(1, true);
    let inputs = arbitrary::inputs(&graph, role.records, 1);
    let model = Model::new(arbitrary::card("perceptron", &graph), graph, &mut rng(1)).expect("admitted");
    let (model, own) = RegisteredParameters::register(model, 2, Level::default()).expect("registrable");
    proven(model, Some(own), role, inputs)
}

/// A convolution, a tree ensemble and an encoder (softmax, normalisation, GELU) beside each other, all told.
fn told() -> Case {
    let role = Role {
        registered: false,
        inputs: Told::Shown,
        outputs_shown: true,
        records: 1,
        level: Level::default(),
    };
    let size = encoder::Size { tokens: 2, width: 4, heads: 2, inner: 4, layers: 1 };
    let (encoder, of_encoder) = encoder::encoder(size, 1);
    let encoder = Graph::from_parts(encoder.architecture(), encoder.parameters().to_vec()).expect("valid");
    let [convolution, trees] = [2, TREES].map(|kind| small(kind, false));
    let mut inputs: Vec<Batch> =
        [&convolution, &trees].iter().flat_map(|graph| arbitrary::inputs(graph, 1, 1)).collect();
    inputs.extend(of_encoder);
    let graph = beside(&[convolution, trees, encoder]);
    let model = Model::new(arbitrary::card("told", &graph), graph, &mut rng(2)).expect("admitted");
    proven(model, None, role, inputs)
}

/// Some files with one field another, of every class of fields.
fn others(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut tree = Tree::of(bytes);
    let mut random = Random::new(1);
    let Fields(fields) = Fields::of(&tree);
    // In a sample every seventh class.
    let fields = fields.iter().step_by(either(7, 1));
    let others = fields.filter_map(|(_, ways)| Some(tree.changed(&ways[ways.len() / 2], &mut random)?.0));
    others.filter(|other| other != bytes).collect()
}

#[test]
fn vectors_of_a_registered_model_hold() {
    let case = perceptron();
    let [of_inputs, of_outputs] = keys();
    let published = frozen("perceptron.sgr", &case.published().expect("registered").to_bytes());
    let proof = frozen("perceptron.proof", &case.proof.to_bytes());
    let opening = |side, key, batches: &Vec<Batch>| {
        Opening::of(&case.proof, side, key, batches.clone()).to_bytes().expose().to_vec()
    };
    let openings = [
        frozen("perceptron.records.opening", &opening(Side::Inputs, of_inputs, &case.inputs)),
        frozen("perceptron.results.opening", &opening(Side::Outputs, of_outputs, &case.outputs)),
    ];
    let judge = |published: &[u8], proof: &[u8]| -> Result<f64, String> {
        let model = RegisteredModel::from_bytes(published).map_err(|error| error.to_string())?;
        let bits = model.verify(&mut rng(1)).map_err(|error| error.to_string())?;
        let proof = Proof::from_bytes(proof).map_err(|error| error.to_string())?;
        proof.verify_registered(&model, &mut rng(1)).map(|it| it.min(bits)).map_err(|error| error.to_string())
    };
    assert!(judge(&published, &proof).expect("the frozen files hold") > 100.0);
    let read = Proof::from_bytes(&proof).expect("verified above");
    for bytes in &openings {
        let opening = Opening::from_bytes(bytes).expect("an opening");
        assert_eq!(opening.opens(&read), Ok(()));
        for other in others(bytes) {
            assert!(!Opening::from_bytes(&other).is_ok_and(|opening| opening.opens(&read).is_ok()));
        }
    }
    assert!(others(&published).iter().all(|other| judge(other, &proof).is_err()));
    assert!(others(&proof).iter().all(|other| judge(&published, other).is_err()));
}

#[test]
fn vectors_of_a_told_model_hold() {
    let case = told();
    let model = frozen("told.sgm", &case.model.to_bytes());
    let proof = frozen("told.proof", &case.proof.to_bytes());
    let model = Model::from_bytes(&model).expect("the frozen model is valid");
    let judge = |proof: &[u8]| Proof::from_bytes(proof)?.verify(&model, None, &mut rng(1));
    assert!(judge(&proof).expect("the frozen proof holds") > 100.0);
    assert!(others(&proof).iter().all(|other| judge(other).is_err()));
}
