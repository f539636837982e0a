//! From a float graph and calibration records to an integer graph and a card.
//!
//! 1. **Observe**: run the float graph on the calibration records; keep, for every value, its range and a sample.
//! 2. **Plan**: leading affine steps (a scaler) move into the input encoding, so that raw units never meet int8; a ReLU
//!    or a clip becomes the bounds of the output stage before it; each value gets the widest element type that its
//!    readers want.
//! 3. **Lower**: each float operation becomes one or a few primitives. Weights are int8, symmetric, one step per channel;
//!    activations are symmetric, one step per tensor; results of the model stay int16 or int32.
//! 4. **Choose**: do this with narrow and with wide activations, with and without clipping of outliers; keep the
//!    narrowest that decides like the float graph on the calibration records.
//!
//! The only floating point in the project whose result is frozen: it runs once, at import, and what it yields is data.

mod emit;
mod fixed;
mod lower;
mod plan;
mod statistics;
mod trees;
mod verdict;

use std::sync::Arc;

use self::emit::{Emitter, Quantity};
use self::lower::{Encoding, Lowered, Lowering};
pub use self::plan::Width;
use self::plan::{EncodedInput, Plan};
pub use self::statistics::Clipping;
use self::statistics::Observed;
pub use self::verdict::{Verdict, measure};
use crate::execute::{Batch, ExecuteError, Executor};
use crate::float::{self, Primitive, RunError, Tensor};
use crate::integer::{Builder, Graph, GraphError, ValueType};
use crate::model::{Accuracy, Decision, InputCard, ModelCard, OutputCard};
use crate::range::{self, RangeError};

/// Most calibration records that are looked at.
pub const CALIBRATION_MAX: usize = 1024;
/// Share of calibration records on which a narrow graph must decide like the float graph to be chosen.
const AGREEMENT: f64 = 0.997;
/// Root of the relative square error that is as good, where an output decides nothing.
const ERROR: f64 = 0.02;

/// Why a float graph has no integer meaning.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum QuantiseError {
    /// No calibration records.
    #[error("no calibration records were given")]
    NoCalibration,
    /// The calibration records are not the graph's inputs.
    #[error("calibration: {0}")]
    Calibration(#[from] RunError),
    /// A value is not finite on calibration records.
    #[error("node {node}: its result is infinite or not a number on the calibration data")]
    NotFinite {
        /// The node.
        node: String,
    },
    /// An element of a record is not finite.
    #[error("record {record}: an element is infinite or not a number")]
    Record {
        /// The record, counted from 0.
        record: usize,
    },
    /// An operation without an integer counterpart.
    #[error("node {node}: {why}")]
    Unsupported {
        /// The node.
        node: String,
        /// What is missing.
        why: &'static str,
    },
    /// The integer graph exceeds a limit.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A sum could leave int32.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// The integer graph did not run.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// More than one of these, in the order of the nodes.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<QuantiseError>),
}

impl QuantiseError {
    /// The code under which docs/reference/errors/graph.md explains this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCalibration | Self::Calibration(_) => "E-IMP-56",
            Self::NotFinite { .. } => "E-IMP-57",
            Self::Record { .. } => "E-DAT-52",
            Self::Unsupported { .. } => "E-IMP-58",
            Self::Graph(error) => error.code(),
            Self::Range(error) => error.code(),
            Self::Execute(error) => error.code(),
            Self::Several(problems) => problems.first().map_or("E-IMP-58", Self::code),
        }
    }

    /// Refuses records that no client could encode.
    fn check_records(records: &[Vec<Tensor>]) -> Result<(), Self> {
        let is_finite = |tensor: &Tensor| tensor.elements().iter().all(|element| element.is_finite());
        match records.iter().position(|record| !record.iter().all(is_finite)) {
            Some(record) => Err(Self::Record { record }),
            None => Ok(()),
        }
    }

    /// All problems at once, so that nobody has to find them one by one.
    fn check(mut problems: Vec<Self>) -> Result<(), Self> {
        match problems.len() {
            0 => Ok(()),
            1 => Err(problems.remove(0)),
            _ => Err(Self::Several(problems)),
        }
    }
}

