//! Building a graph step by step: result types are inferred, every step is checked where it is made.

use super::check::{Fault, GraphError, output_type};
use super::{Graph, Operation, ParameterId, Primitive, ValueId, ValueType};
use crate::tensor::{Shape, Tensor};

/// A graph under construction. Inputs are given at once, because they are the first values.
#[derive(Debug)]
pub struct Builder {
    inputs: Vec<ValueType>,
    operations: Vec<Operation>,
    parameters: Vec<Tensor>,
}

impl Builder {
    /// Starts with the inputs of one record.
    #[must_use]
    pub fn new(inputs: Vec<ValueType>) -> Self {
        Self { inputs, operations: Vec::new(), parameters: Vec::new() }
    }

    /// The value of an input.
    ///
    /// # Panics
    /// When there is no such input.
    #[must_use]
    pub fn input(&self, index: usize) -> ValueId {
        assert!(index < self.inputs.len(), "input {index} exists");
        value_id(index)
    }

    /// Number of inputs.
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// Number of operations so far.
    #[must_use]
    pub fn operation_count(&self) -> usize {
        self.operations.len()
    }

    /// Adds a parameter tensor.
    pub fn parameter(&mut self, tensor: Tensor) -> ParameterId {
        self.parameters.push(tensor);
        ParameterId(u32::try_from(self.parameters.len() - 1).expect("parameters fit memory, hence 32 bits"))
    }

    /// Adds an operation whose result type follows from its operands.
    ///
    /// # Errors
    /// [`GraphError::Operation`] when the operation is not valid.
    pub fn push(
        &mut self,
        name: &str,
        primitive: Primitive,
        operands: &[ValueId],
    ) -> Result<ValueId, GraphError> {
        self.push_with(name, primitive, operands, None)
    }

    /// Adds an operation whose result has the stated shape: reshape, slice, broadcast.
    ///
    /// # Errors
    /// [`GraphError::Operation`] when the operation is not valid.
    pub fn push_shaped(
        &mut self,
        name: &str,
        primitive: Primitive,
        operands: &[ValueId],
        shape: &Shape,
    ) -> Result<ValueId, GraphError> {
        self.push_with(name, primitive, operands, Some(shape))
    }

    /// Type of a value.
    ///
    /// # Panics
    /// When `id` is not a value of this graph.
    #[must_use]
    pub fn value_type(&self, id: ValueId) -> &ValueType {
        let index = id.0 as usize;
        match index.checked_sub(self.inputs.len()) {
            None => &self.inputs[index],
            Some(operation) => &self.operations[operation].output,
        }
    }

    /// The checked graph.
    ///
    /// # Errors
    /// [`GraphError`] when limits are exceeded or an output does not exist.
    pub fn finish(self, outputs: Vec<ValueId>) -> Result<Graph, GraphError> {
        Graph::new(self.inputs, self.operations, outputs, self.parameters)
    }

    fn push_with(
        &mut self,
        name: &str,
        primitive: Primitive,
        operands: &[ValueId],
        shape: Option<&Shape>,
    ) -> Result<ValueId, GraphError> {
        let output = self.infer(&primitive, operands, shape).map_err(|fault| GraphError::Operation {
            index: self.operations.len(),
            name: name.to_owned(),
            fault,
        })?;
        let operands = operands.to_vec();
        self.operations.push(Operation { name: name.to_owned(), primitive, operands, output });
        Ok(value_id(self.inputs.len() + self.operations.len() - 1))
    }

    fn infer(
        &self,
        primitive: &Primitive,
        operands: &[ValueId],
        shape: Option<&Shape>,
    ) -> Result<ValueType, Fault> {
        let known = self.inputs.len() + self.operations.len();
        if let Some(unknown) = operands.iter().find(|id| id.0 as usize >= known) {
            return Err(Fault::UnknownOperand(unknown.0));
        }
        let types: Vec<&ValueType> = operands.iter().map(|id| self.value_type(*id)).collect();
        output_type(primitive, &types, &self.parameters, shape)
    }
}

fn value_id(index: usize) -> ValueId {
    ValueId(u32::try_from(index).expect("values fit memory, hence 32 bits"))
}
