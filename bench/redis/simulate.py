#!/usr/bin/env python3
"""More cameras than this machine can show: sessions, shards and workers as events in simulated time.

The rules are those of `redisstreamsink` and `redisstreamsrc`: two frames of a session under way, the newest of those
that wait goes next, a credit comes back with the answer or after a second, a worker takes the oldest frame and drops it
if it has expired, and a stream that gets too long loses its oldest. Everything else is one number: how long a worker is
busy with a frame.

The overload that was really run (`overload.py`) is simulated too, and both must agree.
"""

import argparse
import dataclasses
import heapq
import json
import pathlib
import random
from collections import deque

import report

CREDIT_LIFETIME = 1.0
# From the worker's end of inference to the session's credit, and from the session to a waiting worker: a round trip.
WIRE = 0.001
# Inferences a second of each camera, where nothing else is said.
FPS = 5
# Of a camera's frames, as a share of the time between two.
JITTER = 0.05
# Simulated and measured may differ by so much.
RATE_TOLERANCE, AGE_TOLERANCE = 0.10, 0.30
# A worker pool is large enough when predictions are younger than this and next to no frame is replaced.
AGE_LIMIT_MS, SHARE_LIMIT = 100, 0.99


@dataclasses.dataclass(frozen=True)
class Setup:
    cameras: int
    fps: float
    workers: int
    # Seconds that a worker is busy with a frame: the mean, and the deviation as a share of it.
    busy: float
    deviation: float = 0.1
    # Streams, each read by its own workers only; workers that read all streams are as one stream.
    shards: int = 1
    # Frames that may wait in a stream (`max-length`): beyond, the oldest is trimmed and nobody is told.
    length: int = 256
    # `max-in-flight`, and `expiry` in seconds.
    credits: int = 2
    expiry: float = 1.0
    seconds: float = 20.0
    seed: int = 1

    @property
    def load(self):
        """Frames offered for each that the workers can do."""
        return self.cameras * self.fps * self.busy / self.workers


@dataclasses.dataclass
class Frame:
    session: int
    captured: float
    expires: float = 0.0


class Session:
    def __init__(self, setup):
        self.setup = setup
        self.waiting = None
        self.under_way = []

    def next(self, now):
        """The frame that may be published now, if any."""
        self.under_way = [(frame, since) for frame, since in self.under_way if now - since < CREDIT_LIFETIME]
        if self.waiting is None or len(self.under_way) >= self.setup.credits:
            return None
        frame, self.waiting = self.waiting, None
        frame.expires = max(frame.captured + self.setup.expiry, now + self.setup.expiry / 2)
        self.under_way.append((frame, now))
        return frame

    def answered(self, frame):
        self.under_way = [(other, since) for other, since in self.under_way if other is not frame]


class Simulation:
    def __init__(self, setup):
        self.setup = setup
        self.random = random.Random(setup.seed)
        self.sessions = [Session(setup) for _ in range(setup.cameras)]
        self.streams = [deque() for _ in range(setup.shards)]
        share, more = divmod(setup.workers, setup.shards)
        self.idle = [share + (shard < more) for shard in range(setup.shards)]
        # As a hash does it: sessions fall on shards by chance.
        self.shard = [self.random.randrange(setup.shards) for _ in range(setup.cameras)]
        self.events, self.order = [], 0
        self.replaced, self.expired, self.trimmed = 0, 0, 0
        self.ages, self.done = [], [0] * setup.cameras

    def at(self, time, happen, *what):
        self.order += 1
        heapq.heappush(self.events, (time, self.order, happen, what))

    def run(self):
        for session in range(self.setup.cameras):
            self.at(self.random.random() / self.setup.fps, self.captured, session)
        while self.events:
            now, _, happen, what = heapq.heappop(self.events)
            if now > self.setup.seconds:
                break
            happen(now, *what)
        return self

    def captured(self, now, session):
        self.replaced += self.sessions[session].waiting is not None
        self.sessions[session].waiting = Frame(session, now)
        self.publish(now, session)
        self.at(now + max(self.random.gauss(1, JITTER), 0) / self.setup.fps, self.captured, session)

    def publish(self, now, session):
        frame = self.sessions[session].next(now)
        if frame is None:
            return
        stream = self.streams[self.shard[session]]
        stream.append(frame)
        if len(stream) > self.setup.length:
            stream.popleft()
            self.trimmed += 1
        # Looked at again when its credit has run out, as the sink's timer does.
        self.at(now + CREDIT_LIFETIME, self.publish, session)
        self.at(now + WIRE, self.take, self.shard[session])

    def take(self, now, shard):
        stream = self.streams[shard]
        while self.idle[shard] and stream:
            frame = stream.popleft()
            if frame.expires <= now:
                self.expired += 1
                continue
            self.idle[shard] -= 1
            busy = self.random.gauss(self.setup.busy, self.setup.busy * self.setup.deviation)
            self.at(now + max(busy, self.setup.busy / 4), self.inferred, frame)

    def inferred(self, now, frame):
        shard = self.shard[frame.session]
        self.idle[shard] += 1
        self.ages.append(now - frame.captured)
        self.done[frame.session] += 1
        self.at(now + WIRE, self.credited, frame)
        self.take(now, shard)

    def credited(self, now, frame):
        self.sessions[frame.session].answered(frame)
        self.publish(now, frame.session)

    def figures(self):
        fair = sum(self.done) / len(self.done)
        return {
            "load": round(self.setup.load, 2),
            "predictions_a_second": round(len(self.ages) / self.setup.seconds, 1),
            "share_inferred": round(len(self.ages) / (len(self.ages) + self.replaced + self.expired + self.trimmed), 4),
            "trimmed_by_done": round(self.trimmed / max(len(self.ages), 1), 4),
            "age_ms": {
                name: report.quantile([age * 1000 for age in self.ages], share)
                for name, share in {"median": 0.5, "p95": 0.95, "p99": 0.99}.items()
            },
            "shares": [round(min(self.done) / fair, 2), round(max(self.done) / fair, 2)],
        }


