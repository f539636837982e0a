//! Sums, products and their kin of two or more operands, with broadcasting.

use super::Table;
use super::channels::Channels;
use crate::float::{Function, Primitive, ValueId};
use crate::onnx::literal::{Elements, Literal};
use crate::onnx::lower::{Lowered, Lowering, known, result};
use crate::onnx::node::{Content, Node, Value};
use crate::onnx::problem::{Kind, Refusal};
use crate::tensor::Shape;

pub(super) const OPERATORS: Table = &[
    ("Add", add),
    ("Sub", subtract),
    ("Mul", multiply),
    ("Div", divide),
    ("Mod", modulo),
    ("Neg", negate),
    ("Max", |lowering, node| many(lowering, node, &Primitive::Maximum)),
    ("Min", |lowering, node| many(lowering, node, &Primitive::Minimum)),
    ("Sum", |lowering, node| many(lowering, node, &Primitive::Add)),
    ("Pow", power),
    ("PRelu", parametric_relu),
];

fn add(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let content = content(node);
    for (variable, constant) in [(0, 1), (1, 0)] {
        if let Some((x, axis, values)) = per_channel(lowering, node, variable, constant)? {
            let channels = Channels { axis, scale: vec![1.0; values.len()], offset: values };
            return result(channels.apply(lowering, x, shared(node, variable))?, content);
        }
    }
    both(lowering, node, Primitive::Add)
}

fn subtract(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let content = content(node);
    if let Some((x, axis, values)) = per_channel(lowering, node, 0, 1)? {
        let offset = values.iter().map(|value| -value).collect();
        let channels = Channels { axis, scale: vec![1.0; values.len()], offset };
        return result(channels.apply(lowering, x, shared(node, 0))?, content);
    }
    if let Some((x, axis, values)) = per_channel(lowering, node, 1, 0)? {
        let channels = Channels { axis, scale: vec![-1.0; values.len()], offset: values };
        return result(channels.apply(lowering, x, shared(node, 1))?, content);
    }
    both(lowering, node, Primitive::Subtract)
}

fn multiply(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let content = content(node);
    for (variable, constant) in [(0, 1), (1, 0)] {
        if let Some((x, axis, values)) = per_channel(lowering, node, variable, constant)? {
            let channels = Channels { axis, offset: vec![0.0; values.len()], scale: values };
            return result(channels.apply(lowering, x, shared(node, variable))?, content);
        }
    }
    let (a, b) = (lowering.numbers(node, 0)?, lowering.numbers(node, 1)?);
    for (x, gate) in [(a, b), (b, a)] {
        if let Some(id) = gelu(lowering, x, gate)? {
            return result(id, content);
        }
    }
    result(lowering.push(Primitive::Multiply, &[a, b])?, content)
}

fn divide(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let content = content(node);
    if content == Content::Integer {
        let (a, b) = (lowering.numbers(node, 0)?, lowering.numbers(node, 1)?);
        let quotient = lowering.push(Primitive::Divide, &[a, b])?;
        return result(lowering.unary(Function::Truncate, quotient)?, content);
    }
    if let Some((x, axis, values)) = per_channel(lowering, node, 0, 1)? {
        let scale = values.iter().map(|value| 1.0 / value).collect();
        let channels = Channels { axis, offset: vec![0.0; values.len()], scale };
        return result(channels.apply(lowering, x, shared(node, 0))?, content);
    }
    both(lowering, node, Primitive::Divide)
}

