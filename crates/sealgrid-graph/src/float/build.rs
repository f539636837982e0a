//! Building a float graph step by step: shapes are inferred, every step is checked where it is made.

use std::collections::HashMap;

use super::check::output_shape;
use super::{Fault, Graph, GraphError, Operation, ParameterId, Primitive, Tensor, ValueId};
use crate::tensor::Shape;

/// A float graph under construction. Inputs are given at once, because they are the first values.
#[derive(Clone, Debug)]
pub struct Builder {
    inputs: Vec<Shape>,
    operations: Vec<Operation>,
    parameters: Vec<Tensor>,
}

impl Builder {
    /// Starts with the shapes of the inputs of one record.
    #[must_use]
    pub fn new(inputs: Vec<Shape>) -> Self {
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

    /// Adds a parameter tensor.
    pub fn parameter(&mut self, tensor: Tensor) -> ParameterId {
        self.parameters.push(tensor);
        ParameterId(u32::try_from(self.parameters.len() - 1).expect("parameters fit memory, hence 32 bits"))
    }

    /// Adds an operation whose result shape follows from its operands.
    ///
    /// # Errors
    /// [`Fault`] when the operation is not valid.
    pub fn push(&mut self, name: &str, primitive: Primitive, operands: &[ValueId]) -> Result<ValueId, Fault> {
        self.push_with(name, primitive, operands, None)
    }

    /// Adds an operation whose result has the stated shape: reshape, slice, broadcast.
    ///
    /// # Errors
    /// [`Fault`] when the operation is not valid.
    pub fn push_shaped(
        &mut self,
        name: &str,
        primitive: Primitive,
        operands: &[ValueId],
        shape: &Shape,
    ) -> Result<ValueId, Fault> {
        self.push_with(name, primitive, operands, Some(shape))
    }

    /// Shape of a value.
    ///
    /// # Panics
    /// When `id` is not a value of this graph.
    #[must_use]
    pub fn shape(&self, id: ValueId) -> &Shape {
        let index = id.0 as usize;
        match index.checked_sub(self.inputs.len()) {
            None => &self.inputs[index],
            Some(operation) => &self.operations[operation].output,
        }
    }

    /// The operation that yields a value, unless it is an input.
    #[must_use]
    pub fn operation(&self, id: ValueId) -> Option<&Operation> {
        self.operations.get((id.0 as usize).checked_sub(self.inputs.len())?)
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// One parameter tensor.
    ///
    /// # Panics
    /// When `id` is not a parameter of this graph.
    #[must_use]
    pub fn tensor(&self, id: ParameterId) -> &Tensor {
        &self.parameters[id.0 as usize]
    }

    /// The checked graph.
    ///
    /// # Errors
    /// [`GraphError`] when limits are exceeded or an output does not exist.
    pub fn finish(self, outputs: Vec<ValueId>) -> Result<Graph, GraphError> {
        Graph::new(self.inputs, self.operations, outputs, self.parameters)
    }

    /// The checked graph, without the operations and parameters that no output needs.
    ///
    /// # Errors
    /// [`GraphError`] when limits are exceeded or an output does not exist.
    pub fn pruned(self, outputs: &[ValueId]) -> Result<Graph, GraphError> {
        let needed = self.needed(outputs);
        let mut kept = Self::new(self.inputs.clone());
        let mut values: Vec<ValueId> = (0..self.inputs.len()).map(value_id).collect();
        let mut parameters = HashMap::new();
        for (index, mut operation) in self.operations.into_iter().enumerate() {
            values.push(value_id(kept.inputs.len() + kept.operations.len()));
            if !needed[self.inputs.len() + index] {
                continue;
            }
            for id in &mut operation.operands {
                *id = values[id.0 as usize];
            }
            for id in operation.primitive.parameters_mut() {
                let tensor = &self.parameters[id.0 as usize];
                *id = *parameters.entry(*id).or_insert_with(|| kept.parameter(tensor.clone()));
            }
            kept.operations.push(operation);
        }
        // An output that does not exist keeps its number, which is then refused.
        let moved = outputs.iter().map(|id| values.get(id.0 as usize).copied().unwrap_or(ValueId(u32::MAX)));
        let outputs = moved.collect();
        kept.finish(outputs)
    }

    /// Which values the outputs need.
    fn needed(&self, outputs: &[ValueId]) -> Vec<bool> {
        let mut needed = vec![false; self.inputs.len() + self.operations.len()];
        for id in outputs {
            if let Some(entry) = needed.get_mut(id.0 as usize) {
                *entry = true;
            }
        }
        for (index, operation) in self.operations.iter().enumerate().rev() {
            if needed[self.inputs.len() + index] {
                operation.operands.iter().for_each(|id| needed[id.0 as usize] = true);
            }
        }
        needed
    }

    fn push_with(
        &mut self,
        name: &str,
        primitive: Primitive,
        operands: &[ValueId],
        stated: Option<&Shape>,
    ) -> Result<ValueId, Fault> {
        let known = self.inputs.len() + self.operations.len();
        if let Some(unknown) = operands.iter().find(|id| id.0 as usize >= known) {
            return Err(Fault::UnknownOperand(unknown.0));
        }
        let shapes: Vec<&Shape> = operands.iter().map(|id| self.shape(*id)).collect();
        let output = output_shape(&primitive, &shapes, &self.parameters, stated)?;
        let operands = operands.to_vec();
        self.operations.push(Operation { name: name.to_owned(), primitive, operands, output });
        Ok(value_id(known))
    }
}

fn value_id(index: usize) -> ValueId {
    ValueId(u32::try_from(index).expect("values fit memory, hence 32 bits"))
}
