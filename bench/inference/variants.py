"""Ways to run a YOLOX model on processors: each gives a function from an input to the model's output."""

import contextlib
import logging
import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is imported

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper, version_converter
from onnxruntime import quantization
from onnxruntime.quantization import shape_inference

INPUT = "images"
# Channels from which ONNX Runtime's whole-number convolutions are at least not slower.
MANY_CHANNELS = 128


def onnx_runtime(model, disabled=None, level=None, **entries):
    """ONNX Runtime as yoloxdetect sets it up, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if level is not None:
        options.graph_optimization_level = level
    for key, value in {"session.intra_op.allow_spinning": "0", **entries}.items():
        options.add_session_config_entry(key, value)
    session = onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], disabled_optimizers=disabled
    )
    return lambda picture: session.run(None, {INPUT: picture})[0]


def bound(model, size):
    """ONNX Runtime with memory for input and output that stays the same."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"], sess_options=one_thread())
    binding = session.io_binding()
    room = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((1, 3, *size), np.float32))
    (result,) = session.run(None, {INPUT: room.numpy()})
    result = onnxruntime.OrtValue.ortvalue_from_numpy(result)
    binding.bind_ortvalue_input(INPUT, room)
    binding.bind_ortvalue_output(session.get_outputs()[0].name, result)

    def run(picture):
        room.update_inplace(picture)
        session.run_with_iobinding(binding)
        return result.numpy()

    return run


def one_thread():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return options


class Pictures(quantization.CalibrationDataReader):
    """What is given to a quantiser: pictures that it is not judged by."""

    def __init__(self, pictures):
        self.left = iter(pictures)

    def get_next(self):
        picture = next(self.left, None)
        return None if picture is None else {INPUT: picture}


class WholeNumbers:
    """8-bit models by ONNX Runtime's quantiser: weights by channel, activations by tensor, as it recommends."""

    def __init__(self, source, folder):
        converted, self.path = folder / "opset13.onnx", folder / "prepared.onnx"
        onnx.save(version_converter.convert_version(onnx.load(source), 13), converted)
        shape_inference.quant_pre_process(converted, self.path, skip_symbolic_shape=True)
        model = onnx.load(self.path)
        for number, node in enumerate(model.graph.node):
            node.name = node.name or f"node{number}"
        onnx.save(model, self.path)
        weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
        self.convolutions = {node.name: weights[node.input[1]] for node in model.graph.node if node.op_type == "Conv"}
        self.folder = folder

    def pointwise(self, channels=1):
        return [name for name, (_, inputs, *kernel) in self.convolutions.items() if kernel == [1, 1] and inputs >= channels]

    def quantise(self, nodes, pictures, name="quantised"):
        target = self.folder / f"{name}.onnx"
        with quiet():
            quantization.quantize_static(
                self.path, target, Pictures(pictures), per_channel=True, op_types_to_quantize=["Conv"],
                nodes_to_quantize=nodes, activation_type=quantization.QuantType.QUInt8,
            )  # fmt: skip
        return target

    def sensitivity(self, pictures, judged):
        """How much each convolution alone harms the model's output: signal to noise in dB, the worst first."""
        exact = onnx_runtime(self.path)
        wanted = [exact(picture) for picture in judged]
        table = {}
        whole = onnx.load(self.quantise(list(self.convolutions), pictures, "whole"))
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in whole.graph.initializer}
        for name, weights in self.convolutions.items():
            run = onnx_runtime(only(onnx.load(self.path), whole, constants, name).SerializeToString())
            noise = sum(float(np.square(run(picture) - exact).sum()) for picture, exact in zip(judged, wanted, strict=True))
            signal = sum(float(np.square(exact).sum()) for exact in wanted)
            table[name] = {"weights": list(weights), "sqnr_db": round(10 * np.log10(signal / max(noise, 1e-12)), 1)}
        return dict(sorted(table.items(), key=lambda entry: entry[1]["sqnr_db"]))


def only(model, whole, constants, name):
    """The model in which one convolution's input and weights are rounded as in the whole quantised one."""
    graph = model.graph
    place, conv = next((place, node) for place, node in enumerate(graph.node) if node.name == name)
    makers = {output: node for node in whole.graph.node for output in node.output}
    quantised = next(node for node in whole.graph.node if node.name == name)
    back = makers[quantised.input[0]]
    scale, zero = constants[back.input[1]], constants[back.input[2]]
    known = [numpy_helper.from_array(values, f"rounded_{part}") for part, values in (("scale", scale), ("zero", zero))]
    parts = [conv.input[0], "rounded_scale", "rounded_zero"]
    forth = onnx.helper.make_node("QuantizeLinear", parts, ["rounded"])
    back = onnx.helper.make_node("DequantizeLinear", ["rounded", *parts[1:]], ["rounded_input"])
    weights = next(tensor for tensor in graph.initializer if tensor.name == conv.input[1])
    dequantised = makers[quantised.input[1]]
    steps = constants[dequantised.input[1]].reshape(-1, 1, 1, 1)
    rounded = (constants[dequantised.input[0]].astype(np.float32) * steps).astype(np.float32)
    known.append(numpy_helper.from_array(rounded, "rounded_weights"))
    graph.initializer.extend(known)
    conv.input[0], conv.input[1] = "rounded_input", "rounded_weights"
    graph.node.insert(place, back)
    graph.node.insert(place, forth)
    assert weights.name  # weights that only this convolution had are simply unused
    return model


def openvino(model, precision):
    """OpenVINO's own interface, on one thread; the model is a path or one of OpenVINO's."""
    import openvino as ov

    core = ov.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": precision}
    compiled = core.compile_model(core.read_model(model) if isinstance(model, (str, os.PathLike)) else model, "CPU", settings)
    request = compiled.create_infer_request()
    return lambda picture: request.infer({0: picture}, share_inputs=True, share_outputs=True)[0]


def nncf(source, pictures, pointwise_only):
    """OpenVINO's 8-bit model, by NNCF."""
    import nncf as quantiser
    import openvino as ov

    quantiser.set_log_level(logging.ERROR)
    model = ov.Core().read_model(source)
    ignored = None
    if pointwise_only:
        kinds = ["GroupConvolution", "Add", "Multiply", "Swish", "MaxPool", "Concat", "Interpolate", "Sigmoid"]
        ignored = quantiser.IgnoredScope(types=kinds, validate=False)
    with quiet():
        return quantiser.quantize(
            model, quantiser.Dataset(pictures), subset_size=len(pictures), target_device=quantiser.TargetDevice.CPU,
            preset=quantiser.QuantizationPreset.MIXED, ignored_scope=ignored,
        )  # fmt: skip


def mnn(source, folder):
    """Alibaba's MNN, on one thread."""
    import subprocess
    import sys
    from pathlib import Path

    import MNN

    target = folder / "model.mnn"
    convert = Path(sys.executable).with_name("mnnconvert")
    command = [convert, "-f", "ONNX", "--modelFile", source, "--MNNModel", target, "--bizCode", "sightline"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    runtime = MNN.nn.create_runtime_manager(({"backend": "CPU", "numThread": 1, "precision": "high"},))
    net = MNN.nn.load_module_from_file(str(target), [INPUT], ["output"], runtime_manager=runtime)

    def run(picture):
        room = MNN.expr.const(picture, list(picture.shape), MNN.expr.NCHW)
        return net.forward([room])[0].read()

    return run


@contextlib.contextmanager
def quiet():
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
