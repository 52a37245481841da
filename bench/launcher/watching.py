#!/usr/bin/env python3
"""What it costs that a pipeline's process is watched: `pipeline-launcher run` beside `gst-launch-1.0` with the same elements.

Processor time is counted, of the whole process, for N and for 2 N frames: the difference leaves out how long it takes to start. Both are
measured in turn, and medians are judged. Needs no packages.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# name -> frames, launch text
PIPELINES = {
    "empty buffers through five elements": (
        400_000,
        "fakesrc num-buffers={frames} sizetype=empty ! identity ! identity ! identity ! identity ! fakesink",
    ),
    "640x480, converted and scaled": (
        4_000,
        "videotestsrc num-buffers={frames} pattern=black ! video/x-raw,format=I420,width=640,height=480 ! videoconvert"
        " ! video/x-raw,format=BGRx ! videoscale ! video/x-raw,width=320,height=240 ! fakesink",
    ),
}
FILE = """schema = 1
name = "watched"
kind = "source"
summary = "what is measured"
[pipeline]
launch = '''{launch}'''
"""


def cpu_seconds(command):
    """User and system time of a program and of what it started and waited for."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            raise SystemExit(f"{command}: {output.read().decode()}")
    return usage.ru_utime + usage.ru_stime


def per_frame_us(frames, run):
    once, twice = run(frames), run(2 * frames)
    return (twice - once) / frames * 1e6


def measure(programs, launch, frames, rounds):
    def plain(count):
        return cpu_seconds(["gst-launch-1.0", "-q", *launch.format(frames=count).split()])

    def watched(count):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "watched.toml")
            file.write_text(FILE.format(launch=launch.format(frames=count)))
            return cpu_seconds([programs / "pipeline-launcher", "run", file])

    figures = [(per_frame_us(frames, plain), per_frame_us(frames, watched)) for _ in range(rounds)]
    alone, together = (statistics.median(column) for column in zip(*figures))
    more = statistics.median(watched - plain for plain, watched in figures)
    return {
        "gst_launch_us_per_frame": round(alone, 3),
        "watched_us_per_frame": round(together, 3),
        "more_us_per_frame": round(more, 3),
        "ratio": round(together / alone, 3),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "target/release")
    parser.add_argument("--result", type=pathlib.Path, default=ROOT / "bench/results/watching.json")
    arguments = parser.parse_args()
    result = {"rounds": arguments.rounds, "build": arguments.programs.resolve().name}
    for name, (frames, launch) in PIPELINES.items():
        result[name] = measure(arguments.programs.resolve(), launch, frames, arguments.rounds)
    print(json.dumps(result, indent=2))
    arguments.result.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
