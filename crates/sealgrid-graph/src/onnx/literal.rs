//! Tensors whose elements are known at import: initialisers, attributes, and what is computed from them.

use super::problem::{Kind, Refusal};
use super::schema::{TensorProto, data_type};
use crate::float::Tensor;
use crate::tensor::Shape;

/// A tensor whose elements are known. Unlike a [`Tensor`] it may be empty, and integers keep 64 bits.
#[derive(Clone, Debug)]
pub(super) struct Literal {
    pub shape: Shape,
    pub elements: Elements,
}

#[derive(Clone, Debug)]
pub(super) enum Elements {
    Float(Vec<f32>),
    Integer(Vec<i64>),
    Text(Vec<String>),
}

/// Largest integer up to which every integer is a 32-bit float.
pub(super) const EXACT_MAX: i64 = 1 << 24;

impl Literal {
    pub fn integers(values: Vec<i64>) -> Self {
        let shape = Shape::new(&[values.len()]).expect("values in memory are fewer than the limit");
        Self { shape, elements: Elements::Integer(values) }
    }

    pub fn floats(values: Vec<f32>) -> Result<Self, Refusal> {
        Ok(Self { shape: Shape::new(&[values.len()])?, elements: Elements::Float(values) })
    }

    /// The elements as floats, where every integer is exact.
    pub fn tensor(&self) -> Result<Tensor, Refusal> {
        let elements = match &self.elements {
            Elements::Float(values) => values.clone(),
            Elements::Integer(values) => {
                if values.iter().any(|value| value.unsigned_abs() > EXACT_MAX.unsigned_abs()) {
                    let what = "computes with integers beyond 2^24";
                    return Err(Refusal::unsupported(what, "use float tensors for numbers"));
                }
                values.iter().map(|&value| value as f32).collect()
            }
            Elements::Text(_) => {
                return Err(Refusal::new(Kind::ElementType, "computes with strings", "use numbers"));
            }
        };
        Ok(Tensor::new(self.shape.clone(), elements)?)
    }

    /// Reads a tensor of the file.
    pub fn read(proto: &TensorProto) -> Result<Self, Refusal> {
        if proto.data_location != 0 || !proto.external_data.is_empty() || proto.segment.is_some() {
            let alternative = "save the model in one file: onnx.save_model(…, save_as_external_data=False)";
            return Err(Refusal::new(Kind::External, "its elements lie outside the file", alternative));
        }
        let shape = read_shape(&proto.dims)?;
        let elements = read_elements(proto)?;
        let found = match &elements {
            Elements::Float(values) => values.len(),
            Elements::Integer(values) => values.len(),
            Elements::Text(values) => values.len(),
        };
        if found != shape.count() {
            let what = format!("{found} elements where its shape has {}", shape.count());
            return Err(Refusal::new(Kind::Malformed, what, "export the model again"));
        }
        if let Elements::Float(values) = &elements
            && values.iter().any(|value| !value.is_finite())
        {
            let alternative = "train or export the model again: a weight is NaN or infinite";
            return Err(Refusal::new(Kind::NotFinite, "an element is not a finite number", alternative));
        }
        Ok(Self { shape, elements })
    }
}

fn read_shape(dims: &[i64]) -> Result<Shape, Refusal> {
    let axes: Result<Vec<usize>, _> = dims.iter().map(|&dim| usize::try_from(dim)).collect();
    let axes = axes.map_err(|_| Refusal::new(Kind::Malformed, "an axis has a negative length", ""))?;
    Ok(Shape::new(&axes)?)
}

fn read_elements(proto: &TensorProto) -> Result<Elements, Refusal> {
    use data_type::*;
    let raw = proto.raw_data.as_deref();
    let narrow = |keep: fn(i32) -> Option<i64>| {
        let values: Option<Vec<i64>> = proto.int32_data.iter().map(|&value| keep(value)).collect();
        values.map(Elements::Integer).ok_or_else(ragged)
    };
    match (proto.data_type, raw) {
        (FLOAT, None) => Ok(Elements::Float(proto.float_data.clone())),
        (FLOAT, Some(raw)) => chunks(raw, f32::from_le_bytes).map(Elements::Float),
        (DOUBLE, None) => Ok(Elements::Float(proto.double_data.iter().map(|&x| x as f32).collect())),
        (DOUBLE, Some(raw)) => chunks(raw, |bytes| f64::from_le_bytes(bytes) as f32).map(Elements::Float),
        (INT64, None) => Ok(Elements::Integer(proto.int64_data.clone())),
        (INT64, Some(raw)) => chunks(raw, i64::from_le_bytes).map(Elements::Integer),
        (INT32, None) => narrow(|value| Some(value.into())),
        (INT32, Some(raw)) => chunks(raw, |bytes| i32::from_le_bytes(bytes).into()).map(Elements::Integer),
        (INT16, None) => narrow(|value| i16::try_from(value).ok().map(Into::into)),
        (INT16, Some(raw)) => chunks(raw, |bytes| i16::from_le_bytes(bytes).into()).map(Elements::Integer),
        (UINT16, None) => narrow(|value| u16::try_from(value).ok().map(Into::into)),
        (UINT16, Some(raw)) => chunks(raw, |bytes| u16::from_le_bytes(bytes).into()).map(Elements::Integer),
        (INT8, None) => narrow(|value| i8::try_from(value).ok().map(Into::into)),
        (INT8, Some(raw)) => chunks(raw, |bytes| i8::from_le_bytes(bytes).into()).map(Elements::Integer),
        (UINT8, None) => narrow(|value| u8::try_from(value).ok().map(Into::into)),
        (UINT8, Some(raw)) => chunks(raw, |[byte]| byte.into()).map(Elements::Integer),
        (BOOL, None) => narrow(|value| Some((value != 0).into())),
        (BOOL, Some(raw)) => chunks(raw, |[byte]| (byte != 0).into()).map(Elements::Integer),
        (STRING, None) => {
            let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).map_err(|_| ragged());
            Ok(Elements::Text(proto.string_data.iter().map(text).collect::<Result<_, _>>()?))
        }
        (other, _) => {
            let what = format!("element type {other} of onnx.TensorProto.DataType");
            let alternative = "convert weights to float32, float64, a plain integer type or bool";
            Err(Refusal::new(Kind::ElementType, what, alternative))
        }
    }
}

fn chunks<const N: usize, T>(raw: &[u8], read: fn([u8; N]) -> T) -> Result<Vec<T>, Refusal> {
    match raw.as_chunks() {
        (chunks, []) => Ok(chunks.iter().map(|&chunk| read(chunk)).collect()),
        _ => Err(ragged()),
    }
}

fn ragged() -> Refusal {
    Refusal::new(Kind::Malformed, "its bytes are not elements of its type", "export the model again")
}
