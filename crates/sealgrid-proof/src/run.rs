//! What a run of an integer graph says about a committed content: the graph's interpreter whose values are linear forms.
//!
//! Inputs and outputs are public, or those of a commitment ([`crate::values`]), or, inputs alone, anything; parameters are public, which means
//! that the verifier holds the model, or registered ([`crate::registration`]). What a run says about private parameters is the same for all of them: it depends on the architecture and the registered
//! bounds alone, or it would tell more.
//!
//! Every element of an operation that computes is a column of the content, unless it is linear in what is there already. An element of a sum
//! `y = clamp(floor((a·m + h) / 2^s))` brings its remainder in limbs, each looked up in a range, and the pair `(t, y)` is looked up in a table of
//! the clamp, `t` being linear in the rest. Nothing wraps: by the ranges of the graph `|a·m + h|` and `|t·2^s + r|` stay below
//! half of the field, so the equation modulo the field's order is one of integers, and remainder and quotient are unique. Sums that do not stay there are
//! divided piece by piece (`wide`), and products of two values are sums that are not committed (`sums`). So each value is, from
//! the inputs on, the one that the reference yields, and lies in its proven range.

mod functions;
mod maxima;
mod products;
mod reciprocals;
mod stage;
mod sums;
mod tables;
mod trees;
mod walk;
mod wide;

use std::collections::HashMap;
use std::sync::Arc;

use p3_field::{Field as _, PrimeCharacteristicRing as _};
use sealgrid_graph::cost;
use sealgrid_graph::execute::{Batch, BatchRef, ExecuteError, Observer, Prepared, check_inputs};
use sealgrid_graph::integer::Graph;
use sealgrid_graph::range::{self, Interval};

use self::sums::Sums;
use self::walk::{Builder, Joined, Value, in_field, of_value, refused};
use self::wide::{Numbers, Split};
use crate::argument::{ContentClaim, Conversation};
use crate::channel::{ProofError, Prover, Verifier};
use crate::commit::VARIABLES_MAX;
use crate::field::{Challenge, Element, wipe};
use crate::hidden::Hidden;
use crate::lookups::{Columns, Drawn, Form, Lookups, NotInTable};
use crate::maps::{Known, Rounded, limbs_of, numbers, signed};
use crate::registration::Registration;
use crate::weights::{Parameters, Registered};

/// Why a run is refused that no vector could hold.
const TOO_LARGE: &str = "no records, or more than a proof can hold";
/// Most products of a run: a verifier goes through them, and an architecture may come from anybody.
const PRODUCTS_MAX: u64 = 1 << 33;

/// An operation that cannot be proven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operation {index} ({name}), {word}: {why}")]
pub struct NotProvable {
    /// Position of the operation.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// What it computes.
    pub word: &'static str,
    /// Why not.
    pub why: &'static str,
}

/// Why there is no witness.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The graph does not run on the input.
    #[error(transparent)]
    Run(#[from] ExecuteError),
    /// The run yields what the tables exclude, so ranges and run contradict each other.
    #[error(transparent)]
    NotInTable(#[from] NotInTable),
}

/// A part of the content, and where it comes from.
enum Column {
    /// Limbs of an input's elements above the least of their type, the lowest limbs first.
    Input { index: usize, limbs: Above },
    /// The output of an operation.
    Output { index: usize, start: usize },
    /// Limbs of it.
    OutputLimbs { index: usize, limbs: Above },
    /// The sums of a layer, which are not committed.
    Sums(usize),
    /// Those of products of two values.
    Products(usize),
    /// Limbs of the remainders of a sum.
    Limbs(Arc<Rounded>),
    /// Limbs of a list.
    Split(Split),
    /// For the positions that an operation yields a number for each of `length` positions: one for the one, zero for all others.
    Selected { start: usize, index: usize, length: usize },
    /// Numbers that follow from what stands before.
    Numbers { start: usize, numbers: Numbers },
    /// A list, clamped.
    Clamped { start: usize, list: Arc<dyn Form>, low: i64, high: i64 },
}

/// Limbs of numbers above the least: as many bits, the lowest limbs of all numbers first.
#[derive(Clone, Copy)]
struct Above {
    start: usize,
    low: i64,
    bits: u32,
}

/// Values that somebody has committed to: they stand in the content once more, their pads behind them.
struct Tied {
    registered: Registered,
    start: usize,
    /// The prover's.
    own: Option<Parameters>,
}

/// What is said about one run over a number of records.
pub struct Run {
    graph: Arc<Graph>,
    /// About the sums over private weights, then the content.
    lookups: Lookups,
    columns: Vec<Column>,
    /// Lists that are equal: what the run yields, and what is told of it.
    equal: Vec<[Arc<dyn Form>; 2]>,
    /// Inputs, outputs.
    tied: Vec<Tied>,
    sums: Sums,
    private: Option<Private>,
}

/// The private parameters of a run.
struct Private {
    registered: Registered,
    /// The prover's.
    parameters: Option<Arc<Parameters>>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Run({:?})", self.lookups)
    }
}

