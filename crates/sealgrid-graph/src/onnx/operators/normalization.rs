//! Normalisations.

use super::Table;
use super::channels::Channels;
use crate::float::{Function, Primitive, Reduction, ValueId};
use crate::onnx::literal::Literal;
use crate::onnx::lower::{Lowered, Lowering, float};
use crate::onnx::node::{Node, axis};
use crate::onnx::problem::Refusal;
use crate::tensor::Shape;

pub(super) const OPERATORS: Table = &[
    ("BatchNormalization", batch_normalization),
    ("LayerNormalization", layer_normalization),
    ("LpNormalization", lp_normalization),
];

pub(super) const OPERATORS_ML: Table = &[("Scaler", scaler), ("Normalizer", normalizer)];

/// Smallest norm that is divided by: a record of zeros stays one.
const NORM_MIN: f32 = 1e-30;

/// At inference an affine step per channel, folded into what precedes it.
fn batch_normalization(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    if node.flag("training_mode", false) {
        return Err(Refusal::unsupported("training_mode is set", "export the model for inference"));
    }
    node.only_first_result("export the model for inference")?;
    let x = lowering.numbers(node, 0)?;
    let axis = 1.min(lowering.axes(x).len().saturating_sub(1));
    let Some(&count) = lowering.axes(x).get(axis) else {
        return Err(Refusal::shape("the operand has no axes"));
    };
    let epsilon = f64::from(node.number("epsilon", 1e-5)?);
    let mut statistics = Vec::new();
    for index in 1..5 {
        let values = node.known_floats(index)?;
        if values.len() != count {
            return Err(Refusal::shape(format!(
                "operand {index} has {} entries for {count} channels",
                values.len()
            )));
        }
        statistics.push(values);
    }
    let of = |index: usize, channel: usize| f64::from(statistics[index][channel]);
    let scale: Vec<f64> = (0..count).map(|c| of(0, c) / (of(3, c) + epsilon).sqrt()).collect();
    let offset = (0..count).map(|c| of(1, c) - of(2, c) * scale[c]).collect();
    float(Channels { axis, scale, offset }.apply(lowering, x, node.other_readers[0] > 0)?)
}

fn layer_normalization(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let x = lowering.numbers(node, 0)?;
    let axis = axis(node.integer("axis", -1), lowering.axes(x).len())?;
    let axes = lowering.axes(x)[axis..].to_vec();
    let scale = spread(lowering, node.known(1)?, &axes)?;
    let offset = match node.has(2) {
        true => spread(lowering, node.known(2)?, &axes)?,
        false => vec![0.0; Shape::new(&axes)?.count()],
    };
    let epsilon = node.number("epsilon", 1e-5)?;
    let scale = lowering.parameter(&axes, scale)?;
    let offset = lowering.parameter(&axes, offset)?;
    let normalized = lowering.push(Primitive::LayerNormalization { axis, epsilon, scale, offset }, &[x])?;
    let mut results = float(normalized)?;
    if node.wanted.iter().skip(1).any(|&wanted| wanted) {
        let (mean, inverse) = statistics(lowering, x, axis, epsilon)?;
        results.extend(float(mean)?);
        results.extend(float(inverse)?);
    }
    Ok(results)
}

/// The mean from an axis on, and the reciprocal of the deviation: what training keeps.
fn statistics(
    lowering: &mut Lowering,
    x: ValueId,
    axis: usize,
    epsilon: f32,
) -> Result<(ValueId, ValueId), Refusal> {
    let axes: Vec<usize> = (axis..lowering.axes(x).len()).collect();
    let average = Primitive::Reduce { reduction: Reduction::Mean, axes };
    let mean = lowering.push(average.clone(), &[x])?;
    let centred = lowering.push(Primitive::Subtract, &[x, mean])?;
    let squares = lowering.push(Primitive::Multiply, &[centred, centred])?;
    let variance = lowering.push(average, &[squares])?;
    let tensor = lowering.parameter(&[], vec![epsilon])?;
    let epsilon = lowering.push(Primitive::Constant { tensor }, &[])?;
    let shifted = lowering.push(Primitive::Add, &[variance, epsilon])?;
    let deviation = lowering.unary(Function::Sqrt, shifted)?;
    Ok((mean, lowering.unary(Function::Reciprocal, deviation)?))
}

