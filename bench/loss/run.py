#!/usr/bin/env python3
"""What comes through a network that loses packets, by the figures that `pipeline-launcher/tests/loss.rs` prints.

Needs root (network namespaces) and nothing else.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Per cent lost: least share of frames decoded, longest freeze and, when nothing is lost any more, recovery in ms.
GOALS = {5: (0.90, 1000, None), 10: (0.75, 2000, None), 20: (None, None, 3000)}
TESTS = ["five_per_cent", "ten_per_cent", "twenty_per_cent", "a_handshake_through_loss"]


def figures(test, environment):
    """Of one run of the test; none if it failed."""
    command = ["cargo", "test", "-q", "--workspace", "--test", "loss", "--", "--exact", test, "--nocapture"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    lines = [line.split(": ", 1)[1] for line in run.stdout.splitlines() if line.startswith("figures: ")]
    return json.loads(lines[0]) if lines and run.returncode == 0 else None


def judged(loss, runs):
    good = [run for run in runs if run]
    if not good:
        return {"failed_runs": len(runs)}
    shares = [run["frames_decoded"] / run["frames_sent"] for run in good]
    freezes = [run["longest_freeze_ms"] for run in good]
    recoveries = [run["recovered_after_ms"] for run in good]
    share, freeze, recovery = map(statistics.median, (shares, freezes, recoveries))
    least, longest, latest = GOALS[loss]
    # Recovery is judged by the worst run: it happens once in each.
    reached = [least is None or share >= least, longest is None or freeze <= longest, latest is None or max(recoveries) <= latest]
    return {
        "share_decoded": {"median": round(share, 3), "all": [round(share, 3) for share in shares]},
        "longest_freeze_ms": {"median": freeze, "all": freezes},
        "recovered_after_ms": {"median": recovery, "all": recoveries},
        "median_delay_ms": statistics.median(run["median_delay_ms"] for run in good),
        "failed_runs": len(runs) - len(good),
        "goal": {"share_decoded": least, "longest_freeze_ms": longest, "recovered_after_ms": latest},
        "reached": all(reached) and len(good) == len(runs),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=20, help="under loss, in each run")
    parser.add_argument("--result", type=pathlib.Path, default=ROOT / "bench/results/loss.json")
    arguments = parser.parse_args()
    environment = os.environ | {"SIGHTLINE_LOSS_SECONDS": str(arguments.seconds), "SIGHTLINE_HANDSHAKE_LOSS": "20"}
    runs, loads = {test: [] for test in TESTS}, []
    for _ in range(arguments.rounds):
        for test in TESTS:
            runs[test].append(figures(test, environment))
            loads.append(os.getloadavg()[0])
            print(test, runs[test][-1], flush=True)
    connected = [run["connected_after_ms"] for run in runs[TESTS[3]] if run]
    attempts = [run["failed_attempts"] for run in runs[TESTS[3]] if run]
    result = {
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "one_way_delay_ms": 50,
        "cores": os.cpu_count(),
        "load": {"median": round(statistics.median(loads), 1), "most": round(max(loads), 1)},
        "loss_per_cent": {loss: judged(loss, runs[test]) for loss, test in zip(GOALS, TESTS)},
        "handshake_at_20_per_cent": {
            "connected_after_ms": connected,
            "attempts_that_failed": attempts,
            "failed_runs": runs[TESTS[3]].count(None),
        },
    }
    print(json.dumps(result, indent=2))
    arguments.result.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
