#!/usr/bin/env python3
"""How accurate is yoloxdetect? Runs it in a real pipeline and compares it with YOLOX's own Python demo.

Parity: of the demo's detections with a score of at least 0.35, the share that yoloxdetect finds too.
mAP:    average precision on annotated COCO pictures, beside that of the demo and of v1.

    pip install -r bench/requirements.txt
    make build && python3 bench/accuracy/run.py

The data folder (SIGHTLINE_DATA, by default ../shared/data beside the repository) holds models/yolox_nano.onnx,
coco-tiny/, images/dog.jpg and reference/detections.json. The first line of the result is judged, and the mAP
of every format with colours: the command exits with 1 when they are below the limits.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
REQUIREMENTS = "pip install -r bench/requirements.txt"

try:
    import coco
    import parity
    import pipeline
    from PIL import Image
except ImportError as error:
    sys.exit(f"accuracy: Python module {error.name!r} is missing; install what the bench needs: {REQUIREMENTS}")

MIN_PARITY = 98.0
MIN_MAP = 30.7
# Of any format with colours.
MIN_MAP_OF_FORMATS = 30.5
# Measured with the same model, pictures and thresholds, without GStreamer.
OTHERS = {"YOLOX's demo": (30.95, 48.20), "v1 (feeds RGB)": (28.50, 42.50)}

# name -> (media type, decoder, what yoloxdetect is given)
#
# The first is judged: pixels exactly as the reference's decoder (libjpeg-turbo's defaults) gives them, handed
# over as PNG. jpegdec is shown for comparison: it reduces every picture to 4:2:0 chroma and by default uses a
# faster, coarser inverse DCT, and the model sees the difference. Grey pictures are another task.
FORMATS = ("BGR", "RGB", "RGBx", "BGRx", "RGBA", "BGRA", "I420", "NV12")
INPUTS = {f"exact, {name}": ("image/png", "pngdec", name) for name in (*FORMATS, "GRAY8")} | {
    "jpegdec, I420": ("image/jpeg", "jpegdec", "I420"),
    "jpegdec islow, I420": ("image/jpeg", "jpegdec idct-method=islow", "I420"),
}


class BenchError(Exception):
    """Something the bench needs is not there."""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default_data = os.environ.get("SIGHTLINE_DATA") or REPOSITORY.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(default_data), help="the data folder")
    parser.add_argument("--plugins", type=Path, help="folder with libgstyolox.so (default: the newest in target/)")
    parser.add_argument(
        "--format", action="append", default=[], help="measure this pixel format too, beside the usual ones"
    )
    parser.add_argument("--model", type=Path, help="another export of yolox_nano (default: the data folder's)")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "bench" / "results" / "accuracy.json")
    parser.add_argument("--timeout", type=float, default=600, help="seconds that one pipeline may take")
    return parser.parse_args()


def newest_plugins():
    built = [REPOSITORY / "target" / profile / "libgstyolox.so" for profile in ("release", "debug")]
    built = [path for path in built if path.is_file()]
    if not built:
        raise BenchError("libgstyolox.so is not built: run `make build` (or name its folder with --plugins)")
    return max(built, key=lambda path: path.stat().st_mtime).parent


class Data:
    """The data folder; every file is looked for before anything runs."""

    def __init__(self, folder, model):
        self.model = model or folder / "models" / "yolox_nano.onnx"
        reference, instances = folder / "reference" / "detections.json", folder / "coco-tiny" / "instances.json"
        self._need(self.model, reference, instances)
        self.reference = json.loads(reference.read_text())
        self.annotations = coco.Annotations(instances)
        self.pictures = {name: folder / "coco-tiny" / "images" / name for name in self.annotations.pictures}
        self.pictures["dog.jpg"] = folder / "images" / "dog.jpg"
        self._need(*self.pictures.values())
        if set(self.reference["detections"]) != set(self.pictures):
            raise BenchError(f"{reference} is not about the pictures in {instances}")

    @staticmethod
    def _need(*paths):
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            raise BenchError(
                f"missing: {', '.join(missing[:3])}{' …' if missing[3:] else ''}\n"
                "Set SIGHTLINE_DATA (or --data) to the folder with the test data."
            )


def measure(launcher, data, media_type, decoder, pixel_format, exact):
    """(Parity, mAP, AP50) of one way to feed yoloxdetect."""
    pictures = exact if media_type == "image/png" else data.pictures

    def detect(**properties):
        frames = pipeline.detect(
            launcher, list(pictures.values()), media_type, decoder, pixel_format,
            data.model, REPOSITORY / "models" / "coco.txt", **properties,
        )  # fmt: skip
        result = dict(zip(pictures, frames, strict=True))
        for name in data.annotations.pictures:
            if (result[name].width, result[name].height) != data.annotations.size(name):
                raise BenchError(f"{name} came back as {result[name].width}x{result[name].height}")
        return result

    reference = data.reference
    # A little below the reference's threshold: a score may be lower by the tolerance.
    threshold = reference["score_threshold"] - parity.MAX_SCORE_DIFFERENCE
    found = detect(score_threshold=threshold, nms=reference["nms"], nms_threshold=reference["nms_threshold"])
    agreement = parity.compare(reference["detections"], found)
    found = detect(score_threshold=0.001, nms="class-aware", nms_threshold=0.65, max_detections=1000)
    return agreement, *data.annotations.average_precision(found)


def decode_exactly(pictures, folder):
    """PNG copies, decoded by libjpeg-turbo with its defaults: bit for bit what the reference was given."""
    copies = {}
    for name, path in pictures.items():
        copies[name] = Path(folder) / f"{name}.png"
        with Image.open(path) as image:
            image.convert("RGB").save(copies[name], compress_level=1)
    return copies


def save(path, result):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=2) + "\n")
    temporary.replace(path)


def main():
    options = arguments()
    launcher = pipeline.Launcher(options.plugins or newest_plugins(), options.timeout)
    data = Data(options.data, options.model)
    launcher.require("yoloxdetect")
    inputs = INPUTS | {f"exact, {name}": ("image/png", "pngdec", name) for name in options.format}

    rows, missing = {}, {}
    print(f"{'':22}{'parity':>18}{'mAP':>8}{'AP50':>8}")
    with tempfile.TemporaryDirectory() as folder:
        exact = decode_exactly(data.pictures, folder)
        for name, way in inputs.items():
            agreement, mean, at_50 = measure(launcher, data, *way, exact)
            rows[name] = {
                "parity_percent": round(agreement.percent, 2), "found": agreement.found, "expected": agreement.expected,
                "map": round(mean, 2), "ap50": round(at_50, 2),
            }  # fmt: skip
            missing[name] = agreement.missing
            share = f"{agreement.percent:.1f} % ({agreement.found}/{agreement.expected})"
            print(f"{name:22}{share:>18}{mean:8.2f}{at_50:8.2f}", flush=True)
    for name, (mean, at_50) in OTHERS.items():
        print(f"{name:22}{'':18}{mean:8.2f}{at_50:8.2f}")

    judged_name, judged = next(iter(rows.items()))
    failures = [f"{name} must reach mAP {MIN_MAP_OF_FORMATS}" for name in FORMATS
                if rows[f"exact, {name}"]["map"] < MIN_MAP_OF_FORMATS]  # fmt: skip
    if judged["parity_percent"] < MIN_PARITY or judged["map"] < MIN_MAP:
        failures.append(f"{judged_name} must reach {MIN_PARITY} % parity and mAP {MIN_MAP}")
        for picture, label, score in missing[judged_name]:
            print(f"  not found: {label} {score:.2f} in {picture}")
    save(options.output, {
        "model_sha256": hashlib.sha256(data.model.read_bytes()).hexdigest(),
        "pictures": len(data.pictures),
        "judged": judged_name, "passed": not failures,
        "limits": {"parity_percent": MIN_PARITY, "map": MIN_MAP, "map_of_formats": MIN_MAP_OF_FORMATS},
        "yoloxdetect": rows,
        "others": {name: {"map": mean, "ap50": at_50} for name, (mean, at_50) in OTHERS.items()},
    })  # fmt: skip
    print(f"written to {options.output}")
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BenchError, pipeline.PipelineError) as problem:
        sys.exit(f"accuracy: {problem}")
