#!/usr/bin/env python3
"""What Sightline costs while nothing happens, how soon it is ready, and the memory that its processes hold.

Two workers, launcher and signaling wait; so do spare processes for sessions. With one session, its process, a worker
and signaling are weighed.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import bench
import cameras
from bench import report, system

SETTLE = 4
MEGABYTE = 1e6
TICK = os.sysconf("SC_CLK_TCK")


def memory(pid):
    """Resident and proportional memory in megabytes."""
    rows = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return {name.lower(): round(int(rows[name].split()[0]) * 1024 / MEGABYTE, 1) for name in ("Rss", "Pss")}


def age(pid):
    """Seconds since a process began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / TICK


def idle(options, seconds, shards):
    """Percent of a core that each role uses, and all of ours together; Redis is told apart."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        server, site = stack.enter_context(cameras.site(options, Path(name), SIGHTLINE_SHARDS=str(shards)))
        time.sleep(SETTLE)
        processes = cameras.roles(site, {"redis": {server.process.pid}})
        begin, before = time.monotonic(), cameras.busy(processes)
        time.sleep(seconds)
        took, after = time.monotonic() - begin, cameras.busy(processes)
        percent = {role: round(100 * (after[role] - before[role]) / took, 2) for role in processes}
        return percent | {"ours": round(sum(share for role, share in percent.items() if role != "redis"), 2)}


def seconds_until_answered(command, port, path, environment):
    """From the start of a program to its first 200, and the program, which goes on."""
    begin = time.monotonic()
    process = subprocess.Popen(
        command, cwd=system.ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def answers():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2):
                return True
        except OSError:
            return False

    system.wait_for(f"{command[0].name} is ready", 30, answers)
    return time.monotonic() - begin, process


def start(options):
    """Seconds until each daemon is ready, alone on a Redis that runs."""
    with tempfile.TemporaryDirectory() as name, system.Redis(Path(name)) as server, contextlib.ExitStack() as stack:
        took = {}
        for program, more, path, variable in (
            ("signaling", [], "/healthz", "SIGHTLINE_PORT"),
            ("pipeline-launcher", ["serve", "--workers", "0"], "/readyz", "SIGHTLINE_LAUNCHER_PORT"),
        ):
            port = system.free_port()
            environment = os.environ | {"REDIS_URL": server.url, variable: str(port)}
            took[program], process = seconds_until_answered(
                [options.programs / program, *more], port, path, environment
            )
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)
        return took


def start_workers(options):
    """Seconds from a worker's process to `worker ready`, and from `up` with two workers to a system that would serve a session."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        server = stack.enter_context(system.Redis(Path(name)))
        begin, ready = time.monotonic(), {}
        site = system.System(options.programs, server, Path(name), Path(name), 2)
        stack.callback(site.__exit__)

        def all_ready():
            for worker, pid in site.workers().items():
                ready.setdefault(worker, age(pid))
            return len(ready) == 2

        system.wait_for("workers are ready", 30, all_ready)
        system.wait_for("the system is ready", 30, site.is_ready)
        return {"worker": max(ready.values()), "all": time.monotonic() - begin}


def held(options):
    """Memory while one session is live."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        film = cameras.film(folder)
        server, site = stack.enter_context(cameras.site(options, folder))
        sender = cameras.Sender(stack, site, film)
        sender.add()
        time.sleep(SETTLE)
        processes = cameras.roles(site, {"redis": {server.process.pid}})
        weighed = {role: [memory(pid) for pid in pids] for role, pids in processes.items()}
        # Of the children, the session itself is the heaviest; the others are spare.
        return {role: max(each, key=lambda one: one["rss"]) for role, each in weighed.items()}


def main():
    parser = bench.arguments(__doc__, "footprint")
    parser.add_argument("--seconds", type=float, default=20.0, help="of idling")
    parser.add_argument("--starts", type=int, default=3)
    options = parser.parse_args()
    load = bench.Load()
    with contextlib.ExitStack() as stack:
        limit = bench.Limit(stack)
        limit.rate(1.0)
        idles = {
            f"{shards} shards" if shards else "one stream": idle(options, options.seconds, shards) for shards in (0, 8)
        }
        # The first puts programs and model into the page cache.
        start(options), start_workers(options)
        starts = [start(options) | start_workers(options) for _ in range(options.starts)]
        limit.rate(1.0)
        weights = held(options)
        limit.rate(1.0)
    seconds = {what: round(statistics.median(each[what] for each in starts), 3) for what in starts[0]}
    goals = {f"idle, {name}: percent of a core": report.at_most(percent["ours"], 2) for name, percent in idles.items()}
    goals |= {
        f"start of {what}, s": report.at_most(seconds[what], 1) for what in ("signaling", "pipeline-launcher", "worker")
    }
    goals |= {
        f"memory of {role}, MB": report.at_most(weights[role]["rss"], most)
        for role, most in {"workers": 150, "sessions": 60, "signaling": 30}.items()
    }
    bench.save(
        options, load, limit.rounds, goals, {"idle_percent": idles, "start_seconds": seconds, "memory_mb": weights}
    )


if __name__ == "__main__":
    sys.exit(main())
