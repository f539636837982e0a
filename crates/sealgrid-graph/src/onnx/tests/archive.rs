//! The archives of vectors/onnx: an array of cases `[name, model, [input…], [output…]]`.

use minicbor::Decoder;
use prost::Message;

use crate::float::Tensor;
use crate::onnx::literal::{Elements, Literal};
use crate::onnx::schema::{ModelProto, TensorProto};
use crate::tensor::Shape;

pub struct Case {
    pub name: String,
    pub model: Vec<u8>,
    pub inputs: Vec<TensorProto>,
    pub outputs: Vec<TensorProto>,
}

pub fn read(bytes: &[u8]) -> Vec<Case> {
    let mut decoder = Decoder::new(bytes);
    let count = decoder.array().expect("an array").expect("of definite length");
    let mut cases = Vec::new();
    for _ in 0..count {
        assert_eq!(decoder.array().expect("a case"), Some(4));
        let name = decoder.str().expect("a name").to_owned();
        let model = decoder.bytes().expect("a model").to_vec();
        let (inputs, outputs) = (tensors(&mut decoder), tensors(&mut decoder));
        cases.push(Case { name, model, inputs, outputs });
    }
    assert_eq!(decoder.position(), bytes.len());
    cases
}

fn tensors(decoder: &mut Decoder<'_>) -> Vec<TensorProto> {
    let count = decoder.array().expect("an array").expect("of definite length");
    (0..count).map(|_| TensorProto::decode(decoder.bytes().expect("a tensor")).expect("a tensor")).collect()
}

pub fn decoded(model: &[u8]) -> ModelProto {
    ModelProto::decode(model).expect("a model")
}

/// The tensor as floats. Expected outputs may be empty or hold NaN, which a model may not.
pub fn floats(proto: &TensorProto) -> Tensor {
    use crate::onnx::schema::data_type::{DOUBLE, FLOAT};
    let axes: Vec<usize> = proto.dims.iter().map(|&axis| usize::try_from(axis).expect("a length")).collect();
    let elements = match (proto.data_type, proto.raw_data.as_deref()) {
        (FLOAT, Some(raw)) => raw.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect(),
        (FLOAT, None) => proto.float_data.clone(),
        (DOUBLE, Some(raw)) => {
            raw.as_chunks().0.iter().map(|&chunk| f64::from_le_bytes(chunk) as f32).collect()
        }
        _ => match Literal::read(proto).expect("a tensor that import reads").elements {
            Elements::Integer(values) => values.into_iter().map(|value| value as f32).collect(),
            Elements::Float(values) => values,
            Elements::Text(_) => panic!("numbers were expected"),
        },
    };
    Tensor::new(Shape::new(&axes).expect("a shape"), elements).expect("elements of the shape")
}

/// Whether two numbers agree within 1e-4, absolutely or relative to the expected one.
pub fn agree(found: f32, expected: f32) -> bool {
    (found - expected).abs() <= 1e-4 * expected.abs().max(1.0)
        || found == expected
        || (found.is_nan() && expected.is_nan())
}