/// An integer graph with what its inputs and outputs mean.
#[derive(Clone, Debug)]
pub struct Quantised {
    /// The integer graph; range analysis has admitted it.
    pub graph: Arc<Graph>,
    /// Element type of linear layers' operands that was chosen.
    pub width: Width,
    /// How steps were chosen.
    pub clipping: Clipping,
    /// How close it comes to the float graph on the calibration records.
    pub fidelity: Fidelity,
    encodings: Vec<Encoding>,
    output_steps: Vec<f64>,
}

/// Closeness of an integer graph to its float graph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fidelity {
    /// Share of records whose largest output element is the same; `None` where outputs have one element.
    pub agreement: Option<f64>,
    /// Root of the outputs' mean square error over their mean square.
    pub error: f64,
}

/// Names for the card; everything else in it follows from the graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names {
    /// Name of the model.
    pub name: String,
    /// Its author's version of it.
    pub release: String,
    /// What it does, in a sentence.
    pub summary: String,
    /// For each input its name and its columns (none, or one per element).
    pub inputs: Vec<(String, Vec<String>)>,
    /// For each output its name and its labels (none, or one per class).
    pub outputs: Vec<(String, Vec<String>)>,
}

/// Makes a float graph integer. `calibration` has one tensor per input for each record; `executor` runs candidates.
///
/// # Errors
/// [`QuantiseError`] naming every node that has no integer counterpart.
pub fn quantise(
    graph: &float::Graph,
    calibration: &[Vec<Tensor>],
    executor: &dyn Executor,
) -> Result<Quantised, QuantiseError> {
    let calibration = &calibration[..calibration.len().min(CALIBRATION_MAX)];
    QuantiseError::check_records(calibration)?;
    let (observed, expected) = observe(graph, calibration)?;
    let candidates = [
        (Width::Narrow, Clipping::Largest),
        (Width::Narrow, Clipping::LeastSquares),
        (Width::Wide, Clipping::Largest),
        (Width::Wide, Clipping::LeastSquares),
    ];
    let mut best: Option<Quantised> = None;
    for (width, clipping) in candidates {
        let mut candidate = lower(graph, &observed, width, clipping)?;
        candidate.fidelity = candidate.compare(executor, calibration, &expected)?;
        let is_better = best.as_ref().is_none_or(|best| candidate.fidelity.is_better_than(best.fidelity));
        if is_better {
            best = Some(candidate);
        }
        let last_of_width = clipping == Clipping::LeastSquares;
        if last_of_width && best.as_ref().is_some_and(|best| best.fidelity.suffices()) {
            break;
        }
    }
    Ok(best.expect("there are candidates"))
}

impl Fidelity {
    fn suffices(self) -> bool {
        self.agreement.map_or(self.error <= ERROR, |share| share >= AGREEMENT)
    }

    fn is_better_than(self, other: Self) -> bool {
        let order = (self.agreement.unwrap_or(0.0), -self.error);
        order > (other.agreement.unwrap_or(0.0), -other.error)
    }
}

/// Runs the float graph on all records: statistics of every value, and the outputs.
fn observe(
    graph: &float::Graph,
    calibration: &[Vec<Tensor>],
) -> Result<(Observed, Vec<Vec<Tensor>>), QuantiseError> {
    if calibration.is_empty() {
        return Err(QuantiseError::NoCalibration);
    }
    let inputs = graph.inputs().len();
    let mut observed = Observed::new(inputs + graph.operations().len(), graph.operations().len());
    let mut outputs = Vec::with_capacity(calibration.len());
    for record in calibration {
        outputs.push(observe_record(graph, record, &mut observed)?);
    }
    // What follows from a value that is not finite is no problem of its own.
    let begins = |(index, operation): &(usize, &float::Operation)| {
        let value = float::ValueId(u32::try_from(inputs + index).expect("few values"));
        let finite = |value: &float::ValueId| observed.of(*value).is_finite();
        !finite(&value) && operation.operands.iter().all(finite)
    };
    let problems = graph.operations().iter().enumerate().filter(begins);
    let problems = problems.map(|(_, op)| QuantiseError::NotFinite { node: op.name.clone() }).collect();
    QuantiseError::check(problems)?;
    Ok((observed, outputs))
}