/// Whether the inputs are told.
#[derive(Clone, Copy, Debug)]
pub enum Inputs<'b> {
    /// To everybody.
    Public(&'b [Batch]),
    /// To nobody: that many records.
    Private(usize),
    /// To nobody, and they are those of a commitment: its root, and that many records.
    Committed([u8; 32], usize),
}

impl Inputs<'_> {
    /// The root of their commitment.
    fn root(self) -> Option<[u8; 32]> {
        if let Self::Committed(root, _) = self { Some(root) } else { None }
    }
}

/// Whether the outputs are told.
#[derive(Clone, Debug)]
pub enum Outputs {
    /// To everybody.
    Public(Vec<Batch>),
    /// To nobody: the root of a commitment to them.
    Committed([u8; 32]),
}

impl From<Vec<Batch>> for Outputs {
    fn from(batches: Vec<Batch>) -> Self {
        Self::Public(batches)
    }
}

/// Whether the graph's parameters are told.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'w> {
    /// To everybody, who holds the graph with them.
    Public,
    /// To nobody: these are registered. Those that the graph holds are not looked at.
    Private(&'w Registration),
}

impl Run {
    /// The run of `graph` that yields `outputs`.
    ///
    /// # Errors
    /// [`NotProvable`].
    pub fn new(
        graph: &Arc<Graph>,
        weights: Weights<'_>,
        inputs: Inputs<'_>,
        outputs: impl Into<Outputs>,
    ) -> Result<Self, NotProvable> {
        let outputs = outputs.into();
        // Private sums are bounded as they are met, below half of the field and hence within int32.
        if let Weights::Public = weights {
            range::analyse(graph).map_err(|overflows| {
                let index = overflows.0.first().map_or(0, |overflow| overflow.index);
                let why = "its sums may leave int32: the graph is not admitted";
                refused(index, &graph.operations()[index], why)
            })?;
        }
        let records = match inputs {
            Inputs::Public(batches) => check_inputs(graph, batches)
                .map_err(|_| of_value(0, "input", "it is not what the graph takes"))?,
            Inputs::Private(records) | Inputs::Committed(_, records) => records,
        };
        let types = graph.outputs().iter().map(|id| (records, graph.value_type(*id).clone()));
        if let Outputs::Public(batches) = &outputs
            && !batches.iter().map(|batch| (batch.records(), batch.value_type())).eq(types)
        {
            return Err(of_value(0, "output", "it is not what the graph yields"));
        }
        let values =
            graph.inputs().iter().chain(graph.operations().iter().map(|operation| &operation.output));
        let counts: Vec<usize> = values.map(|value_type| value_type.shape.count()).collect();
        if counts.contains(&0) {
            return Err(of_value(0, "run", "a value has no elements"));
        }
        let elements: usize = counts.iter().sum();
        let products = cost::count(graph).multiply_adds.saturating_mul(records as u64);
        if records == 0 || elements.saturating_mul(records) > 1 << VARIABLES_MAX || products > PRODUCTS_MAX {
            return Err(of_value(0, "run", TOO_LARGE));
        }
        let committed =
            [inputs.root(), if let Outputs::Committed(root) = outputs { Some(root) } else { None }];
        let walk = |open| Builder::walk(graph, weights, inputs, committed, records, open);
        // An output of a wide range is told as it is before its clamp, unless one lies where only the clamp's table can say why, or it is not told.
        let public = if let Outputs::Public(batches) = &outputs { Some(batches) } else { None };
        let within = |values: &[Value]| public.is_none_or(|batches| all_within(values, batches));
        let (mut builder, values) = match walk(public.is_some())? {
            walked if within(&walked.1) => walked,
            _ => walk(false)?,
        };
        for (index, value) in values.iter().enumerate() {
            // What is shown is an equation modulo the field's order: of two outputs that are equal so, one is not in the range.
            let told = public.is_none_or(|batches| told(&batches[index]).all(|it| value.range.contains(it)));
            if !in_field(value.range) || !told {
                return Err(of_value(index, "output", "it is not in the range of what the graph yields"));
            }
        }
        let lookups = builder.lookups().map_err(|_| of_value(0, "run", TOO_LARGE))?;
        let forms: Vec<Arc<dyn Form>> = values.into_iter().map(|value| value.form).collect();
        let [inputs, ends] = builder.tied;
        let tie = |forms, tied: &Tied| -> [Arc<dyn Form>; 2] {
            [Arc::new(Joined(forms)), Arc::new(Columns::one(tied.start, tied.registered.shape.count()))]
        };
        let mut equal = builder.equal;
        equal.extend(inputs.as_ref().map(|tied| tie(builder.input_forms, tied)));
        equal.extend(ends.as_ref().map(|tied| tie(forms.clone(), tied)));
        for (form, batch) in forms.into_iter().zip(public.into_iter().flatten()) {
            equal.push([form, Arc::new(Known(numbers(batch)))]);
        }
        Ok(Self {
            graph: Arc::clone(graph),
            lookups,
            columns: builder.columns,
            equal,
            tied: [inputs, ends].into_iter().flatten().collect(),
            sums: builder.sums,
            private: builder.private.map(|private| Private {
                registered: private.registration.registered.clone(),
                parameters: None,
            }),
        })
    }

