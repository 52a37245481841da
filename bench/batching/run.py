#!/usr/bin/env python3
"""Whether a worker on processors should infer several sessions' frames together: frames a second of YOLOX-Nano, in real pipelines.

Runs `gst-launch-1.0` with our elements, on all processors of the machine in each case: processes of one thread each that infer alone,
and one process whose streams share a model, with batches of 1, 2 and 4. Needs the real model and the Python package `onnx`.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "models"))
import dynamic  # noqa: E402

DATA = pathlib.Path(os.environ.get("SIGHTLINE_DATA", ROOT / "../shared/data"))
CORES = os.cpu_count()
STREAMS = 4
FRAMES = 120


def branch(frames, model, more):
    caps = "video/x-raw,format=I420,width=416,height=416"
    return f"videotestsrc pattern=smpte num-buffers={frames} ! {caps} ! yoloxdetect model={model} {more} ! fakesink "


def alone(frames, model):
    """Processes that infer alone, one for each core."""
    return [branch(frames, model, "intra-threads=1") for _ in range(CORES)]


def together(batch):
    def commands(frames, model):
        more = f"model-instance-id=all batch-size={batch} batch-timeout=5000000 intra-threads={CORES}"
        return [branch(frames, model, more) * STREAMS]

    return commands


CASES = {
    "alone": (alone, CORES),
    "together, batch 1": (together(1), STREAMS),
    "together, batch 2": (together(2), STREAMS),
    "together, batch 4": (together(4), STREAMS),
}


def seconds(commands, env):
    begun = time.monotonic()
    processes = [subprocess.Popen(["gst-launch-1.0", "-q", *line.split()], env=env) for line in commands]
    if any([process.wait() for process in processes]):
        raise SystemExit("a pipeline failed")
    return time.monotonic() - begun


def frames_per_second(case, model, env):
    """By the difference of a long and a short run: without loading the model."""
    commands, streams = CASES[case]
    short, long = (seconds(commands(frames, model), env) for frames in (FRAMES // 4, FRAMES + FRAMES // 4))
    return streams * FRAMES / (long - short)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "target/release")
    parser.add_argument("--result", type=pathlib.Path, default=ROOT / "bench/results/batching.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = pathlib.Path(folder) / "yolox_nano_dynamic.onnx"
        dynamic.convert(DATA / "models/yolox_nano.onnx", model)
        env = os.environ | {
            "GST_PLUGIN_PATH": str(arguments.programs),
            "GST_REGISTRY": str(pathlib.Path(folder) / "registry.bin"),
        }
        rounds = []
        for _ in range(arguments.rounds):
            rounds.append({case: frames_per_second(case, model, env) for case in CASES})
            print({case: round(rate, 1) for case, rate in rounds[-1].items()}, flush=True)
    median = {case: statistics.median(one[case] for one in rounds) for case in CASES}
    ratio = {case: statistics.median(one[case] / one["alone"] for one in rounds) for case in CASES}
    result = {
        "model": "yolox_nano fp32, processor",
        "cores": CORES,
        "processor": re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1],
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "frames_per_second": {case: round(rate, 1) for case, rate in median.items()},
        "ratio_to_alone": {case: round(value, 3) for case, value in ratio.items()},
    }
    print(json.dumps(result, indent=2))
    arguments.result.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
