//! What each primitive does in a run. A plan holds one [`Step`] per operation; each file pairs what is worked
//! out once (`new`) with what is done for each batch (`run`).

mod convolution;
mod elementwise;
mod linear;
mod movement;
mod pooling;
mod reduction;
mod trees;

use super::kernels::{Aligned, Available, DataMut, Panels};
use super::memory::{CHUNK, Operand, Source, Values, chunks, load, store};
use crate::integer::{Operation, Primitive, ValueType};
use crate::reference;
use crate::tensor::{Shape, Tensor};

/// One operation, ready to run.
pub(super) enum Step {
    /// The result is the operand, or a parameter, where it lies.
    Alias,
    Linear(linear::Linear),
    MatrixProduct(linear::MatrixProduct),
    Convolution(convolution::Convolution),
    Binary(elementwise::Binary),
    Unary(elementwise::Unary),
    RescaleChannels(elementwise::RescaleChannels),
    Pool(pooling::Pool),
    Reduce(reduction::Reduce),
    ArgMaximum(reduction::ArgMaximum),
    Move(movement::Move),
    Gather(movement::Gather),
    Trees(trees::Trees),
    /// Windows whose padded image would be out of proportion: carried out by the reference, record by record.
    Plain(Box<Plain>),
}

/// Memory of one step that is kept between runs.
#[derive(Default)]
pub(super) struct Own {
    /// A convolution's padded image.
    image: Aligned,
    /// A matrix product's right side.
    panels: Option<Panels>,
}

/// What a step reads and writes in one pass.
pub(super) struct Task<'a> {
    pub(super) available: Available,
    pub(super) values: Values<'a>,
    pub(super) sources: &'a [Source],
    /// Records to compute: 1 where all operands are constants.
    pub(super) records: usize,
    pub(super) output: DataMut<'a>,
    pub(super) scratch: &'a mut Scratch,
    pub(super) own: &'a mut Own,
}

/// Memory that steps use in turn.
pub(super) struct Scratch {
    /// Units of a linear operation's left side, or of a convolution's tile.
    units: Aligned,
    a: Vec<i32>,
    b: Vec<i32>,
    /// Accumulators and rows of any length.
    wide: Vec<i32>,
    bytes: Vec<i8>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            units: Aligned::default(),
            a: vec![0; CHUNK],
            b: vec![0; CHUNK],
            wide: Vec::new(),
            bytes: Vec::new(),
        }
    }
}

impl<'a> Task<'a> {
    fn operand(&self, index: usize) -> Operand<'a> {
        let source = &self.sources[index];
        Values { records: if source.constant { 1 } else { self.records }, ..self.values }.of(source)
    }
}

