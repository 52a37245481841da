#!/usr/bin/env python3
"""Sessions started and stopped one after the other: what the launcher keeps of them.

Runs `pipeline-launcher up` with a pipeline of GStreamer's own elements, and asks for sessions by REST. Needs no packages.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "bench/redis"))
from system import children, free_port  # noqa: E402

PIPELINE = """schema = 1
name = "steady"
kind = "source"
summary = "a moving test picture"
[pipeline]
launch = 'videotestsrc is-live=true ! video/x-raw,framerate=30/1 ! fakesink'
"""


def holdings(pid, redis):
    proc = pathlib.Path(f"/proc/{pid}")
    rss = next(line for line in (proc / "status").read_text().splitlines() if line.startswith("VmRSS"))
    size = subprocess.run(["redis-cli", "-s", redis, "dbsize"], capture_output=True, text=True, check=True)
    return {
        "processes": len(children(pid)),
        "descriptors": len(list((proc / "fd").iterdir())),
        "threads": len(list((proc / "task").iterdir())),
        "memory_kib": int(rss.split()[1]),
        "redis_keys": int(size.stdout.split()[-1]),
    }


class System:
    def __init__(self, programs):
        self.port = free_port()
        self.folder = pathlib.Path(tempfile.mkdtemp())
        (self.folder / "steady.toml").write_text(PIPELINE)
        environment = os.environ | {
            "SIGHTLINE_PORT": str(self.port),
            "SIGHTLINE_PIPELINES": str(self.folder),
            "SIGHTLINE_WORKERS": "0",
            "SIGHTLINE_MODEL": "blobs",
        }
        environment.pop("REDIS_URL", None)
        self.log = open(self.folder / "log", "w+")
        self.process = subprocess.Popen(
            [programs / "pipeline-launcher", "up"], cwd=ROOT, env=environment, stdout=self.log, stderr=self.log
        )
        self.redis = f"{tempfile.gettempdir()}/sightline-{self.process.pid}/redis.sock"

    def __enter__(self):
        for _ in range(300):
            try:
                self.call("GET", "/readyz")
                return self
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"it does not get ready; see {self.folder / 'log'}")

    def __exit__(self, *_):
        begun = time.monotonic()
        self.process.terminate()
        self.code = self.process.wait(20)
        self.stopped_in = time.monotonic() - begun
        shutil.rmtree(self.folder)

    def call(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"content-type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.loads(response.read() or b"null")


def once(system):
    """Seconds until the session is running, and it is stopped again."""
    begun = time.monotonic()
    session = system.call("POST", "/api/v1/sessions", {"pipeline": "steady"})["id"]
    while system.call("GET", f"/api/v1/sessions/{session}")["state"] != "RUNNING":
        time.sleep(0.005)
    running = time.monotonic() - begun
    system.call("DELETE", f"/api/v1/sessions/{session}")
    return running


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "target/release")
    parser.add_argument("--result", type=pathlib.Path, default=ROOT / "bench/results/launcher.json")
    arguments = parser.parse_args()
    with System(arguments.programs) as system:
        for _ in range(10):
            once(system)
        time.sleep(3)
        seen = {"start": holdings(system.process.pid, system.redis)}
        times = []
        for number in range(arguments.sessions):
            times.append(once(system))
            if number == arguments.sessions // 2:
                seen["half"] = holdings(system.process.pid, system.redis)
        time.sleep(3)
        seen["end"] = holdings(system.process.pid, system.redis)
    result = {
        "sessions": arguments.sessions,
        "holdings": seen,
        "seconds_to_running": {
            "median": round(statistics.median(times), 3),
            "p95": round(statistics.quantiles(times, n=20)[18], 3),
        },
        "exit_code": system.code,
        "stopped_in_seconds": round(system.stopped_in, 2),
    }
    print(json.dumps(result, indent=2))
    arguments.result.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
