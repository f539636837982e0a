//! scikit-learn models as skl2onnx exports them, against ONNX Runtime (vectors/onnx/exports.cbor).

use super::archive::{self, agree, floats};
use crate::float;
use crate::onnx::schema::{TensorProto, data_type};
use crate::onnx::{Imported, import};

const EXPORTS: &[u8] = include_bytes!("../../../../../vectors/onnx/exports.cbor");

#[test]
fn exports_of_scikit_learn_agree_with_onnx_runtime() {
    let mut imported: Option<Imported> = None;
    let mut records = 0;
    for case in archive::read(EXPORTS) {
        if !case.model.is_empty() {
            imported =
                Some(import(&case.model).unwrap_or_else(|problems| panic!("{}: {problems}", case.name)));
        }
        let model = imported.as_ref().expect("the first case of a model brings it");
        let inputs: Vec<float::Tensor> = case.inputs.iter().map(floats).collect();
        let outputs = float::run(&model.graph, &inputs).expect("the inputs fit");
        assert_eq!(outputs.len(), case.outputs.len(), "{}", case.name);
        for ((found, about), expected) in outputs.iter().zip(&model.outputs).zip(&case.outputs) {
            check(&case.name, found, about.labels.as_deref(), expected);
        }
        records += 1;
    }
    assert!(records >= 19 * 8, "{records} records");
}

fn check(name: &str, found: &float::Tensor, labels: Option<&[String]>, expected: &TensorProto) {
    if let Some(labels) = labels {
        let position = usize::try_from(found.elements()[0] as i64).expect("a position");
        assert_eq!(labels[position], text(expected), "{name}");
        return;
    }
    let expected = floats(expected);
    assert_eq!(found.shape(), expected.shape(), "{name}");
    for (found, expected) in found.elements().iter().zip(expected.elements()) {
        assert!(agree(*found, *expected), "{name}: {found} where {expected} was expected");
    }
}

fn text(proto: &TensorProto) -> String {
    match proto.data_type {
        data_type::STRING => String::from_utf8(proto.string_data[0].clone()).expect("a label"),
        _ => floats(proto).elements()[0].to_string(),
    }
}
