#!/usr/bin/env python3
"""Measures `sealgrid prove` and `sealgrid verify` beside EZKL (Halo2, KZG) on the same models and the same records.

Needs ezkl and onnx (pip install ezkl onnx) and a release build of sealgrid. Linux. The records are private and the
results public on both sides. EZKL has no licence: its source can be read, and here it is only run as a peer to measure,
never linked or copied.

EZKL is tuned: of the settings in SETTINGS, those are kept under which as many of the first test records get the float
model's class as in our quantised model, less one in a hundred, and of these the one that proves for the least CPU time.
(Its own calibration leaves the decomposition as it is, and that fixes at least 2^15 rows: some ten times the cost of a
small model.) Its SRS is made here by gen_srs, which is insecure (whoever makes it can forge proofs), and not counted.
Nor is its setup, nor our registration. Every call runs in a process of its own. EZKL is charged for the call alone,
without the start of Python (but memory is the whole process's); its witness counts as proving. We are charged for the
whole process, which makes the commitment to the weights anew, and our prover checks its own proof before it hands it
out; weights are private on both sides. Both run on one thread unless --threads says
otherwise: with more, EZKL gains wall time and pays for it in CPU time.
"""

import argparse
import csv
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = {"breast-cancer-mlp": "breast-cancer", "digits-mlp": "digits", "digits-cnn": "digits"}  # name, data
NAMES = ("input_scale", "param_scale", "decomp_base", "decomp_legs", "num_inner_cols", "logrows")
SETTINGS = {  # the best of wider searches by hand
    "breast-cancer-mlp": [
        (11, 11, 256, 3, 1, 10), (11, 11, 256, 3, 1, 9), (9, 9, 128, 3, 1, 10), (9, 9, 128, 3, 1, 9),
        (8, 8, 1024, 2, 1, 11), (8, 8, 1024, 2, 2, 11), (7, 7, 1024, 2, 2, 11),
    ],
    "digits-mlp": [
        (7, 7, 512, 2, 1, 10), (5, 5, 256, 2, 1, 10), (4, 4, 512, 1, 1, 10), (4, 4, 512, 1, 1, 11),
        (4, 4, 512, 1, 2, 10),
    ],
    "digits-cnn": [(4, 4, 512, 1, 2, 12), (4, 4, 512, 1, 1, 12), (4, 4, 512, 1, 2, 13), (7, 7, 16384, 1, 2, 15)],
}

# Starts a process and measures it from a small parent: Linux counts the parent's memory into the child's peak.
LAUNCH = """
import json, os, sys, time
began = time.perf_counter()
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump({"wall_s": time.perf_counter() - began, "cpu_s": used.ru_utime + used.ru_stime,
               "rss_mib": used.ru_maxrss / 1024, "exit": os.waitstatus_to_exitcode(status)}, file)
"""


def launch(folder, command):
    """Runs a command; what it used and what it said."""
    report = folder / "used.json"
    small = [sys.executable, "-I", "-S", "-c", LAUNCH, str(report), *map(str, command)]
    done = subprocess.run(small, capture_output=True, text=True)
    used = json.loads(report.read_text())
    if used.pop("exit") != 0:
        lines = done.stderr.strip().splitlines() or [f"{command[0]} failed without a message"]
        raise RuntimeError(next((line for line in lines if line.startswith("error ")), lines[-1]))
    return used, done.stdout


# Each function stage_* is called in a process of its own.


def stage_start():
    """Nothing but what every stage needs: Python with ezkl."""


def stage_prepare(source, target, records):
    """Writes the strides that ONNX leaves out and EZKL refuses to guess; returns the float model's classes."""
    import numpy as np
    import onnx
    from onnx.reference import ReferenceEvaluator

    model = onnx.load(source)
    for node in model.graph.node:
        if node.op_type == "Conv" and all(attribute.name != "strides" for attribute in node.attribute):
            node.attribute.append(onnx.helper.make_attribute("strides", [1, 1]))
    onnx.save(model, target)
    shape = [axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim][1:]
    inputs = {model.graph.input[0].name: np.array(records, np.float32).reshape(-1, *shape)}
    return ReferenceEvaluator(onnx.load(source)).run(None, inputs)[0].argmax(1).tolist()


