//! What a run of an integer graph says about a committed content: the graph's interpreter whose values are linear forms.
//!
//! Inputs and outputs are public, or those of a commitment ([`crate::values`]), or, inputs alone, anything; parameters are public, which means
//! that the verifier holds the model, or registered ([`crate::registration`]). What a run says about private parameters is the same for all of them: it depends on the architecture and the registered
//! bounds alone, or it would tell more.
//!
//! Every element of an operation that computes is a column of the content, unless it is linear in what is there already. An element of a sum
//! `y = clamp(floor((a·m + h) / 2^s))` brings its remainder in limbs, each looked up in a range, and the pair `(t, y)` is looked up in a table of
//! the clamp, `t` being linear in the rest. Nothing wraps: by the ranges of the graph `|a·m + h|` and `|t·2^s + r|` stay below
//! half of the field, so the equation modulo the field's order is one of integers, and remainder and quotient are unique. So each value is, from
//! the inputs on, the one that the reference yields, and lies in its proven range.
//!
//! Of all records the same is said, so forms and columns are those of one ([`Places`]): first the numbers that are not committed (sums over private
//! weights, inputs that are told), then what all records share, then what each has for itself, then the tables' multiplicities.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use p3_field::{PrimeCharacteristicRing as _, PrimeField32 as _};
use sealgrid_graph::cost;
use sealgrid_graph::execute::{Batch, BatchRef, ExecuteError, Observer, Prepared, check_inputs};
use sealgrid_graph::integer::{Graph, Interpreter, Operation, ParameterId, Primitive, Requantise, ValueType};
use sealgrid_graph::range::{self, Interval};
use sealgrid_graph::reference;
use sealgrid_graph::tensor::{DType, Tensor};

use crate::argument::{ContentClaim, Conversation, Later, Part, TooLarge};
use crate::channel::{ProofError, Prover, Verifier};
use crate::commit::VARIABLES_MAX;
use crate::field::{Challenge, Element, equality, wipe};
use crate::hidden::Hidden;
use crate::inner;
use crate::layers::{Layer, reach};
use crate::lookups::{Columns, Drawn, Form, Lists, Looked, Lookups, NotInTable, Pulled, Table, Witness};
use crate::maps::{
    Known, LIMB_BITS, Map, Moved, Plus, Rounded, Stage, Sum, Taps, Term, limbs_of, narrow, numbers,
    positions, signed,
};
use crate::places::Places;
use crate::registration::{self, Registration, starts, weight_of};
use crate::weights::{Parameters, Registered, Shape};

/// Why a sum is refused that the field cannot hold.
const WRAPS: &str = "its sums times their multiplier may leave the field";
/// Why a run is refused that no vector could hold.
const TOO_LARGE: &str = "no records, or more than a proof can hold";
/// Rows above which a clamp is split.
const SPLIT_ROWS: i64 = 1 << 11;
/// Most products of a run: a verifier goes through them, and an architecture may come from anybody.
const PRODUCTS_MAX: u64 = 1 << 33;
/// Most rows of one table.
const ROWS_MAX: i64 = 1 << 17;

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
    /// Limbs of the remainders of a sum.
    Limbs(Arc<Rounded>),
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
    lookups: Lookups,
    columns: Vec<Column>,
    /// Inputs that are told: where their places begin, and their numbers.
    shown: Vec<(usize, Vec<i32>)>,
    /// What goes into the run or comes out of it, and what is told of that.
    equal: Vec<Equal>,
    /// Inputs, outputs.
    tied: Vec<Tied>,
    private: Option<Private>,
}

/// Values of a run that are equal to others, all records' of each form one behind the other.
struct Equal {
    forms: Vec<Arc<dyn Form>>,
    to: Other,
}

enum Other {
    /// To numbers that are told.
    Told(Vec<Vec<i32>>),
    /// To what was committed to and stands from this place on.
    Tied(usize),
}

