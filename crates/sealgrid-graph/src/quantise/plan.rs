//! What is decided before anything is emitted: which leading affine steps the input encoding takes over, which
//! activations become bounds of the output stage before them, and which element type each value has.

use crate::float::{Function, Graph, Operation, Primitive, ValueId};
use crate::tensor::DType;

/// Decisions about a float graph.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For each input the value that its encoding yields.
    pub inputs: Vec<EncodedInput>,
    /// For each operation whether the encoding of an input has taken it over.
    pub folded: Vec<bool>,
    /// For each operation the operation whose result it yields: itself, or a ReLU or clip that its bounds carry out.
    pub yields: Vec<usize>,
    /// Element type of each value.
    pub dtypes: Vec<DType>,
}

/// An input and the affine steps behind it: element `i` of `value` is `factors[i]·x[i] + summands[i]`.
#[derive(Clone, Debug)]
pub struct EncodedInput {
    /// What the encoded integers stand for.
    pub value: ValueId,
    /// One factor per element, positive.
    pub factors: Vec<f64>,
    /// One summand per element.
    pub summands: Vec<f64>,
    /// Only trees read it: every element may have its own step.
    pub only_trees: bool,
}

/// Element type of what linear layers read inside a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Int8: fast.
    Narrow,
    /// Int16 where int32 sums allow it: accurate.
    Wide,
}

impl Plan {
    /// Decides.
    #[must_use]
    pub fn new(graph: &Graph, width: Width) -> Self {
        let readers = readers(graph);
        let mut folded = vec![false; graph.operations().len()];
        let inputs = (0..graph.inputs().len())
            .map(|index| fold_input(graph, &readers, index, &mut folded))
            .collect::<Vec<_>>();
        let yields = (0..graph.operations().len()).map(|at| yielded(graph, &readers, at)).collect();
        let encoded: Vec<ValueId> = inputs.iter().map(|input| input.value).collect();
        let dtypes = dtypes(graph, &readers, &encoded, width);
        Self { inputs, folded, yields, dtypes }
    }
}

/// For each value the operations that read it.
fn readers(graph: &Graph) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); graph.inputs().len() + graph.operations().len()];
    for (index, operation) in graph.operations().iter().enumerate() {
        for id in &operation.operands {
            readers[id.0 as usize].push(index);
        }
    }
    readers
}

fn value_of(graph: &Graph, operation: usize) -> ValueId {
    ValueId(u32::try_from(graph.inputs().len() + operation).expect("a checked graph has few values"))
}

/// The operation that yields a value.
fn source(graph: &Graph, id: ValueId) -> Option<&Operation> {
    (id.0 as usize).checked_sub(graph.inputs().len()).map(|index| &graph.operations()[index])
}

/// Follows an input through affine steps for as long as each value has a single reader.
fn fold_input(graph: &Graph, readers: &[Vec<usize>], index: usize, folded: &mut [bool]) -> EncodedInput {
    let count = graph.inputs()[index].count();
    let value = ValueId(u32::try_from(index).expect("few inputs"));
    let mut input =
        EncodedInput { value, factors: vec![1.0; count], summands: vec![0.0; count], only_trees: false };
    while let [reader] = readers[input.value.0 as usize][..] {
        if graph.outputs().contains(&input.value) {
            break;
        }
        let operation = &graph.operations()[reader];
        let Some(steps) = affine_steps(graph, operation, input.value) else { break };
        if steps.iter().any(|(factor, summand)| !(*factor > 0.0 && factor.is_finite() && summand.is_finite()))
        {
            break;
        }
        for (at, (factor, summand)) in steps.into_iter().enumerate() {
            input.factors[at] *= factor;
            input.summands[at] = input.summands[at] * factor + summand;
        }
        folded[reader] = true;
        input.value = value_of(graph, reader);
    }
    let readers = &readers[input.value.0 as usize];
    let is_trees = |at: &usize| matches!(graph.operations()[*at].primitive, Primitive::TreeEnsemble { .. });
    input.only_trees =
        !readers.is_empty() && readers.iter().all(is_trees) && !graph.outputs().contains(&input.value);
    input
}

/// For each element of the operation's result `(factor, summand)` with `result = factor·x + summand`; `None` when the
/// operation is not of that kind.
fn affine_steps(graph: &Graph, operation: &Operation, x: ValueId) -> Option<Vec<(f64, f64)>> {
    let axes = operation.output.axes();
    if operation.output.count() != graph.shape(x).count() {
        return None;
    }
    let constant = || {
        let other = operation.operands.iter().find(|id| **id != x)?;
        let Primitive::Constant { tensor } = source(graph, *other)?.primitive else { return None };
        let tensor = graph.parameter(tensor);
        Some(broadcast_elements(tensor.elements(), tensor.shape().axes(), axes))
    };
    let first = operation.operands.first() == Some(&x);
    let steps = match &operation.primitive {
        Primitive::Reshape => vec![(1.0, 0.0); operation.output.count()],
        Primitive::Add => constant()?.into_iter().map(|c| (1.0, c)).collect(),
        Primitive::Subtract if first => constant()?.into_iter().map(|c| (1.0, -c)).collect(),
        Primitive::Multiply => constant()?.into_iter().map(|c| (c, 0.0)).collect(),
        Primitive::Divide if first => constant()?.into_iter().map(|c| (1.0 / c, 0.0)).collect(),
        Primitive::Affine { axis, scale, offset } => {
            let elements = |id| channel_elements(graph.parameter(id).elements(), *axis, axes);
            elements(*scale).into_iter().zip(elements(*offset)).collect()
        }
        _ => return None,
    };
    Some(steps)
}

