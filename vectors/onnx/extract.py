"""Writes node.cbor and exports.cbor beside this file: models with inputs and expected outputs, for tests that run offline.

    python3 -m venv .venv && .venv/bin/pip install onnx==1.23.2 onnxruntime==1.31.1 skl2onnx==1.20.0 scikit-learn==1.9.1
    .venv/bin/python vectors/onnx/extract.py

node.cbor: the ONNX project's own backend node tests, as its package generates them, whose every operator is one that
import knows. Import takes opset 13 to 21, and most cases state a later or an earlier one: where ONNX's checker accepts
the same model under 21 (or 13), that opset is stated instead; the other cases are left as they are.

exports.cbor: small scikit-learn models as skl2onnx exports them, with outputs of ONNX Runtime.

Format of both: an array of cases [name, model, [input…], [output…]]; models and tensors are ONNX protocol buffers.
"""

import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_digits, load_diabetes
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

HERE = pathlib.Path(__file__).resolve().parent

OPERATORS = set(
    """Abs Add ArgMax AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv Div Dropout Elu
    Erf Exp Expand Flatten Floor Gather Gelu Gemm GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Identity
    LayerNormalization LeakyRelu Log LogSoftmax LpNormalization MatMul Max MaxPool Min Mod Mul Neg PRelu Pad Pow Reciprocal ReduceMax
    ReduceMean ReduceSum Relu Reshape Shape Sigmoid Size Slice Softmax Softplus Split Sqrt Squeeze Sub Sum Tanh Transpose
    Unsqueeze""".split()
)
OPERATORS_ML = set(
    """ArrayFeatureExtractor LinearClassifier LinearRegressor Normalizer Scaler TreeEnsembleClassifier
    TreeEnsembleRegressor ZipMap""".split()
)


# --- CBOR, as much as is needed -----------------------------------------------------------------------------------------


def head(major, value):
    for extra, size in ((24, 1), (25, 2), (26, 4)):
        if value < 24:
            return bytes([major << 5 | value])
        if value < 1 << 8 * size:
            return bytes([major << 5 | extra]) + value.to_bytes(size, "big")
    raise ValueError("too long")


def cbor(value):
    match value:
        case str():
            return head(3, len(value.encode())) + value.encode()
        case bytes():
            return head(2, len(value)) + value
        case list():
            return head(4, len(value)) + b"".join(map(cbor, value))


# --- ONNX's own node tests ----------------------------------------------------------------------------------------------


def known(model):
    def one(node):
        if node.domain == "ai.onnx.ml":
            return node.op_type in OPERATORS_ML
        return node.domain in ("", "ai.onnx") and node.op_type in OPERATORS

    return all(map(one, model.graph.node))


def restated(model):
    """The model under an opset that import takes, where the checker accepts it."""
    for entry in model.opset_import:
        wanted = min(max(entry.version, 13), 21) if entry.domain in ("", "ai.onnx") else min(entry.version, 4)
        if wanted != entry.version:
            other = onnx.ModelProto()
            other.CopyFrom(model)
            next(o for o in other.opset_import if o.domain == entry.domain).version = wanted
            other.ir_version = min(other.ir_version, 10)
            try:
                onnx.checker.check_model(other, full_check=True)
            except Exception:
                return model
            model = other
    return model


def tensor(array, name):
    if isinstance(array, onnx.TensorProto):
        return array.SerializeToString()
    return numpy_helper.from_array(np.asarray(array), name).SerializeToString()


def tensors_only(case):
    values = [*case.model.graph.input, *case.model.graph.output]
    return all(value.type.HasField("tensor_type") for value in values)


def node_cases():
    for case in collect_testcases(None):
        if not known(case.model) or not tensors_only(case):
            continue
        model = restated(case.model)
        for inputs, outputs in case.data_sets:
            given = [tensor(a, v.name) for a, v in zip(inputs, model.graph.input)]
            expected = [tensor(a, v.name) for a, v in zip(outputs, model.graph.output)]
            yield [case.name, model.SerializeToString(), given, expected]


# --- scikit-learn models ------------------------------------------------------------------------------------------------


def export_cases():
    cancer, digits, diabetes = load_breast_cancer(), load_digits(), load_diabetes()
    two, ten = (cancer.data, cancer.target), (digits.data, digits.target)
    names = np.array(["malignant", "benign"])[cancer.target]
    number = (diabetes.data, diabetes.target)
    few = dict(n_estimators=5, max_depth=4, random_state=0)
    brief = dict(max_iter=60, random_state=0)
    models = {
        "logistic_two": (make_pipeline(StandardScaler(), LogisticRegression()), two),
        "logistic_two_text_labels": (make_pipeline(StandardScaler(), LogisticRegression()), (cancer.data, names)),
        "logistic_ten": (make_pipeline(MinMaxScaler(), LogisticRegression(max_iter=200)), ten),
        "one_against_rest_ten": (OneVsRestClassifier(LogisticRegression(max_iter=300)), ten),
        "sgd_log_loss_two": (make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0)), two),
        "perceptron_two": (make_pipeline(StandardScaler(), MLPClassifier((8,), **brief)), two),
        "perceptron_ten": (make_pipeline(MaxAbsScaler(), MLPClassifier((16,), activation="tanh", **brief)), ten),
        "perceptron_number": (make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(8,), **brief)), number),
        "linear_number": (LinearRegression(), number),
        "tree_two": (DecisionTreeClassifier(max_depth=4, random_state=0), two),
        "forest_two": (RandomForestClassifier(**few), two),
        "forest_ten": (RandomForestClassifier(**few), ten),
        "extra_trees_ten": (ExtraTreesClassifier(**few), ten),
        "forest_number": (RandomForestRegressor(**few), number),
        "boosted_two": (GradientBoostingClassifier(n_estimators=5, max_depth=3, random_state=0), two),
        "boosted_ten": (GradientBoostingClassifier(n_estimators=3, max_depth=2, random_state=0), ten),
        "boosted_number": (GradientBoostingRegressor(n_estimators=5, max_depth=3, random_state=0), number),
        "normalizer_l1": (make_pipeline(Normalizer("l1"), LogisticRegression()), ten),
        "normalizer_l2": (make_pipeline(Normalizer("l2"), LogisticRegression()), ten),
    }
    for name, (model, (x, y)) in models.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x, y)
        options = {id(model): {"zipmap": False}} if hasattr(model, "classes_") else None
        x = x.astype(np.float32)
        proto = to_onnx(model, x[:1], options=options, target_opset={"": 17, "ai.onnx.ml": 3})
        session = onnxruntime.InferenceSession(proto.SerializeToString())
        input_name = proto.graph.input[0].name
        # One record at a time, because a graph states the meaning of one record.
        for row in range(0, len(x), len(x) // 8):
            record = x[row : row + 1]
            outputs = session.run(None, {input_name: record})
            expected = [tensor(a, v.name) for a, v in zip(outputs, proto.graph.output)]
            first = proto.SerializeToString() if row == 0 else b""
            yield [name, first, [tensor(record, input_name)], expected]


def write(name, cases):
    cases = list(cases)
    (HERE / name).write_bytes(cbor(cases))
    print(f"{name}: {len(cases)} cases, {(HERE / name).stat().st_size} bytes")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    write("node.cbor", node_cases())
    write("exports.cbor", export_cases())
