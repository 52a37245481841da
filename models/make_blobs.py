#!/usr/bin/env python3
"""Writes blobs.onnx and its variants: small models that find red, green and blue blobs.

They look to a user exactly like a YOLOX export (input `images`, output `output`, strides 8, 16, 32), but
hold no learnt weights: the graph measures, from lattice points 8 pixels apart, how far the blob around
each point reaches to the left, right, top and bottom. So geometry, letterbox, NMS and labels can be
tested against boxes known in advance, with nothing to download.

The variants are the exports that YOLOX makes: boxes decoded in the graph, a dynamic or a larger batch, p6 with its
fourth stride, one class, and the normalised input of YOLOX up to 0.1.0.

    pip install onnx numpy
    python3 models/make_blobs.py            # into models/
"""

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

SIZE = 320  # input is SIZE x SIZE
LATTICE = 8  # one measuring point every 8 pixels, the finest stride
CLASSES = ("red", "green", "blue")

# How much a colour must stand out from the other two. Half of what camera-like red, green and blue reach:
# the blurred chroma of 4:2:0 video then crosses it at the true edge.
MIN_CONTRAST = 90.0
MIN_SIDE = 10.0  # smaller blobs can fall between lattice points

# stride -> (first lattice point used, shortest side from, to). Neighbouring ranges overlap: a blob near the
# limit is reported on both strides and NMS has to drop one.
LEVELS = {8: (0, MIN_SIDE, 68.0), 16: (0, 60.0, 136.0), 32: (1, 120.0, 1e9)}
LEVELS_P6 = LEVELS | {32: (1, 120.0, 210.0), 64: (3, 200.0, 1e9)}

# A cell reports a blob whose centre is at most this many strides away; the nearest cell is within 0.5.
REACH = 0.75

# Exports of YOLOX up to 0.1.0 want RGB scaled to 0..1 and normalised with these, of red, green and blue.
LEGACY_MEAN = (0.485, 0.456, 0.406)
LEGACY_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Variant:
    classes: tuple = CLASSES
    levels: tuple = tuple(LEVELS.items())
    decoded: bool = False
    batch: object = 1  # a number; or a name, for any number
    legacy: bool = False
    open: bool = False  # the output's shape is not declared, as some exporters leave it


VARIANTS = {
    "blobs": Variant(),
    "blobs_decoded": Variant(decoded=True),
    "blobs_dynamic": Variant(batch="batch"),
    "blobs_pair": Variant(batch=2),
    "blobs_legacy": Variant(legacy=True),
    "blobs_p6": Variant(classes=("red",), levels=tuple(LEVELS_P6.items()), decoded=True, batch="batch", open=True),
}


