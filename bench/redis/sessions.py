#!/usr/bin/env python3
"""What a camera costs the host that takes its session: processor time to decode, scale, encode and publish.

A film in VP8, at a camera's pace, goes the way of pipelines/webrtc-detect.toml from `rtpvideodec` on, at several rates
of inference; beside it only decoding. webrtcbin itself (ICE, SRTP, jitter buffer) is not in it.
"""

import os
import pathlib
import signal
import subprocess
import tempfile
import time
import tomllib

import report
from system import ROOT, Redis, cpu_seconds, film, vp8

RATES = (1, 5, 10, 15)
PICTURES = {"640x360": (640, 360, 800_000), "1280x720": (1280, 720, 2_000_000)}
FPS = 25
WARM_UP = 2


def run(line, environment):
    return subprocess.Popen(["gst-launch-1.0", "-q", *line.split()], env=environment)


def encoded(folder, width, height, bits, environment):
    """The film, ten seconds of it, as a browser's encoder would send it."""
    path = folder / f"{width}.webm"
    line = f"{film(width, height)} ! {vp8(bits, 250)} ! webmmux ! filesink location={path}"
    assert run(line, environment).wait(120) == 0, "the film cannot be encoded"
    return path


def session(film_, fps):
    """A session's pipeline, with its way from the network on replaced by a film at its own pace."""
    launch = tomllib.loads((ROOT / "pipelines/webrtc-detect.toml").read_text())["pipeline"]["launch"]
    _, _, rest = launch.format(fps=fps, size=416, quality=85).partition("webrtc. !")
    # Nobody answers here, and every frame is published all the same.
    rest = rest.replace("payload=frame", "participant-id=camera max-in-flight=0")
    return f"filesrc location={film_} ! matroskademux ! identity sync=true ! rtpvp8pay ! {rest}"


def decoding(film_):
    return f"filesrc location={film_} ! matroskademux ! identity sync=true ! rtpvp8pay ! rtpvideodec ! fakesink"


def cores(line, environment, seconds):
    """Processor seconds in a second of video, and the memory that only this process holds."""
    process = run(line, environment)
    try:
        time.sleep(WARM_UP)
        begin, before = time.monotonic(), cpu_seconds(process.pid)
        time.sleep(seconds)
        assert process.poll() is None, "the pipeline has ended"
        used = (cpu_seconds(process.pid) - before) / (time.monotonic() - begin)
        memory = sum(
            int(row.split()[1])
            for row in pathlib.Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            if row.startswith("Private_")
        )
        return round(used, 4), memory * 1024
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)


def main():
    parser = report.arguments(__doc__, "sessions")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement; the film has ten")
    options = parser.parse_args()
    load = report.Load()
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with Redis(folder) as server:
            environment = os.environ | {"REDIS_URL": server.url, "GST_PLUGIN_PATH": str(options.programs)}
            for picture, (width, height, bits) in PICTURES.items():
                source = encoded(folder, width, height, bits, environment)
                decoded, _ = cores(decoding(source), environment, options.seconds)
                measured = {fps: cores(session(source, fps), environment, options.seconds) for fps in RATES}
                figures[picture] = {
                    "decoding_cores": decoded,
                    "cores_by_fps": {fps: used for fps, (used, _) in measured.items()},
                    "private_bytes": max(memory for _, memory in measured.values()),
                }
    report.save(options.result, load, {}, {"video_fps": FPS, "pictures": figures})


if __name__ == "__main__":
    main()
