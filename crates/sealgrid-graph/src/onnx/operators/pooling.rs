//! Pools.

use super::Table;
use super::window::{Stated, list, window};
use crate::float::{Primitive, Reduction, ValueId};
use crate::onnx::lower::{Lowered, Lowering, float};
use crate::onnx::node::Node;
use crate::onnx::problem::Refusal;

pub(super) const OPERATORS: Table = &[
    ("MaxPool", maximum),
    ("AveragePool", average),
    ("GlobalMaxPool", |lowering, node| global(lowering, node, Reduction::Maximum)),
    ("GlobalAveragePool", |lowering, node| global(lowering, node, Reduction::Mean)),
];

fn maximum(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    node.only_first_result("positions of maxima are not supported")?;
    let (x, stated) = operand(lowering, node)?;
    refuse_empty_windows(lowering, x, &stated)?;
    float(lowering.push(Primitive::PoolMaximum { window: stated.window }, &[x])?)
}

fn average(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let (x, stated) = operand(lowering, node)?;
    refuse_empty_windows(lowering, x, &stated)?;
    let corrections = corrections(lowering, x, &stated, node.flag("count_include_pad", false))?;
    let pooled = lowering.push(Primitive::PoolAverage { window: stated.window }, &[x])?;
    let Some((axes, factors)) = corrections else { return float(pooled) };
    let tensor = lowering.parameter(&axes, factors)?;
    let factors = lowering.push(Primitive::Constant { tensor }, &[])?;
    float(lowering.push(Primitive::Multiply, &[pooled, factors])?)
}

fn global(lowering: &mut Lowering, node: &Node<'_>, reduction: Reduction) -> Lowered {
    let x = lowering.numbers(node, 0)?;
    let axes: Vec<usize> = (2..lowering.axes(x).len()).collect();
    float(lowering.push(Primitive::Reduce { reduction, axes }, &[x])?)
}

fn operand(lowering: &mut Lowering, node: &Node<'_>) -> Result<(ValueId, Stated), Refusal> {
    let x = lowering.numbers(node, 0)?;
    let axes = lowering.axes(x).to_vec();
    let kernel = list(node, "kernel_shape", axes.len().saturating_sub(2), 1)?;
    let stated = window(node, &axes, &kernel)?;
    Ok((x, stated))
}

/// A window that lies in the padding alone has no maximum and no average.
fn refuse_empty_windows(lowering: &mut Lowering, x: ValueId, stated: &Stated) -> Result<(), Refusal> {
    let spatial = lowering.axes(x)[2..].to_vec();
    for (axis, length) in spatial.into_iter().enumerate() {
        if counts(lowering, stated, (axis, length), (0, 0))?.contains(&0) {
            let what = "a window lies in the padding alone";
            return Err(Refusal::unsupported(what, "pad by less than the kernel"));
        }
    }
    Ok(())
}

/// Axes and elements of a tensor of factors.
type Factors = (Vec<usize>, Vec<f32>);

/// Factors that turn "divided by the number of taps" into "divided by the number of taps that count", for each output
/// position; `None` where all taps count everywhere.
fn corrections(
    lowering: &mut Lowering,
    x: ValueId,
    stated: &Stated,
    padding_counts: bool,
) -> Result<Option<Factors>, Refusal> {
    let spatial = lowering.axes(x)[2..].to_vec();
    let mut axes = vec![1, 1];
    let mut factors = vec![1.0];
    for (axis, &length) in spatial.iter().enumerate() {
        let counted = match padding_counts {
            true => {
                let window = &stated.window;
                (window.pads_before[axis], window.pads_after[axis] - stated.beyond[axis])
            }
            false => (0, 0),
        };
        let counts = counts(lowering, stated, (axis, length), counted)?;
        let taps = stated.window.kernel[axis] as f64;
        lowering.claim(factors.len().saturating_mul(counts.len()))?;
        let products = factors.iter().flat_map(|f| counts.iter().map(move |&count| f * taps / count as f64));
        factors = products.collect();
        axes.push(counts.len());
    }
    match factors.iter().all(|&factor| factor == 1.0) {
        true => Ok(None),
        false => Ok(Some((axes, factors.into_iter().map(|factor| factor as f32).collect()))),
    }
}

/// For each output position of an axis, how many taps fall on the operand or on the given padding around it.
fn counts(
    lowering: &mut Lowering,
    stated: &Stated,
    (axis, length): (usize, usize),
    (before, after): (usize, usize),
) -> Result<Vec<usize>, Refusal> {
    let window = &stated.window;
    let (kernel, dilation) = (window.kernel[axis], window.dilations[axis]);
    let (pad, stride) = (window.pads_before[axis], window.strides[axis]);
    let reach = dilation * (kernel - 1) + 1;
    let Some(free) = (length + pad + window.pads_after[axis]).checked_sub(reach) else {
        return Err(Refusal::shape("the kernel is longer than the padded operand"));
    };
    let outputs = free / stride + 1;
    lowering.claim(outputs)?;
    let (first, end) = (pad - before, pad + length + after);
    // Taps that lie before a position, of those at `start + tap·dilation`.
    let taps_before = |at: usize, start: usize| at.saturating_sub(start).div_ceil(dilation).min(kernel);
    Ok((0..outputs)
        .map(|output| taps_before(end, output * stride) - taps_before(first, output * stride))
        .collect())
}
