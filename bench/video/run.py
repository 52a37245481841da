#!/usr/bin/env python3
"""A picture that others can watch: what encoding and publishing cost, and how much later a viewer has a frame.

Runs `gst-launch-1.0` with our elements and a redis-server of its own. What drawing costs, bench/elements measures.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CAPS = "video/x-raw,format=I420,width=640,height=480"
DATA = pathlib.Path(os.environ.get("SIGHTLINE_DATA", ROOT / "../shared/data"))
FILM = (
    f"filesrc location={DATA / 'video/bikes.mp4'} ! qtdemux ! h264parse ! avdec_h264 max-threads=1 "
    # As fast as it is shown: unpaced, the sink would drop what Redis has not taken yet.
    f"! videoscale n-threads=1 ! {CAPS} ! identity sync=true"
)
FRAMES = 250
ROUNDS = 5
LATENCY_FRAMES = 600
# As in pipelines/webrtc-annotated.toml.
ENCODER = (
    "vp8enc deadline=1 cpu-used=8 threads=1 lag-in-frames=0 error-resilient=default end-usage=cbr "
    "target-bitrate=1500000 buffer-size=1000 buffer-initial-size=500 buffer-optimal-size=600 "
    "min-quantizer=4 max-quantizer=56 keyframe-max-dist=120"
)


def environment(redis, folder, plugins):
    return {
        **os.environ,
        "GST_PLUGIN_PATH": str(plugins),
        "GST_REGISTRY": str(folder / "registry.bin"),
        "REDIS_URL": redis,
    }


def cpu_seconds(line, env):
    """CPU time of a pipeline's process, its start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["gst-launch-1.0", "-q", *line.split()], env=env, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def costs(env):
    """Milliseconds of CPU a frame that each step adds to those before it: medians of differences within a round."""
    steps = {
        "before": f"{FILM} ! fakesink",
        "encode": f"{FILM} ! {ENCODER} ! fakesink",
        "publish": f"{FILM} ! {ENCODER} ! redisvideosink session=cpu",
    }
    names = list(steps)
    added = {name: [] for name in names[1:]}
    for _ in range(ROUNDS):
        took = {name: cpu_seconds(line, env) / FRAMES * 1000 for name, line in steps.items()}
        for before, after in zip(names, names[1:]):
            added[after].append(took[after] - took[before])
    return {name: round(statistics.median(values), 2) for name, values in added.items()}


def passed(log, element):
    """When each frame came to an element, in milliseconds, and its size: from GStreamer's log of what pads do."""
    pattern = re.compile(rf"^(\d+):(\d+):([\d.]+) .*<{element}:sink> calling chainfunction .*\bsize (\d+),")
    matches = filter(None, map(pattern.search, log.read_text(errors="replace").splitlines()))
    return [
        ((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1000, int(size))
        for hours, minutes, seconds, size in (match.groups() for match in matches)
    ]


def delays(env, folder):
    """Milliseconds from the encoder to the element after the viewer's source; both in one process, so by one clock."""
    log = folder / "log"
    line = (
        f"videotestsrc is-live=true pattern=ball num-buffers={LATENCY_FRAMES} ! {CAPS},framerate=30/1 ! {ENCODER} "
        "! redisvideosink name=written session=latency "
        "redisvideosrc session=latency ! fakesink name=watched sync=false"
    )
    traced = {**env, "GST_DEBUG": "GST_SCHEDULING:6", "GST_DEBUG_FILE": str(log), "GST_DEBUG_NO_COLOR": "1"}
    subprocess.run(["gst-launch-1.0", "-q", *line.split()], env=traced, check=True, stdout=subprocess.DEVNULL)
    written, watched = passed(log, "written"), passed(log, "watched")
    # Frames are told apart by their sizes; the viewer may have missed the first ones.
    sizes = [size for _, size in watched]
    first = next(at for at in range(len(written)) if [size for _, size in written[at:]] == sizes)
    return sorted(there - here for (here, _), (there, _) in zip(written[first:], watched))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "bench/results/video.json")
    parser.add_argument("--plugins", type=pathlib.Path, default=ROOT / "target/release", help="folder of our elements")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        socket = folder / "redis.sock"
        redis = subprocess.Popen(
            ["redis-server", "--port", "0", "--save", "", "--unixsocket", str(socket), "--dir", name],
            stdout=subprocess.DEVNULL,
        )
        try:
            while not socket.exists():
                time.sleep(0.05)
            env = environment(f"unix://{socket}", folder, arguments.plugins)
            cpu = costs(env)
            late = delays(env, folder)
        finally:
            redis.terminate()
            redis.wait()
    quantile = lambda share: round(late[int(share * (len(late) - 1))], 2)
    result = {
        "picture": CAPS,
        "cpu_ms_per_frame": cpu,
        "viewer_delay_ms": {"frames": len(late), "p50": quantile(0.5), "p95": quantile(0.95), "max": quantile(1)},
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