    /// The prover's: with the parameters behind the registration.
    ///
    /// # Panics
    /// When these are others.
    #[must_use]
    pub fn with_parameters(mut self, parameters: &Arc<Parameters>) -> Self {
        let private = self.private.as_mut().expect("a run whose parameters are private");
        assert!(private.registered == *parameters.registered(), "the registered parameters");
        private.parameters = Some(Arc::clone(parameters));
        self
    }

    /// The prover's: with what was committed to, inputs before outputs.
    ///
    /// # Panics
    /// When these are others.
    #[must_use]
    pub fn with_values(mut self, values: Vec<Parameters>) -> Self {
        assert!(values.len() == self.tied.len(), "one for each commitment");
        for (tied, own) in self.tied.iter_mut().zip(values) {
            assert!(tied.registered == *own.registered(), "the committed values");
            tied.own = Some(own);
        }
        self
    }

    /// The content of an honest run on `inputs`.
    ///
    /// # Errors
    /// [`WitnessError`].
    ///
    /// # Panics
    /// When parameters are private, or values committed to, and were not given ([`Run::with_parameters`], [`Run::with_values`]).
    pub fn witness(&self, prepared: &dyn Prepared, inputs: &[Batch]) -> Result<Vec<Element>, WitnessError> {
        let kept = self.kept(prepared, inputs)?;
        let mut content = vec![Element::ZERO; self.lookups.content()];
        if let Some(private) = &self.private {
            let parameters = private.parameters.as_ref().expect("the prover's");
            parameters.begin(&mut content[self.sums.count..]);
        }
        for tied in &self.tied {
            tied.own.as_ref().expect("the prover's").begin(&mut content[tied.start..]);
        }
        self.columns.iter().for_each(|column| self.fill(column, &mut content, inputs, &kept));
        self.lookups.count(&mut content)?;
        let told = content.split_off(self.sums.count);
        wipe(&mut content);
        Ok(told)
    }

    /// What the columns take from a run.
    fn kept(&self, prepared: &dyn Prepared, inputs: &[Batch]) -> Result<HashMap<usize, Batch>, ExecuteError> {
        let mut kept = Kept { wanted: vec![false; self.graph.operations().len()], outputs: HashMap::new() };
        for column in &self.columns {
            if let Column::Output { index, .. }
            | Column::OutputLimbs { index, .. }
            | Column::Selected { index, .. } = column
            {
                kept.wanted[*index] = true;
            }
        }
        prepared.run(inputs, &mut kept)?;
        Ok(kept.outputs)
    }

