//! The walk over the nodes of a model.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::literal::{Elements, Literal};
use super::node::{Content, Node, Value, node_name};
use super::operators;
use super::problem::{ImportProblems, Kind, PROBLEMS_MAX, Problem, Refusal};
use super::schema::{GraphProto, ModelProto, NodeProto, ValueInfoProto, data_type};
use super::{Imported, OPSETS, OPSETS_ML, Output};
use crate::float::{Builder, Function, Graph, ParameterId, Primitive, Tensor, ValueId};
use crate::integer::NAME_MAX;
use crate::tensor::Shape;

/// What lowering a node yields: one value a result.
pub(super) type Lowered = Result<Vec<Value>, Refusal>;

/// Lowers a decoded model.
pub(super) fn model(model: &ModelProto, file_bytes: usize) -> Result<Imported, ImportProblems> {
    let Some(graph) = &model.graph else {
        return Err(ImportProblems::one(Kind::Malformed, "the file has no graph", "export the model again"));
    };
    let mut walk = Walk::new(graph, file_bytes);
    walk.opsets(model);
    walk.initializers();
    walk.inputs();
    for node in &graph.node {
        walk.node(node);
    }
    walk.finish(model)
}

/// Operations under construction, and what lowering functions need to add to them.
pub(super) struct Lowering {
    pub builder: Builder,
    /// Name of the node at work, cut to fit.
    name: String,
    budget: Budget,
    /// Class names that a node has stated.
    pub labels: Option<Vec<String>>,
}

/// What computing at import may still cost, in proportion to the file.
#[derive(Clone, Copy)]
struct Budget {
    elements: usize,
    work: usize,
}

impl Budget {
    fn new(file_bytes: usize) -> Self {
        Self { elements: (1 << 16) + 4 * file_bytes, work: (1 << 22) + 1024 * file_bytes }
    }

    fn take(&mut self, elements: usize, work: usize) -> Result<(), Refusal> {
        match (self.elements.checked_sub(elements), self.work.checked_sub(work)) {
            (Some(elements), Some(work)) => {
                *self = Self { elements, work };
                Ok(())
            }
            _ => {
                let what = "constants grow out of proportion to the file";
                Err(Refusal::new(Kind::Limit, what, "simplify the model (onnxsim)"))
            }
        }
    }
}

impl Lowering {
    /// Adds an operation.
    pub fn push(&mut self, primitive: Primitive, operands: &[ValueId]) -> Result<ValueId, Refusal> {
        Ok(self.builder.push(&self.name, primitive, operands)?)
    }

    /// Adds an operation whose shape must be stated.
    pub fn push_shaped(
        &mut self,
        primitive: Primitive,
        operand: ValueId,
        shape: &Shape,
    ) -> Result<ValueId, Refusal> {
        Ok(self.builder.push_shaped(&self.name, primitive, &[operand], shape)?)
    }

    pub fn unary(&mut self, function: Function, x: ValueId) -> Result<ValueId, Refusal> {
        self.push(Primitive::Unary(function), &[x])
    }

    /// The same elements under another shape; nothing is added when it is the same shape.
    pub fn reshape(&mut self, x: ValueId, axes: &[usize]) -> Result<ValueId, Refusal> {
        if self.axes(x) == axes {
            return Ok(x);
        }
        self.push_shaped(Primitive::Reshape, x, &Shape::new(axes)?)
    }

    pub fn axes(&self, id: ValueId) -> &[usize] {
        self.builder.shape(id).axes()
    }

    /// A parameter from elements.
    pub fn parameter(&mut self, axes: &[usize], elements: Vec<f32>) -> Result<ParameterId, Refusal> {
        if elements.iter().any(|element| !element.is_finite()) {
            let what = "weights computed at import are not finite";
            return Err(Refusal::new(Kind::NotFinite, what, "look for a division by zero in the model"));
        }
        self.claim(elements.len())?;
        Ok(self.builder.parameter(Tensor::new(Shape::new(axes)?, elements)?))
    }

