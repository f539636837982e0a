//! ONNX's own backend node tests (vectors/onnx/node.cbor).
//!
//! The suite gives weights, axes and shapes as inputs, where a model has them as constants. So a case is tried in this
//! order: as it is; with every operand but the first as a constant; and, when that does not import or no input is of floats, with
//! all inputs as constants, which tests computing at import.

use std::collections::BTreeMap;
use std::fmt::Write;

use prost::Message;

use super::archive::{self, Case, agree, decoded, floats};
use crate::float;
use crate::onnx::literal::{Elements, Literal};
use crate::onnx::schema::{
    Dimension, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, data_type,
};
use crate::onnx::{ImportProblems, Imported, import};

const SUITE: &[u8] = include_bytes!("../../../../../vectors/onnx/node.cbor");

/// How a case went.
enum Verdict {
    /// Agreed, with inputs as inputs, or with the first as an input, or with none.
    Passed(Given),
    Refused(ImportProblems),
    Differed(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Given {
    AsInputs,
    FirstAsInput,
    AsConstants,
}

#[test]
fn every_imported_case_agrees_within_1e_4() {
    let mut wrong = String::new();
    let mut counts: BTreeMap<String, [usize; 5]> = BTreeMap::new();
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for case in archive::read(SUITE) {
        let operator = operators(&case);
        let entry = counts.entry(operator).or_default();
        entry[0] += 1;
        match verdict(&case) {
            Verdict::Passed(given) => entry[1 + given as usize] += 1,
            Verdict::Refused(problems) => {
                entry[4] += 1;
                let problem = &problems.problems[0];
                let reason = format!("{} {}: {}", problem.code(), problem.operator, problem.what);
                reasons.entry(reason).or_default().push(case.name);
            }
            Verdict::Differed(why) => writeln!(wrong, "{}: {why}", case.name).expect("a string takes all"),
        }
    }
    if std::env::var_os("SEALGRID_NODE_SUITE_TABLE").is_some() {
        report(&counts, &reasons);
    }
    assert!(wrong.is_empty(), "{wrong}");
    let total = counts.values().fold([0; 5], |sum, row| std::array::from_fn(|at| sum[at] + row[at]));
    // What docs/reference/onnx.md states.
    assert_eq!(
        total,
        [665, 296, 132, 49, 188],
        "cases; passed as inputs, first as input, as constants; refused"
    );
}

fn report(counts: &BTreeMap<String, [usize; 5]>, reasons: &BTreeMap<String, Vec<String>>) {
    for (operator, row) in counts {
        println!("| {operator} | {} | {} | {} | {} | {} |", row[0], row[1], row[2], row[3], row[4]);
    }
    for (reason, cases) in reasons {
        println!("{} x {reason} [{}]", cases.len(), cases.join(" "));
    }
}

/// The operator that a case is about: the one it is of, or the function that it expands.
fn operators(case: &Case) -> String {
    let graph = decoded(&case.model).graph.expect("a graph");
    match graph.node.as_slice() {
        [node] => node.op_type.clone(),
        _ => "(functions written out)".to_owned(),
    }
}

fn verdict(case: &Case) -> Verdict {
    let floats = case.inputs.iter().filter(|input| input.data_type == data_type::FLOAT).count();
    let ways: &[Given] = match floats {
        0 => &[Given::AsConstants],
        _ => &[Given::AsInputs, Given::FirstAsInput, Given::AsConstants],
    };
    let mut first_refusal = None;
    for &given in ways {
        match import(&model(case, given)) {
            Ok(imported) => {
                return match compare(case, &imported) {
                    Ok(()) => Verdict::Passed(given),
                    Err(why) => Verdict::Differed(format!("{given:?}: {why}")),
                };
            }
            Err(problems) => first_refusal = first_refusal.or(Some(problems)),
        }
    }
    Verdict::Refused(first_refusal.expect("there is a way"))
}

/// The case's model, with some inputs turned into initialisers. A model without an input gets one that nothing reads.
fn model(case: &Case, given: Given) -> Vec<u8> {
    let mut model = decoded(&case.model);
    let graph = model.graph.as_mut().expect("a graph");
    let constants = match given {
        Given::AsInputs => 0,
        Given::FirstAsInput => 1,
        Given::AsConstants => 2,
    };
    let inputs = std::mem::take(&mut graph.input);
    for (index, (info, tensor)) in inputs.into_iter().zip(&case.inputs).enumerate() {
        if constants == 0 || (constants == 1 && index == 0) {
            graph.input.push(info);
        } else {
            let mut tensor = tensor.clone();
            tensor.name = info.name;
            graph.initializer.push(tensor);
        }
    }
    if graph.input.is_empty() {
        let dim = vec![Dimension { dim_value: Some(1), dim_param: None }];
        let shape = Some(TensorShapeProto { dim });
        let tensor_type = Some(TensorTypeProto { elem_type: data_type::FLOAT, shape });
        let name = "an input that nothing reads".to_owned();
        graph.input.push(ValueInfoProto { name, r#type: Some(TypeProto { tensor_type }) });
    }
    model.encode_to_vec()
}

/// Whether the harness can turn a tensor into floats.
fn readable(output: &TensorProto) -> bool {
    matches!(output.data_type, data_type::FLOAT | data_type::DOUBLE)
        || matches!(
            Literal::read(output),
            Ok(Literal { elements: Elements::Integer(_) | Elements::Float(_), .. })
        )
}

fn compare(case: &Case, imported: &Imported) -> Result<(), String> {
    let named = |name: &String| case.inputs.iter().find(|input| input.name == *name);
    let inputs: Vec<float::Tensor> = imported
        .inputs
        .iter()
        .zip(imported.graph.inputs())
        .map(|(name, shape)| match named(name) {
            Some(input) => floats(input),
            None => float::Tensor::new(shape.clone(), vec![0.0; shape.count()]).expect("of its shape"),
        })
        .collect();
    let found = float::run(&imported.graph, &inputs).map_err(|error| error.to_string())?;
    if let Some(output) = case.outputs.iter().find(|output| !readable(output)) {
        return Err(format!("imported, although it yields element type {}", output.data_type));
    }
    for (found, expected) in found.iter().zip(&case.outputs) {
        let expected = floats(expected);
        if found.shape() != expected.shape() {
            return Err(format!("{:?} where {:?} was expected", found.shape(), expected.shape()));
        }
        let pairs = found.elements().iter().zip(expected.elements());
        if let Some((found, expected)) = pairs.clone().find(|(found, expected)| !agree(**found, **expected)) {
            return Err(format!("{found} where {expected} was expected"));
        }
    }
    match found.len() <= case.outputs.len() {
        true => Ok(()),
        false => Err("more outputs than expected".to_owned()),
    }
}