/// The elements of a tensor broadcast to `axes`.
#[must_use]
pub fn broadcast_elements(elements: &[f32], own: &[usize], axes: &[usize]) -> Vec<f64> {
    let skipped = axes.len() - own.len();
    let count = axes.iter().product();
    (0..count)
        .map(|mut position: usize| {
            let (mut offset, mut pitch) = (0, 1);
            for axis in (0..axes.len()).rev() {
                let at = position % axes[axis];
                position /= axes[axis];
                if let Some(own_axis) = axis.checked_sub(skipped) {
                    offset += if own[own_axis] == 1 { 0 } else { at * pitch };
                    pitch *= own[own_axis];
                }
            }
            f64::from(elements[offset])
        })
        .collect()
}

/// One element per channel of an axis, repeated to `axes`.
fn channel_elements(channels: &[f32], axis: usize, axes: &[usize]) -> Vec<f64> {
    let inner: usize = axes[axis + 1..].iter().product();
    (0..axes.iter().product()).map(|at: usize| channels[at / inner % axes[axis]].into()).collect()
}

/// The operation whose result an operation yields: the only reader's, when that is a ReLU or a clip.
fn yielded(graph: &Graph, readers: &[Vec<usize>], at: usize) -> usize {
    let value = value_of(graph, at);
    let bounded = matches!(
        graph.operations()[at].primitive,
        Primitive::Linear { .. }
            | Primitive::Convolution { .. }
            | Primitive::MatrixProduct
            | Primitive::Add
            | Primitive::Subtract
            | Primitive::Multiply
            | Primitive::Affine { .. }
            | Primitive::PoolAverage { .. }
            | Primitive::LayerNormalization { .. }
    );
    match readers[value.0 as usize][..] {
        [reader] if bounded && !graph.outputs().contains(&value) => {
            let clips = clip_bounds(&graph.operations()[reader].primitive).is_some();
            if clips { reader } else { at }
        }
        _ => at,
    }
}

/// The bounds of a ReLU or a clip.
#[must_use]
pub fn clip_bounds(primitive: &Primitive) -> Option<(f64, f64)> {
    match primitive {
        Primitive::Unary(Function::Relu) => Some((0.0, f64::INFINITY)),
        Primitive::Unary(Function::Clip { low, high }) if low <= high => {
            Some((f64::from(*low), f64::from(*high)))
        }
        _ => None,
    }
}

/// What a value's readers want; the widest wins, and a reader that wants less narrows its own copy.
fn dtypes(graph: &Graph, readers: &[Vec<usize>], encoded: &[ValueId], width: Width) -> Vec<DType> {
    let mut dtypes = vec![DType::I8; readers.len()];
    for value in (0..readers.len()).rev() {
        let id = ValueId(u32::try_from(value).expect("few values"));
        let wants = readers[value].iter().map(|&reader| match &graph.operations()[reader].primitive {
            Primitive::Convolution { .. } => DType::I8,
            Primitive::MatrixProduct if graph.operations()[reader].operands[0] == id => DType::I16,
            Primitive::MatrixProduct => DType::I8,
            // Inputs are few and come in units of their own: int16 costs little and keeps what they say.
            Primitive::Linear { .. } if width == Width::Wide || encoded.contains(&id) => DType::I16,
            Primitive::Linear { .. } => DType::I8,
            primitive if is_move(primitive) || clip_bounds(primitive).is_some() => {
                dtypes[value_of(graph, reader).0 as usize]
            }
            _ => DType::I16,
        });
        let wanted = wants.max_by_key(|dtype| dtype.bytes()).unwrap_or(DType::I16);
        dtypes[value] = if graph.outputs().contains(&id) { DType::I16 } else { wanted };
    }
    dtypes
}

/// Operations that keep elements as they are.
#[must_use]
pub fn is_move(primitive: &Primitive) -> bool {
    matches!(
        primitive,
        Primitive::Reshape
            | Primitive::Transpose { .. }
            | Primitive::Slice { .. }
            | Primitive::Gather { .. }
            | Primitive::Pad { .. }
            | Primitive::Broadcast
            | Primitive::Concatenate { .. }
            | Primitive::PoolMaximum { .. }
    )
}
