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
//!
//! Of all records the same is said, so forms and columns are those of one ([`Places`](crate::places::Places)): first the numbers that are not committed
//! (sums over private weights and of products, inputs that are told), then what all records share, then what each has for itself, then the tables'
//! multiplicities.

mod functions;
mod maxima;
mod products;
mod reciprocals;
mod stage;
mod sums;
mod tables;
mod trees;
mod walk;
mod ways;
mod wide;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use p3_field::{Field as _, PrimeCharacteristicRing as _};
use sealgrid_graph::cost;
use sealgrid_graph::execute::{Batch, BatchRef, ExecuteError, Observer, Prepared, check_inputs};
use sealgrid_graph::integer::Graph;
use sealgrid_graph::range::{self, Interval};

use self::sums::{Side, Sums};
use self::walk::{Builder, Value, in_field, of_value, refused};
use self::wide::{Numbers, Split};
use crate::argument::{ContentClaim, Conversation, Later, LaterClaims, Part};
use crate::channel::{ProofError, Prover, Verifier};
use crate::commit::VARIABLES_MAX;
use crate::field::{Challenge, Element, integer, wipe};
use crate::form::{Columns, Form, Memo};
use crate::hidden::Hidden;
use crate::level::Level;
use crate::lookups::{Drawn, Listed, Lists, Lookups, NotInTable, Pulled, Witness};
use crate::maps::{Rounded, limbs_of, numbers, signed};
use crate::registration::Registration;
use crate::threads::each;
use crate::weights::{Parameters, Registered};

/// Why a run is refused that no vector could hold.
const TOO_LARGE: &str = "no records, or more than a proof can hold";
/// Most products of a run: a verifier goes through them, and an architecture may come from anybody.
const PRODUCTS_MAX: u64 = 1 << 33;

/// An operation that cannot be proven, or an input, an output or a whole run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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

impl NotProvable {
    /// Whether fewer records could be proven.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.why == TOO_LARGE
    }
}

impl std::fmt::Display for NotProvable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { index, name, word, why } = self;
        match *word {
            "run" | "registration" => write!(f, "the {word}: {why}"),
            "input" | "output" => write!(f, "{word} {index}: {why}"),
            _ => write!(f, "operation {index} ({name}), {word}: {why}"),
        }
    }
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
    level: Level,
    graph: Arc<Graph>,
    lookups: Lookups,
    columns: Vec<Column>,
    /// Inputs that are told: where their places begin, and their numbers.
    shown: Vec<(usize, Vec<i32>)>,
    /// Numbers of each record that are others of it, what goes into the run or comes out of it, and what is told of that.
    equal: Vec<Equal>,
    /// Inputs, outputs.
    tied: Vec<Tied>,
    sums: Sums,
    private: Option<Private>,
    /// Private parameters that are values themselves: their sums, and where they stand among the places.
    constants: Vec<(usize, usize)>,
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
    /// Of each record to its own.
    Own(Arc<dyn Form>),
}

/// The private parameters of a run.
struct Private {
    registered: Registered,
    /// The prover's.
    parameters: Option<Arc<Parameters>>,
}

impl Private {
    /// Whether the vector holds a combination of their rows, and not all of them.
    fn is_combined(&self) -> bool {
        self.registered.shape.is_combined()
    }

    /// That those parameters are the registered ones which the vector holds, or a combination of their rows at a point.
    fn prove(&self, channel: &mut Prover<'_>, point: &[Challenge]) {
        let parameters = self.parameters.as_ref().expect("the prover's");
        if !self.is_combined() {
            return parameters.prove(channel);
        }
        let mut combination = parameters.combination(point);
        channel.second(&combination);
        wipe(&mut combination);
        parameters.open(channel);
    }

    /// The same for the verifier.
    fn verify<'c>(
        &self,
        channel: &mut Verifier<'c>,
        point: Vec<Challenge>,
    ) -> Result<LaterClaim<'c>, ProofError> {
        if !self.is_combined() {
            return Ok(Box::new(self.registered.verify(channel, 0)?));
        }
        channel.second();
        Ok(Box::new(self.registered.verify_combination(channel, point)?))
    }
}

