//! Networks with the shapes of shipped models and random weights, and single operations.

use sealgrid_graph::execute::Batch;
use sealgrid_graph::integer::{
    Builder, Graph, ParameterId, Primitive, Requantise, ValueId, ValueType, Window,
};
use sealgrid_graph::tensor::{DType, Data, Shape, Tensor};

/// Conv 8@3x3, conv 16@3x3, maximum pool, 256-10: the shapes of models/digits-cnn.onnx.
pub fn digits_cnn() -> Graph {
    let mut net = Network::new(&[1, 1, 8, 8]);
    net.convolution(8, 1, 3, 1);
    net.convolution(16, 8, 3, 1);
    net.pool();
    net.flatten(256);
    net.dense(10, 256, i32::from(i8::MIN));
    net.finish()
}

/// Conv 6@5x5, pool, conv 16@5x5, pool, 120-84-10: the shapes of models/lenet5.onnx.
pub fn lenet5() -> Graph {
    let mut net = Network::new(&[1, 1, 28, 28]);
    net.convolution(6, 1, 5, 2);
    net.pool();
    net.convolution(16, 6, 5, 0);
    net.pool();
    net.flatten(400);
    net.dense(120, 400, 0);
    net.dense(84, 120, 0);
    net.dense(10, 84, i32::from(i8::MIN));
    net.finish()
}

/// One linear operation of `rows` rows.
pub fn linear(rows: usize, depth: usize, channels: usize) -> Graph {
    let mut net = Network::new(&[rows, depth]);
    net.dense(channels, depth, i32::from(i8::MIN));
    net.finish()
}

/// One 3 x 3 convolution.
pub fn convolution(channels: usize, side: usize) -> Graph {
    let mut net = Network::new(&[1, channels, side, side]);
    net.convolution(channels, channels, 3, 1);
    net.finish()
}

struct Network {
    builder: Builder,
    last: ValueId,
    seed: u64,
}

impl Network {
    fn new(input: &[usize]) -> Self {
        let shape = Shape::new(input).expect("a small shape");
        let builder = Builder::new(vec![ValueType { dtype: DType::I8, shape }]);
        let last = builder.input(0);
        Self { builder, last, seed: 1 }
    }

    fn convolution(&mut self, channels: usize, inputs: usize, kernel: usize, pad: usize) {
        let weight = self.bytes(&[channels, inputs, kernel, kernel]);
        let bias = self.zeros(channels);
        let window = Window {
            kernel: vec![kernel; 2],
            strides: vec![1; 2],
            dilations: vec![1; 2],
            pads_before: vec![pad; 2],
            pads_after: vec![pad; 2],
        };
        let requantise = stage(channels, 0);
        self.push("conv", Primitive::Convolution { weight, bias, window, groups: 1, requantise });
    }

    fn pool(&mut self) {
        let [kernel, strides, dilations] = [2, 2, 1].map(|entry| vec![entry; 2]);
        let window = Window { kernel, strides, dilations, pads_before: vec![0; 2], pads_after: vec![0; 2] };
        self.push("pool", Primitive::PoolMaximum { window });
    }

    fn flatten(&mut self, count: usize) {
        let shape = Shape::new(&[1, count]).expect("a small shape");
        self.last = self
            .builder
            .push_shaped("flatten", Primitive::Reshape, &[self.last], &shape)
            .expect("as many elements as before");
    }

    fn dense(&mut self, channels: usize, depth: usize, low: i32) {
        let weight = self.bytes(&[channels, depth]);
        let bias = self.zeros(channels);
        self.push("dense", Primitive::Linear { weight, bias, requantise: stage(channels, low) });
    }

    fn push(&mut self, name: &str, primitive: Primitive) {
        self.last = self.builder.push(name, primitive, &[self.last]).expect("the shapes fit");
    }

    fn finish(self) -> Graph {
        self.builder.finish(vec![self.last]).expect("one output")
    }

    fn bytes(&mut self, axes: &[usize]) -> ParameterId {
        let shape = Shape::new(axes).expect("a small shape");
        let data = Data::I8(random_bytes(&mut self.seed, shape.count()));
        self.builder.parameter(Tensor::new(shape, data).expect("as many elements as the shape has"))
    }

    fn zeros(&mut self, count: usize) -> ParameterId {
        let shape = Shape::new(&[count]).expect("a small shape");
        self.builder.parameter(Tensor::new(shape, Data::I32(vec![0; count])).expect("as many elements"))
    }
}

/// One entry a channel, of the size that calibration yields.
fn stage(channels: usize, low: i32) -> Requantise {
    Requantise {
        multipliers: vec![1_400_000_011; channels],
        shifts: vec![39; channels],
        low,
        high: i8::MAX.into(),
        output: DType::I8,
    }
}

pub fn random_batch(value_type: &ValueType, records: usize) -> Batch {
    let data = Data::I8(random_bytes(&mut 7, records * value_type.shape.count()));
    Batch::new(records, value_type.shape.clone(), data).expect("a small batch")
}

/// Xorshift (Marsaglia, 2003).
fn random_bytes(state: &mut u64, count: usize) -> Vec<i8> {
    (0..count)
        .map(|_| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            state.to_le_bytes()[0].cast_signed()
        })
        .collect()
}