fn observe_record(
    graph: &float::Graph,
    record: &[Tensor],
    observed: &mut Observed,
) -> Result<Vec<Tensor>, RunError> {
    let normalised = |operation: &float::Operation| match operation.primitive {
        Primitive::LayerNormalization { axis, epsilon, .. } => Some((axis, f64::from(epsilon))),
        _ => None,
    };
    let read_by_normalisation = |id: float::ValueId| {
        graph.operations().iter().any(|op| normalised(op).is_some() && op.operands.contains(&id))
    };
    let mut kept = std::collections::HashMap::new();
    let outputs = float::run_observed(graph, record, |id, tensor| {
        observed.observe(id, tensor);
        if read_by_normalisation(id) {
            kept.insert(id, tensor.clone());
        }
    })?;
    for (index, operation) in graph.operations().iter().enumerate() {
        if let Some((axis, epsilon)) = normalised(operation)
            && let Some(x) = kept.get(&operation.operands[0])
        {
            let count: usize = x.shape().axes()[axis..].iter().product();
            for group in x.elements().chunks(count) {
                let mean = group.iter().map(|&x| f64::from(x)).sum::<f64>() / count as f64;
                let deviations: Vec<f32> = group.iter().map(|&x| (f64::from(x) - mean) as f32).collect();
                let variance = deviations.iter().map(|&d| f64::from(d).powi(2)).sum::<f64>() / count as f64;
                observed.inner[index][0].observe(&deviations);
                observed.inner[index][1].observe(&[(variance + epsilon).sqrt().recip() as f32]);
            }
        }
    }
    Ok(outputs)
}

/// One candidate.
fn lower(
    graph: &float::Graph,
    observed: &Observed,
    width: Width,
    clipping: Clipping,
) -> Result<Quantised, QuantiseError> {
    let plan = Plan::new(graph, width);
    let encodings = lower::encodings(graph, &plan, observed, clipping);
    let types = encodings.iter().zip(graph.inputs());
    let types = types.map(|(encoding, shape)| ValueType { dtype: encoding.dtype, shape: shape.clone() });
    let builder = Builder::new(types.collect());
    let inputs = plan.inputs.iter().zip(&encodings).enumerate();
    let inputs = inputs.map(|(index, (input, encoding))| encoded(&builder, index, input, encoding)).collect();
    let emitter = Emitter::new(builder);
    let problems = Vec::new();
    let mut lowering = Lowering { graph, plan: &plan, observed, clipping, emitter, inputs, problems };
    let outputs = graph.interpret(&mut lowering)?;
    QuantiseError::check(lowering.problems)?;
    let mut emitter = lowering.emitter;
    let outputs = outputs
        .iter()
        .map(|output| match output {
            Lowered::Quantity(quantity) => Ok(*quantity),
            Lowered::Known(tensor) => emitter.known(tensor),
            Lowered::Folded | Lowered::Features { .. } => unreachable!("outputs are not folded"),
        })
        .collect::<Result<Vec<Quantity>, GraphError>>()?;
    let output_steps = outputs.iter().map(|output| output.step).collect();
    let graph = emitter.finish(outputs.iter().map(|output| output.id).collect())?;
    range::analyse(&graph)?;
    let fidelity = Fidelity { agreement: None, error: f64::INFINITY };
    Ok(Quantised { graph: Arc::new(graph), width, clipping, fidelity, encodings, output_steps })
}

/// The value behind an input's encoding, in the unit of the value that the encoding yields.
fn encoded(builder: &Builder, index: usize, input: &EncodedInput, encoding: &Encoding) -> Lowered {
    let id = builder.input(index);
    if input.only_trees {
        let elements =
            input.factors.iter().zip(&input.summands).zip(encoding.offsets.iter().zip(&encoding.steps));
        let (offsets, steps) = elements.map(|((f, s), (o, step))| (f * o + s, f * step)).unzip();
        return Lowered::Features { id, offsets, steps };
    }
    // Every element has the same step behind its factor.
    Lowered::Quantity(Quantity { id, step: encoding.steps[0] * input.factors[0] })
}