/// The private parameters of a run.
struct Private {
    registered: Registered,
    layers: Vec<Layer>,
    /// Sums of all layers: elements of the lookups' content that are not committed.
    sums: usize,
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
        let elements: usize = values.map(|value_type| value_type.shape.count()).sum();
        let products = cost::count(graph).multiply_adds.saturating_mul(records as u64);
        if records == 0 || elements.saturating_mul(records) > 1 << VARIABLES_MAX || products > PRODUCTS_MAX {
            return Err(of_value(0, "run", TOO_LARGE));
        }
        let committed =
            [inputs.root(), if let Outputs::Committed(root) = outputs { Some(root) } else { None }];
        let walk = |open| Builder::walk(graph, weights, inputs, committed, records, open);
        // An output of a wide range is told as it is before its clamp, unless one lies where only the clamp's table can say why, or it is not told.
        let public = if let Outputs::Public(batches) = &outputs { Some(batches) } else { None };
        let within = |values: &[Value]| match public {
            Some(batches) => all_within(values, batches),
            None => values.iter().all(|value| value.open.is_none()),
        };
        let (mut builder, values) = match walk(public.is_some())? {
            (_, values) if public.is_some() && !within(&values) => walk(false)?,
            walked => walked,
        };
        if !within(&values) {
            let why = if public.is_some() {
                "an output at the bound of so wide a range is not part of proofs yet"
            } else {
                "outputs of so wide a range can be shown, not committed to"
            };
            return Err(of_value(0, "output", why));
        }
        for (index, value) in values.iter().enumerate() {
            // What is shown is an equation modulo the field's order: of two outputs that are equal so, one is not in the range.
            let told = public.is_none_or(|batches| told(&batches[index]).all(|it| value.range.contains(it)));
            if !in_field(value.range) || !told {
                return Err(of_value(index, "output", "it is not in the range of what the graph yields"));
            }
        }
        let lookups = builder.lookups(records).map_err(|_| of_value(0, "run", TOO_LARGE))?;
        let forms: Vec<Arc<dyn Form>> = values.into_iter().map(|value| value.form).collect();
        let [inputs, ends] = builder.tied;
        let mut equal = Vec::new();
        equal.extend(
            inputs.as_ref().map(|tied| Equal { forms: builder.input_forms, to: Other::Tied(tied.start) }),
        );
        let to = match (public, &ends) {
            (Some(batches), _) => Other::Told(batches.iter().map(numbers).collect()),
            (None, Some(tied)) => Other::Tied(tied.start),
            (None, None) => unreachable!("outputs are shown or committed to"),
        };
        equal.push(Equal { forms, to });
        Ok(Self {
            graph: Arc::clone(graph),
            lookups,
            columns: builder.columns,
            shown: builder.shown,
            equal,
            tied: [inputs, ends].into_iter().flatten().collect(),
            private: builder.private.map(|private| Private {
                registered: private.registration.registered.clone(),
                layers: private.layers,
                sums: private.sums,
                parameters: None,
            }),
        })
    }

    /// Variables of the tree of fractions.
    pub(crate) fn fractions(&self) -> usize {
        self.lookups.variables()
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
    pub fn witness(&self, prepared: &dyn Prepared, inputs: &[Batch]) -> Result<Witness, WitnessError> {
        let mut kept = Kept { wanted: vec![false; self.graph.operations().len()], outputs: HashMap::new() };
        for column in &self.columns {
            if let Column::Output { index, .. } | Column::OutputLimbs { index, .. } = column {
                kept.wanted[*index] = true;
            }
        }
        prepared.run(inputs, &mut kept)?;
        let inputs: Vec<Vec<i32>> = inputs.iter().map(numbers).collect();
        let layout = self.lookups.places();
        let mut places = vec![Element::ZERO; layout.count];
        if let Some(private) = &self.private {
            private.parameters.as_ref().expect("the prover's").begin(&mut places[layout.open..]);
        }
        for tied in &self.tied {
            tied.own.as_ref().expect("the prover's").begin(&mut places[tied.start..]);
        }
        let mut content = vec![Element::ZERO; layout.content()];
        layout.put_shared(&places, &mut content);
        let mut lists = self.lookups.lists();
        let weights = self.weights();
        let of_record = |record: usize, numbers: &'_ [i32]| {
            let each = numbers.len() / layout.records;
            numbers[record * each..][..each].to_vec()
        };
        for record in 0..layout.records {
            self.fill_shown(record, &mut places);
            for column in &self.columns {
                match column {
                    Column::Input { index, limbs } => {
                        limbs.fill(&mut places, &of_record(record, &inputs[*index]));
                    }
                    Column::OutputLimbs { index, limbs } => {
                        limbs.fill(&mut places, &of_record(record, &kept.outputs[index]));
                    }
                    Column::Output { index, start } => {
                        let numbers = of_record(record, &kept.outputs[index]);
                        let elements = numbers.into_iter().map(Element::from_i32);
                        places[*start..]
                            .iter_mut()
                            .zip(elements)
                            .for_each(|(place, element)| *place = element);
                    }
                    Column::Sums(layer) => self.fill_sums(&mut places, *layer, &weights),
                    Column::Limbs(rounded) => fill_limbs(&mut places, rounded),
                    Column::Clamped { start, list, low, high } => {
                        let clamped =
                            list.values(&places).into_iter().map(|value| signed(value).clamp(*low, *high));
                        let clamped: Vec<Element> = clamped.map(Element::from_i64).collect();
                        places[*start..][..clamped.len()].copy_from_slice(&clamped);
                    }
                }
            }
            layout.put(record, &places, &mut content);
            self.lookups.list(record, &places, &mut lists);
        }
        wipe(&mut places);
        self.lookups.count(&lists, &mut content)?;
        Ok(Witness { content, lists: Some(lists) })
    }

    /// Private parameters as integers; none that are public.
    fn weights(&self) -> Vec<i64> {
        let parameters = self.private.iter().flat_map(|private| &private.parameters);
        parameters.flat_map(|own| own.elements()).map(|element| signed(*element)).collect()
    }

    /// Inputs that are told, among the places of a record.
    fn fill_shown(&self, record: usize, places: &mut [Element]) {
        for (start, numbers) in &self.shown {
            let each = numbers.len() / self.lookups.places().records;
            let numbers = &numbers[record * each..][..each];
            let places = places[*start..].iter_mut().zip(numbers);
            places.for_each(|(place, number)| *place = Element::from_i32(*number));
        }
    }

    /// The sums of a layer, among places of which its operand is filled.
    fn fill_sums(&self, places: &mut [Element], layer: usize, weights: &[i64]) {
        let layer = &self.private.as_ref().expect("only private weights have layers").layers[layer];
        let sums = layer.values(places, weights);
        places[layer.sums..][..sums.len()].copy_from_slice(&sums);
    }

    /// What is looked up, of a content as it is.
    fn lists(&self, content: &[Element]) -> Lists {
        let (mut lists, weights) = (self.lookups.lists(), self.weights());
        self.lookups.places().each(content, |record, places| {
            self.fill_shown(record, places);
            let layers = self.private.as_ref().map_or(0, |private| private.layers.len());
            (0..layers).for_each(|layer| self.fill_sums(places, layer, &weights));
            self.lookups.list(record, places, &mut lists);
        });
        lists
    }

    /// What lookups, with [`Lookups::pull`], and equal values say of the places.
    fn pulled(&self, drawn: &Drawn, [equal, merge]: [Challenge; 2]) -> Pulled {
        let count = self.equal.iter().flat_map(|equal| &equal.forms).map(|form| form.count()).sum();
        let weights: Vec<Challenge> = equal.shifted_powers(equal * merge.square()).take(count).collect();
        let mut pulled = self.lookups.pull(drawn, merge, |functional| {
            let mut rest = &weights[..];
            let forms = self.equal.iter().flat_map(|equal| &equal.forms);
            let pull = |form: &Arc<dyn Form>| {
                let own = rest.split_off(..form.count()).expect("as many");
                form.pull(own, functional)
            };
            forms.map(pull).sum()
        });
        let mut rest = &weights[..];
        let records = &drawn.records[..self.lookups.places().records];
        for Equal { forms, to } in &self.equal {
            let mut first = 0;
            for (which, form) in forms.iter().enumerate() {
                let own = rest.split_off(..form.count()).expect("as many");
                match to {
                    Other::Told(numbers) => pulled.known -= over_records(records, own, &numbers[which]),
                    Other::Tied(start) => {
                        let places = pulled.functional[start + first..].chunks_exact_mut(own.len());
                        for (places, record) in places.zip(records) {
                            places.iter_mut().zip(own).for_each(|(place, own)| *place -= *record * *own);
                        }
                        first += records.len() * own.len();
                    }
                }
            }
        }
        pulled.known += self.told(drawn, &pulled.functional);
        pulled
    }

    /// What inputs that are told come to in a functional of the places.
    fn told(&self, drawn: &Drawn, functional: &[Challenge]) -> Challenge {
        let records = &drawn.records[..self.lookups.places().records];
        let of_input = |(start, numbers): &(usize, Vec<i32>)| {
            over_records(records, &functional[*start..][..numbers.len() / records.len()], numbers)
        };
        self.shown.iter().map(of_input).sum()
    }
}

/// `Σ record·place·number` over all records and places.
fn over_records(records: &[Challenge], places: &[Challenge], numbers: &[i32]) -> Challenge {
    let of_record = |(record, numbers): (&Challenge, &[i32])| {
        let sum = places.iter().zip(numbers).map(|(place, number)| *place * Element::from_i32(*number));
        sum.sum::<Challenge>() * *record
    };
    records.iter().zip(numbers.chunks_exact(places.len())).map(of_record).sum()
}

impl Private {
    /// Variables of the parameters' cube.
    fn variables(&self) -> usize {
        self.registered.shape.elements().next_power_of_two().ilog2() as usize
    }

    /// Pads that showing the sums takes: the number that they come to, the sumcheck, and its product's value beyond.
    fn pads(&self) -> usize {
        if self.layers.is_empty() { 0 } else { 1 + inner::pads(self.variables()) + 1 }
    }

