//! One number from many, and positions of maxima.

use super::Table;
use crate::float::{Primitive, Reduction, ValueId};
use crate::onnx::lower::{Lowered, Lowering, result};
use crate::onnx::node::{Content, Node, axes, axis};
use crate::onnx::problem::Refusal;
use crate::tensor::Shape;

pub(super) const OPERATORS: Table = &[
    ("ReduceMean", |lowering, node| reduce(lowering, node, Reduction::Mean)),
    ("ReduceSum", |lowering, node| reduce(lowering, node, Reduction::Sum)),
    ("ReduceMax", |lowering, node| reduce(lowering, node, Reduction::Maximum)),
    ("ArgMax", arg_maximum),
];

fn reduce(lowering: &mut Lowering, node: &Node<'_>, reduction: Reduction) -> Lowered {
    let x = lowering.numbers(node, 0)?;
    let rank = lowering.axes(x).len();
    // Axes are an operand since opset 13 (sum) or 18 (the others), an attribute before.
    let stated = match node.has(1) {
        true => node.known_integers(1)?,
        false => node.integers("axes").unwrap_or(&[]),
    };
    let axes = match stated {
        [] if node.flag("noop_with_empty_axes", false) => return result(x, node.content()),
        [] => (0..rank).collect(),
        stated => axes(stated, rank)?,
    };
    let id = lowering.push(Primitive::Reduce { reduction, axes: axes.clone() }, &[x])?;
    result(without(lowering, id, &axes, node.flag("keepdims", true))?, node.content())
}

fn arg_maximum(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let x = lowering.numbers(node, 0)?;
    let axis = axis(node.integer("axis", 0), lowering.axes(x).len())?;
    let id = match node.flag("select_last_index", false) {
        true => last_maximum(lowering, x, axis)?,
        false => lowering.push(Primitive::ArgMaximum { axis }, &[x])?,
    };
    result(without(lowering, id, &[axis], node.flag("keepdims", true))?, Content::Integer)
}

/// The last maximum is the first one counted from the end.
fn last_maximum(lowering: &mut Lowering, x: ValueId, axis: usize) -> Result<ValueId, Refusal> {
    let shape = Shape::new(lowering.axes(x))?;
    let last = shape.axes()[axis] - 1;
    let (mut starts, mut steps) = (vec![0; shape.rank()], vec![1; shape.rank()]);
    (starts[axis], steps[axis]) = (last, -1);
    let turned = lowering.push_shaped(Primitive::Slice { starts, steps }, x, &shape)?;
    let from_end = lowering.push(Primitive::ArgMaximum { axis }, &[turned])?;
    let tensor = lowering.parameter(&[], vec![last as f32])?;
    let last = lowering.push(Primitive::Constant { tensor }, &[])?;
    lowering.push(Primitive::Subtract, &[last, from_end])
}

/// Takes reduced axes away unless they are to be kept.
fn without(lowering: &mut Lowering, x: ValueId, axes: &[usize], keep: bool) -> Result<ValueId, Refusal> {
    if keep {
        return Ok(x);
    }
    let lengths = lowering.axes(x).iter().enumerate();
    let left: Vec<usize> = lengths.filter(|(at, _)| !axes.contains(at)).map(|(_, &length)| length).collect();
    lowering.reshape(x, &left)
}
