//! What a valid float operation is, and the shape of its result. [`Graph::new`] and the
//! [`Builder`](super::Builder) are the two callers.

use super::{
    Branch, Child, Fault, Graph, GraphError, Operation, ParameterId, Primitive, Tensor, Trees, ValueId,
    Window,
};
use crate::integer::{
    INPUTS_MAX, NAME_MAX, OPERANDS_MAX, OPERATIONS_MAX, PARAMETERS_MAX, WINDOW_MAX, broadcast,
};
use crate::tensor::{Shape, ShapeError};

impl Graph {
    /// A graph that is known to be valid: counts within the limits of the integer graph, operands before their
    /// use, shapes and parameters that fit, trees that end.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn new(
        inputs: Vec<Shape>,
        operations: Vec<Operation>,
        outputs: Vec<ValueId>,
        parameters: Vec<Tensor>,
    ) -> Result<Self, GraphError> {
        count("inputs", inputs.len(), 1, INPUTS_MAX)?;
        count("operations", operations.len(), 0, OPERATIONS_MAX)?;
        count("outputs", outputs.len(), 1, INPUTS_MAX)?;
        count("parameters", parameters.len(), 0, PARAMETERS_MAX)?;
        if let Some(index) = inputs.iter().position(|input| input.count() == 0) {
            return Err(GraphError::EmptyInput(index));
        }
        let graph = Self { inputs, operations, outputs, parameters };
        for (index, operation) in graph.operations.iter().enumerate() {
            graph.check_operation(index, operation).map_err(|fault| GraphError::Operation {
                index,
                name: operation.name.clone(),
                fault,
            })?;
        }
        let values = graph.inputs.len() + graph.operations.len();
        for (index, id) in graph.outputs.iter().enumerate() {
            if id.0 as usize >= values {
                return Err(GraphError::UnknownOutput { index, value: id.0 });
            }
        }
        Ok(graph)
    }

    fn check_operation(&self, index: usize, operation: &Operation) -> Result<(), Fault> {
        if operation.name.len() > NAME_MAX {
            return Err(Fault::Name);
        }
        let known = self.inputs.len() + index;
        if let Some(unknown) = operation.operands.iter().find(|id| id.0 as usize >= known) {
            return Err(Fault::UnknownOperand(unknown.0));
        }
        let operands: Vec<&Shape> = operation.operands.iter().map(|id| self.shape(*id)).collect();
        match output_shape(&operation.primitive, &operands, &self.parameters, Some(&operation.output))? {
            found if found == operation.output => Ok(()),
            _ => Err(Fault::Output),
        }
    }
}

/// The shape of an operation's result. `stated` is looked at where the primitive does not determine it
/// ([`Primitive::Reshape`], [`Primitive::Broadcast`], [`Primitive::Slice`]).
///
/// # Errors
/// [`Fault`] when the operation is not valid on these operands.
pub fn output_shape(
    primitive: &Primitive,
    operands: &[&Shape],
    parameters: &[Tensor],
    stated: Option<&Shape>,
) -> Result<Shape, Fault> {
    let result = Context { operands, parameters, stated }.output_shape(primitive)?;
    match result.count() {
        0 => Err(Fault::Empty),
        _ => Ok(result),
    }
}

struct Context<'a> {
    operands: &'a [&'a Shape],
    parameters: &'a [Tensor],
    stated: Option<&'a Shape>,
}