    /// Shows what the sums come to, `pulled` being about all places; `operands` are the layers', in each record.
    fn prove(
        &self,
        channel: &mut Prover<'_>,
        pulled: &Pulled,
        records: &[Challenge],
        operands: impl FnOnce() -> Vec<Vec<Vec<Element>>>,
    ) {
        let parameters = self.parameters.as_ref().expect("the prover's");
        if !self.layers.is_empty() {
            let weights = &pulled.functional[..self.sums];
            let mut met = vec![Challenge::ZERO; 1 << self.variables()];
            for (layer, operand) in self.layers.iter().zip(operands()) {
                if let [operand] = &operand[..] {
                    layer.contribute(weights, operand, &mut met);
                } else {
                    layer.contribute(weights, &folded(records, &operand), &mut met);
                }
            }
            let mut elements: Vec<Challenge> =
                parameters.elements().iter().map(|element| Challenge::from(*element)).collect();
            elements.resize(met.len(), Challenge::ZERO);
            let products = met.iter().zip(parameters.elements());
            channel.send(products.map(|(met, element)| *met * *element).sum());
            inner::prove(channel, met, elements);
        }
        parameters.prove(channel);
    }

    fn errors(&self) -> u64 {
        inner::errors(self.variables()) + self.registered.errors()
    }
}

/// Lists of several records, each times its record's weight, added up.
fn folded(records: &[Challenge], lists: &[Vec<Element>]) -> Vec<Challenge> {
    let mut sums = vec![Challenge::ZERO; lists[0].len()];
    for (record, list) in records.iter().zip(lists) {
        sums.iter_mut().zip(list).for_each(|(sum, element)| *sum += *record * *element);
    }
    sums
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

    fn fill(self, content: &mut [Element], numbers: &[i32]) {
        for (limb, (below, width)) in limbs_of(self.bits).enumerate() {
            let places = &mut content[self.start + limb * numbers.len()..][..numbers.len()];
            for (place, number) in places.iter_mut().zip(numbers) {
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

/// The operations whose results only move on their way out, and are operands of nothing else.
fn ends(graph: &Graph) -> Vec<bool> {
    let inputs = graph.inputs().len();
    let mut ends = vec![true; graph.operations().len()];
    for (index, operation) in graph.operations().iter().enumerate().rev() {
        if !(only_moves(&operation.primitive) && ends[index]) {
            let operands = operation.operands.iter().filter_map(|id| (id.0 as usize).checked_sub(inputs));
            operands.for_each(|operand| ends[operand] = false);
        }
    }
    ends
}

fn only_moves(primitive: &Primitive) -> bool {
    matches!(primitive, Primitive::Reshape | Primitive::Transpose { .. } | Primitive::Slice { .. })
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
    outputs: HashMap<usize, Vec<i32>>,
}

impl Observer for Kept {
    fn operation(&mut self, index: usize, output: BatchRef<'_>) -> std::ops::ControlFlow<()> {
        if self.wanted[index] {
            self.outputs.insert(index, numbers(&output.to_batch()));
        }
        std::ops::ControlFlow::Continue(())
    }
}

impl Conversation for Run {
    fn content(&self) -> usize {
        self.lookups.content()
    }

    fn pads(&self) -> usize {
        self.lookups.pads() + self.private.as_ref().map_or(0, Private::pads)
    }

    fn prove(&self, channel: &mut Prover<'_>, witness: &Witness) -> Option<Pulled> {
        let Witness { content, lists } = witness;
        let drawn = match lists {
            Some(lists) => self.lookups.show(channel, lists, content),
            None => self.lookups.show(channel, &self.lists(content), content),
        };
        let challenges = [channel.challenge(), channel.challenge()];
        let pulled = self.pulled(&drawn, challenges);
        if let Some(private) = &self.private {
            private.prove(channel, &pulled, &drawn.records, || self.operands(content));
        }
        self.tied.iter().for_each(|tied| tied.own.as_ref().expect("the prover's").prove(channel));
        Some(pulled)
    }

    fn verify<'c>(
        &'c self,
        channel: &mut Verifier<'c>,
        pulled: Option<Pulled>,
    ) -> Result<Later<'c>, ProofError> {
        let (drawn, [numerator, denominator]) = self.lookups.check(channel)?;
        let challenges = [channel.challenge(), channel.challenge()];
        let mut value = &numerator + &(&denominator * challenges[1]);
        let mut sides = None;
        if let Some(private) = self.private.as_ref().filter(|private| !private.layers.is_empty()) {
            let sum = channel.receive()?;
            value = &value - &sum;
            sides = Some((private, inner::verify(channel, private.variables(), &sum)?));
        }
        let registered = self.private.as_ref().map(|private| private.registered.verify(channel, 0));
        let registered = registered.transpose()?;
        let tied: Vec<_> = self
            .tied
            .iter()
            .map(|tied| tied.registered.verify(channel, self.lookups.places().shared(tied.start)))
            .collect::<Result<_, _>>()?;
        Ok(Box::new(move || {
            let pulled = pulled.unwrap_or_else(|| self.pulled(&drawn, challenges));
            let places = self.lookups.places();
            let functional = places.parts(&pulled.functional, &drawn.records);
            let mut claims = vec![ContentClaim { functional, value: &value - &Hidden::known(pulled.known) }];
            if let Some((private, sides)) = sides {
                let parameters = equality(&sides.point);
                let mut functional = vec![Challenge::ZERO; places.count];
                let sums = &pulled.functional[..private.sums];
                let pull = |layer: &Layer| layer.pull(sums, &parameters, &mut functional);
                let known = private.layers.iter().map(pull).sum::<Challenge>() * drawn.all_records();
                places.share(&mut functional, drawn.all_records());
                let known = known + self.told(&drawn, &functional);
                let functional = places.parts(&functional, &drawn.records);
                claims.push(ContentClaim { functional, value: &sides.left - &Hidden::known(known) });
                let elements = parameters[..private.registered.shape.elements()].to_vec();
                claims.push(ContentClaim { functional: vec![Part::plain(0, elements)], value: sides.right });
            }
            for registered in registered.into_iter() {
                claims.push(registered()?);
            }
            for tied in tied {
                claims.push(tied()?);
            }
            Ok(claims)
        }))
    }

    fn errors(&self) -> u64 {
        let equal: usize = self.equal.iter().flat_map(|equal| &equal.forms).map(|form| form.count()).sum();
        // Equal values are one claim more that is merged, and one over all records.
        let equal = 1 + equal as u64 + u64::from(self.lookups.places().width().ilog2());
        let tied: u64 = self.tied.iter().map(|tied| tied.registered.errors()).sum();
        self.lookups.errors() + equal + tied + self.private.as_ref().map_or(0, Private::errors)
    }

    fn missed(&self) -> f64 {
        let private = self.private.as_ref().map(|private| &private.registered);
        private.into_iter().chain(self.tied.iter().map(|tied| &tied.registered)).map(Registered::missed).sum()
    }
}

impl Run {
    /// Of each layer with private weights, what it is applied to, record by record.
    fn operands(&self, content: &[Element]) -> Vec<Vec<Vec<Element>>> {
        let layers = self.private.as_ref().map_or(&[][..], |private| &private.layers);
        let mut operands = vec![Vec::new(); layers.len()];
        self.lookups.places().each(content, |record, places| {
            self.fill_shown(record, places);
            let of_record = operands.iter_mut().zip(layers);
            of_record.for_each(|(operand, layer)| operand.push(layer.operand.values(places)));
        });
        operands
    }
}

/// A value on the walk.
#[derive(Clone)]
struct Value {
    form: Arc<dyn Form>,
    range: Interval,
    axes: Vec<usize>,
    /// The clamp that was not shown, because a table of it would be too long: the form is what is before it. Only for outputs, where everybody
    /// sees whether they lie strictly within.
    open: Option<Interval>,
}

impl Value {
    fn shown(form: Arc<dyn Form>, range: Interval, axes: &[usize]) -> Self {
        Self { form, range, axes: axes.to_vec(), open: None }
    }
}

/// A table on its way: its rows.
#[derive(PartialEq)]
enum Rows {
    /// `0 … 2^bits − 1`, and so on: all integers of an interval.
    Range(Interval),
    /// `(t, clamp(t))`.
    Clamp { from: Interval, low: i32, high: i32 },
    /// `(sign of q, v, clamp(low + q·2^width + v))`.
    Select { low: i32, high: i32, width: u32 },
    /// `(x, f(x))` from `first` on.
    Function { first: i64, results: Vec<i32> },
}

struct Builder<'b> {
    /// One: of all the same is said.
    records: usize,
    inputs: Inputs<'b>,
    /// Places so far.
    content: usize,
    /// Places that are not committed, and where each record's own begin.
    open_places: usize,
    own: usize,
    /// Inputs that are told, and where the next stands.
    shown: Vec<(usize, Vec<i32>)>,
    next_shown: usize,
    columns: Vec<Column>,
    tables: Vec<Rows>,
    looked: Vec<Looked>,
    private: Option<Hiding<'b>>,
    input_forms: Vec<Arc<dyn Form>>,
    /// Inputs, outputs.
    tied: [Option<Tied>; 2],
    /// The operations whose results may be shown before their clamp.
    open: Vec<bool>,
}

/// Private parameters while a run is built.
struct Hiding<'b> {
    registration: &'b Registration,
    /// Where each parameter begins among all.
    first: Vec<usize>,
    layers: Vec<Layer>,
    sums: usize,
    /// Where the parameters stand, and behind them their pads.
    start: usize,
}

