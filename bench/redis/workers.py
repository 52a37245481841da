#!/usr/bin/env python3
"""Two workers of one thread on two cores against one: how many times as many frames?

The stream is filled beforehand with frames that do not expire, so nobody produces anything while workers are measured.
In turn one worker and two; the ratio within each round counts.
"""

import contextlib
import io
import statistics
import time

import report
from PIL import Image
from system import DATA, Redis, System, cpu_seconds, wait_for, workplace

EXPIRES = 4_000_000_000_000_000
QUALITY = 85


def pictures(size):
    """The pictures of COCO at hand as JPEGs of that size, as a camera would send them."""
    encoded = []
    for path in sorted((DATA / "coco-tiny/images").glob("*.jpg")):
        buffer = io.BytesIO()
        Image.open(path).convert("RGB").resize(size).save(buffer, "JPEG", quality=QUALITY)
        encoded.append(buffer.getvalue())
    return encoded


def entry(session, seq, picture, lives=None):
    """A frame as `redisstreamsink` writes it; it lives for so many seconds."""
    now = int(time.time() * 1e6)
    return {
        "participantId": session, "timestamp": seq, "v": 1, "seq": seq,
        "captured": now, "expires": now + int(lives * 1e6) if lives else EXPIRES, "img": picture,
    }  # fmt: skip


def fill(client, pictures, count):
    """Frames of one session, which do not expire."""
    with client.pipeline(transaction=False) as batch:
        for seq in range(count):
            batch.xadd("images", entry("filled", seq, pictures[seq % len(pictures)]))
            if seq % 50 == 49:
                batch.execute()
        batch.execute()


def answered(client):
    """Redis's time, and how many frames workers have answered until then."""
    batch = client.pipeline(transaction=False)
    batch.time()
    batch.xinfo_stream("predictions")
    (seconds, micros), stream = batch.execute()
    return seconds + micros / 1e6, stream["entries-added"]


def rate(options, server, folder, jpegs, workers, while_measured=lambda _: contextlib.nullcontext(), **settings):
    """(Frames a second of so many workers, Redis's processor time for each in microseconds.)"""
    client = server.client()
    client.flushall()
    frames = options.frames * workers
    with System(options.programs, server, folder, jpegs[0].parent, workers, **settings) as system:
        client.delete("predictions")
        fill(client, [path.read_bytes() for path in jpegs], frames)
        reached = lambda count: client.exists("predictions") and answered(client)[1] >= count
        wait_for("the first frames are answered", 60, lambda: reached(frames // 10))
        cpu = cpu_seconds(server.process.pid)
        with while_measured(system):
            begin, first = answered(client)
            while not reached(frames * 9 // 10):
                time.sleep(0.25)
            end, last = answered(client)
        cpu = cpu_seconds(server.process.pid) - cpu
        assert len(system.workers()) == workers, "a worker has ended"
    return (last - first) / (end - begin), cpu / (last - first) * 1e6


def main():
    parser = report.arguments(__doc__, "workers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=1000, help="for each worker, in each round")
    options = parser.parse_args()
    load = report.Load()
    with workplace(options.programs) as (folder, jpegs), Redis(folder) as server:
        rounds = [
            [rate(options, server, folder, jpegs, workers) for workers in (1, 2)] for _ in range(options.rounds)
        ]
    ratios = [two / one for (one, _), (two, _) in rounds]
    median = lambda index, which: statistics.median(round_[index][which] for round_ in rounds)
    goals = {"two_by_one": report.at_least(round(statistics.median(ratios), 3), 1.85)}
    report.save(options.result, load, goals, {
        "model": "yolox_nano", "rounds": options.rounds, "frames": options.frames,
        "frames_a_second": {"one": round(median(0, 0), 1), "two": round(median(1, 0), 1)},
        "ratios": [round(ratio, 3) for ratio in ratios],
        "redis_cpu_us_a_frame": {"one": round(median(0, 1)), "two": round(median(1, 1))},
    })  # fmt: skip


if __name__ == "__main__":
    main()
