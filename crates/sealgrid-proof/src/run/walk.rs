//! The walk over a graph on which its values become linear forms.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use p3_field::{PrimeCharacteristicRing as _, PrimeField32 as _};
use sealgrid_graph::integer::{
    Graph, Interpreter, Operation, ParameterId, Primitive, Requantise, ValueId, ValueType,
};
use sealgrid_graph::range::Interval;
use sealgrid_graph::reference;
use sealgrid_graph::tensor::{DType, Tensor};

use super::maxima::Extremum;
use super::products::matrices;
use super::reciprocals::Inverse;
use super::stage::{Part, Summed};
use super::sums::{Pairs, Sums};
use super::tables::{ROWS_MAX, Rows};
use super::trees::Ensemble;
use super::ways::Forest;
use super::wide::{Limb, Limbs, is_told, weighed};
use super::{Above, Column, Inputs, NotProvable, TOO_LARGE, Tied, Weights};
use crate::argument::TooLarge;
use crate::commit::VARIABLES_MAX;
use crate::field::{Challenge, Element};
use crate::form::{Columns, Form, Pulling, Values};
use crate::layers::{Layer, Meets, Weighted, reach};
use crate::lookups::{Looked, Lookups, Table};
use crate::maps::{Known, LIMB_BITS, Map, Moved, Sum, Taps, Term, limbs_of, narrow, numbers, positions};
use crate::order::Order;
use crate::places::Places;
use crate::registration::{self, Registration, weight_of};
use crate::weights::{Registered, Shape};

/// A value on the walk.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) form: Arc<dyn Form>,
    pub(super) range: Interval,
    pub(super) axes: Vec<usize>,
    /// The clamp that was not shown, because a table of it would be too long: the form is what is before it. Only for outputs, where everybody
    /// sees whether they lie strictly within.
    pub(super) open: Option<Interval>,
    /// The clamp that is shown behind the maxima which this is taken for, and nothing else: the form is what is before it.
    pub(super) later: Option<(i32, i32)>,
}

impl Value {
    pub(super) fn shown(form: Arc<dyn Form>, range: Interval, axes: &[usize]) -> Self {
        Self { form, range, axes: axes.to_vec(), open: None, later: None }
    }
}

/// Maxima that a value is taken for, and nothing else.
#[derive(Clone, Copy)]
pub(super) struct Pooled {
    /// Of how many elements each is, at most.
    pub(super) of: usize,
    /// How many there are, at least.
    pub(super) results: usize,
}

pub(super) struct Builder<'b> {
    /// How many: what is said of one is said of all.
    pub(super) records: usize,
    pub(super) inputs: Inputs<'b>,
    /// Places so far.
    pub(super) content: usize,
    /// Elements that stand before all places.
    first: usize,
    /// Places that are not committed, and where each record's own begin.
    open_places: usize,
    own: usize,
    /// Inputs that are told, and where the next stands.
    pub(super) shown: Vec<(usize, Vec<i32>)>,
    next_shown: usize,
    /// The place that holds the record's number, where trees are private.
    pub(super) number: usize,
    pub(super) columns: Vec<Column>,
    pub(super) tables: Vec<Rows>,
    pub(super) looked: Vec<Looked>,
    pub(super) private: Option<Hiding<'b>>,
    /// Places that stand first, for the sums.
    pub(super) reserved: usize,
    pub(super) sums: Sums,
    /// Operations with private weights so far, and private ensembles.
    weighted: usize,
    pub(super) ensembles: usize,
    /// Private parameters that are values themselves: their sums, and where they stand.
    pub(super) constants: Vec<(usize, usize)>,
    pub(super) input_forms: Vec<Arc<dyn Form>>,
    /// Inputs, outputs.
    pub(super) tied: [Option<Tied>; 2],
    /// The operations whose results may be shown before their clamp.
    pub(super) open: Vec<bool>,
    /// The maxima that the results of operations are taken for.
    pub(super) pooled: Vec<Option<Pooled>>,
    /// Lists that are equal.
    pub(super) equal: Vec<[Arc<dyn Form>; 2]>,
    /// What is in limbs already, and the parity of lowest limbs.
    pub(super) split: Vec<(Arc<dyn Form>, Interval, Limbs)>,
    pub(super) parities: Vec<(Arc<dyn Form>, Arc<dyn Form>)>,
}

