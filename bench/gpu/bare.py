#!/usr/bin/env python3
"""Bare ONNX Runtime on a GPU: frames a second by the size of a batch, as JSON on standard output.

`stock`: a loop as most people write it, from numpy to numpy. `recorded`: what a run takes at least, as `trtexec` measures it: input and
output stay on the device, and the run is a recorded CUDA graph. The same in 16 bits; and TensorRT in both where it loads.
"""

import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is imported

import numpy as np
import onnx
import onnxruntime
from onnxruntime.transformers.float16 import convert_float_to_float16

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "models"))
import dynamic  # noqa: E402

BATCHES = (1, 2, 4, 8, 16, 32, 64)
FEW = (1, 4, 16, 64)
SECONDS = 0.5
LEAST_RUNS = 10


def session(model, provider, **settings):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    made = onnxruntime.InferenceSession(
        str(model), options, providers=[(provider, {name: str(value) for name, value in settings.items()})]
    )
    if made.get_providers()[0] != provider:
        raise SystemExit(f"{provider} does not load")
    return made


def pictures(batch, size):
    return np.random.default_rng(1).integers(0, 256, (batch, 3, *size)).astype(np.float32)


def measured(run):
    """(Milliseconds of the first run, median of the others.)"""
    begin = time.perf_counter()
    run()
    first = time.perf_counter() - begin
    run()
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < LEAST_RUNS:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return first * 1000, statistics.median(times) * 1000


def stock(made, batch, size):
    name, picture = made.get_inputs()[0].name, pictures(batch, size)
    return lambda: made.run(None, {name: picture})


def recorded(made, batch, size):
    cuda = onnxruntime.OrtValue
    name, output = made.get_inputs()[0].name, made.get_outputs()[0]
    binding, options = made.io_binding(), onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(batch))
    held = cuda.ortvalue_from_numpy(pictures(batch, size), "cuda", 0)
    result = cuda.ortvalue_from_shape_and_type([batch, *output.shape[1:]], np.float32, "cuda", 0)
    binding.bind_ortvalue_input(name, held)
    binding.bind_ortvalue_output(output.name, result)
    return lambda: made.run_with_iobinding(binding, options)


def table(make, way, batches, size):
    rows = {}
    for batch in batches:
        first, each = measured(way(make, batch, size))
        rows[batch] = {"ms": round(each, 3), "frames_a_second": round(batch / each * 1000), "first_ms": round(first)}
    return rows


def main(model):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        single, half = folder / "single.onnx", folder / "half.onnx"
        dynamic.convert(model, single)
        loaded = onnx.load(single)
        size = [side.dim_value for side in loaded.graph.input[0].type.tensor_type.shape.dim[2:]]
        onnx.save(convert_float_to_float16(loaded, keep_io_types=True, disable_shape_infer=True), half)
        cuda = lambda file, **more: session(file, "CUDAExecutionProvider", **more)
        graph = {"enable_cuda_graph": 1, "cudnn_conv_algo_search": "HEURISTIC"}
        ways = {
            "stock": lambda: table(cuda(single), stock, FEW, size),
            "recorded": lambda: table(cuda(single, **graph), recorded, BATCHES, size),
            "recorded, 16 bits": lambda: table(cuda(half, **graph), recorded, FEW, size),
        }
        if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
            rt = lambda file, **more: session(file, "TensorrtExecutionProvider", trt_cuda_graph_enable=1, **more)
            ways["TensorRT"] = lambda: table(rt(single), recorded, FEW, size)
            ways["TensorRT, 16 bits"] = lambda: table(rt(single, trt_fp16_enable=1), recorded, FEW, size)
        results = {}
        for way, measure in ways.items():
            try:
                results[way] = measure()
            except (SystemExit, Exception) as error:  # noqa: BLE001: whatever it is, it does not run
                results[way] = {"failed": str(error)[:200]}
            print(way, results[way], file=sys.stderr, flush=True)
    print(json.dumps({"onnxruntime": onnxruntime.__version__, "ways": results}))


if __name__ == "__main__":
    main(*sys.argv[1:])
