//! What moves elements without changing them.

use std::rc::Rc;

use super::Table;
use super::arithmetic::broadcast_shape;
use crate::float::{Primitive, ValueId, signed};
use crate::integer::OPERANDS_MAX;
use crate::onnx::literal::{Elements, Literal};
use crate::onnx::lower::{Lowered, Lowering, known, result};
use crate::onnx::node::{Content, Node, Value, axes, axis, axis as position};
use crate::onnx::operators::constant::stated_shape;
use crate::onnx::problem::{Kind, Refusal};
use crate::tensor::Shape;

pub(super) const OPERATORS: Table = &[
    ("Flatten", flatten),
    ("Reshape", reshape),
    ("Transpose", transpose),
    ("Concat", concatenate),
    ("Split", split),
    ("Slice", slice),
    ("Gather", gather),
    ("Squeeze", squeeze),
    ("Unsqueeze", unsqueeze),
    ("Pad", pad),
    ("Expand", expand),
];

/// The operand under another shape. Known tensors stay known and exact: shape arithmetic passes through here.
fn reshaped(
    lowering: &mut Lowering,
    node: &Node<'_>,
    shape: impl FnOnce(&[usize]) -> Result<Vec<usize>, Refusal>,
) -> Lowered {
    if let Some(literal) = node.literal(0) {
        let to = Shape::new(&shape(literal.shape.axes())?)?;
        if to.count() != literal.shape.count() {
            return Err(Refusal::shape("the number of elements would change"));
        }
        lowering.claim(to.count())?;
        return known(Literal { shape: to, elements: literal.elements.clone() });
    }
    let x = lowering.value(node, 0)?;
    let to = shape(lowering.axes(x))?;
    result(lowering.reshape(x, &to)?, node.content())
}

fn flatten(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    reshaped(lowering, node, |axes| {
        let rank = signed(axes.len());
        let at = node.integer("axis", 1);
        let at = if at < 0 { at.saturating_add(rank) } else { at };
        let split = usize::try_from(at).ok().filter(|&at| at <= axes.len());
        let (outer, inner) = axes.split_at(split.ok_or_else(|| Refusal::shape("the axis does not exist"))?);
        Ok(vec![outer.iter().product(), inner.iter().product()])
    })
}

fn reshape(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let wanted = node.known_integers(1)?.to_vec();
    let zero_copies = !node.flag("allowzero", false);
    reshaped(lowering, node, |axes| {
        let length = |(position, &wanted): (usize, &i64)| match wanted {
            0 if zero_copies => axes.get(position).copied().map(signed),
            wanted => Some(wanted),
        };
        let lengths: Option<Vec<i64>> = wanted.iter().enumerate().map(length).collect();
        inferred(
            axes.iter().product(),
            &lengths.ok_or_else(|| Refusal::shape("0 beyond the operand's axes"))?,
        )
    })
}

/// Lengths with at most one −1, which stands for what is left of `count`.
fn inferred(count: usize, lengths: &[i64]) -> Result<Vec<usize>, Refusal> {
    let rest: Vec<i64> = lengths.iter().copied().filter(|&length| length != -1).collect();
    let rest_count = stated_shape(&rest)?.count();
    let left = match lengths.len() - rest.len() {
        0 => 0,
        1 if rest_count > 0 && count.is_multiple_of(rest_count) => count / rest_count,
        _ => return Err(Refusal::shape("-1 cannot be inferred")),
    };
    Ok(lengths.iter().map(|&length| usize::try_from(length).unwrap_or(left)).collect())
}

fn squeeze(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let stated = operand_axes(node)?;
    reshaped(lowering, node, |lengths| {
        let gone = match &stated {
            None => (0..lengths.len()).filter(|&at| lengths[at] == 1).collect(),
            Some(stated) => axes(stated, lengths.len())?,
        };
        if gone.iter().any(|&at| lengths[at] != 1) {
            return Err(Refusal::shape("an axis to squeeze is longer than 1"));
        }
        Ok((0..lengths.len()).filter(|at| !gone.contains(at)).map(|at| lengths[at]).collect())
    })
}

fn unsqueeze(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let stated = operand_axes(node)?.ok_or_else(|| Refusal::shape("no axes are stated"))?;
    reshaped(lowering, node, |lengths| {
        let rank = lengths.len() + stated.len();
        let new = axes(&stated, rank)?;
        let mut old = lengths.iter().copied();
        let length = |at: usize| if new.contains(&at) { Some(1) } else { old.next() };
        (0..rank).map(length).collect::<Option<_>>().ok_or_else(|| Refusal::shape("too many axes"))
    })
}

/// The axes of squeeze and unsqueeze.
fn operand_axes(node: &Node<'_>) -> Result<Option<Vec<i64>>, Refusal> {
    match node.has(1) {
        true => Ok(Some(node.known_integers(1)?.to_vec())),
        false => Ok(None),
    }
}

