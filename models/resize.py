#!/usr/bin/env python3
"""Makes a YOLOX model for pictures of another shape: models/resize.py yolox_nano.onnx yolox_nano_416x256.onnx 416 256

YOLOX was trained on square pictures, and a picture that is not square is padded with grey, which costs as much as what
is seen. A model as wide and high as the scaled picture leaves the grey out: 416×256 for 16:9, 416×320 for 4:3. It
finds as much, but near the lower and the right edge not the same to the last digit (docs/inference.md says how much).
yoloxdetect reads a model's size from the model, so nothing else has to be set. Needs the Python package onnx.
"""

import argparse
import sys
from pathlib import Path

import onnx
from onnx import numpy_helper

STRIDES = (8, 16, 32)


def cells(width, height, strides=STRIDES):
    return sum((width // stride) * (height // stride) for stride in strides)


def ends(model):
    """A model's only input and its only output; ValueError if it has others."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise ValueError(f"{len(inputs)} inputs and {len(model.graph.output)} outputs: YOLOX has one of each")
    return inputs[0], model.graph.output[0]


def resize(model, width, height):
    """Changes a model's input to width × height pixels; ValueError says why it cannot be done."""
    if width % STRIDES[-1] or height % STRIDES[-1]:
        raise ValueError(f"{width}×{height}: width and height must be multiples of {STRIDES[-1]}")
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    before, after = (value.type.tensor_type.shape.dim for value in ends(model))
    if len(before) != 4 or len(after) != 3 or after[1].dim_value != cells(before[3].dim_value, before[2].dim_value):
        raise ValueError("the input is not 1×3×height×width, or the output not one prediction for each of the grids' cells")
    if any(node.op_type == "Exp" for node in graph.node):
        raise ValueError("the graph decodes its boxes itself, with the size built in; export it without --decode_in_inference")
    for node in graph.node:
        # Cells are counted by -1; a number that was written down is of the old size.
        if node.op_type == "Reshape" and (tensor := weights.get(node.input[1])) is not None:
            shape = numpy_helper.to_array(tensor)
            if len(shape) == 3 and shape[2] > 0:
                shape = shape.copy()
                shape[2] = -1
                tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))
    before[2].dim_value, before[3].dim_value = height, width
    after[1].dim_value = cells(width, height)
    del graph.value_info[:]  # the sizes inside
    onnx.checker.check_model(model, full_check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("width", type=int)
    parser.add_argument("height", type=int)
    options = parser.parse_args()
    try:
        model = onnx.load(options.source)
        resize(model, options.width, options.height)
    except (OSError, ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        sys.exit(f"error: {options.source}: {error}")
    onnx.save(model, options.target)


if __name__ == "__main__":
    main()