    /// A known tensor as a value of the graph.
    pub fn constant(&mut self, literal: &Literal) -> Result<ValueId, Refusal> {
        let tensor = self.parameter(literal.shape.axes(), literal.tensor()?.into_elements())?;
        self.push(Primitive::Constant { tensor }, &[])
    }

    /// Operand `index` as a value of the graph.
    pub fn value(&mut self, node: &Node<'_>, index: usize) -> Result<ValueId, Refusal> {
        match node.operand(index)? {
            Value::Known(literal) => self.constant(literal),
            Value::Computed { id, .. } => Ok(*id),
            Value::Refused => unreachable!("nodes behind refused ones are not lowered"),
        }
    }

    /// The same, refusing labels: something to compute with.
    pub fn numbers(&mut self, node: &Node<'_>, index: usize) -> Result<ValueId, Refusal> {
        if let Value::Computed { content: Content::Label(_), .. } = node.operand(index)? {
            let alternative = "use the probabilities; labels can only be an output";
            return Err(Refusal::unsupported("computes with class labels", alternative));
        }
        self.value(node, index)
    }

    /// Takes an element count out of the budget of computing at import.
    pub fn claim(&mut self, elements: usize) -> Result<(), Refusal> {
        self.budget.take(elements, elements)
    }
}

/// One result that means numbers.
pub(super) fn float(id: ValueId) -> Lowered {
    Ok(vec![Value::Computed { id, content: Content::Float }])
}

/// One result of the given meaning.
pub(super) fn result(id: ValueId, content: Content) -> Lowered {
    Ok(vec![Value::Computed { id, content }])
}

/// One result that is known.
pub(super) fn known(literal: Literal) -> Lowered {
    Ok(vec![Value::Known(Rc::new(literal))])
}

/// The labels that an output's positions mean, if they mean labels.
type Labels = Option<Vec<String>>;

struct Walk<'a> {
    graph: &'a GraphProto,
    lowering: Lowering,
    values: HashMap<&'a str, Value>,
    readers: HashMap<&'a str, usize>,
    /// Every name that some node defines.
    results: HashSet<&'a str>,
    inputs: Vec<&'a str>,
    opset: i64,
    opset_ml: Option<i64>,
    operators: BTreeMap<String, usize>,
    problems: ImportProblems,
}

impl<'a> Walk<'a> {
    fn new(graph: &'a GraphProto, file_bytes: usize) -> Self {
        let mut readers = HashMap::new();
        let reads = graph.node.iter().flat_map(|node| &node.input).map(String::as_str);
        for name in reads.chain(graph.output.iter().map(|output| output.name.as_str())) {
            *readers.entry(name).or_insert(0) += 1;
        }
        Self {
            graph,
            lowering: Lowering {
                builder: Builder::new(Vec::new()),
                name: String::new(),
                budget: Budget::new(file_bytes),
                labels: None,
            },
            values: HashMap::new(),
            results: graph.node.iter().flat_map(|node| &node.output).map(String::as_str).collect(),
            readers,
            inputs: Vec::new(),
            opset: *OPSETS.end(),
            opset_ml: None,
            operators: BTreeMap::new(),
            problems: ImportProblems { problems: Vec::new(), omitted: 0 },
        }
    }

    fn refuse(&mut self, node: &str, operator: &str, refusal: Refusal) {
        if self.problems.problems.len() == PROBLEMS_MAX {
            self.problems.omitted += 1;
            return;
        }
        let Refusal { kind, what, alternative } = refusal;
        let (node, operator) = (cut(node), cut(operator));
        self.problems.problems.push(Problem { kind, node, operator, what, alternative });
    }

