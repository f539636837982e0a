//! Import: an ONNX file becomes a float graph, or a list of everything that keeps it from becoming one.
//!
//! 1. *Decode* (`schema`, `measure`): protocol buffers, with the number of messages bounded beforehand.
//! 2. *Lower* (`lower`, `operators`): each node, in order, becomes operations of [`crate::float`] through the lowering
//!    function of its operator. A node whose operands are all known is computed at once, so shape arithmetic leaves
//!    nothing behind. A refused node does not end the walk: what depends on it is skipped, the rest is still looked at.
//! 3. *Finish*: operations that no output needs are dropped.
//!
//! Opset 13 to 21 of ONNX and 1 to 4 of `ai.onnx.ml`. The operators, and how many of ONNX's own tests each passes, are
//! listed in docs/reference/onnx.md; errors in docs/reference/errors/import.md.
//!
//! # Non-goals
//! No control flow, no training, no sequences, no axis without a fixed length but the leading one, which becomes 1:
//! a graph states the meaning of one record.

mod literal;
mod lower;
mod measure;
mod node;
mod operators;
mod problem;
pub mod schema;

#[cfg(test)]
mod tests;

use prost::Message;

pub use self::measure::MESSAGES_MAX;
pub use self::problem::{ImportProblems, Kind, PROBLEMS_MAX, Problem};
use crate::float;

/// Opsets of ONNX's own operators that import knows.
pub const OPSETS: std::ops::RangeInclusive<i64> = 13..=21;
/// Opsets of `ai.onnx.ml` that import knows.
pub const OPSETS_ML: std::ops::RangeInclusive<i64> = 1..=4;
/// Most bytes of a file: what protocol buffers themselves allow.
pub const FILE_BYTES_MAX: usize = (1 << 31) - 1;

/// An imported model.
#[derive(Clone, Debug)]
pub struct Imported {
    /// What it computes.
    pub graph: float::Graph,
    /// Names of the graph's inputs.
    pub inputs: Vec<String>,
    /// The graph's outputs.
    pub outputs: Vec<Output>,
    /// Names of the classes, where the model is a classifier that states them.
    pub labels: Option<Vec<String>>,
    /// The program that wrote the file and its version, as the file says.
    pub producer: String,
    /// Opset of ONNX's own operators.
    pub opset: i64,
    /// Number of times each operator occurs, by name.
    pub operators: std::collections::BTreeMap<String, usize>,
}

/// An output of an imported model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Where the model yields one of these labels, the graph yields its position among them.
    pub labels: Option<Vec<String>>,
}

/// Imports an ONNX file.
///
/// Memory stays in proportion to the length of `bytes`.
///
/// # Errors
/// [`ImportProblems`]: everything that is wrong, as far as it can be looked at.
pub fn import(bytes: &[u8]) -> Result<Imported, ImportProblems> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(ImportProblems::one(Kind::Limit, "the file has 2 GiB or more", "quantise or split it"));
    }
    match measure::within_limit(bytes) {
        Some(true) => {}
        Some(false) => {
            let what = format!("the file has {MESSAGES_MAX} nodes, attributes, tensors and names or more");
            return Err(ImportProblems::one(Kind::Limit, what, "simplify the model"));
        }
        None => return Err(malformed()),
    }
    let model = schema::ModelProto::decode(bytes).map_err(|_| malformed())?;
    lower::model(&model, bytes.len())
}

fn malformed() -> ImportProblems {
    ImportProblems::one(Kind::Malformed, "the bytes are not an ONNX model", "export the model again")
}