/// Private parameters while a run is built.
pub(super) struct Hiding<'b> {
    pub(super) registration: &'b Registration,
    /// Where all parameters stand.
    order: Order,
    /// Where those that are values themselves stand among the places.
    values: HashMap<u32, usize>,
}

impl<'b> Hiding<'b> {
    fn new(graph: &Graph, registration: &'b Registration) -> Result<Self, NotProvable> {
        if !registration.fits(graph) {
            return Err(of_value(0, "registration", "it is of another architecture"));
        }
        Ok(Self { registration, order: Order::of(graph), values: HashMap::new() })
    }

    /// Where a parameter stands among the places that is a value itself, or part of trees.
    pub(super) fn start(&self, id: ParameterId) -> usize {
        self.values[&id.0]
    }
}

impl<'b> Builder<'b> {
    /// What a graph says over so many records, and its outputs; outputs may be `open` or must have their clamps shown. Inputs and outputs may be those of
    /// commitments with these roots.
    pub(super) fn walk(
        graph: &Graph,
        weights: Weights<'b>,
        inputs: Inputs<'b>,
        committed: [Option<[u8; 32]>; 2],
        records: usize,
        open: bool,
    ) -> Result<(Self, Vec<Value>), NotProvable> {
        let walk = |sums| Self::walk_behind(sums, graph, weights, inputs, committed, records, open);
        // All sums stand first, and how many products of values there are is known behind the walk alone.
        let walked = walk(weighted_sums(graph, weights))?;
        let sums = walked.0.sums.count;
        if sums == walked.0.reserved {
            return Ok(walked);
        }
        let walked = walk(sums)?;
        assert!(walked.0.sums.count == sums, "nothing depends on where the sums end");
        Ok(walked)
    }

    fn walk_behind(
        reserved: usize,
        graph: &Graph,
        weights: Weights<'b>,
        inputs: Inputs<'b>,
        committed: [Option<[u8; 32]>; 2],
        records: usize,
        open: bool,
    ) -> Result<(Self, Vec<Value>), NotProvable> {
        let private = match weights {
            Weights::Private(registration) => Some(Hiding::new(graph, registration)?),
            Weights::Public(_) => None,
        };
        let shape = private.as_ref().map(|private| private.registration.registered.shape);
        let shown: usize = match inputs {
            Inputs::Public(_) => graph.inputs().iter().map(|value_type| value_type.shape.count()).sum(),
            Inputs::Private(_) | Inputs::Committed(..) => 0,
        };
        // What says which record it is.
        let numbered = private.is_some() && has_trees(graph);
        let number = reserved + shown;
        let open_places = number + usize::from(numbered);
        let mut content = open_places;
        let types = [
            graph.inputs().to_vec(),
            graph.outputs().iter().map(|id| graph.value_type(*id).clone()).collect(),
        ];
        let mut tied = [None, None];
        for ((tied, root), types) in tied.iter_mut().zip(committed).zip(types) {
            let Some(root) = root else { continue };
            let each: usize = types.iter().map(|value_type| value_type.shape.count()).sum();
            let shape = Shape::of_values(weights.level(), records * each)
                .map_err(|_| of_value(0, "run", TOO_LARGE))?;
            *tied = Some(Tied { registered: Registered { shape, root }, start: content, own: None });
            content += shape.taken();
        }
        let mut builder = Self {
            records,
            inputs,
            content,
            first: shape.filter(|shape| !shape.is_combined()).map_or(0, Shape::taken),
            open_places,
            own: content,
            shown: Vec::new(),
            next_shown: reserved,
            number,
            columns: Vec::new(),
            tables: Vec::new(),
            looked: Vec::new(),
            private,
            reserved,
            sums: Sums { parameters: shape.map_or(0, Shape::elements), ..Sums::default() },
            weighted: 0,
            ensembles: 0,
            constants: Vec::new(),
            input_forms: Vec::new(),
            tied,
            equal: Vec::new(),
            split: Vec::new(),
            parities: Vec::new(),
            open: if open { ends(graph) } else { vec![false; graph.operations().len()] },
            pooled: pooled(graph),
        };
        if numbered {
            let records = (0..records).map(|record| i32::try_from(record).expect("at most 2^24"));
            builder.shown.push((number, records.collect()));
        }
        builder.hold_constants(graph);
        let outputs = graph.interpret(&mut builder)?;
        Ok((builder, outputs))
    }

