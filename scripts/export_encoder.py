#!/usr/bin/env python3
"""Exports a transformer encoder from PyTorch to ONNX, with both of its exporters, and records what PyTorch answers.

Two torch.nn.TransformerEncoderLayer (width 64, 4 heads, 128 inside, GELU, batch_first, normalisation behind each part)
in a torch.nn.TransformerEncoder, 16 tokens. Nothing here spells out what the exporters are to write: the files hold
the operators that PyTorch chose. The weights are those that a seed draws, normalisation's scales and offsets and the
biases too (PyTorch begins with ones and zeros, which would leave their import untested).

Needs torch, numpy and onnx; onnxscript for the second exporter. Versions that wrote the committed files: vectors/encoder/SOURCE.md.

    python scripts/export_encoder.py DIR

writes DIR/encoder-torchscript.onnx, DIR/encoder-dynamo.onnx, DIR/calibration.npy, DIR/records.npy and DIR/answers.npy.
What the exporters note beside the graph (which line of Python each node comes from) is taken out; nothing else is changed.
"""

import pathlib
import sys

import numpy as np
import onnx
import torch

SEED = 20_240_229
TOKENS, WIDTH, HEADS, INNER, LAYERS = 16, 64, 4, 128, 2
CALIBRATION, RECORDS = 32, 16
OPSET = 18


def encoder():
    torch.manual_seed(SEED)
    layer = torch.nn.TransformerEncoderLayer(
        d_model=WIDTH,
        nhead=HEADS,
        dim_feedforward=INNER,
        activation="gelu",
        batch_first=True,
        norm_first=False,
    )
    model = torch.nn.TransformerEncoder(layer, num_layers=LAYERS, enable_nested_tensor=False)
    with torch.no_grad():
        # TransformerEncoder copies one layer: draw each anew. Vectors are biases and normalisation's parameters.
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                torch.nn.init.xavier_uniform_(parameter)
            else:
                middle = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                parameter.copy_(middle + 0.1 * torch.randn_like(parameter))
    return model.eval()


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    # Attention's fused kernel for inference has no ONNX operator; without it the layer's own Python is what is exported.
    torch.backends.mha.set_fastpath_enabled(False)
    torch.set_num_threads(1)
    model = encoder()
    calibration = torch.randn(CALIBRATION, TOKENS, WIDTH)
    records = torch.randn(RECORDS, TOKENS, WIDTH)
    with torch.no_grad():
        answers = model(records)
    for name, values in {"calibration": calibration, "records": records, "answers": answers}.items():
        np.save(folder / f"{name}.npy", values.numpy())

    common = {"input_names": ["x"], "output_names": ["y"], "opset_version": OPSET}
    example = records[:1]
    torch.onnx.export(
        model,
        (example,),
        folder / "encoder-torchscript.onnx",
        dynamo=False,
        dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}},
        **common,
    )
    torch.onnx.export(
        model,
        (records[:2],),
        folder / "encoder-dynamo.onnx",
        dynamo=True,
        external_data=False,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
        **common,
    )
    for path in sorted(folder.glob("*.onnx")):
        proto = onnx.load(path)
        # Notes of the exporter: the Python lines, with their folders, that each node comes from. They say nothing to an importer.
        for annotated in [proto, proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output]:
            del annotated.metadata_props[:]
            annotated.doc_string = ""
        onnx.save(proto, path)
        onnx.checker.check_model(proto)
        kinds = {}
        for node in proto.graph.node:
            kinds[node.op_type] = kinds.get(node.op_type, 0) + 1
        print(f"{path}: {path.stat().st_size:,} bytes, opset {proto.opset_import[0].version}, {proto.producer_name} {proto.producer_version}")
        print("   ", ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))


if __name__ == "__main__":
    main()