    /// Fills a column of a content that begins with all sums, where everything stands that stood before the column on the walk.
    fn fill(&self, column: &Column, content: &mut [Element], inputs: &[Batch], kept: &HashMap<usize, Batch>) {
        let write = |content: &mut [Element], start: usize, numbers: Vec<i64>| {
            let places = content[start..].iter_mut().zip(numbers);
            places.for_each(|(place, number)| *place = Element::from_i64(number));
        };
        match column {
            Column::Input { index, limbs } => limbs.fill(content, &inputs[*index]),
            Column::OutputLimbs { index, limbs } => limbs.fill(content, &kept[index]),
            Column::Output { index, start } => write(content, *start, told(&kept[index]).collect()),
            Column::Sums(layer) => self.fill_sums(content, *layer),
            Column::Products(product) => self.fill_products(content, *product),
            Column::Limbs(rounded) => fill_limbs(content, rounded),
            Column::Split(split) => {
                split.fill(content, |product, content| self.sums.products[product].values(content));
            }
            Column::Selected { start, index, length } => {
                let one =
                    |position: i64| (0..*length).map(move |at| i64::from(i64::try_from(at) == Ok(position)));
                write(content, *start, told(&kept[index]).flat_map(one).collect());
            }
            Column::Numbers { start, numbers } => {
                let numbers = numbers(content);
                write(content, *start, numbers);
            }
            Column::Clamped { start, list, low, high } => {
                let values = list.values(content).into_iter();
                let clamped = values.map(|value| signed(value).clamp(*low, *high)).collect();
                write(content, *start, clamped);
            }
        }
    }

    /// The sums of a layer, of a content that begins with all sums.
    fn fill_sums(&self, content: &mut [Element], layer: usize) {
        let layer = &self.sums.layers[layer];
        let sums = layer.values(content, &content[self.sums.count..]);
        content[layer.sums..][..sums.len()].copy_from_slice(&sums);
    }

    /// The same of products of two values.
    fn fill_products(&self, content: &mut [Element], product: usize) {
        let product = &self.sums.products[product];
        let sums = product.values(content);
        let places = content[product.sums..].iter_mut().zip(sums);
        places.for_each(|(place, sum)| *place = Element::from_i64(sum));
    }

    /// All sums, of what is committed.
    fn fill_all_sums(&self, content: &mut [Element]) {
        (0..self.sums.layers.len()).for_each(|layer| self.fill_sums(content, layer));
        (0..self.sums.products.len()).for_each(|product| self.fill_products(content, product));
    }

    /// Everything that is claimed of sums and content.
    fn claims(&self, drawn: &Drawn, fractions: &[Hidden; 2], outputs: Challenge) -> Vec<ContentClaim> {
        let mut claims = Vec::from(self.lookups.claims(drawn, fractions));
        let mut functional = vec![Challenge::ZERO; self.lookups.content()];
        let mut value = Challenge::ZERO;
        let mut powers = outputs.powers().skip(1);
        for [left, right] in &self.equal {
            let weights: Vec<Challenge> = powers.by_ref().take(left.count()).collect();
            value -= left.pull(&weights, &mut functional);
            let weights: Vec<Challenge> = weights.into_iter().map(|weight| -weight).collect();
            value -= right.pull(&weights, &mut functional);
        }
        claims.push(ContentClaim { functional, value: Hidden::known(value) });
        claims
    }
}

/// Claims as one, weighed with powers of a challenge.
fn merged(claims: Vec<ContentClaim>, challenge: Challenge) -> ContentClaim {
    let mut claims = claims.into_iter();
    let mut merged = claims.next().expect("some claim");
    for (claim, power) in claims.zip(challenge.powers().skip(1)) {
        let places = merged.functional.iter_mut().zip(&claim.functional);
        let places = places.filter(|(_, weight)| !weight.is_zero());
        places.for_each(|(place, weight)| *place += power * *weight);
        merged.value = &merged.value + &(&claim.value * power);
    }
    merged
}

fn told(batch: &Batch) -> impl Iterator<Item = i64> {
    numbers(batch).into_iter().map(i64::from)
}

impl Above {
    /// The numbers, `count` of them.
    fn form(self, count: usize) -> Columns {
        let terms = limbs_of(self.bits).enumerate();
        let terms =
            terms.map(|(limb, (below, _))| (self.start + limb * count, Element::from_u64(1 << below)));
        Columns { count, constant: Element::from_i64(self.low), terms: terms.collect() }
    }

    fn fill(self, content: &mut [Element], batch: &Batch) {
        let numbers = numbers(batch);
        for (limb, (below, width)) in limbs_of(self.bits).enumerate() {
            let places = &mut content[self.start + limb * numbers.len()..][..numbers.len()];
            for (place, number) in places.iter_mut().zip(&numbers) {
                *place = Element::from_i64((i64::from(*number) - self.low) >> below & ((1 << width) - 1));
            }
        }
    }
}