/// The remainder of whole numbers that are known, exactly: exporters count axes with it. Its sign is the divisor's, with `fmod`
/// the dividend's.
fn modulo(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    const ALTERNATIVE: &str =
        "a remainder is known only of integers that are constants or follow from shapes";
    let (Some(a), Some(b)) = (node.literal(0), node.literal(1)) else {
        return Err(Refusal::unsupported("a remainder of computed values", ALTERNATIVE));
    };
    let (Elements::Integer(dividends), Elements::Integer(divisors)) = (&a.elements, &b.elements) else {
        return Err(Refusal::unsupported("a remainder of floats", ALTERNATIVE));
    };
    let shape = broadcast_shape(&a.shape, &b.shape)?;
    lowering.claim(shape.count())?;
    let follows_dividend = node.flag("fmod", false);
    let of = |dividend: i64, divisor: i64| {
        // The least integer over -1 overflows as a quotient; its remainder is 0.
        let remainder = dividend.checked_rem(divisor).or((divisor == -1).then_some(0))?;
        let turns = !follows_dividend && remainder != 0 && (remainder < 0) != (divisor < 0);
        Some(if turns { remainder + divisor } else { remainder })
    };
    let pairs = repeated(&a.shape, &shape).zip(repeated(&b.shape, &shape));
    let remainders: Option<Vec<i64>> = pairs.map(|(at, by)| of(dividends[at], divisors[by])).collect();
    let zero =
        || Refusal::new(Kind::Structure, "a remainder of a division by zero", "export the model again");
    known(Literal { shape, elements: Elements::Integer(remainders.ok_or_else(zero)?) })
}

/// For each element of `to`, in order, the position of the element of `own` that broadcasting puts there.
fn repeated(own: &Shape, to: &Shape) -> impl Iterator<Item = usize> {
    let missing = to.rank() - own.rank();
    let (own, to) = (own.axes().to_vec(), to.axes().to_vec());
    let count: usize = to.iter().product();
    (0..count).map(move |mut at| {
        let (mut position, mut stride) = (0, 1);
        for axis in (missing..to.len()).rev() {
            let length = own[axis - missing];
            position += if length == 1 { 0 } else { at % to[axis] * stride };
            stride *= length;
            at /= to[axis];
        }
        position
    })
}

fn negate(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let x = lowering.numbers(node, 0)?;
    result(lowering.unary(Function::Negate, x)?, node.content())
}

/// Two operands, neither of which is known per channel.
fn both(lowering: &mut Lowering, node: &Node<'_>, primitive: Primitive) -> Lowered {
    let (a, b) = (lowering.numbers(node, 0)?, lowering.numbers(node, 1)?);
    result(lowering.push(primitive, &[a, b])?, content(node))
}

fn many(lowering: &mut Lowering, node: &Node<'_>, primitive: &Primitive) -> Lowered {
    let mut total = lowering.numbers(node, 0)?;
    for index in 1..node.operands.len() {
        let operand = lowering.numbers(node, index)?;
        total = lowering.push(primitive.clone(), &[total, operand])?;
    }
    result(total, content(node))
}

/// Powers with a constant exponent that products and roots make.
fn power(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let x = lowering.numbers(node, 0)?;
    let exponent = match &node.known(1)?.elements {
        Elements::Float(values) if values.len() == 1 => values[0],
        Elements::Integer(values) if values.len() == 1 => values[0] as f32,
        _ => return Err(unsupported_power()),
    };
    let id = match exponent {
        1.0 => x,
        2.0 => lowering.push(Primitive::Multiply, &[x, x])?,
        3.0 => {
            let square = lowering.push(Primitive::Multiply, &[x, x])?;
            lowering.push(Primitive::Multiply, &[square, x])?
        }
        0.5 => lowering.unary(Function::Sqrt, x)?,
        -1.0 => lowering.unary(Function::Reciprocal, x)?,
        _ => return Err(unsupported_power()),
    };
    result(id, node.content())
}

fn unsupported_power() -> Refusal {
    Refusal::unsupported("an exponent other than -1, 0.5, 1, 2 or 3", "use one of these")
}

/// `max(x, 0) + slope·min(x, 0)`, the slope per channel.
fn parametric_relu(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let (x, slope) = (lowering.numbers(node, 0)?, lowering.numbers(node, 1)?);
    let above = lowering.unary(Function::Relu, x)?;
    let below = lowering.unary(Function::Clip { low: f32::MIN, high: 0.0 }, x)?;
    let below = lowering.push(Primitive::Multiply, &[below, slope])?;
    result(lowering.push(Primitive::Add, &[above, below])?, Content::Float)
}

