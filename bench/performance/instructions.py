#!/usr/bin/env python3
"""Instructions of the functions that each frame goes through, counted by callgrind: the same on a busy machine as on a
calm one.

`sightline-bench` runs a function once and eleven times; a tenth of the difference is one run's. Valgrind shows programs
a processor with AVX2, so the counts are those of that level of vector instructions.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from PIL import Image

import bench
import v1_worker
from bench import report

FEW, MANY = 1, 11
SIZE = (640, 480)


def inputs(folder):
    """{what is measured: the program's arguments}."""
    picture = Image.open(sorted(bench.PICTURES.glob("*.jpg"))[0]).convert("RGB").resize(SIZE)
    luma, blue, red = (numpy.asarray(plane) for plane in picture.convert("YCbCr").split())
    frame = folder / "frame.i420"
    frame.write_bytes(luma.tobytes() + blue[::2, ::2].tobytes() + red[::2, ::2].tobytes())
    detector = v1_worker.Detector(bench.MODEL, threads=1)
    output = folder / "output.f32"
    detector.run(detector.preprocess(picture)[0]).astype("<f4").tofile(output)
    size = [str(side) for side in SIZE]
    return {
        "scale I420 640x480 and encode it as JPEG": ["jpeg", *size, frame],
        "preprocess I420 640x480": ["preprocess", "I420", *size, frame],
        "postprocess, both kinds of suppression": ["postprocess", output, *size],
        "encode a frame's entry": ["entries", "frame"],
        "encode an answer of 20 objects": ["entries", "prediction"],
    }


def count(program, arguments, runs):
    line = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, *arguments]
    done = subprocess.run(
        [str(word) for word in line],
        env=os.environ | {"SIGHTLINE_BENCH_RUNS": str(runs)},
        capture_output=True,
        text=True,
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        raise SystemExit(f"callgrind did not count {arguments[0]}: {done.stderr[-2000:]}")
    return int(found[1])


def measure(programs):
    with tempfile.TemporaryDirectory() as name:
        program = programs / "sightline-bench"
        return {
            what: round((count(program, arguments, MANY) - count(program, arguments, FEW)) / (MANY - FEW))
            for what, arguments in inputs(Path(name)).items()
        }


def main():
    parser = bench.arguments(__doc__, "instructions")
    options = parser.parse_args()
    load = report.Load()
    version = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    report.save(options.result, load, {}, {"counted_by": version, "instructions": measure(options.programs)})


if __name__ == "__main__":
    sys.exit(main())
