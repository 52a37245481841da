#!/usr/bin/env python3
"""Ways to run YOLOX-Nano faster on one processor thread: speed beside stock ONNX Runtime, and what is still found.

Every way is timed in turn with the stock one, round by round, in processor time; the median of the rounds' ratios is
what counts. Each has its mAP on the 80 pictures of COCO val2017 in the data folder and its agreement with YOLOX's own
demo beside it. Models of 8 bits are calibrated with one half of the pictures and judged by the other.

    pip install -r bench/inference/requirements.txt
    cargo build --release --workspace && python3 bench/inference/run.py
"""

import argparse
import hashlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "models"))

try:
    import numpy as np
    import onnx
    import onnxruntime
    import variants
    from judge import Judge

    import resize
except ImportError as error:
    sys.exit(f"inference: {error}; install what the bench needs: pip install -r bench/inference/requirements.txt")

SIZE = 416
SHAPES = {"4:3": (416, 320), "16:9": (416, 256)}
CALIBRATION = 24  # pictures
JUDGED = 4  # pictures for the accuracy of single layers
GOAL = {"times_stock": 1.25, "map_lost": 0.2}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default_data = os.environ.get("SIGHTLINE_DATA") or REPOSITORY.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(default_data), help="the data folder")
    parser.add_argument("--rounds", type=int, default=25, help="how often everything is timed")
    parser.add_argument("--rewriter", type=Path, help="sightline-bench (default: the newest in target/)")
    parser.add_argument("--only", type=re.compile, default=re.compile(""), help="of the ways, those whose name has this pattern")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "bench" / "results" / "inference.json")
    return parser.parse_args()


def newest_rewriter():
    built = [REPOSITORY / "target" / profile / "sightline-bench" for profile in ("release", "debug")]
    built = [path for path in built if path.is_file()]
    if not built:
        sys.exit("inference: sightline-bench is not built: run `cargo build --release --workspace`")
    return max(built, key=lambda path: path.stat().st_mtime)


class Bench:
    def __init__(self, options, folder):
        self.folder = folder
        self.source = str(options.data / "models" / "yolox_nano.onnx")
        self.rewriter = options.rewriter or newest_rewriter()
        labels = (REPOSITORY / "models" / "coco.txt").read_text().split("\n")
        reference = json.loads((options.data / "reference" / "detections.json").read_text())
        self.judge = Judge(options.data, [label for label in labels if label], reference, (SIZE, SIZE))
        names = list(self.judge.inputs)
        self.halves = names[0::2], names[1::2]
        self.picture = self.judge.inputs["dog.jpg"][0]
        self.only = options.only
        self.failed, self.known = {}, {}

    def pictures(self, names):
        return [self.judge.inputs[name][0] for name in names]

    def rewritten(self, source):
        """{rule: model} as yoloxdetect rewrites it."""
        target = self.folder / Path(source).stem
        target.mkdir()
        command = [self.rewriter, "rewrite", source, target]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        return {rule: str(target / f"{rule}.onnx") for rule in json.loads(done.stdout)}

    def reshaped(self, width, height):
        target = self.folder / f"{width}x{height}.onnx"
        model = onnx.load(self.source)
        resize.resize(model, width, height)
        onnx.save(model, target)
        return self.rewritten(target)["all"]

    def try_out(self, name, make):
        """A way to run the model, with what it finds; or nothing, and a note why it does not run."""
        try:
            run, outputs = make()
            found = self.judged(outputs)
        except Exception as error:  # what other people's programs throw is not known
            self.failed[name] = f"{type(error).__name__}: {error}".split("\n")[0][:300]
            print(f"{name}: does not run: {self.failed[name]}", flush=True)
            return None
        print(f"{name}: {found}", flush=True)
        return run, found

    def judged(self, outputs):
        """What is found; the same outputs are judged once."""
        key = hashlib.sha256(b"".join(output.tobytes() for output in outputs.values())).digest()
        if key not in self.known:
            self.known[key] = self.judge(outputs)
        return self.known[key]

    def all(self, run):
        return run, self.judge.outputs(run)

    def crosswise(self, make):
        """A way to run the model, and outputs for all pictures, each by one calibrated with the other half of them."""
        outputs, first = {}, None
        for calibrated, judged in (self.halves, self.halves[::-1]):
            run = make(self.pictures(calibrated[:CALIBRATION]))
            outputs |= {name: np.array(run(self.judge.inputs[name][0])).reshape(-1, 85) for name in judged}
            first = first or run
        return first, outputs