impl Context<'_> {
    fn output_shape(&self, primitive: &Primitive) -> Result<Shape, Fault> {
        match primitive {
            Primitive::Constant { tensor } => match self.operands {
                [] => Ok(self.parameter(*tensor)?.clone()),
                _ => Err(Fault::Operands { expected: 0, found: self.operands.len() }),
            },
            Primitive::Linear { weight, bias } => self.linear(*weight, *bias),
            Primitive::Convolution { weight, bias, window, groups } => {
                self.convolution(*weight, *bias, window, *groups)
            }
            Primitive::MatrixProduct => self.matrix_product(),
            Primitive::Add
            | Primitive::Subtract
            | Primitive::Multiply
            | Primitive::Divide
            | Primitive::Maximum
            | Primitive::Minimum => {
                let (a, b) = self.two()?;
                broadcast(a, b)
            }
            Primitive::Affine { axis, scale, offset } => self.affine(*axis, *scale, *offset),
            Primitive::Unary(_) => self.one().cloned(),
            Primitive::Softmax { axis } | Primitive::LogSoftmax { axis } => {
                self.axis(*axis)?;
                self.one().cloned()
            }
            Primitive::LayerNormalization { axis, epsilon: _, scale, offset } => {
                self.layer_normalization(*axis, *scale, *offset)
            }
            Primitive::PoolMaximum { window } | Primitive::PoolAverage { window } => {
                let x = self.one()?;
                Ok(Shape::new(&[&x.axes()[..2.min(x.rank())], &spatial_lengths(x, window)?].concat())?)
            }
            Primitive::Reduce { reduction: _, axes } => reduced(self.one()?, axes),
            Primitive::ArgMaximum { axis } => reduced(self.one()?, std::slice::from_ref(axis)),
            Primitive::Reshape => self.reshape(),
            Primitive::Transpose { permutation } => self.transpose(permutation),
            Primitive::Concatenate { axis } => self.concatenate(*axis),
            Primitive::Slice { starts, steps } => self.slice(starts, steps),
            Primitive::Gather { axis, indices } => self.gather(*axis, indices),
            Primitive::Pad { before, after, value: _ } => self.pad(before, after),
            Primitive::Broadcast => {
                let (x, shape) = (self.one()?, self.stated()?);
                match broadcast(x, shape)? == *shape {
                    true => Ok(shape.clone()),
                    false => Err(Fault::Broadcast),
                }
            }
            Primitive::TreeEnsemble { trees, leaves, base } => self.tree_ensemble(trees, *leaves, *base),
        }
    }

    fn one(&self) -> Result<&Shape, Fault> {
        match self.operands {
            [x] => Ok(x),
            _ => Err(Fault::Operands { expected: 1, found: self.operands.len() }),
        }
    }

    fn two(&self) -> Result<(&Shape, &Shape), Fault> {
        match self.operands {
            [a, b] => Ok((a, b)),
            _ => Err(Fault::Operands { expected: 2, found: self.operands.len() }),
        }
    }

    fn stated(&self) -> Result<&Shape, Fault> {
        self.stated.ok_or(Fault::ShapeMissing)
    }

    fn axis(&self, axis: usize) -> Result<usize, Fault> {
        self.one()?.axes().get(axis).copied().ok_or(Fault::Attribute("the axis exists"))
    }

    fn parameter(&self, id: ParameterId) -> Result<&Shape, Fault> {
        let why = "does not exist";
        Ok(self.parameters.get(id.0 as usize).ok_or(Fault::Parameter { id: id.0, why })?.shape())
    }

    fn expect(&self, id: ParameterId, axes: &[usize], why: &'static str) -> Result<(), Fault> {
        match self.parameter(id)?.axes() == axes {
            true => Ok(()),
            false => Err(Fault::Parameter { id: id.0, why }),
        }
    }

    fn linear(&self, weight: ParameterId, bias: ParameterId) -> Result<Shape, Fault> {
        let [channels, depth] = *self.parameter(weight)?.axes() else {
            return Err(Fault::Parameter { id: weight.0, why: "a weight has two axes" });
        };
        self.expect(bias, &[channels], "one element per output channel")?;
        let mut axes = self.one()?.axes().to_vec();
        match axes.last_mut() {
            Some(last) if *last == depth => *last = channels,
            _ => return Err(Fault::Operand { index: 0, why: "the last axis is the weight's last" }),
        }
        Ok(Shape::new(&axes)?)
    }

    fn convolution(
        &self,
        weight: ParameterId,
        bias: ParameterId,
        window: &Window,
        groups: usize,
    ) -> Result<Shape, Fault> {
        let x = self.one()?;
        let spatial = spatial_lengths(x, window)?;
        let weights = self.parameter(weight)?.axes();
        if weights.len() != x.rank() || weights[2..] != window.kernel[..] {
            return Err(Fault::Parameter { id: weight.0, why: "[O, C/groups, kernel…]" });
        }
        let (channels, inputs) = (weights[0], x.axes()[1]);
        if groups == 0 || channels % groups != 0 || weights[1].checked_mul(groups) != Some(inputs) {
            return Err(Fault::Attribute("groups divide input and output channels"));
        }
        self.expect(bias, &[channels], "one element per output channel")?;
        Ok(Shape::new(&[&[x.axes()[0], channels], spatial.as_slice()].concat())?)
    }

    fn matrix_product(&self) -> Result<Shape, Fault> {
        let (a, b) = self.two()?;
        let (Some((a_lead, &[m, k])), Some((b_lead, &[depth, n]))) =
            (a.axes().split_last_chunk::<2>(), b.axes().split_last_chunk::<2>())
        else {
            return Err(Fault::Operand { index: 0, why: "at least two axes" });
        };
        if k != depth {
            return Err(Fault::Operand { index: 1, why: "[…, M, K] · […, K, N]" });
        }
        let lead = broadcast(&Shape::new(a_lead)?, &Shape::new(b_lead)?)?;
        Ok(Shape::new(&[lead.axes(), &[m, n]].concat())?)
    }

    fn affine(&self, axis: usize, scale: ParameterId, offset: ParameterId) -> Result<Shape, Fault> {
        let channels = self.axis(axis)?;
        self.expect(scale, &[channels], "one element per channel")?;
        self.expect(offset, &[channels], "one element per channel")?;
        self.one().cloned()
    }

    fn layer_normalization(
        &self,
        axis: usize,
        scale: ParameterId,
        offset: ParameterId,
    ) -> Result<Shape, Fault> {
        self.axis(axis)?;
        let x = self.one()?;
        self.expect(scale, &x.axes()[axis..], "the shape of the normalised axes")?;
        self.expect(offset, &x.axes()[axis..], "the shape of the normalised axes")?;
        Ok(x.clone())
    }

    fn reshape(&self) -> Result<Shape, Fault> {
        let (x, shape) = (self.one()?, self.stated()?);
        match shape.count() == x.count() {
            true => Ok(shape.clone()),
            false => Err(Fault::Attribute("a reshape keeps the number of elements")),
        }
    }

    fn transpose(&self, permutation: &[usize]) -> Result<Shape, Fault> {
        let x = self.one()?;
        let mut sorted = permutation.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..x.rank()) {
            return Err(Fault::Attribute("a transpose names each axis once"));
        }
        let axes: Vec<usize> = permutation.iter().map(|&axis| x.axes()[axis]).collect();
        Ok(Shape::new(&axes)?)
    }

    fn concatenate(&self, axis: usize) -> Result<Shape, Fault> {
        let (first, rest) = self.operands.split_first().ok_or(Fault::Operands { expected: 1, found: 0 })?;
        if self.operands.len() > OPERANDS_MAX {
            return Err(Fault::Operands { expected: OPERANDS_MAX, found: self.operands.len() });
        }
        let mut axes = first.axes().to_vec();
        if axis >= axes.len() {
            return Err(Fault::Attribute("the axis exists"));
        }
        for (index, operand) in rest.iter().enumerate() {
            let other = operand.axes();
            let fits = other.len() == axes.len()
                && other.iter().zip(&axes).enumerate().all(|(at, (a, b))| at == axis || a == b);
            if !fits {
                return Err(Fault::Operand { index: index + 1, why: "equal but for the axis" });
            }
            axes[axis] += other[axis];
        }
        Ok(Shape::new(&axes)?)
    }

    fn slice(&self, starts: &[usize], steps: &[i64]) -> Result<Shape, Fault> {
        let (x, shape) = (self.one()?, self.stated()?);
        let rank = x.rank();
        if starts.len() != rank || steps.len() != rank || shape.rank() != rank {
            return Err(Fault::Attribute("a slice has one start, step and length per axis"));
        }
        for axis in 0..rank {
            let (length, taken) = (x.axes()[axis], shape.axes()[axis]);
            let inside = |at: i128| (0..length as i128).contains(&at);
            let (start, step) = (starts[axis] as i128, i128::from(steps[axis]));
            let last = start + (taken as i128 - 1) * step;
            if step == 0 || taken == 0 || !inside(start) || !inside(last) {
                return Err(Fault::Attribute("a slice lies within its operand"));
            }
        }
        Ok(shape.clone())
    }

    fn gather(&self, axis: usize, indices: &[usize]) -> Result<Shape, Fault> {
        let length = self.axis(axis)?;
        if indices.iter().any(|&index| index >= length) {
            return Err(Fault::Attribute("gathered positions lie within the axis"));
        }
        let mut axes = self.one()?.axes().to_vec();
        axes[axis] = indices.len();
        Ok(Shape::new(&axes)?)
    }

    fn pad(&self, before: &[usize], after: &[usize]) -> Result<Shape, Fault> {
        let x = self.one()?;
        if before.len() != x.rank() || after.len() != x.rank() {
            return Err(Fault::Attribute("a border has two widths per axis"));
        }
        let lengths = x.axes().iter().zip(before).zip(after);
        let axes: Option<Vec<usize>> =
            lengths.map(|((length, b), a)| length.checked_add(*b)?.checked_add(*a)).collect();
        Ok(Shape::new(&axes.ok_or(ShapeError::Elements)?)?)
    }

    fn tree_ensemble(&self, trees: &Trees, leaves: ParameterId, base: ParameterId) -> Result<Shape, Fault> {
        let [records, features] = *self.one()?.axes() else {
            return Err(Fault::Operand { index: 0, why: "[B, F]" });
        };
        let &[outputs] = self.parameter(base)?.axes() else {
            return Err(Fault::Parameter { id: base.0, why: "[outputs]" });
        };
        let leaf_count = match *self.parameter(leaves)?.axes() {
            [count, width] if width == outputs => count,
            _ => return Err(Fault::Parameter { id: leaves.0, why: "[leaves, outputs]" }),
        };
        check_roots(&trees.roots, trees.nodes.len()).map_err(Fault::Attribute)?;
        for bounds in trees.roots.windows(2) {
            for at in bounds[0]..bounds[1] {
                check_branch(&trees.nodes[at], at, bounds[1], features, leaf_count)
                    .map_err(Fault::Attribute)?;
            }
        }
        Ok(Shape::new(&[records, outputs])?)
    }
}

