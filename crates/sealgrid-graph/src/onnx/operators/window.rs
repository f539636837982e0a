//! The sliding windows of convolutions and pools: kernel, strides, dilations, and padding in its three spellings.

use crate::integer::{WINDOW_MAX, Window};
use crate::onnx::node::Node;
use crate::onnx::problem::{Kind, Refusal};

/// A window, and how far a rounded-up output reaches beyond the padding that the model states.
pub(super) struct Stated {
    /// Window; padding behind includes `beyond`.
    pub window: Window,
    /// Elements behind each axis that only rounding up adds.
    pub beyond: Vec<usize>,
}

/// The window of a node over an operand `[B, C, spatial…]`.
pub(super) fn window(node: &Node<'_>, axes: &[usize], kernel: &[usize]) -> Result<Stated, Refusal> {
    let spatial = axes.get(2..).unwrap_or(&[]);
    if spatial.is_empty() || kernel.len() != spatial.len() {
        let what = format!("a kernel of {} axes over an operand of {}", kernel.len(), axes.len());
        return Err(Refusal::shape(what));
    }
    let rank = spatial.len();
    let strides = list(node, "strides", rank, 1)?;
    let dilations = list(node, "dilations", rank, 1)?;
    let too_large = [kernel, &strides, &dilations].iter().any(|list| list.iter().any(|&x| x > WINDOW_MAX));
    if too_large || [kernel, &strides, &dilations].iter().any(|list| list.contains(&0)) {
        return Err(Refusal::new(Kind::Limit, "kernel, strides and dilations lie between 1 and 32,768", ""));
    }
    let reach: Vec<usize> = kernel.iter().zip(&dilations).map(|(k, d)| d * (k - 1) + 1).collect();
    let (before, mut after) = pads(node, spatial, &reach, &strides)?;
    let beyond = match node.flag("ceil_mode", false) {
        true => {
            (0..rank).map(|at| beyond(spatial[at], before[at], after[at], reach[at], strides[at])).collect()
        }
        false => vec![0; rank],
    };
    after.iter_mut().zip(&beyond).for_each(|(after, beyond)| *after += beyond);
    let kernel = kernel.to_vec();
    let window = Window { kernel, strides, dilations, pads_before: before, pads_after: after };
    Ok(Stated { window, beyond })
}

/// An attribute with one positive integer a spatial axis.
pub(super) fn list(node: &Node<'_>, name: &str, count: usize, default: usize) -> Result<Vec<usize>, Refusal> {
    let Some(values) = node.integers(name).filter(|values| !values.is_empty()) else {
        return Ok(vec![default; count]);
    };
    let values: Vec<usize> = values
        .iter()
        .map(|&value| usize::try_from(value).ok().filter(|&value| value <= WINDOW_MAX))
        .collect::<Option<_>>()
        .ok_or_else(|| Refusal::new(Kind::Limit, format!("{name} lie between 0 and 32,768"), ""))?;
    match values.len() == count {
        true => Ok(values),
        false => Err(Refusal::shape(format!("{name} has {} entries for {count} axes", values.len()))),
    }
}

fn pads(
    node: &Node<'_>,
    spatial: &[usize],
    reach: &[usize],
    strides: &[usize],
) -> Result<(Vec<usize>, Vec<usize>), Refusal> {
    let rank = spatial.len();
    let same = |upper: bool| {
        let split = |at: usize| {
            let outputs = spatial[at].div_ceil(strides[at]);
            let total = ((outputs.max(1) - 1) * strides[at] + reach[at]).saturating_sub(spatial[at]);
            let (less, more) = (total / 2, total - total / 2);
            if upper { (less, more) } else { (more, less) }
        };
        (0..rank).map(split).unzip()
    };
    match node.text("auto_pad", "NOTSET")? {
        "NOTSET" => {
            let pads = list(node, "pads", 2 * rank, 0)?;
            Ok((pads[..rank].to_vec(), pads[rank..].to_vec()))
        }
        "VALID" => Ok((vec![0; rank], vec![0; rank])),
        "SAME_UPPER" => Ok(same(true)),
        "SAME_LOWER" => Ok(same(false)),
        other => Err(Refusal::unsupported(format!("auto_pad = {other:?}"), "state the pads")),
    }
}

/// How far behind the padded operand the last window reaches when the number of windows is rounded up. A window that
/// would begin behind the operand and the padding before it does not count.
fn beyond(length: usize, before: usize, after: usize, reach: usize, stride: usize) -> usize {
    let Some(free) = (length + before + after).checked_sub(reach) else { return 0 };
    let mut last = free.div_ceil(stride);
    if last * stride >= length + before {
        last = last.saturating_sub(1);
    }
    (last * stride).saturating_sub(free)
}
