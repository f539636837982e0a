//! The public card of a model: what goes in, how it is encoded, what comes out, how well it did.

use minicbor::{Decode, Encode};

use crate::integer::{Architecture, ValueId, ValueType};

/// The version of the card's form.
pub const CARD_VERSION: u16 = 1;
/// Most bytes of a name, a column or a label.
pub const WORD_MAX: usize = 256;
/// Most bytes of the summary.
pub const SUMMARY_MAX: usize = 4096;

/// Everything about a model that a client needs and everybody may see. Made by import; numbers here are data for
/// encoding and decoding, never operands of anything that machines must agree on.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct ModelCard {
    /// [`CARD_VERSION`].
    #[n(0)]
    pub version: u16,
    /// Name of the model.
    #[n(1)]
    pub name: String,
    /// Its author's version of it.
    #[n(2)]
    pub release: String,
    /// What it does, in a sentence.
    #[n(3)]
    pub summary: String,
    /// Inputs in the graph's order.
    #[n(4)]
    pub inputs: Vec<InputCard>,
    /// Outputs in the graph's order.
    #[n(5)]
    pub outputs: Vec<OutputCard>,
    /// What import measured; `None` without labelled data.
    #[n(6)]
    pub accuracy: Option<Accuracy>,
}

/// One input: element `i` is encoded as `clamp(round_half_even((x − offset) / scale))`.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct InputCard {
    /// The importing model's name of it.
    #[n(0)]
    pub name: String,
    /// Element type and shape of one record, as in the graph.
    #[n(1)]
    pub value_type: ValueType,
    /// A name for each element in row-major order, or none.
    #[n(2)]
    pub columns: Vec<String>,
    /// One offset, or one per element; in the input's own unit.
    #[n(3)]
    pub offsets: Vec<f64>,
    /// One scale, or one per element: the input's own unit per step; positive.
    #[n(4)]
    pub scales: Vec<f64>,
}

/// One output: element `i` means `q · scale`.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct OutputCard {
    /// The importing model's name of it.
    #[n(0)]
    pub name: String,
    /// Element type and shape of one record, as in the graph.
    #[n(1)]
    pub value_type: ValueType,
    /// One scale, or one per element; positive.
    #[n(2)]
    pub scales: Vec<f64>,
    /// Names of the classes, or none.
    #[n(3)]
    pub labels: Vec<String>,
    /// How a class follows from the elements.
    #[n(4)]
    pub decision: Decision,
}

/// How a class follows from an output's elements.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
pub enum Decision {
    /// It does not: these are values.
    #[n(0)]
    None,
    /// The position of the first largest element.
    #[n(1)]
    Largest,
    /// The single element is the position.
    #[n(2)]
    Index,
    /// Class 1 when the single element's value is above a threshold, else class 0.
    #[n(3)]
    Threshold {
        /// The threshold, in the output's unit.
        #[n(0)]
        above: f64,
    },
}

/// Decisions counted on labelled records, by the float model and by the integer graph.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Accuracy {
    /// What the records were, such as a file's name.
    #[n(0)]
    pub data: String,
    /// Records.
    #[n(1)]
    pub records: u32,
    /// Right decisions of the float model.
    #[n(2)]
    pub clear_correct: u32,
    /// Right decisions of the integer graph.
    #[n(3)]
    pub integer_correct: u32,
    /// Records on which both decide alike.
    #[n(4)]
    pub agreeing: u32,
}

