#!/usr/bin/env python3
"""Tests of dynamic.py: python3 models/test_dynamic.py (needs onnx, onnxruntime, numpy, and the data folder)."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is imported

import unittest
from pathlib import Path

import dynamic
import numpy as np
import onnx
import onnxruntime

MODELS = Path(__file__).resolve().parent
DATA = Path(os.environ.get("SIGHTLINE_DATA") or MODELS.parent.parent / "shared" / "data")
NANO = DATA / "models" / "yolox_nano.onnx"


class Dynamic(unittest.TestCase):
    def test_each_picture_of_a_batch_gives_what_it_gives_alone(self):
        model = onnx.load(NANO)
        load = lambda: onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        alone = load()
        dynamic.free_batch(model)
        together = load()
        pictures = np.random.default_rng(1).integers(0, 256, (3, 3, 416, 416)).astype(np.float32)
        found = together.run(None, {"images": pictures})[0]
        for picture, rows in zip(pictures, found, strict=True):
            np.testing.assert_allclose(rows, alone.run(None, {"images": picture[None]})[0][0], rtol=1e-3, atol=1e-3)

    def test_says_why_it_cannot(self):
        model = onnx.load(MODELS / "blobs.onnx")
        model.graph.output.add().CopyFrom(model.graph.output[0])
        with self.assertRaisesRegex(ValueError, "1 inputs and 2 outputs: YOLOX has one of each"):
            dynamic.free_batch(model)


if __name__ == "__main__":
    unittest.main()