/// A claim that is worked out later.
type LaterClaim<'c> = Box<dyn FnOnce() -> Result<ContentClaim, ProofError> + Send + 'c>;

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
    /// To everybody, who holds the graph with them. With how sure a proof is to be: where they are private, their registration says that.
    Public(Level),
    /// To nobody: these are registered. Those that the graph holds are not looked at.
    Private(&'w Registration),
}

impl Weights<'_> {
    /// What a proof about them is made for.
    pub(crate) fn level(self) -> Level {
        match self {
            Self::Public(level) => level,
            Self::Private(registration) => registration.registered.shape.level(),
        }
    }
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
        if let Weights::Public(_) = weights {
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
        if builder.sums.variables(lookups.places().width()) > VARIABLES_MAX {
            return Err(of_value(0, "run", TOO_LARGE));
        }
        let forms: Vec<Arc<dyn Form>> = values.into_iter().map(|value| value.form).collect();
        let [inputs, ends] = builder.tied;
        let own = |[one, other]: [Arc<dyn Form>; 2]| {
            assert!(one.count() == other.count(), "lists of one length");
            Equal { forms: vec![one], to: Other::Own(other) }
        };
        let mut equal: Vec<Equal> = builder.equal.into_iter().map(own).collect();
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
            level: weights.level(),
            graph: Arc::clone(graph),
            lookups,
            columns: builder.columns,
            shown: builder.shown,
            equal,
            tied: [inputs, ends].into_iter().flatten().collect(),
            constants: builder.constants,
            sums: builder.sums,
            private: builder.private.map(|private| Private {
                registered: private.registration.registered.clone(),
                parameters: None,
            }),
        })
    }

    /// Variables of the tree of fractions, and of the sumcheck over sums that are not committed, if there are any.
    pub(crate) fn variables(&self) -> (usize, Option<usize>) {
        let sums = (self.sums.count > 0).then(|| self.sums.variables(self.lookups.places().width()));
        (self.lookups.variables(), sums)
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
        let taken = self.taken(prepared, inputs)?;
        let layout = self.lookups.places();
        let mut places = vec![Element::ZERO; layout.count];
        self.begin(&mut places, &taken.weights);
        let mut content = vec![Element::ZERO; layout.content()];
        if let Some(private) = self.private.as_ref().filter(|private| !private.is_combined()) {
            private.parameters.as_ref().expect("the prover's").begin(&mut content);
        }
        layout.put_shared(&places, &mut content);
        let filled = |records: Range<usize>| -> Vec<Filled> {
            let mut places = places.clone();
            let of_record = |record| {
                let memo = Memo::default();
                self.fill_shown(record, &mut places);
                self.columns.iter().for_each(|column| self.fill(column, record, &mut places, &memo, &taken));
                Filled {
                    own: places[layout.own.clone()].to_vec(),
                    listed: self.lookups.listed(record, memo.of(&places)),
                }
            };
            let filled = records.map(of_record).collect();
            wipe(&mut places);
            filled
        };
        let middle = layout.records / 2;
        let mut records = match middle {
            0 => filled(0..1),
            _ => each([0..middle, middle..layout.records], filled).into_iter().flatten().collect(),
        };
        wipe(&mut places);
        // What a place is in all records stands side by side, so it is written at once.
        layout.put_all(&records.iter().map(|record| &record.own[..]).collect::<Vec<_>>(), &mut content);
        let lists = self.lookups.lists(&records.iter().map(|record| &record.listed).collect::<Vec<_>>());
        records.iter_mut().for_each(|record| wipe(&mut record.own));
        self.lookups.count(&lists, &mut content)?;
        Ok(Witness { content, lists: Some(lists) })
    }

    /// Writes what all records share, among places.
    fn begin(&self, places: &mut [Element], weights: &[i32]) {
        for (layer, start) in &self.constants {
            let values = self.sums.layers[*layer].values(Memo::default().of(&[]), weights);
            places[*start..][..values.len()].copy_from_slice(&values);
        }
        for tied in &self.tied {
            tied.own.as_ref().expect("the prover's").begin(&mut places[tied.start..]);
        }
    }

    /// What the columns take from a run.
    fn taken(&self, prepared: &dyn Prepared, inputs: &[Batch]) -> Result<Taken, ExecuteError> {
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
        let (records, weights) = (self.lookups.places().records, self.weights());
        Ok(Taken { records, inputs: inputs.iter().map(numbers).collect(), outputs: kept.outputs, weights })
    }

    /// Fills a column of a record, among places where everything stands that stood before the column on the walk.
    fn fill(&self, column: &Column, record: usize, places: &mut [Element], memo: &Memo, taken: &Taken) {
        let write = |places: &mut [Element], start: usize, numbers: Vec<i64>| {
            let places = places[start..].iter_mut().zip(numbers);
            places.for_each(|(place, number)| *place = integer(number));
        };
        match column {
            Column::Input { index, limbs } => limbs.fill(places, taken.input(*index, record)),
            Column::OutputLimbs { index, limbs } => limbs.fill(places, taken.output(*index, record)),
            Column::Output { index, start } => {
                let output = taken.output(*index, record).iter().copied();
                write(places, *start, output.map(i64::from).collect());
            }
            Column::Sums(layer) => self.fill_sums(places, memo, *layer, &taken.weights),
            Column::Products(product) => self.fill_products(places, memo, *product),
            Column::Limbs(rounded) => fill_limbs(places, memo, rounded),
            Column::Split(split) => split.fill(places, memo, &self.sums.products),
            Column::Selected { start, index, length } => {
                let mut selected = vec![0; taken.output(*index, record).len() * length];
                for (line, position) in selected.chunks_exact_mut(*length).zip(taken.output(*index, record)) {
                    let one = usize::try_from(*position).ok().and_then(|position| line.get_mut(position));
                    one.into_iter().for_each(|one| *one = 1);
                }
                write(places, *start, selected);
            }
            Column::Numbers { start, numbers } => {
                let numbers = numbers(memo.of(places));
                write(places, *start, numbers);
            }
            Column::Clamped { start, list, low, high } => {
                let values = memo.of(places).integers(list).into_iter();
                let clamped = values.map(|value| value.clamp(*low, *high)).collect();
                write(places, *start, clamped);
            }
        }
    }

    /// Private parameters as integers, as they are registered; none that are public.
    fn weights(&self) -> Vec<i32> {
        let parameters = self.private.iter().flat_map(|private| &private.parameters);
        let elements = parameters.flat_map(|own| own.elements());
        // Half of the field's order is less than 2^31.
        elements.map(|element| i32::try_from(signed(*element)).expect("31 bits")).collect()
    }

    /// Inputs that are told, among the places of a record.
    fn fill_shown(&self, record: usize, places: &mut [Element]) {
        for (start, numbers) in &self.shown {
            let places = places[*start..].iter_mut();
            let numbers = of_record(numbers, record, self.lookups.places().records);
            places.zip(numbers).for_each(|(place, number)| *place = Element::from_i32(*number));
        }
    }

    /// The sums of a layer, among places of which its operand is filled.
    fn fill_sums(&self, places: &mut [Element], memo: &Memo, layer: usize, weights: &[i32]) {
        let layer = &self.sums.layers[layer];
        let sums = layer.values(memo.of(places), weights);
        places[layer.sums..][..sums.len()].copy_from_slice(&sums);
    }

    /// The same of products of two values.
    fn fill_products(&self, places: &mut [Element], memo: &Memo, product: usize) {
        let product = &self.sums.products[product];
        let sums = product.values(memo.of(places));
        let places = places[product.sums..].iter_mut().zip(sums);
        places.for_each(|(place, sum)| *place = integer(sum));
    }

    /// Visits the places of each record, of a content as it is, inputs that are told and sums included.
    fn each(&self, content: &[Element], mut visit: impl FnMut(usize, &mut [Element])) {
        let weights = self.weights();
        self.lookups.places().each(content, |record, places| {
            self.fill_shown(record, places);
            let memo = Memo::default();
            (0..self.sums.layers.len()).for_each(|layer| self.fill_sums(places, &memo, layer, &weights));
            (0..self.sums.products.len()).for_each(|product| self.fill_products(places, &memo, product));
            visit(record, places);
        });
    }

    /// What is looked up, of a content as it is.
    fn lists(&self, content: &[Element]) -> Lists {
        let mut listed = Vec::new();
        self.each(content, |record, places| {
            listed.push(self.lookups.listed(record, Memo::default().of(places)));
        });
        self.lookups.lists(&listed.iter().collect::<Vec<_>>())
    }

    /// What lookups, with [`Lookups::pull`], and equal values say of the places.
    fn pulled(&self, drawn: &Drawn, [equal, merge]: [Challenge; 2]) -> Pulled {
        let count = self.equal.iter().map(Equal::count).sum();
        let weights: Vec<Challenge> = equal.shifted_powers(equal * merge.square()).take(count).collect();
        let (mut rest, mut equal) = (&weights[..], Vec::new());
        for Equal { forms, to } in &self.equal {
            for form in forms {
                let own = rest.split_off(..form.count()).expect("as many");
                equal.push((form, own.to_vec()));
                if let Other::Own(other) = to {
                    equal.push((other, own.iter().map(|weight| -*weight).collect()));
                }
            }
        }
        let mut pulled = self.lookups.pull(drawn, merge, equal);
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
                    Other::Own(_) => {}
                }
            }
        }
        pulled.known += self.told(&drawn.records, &pulled.functional);
        pulled
    }

    /// What inputs that are told come to in a functional of the places, by the records' weights.
    fn told(&self, records: &[Challenge], functional: &[Challenge]) -> Challenge {
        let records = &records[..self.lookups.places().records];
        let of_input = |(start, numbers): &(usize, Vec<i32>)| {
            over_records(records, &functional[*start..][..numbers.len() / records.len()], numbers)
        };
        self.shown.iter().map(of_input).sum()
    }

    /// A point at which the registered parameters are combined where nothing is said of them.
    fn nowhere(&self) -> Vec<Challenge> {
        vec![Challenge::ZERO; self.sums.variables(self.lookups.places().width())]
    }

    /// What is left to show of one side of the sums.
    fn side(&self, side: Side) -> Result<ContentClaim, ProofError> {
        let places = self.lookups.places();
        let parameters = side.parameters.map(|point| match &self.private {
            Some(private) if private.is_combined() => private.registered.shape.at(&point),
            _ => Part::equal(self.sums.parameters, point),
        });
        let mut claim = ContentClaim { functional: parameters.into_iter().collect(), value: side.value };
        for (Pulled { mut functional, known }, records) in side.pulled {
            // No sum is made of sums: what one has a part in would be shown by nobody.
            if functional[..self.sums.count].iter().any(|weight| !weight.is_zero()) {
                return Err(ProofError::Wrong);
            }
            let all = records.iter().copied().sum::<Challenge>();
            places.share(&mut functional, all);
            let known = known * all + self.told(&records, &functional);
            claim.functional.extend(places.parts(&functional, &records));
            claim.value = &claim.value - &Hidden::known(known);
        }
        Ok(claim)
    }
}

