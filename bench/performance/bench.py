"""What all measurements of this folder share: the system of bench/redis, the limit that they are compared with, and
results."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time

# The system, a Redis of its own, and what each result says of the machine.
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "redis"))
import report  # noqa: E402
import system  # noqa: E402

import figures  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
MODEL = system.DATA / "models/yolox_nano.onnx"
PICTURES = system.DATA / "coco-tiny/images"


def arguments(doc, name):
    parser = report.arguments(doc, name)
    parser.set_defaults(result=report.RESULTS / f"performance-{name}.json")
    return parser


@contextlib.contextmanager
def program(*command, **options):
    """A program of ours that says `ready`; ended when it is not needed any more."""
    process = subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
    )
    try:
        if (line := process.stdout.readline()) != "ready\n":
            raise SystemExit(f"{command}: ended or said {line!r} rather than `ready`")
        yield process
    finally:
        process.terminate()
        process.wait(10)


def python(script, *arguments_, **options):
    return program(sys.executable, HERE / script, *arguments_, **options)


def processors():
    """Ticks of all processors since the machine started: all, those with something to do, and those that its host took."""
    ticks = [int(number) for number in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks), sum(ticks) - idle, ticks[7]


class Load(report.Load):
    """Also how busy others kept the processors just before, and what the machine's host took of them since."""

    def __init__(self, seconds=2.0):
        all_before, busy_before, _ = processors()
        time.sleep(seconds)
        self.start_ticks = all_, busy, _ = processors()
        self.busy_before = (busy - busy_before) / max(all_ - all_before, 1)
        super().__init__()

    def stolen(self):
        (all_before, _, before), (all_, _, now) = self.start_ticks, processors()
        return (now - before) / max(all_ - all_before, 1)

    def noise(self, limit_rounds):
        return figures.noise(limit_rounds, self.busy_before, self.stolen())


class Limit:
    """As many bare loops of one thread as there are cores."""

    def __init__(self, stack):
        picture = sorted(PICTURES.glob("*.jpg"))[0]
        self.loops = [stack.enter_context(python("limit.py", MODEL, picture)) for _ in range(os.cpu_count())]
        self.rounds = []

    def rate(self, seconds):
        """(Inferences a second of all together, processor milliseconds for each.)"""
        for loop in self.loops:
            print(seconds, file=loop.stdin, flush=True)
        answers = [loop.stdout.readline().split() for loop in self.loops]
        self.rounds.append(sum(int(runs) / float(took) for runs, took, _ in answers))
        cpu = sum(float(cpu) for *_, cpu in answers)
        return self.rounds[-1], cpu * 1000 / sum(int(runs) for runs, *_ in answers)


def settle(seconds=1.0):
    time.sleep(seconds)


def save(options, load, limit_rounds, goals, values):
    """Writes the result with what the machine's noise lets be said; goals that a noisy machine missed prove nothing."""
    noise = load.noise(limit_rounds)
    report.save(options.result, load, goals, {
        "noise": {
            "limit_rounds": [round(value, 1) for value in limit_rounds], "too_noisy": noise,
            "busy_before": round(load.busy_before, 3), "stolen": round(load.stolen(), 4),
        },
        **values,
    })  # fmt: skip
    for reason in noise:
        print(f"too noisy to conclude: {reason}", file=sys.stderr)