impl<'b> Hiding<'b> {
    fn new(graph: &Graph, registration: &'b Registration, shown: usize) -> Result<Self, NotProvable> {
        if !registration.fits(graph) {
            return Err(of_value(0, "registration", "it is of another architecture"));
        }
        let sums = graph.operations().iter().filter(|operation| weight_of(&operation.primitive).is_some());
        let sums = sums.map(|operation| operation.output.shape.count()).sum();
        Ok(Self { registration, first: starts(graph), layers: Vec::new(), sums, start: sums + shown })
    }

    /// Where all else begins.
    fn end(&self) -> usize {
        self.start + self.registration.registered.shape.taken()
    }

    /// A parameter's elements.
    fn column(&self, id: ParameterId, count: usize) -> Arc<dyn Form> {
        Arc::new(Columns::one(self.start + self.first[id.0 as usize], count))
    }
}

impl<'b> Builder<'b> {
    /// What a graph says over so many records, and its outputs; outputs may be `open` or must have their clamps shown. Inputs and outputs may be those of
    /// commitments with these roots.
    fn walk(
        graph: &Graph,
        weights: Weights<'b>,
        inputs: Inputs<'b>,
        committed: [Option<[u8; 32]>; 2],
        records: usize,
        open: bool,
    ) -> Result<(Self, Vec<Value>), NotProvable> {
        let shown = match inputs {
            Inputs::Public(_) => graph.inputs().iter().map(|value_type| value_type.shape.count()).sum(),
            Inputs::Private(_) | Inputs::Committed(..) => 0,
        };
        let private = match weights {
            Weights::Private(registration) => Some(Hiding::new(graph, registration, shown)?),
            Weights::Public => None,
        };
        let open_places = private.as_ref().map_or(shown, |private| private.start);
        let mut content = private.as_ref().map_or(open_places, Hiding::end);
        let types = [
            graph.inputs().to_vec(),
            graph.outputs().iter().map(|id| graph.value_type(*id).clone()).collect(),
        ];
        let mut tied = [None, None];
        for ((tied, root), types) in tied.iter_mut().zip(committed).zip(types) {
            let Some(root) = root else { continue };
            let each: usize = types.iter().map(|value_type| value_type.shape.count()).sum();
            let shape = Shape::of_values(records * each).map_err(|_| of_value(0, "run", TOO_LARGE))?;
            *tied = Some(Tied { registered: Registered { shape, root }, start: content, own: None });
            content += shape.taken();
        }
        let mut builder = Self {
            records: 1,
            inputs,
            content,
            open_places,
            own: content,
            shown: Vec::new(),
            next_shown: open_places - shown,
            columns: Vec::new(),
            tables: Vec::new(),
            looked: Vec::new(),
            private,
            input_forms: Vec::new(),
            tied,
            open: if open { ends(graph) } else { vec![false; graph.operations().len()] },
        };
        let outputs = graph.interpret(&mut builder)?;
        Ok((builder, outputs))
    }

    /// The lookups, with the tables' multiplicities behind the columns.
    fn lookups(&mut self, records: usize) -> Result<Lookups, TooLarge> {
        let mut content = self.content;
        let tables = std::mem::take(&mut self.tables).into_iter().map(|rows| {
            let columns = rows.columns();
            let multiplicities = content;
            content += columns[0].len();
            Table { columns, multiplicities }
        });
        let tables = tables.collect();
        let own = self.own..self.content;
        let places = Places { open: self.open_places, own, count: content, records };
        Lookups::over(places, tables, std::mem::take(&mut self.looked))
    }

    fn column(&mut self, count: usize) -> usize {
        let start = self.content;
        self.content += count;
        start
    }

    /// Columns for the limbs of so many numbers.
    fn above(&mut self, low: i64, bits: u32, count: usize) -> Above {
        let start = self.column(limbs_of(bits).count() * count);
        Above { start, low, bits }
    }

    /// The number of a table, which stands once whoever looks something up in it.
    fn table(&mut self, rows: Rows) -> usize {
        self.tables.iter().position(|known| *known == rows).unwrap_or_else(|| {
            self.tables.push(rows);
            self.tables.len() - 1
        })
    }

    /// Sums over private weights, a bias added to each; `None` when parameters are public.
    fn layer(
        &mut self,
        operand: &Value,
        map: &Map,
        [weight, bias]: [ParameterId; 2],
        requantise: &Requantise,
        each: usize,
        channel: impl Fn(usize) -> usize,
    ) -> Option<Summed> {
        let records = self.records;
        let private = self.private.as_mut()?;
        let start = private.layers.last().map_or(0, Layer::end);
        let first = private.first[weight.0 as usize];
        let form = Arc::clone(&operand.form);
        let layer = Layer { operand: form, map: map.clone(), each, sums: start, first };
        private.layers.push(layer);
        self.columns.push(Column::Sums(private.layers.len() - 1));
        let from = (0..records * each).map(|position| Some(narrow(channel(position % each)))).collect();
        let biases = (0..each).map(&channel).max().map_or(0, |last| last + 1);
        let bias_column = private.column(bias, biases);
        let added = Arc::new(Moved { operand: bias_column, from, constant: 0 });
        let form = Arc::new(Plus(vec![Arc::new(Columns::one(start, records * each)), added]));
        let carried = private.registration.reaches[private.layers.len() - 1];
        let limits = registration::limits(carried, requantise, biases);
        let added = private.registration.magnitudes[bias.0 as usize];
        let within = (0..each).map(|position| reach(operand.range, limits[channel(position)], added));
        Some(Summed { form, bounds: within.collect() })
    }