fn transpose(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let x = lowering.value(node, 0)?;
    let rank = lowering.axes(x).len();
    let permutation: Vec<usize> = match node.integers("perm") {
        None => (0..rank).rev().collect(),
        Some(perm) => perm.iter().map(|&at| axis(at, rank)).collect::<Result<_, _>>()?,
    };
    result(lowering.push(Primitive::Transpose { permutation }, &[x])?, node.content())
}

fn concatenate(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    if let Some(joined) = joined_integers(lowering, node)? {
        return known(joined);
    }
    if node.operands.len() > OPERANDS_MAX {
        return Err(Refusal::new(Kind::Limit, "joins more than 1,024 tensors", "join them in steps"));
    }
    let ids: Vec<ValueId> =
        (0..node.operands.len()).map(|index| lowering.numbers(node, index)).collect::<Result<_, _>>()?;
    let rank = ids.first().map_or(0, |&id| lowering.axes(id).len());
    let axis = axis(node.integer("axis", 0), rank)?;
    result(lowering.push(Primitive::Concatenate { axis }, &ids)?, node.content())
}

/// Lists of known integers, joined exactly: the shape of a reshape, the ends of a slice.
fn joined_integers(lowering: &mut Lowering, node: &Node<'_>) -> Result<Option<Literal>, Refusal> {
    let mut joined = Vec::new();
    for index in 0..node.operands.len() {
        match node.literal(index) {
            Some(Literal { shape, elements: Elements::Integer(values) }) if shape.rank() == 1 => {
                lowering.claim(values.len())?;
                joined.extend_from_slice(values);
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(Literal::integers(joined)))
}

fn split(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let x = lowering.numbers(node, 0)?;
    let lengths = lowering.axes(x).to_vec();
    let axis = axis(node.integer("axis", 0), lengths.len())?;
    let parts = part_lengths(node, lengths[axis])?;
    let (mut start, mut values) = (0, Vec::new());
    for part in parts {
        let mut starts = vec![0; lengths.len()];
        starts[axis] = start;
        let mut axes = lengths.clone();
        axes[axis] = part;
        let primitive = Primitive::Slice { starts, steps: vec![1; lengths.len()] };
        let id = lowering.push_shaped(primitive, x, &Shape::new(&axes)?)?;
        values.push(Value::Computed { id, content: node.content() });
        start += part;
    }
    Ok(values)
}

/// The lengths into which an axis is split: stated, or equal but for a shorter last one.
fn part_lengths(node: &Node<'_>, length: usize) -> Result<Vec<usize>, Refusal> {
    let count = node.proto.output.len();
    if node.has(1) {
        let stated: Result<Vec<usize>, _> =
            node.known_integers(1)?.iter().map(|&part| usize::try_from(part)).collect();
        let stated = stated.map_err(|_| Refusal::shape("a part has a negative length"))?;
        let sum = stated.iter().try_fold(0usize, |sum, &part| sum.checked_add(part));
        return match sum == Some(length) && stated.len() == count {
            true => Ok(stated),
            false => Err(Refusal::shape("the parts are not the whole")),
        };
    }
    let part = length.div_ceil(count.max(1)).max(1);
    if count.saturating_sub(1).saturating_mul(part) >= length {
        return Err(Refusal::shape(format!("{length} cannot be split into {count}")));
    }
    Ok((0..count).map(|at| part.min(length - at * part)).collect())
}

fn slice(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    if let Some(part) = sliced_integers(lowering, node)? {
        return known(part);
    }
    let x = lowering.numbers(node, 0)?;
    let lengths = lowering.axes(x).to_vec();
    let (mut from, mut steps, mut counts) = (vec![0; lengths.len()], vec![1; lengths.len()], lengths.clone());
    for (axis, Part { start, step, count }) in parts(node, &lengths)? {
        if count == 0 {
            return Err(Refusal::shape("a slice is empty"));
        }
        (from[axis], steps[axis], counts[axis]) = (start, step, count);
    }
    let primitive = Primitive::Slice { starts: from, steps };
    result(lowering.push_shaped(primitive, x, &Shape::new(&counts)?)?, node.content())
}

/// A part of a list of known integers, exactly; it may be empty, as the leading axes of a shape are.
fn sliced_integers(lowering: &mut Lowering, node: &Node<'_>) -> Result<Option<Literal>, Refusal> {
    let Some(Literal { shape, elements: Elements::Integer(values) }) = node.literal(0) else {
        return Ok(None);
    };
    let [length] = *shape.axes() else { return Ok(None) };
    let Some((_, Part { start, step, count })) = parts(node, &[length])?.pop() else { return Ok(None) };
    lowering.claim(count)?;
    let stride = usize::try_from(step.unsigned_abs()).map_err(|_| Refusal::shape("a step is too long"))?;
    let at = |position: usize| if step > 0 { start + position * stride } else { start - position * stride };
    Ok(Some(Literal::integers((0..count).map(|position| values[at(position)]).collect())))
}

/// The positions that a slice takes along one axis.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    step: i64,
    count: usize,
}

/// What a slice takes along each axis that it names.
fn parts(node: &Node<'_>, lengths: &[usize]) -> Result<Vec<(usize, Part)>, Refusal> {
    let (starts, ends) = (node.known_integers(1)?, node.known_integers(2)?);
    let every: Vec<i64> = (0..signed(starts.len())).collect();
    let over = if node.has(3) { node.known_integers(3)? } else { &every };
    let once = vec![1; starts.len()];
    let steps = if node.has(4) { node.known_integers(4)? } else { &once };
    if [ends.len(), over.len(), steps.len()] != [starts.len(); 3] {
        return Err(Refusal::shape("starts, ends, axes and steps differ in number"));
    }
    axes(over, lengths.len())?;
    (0..starts.len())
        .map(|entry| {
            let at = axis(over[entry], lengths.len())?;
            Ok((at, taken(lengths[at], starts[entry], ends[entry], steps[entry])?))
        })
        .collect()
}

/// What a slice takes along one axis, as NumPy counts.
fn taken(length: usize, start: i64, end: i64, step: i64) -> Result<Part, Refusal> {
    let length = signed(length);
    let from_start = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
    let (start, end) = match step {
        0 => return Err(Refusal::shape("a step is 0")),
        1.. => (from_start(start).clamp(0, length), from_start(end).clamp(0, length)),
        // The lower bound comes last: an axis without elements has no last position.
        _ => (from_start(start).min(length - 1).max(0), from_start(end).min(length - 1).max(-1)),
    };
    let distance = if step > 0 { end - start } else { start - end };
    let count = if length == 0 { 0 } else { distance.max(0).unsigned_abs().div_ceil(step.unsigned_abs()) };
    // Of a single position any step is true, and only this one surely fits.
    let step = if count <= 1 { 1 } else { step };
    let position = |value: u64| usize::try_from(value).map_err(|_| Refusal::shape("a slice is too long"));
    Ok(Part { start: position(start.unsigned_abs())?, step, count: position(count)? })
}

fn gather(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let x = lowering.numbers(node, 0)?;
    let lengths = lowering.axes(x).to_vec();
    let axis = axis(node.integer("axis", 0), lengths.len())?;
    let positions = node.known(1)?;
    let own = positions.shape.axes().to_vec();
    let indices: Vec<usize> = node
        .known_integers(1)?
        .iter()
        .map(|&at| position(at, lengths[axis]))
        .collect::<Result<_, _>>()
        .map_err(|_| Refusal::shape("a position lies outside the axis"))?;
    lowering.claim(indices.len())?;
    let id = lowering.push(Primitive::Gather { axis, indices }, &[x])?;
    let axes = [&lengths[..axis], &own, &lengths[axis + 1..]].concat();
    result(lowering.reshape(id, &axes)?, node.content())
}

fn pad(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    match node.text("mode", "constant")? {
        "constant" => {}
        other => return Err(Refusal::unsupported(format!("mode = {other:?}"), "pad with a constant")),
    }
    let x = lowering.numbers(node, 0)?;
    let rank = lowering.axes(x).len();
    let widths = node.known_integers(1)?;
    let every: Vec<i64> = (0..signed(rank)).collect();
    let over = if node.has(3) { node.known_integers(3)? } else { &every };
    if widths.len() != 2 * over.len() {
        return Err(Refusal::shape("two widths per axis are needed"));
    }
    axes(over, rank)?;
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (entry, &one) in over.iter().enumerate() {
        let width = |at: usize| {
            let alternative = "slice instead of padding by less than nothing";
            usize::try_from(widths[at]).map_err(|_| Refusal::unsupported("a width is negative", alternative))
        };
        let at = axis(one, rank)?;
        (before[at], after[at]) = (width(entry)?, width(entry + over.len())?);
    }
    let value = match node.has(2) {
        true => *node.known(2)?.tensor()?.elements().first().ok_or_else(|| Refusal::shape("no value"))?,
        false => 0.0,
    };
    result(lowering.push(Primitive::Pad { before, after, value }, &[x])?, node.content())
}

fn expand(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let x = lowering.numbers(node, 0)?;
    let shape = broadcast_shape(lowering.builder.shape(x), &stated_shape(node.known_integers(1)?)?)?;
    result(lowering.push_shaped(Primitive::Broadcast, x, &shape)?, node.content())
}

/// Labels at computed positions: how classifiers written with plain operators name the class.
pub(super) fn label(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let literal = node.known(0)?;
    let labels: Vec<String> = match &literal.elements {
        Elements::Text(labels) => labels.clone(),
        Elements::Integer(labels) => labels.iter().map(i64::to_string).collect(),
        Elements::Float(_) => return Err(Refusal::unsupported("chooses among numbers", "use Gather")),
    };
    lowering.claim(labels.len())?;
    let Value::Computed { id, content: Content::Integer } = node.operand(1)? else {
        return Err(Refusal::unsupported("its positions are not whole numbers", "use ArgMax"));
    };
    lowering.labels.get_or_insert_with(|| labels.clone());
    result(*id, Content::Label(Rc::new(labels)))
}
