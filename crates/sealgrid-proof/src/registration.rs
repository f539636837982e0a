//! That a model's committed parameters are what its architecture takes, shown once: every parameter lies in the range of its type, a bias within its
//! bound, the magnitudes of a channel's weights add up to no more than a limit, and trees are trees whose leaves add up to no more than theirs ([`trees`]).
//! Whoever then checks a run without the parameters knows how far its sums reach.
//!
//! Told are, besides the architecture: for each parameter its greatest magnitude, where its type leaves that open (biases, trees), for each operation with
//! weights its [`Reach`], from which the limit of each channel follows, and for each ensemble its [`Extent`]; all magnitudes rounded up to ten significant
//! bits.

mod trees;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use minicbor::{Decode, Encode};
use p3_field::{PrimeCharacteristicRing as _, PrimeField32 as _};
use sealgrid_graph::integer::{Architecture, Graph, ParameterId, Primitive, Requantise, ValueType};
use sealgrid_graph::range::Interval;
use sealgrid_graph::tensor::{DType, Tensor};

use crate::argument::{Conversation, Later, TooLarge};
use crate::channel::{ProofError, Prover, Verifier};
use crate::field::Element;
use crate::form::{self, Columns, Form, Memo};
use crate::level::Level;
use crate::lookups::{self, Looked, Lookups, NotInTable, Pulled, Table, Witness};
use crate::maps::{LIMB_BITS, Map, Moved, Plus, Sum, Term, limbs_of, narrow, signed};
use crate::order::{Order, Runs};
use crate::weights::{BadShape, Parameters, Registered};

/// Committed parameters and what is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The commitment.
    pub registered: Registered,
    /// Of each parameter of the architecture: the greatest magnitude of its elements.
    pub magnitudes: Vec<u64>,
    /// Of each operation with weights, in order.
    pub reaches: Vec<Reach>,
    /// Of each ensemble of trees, in order.
    pub trees: Vec<Extent>,
}

/// How far the weights of an operation carry one step of its operand, in the channel that carries it farthest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Reach {
    /// With the output stage's multiplier: what must not wrap.
    #[n(0)]
    pub product: u64,
    /// Behind the output stage, in parts of [`STEP_PARTS`]: what tables are made for; or [`STEP_OPEN`].
    #[n(1)]
    pub step: u64,
}

/// How far the trees of an ensemble reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Extent {
    /// Nodes on the longest way through one of them: as many steps as a proof shows of each. A registration need not show it, for a longer way is
    /// shown by no proof.
    #[n(0)]
    pub depth: u32,
    /// What the trees' greatest leaves add up to, each by its magnitude.
    #[n(1)]
    pub sum: u64,
}

/// Most nodes on a way.
pub const DEPTH_MAX: u32 = 1 << 10;
/// Most nodes of an ensemble, and numbers of its leaves: more are not shown to be trees within what a proof holds.
pub(crate) const ROWS_MAX: usize = 1 << 20;

/// Parts of a step, in which reaches are counted.
pub const STEP_PARTS: u64 = 1 << 24;
/// The step of a stage that carries farther than can be told. It limits nothing: what the weights add up to is then limited by the product alone.
pub const STEP_OPEN: u64 = u64::MAX;
/// Greatest magnitude of a bias, a threshold or a leaf: four times as much, and what limbs may have beyond, stay below the field's order.
const MAGNITUDE_MAX: u64 = 1 << 29;
/// Most that leaves add up to: twice as much, and what limbs may have beyond, stay below the field's order.
const SUM_MAX: u64 = (1 << 30) - (1 << 24);

/// The weight of an operation that has one.
pub(crate) fn weight_of(primitive: &Primitive) -> Option<ParameterId> {
    staged(primitive).map(|(weight, _)| weight)
}

fn staged(primitive: &Primitive) -> Option<(ParameterId, &Requantise)> {
    match primitive {
        Primitive::Linear { weight, requantise, .. } | Primitive::Convolution { weight, requantise, .. } => {
            Some((*weight, requantise))
        }
        _ => None,
    }
}

/// The operations that have weights: which, and the stage behind them.
fn layers(graph: &Graph) -> impl Iterator<Item = (ParameterId, &Requantise)> {
    graph.operations().iter().filter_map(|operation| staged(&operation.primitive))
}