def stage_settings(model, settings, compiled, input_scale, param_scale, base, legs, columns, logrows):
    import ezkl

    wanted = ezkl.PyRunArgs()
    wanted.input_visibility, wanted.output_visibility, wanted.param_visibility = "private", "public", "fixed"
    wanted.variables = [("N", 1)]
    wanted.input_scale, wanted.param_scale, wanted.num_inner_cols = input_scale, param_scale, columns
    wanted.decomp_base, wanted.decomp_legs, wanted.logrows = base, legs, logrows
    ezkl.gen_settings(model, settings, wanted)
    chosen = json.loads(pathlib.Path(settings).read_text())
    if chosen["required_lookups"]:
        raise RuntimeError("needs lookup tables, whose range only calibration finds")
    chosen["run_args"]["lookup_range"] = [0, 0]  # as calibration sets it where nothing is looked up
    pathlib.Path(settings).write_text(json.dumps(chosen))
    ezkl.compile_circuit(model, compiled, settings)
    return chosen["num_rows"]


def stage_classes(compiled, data, witness, records):
    import ezkl

    classes = []
    for record in records:
        pathlib.Path(data).write_text(json.dumps({"input_data": [record]}))
        ezkl.gen_witness(data, compiled, witness)
        found = json.loads(pathlib.Path(witness).read_text())["pretty_elements"]["rescaled_outputs"][0]
        classes.append(max(range(len(found)), key=lambda position: float(found[position])))
    return classes


def stage_call(function, *arguments):
    import ezkl

    return getattr(ezkl, function)(*arguments) is True


def child(name, arguments, answer):
    import ezkl  # noqa: F401  (before the clock starts)

    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    result = globals()[f"stage_{name}"](*json.loads(arguments))
    after, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    pathlib.Path(answer).write_text(json.dumps({"cpu_s": cpu, "wall_s": wall, "result": result}))


def stage(folder, name, *arguments):
    """Runs one stage; what the call used, with the memory of the whole process, and what it returned."""
    answer, packed = folder / "answer.json", json.dumps(arguments, default=str)
    used, _ = launch(folder, [sys.executable, __file__, "--stage", name, packed, answer])
    call = json.loads(answer.read_text())
    return {"cpu_s": call["cpu_s"], "wall_s": call["wall_s"], "rss_mib": used["rss_mib"]}, call["result"]


class Ezkl:
    """One model under one of the settings, in a folder of its own."""

    def __init__(self, folder, model, tuning):
        self.folder, self.model, self.tuning = folder, model, tuning
        for name in ("settings", "compiled", "data", "witness", "vk", "pk", "proof"):
            setattr(self, name, folder / name)
        self.srs = folder.parent / f"srs-{tuning[-1]}"
        folder.mkdir()

    def try_out(self, records, classes, agreeing):
        """Compiles and sets up, if these settings are right often enough; says what they are."""
        _, rows = stage(self.folder, "settings", self.model, self.settings, self.compiled, *self.tuning)
        _, found = stage(self.folder, "classes", self.compiled, self.data, self.witness, records)
        right = sum(map(int.__eq__, found, classes))
        if right < agreeing - len(records) // 100:
            raise RuntimeError(f"{right} of {len(records)} classes as in floats, ours has {agreeing}")
        if not self.srs.exists():
            stage(self.folder, "call", "gen_srs", self.srs, self.tuning[-1])
        setup, _ = stage(self.folder, "call", "setup", self.compiled, self.vk, self.pk, self.srs)
        setup |= {"pk_bytes": self.pk.stat().st_size, "vk_bytes": self.vk.stat().st_size}
        return {"settings": dict(zip(NAMES, self.tuning)), "rows": rows, "agreeing": right, "setup": setup}

    def prove_and_verify(self, record):
        self.data.write_text(json.dumps({"input_data": [record]}))
        first, _ = stage(self.folder, "call", "gen_witness", self.data, self.compiled, self.witness)
        proven, _ = stage(self.folder, "call", "prove", self.witness, self.compiled, self.pk, self.proof, self.srs)
        checked, true = stage(self.folder, "call", "verify", self.proof, self.settings, self.vk, self.srs)
        if true is not True:
            raise RuntimeError("EZKL's verify did not return true")
        return {
            "prove_cpu_s": first["cpu_s"] + proven["cpu_s"], "prove_wall_s": first["wall_s"] + proven["wall_s"],
            "prove_rss_mib": max(first["rss_mib"], proven["rss_mib"]),
            "verify_cpu_s": checked["cpu_s"], "verify_wall_s": checked["wall_s"], "verify_rss_mib": checked["rss_mib"],
            "proof_bytes": (len(json.loads(self.proof.read_text())["hex_proof"]) - 2) // 2,
            "proof_file_bytes": self.proof.stat().st_size,
        }


