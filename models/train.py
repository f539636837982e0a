"""Trains the models of this folder and writes them, their data and models.toml.

    python3 -m venv .venv && .venv/bin/pip install -r models/requirements.txt
    .venv/bin/python models/train.py            # rewrites models/*.onnx, models/data/*, models/models.toml
    .venv/bin/python models/train.py --check    # recomputes digests and accuracies of the files as they are

Everything starts from the copies of two public data sets that scikit-learn carries (sources, licences and citations:
models/README.md). Rows are split once per data set, stratified, 60 % train and 40 % test. Every accuracy below is
measured on test rows through ONNX Runtime, on the file that is shipped. Seeds are fixed: the same machine and the same
package versions give the same files; other processors may differ in the last bits of the weights, which is why the
files are committed and models.toml records their digests.
"""

import argparse
import csv
import hashlib
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from scipy.ndimage import zoom
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE / "data"
SEED = 20_240_229
OPSETS = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8  # the intermediate representation that opset 17 appeared with


# --- data ------------------------------------------------------------------------------------------------------------


class Split:
    """One data set: features as float32 rows, labels as integers, names for both."""

    def __init__(self, x, y, features, labels):
        parts = train_test_split(x, y, test_size=0.4, random_state=SEED, stratify=y)
        self.train_x, self.test_x, self.train_y, self.test_y = parts
        self.features, self.labels = list(features), list(labels)


def breast_cancer():
    """569 records of 30 measurements in raw units. Class 0 is malignant, class 1 benign."""
    data = load_breast_cancer()
    return Split(data.data, data.target, data.feature_names, data.target_names)


def digits():
    """1797 images of 8x8 pixels, 0 to 16."""
    data = load_digits()
    return Split(data.data, data.target, data.feature_names, [str(n) for n in data.target_names])


def upscaled(rows):
    """The 8x8 digits as 28x28 images of bytes: each pixel 0..16 becomes 0..255, bilinear in between."""
    images = rows.reshape(-1, 8, 8) * (255.0 / 16.0)
    large = zoom(images, (1, 3.5, 3.5), order=1)
    return np.clip(np.rint(large), 0, 255).astype(np.uint8).reshape(-1, 1, 28, 28)