impl Step {
    /// Works out once what does not depend on the batch.
    pub(super) fn new(
        available: Available,
        operation: &Operation,
        operands: &[&ValueType],
        parameters: &[Tensor],
    ) -> Self {
        let output = &operation.output;
        let parameter = |id: &crate::integer::ParameterId| &parameters[id.0 as usize];
        match &operation.primitive {
            Primitive::Constant { tensor: _ } | Primitive::Reshape => Self::Alias,
            Primitive::Linear { weight, bias, requantise } => {
                let (weight, bias) = (parameter(weight), parameter(bias));
                Self::Linear(linear::Linear::new(available, operands[0], weight, bias, requantise))
            }
            Primitive::Convolution { weight, bias, window, groups, requantise } => {
                let (weight, bias) = (parameter(weight), parameter(bias));
                if convolution::is_linear(operands[0], window, *groups, output) {
                    let row = flattened(operands[0]);
                    return Self::Linear(linear::Linear::new(available, &row, weight, bias, requantise));
                }
                let given = convolution::Given { weight, bias, window, groups: *groups, requantise };
                match convolution::Convolution::new(available, operands[0], &given, output) {
                    Some(step) => Self::Convolution(step),
                    None => Self::Plain(Box::new(Plain::new(operation, operands[0]))),
                }
            }
            Primitive::MatrixProduct { requantise } => Self::MatrixProduct(linear::MatrixProduct::new(
                available,
                [operands[0], operands[1]],
                requantise,
                output,
            )),
            Primitive::Add { .. } | Primitive::Multiply { .. } | Primitive::Maximum | Primitive::Minimum => {
                Self::Binary(elementwise::Binary::new(
                    &operation.primitive,
                    [operands[0], operands[1]],
                    output,
                ))
            }
            Primitive::Rescale { requantise } if requantise.multipliers.len() > 1 => {
                Self::RescaleChannels(elementwise::RescaleChannels::new(requantise, output))
            }
            Primitive::Rescale { .. }
            | Primitive::Lookup { .. }
            | Primitive::Reciprocal { .. }
            | Primitive::ReciprocalSquareRoot { .. } => {
                Self::Unary(elementwise::Unary::new(&operation.primitive, operands[0], output))
            }
            Primitive::PoolMaximum { window } => {
                match pooling::Pool::new(operands[0], window, None, output) {
                    Some(step) => Self::Pool(step),
                    None => Self::Plain(Box::new(Plain::new(operation, operands[0]))),
                }
            }
            Primitive::PoolSum { window, requantise } => {
                match pooling::Pool::new(operands[0], window, Some(requantise), output) {
                    Some(step) => Self::Pool(step),
                    None => Self::Plain(Box::new(Plain::new(operation, operands[0]))),
                }
            }
            Primitive::ReduceSum { axes, requantise } => {
                Self::Reduce(reduction::Reduce::new(operands[0], axes, Some(requantise), output))
            }
            Primitive::ReduceMaximum { axes } => {
                Self::Reduce(reduction::Reduce::new(operands[0], axes, None, output))
            }
            Primitive::ArgMaximum { axis } => {
                Self::ArgMaximum(reduction::ArgMaximum::new(operands[0], *axis))
            }
            Primitive::Transpose { permutation } => {
                Self::Move(movement::Move::transpose(operands[0], permutation, output))
            }
            Primitive::Concatenate { axis } => {
                Self::Move(movement::Move::concatenate(operands, *axis, output))
            }
            Primitive::Slice { starts, steps } => {
                Self::Move(movement::Move::slice(operands[0], starts, steps, output))
            }
            Primitive::Gather { axis, indices } => {
                Self::Gather(movement::Gather::new(operands[0], *axis, indices))
            }
            Primitive::Pad { before, after: _, value } => {
                Self::Move(movement::Move::pad(operands[0], before, *value, output))
            }
            Primitive::Broadcast => Self::Move(movement::Move::broadcast(operands[0], output)),
            Primitive::TreeEnsemble { roots, nodes, leaves, base, requantise } => {
                let tensors = [roots, nodes, leaves, base].map(parameter);
                Self::Trees(trees::Trees::new(tensors, requantise))
            }
        }
    }

    /// Computes the result for the task's records.
    pub(super) fn run(&self, task: Task<'_>) {
        match self {
            Self::Alias => {}
            Self::Linear(step) => step.run(task),
            Self::MatrixProduct(step) => step.run(task),
            Self::Convolution(step) => step.run(task),
            Self::Binary(step) => step.run(task),
            Self::Unary(step) => step.run(task),
            Self::RescaleChannels(step) => step.run(task),
            Self::Pool(step) => step.run(task),
            Self::Reduce(step) => step.run(task),
            Self::ArgMaximum(step) => step.run(task),
            Self::Move(step) => step.run(task),
            Self::Gather(step) => step.run(task),
            Self::Trees(step) => step.run(task),
            Self::Plain(step) => step.run(task),
        }
    }
}

/// A value as one row of all its elements.
fn flattened(value: &ValueType) -> ValueType {
    let shape = Shape::new(&[1, value.shape.count()]).expect("as many elements as before");
    ValueType { dtype: value.dtype, shape }
}

/// The reference itself, one record after the other.
pub(super) struct Plain {
    operation: Operation,
    operand: Shape,
}

impl Plain {
    fn new(operation: &Operation, x: &ValueType) -> Self {
        Self { operation: operation.clone(), operand: x.shape.clone() }
    }

    fn run(&self, mut task: Task<'_>) {
        let x = task.operand(0);
        let (from, to) = (self.operand.count(), self.operation.output.shape.count());
        for record in 0..task.records {
            let elements = x.data.part(record * from..(record + 1) * from);
            let operand = Tensor::new(self.operand.clone(), elements).expect("a value has its shape");
            let result = reference::evaluate(&self.operation, &[operand], task.values.parameters);
            for chunk in chunks(to) {
                let a = &mut task.scratch.a[..chunk.len()];
                load(task.available, result.data().view(), chunk.start, 1, a);
                store(task.available, a, &mut task.output, record * to + chunk.start);
            }
        }
    }
}