def tuned(folder, name, records, classes, agreeing):
    """The settings under which EZKL proves for the least CPU time, among those that are right often enough."""
    best = None
    for number, tuning in enumerate(SETTINGS[name]):
        peer = Ezkl(folder / f"settings-{number}", folder / "model.onnx", tuning)
        try:
            about = peer.try_out(records, classes, agreeing)
            cpu = peer.prove_and_verify(records[0])["prove_cpu_s"]
        except RuntimeError as error:
            print(f"{name} {tuning}: left out: {error}", file=sys.stderr)
        else:
            print(f"{name} {tuning}: {about['rows']} rows, proves in {cpu:.3f} CPU-s", file=sys.stderr)
            if best is None or cpu < best[0]:
                best, peer = (cpu, peer, about), best and best[1]
        if peer:
            shutil.rmtree(peer.folder)  # of the two, the one that is not kept: proving keys are large
    if best is None:
        raise RuntimeError(f"EZKL cannot do {name} under any of the settings")
    return best[1:]


def ours(binary, folder, header, record):
    (folder / "record.csv").write_text(",".join(header) + "\n" + ",".join(record) + "\n")
    proof, quiet = folder / "run.proof", ["--quiet", "--home", folder / "home"]
    model, published = folder / "registered.sgm", folder / "registered.sgr"
    proven, _ = launch(folder, [binary, "prove", model, "--input", folder / "record.csv", "--out", proof, *quiet])
    checked, _ = launch(folder, [binary, "verify", proof, "--model", published, *quiet])
    both = {"prove": proven, "verify": checked}
    sizes = {"proof_bytes": proof.stat().st_size, "proof_file_bytes": proof.stat().st_size}
    return {f"{step}_{key}": value for step, used in both.items() for key, value in used.items()} | sizes


def measure(binary, name, count, check):
    data = ROOT / "models" / "data" / MODELS[name]
    with open(f"{data}-test.csv", newline="") as file:
        header, *lines = list(csv.reader(file))[:max(count, check) + 1]
    records = [[float(value) for value in line[:-1]] for line in lines]  # the last column is the label
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        source, prepared, test = ROOT / "models" / f"{name}.onnx", folder / "model.onnx", folder / "test.csv"
        test.write_text("\n".join(",".join(line) for line in [header, *lines]) + "\n")
        command = [binary, "model", "import", source, "--calibrate", f"{data}-calibration.csv", "--test", test, "--json"]
        _, said = launch(folder, [*command, "--out", folder / "model.sgm", "--home", folder / "home"])
        agreeing = json.loads(said)["accuracy"]["agreeing"]
        register = [binary, "model", "register", folder / "model.sgm", "--out", folder / "registered.sgm"]
        launch(folder, [*register, "--quiet", "--home", folder / "home"])
        _, classes = stage(folder, "prepare", source, prepared, records)
        start, _ = stage(folder, "start")
        peer, about = tuned(folder, name, records, classes, agreeing)
        own = [ours(binary, folder, header[:-1], line[:-1]) for line in lines[:count]]
        other = [peer.prove_and_verify(record) for record in records[:count]]
    about["start_rss_mib"] = start["rss_mib"]
    result = {"model": name, "records": len(records), "agreeing": agreeing, "ezkl": about, "measures": {}}
    for key in own[0]:
        mine, theirs = [run[key] for run in own], [run[key] for run in other]
        ratio = statistics.median(theirs) / statistics.median(mine)
        result["measures"][key] = {"ratio": ratio, "sealgrid": mine, "ezkl": theirs}
    return result