    fn opsets(&mut self, model: &ModelProto) {
        let mut own = None;
        for import in &model.opset_import {
            match import.domain.as_str() {
                "" | "ai.onnx" => own = Some(import.version),
                "ai.onnx.ml" => self.opset_ml = Some(import.version),
                // Domains that no node uses do no harm; nodes of unknown domains are refused.
                _ => {}
            }
        }
        let alternative = "export with opset_version=17 (ai.onnx.ml 3)";
        match own {
            Some(version) if OPSETS.contains(&version) => self.opset = version,
            Some(version) => {
                let what = format!("opset {version}, where 13 to 21 are known");
                self.refuse("", "", Refusal::new(Kind::Version, what, alternative));
            }
            // A model of ai.onnx.ml operators alone need not state one.
            None if self.opset_ml.is_some() => {}
            None => {
                self.refuse("", "", Refusal::new(Kind::Version, "the file states no opset", alternative));
            }
        }
        if let Some(version) = self.opset_ml.filter(|version| !OPSETS_ML.contains(version)) {
            let what = format!("opset {version} of ai.onnx.ml, where 1 to 4 are known");
            self.refuse("", "", Refusal::new(Kind::Version, what, alternative));
        }
    }

    fn initializers(&mut self) {
        let graph = self.graph;
        if !graph.sparse_initializer.is_empty() {
            let refusal = Refusal::new(Kind::External, "sparse weights", "store them as dense tensors");
            self.refuse("", "", refusal);
        }
        for proto in &graph.initializer {
            let value = match Literal::read(proto) {
                Ok(literal) => Value::Known(Rc::new(literal)),
                Err(refusal) => {
                    self.refuse(&proto.name, "", refusal);
                    Value::Refused
                }
            };
            self.define(&proto.name, &proto.name, value);
        }
    }

    fn inputs(&mut self) {
        let graph = self.graph;
        let mut shapes = Vec::new();
        for info in &graph.input {
            // An initialiser of the same name is the input's default, which import makes final.
            if matches!(self.values.get(info.name.as_str()), Some(Value::Known(_) | Value::Refused)) {
                continue;
            }
            let value = match input_shape(info) {
                Ok(shape) => {
                    self.inputs.push(&info.name);
                    shapes.push(shape);
                    let id = ValueId(u32::try_from(shapes.len() - 1).expect("inputs fit memory"));
                    Value::Computed { id, content: Content::Float }
                }
                Err(refusal) => {
                    self.refuse(&info.name, "", refusal);
                    Value::Refused
                }
            };
            self.define(&info.name, &info.name, value);
        }
        self.lowering.builder = Builder::new(shapes);
    }

    fn define(&mut self, name: &'a str, node: &str, value: Value) {
        if self.values.insert(name, value).is_some() {
            let what = format!("the value {:?} is defined twice", cut(name));
            self.refuse(node, "", Refusal::new(Kind::Structure, what, "export the model again"));
        }
    }

    fn node(&mut self, proto: &'a NodeProto) {
        let operator = match proto.domain.as_str() {
            "" | "ai.onnx" => proto.op_type.clone(),
            domain => format!("{domain}:{}", proto.op_type),
        };
        let values = self.lower(proto, &operator).unwrap_or_else(|refusal| {
            self.refuse(node_name(proto), &operator, refusal);
            Vec::new()
        });
        *self.operators.entry(cut(&operator)).or_insert(0) += 1;
        let mut values = values.into_iter();
        for name in &proto.output {
            let value = values.next().unwrap_or(Value::Refused);
            if !name.is_empty() {
                self.define(name, node_name(proto), value);
            }
        }
    }

