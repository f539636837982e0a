//! Random valid graphs and inputs from a seed, for equality tests of executors and other interpreters.
//!
//! Every primitive occurs, with odd shapes, extreme elements, extreme output stages, sums that wrap, windows in
//! the padding, single-element axes. A failing seed is all that needs to be reported. The generator may change
//! between versions: freeze graphs, not seeds.

use sealgrid_seal::rand_core::CryptoRng;

use crate::execute::Batch;
use crate::integer::{
    ADD_MULTIPLIER_MAX, Builder, Graph, ParameterId, Primitive, Requantise, SHIFT_MAX, ValueId, ValueType,
    Window,
};
use crate::model::{CARD_VERSION, Decision, InputCard, Model, ModelCard, OutputCard};
use crate::tensor::{DType, Data, Shape, Tensor};

/// Number of kinds of primitives.
const KINDS: u64 = 25;
/// Values are kept below this many elements, so that the reference stays quick.
const COUNT_MAX: usize = 2048;

/// A card that takes a graph's inputs and outputs as they are.
#[must_use]
pub fn card(name: &str, graph: &Graph) -> ModelCard {
    let input = |(index, value_type): (usize, &ValueType)| InputCard {
        name: format!("in{index}"),
        value_type: value_type.clone(),
        columns: Vec::new(),
        offsets: vec![0.0],
        scales: vec![1.0],
    };
    let output = |(index, id): (usize, &ValueId)| OutputCard {
        name: format!("out{index}"),
        value_type: graph.value_type(*id).clone(),
        scales: vec![1.0],
        labels: Vec::new(),
        decision: Decision::None,
    };
    ModelCard {
        version: CARD_VERSION,
        name: name.into(),
        release: "1".into(),
        summary: String::new(),
        inputs: graph.inputs().iter().enumerate().map(input).collect(),
        outputs: graph.outputs().iter().enumerate().map(output).collect(),
        accuracy: None,
    }
}

/// A model whose runs can be proven: `clamp((3·x0 − 2·x1 + bias) / 4)` to 0…127, and so on for three outputs.
///
/// # Panics
/// Never.
#[must_use]
pub fn small_model(bias: i32, rng: &mut impl CryptoRng) -> Model {
    let shape = |axes: &[usize]| Shape::new(axes).expect("small");
    let tensor = |axes: &[usize], data| Tensor::new(shape(axes), data).expect("filled");
    let mut graph = Builder::new(vec![ValueType { dtype: DType::I8, shape: shape(&[1, 2]) }]);
    let x = graph.input(0);
    let weight = graph.parameter(tensor(&[3, 2], Data::I8(vec![3, -2, 100, 7, -1, 1])));
    let bias = graph.parameter(tensor(&[3], Data::I32(vec![bias, 0, -5])));
    let requantise =
        Requantise { multipliers: vec![1], shifts: vec![2], low: 0, high: 127, output: DType::I8 };
    let y = graph.push("y", Primitive::Linear { weight, bias, requantise }, &[x]).expect("valid");
    let graph = graph.finish(vec![y]).expect("valid");
    Model::new(card("small", &graph), graph, rng).expect("small sums")
}

/// A random valid graph of 1 to about 20 operations; everything that nothing reads is an output.
#[must_use]
pub fn graph(seed: u64) -> Graph {
    let mut random = Random::new(seed);
    let inputs = (0..1 + random.below(2)).map(|_| value_type(&mut random)).collect();
    let mut growth = Growth::new(inputs, random);
    for _ in 0..1 + growth.random.below(8) {
        let kind = growth.random.below(KINDS);
        growth.grow(kind);
    }
    growth.finish()
}

/// A random graph whose last operation is of the given kind, `0..25`, in the order of [`Primitive`].
#[must_use]
pub fn graph_of_kind(kind: u64, seed: u64) -> Graph {
    let mut random = Random::new(seed ^ (kind << 56));
    let inputs = vec![value_type(&mut random)];
    let mut growth = Growth::new(inputs, random);
    growth.grow(kind % KINDS);
    growth.finish()
}

