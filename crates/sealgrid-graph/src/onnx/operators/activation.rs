//! Functions of one number, and softmax.

use super::Table;
use crate::float::{Function, Primitive};
use crate::onnx::literal::Elements;
use crate::onnx::lower::{Lowered, Lowering, float, result};
use crate::onnx::node::{Node, axis};
use crate::onnx::problem::{Kind, Refusal};

pub(super) const OPERATORS: Table = &[
    ("Relu", |lowering, node| apply(lowering, node, Function::Relu)),
    ("LeakyRelu", |lowering, node| {
        apply(lowering, node, Function::LeakyRelu { slope: node.number("alpha", 0.01)? })
    }),
    ("Clip", clip),
    ("Sigmoid", |lowering, node| apply(lowering, node, Function::Sigmoid)),
    ("Tanh", |lowering, node| apply(lowering, node, Function::Tanh)),
    ("Gelu", gelu),
    ("Erf", |lowering, node| apply(lowering, node, Function::Erf)),
    ("HardSigmoid", |lowering, node| {
        let (slope, offset) = (node.number("alpha", 0.2)?, node.number("beta", 0.5)?);
        apply(lowering, node, Function::HardSigmoid { slope, offset })
    }),
    ("HardSwish", |lowering, node| apply(lowering, node, Function::HardSwish)),
    ("Elu", |lowering, node| apply(lowering, node, Function::Elu { scale: node.number("alpha", 1.0)? })),
    ("Softplus", |lowering, node| apply(lowering, node, Function::Softplus)),
    ("Exp", |lowering, node| apply(lowering, node, Function::Exp)),
    ("Log", |lowering, node| apply(lowering, node, Function::Log)),
    ("Sqrt", |lowering, node| apply(lowering, node, Function::Sqrt)),
    ("Reciprocal", |lowering, node| apply(lowering, node, Function::Reciprocal)),
    ("Abs", |lowering, node| apply(lowering, node, Function::Absolute)),
    ("Floor", |lowering, node| apply(lowering, node, Function::Floor)),
    ("Ceil", |lowering, node| apply(lowering, node, Function::Ceil)),
    ("Softmax", softmax),
    ("LogSoftmax", softmax),
];

fn apply(lowering: &mut Lowering, node: &Node<'_>, function: Function) -> Lowered {
    let x = lowering.numbers(node, 0)?;
    result(lowering.unary(function, x)?, node.content())
}

fn clip(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let low = bound(node, 1)?.unwrap_or(f32::MIN);
    let high = bound(node, 2)?.unwrap_or(f32::MAX);
    apply(lowering, node, Function::Clip { low, high })
}

/// A bound of Clip, which must be known.
fn bound(node: &Node<'_>, index: usize) -> Result<Option<f32>, Refusal> {
    if !node.has(index) {
        return Ok(None);
    }
    match &node.known(index)?.elements {
        Elements::Float(values) if values.len() == 1 => Ok(Some(values[0])),
        Elements::Integer(values) if values.len() == 1 => Ok(Some(values[0] as f32)),
        _ => Err(Refusal::new(Kind::Shape, "a bound is one number", "")),
    }
}

fn gelu(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let function = match node.text("approximate", "none")? {
        "none" => Function::Gelu,
        "tanh" => Function::GeluTanh,
        other => {
            let what = format!("approximate = {:?}", other);
            return Err(Refusal::unsupported(what, "use \"none\" or \"tanh\""));
        }
    };
    apply(lowering, node, function)
}

fn softmax(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let x = lowering.numbers(node, 0)?;
    let axis = axis(node.integer("axis", -1), lowering.axes(x).len())?;
    let primitive = match node.proto.op_type.as_str() {
        "LogSoftmax" => Primitive::LogSoftmax { axis },
        _ => Primitive::Softmax { axis },
    };
    float(lowering.push(primitive, &[x])?)
}