impl Equal {
    /// How many equations it is.
    fn count(&self) -> usize {
        self.forms.iter().map(|form| form.count()).sum()
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

/// The numbers of one of so many records.
fn of_record(numbers: &[i32], record: usize, records: usize) -> &[i32] {
    let each = numbers.len() / records;
    &numbers[record * each..][..each]
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
                *place = integer((i64::from(*number) - self.low) >> below & ((1 << width) - 1));
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

fn fill_limbs(places: &mut [Element], memo: &Memo, rounded: &Rounded) {
    let sums = memo.of(places).of(&rounded.sum);
    let mut limbs = rounded.limbs.iter();
    for (sum, entry) in sums.iter().zip(&rounded.entry) {
        let stage = rounded.stages[*entry as usize];
        let remainder = stage.remainder(signed(*sum));
        // In this order: the one that ends first is asked first, or it would cost the other an entry.
        for ((below, width), (place, _)) in stage.limbs().zip(limbs.by_ref()) {
            places[*place as usize] = integer(remainder >> below & ((1 << width) - 1));
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

/// What follows from a record.
struct Filled {
    /// Its own places.
    own: Vec<Element>,
    /// What is looked up of it.
    listed: Listed,
}

/// What columns are filled with: numbers of all records, and private parameters.
struct Taken {
    records: usize,
    inputs: Vec<Vec<i32>>,
    outputs: HashMap<usize, Vec<i32>>,
    weights: Vec<i32>,
}

impl Taken {
    fn input(&self, index: usize, record: usize) -> &[i32] {
        of_record(&self.inputs[index], record, self.records)
    }

    fn output(&self, index: usize, record: usize) -> &[i32] {
        of_record(&self.outputs[&index], record, self.records)
    }
}

impl Conversation for Run {
    fn level(&self) -> Level {
        self.level
    }

    fn content(&self) -> usize {
        self.lookups.content()
    }

    fn second(&self) -> Option<usize> {
        let combined = self.private.as_ref().filter(|private| private.is_combined());
        combined.map(|private| private.registered.shape.combination())
    }

    fn pads(&self) -> usize {
        self.lookups.pads() + self.sums.pads(self.lookups.places().width())
    }

    fn prove(&self, channel: &mut Prover<'_>, witness: &Witness) -> Option<Pulled> {
        let Witness { content, lists } = witness;
        let drawn = match lists {
            Some(lists) => self.lookups.show(channel, lists, content),
            None => self.lookups.show(channel, &self.lists(content), content),
        };
        let challenges = [channel.challenge(), channel.challenge()];
        let pulled = self.pulled(&drawn, challenges);
        let mut point = self.nowhere();
        if self.sums.count > 0 {
            let own = self.private.as_ref().and_then(|private| private.parameters.as_ref());
            let elements = own.map_or(&[][..], |own| own.elements());
            point = self.sums.prove(channel, &pulled.functional, &drawn.records, elements, |visit| {
                self.lookups.places().each(content, |record, places| {
                    self.fill_shown(record, places);
                    visit(record, places);
                });
            });
        }
        if let Some(private) = &self.private {
            private.prove(channel, &point);
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
        if self.sums.count > 0 {
            let (sum, claim) = self.sums.verify(channel, self.lookups.places().width())?;
            value = &value - &sum;
            sides = Some(claim);
        }
        let point = sides.as_ref().map_or_else(|| self.nowhere(), |sides| sides.point.clone());
        let registered = self.private.as_ref().map(|private| private.verify(channel, point)).transpose()?;
        let tied: Vec<_> = self
            .tied
            .iter()
            .map(|tied| tied.registered.verify(channel, self.lookups.places().shared(tied.start)))
            .collect::<Result<_, _>>()?;
        let mut later: Later<'c> = vec![Box::new(move || {
            let pulled = pulled.unwrap_or_else(|| self.pulled(&drawn, challenges));
            let places = self.lookups.places();
            let functional = places.parts(&pulled.functional, &drawn.records);
            let mut claims = vec![ContentClaim { functional, value: &value - &Hidden::known(pulled.known) }];
            if let Some(sides) = sides {
                let weights = &pulled.functional[..self.sums.count];
                for side in self.sums.sides(sides, places, weights, &drawn.records) {
                    claims.push(self.side(side)?);
                }
            }
            Ok(claims)
        })];
        later
            .extend(registered.map(|registered| -> LaterClaims<'c> { Box::new(|| Ok(vec![registered()?])) }));
        later.extend(tied.into_iter().map(|tied| -> LaterClaims<'c> { Box::new(|| Ok(vec![tied()?])) }));
        Ok(later)
    }

    fn errors(&self) -> u64 {
        let equal: usize = self.equal.iter().map(Equal::count).sum();
        let width = self.lookups.places().width();
        // Equal values are one claim more that is merged, and one over all records.
        let equal = 1 + equal as u64 + u64::from(width.ilog2());
        let tied: u64 = self.tied.iter().map(|tied| tied.registered.errors()).sum();
        let private = self.private.as_ref().map_or(0, |private| match private.is_combined() {
            true => private.registered.combination_errors(),
            false => private.registered.errors(),
        });
        self.lookups.errors() + equal + tied + self.sums.errors(width) + private
    }

    fn missed(&self) -> f64 {
        let private = self.private.as_ref().map(|private| &private.registered);
        private.into_iter().chain(self.tied.iter().map(|tied| &tied.registered)).map(Registered::missed).sum()
    }
}

#[cfg(test)]
pub(crate) mod tests;