impl Quantised {
    /// The public card, without accuracy.
    ///
    /// # Panics
    /// When `names` has not one entry per input and output.
    #[must_use]
    pub fn card(&self, names: &Names, accuracy: Option<Accuracy>) -> ModelCard {
        assert_eq!(names.inputs.len(), self.encodings.len(), "one name per input");
        assert_eq!(names.outputs.len(), self.output_steps.len(), "one name per output");
        let inputs = names.inputs.iter().zip(&self.encodings).zip(self.graph.inputs());
        let input =
            |(((name, columns), encoding), value_type): ((&(String, Vec<String>), &Encoding), &ValueType)| {
                InputCard {
                    name: name.clone(),
                    value_type: value_type.clone(),
                    columns: columns.clone(),
                    offsets: shortest(&encoding.offsets),
                    scales: shortest(&encoding.steps),
                }
            };
        let outputs = names.outputs.iter().zip(&self.output_steps).zip(self.graph.outputs());
        let output =
            |(((name, labels), step), id): ((&(String, Vec<String>), &f64), &crate::integer::ValueId)| {
                let value_type = self.graph.value_type(*id).clone();
                let decision = decision(value_type.shape.count(), labels, *step);
                OutputCard {
                    name: name.clone(),
                    value_type,
                    scales: vec![*step],
                    labels: labels.clone(),
                    decision,
                }
            };
        ModelCard {
            version: crate::model::CARD_VERSION,
            name: names.name.clone(),
            release: names.release.clone(),
            summary: names.summary.clone(),
            inputs: inputs.map(input).collect(),
            outputs: outputs.map(output).collect(),
            accuracy,
        }
    }

    /// Encodes float records, as a client would.
    ///
    /// # Panics
    /// On an element that is not finite.
    #[must_use]
    pub fn encode(&self, records: &[Vec<Tensor>]) -> Vec<Batch> {
        let names = Names {
            name: "calibration".into(),
            inputs: vec![("x".into(), Vec::new()); self.encodings.len()],
            outputs: vec![("y".into(), Vec::new()); self.output_steps.len()],
            ..Names::default()
        };
        let card = self.card(&names, None);
        card.inputs
            .iter()
            .enumerate()
            .map(|(index, input)| {
                let row = |record: &Vec<Tensor>| -> Vec<f64> {
                    record[index].elements().iter().map(|&x| x.into()).collect()
                };
                let rows: Vec<Vec<f64>> = records.iter().map(row).collect();
                input.encode(&rows).expect("observed records are finite")
            })
            .collect()
    }

    fn compare(
        &self,
        executor: &dyn Executor,
        records: &[Vec<Tensor>],
        expected: &[Vec<Tensor>],
    ) -> Result<Fidelity, QuantiseError> {
        let outputs = executor.prepare(self.graph.clone())?.run(&self.encode(records), &mut ())?;
        let (mut agreeing, mut decided, mut error, mut square) = (0usize, 0usize, 0.0, 0.0);
        for (index, (batch, step)) in outputs.iter().zip(&self.output_steps).enumerate() {
            for (record, expected) in expected.iter().enumerate() {
                let wanted = expected[index].elements();
                let found = batch.record(record);
                for (position, &wanted) in wanted.iter().enumerate() {
                    error += (f64::from(found.at(position)) * step - f64::from(wanted)).powi(2);
                    square += f64::from(wanted).powi(2);
                }
                if wanted.len() > 1 {
                    decided += 1;
                    let found = (0..wanted.len()).map(|position| f64::from(found.at(position)));
                    let wanted = wanted.iter().map(|&x| f64::from(x));
                    agreeing += usize::from(verdict::largest(found) == verdict::largest(wanted));
                }
            }
        }
        let agreement = (decided > 0).then(|| agreeing as f64 / decided as f64);
        Ok(Fidelity { agreement, error: (error / square.max(f64::MIN_POSITIVE)).sqrt() })
    }
}

/// One entry where all are equal.
fn shortest(list: &[f64]) -> Vec<f64> {
    match list.iter().all(|x| x == &list[0]) {
        true => vec![list[0]],
        false => list.to_vec(),
    }
}

/// How a class follows from an output: from as many scores as labels, from a position, or (one score, two labels)
/// from the sign of the score around one half.
fn decision(elements: usize, labels: &[String], step: f64) -> Decision {
    match (elements, labels.len()) {
        (_, 0) if elements == 1 => Decision::None,
        (elements, labels) if elements > 1 && (labels == 0 || labels == elements) => Decision::Largest,
        (1, _) if step == 1.0 => Decision::Index,
        (1, 2) => Decision::Threshold { above: 0.5 },
        _ => Decision::None,
    }
}

#[cfg(test)]
mod tests;