/// Random inputs for `records` records.
#[must_use]
pub fn inputs(graph: &Graph, records: usize, seed: u64) -> Vec<Batch> {
    let mut random = Random::new(!seed);
    let batch = |value_type: &ValueType| {
        let elements = random.elements(value_type.dtype, records * value_type.shape.count());
        let data = Data::from_elements(value_type.dtype, &elements).expect("elements within the type");
        Batch::new(records, value_type.shape.clone(), data).expect("small batches are within the limits")
    };
    graph.inputs().iter().map(batch).collect()
}

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014): small, and the
/// same numbers for a seed on every machine and in every version.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator with a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit` (with a bias that does not matter here).
    ///
    /// # Panics
    /// When `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }

    fn size(&mut self, limit: usize) -> usize {
        1 + usize::try_from(self.below(limit as u64)).expect("below a usize")
    }

    fn index(&mut self, limit: usize) -> usize {
        self.size(limit) - 1
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    fn between(&mut self, low: i32, high: i32) -> i32 {
        let width = u64::from(low.abs_diff(high)) + 1;
        let step = i64::try_from(self.below(width)).expect("at most 2^32");
        i32::try_from(i64::from(low) + step).expect("within low and high")
    }

    fn element(&mut self, dtype: DType) -> i32 {
        let (low, high) = dtype.bounds();
        match self.below(10) {
            0 => low,
            1 => high,
            2 => 0,
            3 => self.between(-2, 2),
            _ => self.between(low, high),
        }
    }

    fn elements(&mut self, dtype: DType, count: usize) -> Vec<i32> {
        (0..count).map(|_| self.element(dtype)).collect()
    }

    fn dtype(&mut self) -> DType {
        [DType::I8, DType::I8, DType::I16, DType::I32][self.index(4)]
    }

    fn narrow(&mut self) -> DType {
        [DType::I8, DType::I16][self.index(2)]
    }
}

fn shape(axes: &[usize]) -> Shape {
    Shape::new(axes).expect("generated shapes are small")
}

/// Images, matrices, vectors, sometimes other ranks.
fn value_type(random: &mut Random) -> ValueType {
    let axes = match random.below(8) {
        0..3 => vec![1, random.size(5), random.size(9), random.size(9)],
        3 => vec![1, random.size(40)],
        4 => vec![random.size(6), random.size(70)],
        5 => vec![1, random.size(6), random.size(20)],
        6 => vec![random.size(300)],
        _ => (0..random.index(6)).map(|_| random.size(4)).collect(),
    };
    ValueType { dtype: random.dtype(), shape: shape(&axes) }
}

struct Growth {
    builder: Builder,
    values: Vec<ValueId>,
    read: Vec<ValueId>,
    random: Random,
}

impl Growth {
    fn new(inputs: Vec<ValueType>, random: Random) -> Self {
        let count = inputs.len();
        let builder = Builder::new(inputs);
        let values = (0..count).map(|index| builder.input(index)).collect();
        Self { builder, values, read: Vec::new(), random }
    }

    fn finish(mut self) -> Graph {
        let inputs = self.values.len() - self.operations();
        let unread = self.values[inputs..].iter().filter(|id| !self.read.contains(id));
        let mut outputs: Vec<ValueId> = unread.copied().collect();
        if self.random.chance(4) {
            outputs.push(self.any());
        }
        self.builder.finish(outputs).expect("generated graphs are valid")
    }

    fn operations(&self) -> usize {
        self.values.iter().filter(|id| id.0 as usize >= self.input_count()).count()
    }

    fn input_count(&self) -> usize {
        self.builder.input_count()
    }

    fn push(&mut self, primitive: Primitive, operands: &[ValueId]) -> ValueId {
        let name = format!("op{}", self.operations());
        let id = self.builder.push(&name, primitive, operands).expect("generated operations are valid");
        self.pushed(id, operands)
    }

    fn push_shaped(&mut self, primitive: Primitive, operand: ValueId, axes: &[usize]) -> ValueId {
        let name = format!("op{}", self.operations());
        let id = self.builder.push_shaped(&name, primitive, &[operand], &shape(axes));
        self.pushed(id.expect("generated operations are valid"), &[operand])
    }

    fn pushed(&mut self, id: ValueId, operands: &[ValueId]) -> ValueId {
        self.values.push(id);
        self.read.extend_from_slice(operands);
        id
    }

