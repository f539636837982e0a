//! What import tells a person about a model: which operators it has, how well it decides in floats and in integers,
//! what it costs.

use std::collections::BTreeMap;

use super::{QuantiseError, Quantised};
use crate::cost::{self, Calibration, Cost, Mode};
use crate::execute::Executor;
use crate::float::{self, Tensor};
use crate::model::Accuracy;

/// The verdict of an import.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// How often each kind of primitive occurs in the integer graph, by name.
    pub operators: BTreeMap<String, usize>,
    /// Decisions on labelled records; `None` without labels.
    pub accuracy: Option<Accuracy>,
    /// Counts for one record.
    pub cost: Cost,
}

impl Verdict {
    /// Judges a quantised model.
    #[must_use]
    pub fn new(quantised: &Quantised, accuracy: Option<Accuracy>) -> Self {
        let mut operators = BTreeMap::new();
        for operation in quantised.graph.operations() {
            let text = format!("{:?}", operation.primitive);
            let name = text.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
            *operators.entry(name).or_insert(0) += 1;
        }
        Self { operators, accuracy, cost: cost::count(&quantised.graph) }
    }

    /// Estimated nanoseconds for one record in each mode that exists.
    #[must_use]
    pub fn times_ns(&self, at: &Calibration) -> Vec<(Mode, f64)> {
        let modes = [Mode::Plain, Mode::Sealed, Mode::Quorum { members: 3 }];
        modes.into_iter().map(|mode| (mode, self.cost.estimate_ns(mode, 1, at))).collect()
    }
}

/// Counts right decisions of the float graph and of the integer graph on labelled records. The decision is the position
/// of the largest element of output `output`; or, of a single element, whether it is above one half; or, of a single
/// position, the position.
///
/// # Errors
/// [`QuantiseError`] when the records do not fit.
pub fn measure(
    graph: &float::Graph,
    quantised: &Quantised,
    executor: &dyn Executor,
    (output, data): (usize, &str),
    records: &[Vec<Tensor>],
    labels: &[usize],
) -> Result<Accuracy, QuantiseError> {
    QuantiseError::check_records(records)?;
    let step = quantised.output_steps[output];
    let integer = executor.prepare(quantised.graph.clone())?.run(&quantised.encode(records), &mut ())?;
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let mut accuracy = Accuracy {
        data: data.to_owned(),
        records: count(records.len().min(labels.len())),
        clear_correct: 0,
        integer_correct: 0,
        agreeing: 0,
    };
    for (index, (record, &label)) in records.iter().zip(labels).enumerate() {
        let clear = float::run(graph, record)?[output].elements().iter().map(|&x| f64::from(x)).collect();
        let found = integer[output].record(index);
        let found = (0..found.shape().count()).map(|at| f64::from(found.at(at)) * step).collect();
        let (clear, found) = (decide(clear, step), decide(found, step));
        accuracy.clear_correct += u32::from(clear == label);
        accuracy.integer_correct += u32::from(found == label);
        accuracy.agreeing += u32::from(clear == found);
    }
    Ok(accuracy)
}

#[expect(clippy::cast_sign_loss, reason = "positions are not negative")]
fn decide(elements: Vec<f64>, step: f64) -> usize {
    match elements[..] {
        [position] if step == 1.0 => position as usize,
        [score] => usize::from(score > 0.5),
        _ => largest(elements.into_iter()),
    }
}

/// The position of the first largest.
pub(super) fn largest(elements: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (position, element) in elements.enumerate() {
        if element > best.1 {
            best = (position, element);
        }
    }
    best.0
}