def simulated(**setup):
    return Simulation(Setup(**setup)).run().figures()


def check(overload):
    """The measured overload beside its simulation."""
    setup = {
        "cameras": overload["sessions"],
        "fps": overload["fps_of_each"],
        "workers": overload["workers"],
        "busy": overload["workers"] / overload["predictions"] * overload["seconds"],
        "seconds": 60.0,
    }
    ours = simulated(**setup)
    measured = {
        "predictions_a_second": round(overload["predictions"] / overload["seconds"], 1),
        "age_ms": overload["age_ms"],
    }
    off = lambda simulated, measured: round(abs(simulated / measured - 1), 3)
    goals = {
        "rate_off": report.at_most(off(ours["predictions_a_second"], measured["predictions_a_second"]), RATE_TOLERANCE),
        "median_age_off": report.at_most(off(ours["age_ms"]["median"], measured["age_ms"]["median"]), AGE_TOLERANCE),
    }
    return goals, {"measured": measured, "simulated": ours}


def highest_load(workers, shards, busy):
    """The most that workers can be loaded with predictions still young and next to no frame replaced."""
    best = 0.0
    for percent in range(40, 100, 3):
        cameras = max(round(percent / 100 * workers / busy / FPS), 1)
        seen = simulated(cameras=cameras, fps=FPS, workers=workers, busy=busy, shards=shards, seconds=10.0)
        if seen["age_ms"]["p95"] > AGE_LIMIT_MS or seen["share_inferred"] < SHARE_LIMIT:
            break
        best = seen["load"]
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--overload", type=pathlib.Path, default=report.RESULTS / "redis-overload.json")
    parser.add_argument("--workers", type=pathlib.Path, default=report.RESULTS / "redis-workers.json")
    parser.add_argument("--result", type=pathlib.Path, default=report.RESULTS / "redis-simulation.json")
    options = parser.parse_args()
    load = report.Load()
    goals, checked = check(json.loads(options.overload.read_text()))
    busy = 2 / json.loads(options.workers.read_text())["frames_a_second"]["two"]

    def loaded(workers, share, **settings):
        """A pool with as many cameras as load it so."""
        cameras = max(round(share * workers / busy / FPS), 1)
        seen = simulated(cameras=cameras, fps=FPS, workers=workers, busy=busy, **settings)
        return {"workers": workers, "cameras": cameras, "settings": settings} | seen

    against_load = [loaded(workers, share) for workers in (4, 64) for share in (0.5, 0.8, 0.95, 1.2, 2, 3)]
    # What an operator may set against age.
    against_load += [loaded(workers, 3, expiry=0.5) for workers in (4, 64)]
    highest = {
        workers: {shards: highest_load(workers, shards, busy) for shards in (1, 4, 16) if shards <= workers}
        for workers in (1, 4, 16, 64)
    }
    report.save(
        options.result,
        load,
        goals,
        {
            "busy_ms": round(busy * 1000, 2),
            "overload": checked,
            "against_load": against_load,
            "highest_load": {
                "age_p95_ms": AGE_LIMIT_MS,
                "share_inferred": SHARE_LIMIT,
                "of_workers_by_shards": highest,
            },
        },
    )


if __name__ == "__main__":
    main()
