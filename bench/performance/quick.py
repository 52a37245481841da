#!/usr/bin/env python3
"""In three minutes: whether Sightline has become faster or slower than what is recorded.

Times are compared as ratios to what ran beside them, and only where the machine was calm enough. Instruction counts are
the same on every day. `--record` makes this run the one that later ones are compared with.
"""

import json
import statistics
import sys
from types import SimpleNamespace

import bench
import density
import figures
import footprint
import instructions
import latency
import throughput
from bench import report

NAMES = ("sightline 640x480", "v1 640x480")


def figure(value, spread, better, exact=False):
    return {"value": round(value, 4), "spread": round(spread, 4), "better": better, "exact": exact}


def speed(options):
    rates, costs, limit = throughput.measure(options, NAMES)
    found = {}
    for name, ours, other in (
        ("worker's pictures a second, by the limit's", rates["sightline 640x480"], rates["limit"]),
        ("worker's pictures a second, by v1's", rates["sightline 640x480"], rates["v1 640x480"]),
        ("limit's processor time, by the worker's", costs["limit"], costs["sightline 640x480"]),
    ):
        seen = figures.ratios(ours, other)
        found[name] = figure(seen["ratio"], seen["spread"], "higher")
    return found, limit


def delay(options):
    """Where nothing but Sightline counts: without the sender and without inference."""
    frames = [dict(frame) for frame in latency.measure(options, sessions=1, encoded=True, seconds=6)]
    ours = [frame["delivered"] - frame["sent"] - (frame["inferred"] - frame["preprocessed"]) for frame in frames]
    return {"sent to delivered without inference, p50 ms": figure(*figures.thirds(ours, statistics.median), "lower")}


def cost(options):
    """Of four sessions, by the processor time of everything but inference."""
    rows, _ = density.ramp(options, 6, (4,))
    cores = {
        role: share
        for role, share in rows[0]["cores"].items()
        if role in ("sessions", "signaling", "launcher", "redis")
    }
    return {"cores of a session without its workers": figure(sum(cores.values()) / 4, figures.CALM_SPREAD / 2, "lower")}


def measure(options):
    found, limit = speed(options)
    found |= delay(options) | cost(options)
    # The kernel counts hundredths of a second: what is below a percent cannot be told apart, and is all right.
    idle = max(footprint.idle(options, 10, shards=0)["ours"], 1.0)
    found["idle, percent of a core (1: or less)"] = figure(idle, 0.1, "lower")
    for what, count in instructions.measure(options.programs).items():
        found[f"instructions: {what}"] = figure(count, 0, "lower", exact=True)
    return found, limit


def main():
    parser = bench.arguments(__doc__, "quick")
    parser.add_argument("--record", action="store_true", help="later runs are compared with this one")
    given = parser.parse_args()
    options = SimpleNamespace(programs=given.programs, rounds=4, seconds=1.5)
    recorded = json.loads(given.result.read_text()) if given.result.exists() else {"figures": {}}
    load = bench.Load()
    found, limit = measure(options)
    noise = load.noise(limit)
    verdicts = figures.verdicts(found, recorded["figures"], noise)
    for name, verdict in verdicts.items():
        before = recorded["figures"].get(name, {}).get("value", "")
        print(f"{name:60}{found[name]['value']:>14}{before:>14}  {verdict}")
    for reason in noise:
        print(f"too noisy to compare times: {reason}", file=sys.stderr)
    if given.record:
        report.save(given.result, load, {}, {"noise": noise, "figures": found})
        return 0
    return 1 if "worse" in verdicts.values() else 0


if __name__ == "__main__":
    sys.exit(main())
