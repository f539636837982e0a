//! What leaves elements as they are: identity, casts, dropout at inference.

use super::Table;
use crate::float::Function;
use crate::onnx::literal::Elements;
use crate::onnx::lower::{Lowered, Lowering, result};
use crate::onnx::node::{Content, Node, Value};
use crate::onnx::problem::{Kind, Refusal};
use crate::onnx::schema::data_type;

pub(super) const OPERATORS: Table = &[("Identity", identity), ("Dropout", dropout), ("Cast", cast)];

fn identity(_: &mut Lowering, node: &Node<'_>) -> Lowered {
    Ok(vec![node.operand(0)?.clone()])
}

fn dropout(_: &mut Lowering, node: &Node<'_>) -> Lowered {
    node.only_first_result("use the first result alone")?;
    if node.has(2) && node.known_integers(2)?.iter().any(|&training| training != 0) {
        return Err(Refusal::unsupported("training_mode is set", "export the model for inference"));
    }
    Ok(vec![node.operand(0)?.clone()])
}

fn cast(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    use data_type::*;
    let whole = match node.integer("to", 0) as i32 {
        FLOAT | DOUBLE => false,
        INT32 | INT64 => true,
        STRING if labels(node) => return Ok(vec![node.operand(0)?.clone()]),
        other => {
            let what = format!("casts to element type {other} of onnx.TensorProto.DataType");
            return Err(Refusal::new(Kind::ElementType, what, "cast to float32, int32 or int64"));
        }
    };
    if labels(node) {
        return Ok(vec![node.operand(0)?.clone()]);
    }
    // Known integers keep their 64 bits: they may be the "as far as it goes" of a slice.
    if let (true, Some(literal)) = (whole, node.literal(0))
        && matches!(literal.elements, Elements::Integer(_))
    {
        return Ok(vec![node.operand(0)?.clone()]);
    }
    let x = lowering.numbers(node, 0)?;
    match (whole, node.content()) {
        (true, Content::Float) => result(lowering.unary(Function::Truncate, x)?, Content::Integer),
        (true, content) => result(x, content),
        (false, _) => result(x, Content::Float),
    }
}

fn labels(node: &Node<'_>) -> bool {
    match node.operands.first() {
        Some(Some(Value::Computed { content, .. })) => matches!(content, Content::Label(_)),
        Some(Some(Value::Known(literal))) => matches!(literal.elements, Elements::Text(_)),
        _ => false,
    }
}