/// Multiplier and shift of a channel.
fn entry(requantise: &Requantise, channel: usize) -> (u128, u8) {
    let at = if requantise.multipliers.len() == 1 { 0 } else { channel };
    (u128::from(requantise.multipliers[at].unsigned_abs().max(1)), requantise.shifts[at])
}

/// What the magnitudes of each channel's weights add up to at most, below 2^30, which is below the middle of the field.
pub(crate) fn limits(reach: Reach, requantise: &Requantise, channels: usize) -> Vec<u64> {
    let limit = |channel| {
        let (multiplier, shift) = entry(requantise, channel);
        let product = u128::from(reach.product) / multiplier;
        let step = (u128::from(reach.step) << shift) / (multiplier * u128::from(STEP_PARTS));
        let step = if reach.step == STEP_OPEN { u128::MAX } else { step };
        u64::try_from(product.min(step)).unwrap_or(u64::MAX).min((1 << 30) - 1)
    };
    (0..channels).map(limit).collect()
}

/// All parameters, in the order in which they are registered.
#[must_use]
pub fn elements(graph: &Graph) -> Vec<Element> {
    Order::of(graph).elements(parameters(graph).iter().map(AsRef::as_ref))
}

/// The elements that stand where those of `graph` would, of other parameters of its shapes.
#[cfg(test)]
pub(crate) fn elements_of(graph: &Graph, parameters: &[&[i32]]) -> Vec<Element> {
    let tensor = |(tensor, elements): (&Tensor, &&[i32])| {
        Tensor::from_elements(&tensor.value_type(), elements).expect("as many")
    };
    let tensors: Vec<Tensor> = graph.parameters().iter().zip(parameters).map(tensor).collect();
    Order::of(graph).elements(tensors.iter())
}

/// All parameters as they are registered: thresholds beyond what a feature can be are at its end, which is the same trees.
fn parameters(graph: &Graph) -> Vec<Cow<'_, Tensor>> {
    let mut parameters: Vec<Cow<'_, Tensor>> = graph.parameters().iter().map(Cow::Borrowed).collect();
    for (id, ends) in trees::thresholds(graph) {
        let tensor = &graph.parameters()[id as usize];
        let clamped = |at: usize| match at % 4 {
            1 => tensor.at(at).clamp(ends[0], ends[1]),
            _ => tensor.at(at),
        };
        let elements: Vec<i32> = (0..tensor.shape().count()).map(clamped).collect();
        let clamped = Tensor::from_elements(&tensor.value_type(), &elements).expect("numbers of 32 bits");
        parameters[id as usize] = Cow::Owned(clamped);
    }
    parameters
}

/// The graph of an architecture, with zeros for parameters, and some trees or other; `None` where these make no graph.
pub(crate) fn without_parameters(architecture: Architecture) -> Option<Graph> {
    let placeholders = trees::placeholders(&architecture)?;
    let of = |(value_type, id): (&ValueType, u32)| {
        let zeros = || vec![0; value_type.shape.count()];
        let elements = placeholders.get(&id).cloned().unwrap_or_else(zeros);
        Tensor::from_elements(value_type, &elements).ok()
    };
    let parameters = architecture.parameters.iter().zip(0..).map(of).collect::<Option<Vec<_>>>()?;
    Graph::from_parts(architecture, parameters).ok()
}

/// The greatest magnitude of a type that leaves none open: those of 32 bits are biases and trees, which are far smaller.
fn magnitude_of(dtype: DType) -> Option<u64> {
    match dtype {
        DType::I8 => Some(1 << 7),
        DType::I16 => Some(1 << 15),
        DType::I32 => None,
    }
}

/// The least number with ten significant bits that is not below `number`.
fn rounded_up(number: u64) -> u64 {
    let step = 1u64 << number.max(1).ilog2().saturating_sub(9);
    number.max(1).checked_next_multiple_of(step).unwrap_or(STEP_OPEN)
}