    fn lower(&mut self, proto: &'a NodeProto, operator: &str) -> Lowered {
        let lower = operators::find(&proto.domain, &proto.op_type).ok_or_else(|| unknown(operator))?;
        if proto.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty()) {
            let alternative = "export without loops and branches";
            return Err(Refusal::new(Kind::Subgraph, "the node holds a graph", alternative));
        }
        if proto.attribute.iter().any(|a| !a.ref_attr_name.is_empty()) {
            let what = "an attribute refers to a function's attribute";
            return Err(Refusal::new(Kind::Structure, what, "inline functions before export"));
        }
        let mut operands = Vec::with_capacity(proto.input.len());
        for name in &proto.input {
            operands.push(match name.as_str() {
                "" => None,
                name => Some(self.operand(name)?),
            });
        }
        if operands.iter().flatten().any(|value| matches!(value, Value::Refused)) {
            return Ok(Vec::new());
        }
        let reads = |name: &String| self.readers.get(name.as_str()).copied().unwrap_or(0);
        let node = Node {
            proto,
            other_readers: proto.input.iter().map(|name| reads(name).saturating_sub(1)).collect(),
            wanted: proto.output.iter().map(|name| !name.is_empty() && reads(name) > 0).collect(),
            operands,
        };
        self.lowering.name = cut(node.name());
        match node.operands.iter().flatten().all(|value| matches!(value, Value::Known(_))) {
            true => self.lowering.at_once(&node, lower),
            false => lower(&mut self.lowering, &node),
        }
    }

    fn operand(&self, name: &str) -> Result<Value, Refusal> {
        self.values.get(name).cloned().ok_or_else(|| {
            let later = self.results.contains(name);
            let name = cut(name);
            let what = match later {
                true => format!("reads {name:?}, which depends on it or comes later"),
                false => format!("reads {name:?}, which nothing defines"),
            };
            Refusal::new(Kind::Structure, what, "export the model again")
        })
    }

    fn finish(mut self, model: &ModelProto) -> Result<Imported, ImportProblems> {
        let graph = self.graph;
        let (mut ids, mut outputs) = (Vec::new(), Vec::new());
        for info in &graph.output {
            match self.output(&info.name) {
                Ok(None) => {}
                Ok(Some((id, labels))) => {
                    ids.push(id);
                    outputs.push(Output { name: cut(&info.name), labels });
                }
                Err(refusal) => self.refuse(&info.name, "", refusal),
            }
        }
        if self.problems.problems.is_empty() {
            match self.pruned(&ids) {
                Ok(graph) => return Ok(self.imported(model, graph, outputs)),
                Err(refusal) => self.refuse("", "", refusal),
            }
        }
        Err(self.problems)
    }

    /// The graph without operations that no output needs.
    fn pruned(&self, outputs: &[ValueId]) -> Result<Graph, Refusal> {
        if self.inputs.is_empty() {
            return Err(Refusal::new(Kind::Structure, "the model has no input", "export the model again"));
        }
        let graph = self.lowering.builder.clone().pruned(outputs);
        graph.map_err(|error| Refusal::new(Kind::Limit, error.to_string(), ""))
    }

    /// The value of an output; `None` where its node was refused.
    fn output(&mut self, name: &str) -> Result<Option<(ValueId, Labels)>, Refusal> {
        match self.operand(name)? {
            Value::Refused => Ok(None),
            Value::Known(literal) => {
                self.lowering.name = cut(name);
                Ok(Some((self.lowering.constant(&literal)?, None)))
            }
            Value::Computed { id, content: Content::Label(labels) } => Ok(Some((id, Some(labels.to_vec())))),
            Value::Computed { id, .. } => Ok(Some((id, None))),
        }
    }

    fn imported(self, model: &ModelProto, graph: Graph, outputs: Vec<Output>) -> Imported {
        let stated = outputs.iter().find_map(|output| output.labels.clone());
        Imported {
            graph,
            inputs: self.inputs.iter().map(|name| cut(name)).collect(),
            outputs,
            labels: self.lowering.labels.or(stated),
            producer: cut(format!("{} {}", model.producer_name, model.producer_version).trim()),
            opset: self.opset,
            operators: self.operators,
        }
    }
}

impl Lowering {
    /// Computes a node whose operands are all known: lowers it into a graph of its own and runs that.
    fn at_once(&mut self, node: &Node<'_>, lower: operators::Lower) -> Lowered {
        let mut apart = Self {
            builder: Builder::new(vec![Shape::new(&[1])?]),
            name: self.name.clone(),
            budget: self.budget,
            labels: None,
        };
        let values = lower(&mut apart, node)?;
        self.budget = apart.budget;
        self.evaluated(apart.builder, values)
    }

