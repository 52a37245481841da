#!/usr/bin/env python3
"""Makes a YOLOX model that takes any number of pictures at a time: models/dynamic.py yolox_nano.onnx yolox_nano_dynamic.onnx

The published models take one picture. `batch-size` of yoloxdetect, which GPUs gain from, wants one that takes more; it finds the
same in each. Needs the Python package onnx.
"""

import argparse
import sys
from pathlib import Path

import onnx
from onnx import numpy_helper
from resize import ends


def free_batch(model):
    """Leaves the number of pictures open; ValueError says why it cannot be done."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for value in ends(model):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]  # the sizes inside
    # Nothing else in an export knows the number.
    for name in {node.input[1] for node in model.graph.node if node.op_type == "Reshape"} & weights.keys():
        shape = numpy_helper.to_array(weights[name]).copy()
        shape[0] = 0  # as it comes in
        weights[name].CopyFrom(numpy_helper.from_array(shape, name))
    onnx.checker.check_model(model, full_check=True)


def convert(source, target):
    model = onnx.load(source)
    free_batch(model)
    onnx.save(model, target)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    try:
        convert(options.source, options.target)
    except (OSError, ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        sys.exit(f"error: {options.source}: {error}")


if __name__ == "__main__":
    main()