class Graph:
    """Collects nodes; each call of an operator returns the name of its output."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def constant(self, value, dtype=np.float32):
        array = np.asarray(value, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, f"c{len(self.constants)}")
        return self.constants[key].name

    def __getattr__(self, op):
        def call(*inputs, **attributes):
            names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
            output = attributes.pop("to_output", f"n{len(self.nodes)}")
            self.nodes.append(helper.make_node(op, names, [output], **attributes))
            return output

        return call

    def slice(self, x, axis, start, stop, step=1):
        return self.Slice(x, *(self.constant([v], np.int64) for v in (start, stop, axis, step)))

    def take(self, x, axis, indices):
        return self.Gather(x, self.constant(indices, np.int64), axis=axis)

    def above(self, x, threshold):
        return self.Cast(self.Greater(x, threshold), to=TensorProto.FLOAT)

    def below(self, x, threshold):
        return self.Cast(self.Less(x, threshold), to=TensorProto.FLOAT)


def blob_mask(g, variant):
    """1 where a pixel is of a class's colour (one channel each), smoothed so that single pixels do not count."""
    images, channels = "images", {"red": 2, "green": 1, "blue": 0}  # the input is BGR
    if variant.legacy:
        images, channels = legacy_pixels(g), {"red": 0, "green": 1, "blue": 2}
    own, one, other = ([channels[CLASSES[(CLASSES.index(c) + n) % 3]] for c in variant.classes] for n in range(3))
    own, others = g.take(images, 1, own), g.Max(g.take(images, 1, one), g.take(images, 1, other))
    coloured = g.above(g.Sub(own, others), MIN_CONTRAST)
    votes = g.AveragePool(coloured, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    return g.above(votes, 0.5)


def legacy_pixels(g):
    """RGB from 0 to 255, from the normalised input of old exports."""
    mean, std = (np.reshape(v, (1, 3, 1, 1)) * 255 for v in (LEGACY_MEAN, LEGACY_STD))
    return g.Add(g.Mul("images", std), mean)


def measure(g, mask, n):
    """Edges (left, right, top, bottom) of the blob around each lattice point, each of batch x classes x n x n.

    A point looks along the band of 8 rows (columns) it lies in, so that a round blob is measured across its
    widest part. Outside a blob, left > right.
    """
    rows = g.MaxPool(mask, kernel_shape=[LATTICE, 1], strides=[LATTICE, 1])
    columns = g.MaxPool(mask, kernel_shape=[1, LATTICE], strides=[1, LATTICE])
    bands = g.Concat(rows, g.Transpose(columns, perm=[0, 1, 3, 2]), axis=1)
    both_ways = g.Concat(bands, g.slice(bands, 3, -1, -SIZE - 1, -1), axis=1)

    # Where the blob starts = just behind the last pixel outside of it so far: a running maximum of positions.
    positions = np.arange(1, SIZE + 1)
    start = g.Mul(g.Sub(1.0, both_ways), positions)
    reach = 1
    while reach < SIZE:
        shifted = g.Pad(g.slice(start, 3, 0, -reach), g.constant([0, 0, 0, reach, 0, 0, 0, 0], np.int64))
        start = g.Max(start, shifted)
        reach *= 2

    middle = LATTICE // 2
    forward = g.slice(g.slice(start, 1, 0, 2 * n), 3, middle, SIZE, LATTICE)
    mirrored = g.slice(g.slice(start, 1, 2 * n, 4 * n), 3, SIZE - 1 - middle, -SIZE - 1, -LATTICE)
    backward = g.Sub(float(SIZE), mirrored)

    def upright(x):
        return g.Transpose(g.slice(x, 1, n, 2 * n), perm=[0, 1, 3, 2])

    return g.slice(forward, 1, 0, n), g.slice(backward, 1, 0, n), upright(forward), upright(backward)


def level(g, edges, stride, limits, variant):
    """One stride's predictions, batch x (4 + 1 + classes) x n x n, as a YOLOX head lays them out."""
    first, side_min, side_max = limits
    classes = len(variant.classes)
    step = stride // LATTICE
    cells = SIZE // stride
    left, right, top, bottom = (g.slice(g.slice(e, 2, first, SIZE, step), 3, first, SIZE, step) for e in edges)
    width, height = g.Sub(right, left), g.Sub(bottom, top)
    cx, cy = (g.Mul(g.Add(a, b), 0.5) for a, b in ((left, right), (top, bottom)))

    grid = np.arange(cells, dtype=np.float32)
    column, row = grid.reshape(1, 1, 1, cells), grid.reshape(1, 1, cells, 1)
    point = (first + 0.5) * LATTICE  # of the cell at column 0

    off_centre = g.Mul(
        g.Max(g.Abs(g.Sub(cx, column * stride + point)), g.Abs(g.Sub(cy, row * stride + point))), 1.0 / stride
    )
    side = g.Min(width, height)
    of_this_size = g.Mul(g.above(side, side_min), g.below(side, side_max))
    reported = g.Mul(of_this_size, g.below(off_centre, REACH))
    confidence = g.Mul(reported, g.Sub(1.0, g.Mul(off_centre, 0.6)))

    # A cell has one box: that of its best class.
    best = g.ArgMax(confidence, axis=1, keepdims=1)
    scores = g.Concat(
        *(g.Cast(g.Equal(best, g.constant([c], np.int64)), to=TensorProto.FLOAT) for c in range(classes)), axis=1
    )
    objectness = g.ReduceMax(confidence, axes=[1], keepdims=1)

    def of_best(x):
        return g.ReduceSum(g.Mul(x, scores), axes=[1], keepdims=1)

    x, y = g.Sub(g.Mul(of_best(cx), 1.0 / stride), column), g.Sub(g.Mul(of_best(cy), 1.0 / stride), row)
    w, h = (g.Log(g.Mul(g.Max(of_best(v), 1.0), 1.0 / stride)) for v in (width, height))
    if variant.decoded:
        x, y = (g.Mul(g.Add(v, offset), float(stride)) for v, offset in ((x, column), (y, row)))
        w, h = (g.Mul(g.Exp(v), float(stride)) for v in (w, h))
    head = g.Concat(x, y, w, h, objectness, g.Mul(scores, reported), axis=1)
    return g.Reshape(head, g.constant([0, 5 + classes, cells * cells], np.int64))


def model(name):
    """The whole model of a variant's name; decoded: boxes in pixels of the input."""
    variant = VARIANTS[name]
    g = Graph()
    edges = measure(g, blob_mask(g, variant), len(variant.classes))
    levels = g.Concat(*(level(g, edges, stride, limits, variant) for stride, limits in variant.levels), axis=2)
    g.Transpose(levels, perm=[0, 2, 1], to_output="output")

    anchors = sum((SIZE // stride) ** 2 for stride, _ in variant.levels)
    shape = ["batch", "anchors", "values"] if variant.open else [variant.batch, anchors, 5 + len(variant.classes)]
    graph = helper.make_graph(
        g.nodes,
        name,
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [variant.batch, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        list(g.constants.values()),
    )
    # Opset and IR version of YOLOX's own exports: every runtime that takes those takes this.
    result = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6, producer_name="sightline make_blobs.py"
    )
    checker.check_model(result, full_check=True)
    return result.SerializeToString(deterministic=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="folder to write to")
    folder = parser.parse_args().out
    for name in VARIANTS:
        data = model(name)
        (folder / f"{name}.onnx").write_bytes(data)
        print(f"{name}.onnx: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