    /// A sum behind its output stage.
    fn stage(
        &mut self,
        index: usize,
        operation: &Operation,
        sum: impl Into<Summed>,
        requantise: &Requantise,
        channel: impl Fn(usize) -> usize,
    ) -> Result<Value, NotProvable> {
        let refuse = |why| refused(index, operation, why);
        let Summed { form: sum, bounds } = sum.into();
        let bounds = bounds.ok_or_else(|| refuse(WRAPS))?;
        let (count, each) = (sum.count(), bounds.len());
        let entry_of =
            |position| if requantise.multipliers.len() == 1 { 0 } else { channel(position % each) };
        let entry: Vec<u32> = (0..count).map(|position| narrow(entry_of(position))).collect();
        let stages = requantise.multipliers.iter().zip(&requantise.shifts);
        let stages: Vec<Stage> = stages.map(|(&multiplier, &shift)| Stage { multiplier, shift }).collect();
        // Quotients by shift: those of one shift have one table, and then whatever it admits does not wrap either.
        let mut quotients: BTreeMap<u8, Interval> = BTreeMap::new();
        for (bounds, entry) in bounds.iter().zip(&entry) {
            let stage = stages[*entry as usize];
            let quotient = stage.quotients(*bounds).ok_or_else(|| refuse(WRAPS))?;
            quotients.entry(stage.shift).and_modify(|all| *all = hull(*all, quotient)).or_insert(quotient);
        }
        let limbs = self.limbs(&entry, &stages);
        let form = Arc::new(Rounded { sum, entry, stages, limbs });
        if !form.limbs.is_empty() {
            self.columns.push(Column::Limbs(Arc::clone(&form)));
        }
        let axes = operation.output.shape.axes().to_vec();
        let (low, high) = (i64::from(requantise.low), i64::from(requantise.high));
        let all = quotients.values().copied().reduce(hull).expect("a value has elements");
        let unclamped = low <= all.low && all.high <= high;
        // What is made of private sums is committed before it is an operand.
        let as_it_is = unclamped && self.private.is_none();
        if as_it_is && form.limbs.is_empty() {
            return Ok(Value::shown(form, all, &axes));
        }
        let clamped = Interval { low: all.low.clamp(low, high), high: all.high.clamp(low, high) };
        let width =
            u64::try_from(high - low + 1).ok().and_then(u64::checked_next_power_of_two).map(u64::ilog2);
        // What a clamp yields is told by one limb, or by several that nothing else can be made of.
        let narrow_width = width.filter(|width| !unclamped && *width <= LIMB_BITS.into());
        let whole = width.filter(|width| !unclamped && *width <= 16 && high - low + 1 == 1 << width);
        let width = narrow_width.or(whole);
        let is_longer = |most: i64, width: Option<u32>| {
            quotients.iter().any(|(shift, quotients)| {
                let rows = quotients.high - quotients.low;
                let split = width.filter(|width| is_split(*quotients, *width, *shift));
                rows >> split.unwrap_or(0) >= most
            })
        };
        let most = clamped.low.abs().max(clamped.high.abs());
        let widest = quotients.keys().copied().max().unwrap_or(0);
        let wraps = (most + 1) << widest >= i64::from(Element::ORDER_U32) / 2;
        if is_longer(ROWS_MAX, width) && wraps {
            return Err(refuse(WRAPS));
        }
        if is_longer(ROWS_MAX, width) || is_longer(SPLIT_ROWS, narrow_width) && self.open[index] && !wraps {
            return Ok(Value { form, range: clamped, axes, open: Some(Interval { low, high }) });
        }
        let in_limbs = width.filter(|width| {
            *width > LIMB_BITS.into() && quotients.iter().any(|(shift, all)| is_split(*all, *width, *shift))
        });
        // Parts of the output: their bounds, and where they stand.
        let mut parts = vec![(requantise.low, requantise.high, self.content)];
        let output: Option<Arc<dyn Form>> = match in_limbs {
            Some(width) => {
                let limbs = self.above(low, width, count);
                self.columns.push(Column::OutputLimbs { index, limbs });
                let widths = limbs_of(width).enumerate();
                parts = widths
                    .map(|(limb, (_, width))| (0, (1 << width) - 1, limbs.start + limb * count))
                    .collect();
                Some(Arc::new(limbs.form(count)))
            }
            None => (!as_it_is).then(|| self.output(index, count)),
        };
        for (shift, quotients) in quotients {
            let of_shift = |position: &usize| form.stages[form.entry[*position] as usize].shift == shift;
            let members: Vec<Option<u32>> =
                (0..count).filter(of_shift).map(|position| Some(narrow(position))).collect();
            let part = |operand: Arc<dyn Form>| -> Arc<dyn Form> {
                if members.len() == count {
                    operand
                } else {
                    Arc::new(Moved { operand, from: members.clone(), constant: 0 })
                }
            };
            if output.is_some()
                && let Some(width) = width
                && is_split(quotients, width, shift)
            {
                let parts = parts
                    .iter()
                    .map(|(low, high, start)| ((*low, *high), part(Arc::new(Columns::one(*start, count)))));
                let parts = parts.collect::<Vec<_>>();
                self.split_clamp(part(Arc::<Rounded>::clone(&form)), parts, quotients, low, width);
                continue;
            }
            let looked = match &output {
                Some(output) => Looked {
                    table: self.table(Rows::Clamp {
                        from: quotients,
                        low: requantise.low,
                        high: requantise.high,
                    }),
                    tuple: vec![part(Arc::<Rounded>::clone(&form)), part(Arc::clone(output))],
                },
                // A quotient is one only where it is an integer of its range: with another remainder it is anywhere in the field.
                None => Looked {
                    table: self.table(Rows::Range(quotients)),
                    tuple: vec![part(Arc::<Rounded>::clone(&form))],
                },
            };
            self.looked.push(looked);
        }
        Ok(Value::shown(output.unwrap_or(form), clamped, &axes))
    }

