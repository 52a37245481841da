#!/usr/bin/env python3
"""What the way over the wire costs in accuracy: scaled as webrtc-detect does, a JPEG of each quality, Redis, a worker.

Both pipelines' elements are taken from the files in pipelines/. Needs coco-tiny and yolox_nano of the data folder.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import tomllib

import report
from system import DATA, ROOT, Redis, wait_for

sys.path.append(str(ROOT / "bench/accuracy"))
import coco
import pipeline
from PIL import Image

LIMIT = 30.0
QUALITIES = (60, 70, 75, 80, 85, 90, 95)
# No picture of coco-tiny is larger.
UNSCALED = 1280
TICKS_A_PICTURE = 90_000


def launch(name):
    return tomllib.loads((ROOT / f"pipelines/{name}.toml").read_text())["pipeline"]["launch"]


def default_quality():
    return tomllib.loads((ROOT / "pipelines/webrtc-detect.toml").read_text())["params"]["quality"]["default"]


def encoder(size, quality):
    """From the scaler to the JPEG, as in the session's pipeline."""
    text = launch("webrtc-detect").format(fps=60, size=size, quality=quality)
    elements = [element.strip() for element in text.split("! ")]
    begin = next(index for index, element in enumerate(elements) if element.startswith("videoconvert"))
    end = next(index for index, element in enumerate(elements) if element.startswith("scalejpegenc"))
    return " ! ".join(elements[begin : end + 1])


def worker():
    """The worker's pipeline, which reports all that it finds, as COCO's measure wants it."""
    settings = (
        f"model={DATA / 'models/yolox_nano.onnx'} labels={ROOT / 'models/coco.txt'} "
        "nms=class-aware nms-threshold=0.65 max-detections=1000"
    )
    return launch("yolox-worker").format(score=0.001).replace("name=detect", f"name=detect {settings}")


def publish(environment, pictures, folder, session, size, quality):
    """Publishes all pictures, each until it is answered; the JPEGs' sizes."""
    jpegs = pathlib.Path(tempfile.mkdtemp(dir=folder))
    # A camera's decoder gives I420 of limited range.
    line = (
        f"multifilesrc location={pictures}/%05d.png caps=image/png,framerate=1/1 ! pngdec "
        "! videoconvert ! video/x-raw,format=I420,colorimetry=bt709 "
        f"! {encoder(size, quality)} ! tee name=jpegs "
        f"! redisstreamsink participant-id={session} leaky=no expiry=600000 "
        f"jpegs. ! multifilesink async=false location={jpegs}/%05d.jpg"
    )
    subprocess.run(["gst-launch-1.0", "-q", *line.split()], env=environment, check=True, timeout=300)
    return [path.stat().st_size for path in jpegs.glob("*.jpg")]


def answers(client, session, count):
    """What workers found in each picture, by its number."""

    def found():
        entries = client.xrange("predictions")
        mine = [fields for _, fields in entries if fields[b"participantId"].decode() == session]
        return len(mine) == count and mine

    mine = wait_for(f"{count} answers of {session}", 60, found)
    return {int(fields[b"timestamp"]) // TICKS_A_PICTURE: json.loads(fields[b"detections"]) for fields in mine}


def measure(environment, client, annotations, folder, size, quality):
    names = list(annotations.pictures)
    session = f"size-{size}-quality-{quality}"
    sizes = publish(environment, folder / "pictures", folder, session, size, quality)
    found = answers(client, session, len(names))
    frames = {name: pipeline.Frame(*annotations.size(name), found[index]) for index, name in enumerate(names)}
    mean, at_50 = annotations.average_precision(frames)
    return {
        "map": round(mean, 2), "ap50": round(at_50, 2),
        "bytes": {"mean": round(sum(sizes) / len(sizes)), "p95": report.quantile(sizes, 0.95)},
    }  # fmt: skip


def main():
    parser = report.arguments(__doc__, "quality")
    options = parser.parse_args()
    load = report.Load()
    annotations = coco.Annotations(DATA / "coco-tiny/instances.json")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "pictures").mkdir()
        for index, picture in enumerate(annotations.pictures):
            with Image.open(DATA / "coco-tiny/images" / picture) as image:
                image.convert("RGB").save(folder / f"pictures/{index:05}.png", compress_level=1)
        with Redis(folder) as server:
            environment = os.environ | {"REDIS_URL": server.url, "GST_PLUGIN_PATH": str(options.programs)}
            process = subprocess.Popen(["gst-launch-1.0", "-q", *worker().split()], env=environment)
            try:
                run = lambda size, quality: measure(environment, server.client(), annotations, folder, size, quality)
                qualities = {quality: run(416, quality) for quality in QUALITIES}
                unscaled = run(UNSCALED, 95)
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(20)
    chosen = default_quality()
    goals = {"map": report.at_least(qualities[chosen]["map"], LIMIT)}
    report.save(options.result, load, goals, {
        "model": "yolox_nano", "pictures": len(annotations.pictures), "chosen": chosen,
        "qualities": qualities, "not_scaled_quality_95": unscaled,
    })  # fmt: skip


if __name__ == "__main__":
    main()
