"""What every result says: the machine, how busy it was, and whether the goals were reached."""

import argparse
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench/results"


def arguments(doc, name):
    # An exit, so that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "target/release", help="folder of the daemons")
    parser.add_argument("--result", type=pathlib.Path, default=RESULTS / f"redis-{name}.json")
    return parser


class Load(threading.Thread):
    """Samples the load average until it is asked for."""

    def __init__(self):
        super().__init__(daemon=True)
        self.before = os.getloadavg()[0]
        self.samples = [self.before]
        self.ending = threading.Event()
        self.start()

    def run(self):
        while not self.ending.wait(2):
            self.samples.append(os.getloadavg()[0])

    def machine(self):
        self.ending.set()
        model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
        version = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
        return {
            "processor": model[1] if model else os.uname().machine,
            "cores": os.cpu_count(),
            "redis": re.search(r"v=(\S+)", version)[1],
            "load": {
                "before": round(self.before, 1),
                "median": round(statistics.median(self.samples), 1),
                "most": round(max(self.samples), 1),
            },
        }


def at_most(value, limit):
    return {"value": value, "at_most": limit, "reached": value is not None and value <= limit}


def at_least(value, limit):
    return {"value": value, "at_least": limit, "reached": value is not None and value >= limit}


def quantile(values, share):
    """None of no values."""
    ordered = sorted(values)
    return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 1) if ordered else None


def save(path, load, goals, figures):
    result = {
        "machine": load.machine(),
        "passed": all(goal["reached"] for goal in goals.values()),
        "goals": goals,
        **figures,
    }
    text = json.dumps(result, indent=2)
    print(text)
    path.write_text(text + "\n")