    /// A clamp whose table would be long: `t = low + q·2^width + v`. Where `q` is negative, zero or positive, the result is the least,
    /// `low + v` as far as there is, or the greatest; `outputs` are the result, or the limbs of what it is above the least, each with its bounds.
    fn split_clamp(
        &mut self,
        quotients: Arc<dyn Form>,
        outputs: Vec<((i32, i32), Arc<dyn Form>)>,
        range: Interval,
        low: i64,
        width: u32,
    ) {
        let count = quotients.count();
        let shift = u8::try_from(width).expect("a limb's bits");
        let identity = (0..count).map(|at| (narrow(at), narrow(at))).collect();
        let stage = Stage { multiplier: 1, shift };
        let offset = i32::try_from(-low - stage.half()).expect("the bounds of a narrow clamp");
        let term = Term { operand: quotients, range, map: Map::Moves(identity), factor: 1 };
        // The stage rounds; a constant takes that back.
        let sum = Arc::new(Sum { records: 1, constants: vec![offset; count], terms: vec![term] });
        let widths: Vec<(u32, u32)> = limbs_of(width).collect();
        let places = self.column(widths.len() * count);
        let of = |at: usize| {
            let limb = move |(limb, (below, _)): (usize, &(u32, u32))| {
                (narrow(places + limb * count + at), u8::try_from(*below).expect("a number's bits"))
            };
            widths.iter().enumerate().map(limb)
        };
        let limbs = (0..count).flat_map(of).collect();
        let above = Arc::new(Rounded { sum, entry: vec![0; count], stages: vec![stage], limbs });
        self.columns.push(Column::Limbs(Arc::clone(&above)));
        let signs = self.column(count);
        let above: Arc<dyn Form> = above;
        self.columns.push(Column::Clamped { start: signs, list: Arc::clone(&above), low: -1, high: 1 });
        let signs: Arc<dyn Form> = Arc::new(Columns::one(signs, count));
        let range = Interval { low: (range.low - low) >> shift, high: (range.high - low) >> shift };
        let table = self.table(Rows::Clamp { from: range, low: -1, high: 1 });
        self.looked.push(Looked { table, tuple: vec![above, Arc::clone(&signs)] });
        for (limb, (((low, high), output), (_, width))) in outputs.into_iter().zip(widths).enumerate() {
            let table = self.table(Rows::Select { low, high, width });
            let limb = Arc::new(Columns::one(places + limb * count, count));
            self.looked.push(Looked { table, tuple: vec![Arc::clone(&signs), limb, output] });
        }
    }

    /// Columns for the limbs of all elements, those of one width together, each looked up in its range.
    fn limbs(&mut self, entry: &[u32], stages: &[Stage]) -> Vec<(u32, u8)> {
        let mut widths: Vec<Vec<usize>> = vec![Vec::new(); usize::from(LIMB_BITS) + 1];
        let mut limbs = Vec::new();
        for entry in entry {
            let stage = stages[*entry as usize];
            for (below, width) in limbs_of(stage.shift.into()) {
                widths[width as usize].push(limbs.len());
                limbs.push((0, u8::try_from(below).expect("below a shift")));
            }
        }
        for (width, members) in widths.into_iter().enumerate().filter(|(_, members)| !members.is_empty()) {
            let start = self.column(members.len());
            for (place, member) in members.iter().enumerate() {
                limbs[*member].0 = narrow(start + place);
            }
            let table = self.table(Rows::Range(Interval { low: 0, high: (1 << width) - 1 }));
            self.looked.push(Looked { table, tuple: vec![Arc::new(Columns::one(start, members.len()))] });
        }
        limbs
    }

    /// A column for an operation's output.
    fn output(&mut self, index: usize, count: usize) -> Arc<dyn Form> {
        let start = self.column(count);
        self.columns.push(Column::Output { index, start });
        Arc::new(Columns::one(start, count))
    }

    /// The largest of several lists, element by element: `max(x, y) = y + (x − y)⁺`, the positive part being looked up. Each list is elements
    /// of a value, taken from these places of a record.
    fn maximum(&mut self, lists: &[(&Value, Vec<u32>)]) -> Option<(Arc<dyn Form>, Interval)> {
        let (records, each) = (self.records, lists[0].1.len());
        let term = |(value, from): &(&Value, Vec<u32>), factor| Term {
            operand: Arc::clone(&value.form),
            range: value.range,
            map: Map::Moves(from.iter().enumerate().map(|(to, from)| (narrow(to), *from)).collect()),
            factor,
        };
        let sum = |terms| Sum { records, constants: vec![0; each], terms };
        let (mut best, mut range) = (vec![term(&lists[0], 1)], lists[0].0.range);
        for list in &lists[1..] {
            let other = list.0.range;
            let difference = Interval { low: range.low - other.high, high: range.high - other.low };
            if difference.high - difference.low >= ROWS_MAX {
                return None;
            }
            best.push(term(list, -1));
            let difference_list = Arc::new(sum(best));
            let most = i32::try_from(difference.high.max(0)).ok()?;
            let table = self.table(Rows::Clamp { from: difference, low: 0, high: most });
            let start = self.column(records * each);
            let list_form: Arc<dyn Form> = Arc::<Sum>::clone(&difference_list);
            self.columns.push(Column::Clamped { start, list: list_form, low: 0, high: most.into() });
            let above = Arc::new(Columns::one(start, records * each));
            let tuple: Vec<Arc<dyn Form>> = vec![difference_list, Arc::<Columns>::clone(&above)];
            self.looked.push(Looked { table, tuple });
            let identity = (0..each).map(|at| (narrow(at), narrow(at))).collect();
            let above_range = Interval { low: 0, high: most.into() };
            let above = Term { operand: above, range: above_range, map: Map::Moves(identity), factor: 1 };
            best = vec![term(list, 1), above];
            range = Interval { low: range.low.max(other.low), high: range.high.max(other.high) };
        }
        Some((Arc::new(sum(best)), range))
    }

    /// Elements of the operands, moved as the operation moves them: it is run on their positions.
    fn moved(&self, operation: &Operation, operands: &[&Value]) -> Value {
        let mut first = 0;
        let mut positions = Vec::new();
        for operand in operands {
            let each = operand.axes.iter().product::<usize>();
            let numbers: Vec<i32> =
                (first..first + each).map(|at| i32::try_from(at).expect("bounded")).collect();
            let shape = sealgrid_graph::tensor::Shape::new(&operand.axes).expect("an operand's shape");
            positions.push(
                Tensor::from_elements(&ValueType { dtype: DType::I32, shape }, &numbers).expect("filled"),
            );
            first += each;
        }
        let mut labels = operation.clone();
        labels.output.dtype = DType::I32;
        let (mut constant, mut pad) = (0, None);
        if let Primitive::Pad { value, .. } = &mut labels.primitive {
            constant = std::mem::replace(value, -1);
            pad = Some(range_of(&[constant]));
        }
        let taken = reference::evaluate(&labels, &positions, &[]);
        let each: Vec<i32> = (0..taken.shape().count()).map(|position| taken.at(position)).collect();
        // All operands behind each other; the joined one is the first alone where there is one.
        let joined: Arc<dyn Form> = match operands {
            [one] => Arc::clone(&one.form),
            many => Arc::new(Joined(many.iter().map(|operand| Arc::clone(&operand.form)).collect())),
        };
        let ends: Vec<usize> = operands
            .iter()
            .scan(0, |end, operand| {
                *end += operand.axes.iter().product::<usize>();
                Some(*end)
            })
            .collect();
        let place = |record: usize, label: i32| -> Option<u32> {
            let label = usize::try_from(label).ok()?;
            let operand = ends.iter().position(|end| label < *end)?;
            let (start, each) = (
                operand.checked_sub(1).map_or(0, |before| ends[before]),
                operands[operand].axes.iter().product::<usize>(),
            );
            Some(narrow(start * self.records + record * each + label - start))
        };
        let from = (0..self.records).flat_map(|record| each.iter().map(move |label| (record, *label)));
        let from = from.map(|(record, label)| place(record, label)).collect();
        let form = Arc::new(Moved { operand: joined, from, constant });
        let mut range = operands[0].range;
        for other in operands.iter().map(|operand| operand.range).chain(pad) {
            range = hull(range, other);
        }
        let open = operands[0].open;
        Value { form, range, axes: operation.output.shape.axes().to_vec(), open }
    }

