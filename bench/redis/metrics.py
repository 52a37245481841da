#!/usr/bin/env python3
"""What it costs to measure: a worker with the stages' histograms, scraped each second, and one without.

The stream is filled beforehand, as for two workers. In turn with and without, each first every other round; the ratio within
each round counts: of frames a second, and of the worker's processor time for a frame, which a busy machine disturbs less.
"""

import contextlib
import statistics
import threading

import report
from system import Redis, cpu_seconds, workplace
from workers import answered, rate

OFF = {"SIGHTLINE_STAGE_METRICS": "off"}


@contextlib.contextmanager
def scraped(system):
    """As by a Prometheus five times as eager as ours."""
    over = threading.Event()

    def scrape():
        while not over.wait(1):
            for port in (system.port, system.launcher_port):
                system.call("GET", "/metrics", port=port)

    scraper = threading.Thread(target=scrape, daemon=True)
    scraper.start()
    try:
        yield
    finally:
        over.set()
        scraper.join()


def measure(options, server, folder, jpegs, scrape, **settings):
    """(Frames a second, the worker's processor time for each in microseconds.)"""
    cost = []

    @contextlib.contextmanager
    def watched(system):
        client = server.client()
        (pid,) = system.workers().values()
        used, frames = cpu_seconds(pid), answered(client)[1]
        with scrape(system):
            yield
        cost.append((cpu_seconds(pid) - used) / (answered(client)[1] - frames) * 1e6)

    frames_a_second, _ = rate(options, server, folder, jpegs, 1, watched, **settings)
    return frames_a_second, cost[0]


def pair(options, server, folder, jpegs, on_first):
    """With metrics, and without."""
    on = lambda: measure(options, server, folder, jpegs, scraped)
    off = lambda: measure(options, server, folder, jpegs, lambda _: contextlib.nullcontext(), **OFF)
    if on_first:
        return on(), off()
    without = off()
    return on(), without


def main():
    parser = report.arguments(__doc__, "metrics")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--frames", type=int, default=2000, help="in each round, with and without")
    options = parser.parse_args()
    load = report.Load()
    with workplace(options.programs) as (folder, jpegs), Redis(folder) as server:
        rounds = [pair(options, server, folder, jpegs, number % 2 == 0) for number in range(options.rounds)]
    faster = [on[0] / off[0] for on, off in rounds]
    dearer = [on[1] / off[1] for on, off in rounds]
    median = lambda which, index: statistics.median(round_[which][index] for round_ in rounds)
    goals = {
        "frames_on_by_off": report.at_least(round(statistics.median(faster), 4), 0.99),
        "cpu_off_by_on": report.at_least(round(1 / statistics.median(dearer), 4), 0.99),
    }
    report.save(options.result, load, goals, {
        "model": "yolox_nano", "rounds": options.rounds, "frames": options.frames,
        "frames_a_second": {"on": round(median(0, 0), 1), "off": round(median(1, 0), 1)},
        "worker_cpu_us_a_frame": {"on": round(median(0, 1)), "off": round(median(1, 1))},
        "frames_ratios": [round(ratio, 4) for ratio in faster],
        "cpu_ratios": [round(ratio, 4) for ratio in dearer],
    })  # fmt: skip


if __name__ == "__main__":
    main()
