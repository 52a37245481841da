#!/usr/bin/env python3
"""Workers that are killed, and a Redis that is restarted empty, stopped and full, while sessions run.

What a client gets is read over REST; what was written, from the stream.
"""

import collections
import os
import random
import signal
import time

import report
from system import Predictions, Reader, Redis, System, wait_for, workplace

GROUP = "cg:images"
SESSIONS, WORKERS, FPS = 4, 2, 8
# Redis works on, with so much beside what it held before.
SLACK_BYTES = 8 * 1024 * 1024
FULL_SECONDS = 8
STOPPED_SECONDS = 5


def longest_gap(times, begin, end):
    inside = [begin, *(at for at in times if begin <= at <= end), end]
    return round(max(later - earlier for earlier, later in zip(inside, inside[1:])), 3)


def disorder(readers):
    """Predictions that a reader got twice or too late."""
    return sum(
        later <= earlier for reader in readers for (_, earlier, _), (_, later, _) in zip(reader.got, reader.got[1:])
    )


def kill_worker(system, server, readers):
    """Kills one of the workers: the sessions' longest gaps in the next seconds, and when what it held is given up."""
    client = server.client()
    name, pid = random.choice(sorted(system.workers().items()))
    # A worker holds no frame for a moment after each: wait for one that it will never finish.
    held = wait_for("a worker holds a frame", 10, lambda: stop_with_frame(client, name, pid))
    begin = time.time()
    os.kill(pid, signal.SIGKILL)
    gone = lambda: not held & {entry["message_id"] for entry in client.xpending_range("images", GROUP, "-", "+", 1000)}
    wait_for("what the worker held is given up", 30, gone)
    pending = round(time.time() - begin, 2)
    time.sleep(max(0, begin + 6 - time.time()))
    end = time.time()
    back = lambda: len(system.workers()) == WORKERS
    wait_for("a new worker", 20, back)
    gaps = [longest_gap([at for at, _, _ in reader.got], begin, end) for reader in readers]
    return {"frames_held": len(held), "pending_gone_s": pending, "longest_gaps_s": sorted(gaps)}


def stop_with_frame(client, name, pid):
    """Stops a worker, and says which entries it has taken and not finished; it goes on if there are none."""
    os.kill(pid, signal.SIGSTOP)
    entries = client.xpending_range("images", GROUP, "-", "+", 1000, consumername=f"svc:inf:{name}")
    if not entries:
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.003)
    return {entry["message_id"] for entry in entries}


def killed_workers(system, server, rounds):
    cameras = system.start_cameras(SESSIONS, FPS)
    readers = [Reader(system, camera) for camera in cameras]
    written = Predictions(server)
    time.sleep(3)
    kills = [kill_worker(system, server, readers) for _ in range(rounds)]
    system.stop_cameras(cameras)
    answers = collections.Counter((one.session, one.seq) for one in written.stop())
    return {
        "kills": kills,
        "predictions_read": sum(len(reader.got) for reader in readers),
        "read_twice_or_out_of_order": disorder(readers),
        "written_twice": sum(count - 1 for count in answers.values()),
    }


def restarted_empty(server):
    server.kill()
    time.sleep(1)
    server.start()


def stopped(server):
    server.send(signal.SIGSTOP)
    time.sleep(STOPPED_SECONDS)
    server.send(signal.SIGCONT)


def full(server):
    """A key of somebody else's takes all the memory that there is."""
    client = server.client()
    client.setrange("foreign", int(client.config_get("maxmemory")["maxmemory"]), b"x")
    time.sleep(FULL_SECONDS)
    client.delete("foreign")


def mishap(system, server, happen):
    cameras = system.start_cameras(SESSIONS, FPS)
    readers = [Reader(system, camera) for camera in cameras]
    # Those of earlier sessions have ended by then.
    time.sleep(5)
    before, memory = system.processes(), server.client().info("memory")["used_memory"]
    happen(server)
    back = time.time()
    time.sleep(10)
    # Of a frame that was taken after Redis was back.
    firsts = [next((at for at, _, captured in reader.got if captured > back), None) for reader in readers]
    flowing = [round(at - back, 2) if at else None for at in firsts]
    ended, over = before - system.processes(), sum(reader.end is not None for reader in readers)
    after = server.client().info("memory")["used_memory"]
    gaps = [longest_gap([at for at, _, _ in reader.got], back + 5, back + 10) for reader in readers]
    system.stop_cameras(cameras)
    return {
        "frames_flow_after_s": flowing,
        "processes_ended": len(ended),
        "sessions_ended": over,
        "longest_gap_afterwards_s": max(gaps),
        "read_twice_or_out_of_order": disorder(readers),
        "bytes_more_than_before": after - memory,
    }


MISHAPS = {"restarted_empty": restarted_empty, "stopped_for_5_s": stopped, "full": full}


def goals(kills, mishaps):
    gap = max(kill["longest_gaps_s"][-1] for kill in kills["kills"])
    pending = max(kill["pending_gone_s"] for kill in kills["kills"])
    judged = {
        "killed_worker: longest_gap_s": report.at_most(gap, 1.0),
        "killed_worker: pending_gone_s": report.at_most(pending, 5.0),
        "killed_worker: read_twice_or_out_of_order": report.at_most(kills["read_twice_or_out_of_order"], 0),
    }
    for name, seen in mishaps.items():
        flowing = seen["frames_flow_after_s"]
        judged[f"{name}: frames_flow_after_s"] = report.at_most(None if None in flowing else max(flowing), 3.0)
        for key, most in {"processes_ended": 0, "sessions_ended": 0, "read_twice_or_out_of_order": 0,
                          "bytes_more_than_before": SLACK_BYTES}.items():  # fmt: skip
            judged[f"{name}: {key}"] = report.at_most(seen[key], most)
    return judged


def main():
    parser = report.arguments(__doc__, "faults")
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    load = report.Load()
    with (
        workplace(options.programs) as (folder, jpegs),
        Redis(folder, maxmemory="64mb") as server,
        System(options.programs, server, folder, jpegs[0].parent, WORKERS) as system,
    ):
        kills = killed_workers(system, server, options.kills)
        mishaps = {name: mishap(system, server, happen) for name, happen in MISHAPS.items()}
    report.save(options.result, load, goals(kills, mishaps), {
        "sessions": SESSIONS, "workers": WORKERS, "fps_of_each": FPS, "killed_worker": kills, **mishaps,
    })  # fmt: skip


if __name__ == "__main__":
    main()