    /// The lookups, with the tables' multiplicities behind the columns.
    pub(super) fn lookups(&mut self) -> Result<Lookups, TooLarge> {
        let mut content = self.content;
        let tables = std::mem::take(&mut self.tables).into_iter().map(|rows| {
            if let Rows::Own(_, multiplicities) = rows {
                return Table { rows: rows.rows(), multiplicities };
            }
            let table = Table { rows: rows.rows(), multiplicities: content };
            content += table.rows();
            table
        });
        let tables = tables.collect();
        let own = self.own..self.content;
        let places =
            Places { first: self.first, open: self.open_places, own, count: content, records: self.records };
        Lookups::over(places, tables, std::mem::take(&mut self.looked))
    }

    pub(super) fn column(&mut self, count: usize) -> usize {
        let start = self.content;
        self.content += count;
        start
    }

    /// Columns for the limbs of so many numbers.
    pub(super) fn above(&mut self, low: i64, bits: u32, count: usize) -> Above {
        let start = self.column(limbs_of(bits).count() * count);
        Above { start, low, bits }
    }

    /// The number of a table, which stands once whoever looks something up in it.
    pub(super) fn table(&mut self, rows: Rows) -> usize {
        self.tables.iter().position(|known| *known == rows).unwrap_or_else(|| {
            self.tables.push(rows);
            self.tables.len() - 1
        })
    }

    /// Registered parameters that are values themselves, or trees: sums of nothing else, to which elements that all records share are equal.
    fn hold_constants(&mut self, graph: &Graph) {
        let Some(private) = &mut self.private else { return };
        for (id, count) in constants_of(graph) {
            let (sums, start) = (self.sums.count, self.content);
            private.values.insert(id, start);
            if count == 0 {
                continue;
            }
            let entries = (0..narrow(count)).collect();
            let layer = Layer { weighted: None, added: private.order.line(id), entries, sums };
            self.columns.push(Column::Sums(self.sums.layers.len()));
            self.sums.layers.push(layer);
            self.sums.count += count;
            let [sums, own] =
                [sums, start].map(|start| -> Arc<dyn Form> { Arc::new(Columns::one(start, count)) });
            self.equal.push([sums, own]);
            self.constants.push((self.sums.layers.len() - 1, start));
            self.content += count;
        }
        self.own = self.content;
    }

    /// A registered parameter's elements, which are a value.
    fn constant(&self, id: ParameterId, count: usize) -> Option<Arc<dyn Form>> {
        let start = self.private.as_ref()?.start(id);
        Some(Arc::new(Columns::one(start, count)))
    }

    /// Sums over private weights, a bias added to each; `None` when parameters are public.
    fn layer(
        &mut self,
        operand: &Value,
        meets: impl Fn() -> Meets,
        [weight, bias]: [ParameterId; 2],
        requantise: &Requantise,
        each: usize,
        channel: impl Fn(usize) -> usize,
    ) -> Option<Summed> {
        let biases = (0..each).map(&channel).max().map_or(0, |last| last + 1);
        let private = self.private.as_ref()?;
        let carried = private.registration.reaches[self.weighted];
        self.weighted += 1;
        let limits = registration::limits(carried, requantise, biases);
        let added = private.registration.magnitudes[bias.0 as usize];
        let lines = [private.order.blocks(weight.0).to_vec(), private.order.line(bias.0)];
        let reached = |range: Interval, added: u64| -> Option<Vec<Interval>> {
            (0..each).map(|position| reach(range, limits[channel(position)], added)).collect()
        };
        let entries: Vec<u32> = (0..each).map(|position| narrow(channel(position))).collect();
        let layer = |operand: &Arc<dyn Form>, is_first: bool, sums: usize| {
            let [blocks, added] = lines.clone();
            let added = if is_first { added } else { Vec::new() };
            let weighted = Weighted { operand: Arc::clone(operand), meets: meets(), blocks };
            Layer { weighted: Some(weighted), added, entries: entries.clone(), sums }
        };
        let bounds = reached(operand.range, added);
        let told =
            bounds.as_ref().is_none_or(|bounds| bounds.iter().copied().reduce(hull).is_none_or(is_told));
        // Sums that the field does not tell apart are those of limbs of the operand, each of which is told.
        let limbs = if told { None } else { self.limbs_of_operand(operand) };
        let Some(limbs) = limbs else {
            let form = self.push_layer(layer(&operand.form, true, self.sums.count));
            return Some(Summed { form, bounds, is_committed: false, parts: Vec::new() });
        };
        let mut parts = Vec::new();
        for (number, (form, range, factor)) in limbs.into_iter().enumerate() {
            let is_first = number == 0;
            let range = reached(range, if is_first { added } else { 0 });
            let range =
                range.and_then(|bounds| bounds.into_iter().reduce(hull)).filter(|range| is_told(*range));
            let form = self.push_layer(layer(&form, is_first, self.sums.count));
            // What is not told is refused where it would be split.
            let range = range.unwrap_or(Interval { low: i64::MIN, high: i64::MAX });
            parts.push(Part { factor, ..Part::new(form, range) });
        }
        let terms = parts.iter().map(|part| (Arc::clone(&part.operand), i128::from(part.factor)));
        let form = weighed(each, 0, terms);
        Some(Summed { form, bounds, is_committed: false, parts })
    }