/// A known tensor broadcast to a shape: the elements repeat, since only leading axes may be missing or 1.
fn spread(lowering: &mut Lowering, literal: &Literal, axes: &[usize]) -> Result<Vec<f32>, Refusal> {
    let count = Shape::new(axes)?.count();
    lowering.claim(count)?;
    let own: Vec<usize> = literal.shape.axes().iter().copied().skip_while(|&length| length == 1).collect();
    let values = literal.tensor()?.into_elements();
    match axes.ends_with(&own) && !values.is_empty() {
        true => Ok(values.iter().copied().cycle().take(count).collect()),
        false => Err(Refusal::shape("scale and bias have the shape of the normalised axes")),
    }
}

/// `(x − offset)·scale`, per feature.
fn scaler(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let x = lowering.numbers(node, 0)?;
    let axis = lowering.axes(x).len().saturating_sub(1);
    let Some(&count) = lowering.axes(x).get(axis) else {
        return Err(Refusal::shape("the operand has no axes"));
    };
    let per_feature = |name: &str, default: f64| -> Result<Vec<f64>, Refusal> {
        match node.numbers(name)? {
            [] => Ok(vec![default; count]),
            [one] => Ok(vec![f64::from(*one); count]),
            values if values.len() == count => Ok(values.iter().map(|&value| value.into()).collect()),
            values => {
                Err(Refusal::shape(format!("{name} has {} entries for {count} features", values.len())))
            }
        }
    };
    lowering.claim(2 * count)?;
    let (centre, scale) = (per_feature("offset", 0.0)?, per_feature("scale", 1.0)?);
    let offset = centre.iter().zip(&scale).map(|(centre, scale)| -centre * scale).collect();
    float(Channels { axis, scale, offset }.apply(lowering, x, node.other_readers[0] > 0)?)
}

fn normalizer(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let x = lowering.numbers(node, 0)?;
    let axis = lowering.axes(x).len().saturating_sub(1);
    if lowering.axes(x).is_empty() {
        return Err(Refusal::shape("the operand has no axes"));
    }
    let norm = norm(lowering, node.text("norm", "MAX")?, x, axis)?;
    divided(lowering, x, norm)
}

fn lp_normalization(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let x = lowering.numbers(node, 0)?;
    let axis = axis(node.integer("axis", -1), lowering.axes(x).len())?;
    let name = if node.integer("p", 2) == 1 { "L1" } else { "L2" };
    let norm = norm(lowering, name, x, axis)?;
    divided(lowering, x, norm)
}

fn divided(lowering: &mut Lowering, x: ValueId, norm: ValueId) -> Lowered {
    let norm = lowering.unary(Function::Clip { low: NORM_MIN, high: f32::MAX }, norm)?;
    float(lowering.push(Primitive::Divide, &[x, norm])?)
}

fn norm(lowering: &mut Lowering, norm: &str, x: ValueId, axis: usize) -> Result<ValueId, Refusal> {
    let axes = vec![axis];
    match norm {
        "MAX" => lowering.push(Primitive::Reduce { reduction: Reduction::Maximum, axes }, &[x]),
        "L1" => {
            let absolute = lowering.unary(Function::Absolute, x)?;
            lowering.push(Primitive::Reduce { reduction: Reduction::Sum, axes }, &[absolute])
        }
        "L2" => {
            let squares = lowering.push(Primitive::Multiply, &[x, x])?;
            let sum = lowering.push(Primitive::Reduce { reduction: Reduction::Sum, axes }, &[squares])?;
            lowering.unary(Function::Sqrt, sum)
        }
        other => Err(Refusal::unsupported(format!("norm = {other:?}"), "use MAX, L1 or L2")),
    }
}