/// What is wrong with a card.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum CardFault {
    /// Written in another form than this program's.
    #[error("version {0} where {CARD_VERSION} is understood")]
    Version(u16),
    /// A text is empty where one is needed, too long, or has control characters.
    #[error("a name, column, label or summary is empty, too long or has control characters")]
    Text,
    /// Inputs or outputs are not the graph's.
    #[error("{0} are not the graph's")]
    NotTheGraphs(&'static str),
    /// A list is not as long as it must be.
    #[error("{0}: one, or one per element")]
    Length(&'static str),
    /// A number is not finite, or a scale is not positive.
    #[error("offsets are finite, scales are finite and positive")]
    Number,
    /// The decision does not fit the output.
    #[error("the decision does not fit its output")]
    Decision,
    /// More right answers than records.
    #[error("more counted than there are records")]
    Accuracy,
}

impl ModelCard {
    /// Checks the card in itself and against a graph's structure.
    ///
    /// # Errors
    /// The first [`CardFault`].
    pub fn check(&self, architecture: &Architecture) -> Result<(), CardFault> {
        if self.version != CARD_VERSION {
            return Err(CardFault::Version(self.version));
        }
        check_text(&self.name, 1, WORD_MAX)?;
        check_text(&self.release, 0, WORD_MAX)?;
        check_text(&self.summary, 0, SUMMARY_MAX)?;
        if !self.inputs.iter().map(|input| &input.value_type).eq(&architecture.inputs) {
            return Err(CardFault::NotTheGraphs("inputs"));
        }
        let outputs = architecture.outputs.iter().map(|id| value_type(architecture, *id));
        if !self.outputs.iter().map(|output| Some(&output.value_type)).eq(outputs) {
            return Err(CardFault::NotTheGraphs("outputs"));
        }
        self.inputs.iter().try_for_each(InputCard::check)?;
        self.outputs.iter().try_for_each(OutputCard::check)?;
        self.accuracy.as_ref().map_or(Ok(()), Accuracy::check)
    }
}

fn value_type(architecture: &Architecture, id: ValueId) -> Option<&ValueType> {
    let index = id.0 as usize;
    match index.checked_sub(architecture.inputs.len()) {
        None => architecture.inputs.get(index),
        Some(operation) => architecture.operations.get(operation).map(|operation| &operation.output),
    }
}

impl InputCard {
    fn check(&self) -> Result<(), CardFault> {
        let elements = self.value_type.shape.count();
        check_text(&self.name, 1, WORD_MAX)?;
        if !self.columns.is_empty() && self.columns.len() != elements {
            return Err(CardFault::Length("columns"));
        }
        self.columns.iter().try_for_each(|column| check_text(column, 1, WORD_MAX))?;
        check_length("offsets", self.offsets.len(), elements)?;
        check_length("scales", self.scales.len(), elements)?;
        check_scales(&self.scales)?;
        match self.offsets.iter().all(|offset| offset.is_finite()) {
            true => Ok(()),
            false => Err(CardFault::Number),
        }
    }
}

impl OutputCard {
    fn check(&self) -> Result<(), CardFault> {
        let elements = self.value_type.shape.count();
        check_text(&self.name, 1, WORD_MAX)?;
        check_length("scales", self.scales.len(), elements)?;
        check_scales(&self.scales)?;
        self.labels.iter().try_for_each(|label| check_text(label, 1, WORD_MAX))?;
        let labels = self.labels.len();
        let fits = match self.decision {
            Decision::None => labels == 0 || labels == elements,
            Decision::Largest => labels == 0 || labels == elements,
            Decision::Index => elements == 1,
            Decision::Threshold { above } => {
                elements == 1 && above.is_finite() && (labels == 0 || labels == 2)
            }
        };
        if fits { Ok(()) } else { Err(CardFault::Decision) }
    }
}

impl Accuracy {
    fn check(&self) -> Result<(), CardFault> {
        check_text(&self.data, 0, WORD_MAX)?;
        let most = self.clear_correct.max(self.integer_correct).max(self.agreeing);
        if most > self.records { Err(CardFault::Accuracy) } else { Ok(()) }
    }

    /// How far the integer graph's share of right answers lies below the float model's, in percentage points;
    /// negative when it is better.
    #[must_use]
    pub fn points_lost(&self) -> f64 {
        let lost = f64::from(self.clear_correct) - f64::from(self.integer_correct);
        100.0 * lost / f64::from(self.records.max(1))
    }
}

fn check_text(text: &str, least: usize, most: usize) -> Result<(), CardFault> {
    let fits = (least..=most).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(CardFault::Text) }
}

fn check_length(what: &'static str, found: usize, elements: usize) -> Result<(), CardFault> {
    if found == 1 || found == elements { Ok(()) } else { Err(CardFault::Length(what)) }
}

fn check_scales(scales: &[f64]) -> Result<(), CardFault> {
    let fits = scales.iter().all(|scale| scale.is_finite() && *scale > 0.0);
    if fits { Ok(()) } else { Err(CardFault::Number) }
}