    /// A layer's sums.
    fn push_layer(&mut self, layer: Layer) -> Arc<dyn Form> {
        let (start, each) = (layer.sums, layer.each());
        self.columns.push(Column::Sums(self.sums.layers.len()));
        self.sums.layers.push(layer);
        self.sums.count += each;
        Arc::new(Columns::one(start, each))
    }

    /// An operand in limbs, each with its range and its factor, the highest with the least of them; `None` where it is one limb alone.
    fn limbs_of_operand(&mut self, operand: &Value) -> Option<Vec<OperandLimb>> {
        // A multiple of the highest factor of two limbs, whatever it is.
        let low = operand.range.low - operand.range.low.rem_euclid(1 << LIMB_BITS);
        let Limbs { low, limbs } = self.split(&operand.form, Interval { low, high: operand.range.high })?;
        let last = limbs.len().checked_sub(1).filter(|last| *last > 0)?;
        let of = |(number, limb): (usize, Limb)| {
            let factor = i32::try_from(1i64 << limb.below).ok()?;
            let least = if number == last { low / i64::from(factor) } else { 0 };
            if least * i64::from(factor) != if number == last { low } else { 0 } {
                return None;
            }
            let form = weighed(limb.form.count(), least.into(), [(limb.form, 1)].into_iter());
            Some((form, Interval { low: least, high: least + limb.most }, factor))
        };
        limbs.into_iter().enumerate().map(of).collect()
    }

    /// Elements of the operands, moved as the operation moves them: it is run on their positions.
    pub(super) fn moved(&self, operation: &Operation, operands: &[&Value]) -> Value {
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
        // All operands behind each other; the joined one is the first alone where there is one.
        let joined: Arc<dyn Form> = match operands {
            [one] => Arc::clone(&one.form),
            many => Arc::new(Joined(many.iter().map(|operand| Arc::clone(&operand.form)).collect())),
        };
        // What is padded has no position.
        let from =
            (0..taken.shape().count()).map(|position| u32::try_from(taken.at(position)).ok()).collect();
        let form = Arc::new(Moved { operand: joined, from, constant });
        let mut range = operands[0].range;
        for other in operands.iter().map(|operand| operand.range).chain(pad) {
            range = hull(range, other);
        }
        Value { open: operands[0].open, ..Value::shown(form, range, operation.output.shape.axes()) }
    }
}

/// A limb of an operand: where it lies, and its factor.
type OperandLimb = (Arc<dyn Form>, Interval, i32);

/// Forms one behind the other.
pub(super) struct Joined(pub(super) Vec<Arc<dyn Form>>);

impl Form for Joined {
    fn count(&self) -> usize {
        self.0.iter().map(|form| form.count()).sum()
    }

    fn values(&self, of: Values<'_>) -> Vec<Element> {
        self.0.iter().flat_map(|form| of.of(form).to_vec()).collect()
    }

