#!/usr/bin/env python3
"""How fast are the elements? Measures them in turn with what they are compared to and judges the medians.

Preprocessing: from a frame of video to the model's input, beside OpenCV's resize, pad and transpose on one thread.
               OpenCV is given BGR; for information its conversion from I420 is added, which ours always includes.
Postprocessing: from the model's output for a busy street to objects.
Inference's share: of the CPU time of `filesrc ! … ! yoloxdetect ! fakesink`, what ONNX Runtime's run takes.
Overlay:       20 labelled boxes that move, on 1280x720.

    pip install -r bench/requirements.txt
    cargo build --release --workspace && python3 bench/elements/run.py

The data folder (SIGHTLINE_DATA, by default ../shared/data beside the repository) holds models/yolox_nano.onnx,
coco-tiny/ and video/bikes.mp4. The command exits with 1 when a figure is beyond its limit.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
REQUIREMENTS = "pip install -r bench/requirements.txt"

try:
    import cv2
    import numpy
    import onnxruntime
except ImportError as error:
    sys.exit(f"elements: Python module {error.name!r} is missing; install what the bench needs: {REQUIREMENTS}")

INPUT = 416
STREET = "000000184324.jpg"  # people, cars, a bicycle and a motorcycle: the most that are in one picture of coco-tiny
FRAME = 100  # of bikes.mp4
SECONDS = 0.3  # that OpenCV is measured for in each round; ours takes as long

# name -> (limit, is at most)
LIMITS = {
    "preprocess I420 640x480 ms": (0.35, True),
    "preprocess I420 640x480 of OpenCV's": (0.6, True),
    "preprocess I420 1280x720 ms": (0.6, True),
    "preprocess BGR 640x480 values that differ from OpenCV's": (0, True),
    "postprocess busy street ms": (0.12, True),
    "share of ONNX Runtime's run, raw frames, percent": (92.0, False),
    "overlay 1280x720, 20 boxes ms": (1.0, True),
}


class BenchError(Exception):
    """Something the bench needs is not there, or does not run."""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default_data = os.environ.get("SIGHTLINE_DATA") or REPOSITORY.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(default_data), help="the data folder")
    parser.add_argument("--rounds", type=int, default=15, help="how often everything is measured")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "bench" / "results" / "elements.json")
    return parser.parse_args()


def run(*command, environment=None):
    environment = {**os.environ, "GST_PLUGIN_PATH": str(REPOSITORY / "target" / "release"), **(environment or {})}
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    except FileNotFoundError as error:
        raise BenchError(f"{command[0]} is missing: run `make build`, and install GStreamer's tools") from error
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"no end after 300 s: {' '.join(command)}") from error
    if done.returncode:
        raise BenchError(f"exit code {done.returncode} from: {' '.join(command)}\n{done.stderr.strip()[-2000:]}")
    return done.stdout


def ours(*measurement):
    return json.loads(run(REPOSITORY / "target" / "release" / "sightline-bench", *measurement))


def median_ms(function):
    function()
    start, times = time.perf_counter(), []
    while time.perf_counter() - start < SECONDS:
        before = time.perf_counter()
        function()
        times.append(time.perf_counter() - before)
    return 1000 * statistics.median(times)


def prepare(picture):
    """OpenCV's and NumPy's way to the model's input, as YOLOX's demo does it."""
    height, width = picture.shape[:2]
    ratio = min(INPUT / height, INPUT / width)
    size = (int(width * ratio), int(height * ratio))
    padded = numpy.full((INPUT, INPUT, 3), 114, dtype=numpy.uint8)
    padded[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
    return numpy.ascontiguousarray(padded.transpose(2, 0, 1), dtype=numpy.float32)


class Material:
    """Real frames and a real model's output, as files."""

    def __init__(self, data, folder):
        self.folder = Path(folder)
        self.model, video = data / "models" / "yolox_nano.onnx", data / "video" / "bikes.mp4"
        street = data / "coco-tiny" / "images" / STREET
        for path in (self.model, video, street):
            if not path.is_file():
                raise BenchError(
                    f"missing: {path}\nSet SIGHTLINE_DATA (or --data) to the folder with the test data."
                )
        self.video = video
        self.frames = {size: self.decode(size) for size in ((640, 480), (1280, 720))}
        self.street, self.street_size = self.infer(cv2.imread(str(street)))

    def decode(self, size):
        """A file with all frames of the video, scaled, as I420."""
        path = self.folder / f"{size[0]}.i420"
        caps = f"video/x-raw,format=I420,width={size[0]},height={size[1]}"
        run("gst-launch-1.0", "-q", "filesrc", f"location={self.video}", "!", "decodebin", "!", "videoscale",
            "!", "videoconvert", "!", caps, "!", "filesink", f"location={path}")  # fmt: skip
        return path

    def frame(self, size):
        """(I420 as OpenCV takes it, file with it, BGR, file with it)."""
        width, height = size
        length = width * height * 3 // 2
        with self.frames[size].open("rb") as file:
            file.seek(FRAME * length)
            yuv = numpy.frombuffer(file.read(length), dtype=numpy.uint8).reshape(height * 3 // 2, width)
        bgr = cv2.cvtColor(yuv, cv2.COLOR_YUV2BGR_I420)
        paths = [self.folder / f"{width}-frame.{name}" for name in ("i420", "bgr")]
        for path, pixels in zip(paths, (yuv, bgr), strict=True):
            path.write_bytes(pixels.tobytes())
        return yuv, paths[0], bgr, paths[1]

    def infer(self, picture):
        """(File with the model's output for a picture, the picture's width and height)."""
        session = onnxruntime.InferenceSession(str(self.model), providers=["CPUExecutionProvider"])
        output = session.run(None, {session.get_inputs()[0].name: prepare(picture)[None]})[0]
        path = self.folder / "street.f32"
        path.write_bytes(output.astype("<f4").tobytes())
        return path, (picture.shape[1], picture.shape[0])


def preprocessing(material, figures):
    for size in ((640, 480), (1280, 720)):
        name = f"{size[0]}x{size[1]}"
        yuv, yuv_file, bgr, bgr_file = material.frame(size)
        ours_ms = ours("preprocess", "I420", *size, yuv_file)["ms"]
        opencv_ms = median_ms(lambda: prepare(bgr))
        converting_ms = median_ms(lambda: prepare(cv2.cvtColor(yuv, cv2.COLOR_YUV2BGR_I420)))
        scaled_size = (INPUT, INPUT * size[1] // size[0])
        resize_ms = median_ms(lambda: cv2.resize(bgr, scaled_size, interpolation=cv2.INTER_LINEAR))
        tensor = material.folder / "tensor.f32"
        bgr_ms = ours("preprocess", "BGR", *size, bgr_file, tensor)["ms"]
        differ = numpy.count_nonzero(numpy.fromfile(tensor, dtype="<f4") != prepare(bgr).ravel())
        add(figures, f"preprocess I420 {name} ms", ours_ms)
        add(figures, f"OpenCV from BGR {name} ms", opencv_ms)
        add(figures, f"OpenCV from I420 {name} ms", converting_ms)
        add(figures, f"OpenCV resize alone {name} ms", resize_ms)
        add(figures, f"preprocess I420 {name} of OpenCV's", ours_ms / opencv_ms)
        add(figures, f"preprocess I420 {name} of OpenCV's with conversion", ours_ms / converting_ms)
        add(figures, f"preprocess BGR {name} of OpenCV's", bgr_ms / opencv_ms)
        add(figures, f"preprocess BGR {name} values that differ from OpenCV's", int(differ))
        for pixel_format in ("NV12", "GRAY8"):
            # The same bytes; what they show does not matter for the time.
            other_ms = ours("preprocess", pixel_format, *size, yuv_file)["ms"]
            add(figures, f"preprocess {pixel_format} {name} of OpenCV's", other_ms / opencv_ms)


def postprocessing(material, figures):
    found = ours("postprocess", material.street, *material.street_size)
    add(figures, "postprocess busy street ms", found["class-agnostic"]["ms"])
    add(figures, "postprocess busy street, class-aware ms", found["class-aware"]["ms"])


def overlay(_material, figures):
    found = ours("overlay", "I420", 1280, 720)
    add(figures, "overlay 1280x720, 20 boxes ms", found["blend_ms"])
    add(figures, "overlay 1280x720, 20 boxes that stay ms", found["blend_still_ms"])
    add(figures, "overlay 1280x720, 20 boxes, attached ms", found["attach_ms"])
    add(figures, "overlay 1280x720, nothing found ms", found["nothing_found_ms"])


class Clock:
    """Runs pipelines with an ONNX Runtime that measures the CPU time of its runs."""

    def __init__(self, folder):
        self.library, self.times = Path(folder) / "libort_clock.so", Path(folder) / "times.json"
        run("cc", "-O2", "-shared", "-fPIC", "-o", self.library, Path(__file__).with_name("ort_clock.c"), "-ldl")
        real = os.environ.get("ORT_DYLIB_PATH") or REPOSITORY / "target" / "release" / "libonnxruntime.so"
        self.environment = {
            "ORT_CLOCK_LIBRARY": str(Path(real).resolve()),
            "ORT_CLOCK_OUTPUT": str(self.times),
            "ORT_DYLIB_PATH": str(self.library),
        }

    def share(self, *source, model):
        """Percent of the process's CPU time."""
        self.times.unlink(missing_ok=True)
        run("gst-launch-1.0", "-q", *source, "!", "yoloxdetect", f"model={model}", "intra-threads=1",
            "!", "fakesink", environment=self.environment)  # fmt: skip
        if not self.times.is_file():
            raise BenchError("ONNX Runtime did not run: is yoloxdetect built, and does it use ORT_DYLIB_PATH?")
        times = json.loads(self.times.read_text())
        return 100 * times["inside_secs"] / times["process_secs"]


def shares(material, figures, clock):
    raw = ("filesrc", f"location={material.frames[640, 480]}", "!", "rawvideoparse", "format=i420", "width=640",
           "height=480", "framerate=25/1")  # fmt: skip
    add(figures, "share of ONNX Runtime's run, raw frames, percent", clock.share(*raw, model=material.model))
    decoded = ("filesrc", f"location={material.video}", "!", "decodebin")
    share = clock.share(*decoded, model=material.model)
    add(figures, "share of ONNX Runtime's run, H.264 decoder included, percent", share)


def add(figures, name, value):
    figures.setdefault(name, []).append(value)


def judge(figures):
    """{name: median, limit and whether it holds}."""
    result = {}
    for name, values in figures.items():
        row = {"median": round(statistics.median(values), 4), "lowest": round(min(values), 4),
               "highest": round(max(values), 4)}  # fmt: skip
        if name in LIMITS:
            limit, at_most = LIMITS[name]
            row |= {"limit": limit, "passed": row["median"] <= limit if at_most else row["median"] >= limit}
        result[name] = row
    return result


def save(path, result):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=2) + "\n")
    temporary.replace(path)


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def main():
    options = arguments()
    cv2.setNumThreads(1)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        material, clock = Material(options.data, folder), Clock(folder)
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
            preprocessing(material, figures)
            postprocessing(material, figures)
            overlay(material, figures)
            shares(material, figures, clock)

    rows = judge(figures)
    print(f"{'':64}{'median':>10}{'limit':>8}")
    for name, row in rows.items():
        verdict = "" if "passed" not in row else "" if row["passed"] else "  FAILED"
        print(f"{name:64}{row['median']:10.3f}{row.get('limit', ''):>8}{verdict}")
    failed = [name for name, row in rows.items() if not row.get("passed", True)]
    missing = [name for name in LIMITS if name not in rows]
    save(options.output, {
        "processor": processor(), "opencv": cv2.__version__, "rounds": options.rounds,
        "passed": not failed and not missing, "figures": rows,
    })  # fmt: skip
    print(f"written to {options.output}")
    for name in failed + missing:
        print(f"FAILED: {name}", file=sys.stderr)
    return 1 if failed or missing else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as problem:
        sys.exit(f"elements: {problem}")
