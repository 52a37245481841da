#!/usr/bin/env python3
"""Tests of resize.py: python3 models/test_resize.py (needs onnx, onnxruntime, numpy, pillow, and the data folder)."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is imported

import unittest
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import resize
from PIL import Image

MODELS = Path(__file__).resolve().parent
DATA = Path(os.environ.get("SIGHTLINE_DATA") or MODELS.parent.parent / "shared" / "data")
NANO = DATA / "models" / "yolox_nano.onnx"


class Resize(unittest.TestCase):
    def run_model(self, model, picture):
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, {"images": picture})[0][0]

    def best(self, predictions):
        """(class, score) of the surest prediction."""
        scores = predictions[:, 4:5] * predictions[:, 5:]
        return int(scores.max(0).argmax()), float(scores.max())

    def test_the_same_is_found_without_the_padding(self):
        with Image.open(DATA / "images" / "dog.jpg") as image:
            image = image.convert("RGB")
            ratio = min(416 / image.width, 416 / image.height)
            image = image.resize((int(image.width * ratio), int(image.height * ratio)))
        picture = np.full((1, 3, 416, 416), 114, np.float32)
        picture[0, :, : image.height, : image.width] = np.asarray(image)[:, :, ::-1].transpose(2, 0, 1)
        width, height = (-(-side // 32) * 32 for side in image.size)
        self.assertLess(width * height, 416 * 416, "this picture is not padded")
        model = onnx.load(NANO)
        label, score = self.best(self.run_model(model, picture))
        resize.resize(model, width, height)
        smaller = self.run_model(model, np.ascontiguousarray(picture[:, :, :height, :width]))
        self.assertEqual(smaller.shape, (resize.cells(width, height), 85))
        found = self.best(smaller)
        self.assertEqual(found[0], label)
        self.assertAlmostEqual(found[1], score, delta=0.05)

    def test_says_why_it_cannot(self):
        cases = {
            "multiples of 32": (NANO, 416, 300),
            "decodes its boxes itself": (MODELS / "blobs_decoded.onnx", 320, 192),
        }
        for words, (path, width, height) in cases.items():
            with self.subTest(words), self.assertRaisesRegex(ValueError, words):
                resize.resize(onnx.load(path), width, height)
        with self.assertRaises(onnx.shape_inference.InferenceError):
            # Its grids are written into the graph.
            resize.resize(onnx.load(MODELS / "blobs.onnx"), 320, 192)


if __name__ == "__main__":
    unittest.main()
