#!/usr/bin/env python3
"""Pictures a second that workers answer: Sightline, the bare limit, and Python workers of v1's kind, in turn.

A stream is filled beforehand with pictures that do not expire, so nobody produces anything while workers are measured.
All stay started and wait; only those whose turn it is get pictures. What counts are ratios within each round.
"""

import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import onnxruntime

import bench
import figures
from bench import report, system
from workers import answered, fill, pictures

# A camera's pictures come to Sightline's workers in the last of these sizes: sessions scale them to the model's input.
SIZES = {"640x480": (640, 480), "1280x720": (1280, 720), "416x312": (416, 312)}
WARM_UP = 40
# Databases of one Redis: who waits for pictures in which.
SIGHTLINE, V1_DEFAULT, V1_TWO = 0, 1, 2


def rate(client, workers, jpegs, seconds, most):
    """(Pictures a second that are answered, the workers' processor milliseconds for each); nobody surpasses `most` a second."""
    client.delete("predictions")
    count = int(most * (seconds + 1)) + 2 * WARM_UP
    fill(client, jpegs, count)
    warm = lambda: client.exists("predictions") and answered(client)[1] >= WARM_UP
    system.wait_for("the first pictures are answered", 60, warm)
    cpu = lambda: sum(system.cpu_seconds(pid) for pid in workers)
    before, (begin, first) = cpu(), answered(client)
    time.sleep(seconds)
    used, (end, last) = cpu() - before, answered(client)
    if last >= count:
        raise SystemExit("the stream ran dry while it was measured")
    if last == first:
        raise SystemExit(f"nothing was answered in {seconds} s: do workers live, and is the machine free?")
    client.xtrim("images", maxlen=0, approximate=False)
    bench.settle(0.3)
    return (last - first) / (end - begin), used * 1000 / (last - first)


@contextlib.contextmanager
def contestants(options, folder, names):
    """{name: function of the seconds that measures}; all are started and wait."""
    with contextlib.ExitStack() as stack:
        limit = bench.Limit(stack)
        server = stack.enter_context(system.Redis(folder, maxmemory="4gb"))
        ours = stack.enter_context(system.System(options.programs, server, folder, folder, workers=2))
        v1 = lambda number, *more: stack.enter_context(
            bench.python("v1_worker.py", f"{server.url}/{number}", bench.MODEL, *more)
        )
        workers = {
            "sightline": (SIGHTLINE, ours.workers().values()),
            "v1": (V1_DEFAULT, [v1(V1_DEFAULT).pid]),
        }
        if any(name.startswith("v1 two") for name in names):
            workers["v1 two"] = (V1_TWO, [v1(V1_TWO, "--threads", "1").pid for _ in range(2)])
        wanted = {name.rpartition(" ")[2] for name in names}
        encoded = {name: pictures(size) for name, size in SIZES.items() if name in wanted}

        def of(name):
            kind, _, size = name.rpartition(" ")
            database, pids = workers[kind]
            client = system.redis.Redis(port=server.port, db=database)
            # Workers' networks are rewritten, and the machine may be faster than when the limit was measured.
            return lambda seconds: rate(client, pids, encoded[size], seconds, 2 * max(limit.rounds))

        yield limit, {"limit": limit.rate} | {name: of(name) for name in names}


NAMES = (
    "sightline 640x480", "v1 640x480", "v1 two 640x480",
    "sightline 1280x720", "v1 1280x720", "sightline 416x312",
)  # fmt: skip


def measure(options, names=NAMES):
    """{name: rates by round}, {name: processor milliseconds for a picture by round}, and the rates of the limit."""
    rates, costs = {}, {}
    with tempfile.TemporaryDirectory() as name, contestants(options, Path(name), names) as (limit, running):
        for number in range(options.rounds):
            for who, measured in running.items():
                rate_, cost = measured(options.seconds)
                rates.setdefault(who, []).append(rate_)
                costs.setdefault(who, []).append(cost)
            row = "  ".join(f"{who} {values[-1]:.1f}" for who, values in rates.items())
            print(f"round {number + 1} of {options.rounds}: {row}", file=sys.stderr, flush=True)
    return rates, costs, limit.rounds


def main():
    parser = bench.arguments(__doc__, "throughput")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    options = parser.parse_args()
    load = bench.Load()
    rates, costs, limit = measure(options)
    medians = lambda values: {name: round(statistics.median(each), 2) for name, each in values.items()}
    wanted = {
        "sightline 640x480 by limit": ("sightline 640x480", "limit", 0.85),
        "sightline 640x480 by v1": ("sightline 640x480", "v1 640x480", 2.2),
        "sightline 640x480 by two of v1": ("sightline 640x480", "v1 two 640x480", 1.45),
        "sightline 1280x720 by v1": ("sightline 1280x720", "v1 1280x720", 2.8),
    }
    ratios = {name: figures.ratios(rates[ours], rates[other]) for name, (ours, other, _) in wanted.items()}
    ratios["sightline 416x312 by limit"] = figures.ratios(rates["sightline 416x312"], rates["limit"])
    # Of processor time, which others on the machine disturb less.
    ratios["limit by sightline 640x480, processor time"] = figures.ratios(costs["limit"], costs["sightline 640x480"])
    goals = {name: report.at_least(ratios[name]["ratio"], goal) for name, (_, _, goal) in wanted.items()}
    bench.save(options, load, limit, goals, {
        "model": "yolox_nano", "onnxruntime": onnxruntime.__version__, "rounds": options.rounds, "seconds": options.seconds,
        "pictures_a_second": medians(rates), "cpu_ms_a_picture": medians(costs), "ratios": ratios,
    })  # fmt: skip


if __name__ == "__main__":
    main()