    /// The value of [`Builder::maximum`].
    fn largest(
        &mut self,
        index: usize,
        operation: &Operation,
        lists: &[(&Value, Vec<u32>)],
    ) -> Result<Value, NotProvable> {
        let wide = "its operands have too wide a range for a table";
        let (form, range) = self.maximum(lists).ok_or_else(|| refused(index, operation, wide))?;
        Ok(Value::shown(form, range, operation.output.shape.axes()))
    }
}

/// What an output stage takes.
struct Summed {
    form: Arc<dyn Form>,
    /// Of each element of one record; `None` when one is too large to say.
    bounds: Option<Vec<Interval>>,
}

impl From<Sum> for Summed {
    fn from(sum: Sum) -> Self {
        Self { bounds: sum.bounds(), form: Arc::new(sum) }
    }
}

/// Forms one behind the other.
struct Joined(Vec<Arc<dyn Form>>);

impl Form for Joined {
    fn count(&self) -> usize {
        self.0.iter().map(|form| form.count()).sum()
    }

    fn values(&self, content: &[Element]) -> Vec<Element> {
        self.0.iter().flat_map(|form| form.values(content)).collect()
    }

    fn pull(&self, mut weights: &[Challenge], functional: &mut [Challenge]) -> Challenge {
        let mut known = Challenge::ZERO;
        for form in &self.0 {
            let (own, rest) = weights.split_at(form.count());
            known += form.pull(own, functional);
            weights = rest;
        }
        known
    }
}

fn refused(index: usize, operation: &Operation, why: &'static str) -> NotProvable {
    NotProvable { index, name: operation.name.clone(), word: operation.primitive.word(), why }
}

/// Whether a clamp of `width` bits is split: its table would be long, and what the parts admit beyond the quotients, less than
/// `2^width`, does not wrap behind a shift either.
fn is_split(quotients: Interval, width: u32, shift: u8) -> bool {
    let reach = quotients.low.abs().max(quotients.high.abs()) + (1 << width) + 1;
    quotients.high - quotients.low >= SPLIT_ROWS && reach << shift < i64::from(Element::ORDER_U32) / 2
}

fn hull(one: Interval, other: Interval) -> Interval {
    Interval { low: one.low.min(other.low), high: one.high.max(other.high) }
}

fn of_value(index: usize, word: &'static str, why: &'static str) -> NotProvable {
    NotProvable { index, name: String::new(), word, why }
}

/// Whether different integers of the range are different elements, and zero is in the middle.
fn in_field(range: Interval) -> bool {
    let most = i64::from(Element::ORDER_U32) / 2;
    -most <= range.low && range.high <= most
}

/// Of numbers that everybody knows, of which there is one.
fn range_of(numbers: &[i32]) -> Interval {
    let of = |number: Option<&i32>| i64::from(number.copied().unwrap_or(0));
    Interval { low: of(numbers.iter().min()), high: of(numbers.iter().max()) }
}