def without_padding(bench, models):
    """Outputs for all pictures, each by a model no larger than it needs to be; what is padding has no objects."""
    outputs = {}
    for name, (picture, ratio, width, height) in bench.judge.inputs.items():
        fitted = [-(-int(side * ratio) // 32) * 32 for side in (width, height)]
        shape = tuple(min(SIZE, side) for side in fitted)
        if shape not in models:
            models[shape] = variants.onnx_runtime(bench.reshaped(*shape) if shape != (SIZE, SIZE) else bench.source)
        predictions = models[shape](np.ascontiguousarray(picture[:, :, : shape[1], : shape[0]]))[0]
        outputs[name] = spread(predictions, shape)
    return outputs


def spread(predictions, shape):
    """Predictions of a smaller picture, where they are in the whole one."""
    parts, start = [], 0
    for stride in resize.STRIDES:
        rows, columns, side = shape[1] // stride, shape[0] // stride, SIZE // stride
        part = np.zeros((side, side, predictions.shape[1]), np.float32)
        part[:rows, :columns] = predictions[start : start + rows * columns].reshape(rows, columns, -1)
        parts.append(part.reshape(side * side, -1))
        start += rows * columns
    return np.concatenate(parts)


def ways(bench):
    """{name: (function, what it finds, its input)} of all that runs; the first is the stock one."""
    level = onnxruntime.GraphOptimizationLevel
    run = variants.onnx_runtime
    source, rewritten = bench.source, bench.rewritten(bench.source)
    whole = variants.WholeNumbers(source, bench.folder)
    pointwise, many = whole.pointwise(), whole.pointwise(variants.MANY_CHANNELS)

    def eight_bits(nodes):
        return lambda pictures: run(str(whole.quantise(nodes, pictures)))

    def openvino_eight_bits(pointwise_only):
        return lambda pictures: variants.openvino(variants.nncf(source, pictures, pointwise_only), "f32")

    plain = {
        "stock": lambda: run(source),
        "ONNX Runtime: basic optimisation": lambda: run(source, level=level.ORT_ENABLE_BASIC),
        "ONNX Runtime: extended optimisation": lambda: run(source, level=level.ORT_ENABLE_EXTENDED),
        "ONNX Runtime: SiLU not fused": lambda: run(source, disabled=["QuickGeluFusion"]),
        "ONNX Runtime: denormals as zero": lambda: run(source, **{"session.set_denormal_as_zero": "1"}),
        "ONNX Runtime: input and output bound": lambda: variants.bound(source, (SIZE, SIZE)),
        **{f"rewritten: {rule}": lambda path=path: run(path) for rule, path in rewritten.items()},
        "OpenVINO: 32 bits": lambda: variants.openvino(source, "f32"),
        "OpenVINO: bf16": lambda: variants.openvino(source, "bf16"),
        "OpenVINO: 32 bits, rewritten": lambda: variants.openvino(rewritten["all"], "f32"),
        "OpenVINO: bf16, rewritten": lambda: variants.openvino(rewritten["all"], "bf16"),
        "MNN: 32 bits": lambda: variants.mnn(source, bench.folder),
    }
    calibrated = {
        "ONNX Runtime: 8 bits": eight_bits(list(whole.convolutions)),
        "ONNX Runtime: 8 bits, 1×1 only": eight_bits(pointwise),
        f"ONNX Runtime: 8 bits, 1×1 of {variants.MANY_CHANNELS} channels and more": eight_bits(many),
        "OpenVINO: 8 bits": openvino_eight_bits(pointwise_only=False),
        "OpenVINO: 8 bits, 1×1 only": openvino_eight_bits(pointwise_only=True),
    }

    def wanted(those):
        return {name: way for name, way in those.items() if name == "stock" or bench.only.search(name)}

    found = {name: bench.try_out(name, lambda make=make: bench.all(make())) for name, make in wanted(plain).items()}
    found |= {name: bench.try_out(name, lambda make=make: bench.crosswise(make)) for name, make in wanted(calibrated).items()}
    result = {name: (*entry, bench.picture) for name, entry in found.items() if entry}
    shapes = {f"without padding, {name} ({width}×{height})": (width, height) for name, (width, height) in SHAPES.items()}
    if shapes := wanted(shapes):
        models = {}
        fitted = bench.judged(without_padding(bench, models))
        for name, (width, height) in shapes.items():
            if (width, height) not in models:
                models[width, height] = run(bench.reshaped(width, height))
            result[name] = (models[width, height], fitted, np.ascontiguousarray(bench.picture[:, :, :height, :width]))
    if not bench.only.search("layers"):
        return result, {}
    layers = whole.sensitivity(bench.pictures(bench.halves[0][:CALIBRATION]), bench.pictures(bench.halves[1][:JUDGED]))
    return result, layers


def times(runs, rounds):
    """{name: [milliseconds of processor time]}, one of each round."""
    taken = {name: [] for name in runs}
    for round_ in range(-1, rounds):
        for name, (run, _, picture) in runs.items():
            before = time.process_time()
            run(picture)
            run(picture)
            if round_ >= 0:  # the first only warms up
                taken[name].append((time.process_time() - before) / 2 * 1000)
    return taken


def table(runs, taken):
    stock, accuracy = taken["stock"], runs["stock"][1]["map"]
    rows = {}
    for name, (_, found, _) in runs.items():
        ratio = statistics.median(old / new for old, new in zip(stock, taken[name], strict=True))
        lost = round(accuracy - found["map"], 2)
        good = ratio >= GOAL["times_stock"] and lost <= GOAL["map_lost"]
        rows[name] = {
            "times_stock": round(ratio, 3), "cpu_ms": round(statistics.median(taken[name]), 2),
            "map_lost": lost, **found, "reaches_goal": good,
        }  # fmt: skip
    return rows


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split(":")[1].split() for line in lines if line.startswith("flags")), [])
    wide = [flag for flag in flags if flag in ("avx2", "avx512f", "avx512_vnni", "amx_bf16", "amx_int8")]
    return {"name": names[0] if names else platform.machine(), "count": os.cpu_count(), "has": wide}


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        runs, layers = ways(bench)
        taken = times(runs, options.rounds)
        rows = table(runs, taken)
        result = {
            "machine": processor(), "load_average": os.getloadavg()[0], "rounds": options.rounds,
            "onnxruntime": onnxruntime.__version__, "goal": GOAL, "ways": rows, "do_not_run": bench.failed,
            "eight_bits_by_layer": layers,
        }  # fmt: skip
    for name, row in rows.items():
        print(f"{name:60} {row['times_stock']:6.3f} × stock  {row['cpu_ms']:7.2f} ms  mAP {row['map']:5.2f}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