    /// Adds an operation of a kind, and before it what makes an existing value a fitting operand.
    fn grow(&mut self, kind: u64) -> ValueId {
        match kind {
            0 => self.constant_like(None),
            1 => self.linear(),
            2 => self.convolution(),
            3 => self.matrix_product(),
            4 => self.add(),
            5 => {
                let (a, b) = self.pair();
                let requantise = self.stage(1);
                self.push(Primitive::Multiply { requantise }, &[a, b])
            }
            6 => self.rescale(),
            7 => self.lookup(),
            8 => {
                let x = self.image();
                let window = self.window(x);
                self.push(Primitive::PoolMaximum { window }, &[x])
            }
            9 => {
                let x = self.image();
                let (window, requantise) = (self.window(x), self.stage(1));
                self.push(Primitive::PoolSum { window, requantise }, &[x])
            }
            10 => {
                let x = self.any();
                let (axes, requantise) = (self.some_axes(x), self.stage(1));
                self.push(Primitive::ReduceSum { axes, requantise }, &[x])
            }
            11 => {
                let x = self.any();
                let axes = self.some_axes(x);
                self.push(Primitive::ReduceMaximum { axes }, &[x])
            }
            12 => {
                let x = self.ranked();
                let axis = self.random.index(self.axes(x).len());
                self.push(Primitive::ArgMaximum { axis }, &[x])
            }
            13 => {
                let bits = u8::try_from(self.random.below(31)).expect("at most 30");
                let x = self.any();
                self.push(Primitive::Reciprocal { bits }, &[x])
            }
            14 => {
                let bits = u8::try_from(self.random.below(61)).expect("at most 60");
                let x = self.any();
                self.push(Primitive::ReciprocalSquareRoot { bits }, &[x])
            }
            15 => self.reshape(),
            16 => self.transpose(),
            17 => self.concatenate(),
            18 => self.slice(),
            19 => self.gather(),
            20 => self.pad(),
            21 => self.broadcast(),
            22 | 23 => self.extremum(kind),
            _ => self.tree_ensemble(),
        }
    }

    fn any(&mut self) -> ValueId {
        self.values[self.random.index(self.values.len())]
    }

    fn axes(&self, id: ValueId) -> Vec<usize> {
        self.builder.value_type(id).shape.axes().to_vec()
    }

    fn dtype(&self, id: ValueId) -> DType {
        self.builder.value_type(id).dtype
    }

    fn count(&self, id: ValueId) -> usize {
        self.builder.value_type(id).shape.count()
    }

    /// A value with at least one axis.
    fn ranked(&mut self) -> ValueId {
        match self.any() {
            scalar if self.axes(scalar).is_empty() => self.push_shaped(Primitive::Reshape, scalar, &[1, 1]),
            ranked => ranked,
        }
    }

    /// The value in one of the given types.
    fn cast(&mut self, id: ValueId, allowed: &[DType]) -> ValueId {
        if allowed.contains(&self.dtype(id)) {
            return id;
        }
        let mut requantise = self.stage(1);
        requantise.output = allowed[self.random.index(allowed.len())];
        (requantise.low, requantise.high) = requantise.output.bounds();
        self.push(Primitive::Rescale { requantise }, &[id])
    }

    /// `[1, C, spatial…]` of any element type.
    fn image(&mut self) -> ValueId {
        let id = self.any();
        if matches!(self.axes(id).as_slice(), [1, _, _, ..]) {
            return id;
        }
        let count = self.count(id);
        let height = (1..=count).filter(|side| count.is_multiple_of(*side)).find(|side| side * side >= count);
        let height = height.expect("a number divides itself");
        self.push_shaped(Primitive::Reshape, id, &[1, 1, height, count / height])
    }

    fn parameter(&mut self, dtype: DType, axes: &[usize]) -> ParameterId {
        let value_type = ValueType { dtype, shape: shape(axes) };
        let elements = self.random.elements(dtype, value_type.shape.count());
        self.builder
            .parameter(Tensor::from_elements(&value_type, &elements).expect("elements within the type"))
    }

    /// Biases that usually leave room for a sum, and sometimes make it wrap.
    fn bias(&mut self, channels: usize) -> ParameterId {
        let dtype = if self.random.chance(6) { DType::I32 } else { DType::I16 };
        let elements = self.random.elements(dtype, channels);
        let value_type = ValueType { dtype: DType::I32, shape: shape(&[channels]) };
        self.builder.parameter(Tensor::from_elements(&value_type, &elements).expect("int32 holds int16"))
    }

