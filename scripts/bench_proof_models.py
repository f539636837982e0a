#!/usr/bin/env python3
"""Writes the larger models of docs/reference/benchmarks/proof.md as ONNX, each with records for calibration and to prove.

Needs numpy and onnx (pip install numpy onnx). The weights are random, from a fixed seed, as large as a trained network's
are at its start: what a proof costs depends on the architecture and not on what the weights say. The encoder is written
with the operators that PyTorch's exporter writes for two torch.nn.TransformerEncoderLayer (batch_first, GELU,
normalisation behind), attention spelt out.

    python scripts/bench_proof_models.py DIR
    sealgrid model import DIR/NAME.onnx --calibrate DIR/NAME.npy -o NAME.sgm
    sealgrid model register NAME.sgm --out NAME-registered.sgm
    sealgrid prove NAME-registered.sgm --input DIR/NAME-1.npy --out NAME.proof --json
"""

import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(1)
CALIBRATION = 32
# Between the biases of two outputs. Random networks decide by a hair, and one record of some hundred that is decided otherwise makes the importer take
# operands of 16 bits instead of 8: without this it would be chance which of both is measured.
APART = 4.0


class Net:
    """A graph under construction; `x` is the value that the next layer takes."""

    def __init__(self, shape):
        self.nodes, self.constants, self.shape = [], [], shape
        self.x = "x"

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, *shape):
        fan_in = int(np.prod(shape[1:])) if len(shape) > 2 else shape[0]
        return self.constant((RNG.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32))

    def vector(self, length, value=0.0):
        noise = 0.05 * RNG.standard_normal(length)
        return self.constant((value + noise).astype(np.float32))

    def op(self, kind, *operands, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(operands), [name], **attributes))
        return name

    def then(self, kind, *more, **attributes):
        self.x = self.op(kind, self.x, *more, **attributes)

    def dense(self, width, next_width, apart=0.0):
        self.then("MatMul", self.weight(width, next_width))
        self.then("Add", self.vector(next_width, apart * np.arange(next_width)))

    def convolution(self, channels, next_channels):
        self.then("Conv", self.weight(next_channels, channels, 3, 3), self.vector(next_channels), pads=[1, 1, 1, 1])
        self.then("Relu")
        self.then("MaxPool", kernel_shape=[2, 2], strides=[2, 2])

    def save(self, path, outputs):
        graph = helper.make_graph(
            self.nodes,
            path.stem,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *self.shape])],
            [helper.make_tensor_value_info(self.x, TensorProto.FLOAT, ["batch", *outputs])],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, path)
        records = RNG.standard_normal((CALIBRATION, *self.shape)).astype(np.float32)
        np.save(path.with_suffix(".npy"), records)
        np.save(path.with_name(f"{path.stem}-1.npy"), records[:1])
        parameters = sum(int(np.prod(constant.dims)) for constant in self.constants if constant.data_type == 1)
        print(f"{path}: {parameters:,} parameters")


def dense(widths):
    net = Net((widths[0],))
    for width, next_width in zip(widths, widths[1:]):
        net.dense(width, next_width, APART if next_width == widths[-1] else 0.0)
        if next_width != widths[-1]:
            net.then("Relu")
    return net, (widths[-1],)


def images():
    net = Net((3, 32, 32))
    net.convolution(3, 16)
    net.convolution(16, 32)
    net.then("Flatten", axis=1)
    for width, next_width in ((2048, 120), (120, 84), (84, 10)):
        net.dense(width, next_width, APART if next_width == 10 else 0.0)
        if next_width != 10:
            net.then("Relu")
    return net, (10,)


def attention(net, tokens, width, heads):
    """Softmax(Q·Kᵀ/√d)·V, heads beside each other."""
    each = width // heads
    split = net.constant(np.array([0, tokens, heads, each], np.int64))
    joined = net.constant(np.array([0, tokens, width], np.int64))
    into, parts = net.x, []
    for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        net.x = into
        net.dense(width, width)
        net.then("Reshape", split)
        net.then("Transpose", perm=order)
        parts.append(net.x)
    query, key, value = parts
    net.x = net.op("MatMul", query, key)
    net.then("Mul", net.constant(np.array(1 / np.sqrt(each), np.float32)))
    net.then("Softmax", axis=-1)
    net.then("MatMul", value)
    net.then("Transpose", perm=[0, 2, 1, 3])
    net.then("Reshape", joined)
    net.dense(width, width)


def normalised(net, before, width):
    net.then("Add", before)
    net.then("LayerNormalization", net.vector(width, 1.0), net.vector(width), axis=-1, epsilon=1e-5)


def encoder(tokens=16, width=64, heads=4, inner=128, layers=2):
    net = Net((tokens, width))
    for _ in range(layers):
        before = net.x
        attention(net, tokens, width, heads)
        normalised(net, before, width)
        before = net.x
        net.dense(width, inner)
        net.then("Gelu")
        net.dense(inner, width)
        normalised(net, before, width)
    return net, (tokens, width)


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (net, outputs) in {
        "cnn-262k": images(),
        "dense-1m": dense([784, 1024, 256, 10]),
        "dense-4m": dense([784, 2048, 1024, 256, 10]),
        "encoder": encoder(),
    }.items():
        net.save(folder / f"{name}.onnx", outputs)


if __name__ == "__main__":
    main()