fn check_roots(roots: &[usize], nodes: usize) -> Result<(), &'static str> {
    if roots.first() != Some(&0) || roots.last() != Some(&nodes) {
        return Err("the roots begin with 0 and end with the number of nodes");
    }
    match roots.windows(2).all(|pair| pair[0] < pair[1]) {
        true => Ok(()),
        false => Err("every tree has a node"),
    }
}

/// Children lie behind their parent and inside its tree, so every walk ends.
fn check_branch(
    branch: &Branch,
    at: usize,
    tree_end: usize,
    features: usize,
    leaves: usize,
) -> Result<(), &'static str> {
    if branch.feature >= features {
        return Err("a node reads a feature that does not exist");
    }
    let exists = |child: Child| match child {
        Child::Node(node) => node > at && node < tree_end,
        Child::Leaf(leaf) => leaf < leaves,
    };
    match exists(branch.left) && exists(branch.right) {
        true => Ok(()),
        false => Err("a child is a leaf or lies behind its parent in the same tree"),
    }
}

/// Output lengths of a window's spatial axes over `[B, C, spatial…]`:
/// `floor((length + before + after − (dilation·(kernel − 1) + 1)) / stride) + 1`.
fn spatial_lengths(shape: &Shape, window: &Window) -> Result<Vec<usize>, Fault> {
    let Some((_, spatial)) = shape.axes().split_first_chunk::<2>() else {
        return Err(Fault::Operand { index: 0, why: "[B, C, spatial…]" });
    };
    let lists = [&window.kernel, &window.strides, &window.dilations, &window.pads_before, &window.pads_after];
    if spatial.is_empty() || lists.iter().any(|list| list.len() != spatial.len()) {
        return Err(Fault::Window("one entry per spatial axis"));
    }
    if lists.iter().any(|list| list.iter().any(|&entry| entry > WINDOW_MAX)) {
        return Err(Fault::Window("an entry exceeds 32,768"));
    }
    if lists[..3].iter().any(|list| list.contains(&0)) {
        return Err(Fault::Window("kernel, strides and dilations are at least 1"));
    }
    (0..spatial.len())
        .map(|axis| {
            let reach = window.dilations[axis] * (window.kernel[axis] - 1) + 1;
            let padded = spatial[axis] + window.pads_before[axis] + window.pads_after[axis];
            let free = padded.checked_sub(reach).ok_or(Fault::Window("longer than the padded operand"))?;
            Ok(free / window.strides[axis] + 1)
        })
        .collect()
}

fn reduced(shape: &Shape, axes: &[usize]) -> Result<Shape, Fault> {
    let ascending = axes.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascending || axes.iter().any(|&axis| axis >= shape.rank()) {
        return Err(Fault::Attribute("reduced axes exist and ascend"));
    }
    let mut lengths = shape.axes().to_vec();
    for &axis in axes {
        lengths[axis] = 1;
    }
    Ok(Shape::new(&lengths)?)
}

fn count(what: &'static str, found: usize, least: usize, limit: usize) -> Result<(), GraphError> {
    match (least..=limit).contains(&found) {
        true => Ok(()),
        false => Err(GraphError::Count { what, found, limit }),
    }
}