    /// An output stage with one entry, or one a channel.
    fn stage(&mut self, channels: usize) -> Requantise {
        let entries = if self.random.chance(2) { channels } else { 1 };
        let multipliers = (0..entries).map(|_| self.multiplier()).collect();
        let shifts = (0..entries).map(|_| self.shift()).collect();
        let output = self.random.dtype();
        let (lowest, highest) = output.bounds();
        let (mut low, mut high) = match self.random.below(4) {
            0 => (0, highest),
            1 => (self.random.between(lowest, highest), self.random.between(lowest, highest)),
            _ => (lowest, highest),
        };
        if low > high {
            (low, high) = (high, low);
        }
        Requantise { multipliers, shifts, low, high, output }
    }

    fn multiplier(&mut self) -> i32 {
        match self.random.below(12) {
            0 => 0,
            1 => 1,
            2 => i32::MAX,
            _ => self.random.between(1 << 29, i32::MAX),
        }
    }

    fn shift(&mut self) -> u8 {
        let wide = u8::try_from(self.random.below(16)).expect("below 16");
        match self.random.below(12) {
            0 => 0,
            1 => 1,
            2 => SHIFT_MAX,
            _ => 28 + wide,
        }
    }

    fn constant_like(&mut self, wanted: Option<(DType, Vec<usize>)>) -> ValueId {
        let (dtype, axes) = wanted.unwrap_or_else(|| {
            let random = value_type(&mut self.random);
            (random.dtype, random.shape.axes().to_vec())
        });
        let tensor = self.parameter(dtype, &axes);
        self.push(Primitive::Constant { tensor }, &[])
    }

    fn linear(&mut self) -> ValueId {
        let x = self.ranked();
        let x = self.cast(x, &[DType::I8, DType::I16]);
        let axes = self.axes(x);
        let (rows, depth) = (self.count(x) / axes[axes.len() - 1], axes[axes.len() - 1]);
        let widest = if self.random.chance(8) { 70 } else { 20 };
        let channels = self.random.size(widest.min((COUNT_MAX / rows).max(1)));
        let weight = self.parameter(DType::I8, &[channels, depth]);
        let (bias, requantise) = (self.bias(channels), self.stage(channels));
        self.push(Primitive::Linear { weight, bias, requantise }, &[x])
    }

    fn window(&mut self, x: ValueId) -> Window {
        let mut window = Window {
            kernel: Vec::new(),
            strides: Vec::new(),
            dilations: Vec::new(),
            pads_before: Vec::new(),
            pads_after: Vec::new(),
        };
        for length in self.axes(x).split_off(2) {
            let kernel = self.random.size(length.min(4));
            let dilation = self.random.size(((length - 1) / (kernel - 1).max(1)).clamp(1, 3));
            let reach = dilation * (kernel - 1) + 1;
            window.kernel.push(kernel);
            window.dilations.push(dilation);
            window.strides.push(self.random.size(3));
            window.pads_before.push(self.random.index(reach));
            window.pads_after.push(self.random.index(reach));
        }
        window
    }

    fn convolution(&mut self) -> ValueId {
        let x = self.image();
        let x = self.cast(x, &[DType::I8]);
        let window = self.window(x);
        let inputs = self.axes(x)[1];
        let groups = match self.random.below(3) {
            0 => inputs,
            1 => (1..=inputs).rev().find(|g| inputs.is_multiple_of(*g) && *g <= 2).unwrap_or(1),
            _ => 1,
        };
        let per_group = self.random.size(if groups > 4 { 2 } else { 6 });
        let channels = groups * per_group;
        let weight_axes = [&[channels, inputs / groups], window.kernel.as_slice()].concat();
        let weight = self.parameter(DType::I8, &weight_axes);
        let (bias, requantise) = (self.bias(channels), self.stage(channels));
        self.push(Primitive::Convolution { weight, bias, window, groups, requantise }, &[x])
    }

    fn matrix_product(&mut self) -> ValueId {
        let x = self.any();
        let x = self.cast(x, &[DType::I8, DType::I16]);
        let mut axes = self.axes(x);
        let x = match axes.len() {
            0 | 1 => {
                axes = vec![1, self.count(x)];
                self.push_shaped(Primitive::Reshape, x, &axes)
            }
            _ => x,
        };
        let (lead, [_, depth]) = axes.split_last_chunk::<2>().expect("at least two axes");
        let mut other: Vec<usize> = lead.to_vec();
        if !other.is_empty() && self.random.chance(2) {
            other[0] = 1;
        }
        if self.random.chance(3) {
            other.clear();
        }
        other.extend([*depth, self.random.size(12)]);
        let dtype = self.random.narrow();
        let y = self.constant_like(Some((dtype, other)));
        let requantise = self.stage(1);
        self.push(Primitive::MatrixProduct { requantise }, &[x, y])
    }

