#!/usr/bin/env python3
"""Three times more frames than the workers can do: how old are predictions, who gets how much, what does Redis hold?

Four sessions publish through `redisstreamsink`, first as fast as they can, which tells what the workers can do, then
each at its share of three times that.
"""

import collections
import statistics
import threading
import time

import report
from system import Predictions, Redis, System, cpu_seconds, workplace

CREDITS = 2
# Connections' buffers, and the predictions of the last minutes.
CONSTANT_BYTES = 4 * 1024 * 1024


class Memory(threading.Thread):
    """The most that Redis used, and the longest that the stream was."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.client = server.client()
        self.used, self.length = 0, 0
        self.ending = threading.Event()
        self.start()

    def run(self):
        while not self.ending.wait(0.2):
            self.used = max(self.used, self.client.info("memory")["used_memory"])
            self.length = max(self.length, self.client.xlen("images"))

    def stop(self):
        self.ending.set()
        self.join()


def capacity(system, server, sessions, seconds):
    """Predictions a second while more frames are offered than can be done."""
    cameras = system.start_cameras(sessions, 60)
    time.sleep(3)
    seen = Predictions(server)
    time.sleep(seconds)
    rate = len(seen.stop()) / seconds
    system.stop_cameras(cameras)
    return rate


def idle_cpu(server, seconds=5):
    """Redis's processor seconds in a second without sessions."""
    before = cpu_seconds(server.process.pid)
    time.sleep(seconds)
    return (cpu_seconds(server.process.pid) - before) / seconds


def overloaded(system, server, sessions, fps, seconds):
    client = server.client()
    idle, cpu_idle = client.info("memory")["used_memory"], idle_cpu(server)
    cameras = system.start_cameras(sessions, fps)
    time.sleep(3)
    drops, frames = system.counters("sightline_frames_dropped_total"), system.counters("sightline_frames_total")
    network, cpu = client.info("stats"), cpu_seconds(server.process.pid)
    seen, memory = Predictions(server), Memory(server)
    time.sleep(seconds)
    predictions = seen.stop()
    memory.stop()
    cpu = cpu_seconds(server.process.pid) - cpu - seconds * cpu_idle
    bytes_ = {
        way: client.info("stats")[key] - network[key]
        for way, key in {"in": "total_net_input_bytes", "out": "total_net_output_bytes"}.items()
    }
    after = system.counters("sightline_frames_dropped_total")
    offered = system.counters("sightline_frames_total")[("in", "session")] - frames[("in", "session")]
    system.stop_cameras(cameras)
    shares = collections.Counter(prediction.session for prediction in predictions)
    fair = len(predictions) / sessions
    return predictions, {
        "seconds": seconds,
        "frames_offered": round(offered),
        "predictions": len(predictions),
        "age_ms": {
            name: report.quantile([one.age_ms for one in predictions], share)
            for name, share in {"median": 0.5, "p95": 0.95, "p99": 0.99}.items()
        },
        "queue_ms": {"median": report.quantile([one.queue_ms for one in predictions], 0.5)},
        "infer_ms": {"median": round(statistics.median(one.infer_ms for one in predictions), 2)},
        "shares": sorted(round(shares[camera] / fair, 3) for camera in cameras),
        "drops": {" ".join(labels): round(count - drops.get(labels, 0)) for labels, count in after.items()},
        "redis": {
            "bytes_idle": idle,
            "bytes_most": memory.used,
            "longest_stream": memory.length,
            "cpu_ms_a_second_idle": round(cpu_idle * 1000, 1),
            "cpu_us_a_frame": round(cpu / len(predictions) * 1e6),
            "bytes_in_a_frame": round(bytes_["in"] / len(predictions)),
            "bytes_out_a_frame": round(bytes_["out"] / len(predictions)),
        },
    }


def main():
    parser = report.arguments(__doc__, "overload")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--factor", type=float, default=3.0, help="frames offered for each that can be done")
    options = parser.parse_args()
    load = report.Load()
    with (
        workplace(options.programs) as (folder, jpegs),
        Redis(folder) as server,
        System(options.programs, server, folder, jpegs[0].parent, options.workers) as system,
    ):
        largest = max(path.stat().st_size for path in jpegs)
        rate = capacity(system, server, options.sessions, options.seconds / 3)
        # A little more: what workers can do is known roughly.
        fps = max(round(1.2 * options.factor * rate / options.sessions), 1)
        predictions, figures = overloaded(system, server, options.sessions, fps, options.seconds)
    inference = figures["infer_ms"]["median"]
    held = figures["redis"]["bytes_most"] - figures["redis"]["bytes_idle"]
    goals = {
        "age_p95_ms": report.at_most(figures["age_ms"]["p95"], round(500 + 2 * inference, 1)),
        "smallest_share": report.at_least(figures["shares"][0], 0.8),
        "largest_share": report.at_most(figures["shares"][-1], 1.2),
        "redis_bytes": report.at_most(held, options.sessions * CREDITS * largest + CONSTANT_BYTES),
        "offered_by_done": report.at_least(
            round(figures["frames_offered"] / figures["predictions"], 2), 0.9 * options.factor
        ),
    }
    report.save(
        options.result,
        load,
        goals,
        {
            "sessions": options.sessions,
            "workers": options.workers,
            "fps_of_each": fps,
            "predictions_a_second_at_most": round(rate, 1),
            "largest_frame_bytes": largest,
            **figures,
        },
    )


if __name__ == "__main__":
    main()
