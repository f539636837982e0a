//! Lowering functions, one table an operator family.

mod activation;
mod arithmetic;
mod channels;
mod classifier;
mod constant;
mod convolution;
mod element;
mod matrix;
mod movement;
mod normalization;
mod pooling;
mod reduction;
mod trees;
mod window;

use super::lower::{Lowered, Lowering};
use super::node::Node;

/// Adds what a node computes.
pub(super) type Lower = fn(&mut Lowering, &Node<'_>) -> Lowered;

/// Operators of one family and their lowering functions.
type Table = &'static [(&'static str, Lower)];

const ONNX: &[Table] = &[
    activation::OPERATORS,
    arithmetic::OPERATORS,
    constant::OPERATORS,
    convolution::OPERATORS,
    element::OPERATORS,
    matrix::OPERATORS,
    movement::OPERATORS,
    normalization::OPERATORS,
    pooling::OPERATORS,
    reduction::OPERATORS,
];

const ONNX_ML: &[Table] = &[classifier::OPERATORS, normalization::OPERATORS_ML, trees::OPERATORS];

/// The lowering function of an operator.
pub(super) fn find(domain: &str, operator: &str) -> Option<Lower> {
    let tables = match domain {
        "" | "ai.onnx" => ONNX,
        "ai.onnx.ml" => ONNX_ML,
        _ => return None,
    };
    tables.iter().copied().flatten().find(|(name, _)| *name == operator).map(|(_, lower)| *lower)
}
