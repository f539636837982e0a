#!/usr/bin/env python3
"""Times the fast executor beside ONNX Runtime's int8 on models/digits-cnn.onnx and models/lenet5.onnx.

Needs onnx and onnxruntime (pip install onnx onnxruntime). Builds every statically quantised variant that ONNX
Runtime offers for these operators, times each on one thread and keeps its best; then runs
`cargo run --release --example bench_executor`, which imports the same two files. Prints one JSON document.

ONNX Runtime is called through I/O binding with memory prepared once. What is left of Python and of its session is
estimated by a model of one Identity on the same input and, in a second column, taken off: a column in its favour.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = {"digits-cnn": (1, 8, 8), "lenet5": (1, 28, 28)}
BATCHES = (1, 32)
SECONDS = 0.4


class Random(CalibrationDataReader):
    """A few random batches: the weights are what they are, only the scales depend on these."""

    def __init__(self, name, shape):
        rng = np.random.default_rng(1)
        self.batches = iter([{name: rng.random((8, *shape), np.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.batches, None)


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def least_and_median_ns(path, shape, batch):
    run = session(path)
    x = ort.OrtValue.ortvalue_from_numpy(np.random.default_rng(2).random((batch, *shape), np.float32))
    first = run.run(None, {run.get_inputs()[0].name: x.numpy()})
    binding = run.io_binding()
    binding.bind_ortvalue_input(run.get_inputs()[0].name, x)
    outputs = [ort.OrtValue.ortvalue_from_numpy(value) for value in first]
    for output, value in zip(run.get_outputs(), outputs):
        binding.bind_ortvalue_output(output.name, value)
    call = run.run_with_iobinding
    calls, start = 0, time.perf_counter_ns()
    while time.perf_counter_ns() - start < 2_000_000:
        call(binding)
        calls += 1
    per_sample = max(1, calls // 10)  # 200 microseconds, as the executor's own measurement
    samples, start = [], time.perf_counter_ns()
    while time.perf_counter_ns() - start < SECONDS * 1e9:
        began = time.perf_counter_ns()
        for _ in range(per_sample):
            call(binding)
        samples.append((time.perf_counter_ns() - began) / per_sample)
    samples.sort()
    return samples[0], samples[len(samples) // 2]


def identity(folder, shape):
    path = folder / f"identity-{len(shape)}-{shape[-1]}.onnx"
    axes = ["N", *shape]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "identity",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, axes)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, axes)],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def variants(folder, name, shape):
    """Every int8 form; those that ONNX Runtime refuses are reported and left out."""
    source, prepared = ROOT / "models" / f"{name}.onnx", folder / f"{name}-prepared.onnx"
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    input_name = onnx.load(str(source)).graph.input[0].name
    for form in (QuantFormat.QDQ, QuantFormat.QOperator):
        for activation in (QuantType.QUInt8, QuantType.QInt8):
            for per_channel in (True, False):
                label = f"{form.name}-{activation.name}-{'channel' if per_channel else 'tensor'}"
                path = folder / f"{name}-{label}.onnx"
                try:
                    quantize_static(
                        str(prepared), str(path), Random(input_name, shape), quant_format=form,
                        activation_type=activation, weight_type=QuantType.QInt8, per_channel=per_channel,
                    )
                    session(path)
                except Exception as error:  # whatever the quantiser or the session raises, the variant is out
                    print(f"{name} {label}: {error}", file=sys.stderr)
                    continue
                yield label, path


def ours(*arguments):
    command = ["cargo", "run", "--quiet", "--release", "-p", "sealgrid-graph", "--example", "bench_executor", "--"]
    output = subprocess.run([*command, *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return {(entry["model"], entry["batch"]): entry for entry in json.loads(output.stdout)}


def main():
    rows = []
    backends = sys.argv[1:] or ["avx512-vnni"]
    ours()  # builds, so that no compiler runs beside a measurement
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for model, shape in MODELS.items():
            forms = dict(variants(folder, model, shape))
            forms["float32"] = ROOT / "models" / f"{model}.onnx"
            for batch in BATCHES:
                overhead = least_and_median_ns(identity(folder, shape), shape, batch)
                times = {label: least_and_median_ns(path, shape, batch) for label, path in forms.items()}
                best = min((label for label in times if label != "float32"), key=lambda label: times[label][0])
                for backend in backends:
                    own = ours("--backend", backend)[model, batch]
                    rows.append({
                        "model": model, "batch": batch, "backend": backend,
                        "ort_best": best,
                        "ort_min_us": round(times[best][0] / 1e3, 2),
                        "ort_median_us": round(times[best][1] / 1e3, 2),
                        "ort_overhead_min_us": round(overhead[0] / 1e3, 2),
                        "ort_float32_min_us": round(times["float32"][0] / 1e3, 2),
                        "own_min_us": round(own["min_ns"] / 1e3, 2),
                        "own_median_us": round(own["median_ns"] / 1e3, 2),
                        "ratio_min": round(times[best][0] / own["min_ns"], 2),
                        "ratio_median": round(times[best][1] / own["median_ns"], 2),
                        "ratio_min_without_overhead": round((times[best][0] - overhead[0]) / own["min_ns"], 2),
                    })
    json.dump({"onnxruntime": ort.__version__, "rows": rows}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
