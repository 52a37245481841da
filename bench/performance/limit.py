#!/usr/bin/env python3
"""The bare limit: ONNX Runtime in a loop of one thread on a picture that is preprocessed already, and nothing else.

For each line on standard input, a number of seconds, one line: the runs in them, the seconds they really took, and
those of the processor.
"""

import pathlib
import sys
import time

from PIL import Image

import v1_worker


def main(model, picture):
    detector = v1_worker.Detector(model, threads=1)
    tensor, _ = detector.preprocess(Image.open(pathlib.Path(picture)).convert("RGB"))
    detector.run(tensor)
    print("ready", flush=True)
    for line in sys.stdin:
        runs, begin, cpu = 0, time.monotonic(), time.process_time()
        while (took := time.monotonic() - begin) < float(line):
            detector.run(tensor)
            runs += 1
        print(runs, took, time.process_time() - cpu, flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
