//! Decision trees over integers. A float decision `x <= t` becomes `q <= Q` with `Q` the encoding of `t`: encoding is
//! monotone, so `x <= t` never turns into "above"; the other way round only values within one step above `t` can.
//! Steps are chosen per feature so that its thresholds, not its values, fill int16: beyond the outermost threshold
//! nothing depends on the value, so saturating there is exact.

use super::emit::magnitude;
use super::fixed::{integer, step};
use super::lower::Encoding;
use super::plan::EncodedInput;
use crate::float::{Branch, Child, Graph, Primitive, Tensor, Trees};
use crate::tensor::DType;

/// Steps between the outermost thresholds of a feature; the rest of int16 is room beyond them.
const STEPS: f64 = 65_000.0;

/// The tables of an integer ensemble and what one means in its sums.
pub struct Tables {
    /// Roots, nodes, leaves, base: axis lengths and elements.
    pub tables: [(Vec<usize>, Vec<i32>); 4],
    /// Real value of one.
    pub step: f64,
}

/// The encoding of an input that only trees read: one step per feature.
pub fn encoding(graph: &Graph, input: &EncodedInput) -> Encoding {
    let features = input.factors.len();
    let mut thresholds = vec![Vec::new(); features];
    for operation in graph.operations() {
        if let Primitive::TreeEnsemble { trees, .. } = &operation.primitive
            && operation.operands[0] == input.value
        {
            for node in &trees.nodes {
                thresholds[node.feature].push(f64::from(node.threshold));
            }
        }
    }
    let (mut offsets, mut steps) = (Vec::new(), Vec::new());
    for (feature, thresholds) in thresholds.iter().enumerate() {
        let (middle, step) = centre_and_step(thresholds);
        let (factor, summand) = (input.factors[feature], input.summands[feature]);
        // middle + step·q = factor·x + summand.
        offsets.push((middle - summand) / factor);
        steps.push(step / factor);
    }
    Encoding { dtype: DType::I16, offsets, steps }
}

/// Offset and step of one feature in the trees' own unit.
fn centre_and_step(thresholds: &[f64]) -> (f64, f64) {
    let low = thresholds.iter().copied().fold(f64::INFINITY, f64::min);
    let high = thresholds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        // Nothing reads the feature.
        return (0.0, 1.0);
    }
    let span = (high - low).max(high.abs() * f64::from(f32::EPSILON)).max(f64::from(f32::MIN_POSITIVE));
    let step = span / STEPS;
    // A single threshold lies half a step above 0, where rounding turns: the decision is exact.
    let shift = if high == low { -step / 2.0 } else { 0.0 };
    ((low + high) / 2.0 + shift, step)
}

/// Integer tables of an ensemble over features that mean `offsets[f] + steps[f]·q`.
pub fn tables(trees: &Trees, leaves: &Tensor, base: &Tensor, offsets: &[f64], steps: &[f64]) -> Tables {
    let threshold = |node: &Branch| {
        let real = f64::from(node.threshold) - offsets[node.feature];
        integer(real, steps[node.feature], DType::I16.bounds())
    };
    let small = |index: usize| i32::try_from(index).expect("a checked graph has few nodes");
    let child = |child: Child| match child {
        Child::Node(node) => small(node),
        Child::Leaf(leaf) => -1 - small(leaf),
    };
    let row = |node: &Branch| [small(node.feature), threshold(node), child(node.left), child(node.right)];
    let nodes: Vec<i32> = trees.nodes.iter().flat_map(row).collect();
    let step = leaf_step(trees, leaves, base);
    let in_steps = |tensor: &Tensor| {
        let quantise = |&x: &f32| integer(x.into(), step, DType::I32.bounds());
        (tensor.shape().axes().to_vec(), tensor.elements().iter().map(quantise).collect())
    };
    let roots: Vec<i32> = trees.roots.iter().map(|&root| small(root)).collect();
    let tables =
        [(vec![roots.len()], roots), (vec![trees.nodes.len(), 4], nodes), in_steps(leaves), in_steps(base)];
    Tables { tables, step }
}

/// The step with which no sum of a leaf from each tree exceeds a quarter of int32.
fn leaf_step(trees: &Trees, leaves: &Tensor, base: &Tensor) -> f64 {
    let outputs = base.shape().count().max(1);
    let rows: Vec<f64> = leaves
        .elements()
        .chunks(outputs)
        .map(|row| row.iter().fold(0f64, |most, &x| most.max(f64::from(x).abs())))
        .collect();
    let largest = |nodes: &[Branch]| {
        let children = nodes.iter().flat_map(|node| [node.left, node.right]);
        let leaves = children.filter_map(|child| match child {
            Child::Leaf(leaf) => Some(rows[leaf]),
            Child::Node(_) => None,
        });
        leaves.fold(0.0, f64::max)
    };
    let sums: f64 = trees.roots.windows(2).map(|tree| largest(&trees.nodes[tree[0]..tree[1]])).sum();
    let base: Vec<f64> = base.elements().iter().map(|&x| x.into()).collect();
    step(4.0 * (sums + magnitude(&base)), DType::I32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes as a card does.
    fn encode(x: f64, (offset, step): (f64, f64)) -> i32 {
        integer(x - offset, step, DType::I16.bounds())
    }

    #[test]
    fn a_decision_differs_at_most_one_step_above_a_threshold() {
        let thresholds = [-3.5, 0.125, 0.126, 7.0, 1e3];
        let (offset, step) = centre_and_step(&thresholds);
        for t in thresholds {
            let q = encode(t, (offset, step));
            for distance in [0.0, 1e-6, 0.5, 1.0, 100.0, 1e9] {
                let (below, above) = (t - distance * step, t + (1.0 + distance) * step);
                assert!(encode(below, (offset, step)) <= q, "{t} and {below}");
                assert!(encode(above, (offset, step)) > q, "{t} and {above}");
            }
        }
    }

    #[test]
    fn a_single_threshold_is_decided_exactly() {
        for t in [0.0, 1.0, -17.25, 1e6, 0.1] {
            let encoding = centre_and_step(&[t, t]);
            let q = encode(t, encoding);
            let next =
                |x: f64, up: bool| f64::from(if up { (x as f32).next_up() } else { (x as f32).next_down() });
            assert!(encode(next(t, false), encoding) <= q, "{t}");
            assert!(encode(next(t, true), encoding) > q, "{t}");
        }
    }
}
