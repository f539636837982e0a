//! Operations on single elements, and on pairs of elements with broadcasting.

use super::Task;
use crate::fast::kernels::{self, Available, DataMut};
use crate::fast::memory::{Operand, chunks, load, store};
use crate::fast::walk::{Axis, Walk, broadcast_strides, strides};
use crate::integer::{Primitive, Requantise, ValueType};
use crate::reference;
use crate::tensor::{DType, DataRef};

/// An operation on pairs.
pub(in crate::fast) struct Binary {
    /// Output, first and second operand of one record.
    walk: Walk<3>,
    /// Elements of one record, where all three lie alike.
    alike: Option<usize>,
    count: usize,
    pairing: Pairing,
}

enum Pairing {
    Add { left: i32, right: i32, stage: Requantise },
    Multiply(Requantise),
    Maximum,
    Minimum,
}

impl Binary {
    pub(super) fn new(primitive: &Primitive, operands: [&ValueType; 2], output: &ValueType) -> Self {
        let pairing = match primitive {
            Primitive::Add { left, right, requantise } => {
                Pairing::Add { left: *left, right: *right, stage: requantise.clone() }
            }
            Primitive::Multiply { requantise } => Pairing::Multiply(requantise.clone()),
            Primitive::Maximum => Pairing::Maximum,
            _ => Pairing::Minimum,
        };
        let axes = output.shape.axes();
        let own = strides(axes);
        let [a, b] = operands.map(|operand| broadcast_strides(operand.shape.axes(), axes.len()));
        let joined =
            (0..axes.len()).map(|axis| Axis { length: axes[axis], strides: [own[axis], a[axis], b[axis]] });
        let count = output.shape.count();
        let alike = operands.iter().all(|operand| operand.shape.count() == count).then_some(count);
        Self { walk: Walk::new([0; 3], joined), alike, count, pairing }
    }

    pub(super) fn run(&self, mut task: Task<'_>) {
        let (a, b) = (task.operand(0), task.operand(1));
        if let (Some(count), true) = (self.alike, task.records == 1 || (a.step > 0 && b.step > 0)) {
            let flat = Axis { length: count * task.records, strides: [1; 3] };
            return self.column(&mut task, [a, b], [0; 3], flat);
        }
        for record in 0..task.records {
            self.walk.for_each(|[to, from_a, from_b]| {
                let start = [record * self.count + to, record * a.step + from_a, record * b.step + from_b];
                self.column(&mut task, [a, b], start, self.walk.column());
            });
        }
    }

    fn column(&self, task: &mut Task<'_>, [a, b]: [Operand<'_>; 2], start: [usize; 3], column: Axis<3>) {
        let available = task.available;
        for range in chunks(column.length) {
            let [_, from_a, from_b] =
                [0, 1, 2].map(|view| start[view] + range.start * column.strides[view].unsigned_abs());
            let left = &mut task.scratch.a[..range.len()];
            let right = &mut task.scratch.b[..range.len()];
            load(available, a.data, from_a, column.strides[1], left);
            load(available, b.data, from_b, column.strides[2], right);
            self.pair(available, left, right);
            store(available, left, &mut task.output, start[0] + range.start);
        }
    }

    fn pair(&self, available: Available, a: &mut [i32], b: &[i32]) {
        match &self.pairing {
            Pairing::Add { left, right, stage } => {
                kernels::add(available, a, b, [*left, *right], stage.shifts[0], [stage.low, stage.high]);
            }
            Pairing::Multiply(stage) => {
                kernels::multiply(available, a, b);
                requantise(available, a, stage, 0);
            }
            Pairing::Maximum => kernels::maximum(available, a, b),
            Pairing::Minimum => kernels::minimum(available, a, b),
        }
    }
}

fn requantise(available: Available, values: &mut [i32], stage: &Requantise, entry: usize) {
    let (multiplier, shift) = (stage.multipliers[entry], stage.shifts[entry]);
    kernels::requantise(available, values, multiplier, shift, [stage.low, stage.high]);
}

/// A function of one element.
pub(in crate::fast) struct Unary {
    function: Function,
}

enum Function {
    /// Every function from bytes to bytes is a table.
    Bytes(Box<[i8; 256]>),
    Rescale(Requantise),
    Lookup {
        first: i32,
        table: Vec<i32>,
    },
    Reciprocal(u8),
    ReciprocalSquareRoot(u8),
}

impl Unary {
    pub(super) fn new(primitive: &Primitive, x: &ValueType, output: &ValueType) -> Self {
        let function = match primitive {
            Primitive::Lookup { first, table, output: _ } => {
                Function::Lookup { first: *first, table: table.clone() }
            }
            Primitive::Reciprocal { bits } => Function::Reciprocal(*bits),
            Primitive::ReciprocalSquareRoot { bits } => Function::ReciprocalSquareRoot(*bits),
            Primitive::Rescale { requantise } => Function::Rescale(requantise.clone()),
            _ => unreachable!("functions of one element are listed above"),
        };
        match (&function, x.dtype, output.dtype) {
            (Function::Lookup { first, table }, DType::I8, DType::I8) => {
                let entries = std::array::from_fn(|index| {
                    let x = i32::try_from(index).expect("below 256") - 128;
                    i8::try_from(reference::looked_up(x, *first, table)).expect("checked table entries")
                });
                Self { function: Function::Bytes(Box::new(entries)) }
            }
            _ => Self { function },
        }
    }

    pub(super) fn run(&self, mut task: Task<'_>) {
        let x = task.operand(0).data;
        if let (Function::Bytes(table), DataRef::I8(x), DataMut::I8(output)) =
            (&self.function, x, &mut task.output)
        {
            return kernels::look_up_bytes(task.available, x, output, table);
        }
        for range in chunks(x.len()) {
            let values = &mut task.scratch.a[..range.len()];
            load(task.available, x, range.start, 1, values);
            self.apply(task.available, values);
            store(task.available, values, &mut task.output, range.start);
        }
    }

    fn apply(&self, available: Available, values: &mut [i32]) {
        match &self.function {
            Function::Bytes(_) => unreachable!("tables of bytes map bytes to bytes"),
            Function::Rescale(stage) => requantise(available, values, stage, 0),
            Function::Lookup { first, table } => kernels::look_up(available, values, *first, table),
            Function::Reciprocal(bits) => {
                values.iter_mut().for_each(|value| *value = reference::reciprocal(*value, *bits));
            }
            Function::ReciprocalSquareRoot(bits) => {
                values.iter_mut().for_each(|value| *value = reference::reciprocal_square_root(*value, *bits));
            }
        }
    }
}

/// A rescale with one entry per index of axis 1.
pub(in crate::fast) struct RescaleChannels {
    stage: Requantise,
    /// Elements of one index.
    inner: usize,
}

impl RescaleChannels {
    pub(super) fn new(stage: &Requantise, output: &ValueType) -> Self {
        Self { stage: stage.clone(), inner: output.shape.axes()[2..].iter().product() }
    }

    pub(super) fn run(&self, mut task: Task<'_>) {
        let x = task.operand(0).data;
        let channels = self.stage.multipliers.len();
        for (index, start) in (0..x.len()).step_by(self.inner).enumerate() {
            for range in chunks(self.inner) {
                let values = &mut task.scratch.a[..range.len()];
                load(task.available, x, start + range.start, 1, values);
                requantise(task.available, values, &self.stage, index % channels);
                store(task.available, values, &mut task.output, start + range.start);
            }
        }
    }
}
