//! One node on its way to be lowered: its attributes, and its operands as far as they are known.

use std::rc::Rc;

use super::literal::{Elements, Literal};
use super::problem::{Kind, Refusal};
use super::schema::{AttributeProto, NodeProto};
use crate::float::{ValueId, signed};

/// What a name of the model stands for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A tensor that is known at import.
    Known(Rc<Literal>),
    /// A value of the float graph.
    Computed { id: ValueId, content: Content },
    /// The result of a refused node: what depends on it is not looked at.
    Refused,
}

/// What the elements of a computed value mean.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// Numbers.
    Float,
    /// Whole numbers.
    Integer,
    /// Positions in a list of labels.
    Label(Rc<Vec<String>>),
}

/// A node with its operands.
pub(super) struct Node<'a> {
    pub proto: &'a NodeProto,
    /// One entry an operand; `None` where the model leaves it out.
    pub operands: Vec<Option<Value>>,
    /// Number of other readers of each operand.
    pub other_readers: Vec<usize>,
    /// Which results anything reads.
    pub wanted: Vec<bool>,
}

impl Node<'_> {
    /// The name in messages and in the graph.
    pub fn name(&self) -> &str {
        node_name(self.proto)
    }

    pub fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.proto.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub fn integer(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }

    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.integer(name, default.into()) != 0
    }

    pub fn number(&self, name: &str, default: f32) -> Result<f32, Refusal> {
        finite(self.attribute(name).map_or(default, |attribute| attribute.f), name)
    }

    pub fn integers(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    pub fn numbers(&self, name: &str) -> Result<&[f32], Refusal> {
        let numbers = self.attribute(name).map_or(&[][..], |attribute| &attribute.floats);
        for &number in numbers {
            finite(number, name)?;
        }
        Ok(numbers)
    }

    pub fn text(&self, name: &str, default: &'static str) -> Result<&str, Refusal> {
        match self.attribute(name) {
            None => Ok(default),
            Some(attribute) => std::str::from_utf8(&attribute.s)
                .map_err(|_| Refusal::new(Kind::Malformed, format!("{name} is not text"), "")),
        }
    }

    pub fn texts(&self, name: &str) -> Result<Vec<String>, Refusal> {
        let strings = self.attribute(name).map_or(&[][..], |attribute| &attribute.strings);
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone());
        strings
            .iter()
            .map(text)
            .collect::<Result<_, _>>()
            .map_err(|_| Refusal::new(Kind::Malformed, format!("{name} is not text"), ""))
    }

    /// Whether operand `index` is there.
    pub fn has(&self, index: usize) -> bool {
        matches!(self.operands.get(index), Some(Some(_)))
    }

    pub fn operand(&self, index: usize) -> Result<&Value, Refusal> {
        match self.operands.get(index) {
            Some(Some(value)) => Ok(value),
            _ => Err(Refusal::new(Kind::Structure, format!("operand {index} is missing"), "")),
        }
    }

    /// Operand `index` where it is there and known.
    pub fn literal(&self, index: usize) -> Option<&Literal> {
        match self.operands.get(index) {
            Some(Some(Value::Known(literal))) => Some(literal),
            _ => None,
        }
    }

    /// Operand `index`, which must be known at import.
    pub fn known(&self, index: usize) -> Result<&Literal, Refusal> {
        match self.operand(index)? {
            Value::Known(literal) => Ok(literal),
            _ => {
                let what = format!("operand {index} depends on the input");
                Err(Refusal::unsupported(what, "make it a constant or an initialiser"))
            }
        }
    }

    /// The integers of operand `index`, which must be known at import.
    pub fn known_integers(&self, index: usize) -> Result<&[i64], Refusal> {
        match &self.known(index)?.elements {
            Elements::Integer(values) => Ok(values),
            _ => Err(Refusal::new(Kind::ElementType, format!("operand {index} is not of integers"), "")),
        }
    }

    /// The floats of operand `index`, which must be known at import.
    pub fn known_floats(&self, index: usize) -> Result<&[f32], Refusal> {
        match &self.known(index)?.elements {
            Elements::Float(values) => Ok(values),
            _ => Err(Refusal::new(Kind::ElementType, format!("operand {index} is not of floats"), "")),
        }
    }

    /// What the result's elements mean when the operator does not change it: as in the first operand.
    pub fn content(&self) -> Content {
        match self.operands.first() {
            Some(Some(Value::Computed { content, .. })) => content.clone(),
            Some(Some(Value::Known(literal))) => match literal.elements {
                Elements::Integer(_) => Content::Integer,
                _ => Content::Float,
            },
            _ => Content::Float,
        }
    }

    /// Refuses results behind the first that something reads.
    pub fn only_first_result(&self, alternative: &'static str) -> Result<(), Refusal> {
        match self.wanted.iter().skip(1).any(|&wanted| wanted) {
            true => Err(Refusal::unsupported("its second result is used", alternative)),
            false => Ok(()),
        }
    }
}

pub(super) fn node_name(proto: &NodeProto) -> &str {
    match proto.name.as_str() {
        "" => proto.output.iter().find(|name| !name.is_empty()).map_or("", String::as_str),
        name => name,
    }
}

fn finite(number: f32, name: &str) -> Result<f32, Refusal> {
    match number.is_finite() {
        true => Ok(number),
        false => Err(Refusal::new(Kind::NotFinite, format!("{name} is not a finite number"), "")),
    }
}

/// An axis counted from either end.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, Refusal> {
    let from_start = if axis < 0 { axis.saturating_add(signed(rank)) } else { axis };
    usize::try_from(from_start)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| Refusal::shape(format!("axis {axis} of {rank}")))
}

/// Axes counted from either end, ascending; each at most once.
pub(super) fn axes(given: &[i64], rank: usize) -> Result<Vec<usize>, Refusal> {
    let mut axes: Vec<usize> = given.iter().map(|&one| axis(one, rank)).collect::<Result<_, _>>()?;
    axes.sort_unstable();
    match axes.windows(2).any(|pair| pair[0] == pair[1]) {
        true => Err(Refusal::shape("an axis is named twice")),
        false => Ok(axes),
    }
}
