//! What is known at import by definition.

use super::Table;
use crate::float::signed;
use crate::onnx::literal::{Elements, Literal};
use crate::onnx::lower::{Lowered, Lowering, known};
use crate::onnx::node::{Node, Value};
use crate::onnx::problem::{Kind, Refusal};
use crate::tensor::Shape;

pub(super) const OPERATORS: Table =
    &[("Constant", constant), ("ConstantOfShape", constant_of_shape), ("Shape", shape), ("Size", size)];

fn constant(_: &mut Lowering, node: &Node<'_>) -> Lowered {
    let [attribute] = node.proto.attribute.as_slice() else {
        return Err(Refusal::new(Kind::Structure, "a constant has one attribute", "export the model again"));
    };
    let scalar = |elements| -> Result<Literal, Refusal> { Ok(Literal { shape: Shape::new(&[])?, elements }) };
    match attribute.name.as_str() {
        "value" => match &attribute.t {
            Some(tensor) => known(Literal::read(tensor)?),
            None => Err(Refusal::new(Kind::Malformed, "value is no tensor", "export the model again")),
        },
        "value_float" => known(scalar(Elements::Float(vec![node.number("value_float", 0.0)?]))?),
        "value_floats" => known(Literal::floats(node.numbers("value_floats")?.to_vec())?),
        "value_int" => known(scalar(Elements::Integer(vec![attribute.i]))?),
        "value_ints" => known(Literal::integers(attribute.ints.clone())),
        other => {
            let what = format!("a constant from {other:?}");
            Err(Refusal::unsupported(what, "use value, value_float(s) or value_int(s)"))
        }
    }
}

fn constant_of_shape(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let shape = stated_shape(node.known_integers(0)?)?;
    // A few bytes may claim any number of elements.
    lowering.claim(shape.count())?;
    let value = match node.attribute("value").and_then(|attribute| attribute.t.as_deref()) {
        None => Elements::Float(vec![0.0]),
        Some(tensor) => Literal::read(tensor)?.elements,
    };
    let elements = match value {
        Elements::Float(values) if values.len() == 1 => Elements::Float(vec![values[0]; shape.count()]),
        Elements::Integer(values) if values.len() == 1 => Elements::Integer(vec![values[0]; shape.count()]),
        _ => return Err(Refusal::shape("value is not one number")),
    };
    known(Literal { shape, elements })
}

fn shape(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let axes = operand_axes(lowering, node)?;
    let rank = signed(axes.len());
    let clamped = |at: i64| usize::try_from(if at < 0 { at.saturating_add(rank) } else { at }.clamp(0, rank));
    let start = clamped(node.integer("start", 0)).expect("clamped to the rank");
    let end = clamped(node.integer("end", rank)).expect("clamped to the rank");
    known(Literal::integers(axes[start..end.max(start)].iter().map(|&axis| signed(axis)).collect()))
}

fn size(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let count: usize = operand_axes(lowering, node)?.iter().product();
    known(Literal { shape: Shape::new(&[])?, elements: Elements::Integer(vec![signed(count)]) })
}

fn operand_axes(lowering: &Lowering, node: &Node<'_>) -> Result<Vec<usize>, Refusal> {
    Ok(match node.operand(0)? {
        Value::Known(literal) => literal.shape.axes().to_vec(),
        Value::Computed { id, .. } => lowering.axes(*id).to_vec(),
        Value::Refused => unreachable!("nodes behind refused ones are not lowered"),
    })
}

/// A shape from integers of the model.
pub(super) fn stated_shape(axes: &[i64]) -> Result<Shape, Refusal> {
    let axes: Result<Vec<usize>, _> = axes.iter().map(|&axis| usize::try_from(axis)).collect();
    Ok(Shape::new(&axes.map_err(|_| Refusal::shape("an axis has a negative length"))?)?)
}
