#!/usr/bin/env python3
"""How many sessions of 640×480 at 30 frames a second with ten inferences each this machine carries, and what each
costs.

Sessions are added until the launcher takes no more, and then, at one that takes all, until they are not served well.
The sender's films are encoded beforehand; its processor time (SRTP and ICE, mostly) is on the same machine and is told
apart: a camera's host pays it.

A machine that shares its processors with others is slower at times by a third. So all is done several times, the bare limit before and
after, and the time when the limit was highest is judged; the others are told beside.
"""

import contextlib
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import bench
import cameras
import figures
from bench import report

STEPS = (1, 2, 4, 6, 7, 8, 9, 10, 12, 16, 24, 32)
FPS, LATE_MS = 10, 150
# Of the inferences that are wanted.
ENOUGH = 0.95
SETTLE = 2
GOAL_A_CORE = 4
# A session of many may cost so much more or less than the only one, as a share.
FLAT = 0.25


def step(site, server, sender, seconds):
    """What so many sessions get, and what they cost."""
    time.sleep(SETTLE)
    followers = [cameras.Follower(site, session) for session in sender.sessions]
    processes = cameras.roles(site, {"redis": {server.process.pid}, "sender": {sender.process.pid}})
    sender.frames()
    before, begin = cameras.busy(processes), time.monotonic()
    time.sleep(seconds)
    after, took = cameras.busy(processes), time.monotonic() - begin
    ages = cameras.ages(sender, followers)
    for follower in followers:
        follower.stop()
    all_ages = [age for each in ages.values() for age in each]
    cores = {role: round((after[role] - before[role]) / took, 3) for role in processes}
    ours = sum(share for role, share in cores.items() if role != "sender")
    return {
        "sessions": len(sender.sessions),
        "inferences_a_second": round(statistics.mean(len(each) for each in ages.values()) / took, 2),
        "fewest_a_second": round(min(len(each) for each in ages.values()) / took, 2),
        "age_ms": figures.percentiles(all_ages) if all_ages else None,
        "cores": cores,
        "cores_a_session": round(ours / len(sender.sessions), 4),
    }


def is_well(row):
    return row["age_ms"] is not None and row["age_ms"]["p95"] <= LATE_MS and row["inferences_a_second"] >= ENOUGH * FPS


# The launcher's own limits: what is empty counts as not set.
ADMISSION = {name: "" for name in ("SIGHTLINE_MAX_CPU_PERCENT", "SIGHTLINE_MAX_QUEUE_MS", "SIGHTLINE_MAX_SESSIONS")}
ALL = ADMISSION | {"SIGHTLINE_MAX_CPU_PERCENT": "0", "SIGHTLINE_MAX_QUEUE_MS": "0"}


def ramp(options, seconds, steps, admission=ADMISSION):
    """What so many sessions get, up to those that are admitted, and whether others were refused."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        film = cameras.film(folder)
        server, site = stack.enter_context(cameras.site(options, folder, **admission))
        sender = cameras.Sender(stack, site, film, FPS)
        rows, refused = [], False
        for sessions in steps:
            while len(sender.sessions) < sessions and not refused:
                refused = sender.add() is None
            if rows and len(sender.sessions) == rows[-1]["sessions"]:
                break
            rows.append(step(site, server, sender, seconds) | {"admitted": admission is ADMISSION})
            print(rows[-1], file=sys.stderr, flush=True)
            if refused or not (admission is ADMISSION or is_well(rows[-1])):
                break
        return rows, refused


def judge(rows):
    """The most sessions that are served well, for each core that the senders leave, and the goals."""
    well = list(itertools.takewhile(is_well, rows))
    best = well[-1] if well else None
    left = os.cpu_count() - best["cores"]["sender"] if best else None
    last = [row for row in rows if row["admitted"]][-1]
    costs = [row["cores_a_session"] for row in rows if best and row["sessions"] <= best["sessions"]]
    goals = {
        "sessions a core": report.at_least(round(best["sessions"] / left, 2) if best else None, GOAL_A_CORE),
        "cost of a session varies by": report.at_most(round(figures.flatness(costs), 3) if costs else None, FLAT),
        "at the most that are admitted: p95, ms": report.at_most(last["age_ms"] and last["age_ms"]["p95"], LATE_MS),
    }
    return best, goals


def round_(options, limit):
    """All numbers of sessions once, and the bare limit before and after."""
    before = limit.rate(1.0)[0]
    rows, refused = ramp(options, options.seconds, [count for count in STEPS if count <= options.most])
    if refused:
        rows += ramp(options, options.seconds, range(rows[-1]["sessions"] + 1, STEPS[-1]), ALL)[0]
    best, goals = judge(rows)
    return {
        "limit": [round(before, 1), round(limit.rate(1.0)[0], 1)], "rows": rows, "refused": refused,
        "best": best, "goals": goals,
    }  # fmt: skip


def fastest(rounds):
    """The one when the machine was fastest."""
    return max(rounds, key=lambda one: min(one["limit"]))


def main():
    parser = bench.arguments(__doc__, "density")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each number of sessions")
    parser.add_argument("--most", type=int, default=STEPS[-1])
    parser.add_argument("--rounds", type=int, default=4, help="how often all is done")
    options = parser.parse_args()
    load = bench.Load()
    with contextlib.ExitStack() as stack:
        limit = bench.Limit(stack)
        rounds = [round_(options, limit) for _ in range(options.rounds)]
    judged = fastest(rounds)
    bench.save(options, load, judged["limit"], judged["goals"], {
        "camera": f"640x480 at {cameras.FPS}/s", "inferences_a_second": FPS,
        "most_served_well": judged["best"] and judged["best"]["sessions"], "refused": judged["refused"], "steps": judged["rows"],
        "rounds": [
            {
                "limit": one["limit"], "most_served_well": one["best"] and one["best"]["sessions"],
                **{name: goal["value"] for name, goal in one["goals"].items()},
            }
            for one in rounds
        ],
    })  # fmt: skip


if __name__ == "__main__":
    main()