impl Registration {
    /// What is told of the parameters of `graph`, which were committed to.
    #[must_use]
    pub fn of(graph: &Graph, registered: Registered) -> Self {
        let all = |tensor: &Tensor| (0..tensor.shape().count()).map(|at| tensor.at(at)).collect::<Vec<i32>>();
        let magnitude = |tensor: &Tensor| {
            magnitude_of(tensor.dtype()).unwrap_or_else(|| {
                rounded_up(
                    all(tensor).into_iter().map(|value| value.unsigned_abs().into()).max().unwrap_or(0),
                )
            })
        };
        let reach = |(weight, requantise): (ParameterId, &Requantise)| {
            let tensor = &graph.parameters()[weight.0 as usize];
            let weights = all(tensor);
            let (mut product, mut step) = (0, 0);
            for (channel, weights) in weights.chunks(depth(tensor)).enumerate() {
                let sum: u128 = weights.iter().map(|weight| u128::from(weight.unsigned_abs())).sum();
                let (multiplier, shift) = entry(requantise, channel);
                product = product.max(sum * multiplier);
                step = step.max((sum * multiplier * u128::from(STEP_PARTS)).div_ceil(1 << shift));
            }
            let [product, step] =
                [product, step].map(|most| rounded_up(u64::try_from(most).unwrap_or(STEP_OPEN)));
            Reach { product, step }
        };
        let magnitudes = parameters(graph).iter().map(|tensor| magnitude(tensor)).collect();
        let reaches = layers(graph).map(reach).collect();
        Self { registered, magnitudes, reaches, trees: trees::extents(graph) }
    }

    /// Whether it can be of the architecture of `graph`, of which the parameters are not looked at.
    pub(crate) fn fits(&self, graph: &Graph) -> bool {
        let count: usize = graph.parameters().iter().map(|parameter| parameter.shape().count()).sum();
        let fits = |(magnitude, tensor): (&u64, &Tensor)| {
            let bound = |known| *magnitude == known;
            magnitude_of(tensor.dtype()).map_or((1..=MAGNITUDE_MAX).contains(magnitude), bound)
        };
        // The magnitudes of a channel stay below the middle of the field.
        let mut weights = layers(graph).map(|(weight, _)| &graph.parameters()[weight.0 as usize]);
        self.magnitudes.len() == graph.parameters().len()
            && self.registered.shape.count() == count
            && self.magnitudes.iter().zip(graph.parameters()).all(fits)
            && self.reaches.len() == layers(graph).count()
            && trees::fit(&self.trees, graph)
            && weights.all(|tensor| depth(tensor) <= 1 << 22)
    }
}

/// Weights of one channel.
fn depth(weight: &Tensor) -> usize {
    weight.shape().count() / weight.shape().axes()[0]
}

/// The conversation about a registration.
pub struct Registering {
    registered: Registered,
    lookups: Lookups,
    fills: Vec<Fill>,
    parameters: Option<Arc<Parameters>>,
}

impl std::fmt::Debug for Registering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registering({:?})", self.registered)
    }
}

/// How a part of the content follows from what is before it.
enum Fill {
    /// Limbs of what a form yields, which is not negative.
    Limbs { start: usize, form: Arc<dyn Form>, bits: u32 },
    /// What the magnitudes of several lists add up to.
    Magnitudes { start: usize, forms: Vec<Arc<dyn Form>> },
    /// Numbers that follow.
    Numbers { start: usize, numbers: Numbers },
}

/// What is computed of a content.
type Numbers = Box<dyn Fn(&[Element]) -> Vec<i64> + Send + Sync>;