def shown(key, values):
    value = statistics.median(values)
    if key.endswith("_s"):
        return f"{value * 1e3:,.1f} ms"
    return f"{value:,.0f} MiB" if key.endswith("_mib") else f"{value / 1024:,.1f} KiB"


def table(document):
    print(", ".join(f"{key} {value}" for key, value in document["versions"].items()), end="; ")
    print(f"{document['proofs']} proofs, medians; threads: {document['threads']}\n")
    print(f"{'model':<18} {'measure':<16} {'sealgrid':>12} {'EZKL':>14} {'EZKL/sealgrid':>14}")
    for row in document["models"]:
        for key, each in row["measures"].items():
            better = "  EZKL is better" if each["ratio"] < 1 else ""
            own, other = shown(key, each["sealgrid"]), shown(key, each["ezkl"])
            print(f"{row['model']:<18} {key.rsplit('_', 1)[0]:<16} {own:>12} {other:>14} {each['ratio']:>14.3g}{better}")
        about, setup = row["ezkl"], row["ezkl"]["setup"]
        print(f"  EZKL: {', '.join(f'{key} {value}' for key, value in about['settings'].items())}; {about['rows']} rows")
        print(f"  EZKL, not counted: setup {setup['cpu_s']:.2f} CPU-s, {setup['rss_mib']:,.0f} MiB; proving key "
              f"{setup['pk_bytes'] / 2**20:,.1f} MiB; Python with ezkl alone {about['start_rss_mib']:.0f} MiB")
        print(f"  class as in floats: sealgrid {row['agreeing']}, EZKL {about['agreeing']} of {row['records']}\n")
    print("proof: EZKL's bytes in binary, without the results; proof_file: what its prover writes (JSON).\n"
          "Weights are private on both sides. Our verifier checks the model's registration as well, each time.\n"
          "EZKL needs a trusted setup and a setup for each model, sealgrid a registration that anybody checks and that\n"
          "bears 31 proofs; it rests on pairings, we on a hash.")


def main():
    if sys.argv[1:2] == ["--stage"]:
        return child(*sys.argv[2:])
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", action="append", choices=MODELS, help="only this one; may be repeated")
    arguments.add_argument("--proofs", type=int, default=5, help="proofs of each model, of one record each [5]")
    arguments.add_argument("--check", type=int, default=100, help="records that the classes are compared on [100]")
    arguments.add_argument("--threads", type=int, default=1, help="threads on either side [1]")
    arguments.add_argument("--sealgrid", type=pathlib.Path, default=ROOT / "target" / "release" / "sealgrid")
    arguments.add_argument("--json", action="store_true", help="every measurement instead of the table")
    given = arguments.parse_args()
    for package in ("ezkl", "onnx"):
        if importlib.util.find_spec(package) is None:
            sys.exit(f"{package} is not installed: pip install ezkl onnx")
    if not given.sealgrid.is_file():
        sys.exit("no release build of sealgrid: cargo build --release, or --sealgrid FILE")
    os.environ["RAYON_NUM_THREADS"] = str(given.threads)
    versions = {package: importlib.metadata.version(package) for package in ("ezkl", "onnx")}
    versions["python"] = platform.python_version()
    try:
        models = [measure(given.sealgrid.resolve(), name, given.proofs, given.check) for name in given.model or MODELS]
    except RuntimeError as error:
        sys.exit(f"failed: {error}")
    document = {"versions": versions, "proofs": given.proofs, "threads": given.threads, "models": models}
    if given.json:
        json.dump(document, sys.stdout, indent=1)
        print()
    else:
        table(document)


if __name__ == "__main__":
    main()