    /// Replaces computed values by what they are.
    fn evaluated(&mut self, builder: Builder, values: Vec<Value>) -> Lowered {
        let ids: Vec<ValueId> = values.iter().filter_map(computed).collect();
        if ids.is_empty() {
            return Ok(values);
        }
        let graph = builder.pruned(&ids).map_err(|error| Refusal::shape(error.to_string()))?;
        for operation in graph.operations() {
            self.claim(operation.output.count())?;
        }
        self.budget.take(0, usize::try_from(graph.work()).unwrap_or(usize::MAX))?;
        let unused = Tensor::zeros(Shape::new(&[1])?);
        let run = crate::float::run(&graph, &[unused]);
        let mut tensors = run.map_err(|error| Refusal::shape(error.to_string()))?.into_iter();
        let known = |value| match value {
            Value::Computed { id: _, content } => {
                literal(tensors.next().expect("one for each computed value"), &content)
            }
            value => Ok(value),
        };
        values.into_iter().map(known).collect()
    }
}

fn computed(value: &Value) -> Option<ValueId> {
    match value {
        Value::Computed { id, .. } => Some(*id),
        Value::Known(_) | Value::Refused => None,
    }
}

fn literal(tensor: Tensor, content: &Content) -> Result<Value, Refusal> {
    if tensor.elements().iter().any(|element| !element.is_finite()) {
        let what = "a constant computed at import is not finite";
        return Err(Refusal::new(Kind::NotFinite, what, "look for a division by zero in the model"));
    }
    let shape = tensor.shape().clone();
    let elements = match content {
        Content::Float => Elements::Float(tensor.into_elements()),
        Content::Integer => Elements::Integer(tensor.elements().iter().map(|x| x.round() as i64).collect()),
        Content::Label(labels) => {
            let label = |position: &f32| {
                let position = usize::try_from(*position as i64).ok();
                position.and_then(|position| labels.get(position).cloned())
            };
            let known: Option<Vec<String>> = tensor.elements().iter().map(label).collect();
            Elements::Text(known.ok_or_else(|| Refusal::shape("a label does not exist"))?)
        }
    };
    Ok(Value::Known(Rc::new(Literal { shape, elements })))
}

fn input_shape(info: &ValueInfoProto) -> Result<Shape, Refusal> {
    let Some(tensor) = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
        let what = "the input is not a tensor";
        return Err(Refusal::new(Kind::ElementType, what, "give the model float32 tensors"));
    };
    if tensor.elem_type != data_type::FLOAT {
        let what = format!("the input has element type {} of onnx.TensorProto.DataType", tensor.elem_type);
        return Err(Refusal::new(Kind::ElementType, what, "export the model with float32 inputs"));
    }
    let alternative = "export with fixed lengths for all axes but the leading one";
    let Some(shape) = &tensor.shape else {
        return Err(Refusal::new(Kind::Dynamic, "the input has no shape", alternative));
    };
    let mut axes = Vec::new();
    for (position, dimension) in shape.dim.iter().enumerate() {
        axes.push(match dimension.dim_value.map(usize::try_from) {
            Some(Ok(length)) if length > 0 => length,
            // The batch: a graph states the meaning of one record.
            _ if position == 0 => 1,
            _ => {
                let what = format!("axis {position} of the input has no fixed length");
                return Err(Refusal::new(Kind::Dynamic, what, alternative));
            }
        });
    }
    Ok(Shape::new(&axes)?)
}

fn unknown(operator: &str) -> Refusal {
    let alternative = match operator {
        "If" | "Loop" | "Scan" => "export without loops and branches",
        "LSTM" | "GRU" | "RNN" => "recurrent networks are not supported; use convolutions or attention",
        "QuantizeLinear"
        | "DequantizeLinear"
        | "QLinearConv"
        | "QLinearMatMul"
        | "MatMulInteger"
        | "ConvInteger"
        | "DynamicQuantizeLinear" => "export the float model; it is quantised here",
        "ConvTranspose" | "Resize" | "Upsample" => "upsampling is not supported",
        _ => "see docs/reference/onnx.md for the operators that are",
    };
    Refusal::new(Kind::Operator, "the operator is not supported", alternative)
}

/// At most [`NAME_MAX`] bytes of a name, whole characters.
fn cut(name: &str) -> String {
    name[..name.floor_char_boundary(NAME_MAX)].to_owned()
}