/// Whether outputs whose clamp is not shown lie where it changes nothing.
fn all_within(values: &[Value], outputs: &[Batch]) -> bool {
    let within =
        |clamp: Interval, batch| told(batch).all(|element| clamp.low < element && element < clamp.high);
    values.iter().zip(outputs).all(|(value, batch)| value.open.is_none_or(|clamp| within(clamp, batch)))
}

fn fill_limbs(content: &mut [Element], rounded: &Rounded) {
    let sums = rounded.sum.values(content);
    let mut limbs = rounded.limbs.iter();
    for (sum, entry) in sums.into_iter().zip(&rounded.entry) {
        let stage = rounded.stages[*entry as usize];
        let remainder = stage.remainder(signed(sum));
        // In this order: the one that ends first is asked first, or it would cost the other an entry.
        for ((below, width), (place, _)) in limbs_of(stage.shift.into()).zip(limbs.by_ref()) {
            content[*place as usize] = Element::from_i64(remainder >> below & ((1 << width) - 1));
        }
    }
}

/// Keeps the outputs of some operations.
struct Kept {
    wanted: Vec<bool>,
    outputs: HashMap<usize, Batch>,
}

impl Observer for Kept {
    fn operation(&mut self, index: usize, output: BatchRef<'_>) -> std::ops::ControlFlow<()> {
        if self.wanted[index] {
            self.outputs.insert(index, output.to_batch());
        }
        std::ops::ControlFlow::Continue(())
    }
}

impl Conversation for Run {
    fn content(&self) -> usize {
        self.lookups.content() - self.sums.count
    }

    fn pads(&self) -> usize {
        self.lookups.pads() + self.sums.pads()
    }

    fn prove(&self, channel: &mut Prover<'_>, content: &[Element]) {
        self.prove_run(channel, content);
        self.tied.iter().for_each(|tied| tied.own.as_ref().expect("the prover's").prove(channel));
    }

    fn verify(&self, channel: &mut Verifier<'_>) -> Result<Vec<ContentClaim>, ProofError> {
        let (drawn, fractions) = self.lookups.check(channel)?;
        let claims = self.claims(&drawn, &fractions, channel.challenge());
        let claims = if self.is_merged() { vec![merged(claims, channel.challenge())] } else { claims };
        let mut claims = self.sums.verify(channel, claims)?;
        if let Some(private) = &self.private {
            claims.push(private.registered.verify(channel, 0, self.content())?);
        }
        for tied in &self.tied {
            claims.push(tied.registered.verify(channel, tied.start - self.sums.count, self.content())?);
        }
        Ok(claims)
    }

    fn errors(&self) -> u64 {
        let equal: usize = self.equal.iter().map(|[form, _]| form.count()).sum();
        let tied: u64 = self.tied.iter().map(|tied| tied.registered.errors()).sum();
        // Three claims become one.
        let sums = if self.is_merged() { 2 + self.sums.errors() } else { 0 };
        let private = self.private.as_ref().map_or(0, |private| private.registered.errors());
        self.lookups.errors() + equal as u64 + tied + sums + private
    }

    fn missed(&self) -> f64 {
        let private = self.private.as_ref().map(|private| &private.registered);
        private.into_iter().chain(self.tied.iter().map(|tied| &tied.registered)).map(Registered::missed).sum()
    }
}

impl Run {
    /// Whether what is claimed becomes one claim, of which the sums' part is shown first.
    fn is_merged(&self) -> bool {
        self.sums.count > 0 || self.private.is_some()
    }

    /// Shows the lookups, and the sums that are not committed.
    fn prove_run(&self, channel: &mut Prover<'_>, content: &[Element]) {
        if !self.is_merged() {
            self.lookups.show(channel, content);
            // Drawn by both sides, for what is equal.
            let _ = channel.challenge();
            return;
        }
        let mut content = [&vec![Element::ZERO; self.sums.count], content].concat();
        self.fill_all_sums(&mut content);
        let drawn = self.lookups.show(channel, &content);
        let claims = self.claims(&drawn, &[Hidden::default(), Hidden::default()], channel.challenge());
        let claim = merged(claims, channel.challenge());
        let parameters =
            self.private.as_ref().map(|private| private.parameters.as_ref().expect("the prover's"));
        let elements = parameters.map_or(&[][..], |parameters| parameters.elements());
        self.sums.prove(channel, &claim, &content, elements);
        if let Some(parameters) = parameters {
            parameters.prove(channel);
        }
        wipe(&mut content);
    }
}

#[cfg(test)]
mod tests;
