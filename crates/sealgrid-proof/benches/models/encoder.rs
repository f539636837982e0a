//! A transformer encoder in the shape of `torch.nn.TransformerEncoderLayer` (normalisation behind each part, GELU), with drawn weights, quantised on
//! drawn records.

use std::sync::Arc;

use sealgrid_graph::arbitrary::Random;
use sealgrid_graph::execute::Batch;
use sealgrid_graph::float::{Builder, Function, ParameterId, Primitive, Reduction, Tensor, ValueId};
use sealgrid_graph::integer::Graph;
use sealgrid_graph::quantise::quantise;
use sealgrid_graph::reference::Reference;
use sealgrid_graph::tensor::Shape;

/// How large an encoder is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub tokens: usize,
    pub width: usize,
    pub heads: usize,
    /// Between the two linear layers behind the attention.
    pub inner: usize,
    pub layers: usize,
}

fn shape(axes: &[usize]) -> Shape {
    Shape::new(axes).expect("small")
}

/// Between −1 and 1, much like a normal distribution.
fn noise(random: &mut Random) -> f32 {
    let sum: u64 = (0..4).map(|_| random.below(2001)).sum();
    (sum as f32 - 4000.0) / 4000.0
}

fn tensor(random: &mut Random, axes: &[usize], scale: f32) -> Tensor {
    let shape = shape(axes);
    let elements = (0..shape.count()).map(|_| noise(random) * scale).collect();
    Tensor::new(shape, elements).expect("filled")
}

struct Growth {
    random: Random,
    builder: Builder,
    size: Size,
}

impl Growth {
    fn parameter(&mut self, axes: &[usize], scale: f32) -> ParameterId {
        let tensor = tensor(&mut self.random, axes, scale);
        self.builder.parameter(tensor)
    }

    fn push(&mut self, primitive: Primitive, operands: &[ValueId]) -> ValueId {
        self.builder.push("op", primitive, operands).expect("valid")
    }

    fn shaped(&mut self, x: ValueId, axes: &[usize]) -> ValueId {
        self.builder.push_shaped("shape", Primitive::Reshape, &[x], &shape(axes)).expect("valid")
    }

    fn linear(&mut self, x: ValueId, from: usize, to: usize) -> ValueId {
        let scale = 3.0 / (from as f32).sqrt();
        let (weight, bias) = (self.parameter(&[to, from], scale), self.parameter(&[to], 0.1));
        self.push(Primitive::Linear { weight, bias }, &[x])
    }

    /// `[heads, tokens, width / heads]`.
    fn heads(&mut self, x: ValueId) -> ValueId {
        let Size { tokens, width, heads, .. } = self.size;
        let split = self.shaped(x, &[tokens, heads, width / heads]);
        self.push(Primitive::Transpose { permutation: vec![1, 0, 2] }, &[split])
    }

    fn attention(&mut self, x: ValueId) -> ValueId {
        let Size { tokens, width, heads, .. } = self.size;
        let [q, k, v] = [0; 3].map(|_| self.linear(x, width, width)).map(|x| self.heads(x));
        let k = self.push(Primitive::Transpose { permutation: vec![0, 2, 1] }, &[k]);
        let scale = Tensor::new(shape(&[1]), vec![((width / heads) as f32).sqrt().recip()]).expect("one");
        let tensor = self.builder.parameter(scale);
        let scale = self.push(Primitive::Constant { tensor }, &[]);
        let q = self.push(Primitive::Multiply, &[q, scale]);
        let scores = self.push(Primitive::MatrixProduct, &[q, k]);
        let weights = self.push(Primitive::Softmax { axis: 2 }, &[scores]);
        let mixed = self.push(Primitive::MatrixProduct, &[weights, v]);
        let mixed = self.push(Primitive::Transpose { permutation: vec![1, 0, 2] }, &[mixed]);
        let mixed = self.shaped(mixed, &[tokens, width]);
        self.linear(mixed, width, width)
    }

    fn normalised(&mut self, x: ValueId) -> ValueId {
        let width = self.size.width;
        let offset = self.parameter(&[width], 0.1);
        let scale = tensor(&mut self.random, &[width], 0.2);
        let scale = scale.elements().iter().map(|x| x + 1.0).collect();
        let scale = self.builder.parameter(Tensor::new(shape(&[width]), scale).expect("filled"));
        self.push(Primitive::LayerNormalization { axis: 1, epsilon: 1e-5, scale, offset }, &[x])
    }

    fn layer(&mut self, x: ValueId) -> ValueId {
        let Size { width, inner, .. } = self.size;
        let mixed = self.attention(x);
        let sum = self.push(Primitive::Add, &[x, mixed]);
        let x = self.normalised(sum);
        let hidden = self.linear(x, width, inner);
        let hidden = self.push(Primitive::Unary(Function::Gelu), &[hidden]);
        let hidden = self.linear(hidden, inner, width);
        let sum = self.push(Primitive::Add, &[x, hidden]);
        self.normalised(sum)
    }
}

/// The integer graph, and `records` records for it. Behind the layers stand the mean over all tokens and a classifier of three classes.
pub fn encoder(size: Size, records: usize) -> (Arc<Graph>, Vec<Batch>) {
    let axes = [size.tokens, size.width];
    let mut growth = Growth { random: Random::new(5), builder: Builder::new(vec![shape(&axes)]), size };
    let mut x = growth.builder.input(0);
    for _ in 0..size.layers {
        x = growth.layer(x);
    }
    let mean = Primitive::Reduce { reduction: Reduction::Mean, axes: vec![0] };
    let mean = growth.push(mean, &[x]);
    let classes = growth.linear(mean, size.width, 3);
    let mut random = growth.random;
    let graph = growth.builder.finish(vec![classes]).expect("valid");
    let mut drawn = |count: usize| -> Vec<Vec<Tensor>> {
        (0..count).map(|_| vec![tensor(&mut random, &axes, 2.0)]).collect()
    };
    let calibration = drawn(32);
    let quantised = quantise(&graph, &calibration, &Reference).expect("has an integer meaning");
    let records = quantised.encode(&drawn(records));
    (quantised.graph, records)
}
