#!/usr/bin/env python3
"""What it costs to measure: a worker's frames a second with the stages' histograms, scraped each second, and without.

The stream is filled beforehand, as for two workers. In turn with and without, each first every other round; the ratio within
each round counts.
"""

import contextlib
import statistics
import threading

import report
from system import Redis, workplace
from workers import rate

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


def pair(options, server, folder, jpegs, on_first):
    """(Frames a second with metrics, and without.)"""
    on = lambda: rate(options, server, folder, jpegs, 1, scraped)[0]
    off = lambda: rate(options, server, folder, jpegs, 1, **OFF)[0]
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
    with workplace() as (folder, jpegs), Redis(folder) as server:
        rounds = [pair(options, server, folder, jpegs, number % 2 == 0) for number in range(options.rounds)]
    ratios = [on / off for on, off in rounds]
    goals = {"on_by_off": report.at_least(round(statistics.median(ratios), 4), 0.99)}
    report.save(options.result, load, goals, {
        "model": "yolox_nano", "rounds": options.rounds, "frames": options.frames,
        "frames_a_second": {
            "on": round(statistics.median(on for on, _ in rounds), 1),
            "off": round(statistics.median(off for _, off in rounds), 1),
        },
        "ratios": [round(ratio, 4) for ratio in ratios],
    })  # fmt: skip


if __name__ == "__main__":
    main()