    /// Two operands that broadcast: a value and itself, or a constant with some axes of length 1 or left out.
    fn pair(&mut self) -> (ValueId, ValueId) {
        let x = self.any();
        if self.random.chance(4) {
            return (x, x);
        }
        let mut axes = self.axes(x);
        for axis in &mut axes {
            if self.random.chance(3) {
                *axis = 1;
            }
        }
        let kept = axes.split_off(self.random.index(axes.len() + 1));
        let dtype = self.random.dtype();
        let y = self.constant_like(Some((dtype, kept)));
        if self.random.chance(2) { (x, y) } else { (y, x) }
    }

    fn add(&mut self) -> ValueId {
        let (a, b) = self.pair();
        let (left, right) = match self.random.below(3) {
            0 => (1, -1),
            1 => (ADD_MULTIPLIER_MAX, -ADD_MULTIPLIER_MAX),
            _ => (self.random.between(-(1 << 20), 1 << 20), self.random.between(-(1 << 20), 1 << 20)),
        };
        let mut requantise = self.stage(1);
        requantise.multipliers = vec![1];
        requantise.shifts = vec![u8::try_from(self.random.below(33)).expect("at most 32")];
        self.push(Primitive::Add { left, right, requantise }, &[a, b])
    }

    fn rescale(&mut self) -> ValueId {
        let x = self.any();
        let channels = self.axes(x).get(1).copied().unwrap_or(1);
        let requantise = self.stage(channels);
        self.push(Primitive::Rescale { requantise }, &[x])
    }

    fn lookup(&mut self) -> ValueId {
        let x = self.any();
        let output = self.random.dtype();
        let (first, length) = match self.dtype(x) {
            DType::I8 if self.random.chance(2) => (-128, 256),
            DType::I16 if self.random.chance(8) => (-32768, 65536),
            _ => (self.random.between(-300, 300), self.random.size(600)),
        };
        let table = self.random.elements(output, length);
        self.push(Primitive::Lookup { first, table, output }, &[x])
    }

    fn some_axes(&mut self, x: ValueId) -> Vec<usize> {
        (0..self.axes(x).len()).filter(|_| self.random.chance(2)).collect()
    }

    fn reshape(&mut self) -> ValueId {
        let x = self.any();
        let count = self.count(x);
        let divisors: Vec<usize> = (1..=count).filter(|side| count.is_multiple_of(*side)).collect();
        let side = divisors[self.random.index(divisors.len())];
        self.push_shaped(Primitive::Reshape, x, &[side, 1, count / side])
    }

    fn transpose(&mut self) -> ValueId {
        let x = self.any();
        let mut permutation: Vec<usize> = (0..self.axes(x).len()).collect();
        for at in (1..permutation.len()).rev() {
            permutation.swap(at, self.random.index(at + 1));
        }
        self.push(Primitive::Transpose { permutation }, &[x])
    }

    fn concatenate(&mut self) -> ValueId {
        let x = self.ranked();
        let (dtype, mut axes) = (self.dtype(x), self.axes(x));
        let axis = self.random.index(axes.len());
        let mut operands = vec![x];
        for _ in 0..self.random.index(3) {
            axes[axis] = self.random.size(4);
            let other = self.constant_like(Some((dtype, axes.clone())));
            operands.insert(self.random.index(operands.len() + 1), other);
        }
        self.push(Primitive::Concatenate { axis }, &operands)
    }

