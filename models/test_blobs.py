#!/usr/bin/env python3
"""Tests of the committed blob models: python3 models/test_blobs.py (needs onnxruntime and numpy)."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is imported

import hashlib
import importlib.util
import tomllib
import unittest
from pathlib import Path

import numpy as np
import onnxruntime

MODELS = Path(__file__).resolve().parent
SIZE = 320
STRIDES = (8, 16, 32)
PADDING = 114
NAMES = ("red", "green", "blue")
BGR = {"red": (20, 30, 235), "green": (25, 220, 30), "blue": (240, 40, 25)}


def run(session, picture):
    """A picture (height x width x BGR) through a model: 2100 x 8."""
    planar = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=np.float32)
    return session.run(None, {"images": planar})[0][0]


def load(name):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(MODELS / name, options, providers=["CPUExecutionProvider"])


def decode(output):
    """Pixels from grid-relative predictions, by YOLOX's definition."""
    decoded, anchor = output.copy(), 0
    for stride in STRIDES:
        for row in range(SIZE // stride):
            for column in range(SIZE // stride):
                decoded[anchor, :2] = (output[anchor, :2] + (column, row)) * stride
                decoded[anchor, 2:4] = np.exp(output[anchor, 2:4]) * stride
                anchor += 1
    return decoded


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def detections(decoded, score_threshold=0.3, nms_threshold=0.45, strides=STRIDES):
    """(label, score, corners, stride), best first, after class-agnostic NMS."""
    scores = decoded[:, 4:5] * decoded[:, 5:]
    strides = np.repeat(strides, [(SIZE // s) ** 2 for s in strides])
    kept = []
    for anchor in np.argsort(-scores.max(1), kind="stable"):
        score = scores[anchor].max()
        if score <= score_threshold:
            break
        cx, cy, w, h = decoded[anchor, :4]
        box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        if all(iou(box, other) <= nms_threshold for _, _, other, _ in kept):
            kept.append((NAMES[scores[anchor].argmax()], score, box, strides[anchor]))
    return kept


def background(rng):
    """Muted colours in a slow gradient with sensor noise; below a random line, letterbox padding."""
    corners = rng.uniform(40, 200, (2, 2, 1)) + rng.uniform(-20, 20, (2, 2, 3))
    t = np.linspace(0, 1, SIZE)[:, None]
    rows = (1 - t)[..., None] * corners[0] + t[..., None] * corners[1]
    u = np.linspace(0, 1, SIZE)[None, :, None]
    picture = rows[:, :1] * (1 - u) + rows[:, 1:] * u + rng.normal(0, 4, (SIZE, SIZE, 3))
    used = int(rng.choice([180, 240, SIZE]))
    picture[used:] = PADDING
    return picture, used


def scene(rng):
    """A picture with rectangles and ellipses, at least 8 pixels apart, and their (label, corners)."""
    picture, used = background(rng)
    truth = []
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    for _ in range(40):
        w, h = np.exp(rng.uniform(np.log(24), np.log(150), 2)).astype(int)
        round_ = rng.random() < 0.5
        if round_:
            w = h = max(w, 32)
        if w > SIZE or h > used:
            continue
        left, top = int(rng.integers(0, SIZE - w + 1)), int(rng.integers(0, used - h + 1))
        box = (left, top, left + w, top + h)
        if any(box[0] - 8 < b[2] and b[0] < box[2] + 8 and box[1] - 8 < b[3] and b[1] < box[3] + 8 for _, b in truth):
            continue
        label = NAMES[rng.integers(3)]
        if round_:
            inside = (x - (left + w / 2)) ** 2 + (y - (top + h / 2)) ** 2 <= (w / 2) ** 2
        else:
            inside = (x >= left) & (x < box[2]) & (y >= top) & (y < box[3])
        picture[inside] = BGR[label] + rng.normal(0, 4, (int(inside.sum()), 3))
        truth.append((label, box))
    return picture.clip(0, 255).round(), truth


def camera(picture, rng):
    """What 4:2:0 video does to a picture: chroma averaged over 2x2 pixels and coarsely quantised."""
    to_ycc = np.array([[0.114, 0.587, 0.299], [0.5, -0.3313, -0.1687], [-0.0813, -0.4187, 0.5]])
    ycc = picture @ to_ycc.T
    chroma = ycc[..., 1:].reshape(SIZE // 2, 2, SIZE // 2, 2, 2).mean((1, 3))
    chroma = (chroma / 6).round() * 6 + rng.normal(0, 2, chroma.shape)
    rows = np.arange(SIZE) / 2 - 0.25  # bilinear upsampling
    low = np.clip(np.floor(rows).astype(int), 0, SIZE // 2 - 1)
    high, weight = np.minimum(low + 1, SIZE // 2 - 1), np.clip(rows - low, 0, 1)
    chroma = chroma[low] * (1 - weight)[:, None, None] + chroma[high] * weight[:, None, None]
    chroma = chroma[:, low] * (1 - weight)[None, :, None] + chroma[:, high] * weight[None, :, None]
    ycc[..., 1:] = chroma
    return (ycc @ np.linalg.inv(to_ycc).T).clip(0, 255).round()


class Blobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.plain, cls.decoded = load("blobs.onnx"), load("blobs_decoded.onnx")

    def check(self, picture, truth, least_iou):
        found = detections(decode(run(self.plain, picture)))
        self.assertEqual(sorted(label for label, *_ in found), sorted(label for label, _ in truth), f"{found}\n{truth}")
        strides = set()
        for label, box in truth:
            match = max((f for f in found if f[0] == label), key=lambda f: iou(f[2], box))
            self.assertGreaterEqual(iou(match[2], box), least_iou, f"{label} at {box} became {match}")
            strides.add(match[3])
        return strides

    def test_looks_like_a_yolox_export(self):
        for session in (self.plain, self.decoded):
            (image,), (output,) = session.get_inputs(), session.get_outputs()
            self.assertEqual((image.name, image.type, image.shape), ("images", "tensor(float)", [1, 3, SIZE, SIZE]))
            self.assertEqual((output.name, output.type, output.shape), ("output", "tensor(float)", [1, 2100, 8]))

    def test_finds_every_blob_of_random_scenes(self):
        rng, strides, count = np.random.default_rng(1), set(), 0
        for index in range(60):
            with self.subTest(scene=index):
                picture, truth = scene(rng)
                strides |= self.check(picture, truth, 0.9)
                count += len(truth)
        self.assertEqual(strides, set(STRIDES))
        self.assertGreater(count, 200)

    def test_finds_them_through_the_chroma_of_video(self):
        rng = np.random.default_rng(2)
        for index in range(60):
            with self.subTest(scene=index):
                picture, truth = scene(rng)
                self.check(camera(picture, rng), truth, 0.85)

    def test_rectangle_is_exact(self):
        picture = np.full((SIZE, SIZE, 3), PADDING, np.float32)
        picture[100:150, 41:90] = BGR["red"]
        ((label, score, box, _),) = detections(decode(run(self.plain, picture)))
        self.assertEqual(label, "red")
        self.assertGreater(score, 0.5)
        np.testing.assert_allclose(box, (41, 100, 90, 150), atol=1e-3)

    def test_blob_may_touch_the_border_or_fill_the_picture(self):
        picture = np.full((SIZE, SIZE, 3), PADDING, np.float32)
        picture[:40, 280:] = BGR["blue"]
        self.check(picture, [("blue", (280, 0, SIZE, 40))], 0.9)
        picture[:] = BGR["green"]
        self.check(picture, [("green", (0, 0, SIZE, SIZE))], 0.99)

    def test_nothing_in_pictures_without_blobs(self):
        rng = np.random.default_rng(3)
        pictures = [np.full((SIZE, SIZE, 3), level, np.float32) for level in (0, PADDING, 255)]
        pictures += [background(rng)[0] for _ in range(20)]
        pictures += [np.where(rng.random((SIZE, SIZE, 1)) < 0.02, BGR["red"], PADDING)]  # single pixels
        for picture in pictures:
            output = run(self.plain, picture)
            self.assertTrue(np.isfinite(output).all())
            self.assertEqual(output[:, 4:].max(), 0)

    def test_objectness_and_scores_are_probabilities(self):
        output = run(self.plain, scene(np.random.default_rng(4))[0])
        self.assertGreaterEqual(output[:, 4:].min(), 0)
        self.assertLessEqual(output[:, 4:].max(), 1)

    def test_several_cells_report_one_blob(self):
        """So that a path without NMS fails its tests."""
        picture, truth = scene(np.random.default_rng(5))
        self.assertGreater(len(detections(decode(run(self.plain, picture)), nms_threshold=1)), len(truth))

    def test_decoded_export_says_the_same_in_pixels(self):
        picture, _ = scene(np.random.default_rng(6))
        np.testing.assert_allclose(run(self.decoded, picture), decode(run(self.plain, picture)), atol=1e-2)

    def test_only_the_decoded_export_has_exp(self):
        """Users tell the two apart by this operator."""
        self.assertNotIn(b"\x22\x03Exp", (MODELS / "blobs.onnx").read_bytes())
        self.assertIn(b"\x22\x03Exp", (MODELS / "blobs_decoded.onnx").read_bytes())

    @unittest.skipUnless(importlib.util.find_spec("onnx"), "onnx is not installed")
    def test_generator_gives_the_committed_bytes(self):
        spec = importlib.util.spec_from_file_location("make_blobs", MODELS / "make_blobs.py")
        make_blobs = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(make_blobs)
        for name in make_blobs.VARIANTS:
            data = (MODELS / f"{name}.onnx").read_bytes()
            self.assertEqual(make_blobs.model(name), data, f"run make_blobs.py: {name}")


class Variants(unittest.TestCase):
    """The exports that differ from the plain one in shape or input say the same of a picture."""

    @classmethod
    def setUpClass(cls):
        rng = np.random.default_rng(7)
        pictures = [scene(rng)[0].transpose(2, 0, 1) for _ in range(2)]
        cls.pictures = np.ascontiguousarray(pictures, dtype=np.float32)
        cls.expected = np.concatenate([load("blobs.onnx").run(None, {"images": p[None]})[0] for p in cls.pictures])

    def test_batches(self):
        for name in ("blobs_dynamic.onnx", "blobs_pair.onnx"):
            np.testing.assert_array_equal(load(name).run(None, {"images": self.pictures})[0], self.expected)

    def test_legacy_input(self):
        mean, std = (np.float32(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        picture = (self.pictures[0][::-1] / 255 - mean) / std
        output = load("blobs_legacy.onnx").run(None, {"images": picture[None]})[0]
        np.testing.assert_allclose(output[0], self.expected[0], atol=1e-3)

    def test_p6_finds_the_largest_on_its_own_stride(self):
        picture = np.full((SIZE, SIZE, 3), PADDING, np.float32)
        picture[20:270, 30:290] = BGR["red"]
        picture[280:310, 60:100] = BGR["red"]
        picture[20:60, 295:315] = BGR["blue"]
        output = run(load("blobs_p6.onnx"), picture)
        self.assertEqual(output.shape, (2125, 6))
        found = detections(output, strides=(*STRIDES, 64))
        self.assertEqual(sorted((label, stride) for label, _, _, stride in found), [("red", 8), ("red", 64)])
        large = max(found, key=lambda f: f[3])
        self.assertGreater(iou(large[2], (30, 20, 290, 270)), 0.97)


class List(unittest.TestCase):
    """models.toml against the files beside it."""

    def setUp(self):
        self.models = tomllib.loads((MODELS / "models.toml").read_text())["models"]

    def test_every_model_is_built_in_or_can_be_fetched_and_checked(self):
        for name, model in self.models.items():
            with self.subTest(model=name):
                self.assertTrue({"file", "sha256", "labels", "licence", "summary"} <= model.keys())
                self.assertNotEqual("url" in model, model.get("builtin", False))
                for digest in (model["sha256"], *model.get("also_sha256", ())):
                    self.assertRegex(digest, r"^[0-9a-f]{64}$")
                if "url" in model:
                    self.assertTrue(model["url"].startswith("https://"))
                    self.assertGreater(model["size_bytes"], 0)

    def test_files_of_the_repository_are_as_listed(self):
        for name, model in self.models.items():
            with self.subTest(model=name):
                labels = (MODELS / model["labels"]).read_text().splitlines()
                self.assertEqual(len(labels), len(set(labels)))
                self.assertFalse([label for label in labels if not label.strip() or set(label) & set("|;")])
                if model.get("builtin"):
                    data = (MODELS / model["file"]).read_bytes()
                    self.assertEqual(hashlib.sha256(data).hexdigest(), model["sha256"])
                    self.assertEqual(len(data), model["size_bytes"])


if __name__ == "__main__":
    unittest.main()