    fn operands(&self) -> Vec<&Arc<dyn Form>> {
        self.0.iter().collect()
    }

    fn pull(&self, mut weights: &[Challenge], to: &mut Pulling<'_>) -> Challenge {
        for form in &self.0 {
            let (own, rest) = weights.split_at(form.count());
            to.add(form, own.iter().copied());
            weights = rest;
        }
        Challenge::ZERO
    }
}

pub(super) fn refused(index: usize, operation: &Operation, why: &'static str) -> NotProvable {
    NotProvable { index, name: operation.name.clone(), word: operation.primitive.word(), why }
}

pub(super) fn hull(one: Interval, other: Interval) -> Interval {
    Interval { low: one.low.min(other.low), high: one.high.max(other.high) }
}

pub(super) fn of_value(index: usize, word: &'static str, why: &'static str) -> NotProvable {
    NotProvable { index, name: String::new(), word, why }
}

/// Whether different integers of the range are different elements, and zero is in the middle.
pub(super) fn in_field(range: Interval) -> bool {
    let most = i64::from(Element::ORDER_U32) / 2;
    -most <= range.low && range.high <= most
}

/// Of numbers that everybody knows, of which there is one.
pub(super) fn range_of(numbers: &[i32]) -> Interval {
    let of = |number: Option<&i32>| i64::from(number.copied().unwrap_or(0));
    Interval { low: of(numbers.iter().min()), high: of(numbers.iter().max()) }
}