impl Interpreter for Builder<'_> {
    type Value = Value;
    type Error = NotProvable;

    fn input(&mut self, index: usize, value_type: &ValueType) -> Result<Value, NotProvable> {
        let (low, high) = value_type.dtype.bounds();
        let mut range = Interval { low: low.into(), high: high.into() };
        let axes = value_type.shape.axes().to_vec();
        let form: Arc<dyn Form> = match self.inputs {
            Inputs::Public(batches) => {
                let numbers = numbers(&batches[index]);
                range = range_of(&numbers);
                if !in_field(range) {
                    return Err(of_value(index, "input", "its numbers leave the field"));
                }
                let count = value_type.shape.count();
                let start = self.next_shown;
                self.next_shown += count;
                self.shown.push((start, numbers));
                Arc::new(Columns::one(start, count))
            }
            Inputs::Private(_) | Inputs::Committed(..) => {
                let count = value_type.shape.count();
                if !in_field(range) {
                    return Err(of_value(index, "input", "a private input of 32 bits leaves the field"));
                }
                let bits = (range.high - range.low + 1).ilog2();
                let limbs = self.above(range.low, bits, count);
                for (limb, (_, width)) in limbs_of(bits).enumerate() {
                    let table = self.table(Rows::Range(Interval { low: 0, high: (1 << width) - 1 }));
                    let column = Columns::one(limbs.start + limb * count, count);
                    self.looked.push(Looked { table, tuple: vec![Arc::new(column)] });
                }
                self.columns.push(Column::Input { index, limbs });
                Arc::new(limbs.form(count))
            }
        };
        self.input_forms.push(Arc::clone(&form));
        Ok(Value::shown(form, range, &axes))
    }

    fn operation(
        &mut self,
        index: usize,
        operation: &Operation,
        operands: &[&Value],
        parameters: &[Tensor],
    ) -> Result<Value, NotProvable> {
        let records = self.records;
        let shape = operation.output.shape.axes();
        let each = operation.output.shape.count();
        let refuse = |why| Err(refused(index, operation, why));
        if !only_moves(&operation.primitive) && operands.iter().any(|operand| operand.open.is_some()) {
            return refuse("the range of an operand's quotients is too wide for a table");
        }
        let tensor = |id: &sealgrid_graph::integer::ParameterId| parameters[id.0 as usize].clone();
        let numbers =
            |tensor: &Tensor| -> Vec<i32> { (0..tensor.shape().count()).map(|at| tensor.at(at)).collect() };
        let one = |map: Map, constants: Vec<i32>| Sum {
            records,
            constants,
            terms: vec![Term {
                operand: Arc::clone(&operands[0].form),
                range: operands[0].range,
                map,
                factor: 1,
            }],
        };
        match &operation.primitive {
            Primitive::Constant { tensor: id } if let Some(private) = &self.private => {
                let most = private.registration.magnitudes[id.0 as usize].cast_signed();
                let range = Interval { low: -most, high: most };
                if !in_field(range) {
                    return refuse("its numbers leave the field");
                }
                let from = (0..records).flat_map(|_| (0..each).map(|at| Some(narrow(at)))).collect();
                let operand = private.column(*id, each);
                Ok(Value::shown(Arc::new(Moved { operand, from, constant: 0 }), range, shape))
            }
            Primitive::Constant { tensor: id } => {
                let numbers = numbers(&tensor(id));
                let range = range_of(&numbers);
                if !in_field(range) {
                    return refuse("its numbers leave the field");
                }
                Ok(Value::shown(Arc::new(Known(numbers.repeat(records))), range, shape))
            }
            Primitive::Linear { weight: id, bias: added, requantise } => {
                let (weight, channels) = (tensor(id), parameters[added.0 as usize].shape().count());
                let rows = each / channels;
                let channel = |position| position % channels;
                let map = Map::Linear { rows, weight };
                let sum = match self.layer(operands[0], &map, [*id, *added], requantise, each, channel) {
                    Some(sum) => sum,
                    None => one(map, numbers(&tensor(added)).repeat(rows)).into(),
                };
                self.stage(index, operation, sum, requantise, channel)
            }
            Primitive::Convolution { weight: id, bias: added, window, groups, requantise } => {
                let (weight, channels) = (tensor(id), parameters[added.0 as usize].shape().count());
                let taps = Taps::new(window, &operands[0].axes[2..], &shape[2..]);
                let spatial = each / channels;
                let channel = |position| position / spatial;
                let map = Map::Convolution { weight, groups: *groups, taps };
                let sum = match self.layer(operands[0], &map, [*id, *added], requantise, each, channel) {
                    Some(sum) => sum,
                    None => {
                        let bias = numbers(&tensor(added));
                        let constants = (0..each).map(|position| bias[channel(position)]).collect();
                        one(map, constants).into()
                    }
                };
                self.stage(index, operation, sum, requantise, channel)
            }
            Primitive::Add { left, right, requantise } => {
                let terms = [*left, *right].into_iter().zip(operands).map(|(factor, operand)| Term {
                    operand: Arc::clone(&operand.form),
                    range: operand.range,
                    map: Map::Moves(broadcast(&operand.axes, shape)),
                    factor,
                });
                let sum = Sum { records, constants: vec![0; each], terms: terms.collect() };
                self.stage(index, operation, sum, requantise, |_| 0)
            }
            Primitive::Rescale { requantise } => {
                let same = (0..each).map(|at| (narrow(at), narrow(at))).collect();
                let sum = one(Map::Moves(same), vec![0; each]);
                let inner: usize = shape.iter().skip(2).product();
                let channels = shape.get(1).copied().unwrap_or(1);
                self.stage(index, operation, sum, requantise, |position| position / inner % channels)
            }
            Primitive::PoolSum { window, requantise } => {
                let taps = Taps::new(window, &operands[0].axes[2..], &shape[2..]);
                let sum = one(taps.moves(shape[1]), vec![0; each]);
                self.stage(index, operation, sum, requantise, |_| 0)
            }
            Primitive::ReduceSum { axes, requantise } => {
                let sum = one(Map::Moves(reduced(&operands[0].axes, axes)), vec![0; each]);
                self.stage(index, operation, sum, requantise, |_| 0)
            }
            Primitive::Lookup { first, table, output: _ } => {
                let from = operands[0].range;
                if from.high - from.low >= ROWS_MAX {
                    return refuse("its operand has too wide a range for a table");
                }
                let results = (from.low..=from.high)
                    .map(|x| reference::looked_up(i32::try_from(x).expect("an element"), *first, table));
                let results: Vec<i32> = results.collect();
                let range = range_of(&results);
                if !in_field(range) {
                    return refuse("its numbers leave the field");
                }
                let table = self.table(Rows::Function { first: from.low, results });
                let output = self.output(index, records * each);
                let tuple = vec![Arc::clone(&operands[0].form), Arc::clone(&output)];
                self.looked.push(Looked { table, tuple });
                Ok(Value::shown(output, range, shape))
            }
            Primitive::Reshape
            | Primitive::Transpose { .. }
            | Primitive::Concatenate { .. }
            | Primitive::Slice { .. }
            | Primitive::Gather { .. }
            | Primitive::Pad { .. }
            | Primitive::Broadcast => {
                let moved = self.moved(operation, operands);
                if in_field(moved.range) { Ok(moved) } else { refuse("its numbers leave the field") }
            }
            Primitive::MatrixProduct { .. } | Primitive::Multiply { .. } => {
                refuse("a product of two values is not part of proofs yet")
            }
            Primitive::PoolMaximum { window } => {
                let taps = Taps::new(window, &operands[0].axes[2..], &shape[2..]);
                let Some(taps) = taps.alternatives(shape[1]) else {
                    return refuse("a window has nothing under it");
                };
                let lists: Vec<_> = taps.into_iter().map(|tap| (operands[0], tap)).collect();
                self.largest(index, operation, &lists)
            }
            Primitive::ReduceMaximum { axes } => {
                let mut places: Vec<Vec<u32>> = vec![Vec::new(); each];
                for (result, operand) in reduced(&operands[0].axes, axes) {
                    places[result as usize].push(operand);
                }
                let taps = (0..places[0].len()).map(|tap| places.iter().map(|places| places[tap]).collect());
                let lists: Vec<_> = taps.map(|tap| (operands[0], tap)).collect();
                self.largest(index, operation, &lists)
            }
            Primitive::Maximum => {
                let of = |operand: &Value| {
                    broadcast(&operand.axes, shape).into_iter().map(|(_, from)| from).collect()
                };
                let lists: Vec<_> = operands.iter().map(|operand| (*operand, of(operand))).collect();
                self.largest(index, operation, &lists)
            }
            Primitive::Minimum => refuse("a minimum is not part of proofs yet"),
            Primitive::ArgMaximum { .. } => refuse("the position of a maximum is not part of proofs yet"),
            Primitive::Reciprocal { .. } | Primitive::ReciprocalSquareRoot { .. } => {
                refuse("a reciprocal is not part of proofs yet")
            }
            Primitive::TreeEnsemble { .. } => refuse("trees are not part of proofs yet"),
        }
    }
}

/// `(result, operand)` for every element of a result of shape `to`.
fn broadcast(from: &[usize], to: &[usize]) -> Vec<(u32, u32)> {
    let lead = to.len() - from.len();
    let flat = |at: &[usize]| {
        from.iter()
            .enumerate()
            .fold(0, |flat, (axis, length)| flat * length + if *length == 1 { 0 } else { at[lead + axis] })
    };
    positions(to).enumerate().map(|(result, at)| (narrow(result), narrow(flat(&at)))).collect()
}

/// `(result, operand)` for every element of an operand of shape `from` whose `axes` are summed.
fn reduced(from: &[usize], axes: &[usize]) -> Vec<(u32, u32)> {
    let flat =
        |at: &[usize]| {
            from.iter().enumerate().fold(0, |flat, (axis, length)| {
                if axes.contains(&axis) { flat } else { flat * length + at[axis] }
            })
        };
    positions(from).enumerate().map(|(operand, at)| (narrow(flat(&at)), narrow(operand))).collect()
}

impl Rows {
    fn columns(self) -> Vec<Vec<Element>> {
        let all = |from: Interval| (from.low..=from.high).map(Element::from_i64).collect::<Vec<_>>();
        match self {
            Self::Range(interval) => vec![all(interval)],
            Self::Clamp { from, low, high } => {
                let clamped =
                    (from.low..=from.high).map(|t| Element::from_i64(t.clamp(low.into(), high.into())));
                vec![all(from), clamped.collect()]
            }
            Self::Select { low, high, width } => {
                let rows: Vec<(i64, i64)> =
                    (-1..=1).flat_map(|sign| (0..1 << width).map(move |v| (sign, v))).collect();
                let result = |(sign, v): (i64, i64)| match sign {
                    -1 => low.into(),
                    0 => (i64::from(low) + v).min(high.into()),
                    _ => i64::from(high),
                };
                let column = |of: &dyn Fn((i64, i64)) -> i64| {
                    rows.iter().map(|row| Element::from_i64(of(*row))).collect()
                };
                vec![column(&|(sign, _)| sign), column(&|(_, v)| v), column(&result)]
            }
            Self::Function { first, results } => {
                let last = first - 1 + i64::from(narrow(results.len()));
                let results = results.into_iter().map(Element::from_i32).collect();
                vec![all(Interval { low: first, high: last }), results]
            }
        }
    }
}

#[cfg(test)]
mod tests;
