#!/usr/bin/env python3
"""What a user would run instead: a Python worker of v1's kind, with PIL, NumPy, ONNX Runtime and redis-py.

It knows v1's fields, keys and commands (docs/PROTOCOL.md), and finds objects as YOLOX's ONNX Runtime demo does. ONNX
Runtime has its defaults, unless `--threads` says how many threads one inference may use. Written to be as fast as such
a program is without effort: what stays the same from frame to frame is computed once.
"""

import argparse
import io
import os
import pathlib
import sys

import numpy
import onnxruntime
import redis
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
GROUP = "cg:images"
STRIDES = (8, 16, 32)
PADDING = 114
SCORE, OVERLAP = 0.3, 0.45


class Detector:
    def __init__(self, model, threads=0):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        entry = self.session.get_inputs()[0]
        self.name, (_, _, self.height, self.width) = entry.name, entry.shape
        self.cells, self.strides = grid(self.width, self.height)

    def preprocess(self, image):
        """The model's input, and how much smaller the picture is in it."""
        ratio = min(self.width / image.width, self.height / image.height)
        size = (int(image.width * ratio), int(image.height * ratio))
        canvas = numpy.full((self.height, self.width, 3), PADDING, dtype=numpy.uint8)
        canvas[: size[1], : size[0]] = numpy.asarray(image.resize(size, Image.Resampling.BILINEAR))
        blue_first = canvas[..., ::-1].transpose(2, 0, 1)
        return numpy.ascontiguousarray(blue_first, dtype=numpy.float32)[None], ratio

    def run(self, tensor):
        return self.session.run(None, {self.name: tensor})[0]

    def postprocess(self, output, ratio):
        """(class, score, corners in the picture's pixels) of each object."""
        rows = output[0]
        scores = rows[:, 4:5] * rows[:, 5:]
        classes = scores.argmax(axis=1)
        best = scores[numpy.arange(len(scores)), classes]
        chosen = numpy.flatnonzero(best > SCORE)
        rows, classes, best = rows[chosen], classes[chosen], best[chosen]
        centres = (rows[:, :2] + self.cells[chosen]) * self.strides[chosen]
        sizes = numpy.exp(rows[:, 2:4]) * self.strides[chosen]
        corners = numpy.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1) / ratio
        return [(classes[index], best[index], corners[index]) for index in without_overlaps(corners, best)]

    def detect(self, jpeg):
        """The picture's height, and its objects."""
        image = Image.open(io.BytesIO(jpeg)).convert("RGB")
        tensor, ratio = self.preprocess(image)
        return image.height, self.postprocess(self.run(tensor), ratio)


def grid(width, height):
    """Of each row of the output: the cell that it belongs to, and that cell's side in pixels."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = numpy.mgrid[: height // stride, : width // stride]
        cells.append(numpy.stack([columns.ravel(), rows.ravel()], axis=1))
        strides.append(numpy.full((rows.size, 1), stride))
    return numpy.concatenate(cells), numpy.concatenate(strides)


def without_overlaps(corners, scores):
    """Indices of the boxes that stay when each suppresses those of lower score that it overlaps."""
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    left, kept = scores.argsort()[::-1], []
    while left.size:
        first, rest = left[0], left[1:]
        kept.append(first)
        low = numpy.maximum(corners[first, :2], corners[rest, :2])
        high = numpy.minimum(corners[first, 2:], corners[rest, 2:])
        shared = numpy.prod(numpy.maximum(high - low, 0), axis=1)
        left = rest[shared / (areas[first] + areas[rest] - shared) <= OVERLAP]
    return kept


def prediction(fields, height, objects, labels):
    entry = {"participantId": fields[b"participantId"], "timestamp": fields[b"timestamp"], "pcount": len(objects)}
    if objects:
        entry["res"] = height
    for index, (label, score, corners) in enumerate(objects):
        entry[f"p{index}"] = f"{labels[label]}|{score:.4f}|" + ";".join(str(int(corner)) for corner in corners)
    return entry


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("redis")
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=0, help="of one inference; 0: ONNX Runtime's default")
    options = parser.parse_args()
    labels = (ROOT / "models/coco.txt").read_text().splitlines()
    detector = Detector(options.model, options.threads)
    client = redis.Redis.from_url(options.redis, socket_timeout=None)
    try:
        client.xgroup_create("images", GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
    print("ready", flush=True)
    while True:
        for _, entries in client.xreadgroup(GROUP, f"v1-{os.getpid()}", {"images": ">"}, count=1, block=0):
            for entry_id, fields in entries:
                if not fields:
                    continue  # It was trimmed while it waited.
                height, objects = detector.detect(fields[b"img"])
                client.xadd("predictions", prediction(fields, height, objects, labels), maxlen=1000)
                client.xack("images", GROUP, entry_id)


if __name__ == "__main__":
    sys.exit(main())
