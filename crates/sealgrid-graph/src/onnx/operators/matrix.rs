//! Matrix products.

use super::Table;
use super::channels::Channels;
use crate::float::{Primitive, ValueId};
use crate::onnx::lower::{Lowered, Lowering, float};
use crate::onnx::node::{Node, Value};
use crate::onnx::problem::Refusal;

pub(super) const OPERATORS: Table = &[("Gemm", gemm), ("MatMul", matrix_product)];

/// `alpha·A'·B' + beta·C`, where a prime transposes when the flag says so.
fn gemm(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let (alpha, beta) = (node.number("alpha", 1.0)?, node.number("beta", 1.0)?);
    let mut a = lowering.numbers(node, 0)?;
    if lowering.axes(a).len() != 2 {
        return Err(Refusal::shape(format!("A has {} axes, not 2", lowering.axes(a).len())));
    }
    if node.flag("transA", false) {
        a = lowering.push(Primitive::Transpose { permutation: vec![1, 0] }, &[a])?;
    }
    let product = match node.literal(1) {
        Some(_) => linear(lowering, node, a, node.flag("transB", false))?,
        None => {
            let mut b = lowering.numbers(node, 1)?;
            if node.flag("transB", false) {
                b = lowering.push(Primitive::Transpose { permutation: vec![1, 0] }, &[b])?;
            }
            lowering.push(Primitive::MatrixProduct, &[a, b])?
        }
    };
    let scaled = scaled(lowering, product, alpha)?;
    match node.has(2) {
        true => summed(lowering, node, scaled, beta),
        false => float(scaled),
    }
}

/// `x·alpha`, folded where possible.
fn scaled(lowering: &mut Lowering, x: ValueId, alpha: f32) -> Result<ValueId, Refusal> {
    let axis = lowering.axes(x).len() - 1;
    let count = lowering.axes(x)[axis];
    Channels { axis, scale: vec![alpha.into(); count], offset: vec![0.0; count] }.apply(lowering, x, false)
}

fn summed(lowering: &mut Lowering, node: &Node<'_>, product: ValueId, beta: f32) -> Lowered {
    if let Value::Known(literal) = node.operand(2)?
        && let Some((axis, values)) = Channels::of(lowering, product, literal)
    {
        let offset = values.iter().map(|value| value * f64::from(beta)).collect();
        let channels = Channels { axis, scale: vec![1.0; values.len()], offset };
        return float(channels.apply(lowering, product, false)?);
    }
    let mut c = lowering.numbers(node, 2)?;
    if beta != 1.0 {
        if lowering.axes(c).is_empty() {
            c = lowering.reshape(c, &[1])?;
        }
        c = scaled(lowering, c, beta)?;
    }
    float(lowering.push(Primitive::Add, &[product, c])?)
}

fn matrix_product(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let a = lowering.numbers(node, 0)?;
    if node.literal(1).is_some_and(|weight| weight.shape.rank() == 2) && !lowering.axes(a).is_empty() {
        return float(linear(lowering, node, a, false)?);
    }
    let b = lowering.numbers(node, 1)?;
    let (a_axes, b_axes) = (lowering.axes(a).to_vec(), lowering.axes(b).to_vec());
    if a_axes.is_empty() || b_axes.is_empty() {
        return Err(Refusal::shape("an operand has no axes"));
    }
    // Vectors: a row on the left, a column on the right; the axis that this adds is taken away again.
    let left = if a_axes.len() == 1 { lowering.reshape(a, &[1, a_axes[0]])? } else { a };
    let right = if b_axes.len() == 1 { lowering.reshape(b, &[b_axes[0], 1])? } else { b };
    let product = lowering.push(Primitive::MatrixProduct, &[left, right])?;
    let mut axes = lowering.axes(product).to_vec();
    if b_axes.len() == 1 {
        axes.pop();
    }
    if a_axes.len() == 1 {
        axes.remove(axes.len() - if b_axes.len() == 1 { 1 } else { 2 });
    }
    float(lowering.reshape(product, &axes)?)
}

/// `x·B`, with `B` known as `[K, N]`, or `[N, K]` when `transposed`.
fn linear(
    lowering: &mut Lowering,
    node: &Node<'_>,
    x: ValueId,
    transposed: bool,
) -> Result<ValueId, Refusal> {
    let [rows, columns] = *node.known(1)?.shape.axes() else {
        return Err(Refusal::shape("the weights have two axes"));
    };
    let values = node.known(1)?.tensor()?.into_elements();
    let (channels, weights) = match transposed {
        true => (rows, values),
        false => {
            lowering.claim(values.len())?;
            (
                columns,
                (0..columns)
                    .flat_map(|c| (0..rows).map(move |r| r * columns + c))
                    .map(|at| values[at])
                    .collect(),
            )
        }
    };
    let depth = if transposed { columns } else { rows };
    let weight = lowering.parameter(&[channels, depth], weights)?;
    let bias = lowering.parameter(&[channels], vec![0.0; channels])?;
    lowering.push(Primitive::Linear { weight, bias }, &[x])
}