/// The operations whose results only move on their way out, and are operands of nothing else.
pub(super) fn ends(graph: &Graph) -> Vec<bool> {
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

/// Of each operation the maxima that its result is taken for, where it is no result of the graph and nothing else takes it.
fn pooled(graph: &Graph) -> Vec<Option<Pooled>> {
    let inputs = graph.inputs().len();
    let place = |id: &ValueId| (id.0 as usize).checked_sub(inputs);
    let mut others = vec![false; graph.operations().len()];
    graph.outputs().iter().filter_map(place).for_each(|output| others[output] = true);
    let mut pooled: Vec<Option<Pooled>> = vec![None; graph.operations().len()];
    for operation in graph.operations() {
        for (id, operand) in operation.operands.iter().filter_map(|id| Some((id, place(id)?))) {
            let of = match &operation.primitive {
                Primitive::PoolMaximum { window } => window.kernel.iter().product(),
                Primitive::ReduceMaximum { axes } => {
                    let shape = graph.value_type(*id).shape.axes();
                    axes.iter().map(|axis| shape[*axis]).product()
                }
                _ => {
                    others[operand] = true;
                    continue;
                }
            };
            let results = operation.output.shape.count();
            let both = |known: Pooled| Pooled { of: known.of.max(of), results: known.results.min(results) };
            pooled[operand] = Some(pooled[operand].map_or(Pooled { of, results }, both));
        }
    }
    pooled.into_iter().zip(others).map(|(pooled, others)| pooled.filter(|_| !others)).collect()
}

fn takes_maxima(primitive: &Primitive) -> bool {
    matches!(primitive, Primitive::PoolMaximum { .. } | Primitive::ReduceMaximum { .. })
}

pub(super) fn only_moves(primitive: &Primitive) -> bool {
    matches!(primitive, Primitive::Reshape | Primitive::Transpose { .. } | Primitive::Slice { .. })
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
        let shape = operation.output.shape.axes();
        let each = operation.output.shape.count();
        let refuse = |why| Err(refused(index, operation, why));
        let is_open = operands.iter().any(|operand| operand.open.is_some());
        assert!(only_moves(&operation.primitive) || !is_open, "what is not clamped is no operand");
        let is_later = operands.iter().any(|operand| operand.later.is_some());
        assert!(
            takes_maxima(&operation.primitive) || !is_later,
            "what is clamped later is taken for maxima alone"
        );
        if self.first + self.content > 1 << VARIABLES_MAX {
            return refuse(TOO_LARGE);
        }
        let tensor = |id: &sealgrid_graph::integer::ParameterId| parameters[id.0 as usize].clone();
        let numbers =
            |tensor: &Tensor| -> Vec<i32> { (0..tensor.shape().count()).map(|at| tensor.at(at)).collect() };
        let one = |map: Map, constants: Vec<i32>| Sum {
            constants,
            terms: vec![Term {
                operand: Arc::clone(&operands[0].form),
                range: operands[0].range,
                map,
                factor: 1,
            }],
        };
        match &operation.primitive {
            Primitive::Constant { tensor: id } if let Some(operand) = self.constant(*id, each) => {
                let private = self.private.as_ref().expect("a registered parameter");
                let most = private.registration.magnitudes[id.0 as usize].cast_signed();
                // A registration shows of short numbers that they are of their type.
                let (low, high) = match operation.output.dtype {
                    DType::I32 => (-most, most),
                    short => (short.bounds().0.into(), short.bounds().1.into()),
                };
                let range = Interval { low, high };
                if !in_field(range) {
                    return refuse("its numbers leave the field");
                }
                Ok(Value::shown(operand, range, shape))
            }
            Primitive::Constant { tensor: id } => {
                let numbers = numbers(&tensor(id));
                let range = range_of(&numbers);
                if !in_field(range) {
                    return refuse("its numbers leave the field");
                }
                Ok(Value::shown(Arc::new(Known(numbers)), range, shape))
            }
            Primitive::Linear { weight: id, bias: added, requantise } => {
                let channels = parameters[added.0 as usize].shape().count();
                let rows = each / channels;
                let channel = |position| position % channels;
                let meets = || Meets::Lines(rows);
                let sum = match self.layer(operands[0], meets, [*id, *added], requantise, each, channel) {
                    Some(sum) => sum,
                    None => {
                        let map = Map::Linear { rows, weight: tensor(id) };
                        one(map, numbers(&tensor(added)).repeat(rows)).into()
                    }
                };
                self.stage(index, operation, sum, requantise, channel)
            }
            Primitive::Convolution { weight: id, bias: added, window, groups, requantise } => {
                let (weight, channels) = (tensor(id), parameters[added.0 as usize].shape().count());
                let taps = Taps::new(window, &operands[0].axes[2..], &shape[2..]);
                let spatial = each / channels;
                let channel = |position| position / spatial;
                let map = Map::Convolution { weight, groups: *groups, taps };
                let meets = || Meets::Taps(map.clone());
                let sum = match self.layer(operands[0], meets, [*id, *added], requantise, each, channel) {
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
                let sum = Sum { constants: vec![0; each], terms: terms.collect() };
                let parts = [*left, *right].into_iter().zip(operands).map(|(factor, operand)| {
                    let from = broadcast(&operand.axes, shape).into_iter().map(|(_, at)| Some(at)).collect();
                    Part { from: Some(from), factor, ..Part::new(Arc::clone(&operand.form), operand.range) }
                });
                let sum = Summed { parts: parts.collect(), ..sum.into() };
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
                let output = self.function(index, &operands[0].form, from.low, results);
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
                if is_told(moved.range) { Ok(moved) } else { refuse("its numbers leave the field") }
            }
            Primitive::Multiply { requantise } => {
                let [left, right] = [operands[0], operands[1]].map(|operand| broadcast(&operand.axes, shape));
                let blocks = left.into_iter().zip(right).map(|((to, left), (_, right))| [to, left, right]);
                let pairs = Pairs::single(blocks.collect());
                let sum = self.product(
                    [operands[0], operands[1]],
                    pairs,
                    each,
                    operation.operands[0] == operation.operands[1],
                );
                self.stage(index, operation, sum, requantise, |_| 0)
            }
            Primitive::MatrixProduct { requantise } => {
                let pairs = matrices(&operands[0].axes, &operands[1].axes, shape);
                let sum = self.product([operands[0], operands[1]], pairs, each, false);
                self.stage(index, operation, sum, requantise, |_| 0)
            }
            Primitive::PoolMaximum { window } => {
                let taps = Taps::new(window, &operands[0].axes[2..], &shape[2..]);
                let Some(taps) = taps.alternatives(shape[1]) else {
                    return refuse("a window has nothing under it");
                };
                let lists: Vec<_> = taps.into_iter().map(|tap| (operands[0], tap)).collect();
                self.extremum(index, operation, Extremum::Largest, &lists)
            }
            Primitive::ReduceMaximum { axes } => {
                let mut places: Vec<Vec<u32>> = vec![Vec::new(); each];
                for (result, operand) in reduced(&operands[0].axes, axes) {
                    places[result as usize].push(operand);
                }
                let taps = (0..places[0].len()).map(|tap| places.iter().map(|places| places[tap]).collect());
                let lists: Vec<_> = taps.map(|tap| (operands[0], tap)).collect();
                self.extremum(index, operation, Extremum::Largest, &lists)
            }
            Primitive::Maximum | Primitive::Minimum => {
                let of = |operand: &Value| {
                    broadcast(&operand.axes, shape).into_iter().map(|(_, from)| from).collect()
                };
                let lists: Vec<_> = operands.iter().map(|operand| (*operand, of(operand))).collect();
                let which = match operation.primitive {
                    Primitive::Maximum => Extremum::Largest,
                    _ => Extremum::Smallest,
                };
                self.extremum(index, operation, which, &lists)
            }
            Primitive::ArgMaximum { axis } => self.arg_maximum(index, operation, operands[0], *axis),
            Primitive::Reciprocal { bits } => self.inverse(index, operation, operands[0], Inverse::Of(*bits)),
            Primitive::ReciprocalSquareRoot { bits } => {
                self.inverse(index, operation, operands[0], Inverse::OfRoot(*bits))
            }
            Primitive::TreeEnsemble { roots, nodes, leaves, base, requantise } if self.private.is_some() => {
                let forest = Forest::new([*roots, *nodes, *leaves, *base], parameters, operands[0].axes[1]);
                self.hidden_trees(index, operation, operands[0], &forest, requantise)
            }
            Primitive::TreeEnsemble { roots, nodes, leaves, base, requantise } => {
                let [roots, nodes, leaves, base] =
                    [roots, nodes, leaves, base].map(|id| &parameters[id.0 as usize]);
                let ensemble = Ensemble { roots, nodes, leaves, base };
                self.trees(index, operation, operands[0], &ensemble, requantise)
            }
        }
    }
}

/// Sums over private weights.
fn weighted_sums(graph: &Graph, weights: Weights<'_>) -> usize {
    let Weights::Private(_) = weights else { return 0 };
    let sums = graph.operations().iter().filter(|operation| weight_of(&operation.primitive).is_some());
    let constants = constants_of(graph).into_values();
    sums.map(|operation| operation.output.shape.count()).chain(constants).sum()
}

/// The parameters that are values themselves, or trees, and their lengths.
fn constants_of(graph: &Graph) -> BTreeMap<u32, usize> {
    let of = |operation: &Operation| match operation.primitive {
        Primitive::Constant { tensor } => vec![tensor],
        Primitive::TreeEnsemble { roots, nodes, leaves, base, .. } => vec![roots, nodes, leaves, base],
        _ => Vec::new(),
    };
    let count = |id: ParameterId| (id.0, graph.parameters()[id.0 as usize].shape().count());
    graph.operations().iter().flat_map(of).map(count).collect()
}

fn has_trees(graph: &Graph) -> bool {
    let operations = graph.operations().iter();
    operations.into_iter().any(|operation| matches!(operation.primitive, Primitive::TreeEnsemble { .. }))
}

/// `(result, operand)` for every element of a result of shape `to`.
pub(super) fn broadcast(from: &[usize], to: &[usize]) -> Vec<(u32, u32)> {
    let lead = to.len() - from.len();
    let flat = |at: &[usize]| {
        from.iter()
            .enumerate()
            .fold(0, |flat, (axis, length)| flat * length + if *length == 1 { 0 } else { at[lead + axis] })
    };
    positions(to).enumerate().map(|(result, at)| (narrow(result), narrow(flat(&at)))).collect()
}

/// `(result, operand)` for every element of an operand of shape `from` whose `axes` are summed.
pub(super) fn reduced(from: &[usize], axes: &[usize]) -> Vec<(u32, u32)> {
    let flat =
        |at: &[usize]| {
            from.iter().enumerate().fold(0, |flat, (axis, length)| {
                if axes.contains(&axis) { flat } else { flat * length + at[axis] }
            })
        };
    positions(from).enumerate().map(|(operand, at)| (narrow(flat(&at)), narrow(operand))).collect()
}
