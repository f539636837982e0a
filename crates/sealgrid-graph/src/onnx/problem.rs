//! What import refuses, each with its code, and the list of all of it.

use std::fmt;

/// Most problems that one refusal lists; further ones are only counted.
pub const PROBLEMS_MAX: usize = 100;

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The bytes are not an ONNX model.
    Malformed,
    /// Opset outside the supported range.
    Version,
    /// An operator or domain that import does not know.
    Operator,
    /// An axis without a fixed length.
    Dynamic,
    /// An element type that import does not take.
    ElementType,
    /// Weights outside the file, or sparse.
    External,
    /// A weight that is not a finite number.
    NotFinite,
    /// Values that are undefined, defined twice or in a circle.
    Structure,
    /// An attribute, or a use of an operator, that import does not support.
    Unsupported,
    /// Operands whose shapes do not fit the operator.
    Shape,
    /// More than the limits allow.
    Limit,
    /// A graph inside a node.
    Subgraph,
}

impl Kind {
    /// The code under which docs/reference/errors/import.md explains it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "E-IMP-01",
            Self::Version => "E-IMP-02",
            Self::Operator => "E-IMP-03",
            Self::Dynamic => "E-IMP-04",
            Self::ElementType => "E-IMP-05",
            Self::External => "E-IMP-06",
            Self::NotFinite => "E-IMP-07",
            Self::Structure => "E-IMP-08",
            Self::Unsupported => "E-IMP-09",
            Self::Shape => "E-IMP-10",
            Self::Limit => "E-IMP-11",
            Self::Subgraph => "E-IMP-12",
        }
    }
}

/// One thing that keeps a model from being imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of thing.
    pub kind: Kind,
    /// Name of the node (or input, or initialiser); empty when the problem is the file's.
    pub node: String,
    /// Its operator, `domain:` first when it is not ONNX's own; empty where there is none.
    pub operator: String,
    /// What is wrong.
    pub what: String,
    /// What would be accepted.
    pub alternative: &'static str,
}

impl Problem {
    /// The code under which docs/reference/errors/import.md explains it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code())?;
        if !self.node.is_empty() {
            write!(f, " {}", self.node.escape_debug())?;
        }
        if !self.operator.is_empty() {
            write!(f, " ({})", self.operator.escape_debug())?;
        }
        write!(f, ": {}", self.what)?;
        match self.alternative {
            "" => Ok(()),
            alternative => write!(f, "; {alternative}"),
        }
    }
}

/// Everything that keeps a model from being imported, at least one thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ImportProblems {
    /// The first [`PROBLEMS_MAX`] problems, in the order of the file.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub omitted: usize,
}

impl ImportProblems {
    /// The code of the first problem.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.problems.first().map_or(Kind::Malformed.code(), Problem::code)
    }

    pub(super) fn one(kind: Kind, what: impl Into<String>, alternative: &'static str) -> Self {
        let (node, operator) = (String::new(), String::new());
        Self { problems: vec![Problem { kind, node, operator, what: what.into(), alternative }], omitted: 0 }
    }
}

impl fmt::Display for ImportProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len() + self.omitted;
        let word = if count == 1 { "problem" } else { "problems" };
        write!(f, "the model cannot be imported ({count} {word})")?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        match self.omitted {
            0 => Ok(()),
            omitted => write!(f, "\n  and {omitted} more"),
        }
    }
}

/// Why one node (or tensor) is refused; the caller adds its name.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub kind: Kind,
    pub what: String,
    pub alternative: &'static str,
}

impl Refusal {
    pub fn new(kind: Kind, what: impl Into<String>, alternative: &'static str) -> Self {
        Self { kind, what: what.into(), alternative }
    }

    pub fn unsupported(what: impl Into<String>, alternative: &'static str) -> Self {
        Self::new(Kind::Unsupported, what, alternative)
    }

    pub fn shape(what: impl Into<String>) -> Self {
        Self::new(Kind::Shape, what, "")
    }
}

impl From<crate::integer::Fault> for Refusal {
    fn from(fault: crate::integer::Fault) -> Self {
        use crate::integer::Fault;
        let kind = match fault {
            Fault::Shape(_) | Fault::Name => Kind::Limit,
            Fault::Window("an entry exceeds 32,768") => Kind::Limit,
            _ => Kind::Shape,
        };
        Self::new(kind, fault.to_string(), "")
    }
}

impl From<crate::tensor::ShapeError> for Refusal {
    fn from(error: crate::tensor::ShapeError) -> Self {
        Self::new(Kind::Limit, error.to_string(), "")
    }
}