def shortest(value):
    """A number as short as it can be written without loss: 17.99, 16, 0.006399."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def write_csv(name, features, x, y):
    with open(DATA / name, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*features, "label"])
        writer.writerows([*map(shortest, row), int(label)] for row, label in zip(x, y))


def read_csv(name):
    rows = np.loadtxt(DATA / name, delimiter=",", skiprows=1)
    return rows[:, :-1].astype(np.float32), rows[:, -1].astype(np.int64)


def write_data(cancer, digit):
    """Test rows measure accuracy; calibration rows come from the training part and fix the integer scales."""
    DATA.mkdir(exist_ok=True)
    write_csv("breast-cancer-test.csv", cancer.features, cancer.test_x, cancer.test_y)
    write_csv("breast-cancer-calibration.csv", cancer.features, cancer.train_x, cancer.train_y)
    write_csv("digits-test.csv", digit.features, digit.test_x, digit.test_y)
    write_csv("digits-calibration.csv", digit.features, digit.train_x[:256], digit.train_y[:256])
    np.save(DATA / "digits28-test.npy", upscaled(digit.test_x))
    np.save(DATA / "digits28-test-labels.npy", digit.test_y.astype(np.uint8))
    np.save(DATA / "digits28-calibration.npy", upscaled(digit.train_x[:64]))


# --- training the networks -------------------------------------------------------------------------------------------
# A network is a list of layers: ("dense", inputs, outputs), ("conv", inputs, outputs, kernel, pad), ("relu",),
# ("pool", window) and ("flatten",). The same list is run by JAX while training and written as ONNX afterwards.


def initial(layers, key):
    """He initialisation; one (weight, bias) pair for each dense and convolution layer."""
    parameters = []
    for layer in layers:
        key, own = jax.random.split(key)
        match layer:
            case ("dense", inputs, outputs):
                shape, fan_in = (outputs, inputs), inputs
            case ("conv", inputs, outputs, kernel, _):
                shape, fan_in = (outputs, inputs, kernel, kernel), inputs * kernel * kernel
            case _:
                continue
        weight = jax.random.normal(own, shape) * jnp.sqrt(2.0 / fan_in)
        parameters.append((weight, jnp.zeros(shape[0])))
    return parameters


def forward(layers, parameters, x):
    remaining = iter(parameters)
    for layer in layers:
        match layer:
            case ("dense", *_):
                weight, bias = next(remaining)
                x = x @ weight.T + bias
            case ("conv", _, _, _, pad):
                weight, bias = next(remaining)
                dimensions = ("NCHW", "OIHW", "NCHW")
                x = jax.lax.conv_general_dilated(x, weight, (1, 1), [(pad, pad)] * 2, dimension_numbers=dimensions)
                x = x + bias[None, :, None, None]
            case ("relu",):
                x = jax.nn.relu(x)
            case ("pool", window):
                size = (1, 1, window, window)
                x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, size, size, "VALID")
            case ("flatten",):
                x = x.reshape(x.shape[0], -1)
    return x


def train(layers, x, y, *, epochs, batch=32, rate=1e-3, decay=1e-4):
    """Adam with decoupled weight decay and a cosine schedule on cross-entropy; returns the parameters."""
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(y)
    parameters = initial(layers, jax.random.key(SEED))
    first = jax.tree.map(jnp.zeros_like, parameters)
    second = jax.tree.map(jnp.zeros_like, parameters)
    steps = epochs * (len(x) // batch)

    def loss(parameters, x, y):
        log_probabilities = jax.nn.log_softmax(forward(layers, parameters, x))
        return -jnp.mean(jnp.take_along_axis(log_probabilities, y[:, None], axis=1))

    @jax.jit
    def step(parameters, first, second, x, y, count):
        gradient = jax.grad(loss)(parameters, x, y)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
        now = rate * 0.5 * (1 + jnp.cos(jnp.pi * count / steps))

        def move(p, m, v):
            m, v = m / (1 - 0.9**count), v / (1 - 0.999**count)
            return p - now * (m / (jnp.sqrt(v) + 1e-8) + decay * p)

        return jax.tree.map(move, parameters, first, second), first, second

    order, count = np.random.default_rng(SEED), 0
    for _ in range(epochs):
        rows = order.permutation(len(x))
        for start in range(0, len(x) - batch + 1, batch):
            count += 1
            some = rows[start : start + batch]
            parameters, first, second = step(parameters, first, second, x[some], y[some], count)
    return [(np.asarray(w, np.float32), np.asarray(b, np.float32)) for w, b in parameters]


# --- ONNX files ------------------------------------------------------------------------------------------------------


def export(name, layers, parameters, shape, *, offset=None, scale, outputs):
    """Writes (x - offset) / scale and the layers behind it; input `x` [N, *shape], output `logits` [N, outputs]."""
    nodes, constants, value = [], [], "x"

    def constant(name, array):
        constants.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def node(kind, inputs, name, **attributes):
        nonlocal value
        nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        value = name

    if offset is not None:
        node("Sub", [value, constant("offset", offset)], "centred")
    node("Div", [value, constant("scale", scale)], "standardised")
    remaining = iter(parameters)
    for number, layer in enumerate(layers, 1):
        match layer:
            case ("dense", *_):
                weight, bias = next(remaining)
                last = number == len(layers)
                inputs = [value, constant(f"dense{number}.weight", weight), constant(f"dense{number}.bias", bias)]
                node("Gemm", inputs, "logits" if last else f"dense{number}", transB=1)
            case ("conv", _, _, kernel, pad):
                weight, bias = next(remaining)
                inputs = [value, constant(f"conv{number}.weight", weight), constant(f"conv{number}.bias", bias)]
                node("Conv", inputs, f"conv{number}", kernel_shape=[kernel] * 2, pads=[pad] * 4)
            case ("relu",):
                node("Relu", [value], f"relu{number}")
            case ("pool", window):
                node("MaxPool", [value], f"pool{number}", kernel_shape=[window] * 2, strides=[window] * 2)
            case ("flatten",):
                node("Flatten", [value], f"flatten{number}", axis=1)
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", outputs])],
        constants,
    )
    save(name, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))


def save(name, model):
    """Checks and writes a model; its producer fields say where it came from, whatever library built it."""
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "models/train.py", ""
    domains = {entry.domain: entry.version for entry in model.opset_import}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in sorted(domains.items()))
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.checker.check_model(model, full_check=True)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


def write_logistic_regression(cancer):
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=1000))
    pipeline.fit(cancer.train_x, cancer.train_y)
    sample = cancer.train_x[:1].astype(np.float32)
    name = "breast-cancer-logreg"
    save(name, to_onnx(pipeline, sample, name=name, options={"zipmap": False}, target_opset=OPSETS))


def write_boosted_trees(cancer):
    trees = GradientBoostingClassifier(n_estimators=40, max_depth=3, learning_rate=0.2, random_state=SEED)
    trees.fit(cancer.train_x.astype(np.float32), cancer.train_y)
    sample = cancer.train_x[:1].astype(np.float32)
    name = "breast-cancer-gbt"
    save(name, to_onnx(trees, sample, name=name, options={"zipmap": False}, target_opset=OPSETS))


def write_cancer_mlp(cancer):
    scaler = StandardScaler().fit(cancer.train_x)
    layers = [("dense", 30, 16), ("relu",), ("dense", 16, 2)]
    x = scaler.transform(cancer.train_x)
    parameters = train(layers, x, cancer.train_y, epochs=120, decay=1e-2)
    offset, scale = scaler.mean_, scaler.scale_
    export("breast-cancer-mlp", layers, parameters, [30], offset=offset, scale=scale, outputs=2)


def write_digits_mlp(digit):
    layers = [("dense", 64, 32), ("relu",), ("dense", 32, 10)]
    parameters = train(layers, digit.train_x / 16.0, digit.train_y, epochs=120, rate=3e-3, decay=1e-2)
    export("digits-mlp", layers, parameters, [64], scale=16.0, outputs=10)


def write_digits_cnn(digit):
    layers = [
        ("conv", 1, 8, 3, 1), ("relu",),
        ("conv", 8, 16, 3, 1), ("relu",), ("pool", 2),
        ("flatten",), ("dense", 256, 10),
    ]  # fmt: skip
    x = digit.train_x.reshape(-1, 1, 8, 8) / 16.0
    parameters = train(layers, x, digit.train_y, epochs=40, rate=2e-3, decay=1e-2)
    export("digits-cnn", layers, parameters, [1, 8, 8], scale=16.0, outputs=10)


def write_lenet5(digit):
    """The layer sizes of LeNet-5 (LeCun et al. 1998) with the usual ReLU and maximum pooling: 61,706 parameters."""
    layers = [
        ("conv", 1, 6, 5, 2), ("relu",), ("pool", 2),
        ("conv", 6, 16, 5, 0), ("relu",), ("pool", 2),
        ("flatten",), ("dense", 400, 120), ("relu",), ("dense", 120, 84), ("relu",), ("dense", 84, 10),
    ]  # fmt: skip
    x = upscaled(digit.train_x) / 255.0
    parameters = train(layers, x, digit.train_y, epochs=20, rate=2e-3, decay=1e-2)
    export("lenet5", layers, parameters, [1, 28, 28], scale=255.0, outputs=10)


# --- the index -------------------------------------------------------------------------------------------------------

MODELS = {
    "breast-cancer-logreg": ("Logistic regression 30-1 behind a scaler, as skl2onnx writes it", "breast-cancer"),
    "breast-cancer-mlp": ("Perceptron 30-16-2 behind a scaler", "breast-cancer"),
    "breast-cancer-gbt": ("40 boosted trees of depth 3, as skl2onnx writes them", "breast-cancer"),
    "digits-mlp": ("Perceptron 64-32-10", "digits"),
    "digits-cnn": ("Two 3x3 convolutions, maximum pooling, one dense layer", "digits"),
    "lenet5": ("LeNet-5 layer sizes on the digits upscaled to 28x28", "digits28"),
}


def test_rows(data):
    if data == "digits28":
        return np.load(DATA / "digits28-test.npy").astype(np.float32), np.load(DATA / "digits28-test-labels.npy")
    return read_csv(f"{data}-test.csv")


def accuracy(name, data):
    """Correct test rows, through ONNX Runtime: the class with the largest value of the last output."""
    session = onnxruntime.InferenceSession(HERE / f"{name}.onnx", providers=["CPUExecutionProvider"])
    x, y = test_rows(data)
    asked = session.get_inputs()[0]
    scores = session.run(None, {asked.name: x.reshape(-1, *asked.shape[1:])})[-1]
    return int((scores.argmax(axis=1) == y).sum()), len(y)


def parameter_count(model):
    weights = sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
    in_attributes = sum(len(a.floats) for node in model.graph.node for a in node.attribute if node.domain == "ai.onnx.ml")
    return weights + in_attributes


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def index():
    """models.toml as text, from the files as they are."""
    lines = [
        "# Written by models/train.py: what each file is, its digest, and its accuracy on the test rows",
        "# in 32-bit floats through ONNX Runtime. `python models/train.py --check` compares.",
        "",
    ]
    for name, (summary, data) in MODELS.items():
        model = onnx.load(HERE / f"{name}.onnx")
        correct, rows = accuracy(name, data)
        kind = "npy" if data == "digits28" else "csv"
        labels = '["malignant", "benign"]' if data == "breast-cancer" else '["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]'
        shape = [dimension.dim_value for dimension in model.graph.input[0].type.tensor_type.shape.dim[1:]]
        lines += [
            "[[model]]",
            f'name = "{name}"',
            f'file = "{name}.onnx"',
            f'sha256 = "{sha256(HERE / f"{name}.onnx")}"',
            f'summary = "{summary}"',
            f"input_shape = {shape}",
            f'output = "{model.graph.output[-1].name}"',
            f"labels = {labels}",
            f"operators = {sorted({node.op_type for node in model.graph.node})}".replace("'", '"'),
            f"parameters = {parameter_count(model)}",
            f'test = "data/{data}-test.{kind}"',
            *([f'test_labels = "data/{data}-test-labels.npy"'] if kind == "npy" else []),
            f'calibration = "data/{data}-calibration.{kind}"',
            f"test_rows = {rows}",
            f"test_correct = {correct}",
            f"float_accuracy = {correct / rows:.6f}",
            "",
        ]
    for path in sorted(DATA.iterdir()):
        lines += ["[[data]]", f'file = "data/{path.name}"', f'sha256 = "{sha256(path)}"', f"bytes = {path.stat().st_size}", ""]
    return "\n".join(lines).rstrip() + "\n"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="compare models.toml with the files; write nothing")
    if arguments.parse_args().check:
        if (HERE / "models.toml").read_text() != index():
            raise SystemExit("models.toml does not describe the files beside it; run models/train.py")
        print("models.toml matches")
        return
    cancer, digit = breast_cancer(), digits()
    write_data(cancer, digit)
    write_logistic_regression(cancer)
    write_boosted_trees(cancer)
    write_cancer_mlp(cancer)
    write_digits_mlp(digit)
    write_digits_cnn(digit)
    write_lenet5(digit)
    text = index()
    (HERE / "models.toml").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
