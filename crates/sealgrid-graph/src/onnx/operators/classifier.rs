//! Linear models, and the labels and maps around any classifier's scores.

use std::rc::Rc;

use super::Table;
use super::movement::label;
use crate::float::{Function, Primitive, ValueId};
use crate::onnx::lower::{Lowered, Lowering, float};
use crate::onnx::node::{Content, Node, Value};
use crate::onnx::problem::Refusal;

pub(super) const OPERATORS: Table = &[
    ("LinearClassifier", linear_classifier),
    ("LinearRegressor", linear_regressor),
    ("ArrayFeatureExtractor", label),
    ("ZipMap", zip_map),
];

fn linear_classifier(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let labels = labels(node, "classlabels_ints", "classlabels_strings")?;
    let (mut weights, mut biases) = (node.numbers("coefficients")?.to_vec(), intercepts(node)?);
    let x = lowering.numbers(node, 0)?;
    let features = lowering.axes(x).last().copied().unwrap_or(0);
    // One row of weights for two classes: the other class has the opposite score.
    if labels.len() == 2 && weights.len() == features {
        weights = weights.iter().map(|weight| -weight).chain(weights.iter().copied()).collect();
        biases = biases.iter().map(|bias| -bias).chain(biases.iter().copied()).collect();
    }
    let scores = linear(lowering, x, labels.len(), weights, biases)?;
    let scores = post_transform(lowering, node, scores)?;
    classified(lowering, scores, labels)
}

fn linear_regressor(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let targets = usize::try_from(node.integer("targets", 1)).unwrap_or(0);
    let x = lowering.numbers(node, 0)?;
    let (weights, biases) = (node.numbers("coefficients")?.to_vec(), intercepts(node)?);
    let y = linear(lowering, x, targets, weights, biases)?;
    float(post_transform(lowering, node, y)?)
}

fn intercepts(node: &Node<'_>) -> Result<Vec<f32>, Refusal> {
    Ok(node.numbers("intercepts")?.to_vec())
}

fn linear(
    lowering: &mut Lowering,
    x: ValueId,
    channels: usize,
    weights: Vec<f32>,
    mut biases: Vec<f32>,
) -> Result<ValueId, Refusal> {
    let features = lowering.axes(x).last().copied().unwrap_or(0);
    if channels == 0 || channels.checked_mul(features) != Some(weights.len()) {
        let what = format!("{} coefficients for {channels} outputs of {features} features", weights.len());
        return Err(Refusal::shape(what));
    }
    if biases.is_empty() {
        biases = vec![0.0; channels];
    }
    let weight = lowering.parameter(&[channels, features], weights)?;
    let bias = lowering.parameter(&[biases.len()], biases)?;
    lowering.push(Primitive::Linear { weight, bias }, &[x])
}

/// What is done to scores in the end.
pub(super) fn post_transform(
    lowering: &mut Lowering,
    node: &Node<'_>,
    scores: ValueId,
) -> Result<ValueId, Refusal> {
    match node.text("post_transform", "NONE")? {
        "NONE" => Ok(scores),
        "LOGISTIC" => lowering.unary(Function::Sigmoid, scores),
        "SOFTMAX" => lowering.push(Primitive::Softmax { axis: 1 }, &[scores]),
        other => {
            let what = format!("post_transform = {other:?}");
            Err(Refusal::unsupported(what, "use NONE, LOGISTIC or SOFTMAX"))
        }
    }
}

/// Class labels from one of two attributes, as text.
pub(super) fn labels(node: &Node<'_>, integers: &str, strings: &str) -> Result<Vec<String>, Refusal> {
    let labels = match node.integers(integers).unwrap_or(&[]) {
        [] => node.texts(strings)?,
        labels => labels.iter().map(i64::to_string).collect(),
    };
    match labels.is_empty() {
        true => Err(Refusal::shape("the classes have no labels")),
        false => Ok(labels),
    }
}

/// Both results of a classifier: the label of the largest score, and the scores.
pub(super) fn classified(lowering: &mut Lowering, scores: ValueId, labels: Vec<String>) -> Lowered {
    let [records, classes] = *lowering.axes(scores) else {
        return Err(Refusal::shape("scores have two axes"));
    };
    if classes != labels.len() {
        return Err(Refusal::shape(format!("{} labels for {classes} classes", labels.len())));
    }
    let best = lowering.push(Primitive::ArgMaximum { axis: 1 }, &[scores])?;
    let best = lowering.reshape(best, &[records])?;
    lowering.labels.get_or_insert_with(|| labels.clone());
    Ok(vec![
        Value::Computed { id: best, content: Content::Label(Rc::new(labels)) },
        Value::Computed { id: scores, content: Content::Float },
    ])
}

/// A map from labels to scores as a model's output: the scores alone are taken, the labels become the model's.
fn zip_map(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let labels = labels(node, "classlabels_int64s", "classlabels_strings")?;
    lowering.labels.get_or_insert(labels);
    float(lowering.numbers(node, 0)?)
}