/// The computed operand, and the known one per channel of it, where the operands are so.
fn per_channel(
    lowering: &mut Lowering,
    node: &Node<'_>,
    variable: usize,
    constant: usize,
) -> Result<Option<(ValueId, usize, Vec<f64>)>, Refusal> {
    let (Value::Computed { .. }, Value::Known(literal)) = (node.operand(variable)?, node.operand(constant)?)
    else {
        return Ok(None);
    };
    let literal: &Literal = literal;
    let x = lowering.numbers(node, variable)?;
    Ok(Channels::of(lowering, x, literal).map(|(axis, values)| (x, axis, values)))
}

fn shared(node: &Node<'_>, index: usize) -> bool {
    node.other_readers[index] > 0
}

/// Whole numbers from whole numbers, else numbers.
fn content(node: &Node<'_>) -> Content {
    let whole = |operand: &Option<Value>| match operand {
        Some(Value::Computed { content, .. }) => *content == Content::Integer,
        Some(Value::Known(literal)) => matches!(literal.elements, Elements::Integer(_)),
        _ => false,
    };
    match node.operands.iter().all(whole) {
        true => Content::Integer,
        false => Content::Float,
    }
}

/// `s·x · t·(1 + erf(x/√2))` is `2·s·t·gelu(x)`: how exporters write Gelu before opset 20.
fn gelu(lowering: &mut Lowering, scaled: ValueId, gate: ValueId) -> Result<Option<ValueId>, Refusal> {
    let (inner, factor, summand) = peeled(lowering, gate);
    let Some((Primitive::Unary(Function::Erf), of)) = single(lowering, inner) else { return Ok(None) };
    let (argument, root, zero) = peeled(lowering, of);
    let (x, scale, shift) = match scaled == argument {
        true => (scaled, 1.0, 0.0),
        false => peeled(lowering, scaled),
    };
    let near = |a: f32, b: f32| (a - b).abs() <= 1e-6 * b.abs();
    let matches = x == argument
        && (shift, zero) == (0.0, 0.0)
        && factor == summand
        && near(root, std::f32::consts::FRAC_1_SQRT_2);
    if !matches {
        return Ok(None);
    }
    let gelu = lowering.unary(Function::Gelu, x)?;
    let axis = 1.min(lowering.axes(x).len().saturating_sub(1));
    let Some(&count) = lowering.axes(x).get(axis) else { return Ok(None) };
    let factor = 2.0 * f64::from(scale) * f64::from(factor);
    let channels = Channels { axis, scale: vec![factor; count], offset: vec![0.0; count] };
    Ok(Some(channels.apply(lowering, gelu, true)?))
}

/// What an affine step with one factor and one summand is applied to, and these two; else the value itself.
fn peeled(lowering: &Lowering, id: ValueId) -> (ValueId, f32, f32) {
    if let Some((Primitive::Affine { scale, offset, .. }, of)) = single(lowering, id) {
        let uniform = |parameter| {
            let elements = lowering.builder.tensor(parameter).elements();
            elements.iter().all(|element| *element == elements[0]).then(|| elements[0])
        };
        if let (Some(scale), Some(offset)) = (uniform(*scale), uniform(*offset)) {
            return (of, scale, offset);
        }
    }
    (id, 1.0, 0.0)
}

/// The operation that yields a value, and its only operand.
fn single(lowering: &Lowering, id: ValueId) -> Option<(&Primitive, ValueId)> {
    let operation = lowering.builder.operation(id)?;
    match operation.operands[..] {
        [of] => Some((&operation.primitive, of)),
        _ => None,
    }
}

/// Shape of an expanded operand.
pub(super) fn broadcast_shape(a: &Shape, b: &Shape) -> Result<Shape, Refusal> {
    Ok(crate::integer::broadcast(a, b)?)
}
