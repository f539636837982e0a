//! Convolution.

use super::Table;
use super::window::{list, window};
use crate::float::Primitive;
use crate::onnx::lower::{Lowered, Lowering, float};
use crate::onnx::node::Node;
use crate::onnx::problem::{Kind, Refusal};

pub(super) const OPERATORS: Table = &[("Conv", convolution)];

fn convolution(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let x = lowering.numbers(node, 0)?;
    let axes = lowering.axes(x).to_vec();
    let weights = node.known(1)?;
    let weight_axes = weights.shape.axes().to_vec();
    if weight_axes.len() < 3 || weight_axes.len() != axes.len() {
        let what = format!("weights of {} axes over an operand of {}", weight_axes.len(), axes.len());
        return Err(Refusal::shape(what));
    }
    let kernel = list(node, "kernel_shape", axes.len() - 2, 0)?;
    if kernel != weight_axes[2..] && kernel.iter().any(|&length| length != 0) {
        return Err(Refusal::shape("kernel_shape is not the weights' shape"));
    }
    let window = window(node, &axes, &weight_axes[2..])?.window;
    let channels = weight_axes[0];
    let bias = match node.has(2) {
        true => node.known_floats(2)?.to_vec(),
        false => vec![0.0; channels],
    };
    let groups = usize::try_from(node.integer("group", 1))
        .map_err(|_| Refusal::new(Kind::Malformed, "group is negative", "export the model again"))?;
    let weight = lowering.parameter(&weight_axes, node.known_floats(1)?.to_vec())?;
    let bias = lowering.parameter(&[bias.len()], bias)?;
    float(lowering.push(Primitive::Convolution { weight, bias, window, groups }, &[x])?)
}