/// A registration that no run can rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRegistrable {
    /// Of another architecture.
    #[error(
        "the registration is of another architecture, a bias or a leaf has a magnitude above 2^29, or trees are deeper than 1,024 nodes"
    )]
    OtherArchitecture,
    /// Too many parameters or openings, or none.
    #[error(transparent)]
    Shape(#[from] BadShape),
    /// Too many for a proof.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// Weights from which on two are looked up at once: a table of all pairs of bytes has 2^16 rows.
const WEIGHTS_OF_PAIRS: usize = if cfg!(test) { 1 << 12 } else { 1 << 18 };

/// The elements of lines of so many, taken `each` at a time: the first of them, the second, and so on, zero where a line has ended.
fn every(lines: &Arc<dyn Form>, length: usize, each: usize) -> Vec<Arc<dyn Form>> {
    if each == 1 {
        return vec![Arc::clone(lines)];
    }
    let of = |which: usize| -> Arc<dyn Form> {
        let line = |line: usize| {
            let places = (which..length.next_multiple_of(each)).step_by(each);
            places.map(move |at| (at < length).then(|| narrow(line * length + at)))
        };
        let from = (0..lines.count() / length).flat_map(line).collect();
        Arc::new(Moved { operand: Arc::clone(lines), from, constant: 0 })
    };
    (0..each).map(of).collect()
}

/// Builds the content of a registration.
struct Builder {
    content: usize,
    looked: Vec<(Rows, Vec<Arc<dyn Form>>)>,
    fills: Vec<Fill>,
    /// Tables that nobody is told.
    held: Vec<Vec<Arc<dyn Form>>>,
}

/// Which table.
#[derive(Clone, Copy, PartialEq)]
enum Rows {
    Range(u32),
    /// From 0 to that.
    UpTo(u32),
    /// So many weights, and what their magnitudes add up to.
    Magnitudes(usize),
    Held(usize),
}

impl Builder {
    fn column(&mut self, count: usize) -> usize {
        self.content += count;
        self.content - count
    }

    /// That a form yields numbers from 0 below `2^bits`.
    fn range(&mut self, form: &Arc<dyn Form>, bits: u32) {
        if bits <= LIMB_BITS.into() {
            return self.looked.push((Rows::Range(bits), vec![Arc::clone(form)]));
        }
        self.limbs(form, bits, None);
    }

    /// That a form yields numbers from 0 to `most`, or above it by less than 2^22, of at most 31 bits.
    fn up_to(&mut self, form: &Arc<dyn Form>, most: u64) {
        let bits = most.max(1).ilog2() + 1;
        if bits <= LIMB_BITS.into() {
            let most = u32::try_from(most).expect("few bits");
            return self.looked.push((Rows::UpTo(most), vec![Arc::clone(form)]));
        }
        self.limbs(form, bits, Some(most));
    }

    /// A form in limbs, of which the highest may end where `most` does.
    fn limbs(&mut self, form: &Arc<dyn Form>, bits: u32, most: Option<u64>) {
        let count = form.count();
        let start = self.column(limbs_of(bits).count() * count);
        self.fills.push(Fill::Limbs { start, form: Arc::clone(form), bits });
        // They add up to it, as integers: neither reaches the field's order.
        let mut terms = Vec::new();
        for (limb, (below, width)) in limbs_of(bits).enumerate() {
            let column: Arc<dyn Form> = Arc::new(Columns::one(start + limb * count, count));
            let rows = match most {
                Some(most) if below + width == bits => {
                    Rows::UpTo(u32::try_from(most >> below).expect("few bits"))
                }
                _ => Rows::Range(width),
            };
            self.looked.push((rows, vec![column]));
            terms.push((start + limb * count, -Element::from_u64(1 << below)));
        }
        let back = Columns { count, constant: Element::ZERO, terms };
        let nothing: Arc<dyn Form> = Arc::new(Plus(vec![Arc::clone(form), Arc::new(back)]));
        self.looked.push((Rows::Range(0), vec![nothing]));
    }
}

impl Registering {
    /// About the parameters of `graph`, which are not looked at.
    ///
    /// # Errors
    /// [`NotRegistrable`].
    pub fn new(graph: &Graph, registration: &Registration) -> Result<Self, NotRegistrable> {
        if !registration.fits(graph) {
            return Err(NotRegistrable::OtherArchitecture);
        }
        let shape = registration.registered.shape;
        let mut builder =
            Builder { content: shape.taken(), looked: Vec::new(), fills: Vec::new(), held: Vec::new() };
        let order = Order::of(graph);
        let column = |parameter: u32, constant: u64, factor: Element| -> Arc<dyn Form> {
            Arc::new(Runs { runs: order.runs(parameter), constant: Element::from_u64(constant), factor })
        };
        // The magnitudes of each weight, or of two neighbours of a channel, which show its range as well.
        let mut magnitudes: BTreeMap<u32, Arc<dyn Form>> = BTreeMap::new();
        let weights = layers(graph).map(|(weight, _)| graph.parameters()[weight.0 as usize].shape().count());
        let each = if weights.sum::<usize>() < WEIGHTS_OF_PAIRS { 1 } else { 2 };
        for ((weight, requantise), reach) in layers(graph).zip(&registration.reaches) {
            let tensor = &graph.parameters()[weight.0 as usize];
            let depth = depth(tensor);
            let (lines, of_line) = (tensor.shape().count() / depth, depth.div_ceil(each));
            let magnitudes = magnitudes.entry(weight.0).or_insert_with(|| {
                let own = column(weight.0, 0, Element::ONE);
                let forms = every(&own, depth, each);
                let start = builder.column(lines * of_line);
                let magnitudes: Arc<dyn Form> = Arc::new(Columns::one(start, lines * of_line));
                let tuple = forms.iter().chain([&magnitudes]).map(Arc::clone).collect();
                builder.looked.push((Rows::Magnitudes(each), tuple));
                builder.fills.push(Fill::Magnitudes { start, forms });
                magnitudes
            });
            // What is left of each channel's limit.
            let limits = limits(*reach, requantise, lines);
            let bits = limits.iter().max().map_or(0, |most| most.max(&1).ilog2() + 1);
            let moves = (0..lines * of_line).map(|at| (narrow(at / of_line), narrow(at))).collect();
            let range = Interval { low: 0, high: i64::from(narrow(each)) << 7 };
            let operand = Arc::clone(magnitudes);
            let term = Term { operand, range, map: Map::Moves(moves), factor: -1 };
            let limits = limits.into_iter().map(|limit| i32::try_from(limit).expect("below 2^30"));
            let left = Sum { constants: limits.collect(), terms: vec![term] };
            builder.range(&(Arc::new(left) as Arc<dyn Form>), bits);
        }
        for ((tensor, parameter), magnitude) in
            graph.parameters().iter().zip(0..).zip(&registration.magnitudes)
        {
            // An ensemble of no trees has no nodes.
            if magnitudes.contains_key(&parameter) || tensor.shape().count() == 0 {
                continue;
            }
            let above = column(parameter, *magnitude, Element::ONE);
            match magnitude_of(tensor.dtype()) {
                Some(known) => builder.range(&above, known.ilog2() + 1),
                // From both ends: `above + below` is twice the magnitude modulo the order, and less than that and the order.
                None => {
                    let below = column(parameter, *magnitude, Element::NEG_ONE);
                    let show = |form: &Arc<dyn Form>| match *magnitude {
                        MAGNITUDE_MAX => builder.up_to(form, 2 * MAGNITUDE_MAX),
                        _ => builder.range(form, magnitude.ilog2() + 2),
                    };
                    [above, below].iter().for_each(show);
                }
            }
        }
        let forests = trees::forests(graph, |parameter| column(parameter.0, 0, Element::ONE));
        for (forest, extent) in forests.zip(&registration.trees) {
            let rows = forest.rows();
            if rows > ROWS_MAX {
                return Err(TooLarge::Elements(rows).into());
            }
            builder.trees(&forest, *extent, registration.magnitudes[forest.leaves_id()]);
        }
        let mut kinds: Vec<Rows> = Vec::new();
        let mut tables = Vec::new();
        let mut looked = Vec::new();
        for (rows, tuple) in builder.looked {
            let table = kinds.iter().position(|known| *known == rows).unwrap_or_else(|| {
                kinds.push(rows);
                kinds.len() - 1
            });
            looked.push(Looked { table, tuple });
        }
        let mut content = builder.content;
        for rows in kinds {
            let columns: Vec<Vec<Element>> = match rows {
                Rows::Range(bits) => vec![(0..1u32 << bits).map(Element::from_u32).collect()],
                Rows::UpTo(most) => vec![(0..=most).map(Element::from_u32).collect()],
                Rows::Held(number) => {
                    let rows = lookups::Rows::Shared(std::mem::take(&mut builder.held[number]));
                    let table = Table { rows, multiplicities: content };
                    content += table.rows();
                    tables.push(table);
                    continue;
                }
                Rows::Magnitudes(each) => {
                    let rows = 0..1usize << (8 * each);
                    let byte = |row: usize, which: usize| {
                        i32::try_from(row >> (8 * (each - 1 - which)) & 0xff).expect("a byte") - 128
                    };
                    let magnitude = |row| (0..each).map(|which| byte(row, which).unsigned_abs()).sum::<u32>();
                    let bytes = (0..each)
                        .map(|which| rows.clone().map(|row| Element::from_i32(byte(row, which))).collect());
                    let magnitudes = rows.clone().map(|row| Element::from_u32(magnitude(row))).collect();
                    bytes.chain([magnitudes]).collect()
                }
            };
            let multiplicities = content;
            content += columns[0].len();
            tables.push(Table { rows: lookups::Rows::Told(columns), multiplicities });
        }
        let lookups = Lookups::new(content, tables, looked)?;
        Ok(Self {
            registered: registration.registered.clone(),
            lookups,
            fills: builder.fills,
            parameters: None,
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
        assert!(self.registered == *parameters.registered(), "the registered parameters");
        self.parameters = Some(Arc::clone(parameters));
        self
    }

    /// The content.
    ///
    /// # Errors
    /// [`NotInTable`] when the parameters are not within the bounds.
    ///
    /// # Panics
    /// Without parameters.
    pub fn witness(&self) -> Result<Witness, NotInTable> {
        let mut content = self.filled();
        let lists = self.lookups.lists(&[&self.lookups.listed(0, Memo::default().of(&content))]);
        self.lookups.count(&lists, &mut content)?;
        Ok(Witness { content, lists: Some(lists) })
    }

    /// The content, but how often rows are looked up.
    fn filled(&self) -> Vec<Element> {
        let parameters = self.parameters.as_ref().expect("the prover's");
        let mut content = vec![Element::ZERO; self.lookups.places().count];
        parameters.begin(&mut content);
        for fill in &self.fills {
            match fill {
                Fill::Magnitudes { start, forms } => {
                    for form in forms {
                        let values = form::values(form, &content);
                        for (at, value) in values.iter().enumerate() {
                            content[start + at] += Element::from_i64(signed(*value).abs());
                        }
                    }
                }
                Fill::Numbers { start, numbers } => {
                    let numbers = numbers(&content);
                    let places = content[*start..].iter_mut().zip(numbers);
                    places.for_each(|(place, number)| *place = Element::from_i64(number));
                }
                Fill::Limbs { start, form, bits } => {
                    let values = form::values(form, &content);
                    for (limb, (below, width)) in limbs_of(*bits).enumerate() {
                        for (at, value) in values.iter().enumerate() {
                            let limb_value = value.as_canonical_u32() >> below & ((1 << width) - 1);
                            content[start + limb * values.len() + at] = Element::from_u32(limb_value);
                        }
                    }
                }
            }
        }
        content
    }
}

#[cfg(test)]
impl Registering {
    /// What an owner commits to whatever the parameters are.
    pub(crate) fn supposed(&self) -> Witness {
        self.counted(self.filled())
    }

    /// A content in which what is looked up is counted as far as it can be.
    pub(crate) fn counted(&self, mut content: Vec<Element>) -> Witness {
        let lists = self.lookups.lists(&[&self.lookups.listed(0, Memo::default().of(&content))]);
        let _ = self.lookups.count(&lists, &mut content);
        Witness { content, lists: Some(lists) }
    }

    /// Where numbers begin that follow from the parameters of trees.
    pub(crate) fn followed(&self) -> Vec<usize> {
        let start = |fill: &Fill| match fill {
            Fill::Numbers { start, .. } => Some(*start),
            _ => None,
        };
        self.fills.iter().filter_map(start).collect()
    }
}

impl Conversation for Registering {
    fn level(&self) -> Level {
        self.registered.shape.level()
    }

    fn content(&self) -> usize {
        self.lookups.content()
    }

    fn pads(&self) -> usize {
        self.lookups.pads()
    }

    fn prove(&self, channel: &mut Prover<'_>, witness: &Witness) -> Option<Pulled> {
        let pulled = self.lookups.prove(channel, witness);
        self.parameters.as_ref().expect("the prover's").prove(channel);
        pulled
    }

    fn verify<'c>(
        &'c self,
        channel: &mut Verifier<'c>,
        pulled: Option<Pulled>,
    ) -> Result<Later<'c>, ProofError> {
        let mut later = self.lookups.verify(channel, pulled)?;
        let registered = self.registered.verify(channel, 0)?;
        later.push(Box::new(|| Ok(vec![registered()?])));
        Ok(later)
    }

    fn errors(&self) -> u64 {
        self.lookups.errors() + self.registered.errors()
    }

    fn missed(&self) -> f64 {
        self.registered.missed()
    }
}