    fn slice(&mut self) -> ValueId {
        let x = self.any();
        let (mut starts, mut steps, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for length in self.axes(x) {
            let start = self.random.index(length);
            let step = self.random.size(3);
            let down = self.random.chance(3);
            let room = if down { start } else { length - 1 - start };
            starts.push(start);
            steps.push(i64::try_from(step).expect("at most 3") * if down { -1 } else { 1 });
            lengths.push(self.random.size(room / step + 1));
        }
        self.push_shaped(Primitive::Slice { starts, steps }, x, &lengths)
    }

    fn gather(&mut self) -> ValueId {
        let x = self.ranked();
        let axes = self.axes(x);
        let axis = self.random.index(axes.len());
        let indices = (0..self.random.size(6)).map(|_| self.random.index(axes[axis])).collect();
        self.push(Primitive::Gather { axis, indices }, &[x])
    }

    fn pad(&mut self) -> ValueId {
        let x = self.any();
        let rank = self.axes(x).len();
        let widest = if rank > 4 { 2 } else { 3 };
        let before = (0..rank).map(|_| self.random.index(widest)).collect();
        let after = (0..rank).map(|_| self.random.index(widest)).collect();
        let value = self.random.element(self.dtype(x));
        self.push(Primitive::Pad { before, after, value }, &[x])
    }

    fn broadcast(&mut self) -> ValueId {
        let x = self.any();
        let mut axes = self.axes(x);
        for axis in &mut axes {
            if *axis == 1 && self.random.chance(2) {
                *axis = self.random.size(3);
            }
        }
        if axes.len() < 5 && self.random.chance(2) {
            axes.insert(0, self.random.size(3));
        }
        self.push_shaped(Primitive::Broadcast, x, &axes)
    }

    fn extremum(&mut self, kind: u64) -> ValueId {
        let (a, b) = self.pair();
        let b = self.cast(b, &[self.dtype(a)]);
        let primitive = if kind == 22 { Primitive::Maximum } else { Primitive::Minimum };
        self.push(primitive, &[a, b])
    }

    fn tree_ensemble(&mut self) -> ValueId {
        let x = self.any();
        let features = self.count(x);
        let x = match self.axes(x).as_slice() {
            [1, _] => x,
            _ => self.push_shaped(Primitive::Reshape, x, &[1, features]),
        };
        let mut forest = Forest { roots: vec![0], nodes: Vec::new(), leaves: 0 };
        for _ in 0..self.random.size(4) {
            forest.grow(&mut self.random, features, self.builder.value_type(x).dtype, 3);
            forest.roots.push(i32::try_from(forest.nodes.len()).expect("a small forest"));
        }
        let (outputs, leaves) = (self.random.size(4), usize::try_from(forest.leaves).expect("counted up"));
        let (roots, nodes) = (forest.roots, forest.nodes.concat());
        let mut table = |axes: &[usize], elements: &[i32]| {
            let value_type = ValueType { dtype: DType::I32, shape: shape(axes) };
            self.builder.parameter(Tensor::from_elements(&value_type, elements).expect("int32 tensors"))
        };
        let roots = table(&[roots.len()], &roots);
        let nodes = table(&[nodes.len() / 4, 4], &nodes);
        let leaves = self.parameter(DType::I32, &[leaves, outputs]);
        let (base, requantise) = (self.bias(outputs), self.stage(1));
        self.push(Primitive::TreeEnsemble { roots, nodes, leaves, base, requantise }, &[x])
    }
}

struct Forest {
    roots: Vec<i32>,
    nodes: Vec<[i32; 4]>,
    leaves: i32,
}

impl Forest {
    /// Appends a subtree in preorder and returns its first node.
    fn grow(&mut self, random: &mut Random, features: usize, dtype: DType, depth: u32) -> i32 {
        let at = self.nodes.len();
        let feature = i32::try_from(random.index(features)).expect("few features");
        self.nodes.push([feature, random.element(dtype), 0, 0]);
        for side in 2..4 {
            self.nodes[at][side] = if depth == 0 || random.chance(3) {
                self.leaves += 1;
                -self.leaves
            } else {
                self.grow(random, features, dtype, depth - 1)
            };
        }
        i32::try_from(at).expect("a small forest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_primitive_occurs_among_a_thousand_graphs() {
        let mut seen = std::collections::HashMap::new();
        for seed in 0..1000 {
            for operation in graph(seed).operations() {
                *seen.entry(std::mem::discriminant(&operation.primitive)).or_insert(0) += 1;
            }
        }
        assert_eq!(seen.len(), usize::try_from(KINDS).expect("25"));
        assert!(seen.values().all(|&count| count > 50), "{:?}", seen.values());
    }

    #[test]
    fn a_graph_of_a_kind_ends_in_that_kind() {
        let last: Vec<_> = (0..KINDS)
            .map(|kind| {
                let graph = graph_of_kind(kind, 1);
                std::mem::discriminant(&graph.operations().last().expect("an operation").primitive)
            })
            .collect();
        assert!(last.iter().enumerate().all(|(at, kind)| !last[..at].contains(kind)));
    }
}
