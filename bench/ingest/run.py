#!/usr/bin/env python3
"""What taking a frame in costs: processor time of VP8, decoded, scaled, encoded as JPEG and in Redis, beside bare `vp8dec`.

Each step is a `gst-launch-1.0` of its own over the same film, its start included; all are run in turn. Other work on the machine only adds
to a time, so the shortest of each step's are judged; the medians of the rounds' ratios to `vp8dec` are told beside. The steps of our own way are those of pipelines/webrtc-detect.toml.
"""

import os
import pathlib
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "bench/redis"))
import report
from system import Redis, film, vp8

# What Chromium sends of pictures of these sizes when the network lets it.
PICTURES = {"640x480": (640, 480, 1_700_000, 1.3), "1280x720": (1280, 720, 2_500_000, 1.35)}
# The film has ten seconds.
TIMES = 4
SIZE, QUALITY = 416, 85
SCALE = f"videoscale n-threads=1 ! video/x-raw,width=[1,{SIZE}],height=[1,{SIZE}],pixel-aspect-ratio=1/1"
# videoconvert of GStreamer 1.22 converts the range only between RGB and YUV.
RANGE = (
    "videoconvert n-threads=1 ! video/x-raw,format=BGRx "
    "! videoconvert n-threads=1 ! video/x-raw,format=I420,colorimetry=1:4:0:0"
)
JPEG = f"jpegenc quality={QUALITY}"
# No worker answers here, and nothing is dropped.
PUBLISH = "redisstreamsink participant-id=camera leaky=no max-in-flight=0"


def run(line, environment):
    """Seconds of processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["gst-launch-1.0", "-q", *line.split()], env=environment, check=True, timeout=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def encoded(path, width, height, bits, environment):
    """The film, several times over, as IVF; its number of frames."""
    run(f"{film(width, height)} ! {vp8(bits, 3000)} ! avmux_ivf ! filesink location={path}", environment)
    data = path.read_bytes()
    # Each frame has its size and its time before it, of 4 and of 8 bytes.
    header, at, frames = data[:32], 32, []
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        frames.append(data[at + 12 : at + 12 + size])
        at += 12 + size
    clock = struct.pack("<II", 25, 1)
    body = b"".join(
        struct.pack("<IQ", len(frame), number) + frame for number, frame in enumerate(frames * TIMES)
    )
    path.write_bytes(header[:16] + clock + header[24:] + body)
    return len(frames) * TIMES


def ours():
    """From the decoder's frame to the JPEG, as in the session's pipeline."""
    launch = tomllib.loads((ROOT / "pipelines/webrtc-detect.toml").read_text())["pipeline"]["launch"]
    elements = [element.strip() for element in launch.format(fps=60, size=SIZE, quality=QUALITY).split("! ")]
    begin = next(index for index, element in enumerate(elements) if element.startswith("videoconvert"))
    return " ! ".join(element for element in elements[begin:] if not element.startswith("redisstreamsink"))


def steps(path):
    decode = f"filesrc location={path} ! ivfparse ! vp8dec threads=1"
    file = f"filesrc location={path} ! ivfparse"
    ways = {
        "vp8dec": decode,
        "avdec_vp8": f"{file} ! avdec_vp8 max-threads=1",
        "videoscale": f"{decode} ! {SCALE}",
        "videoscale, jpegenc": f"{decode} ! {SCALE} ! {JPEG}",
        "videoscale, range": f"{decode} ! {SCALE} ! {RANGE}",
        "videoscale, range, jpegenc": f"{decode} ! {SCALE} ! {RANGE} ! {JPEG}",
        "scalejpegenc": f"{decode} ! {ours()}",
    }
    lines = {name: f"{line} ! fakesink" for name, line in ways.items()}
    for name in ("videoscale, jpegenc", "videoscale, range, jpegenc", "scalejpegenc"):
        lines[f"{name}, redisstreamsink"] = f"{ways[name]} ! {PUBLISH}"
    return lines


def main():
    parser = report.arguments(__doc__, "ingest")
    parser.set_defaults(result=report.RESULTS / "ingest.json")
    parser.add_argument("--rounds", type=int, default=7, help="how often everything is measured")
    options = parser.parse_args()
    load = report.Load()
    figures, goals = {}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with Redis(folder) as server:
            environment = os.environ | {
                "REDIS_URL": server.url, "GST_PLUGIN_PATH": str(options.programs),
                "GST_REGISTRY": str(folder / "registry.bin"),
            }  # fmt: skip
            for picture, (width, height, bits, limit) in PICTURES.items():
                frames = encoded(folder / f"{width}.ivf", width, height, bits, environment)
                lines = steps(folder / f"{width}.ivf")
                rounds = [{step: run(line, environment) for step, line in lines.items()} for _ in range(options.rounds)]
                shortest = {step: min(times[step] for times in rounds) for step in lines}
                figures[picture] = {
                    step: {
                        "ms_a_frame": round(1000 * shortest[step] / frames, 3),
                        "of_vp8dec": round(shortest[step] / shortest["vp8dec"], 3),
                        "median_of_vp8dec": round(statistics.median(times[step] / times["vp8dec"] for times in rounds), 3),
                    }
                    for step in lines
                }
                ratio = figures[picture]["scalejpegenc, redisstreamsink"]["of_vp8dec"]
                goals[f"{picture} of bare vp8dec"] = report.at_most(ratio, limit)
    report.save(options.result, load, goals, {"rounds": options.rounds, "pictures": figures})


if __name__ == "__main__":
    main()
