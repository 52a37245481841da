#!/usr/bin/env python3
"""Writes docs/performance.md and its pictures from the results; what was not measured yet is left out. Needs no
packages."""

import json
import pathlib
import sys

import plot

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS, DOCS = ROOT / "bench/results", ROOT / "docs"
PICTURES = "images/performance"
INTRODUCTION = """# Performance

What Sightline does on one machine, beside the bare limit of that machine and beside what one would write instead. This page and its pictures are
written by `bench/performance/document.py` from [`bench/results`](../bench/results); `make bench` measures anew and writes them.
"""
NAMES = {
    "limit": "bare ONNX Runtime, 2 × 1 thread",
    "sightline 640x480": "Sightline, two workers",
    "sightline 416x312": "Sightline, as sessions send",
    "v1 640x480": "Python worker, defaults",
    "v1 two 640x480": "two Python workers, 1 thread",
    "sightline 1280x720": "Sightline, 1280×720",
    "v1 1280x720": "Python worker, 1280×720",
}
REPEAT = """## Repeat it

<!-- not run: it takes minutes to hours, on a machine that does nothing else -->
```sh
make bench         # everything; needs the data folder that bench/README.md names
make bench-quick   # three minutes: faster or slower than what is recorded?
```

Each script of `bench/performance` runs alone, too, with `--help`. A result says how busy the machine was; where the limit itself varied, or others were
busy, it says that nothing can be concluded, and so does this page.

**Compared are** ratios within rounds: in each, everything has its turn for a few seconds, and medians of the ratios are told. *The limit* are as many
loops of ONNX Runtime with one thread as there are cores, on a picture that is preprocessed already. *The Python worker* is
[`v1_worker.py`](../bench/performance/v1_worker.py): Pillow, NumPy, ONNX Runtime and redis-py, with the algorithm of YOLOX's demo. Its defaults are
ONNX Runtime's, which uses all cores for one picture.
"""


def table(head, rows):
    line = lambda cells: "| " + " | ".join(str(cell) for cell in cells) + " |"
    return "\n".join([line(head), line(["---"] * len(head)), *map(line, rows)]) + "\n"


def goals(result):
    rows = []
    for name, goal in result["goals"].items():
        wanted = f"≥ {goal['at_least']}" if "at_least" in goal else f"≤ {goal['at_most']}"
        value = "not measured" if goal["value"] is None else goal["value"]
        rows.append((name, value, wanted, "reached" if goal["reached"] else "**missed**"))
    return table(("goal", "measured", "wanted", ""), rows)


def picture(name, alt, svg):
    folder = DOCS / PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.svg").write_text(svg)
    return f"![{alt}]({PICTURES}/{name}.svg)\n"


def machine(result):
    seen = result["machine"]
    words = f"{seen['processor']}, {seen['cores']} cores, Redis {seen['redis']}"
    noise = result.get("noise", {"too_noisy": []})
    if "limit_rounds" in noise:
        low, high = min(noise["limit_rounds"]), max(noise["limit_rounds"])
        words += (
            f"; processors {noise['busy_before']:.0%} busy before; the limit {low:.0f} to {high:.0f} a second by round"
        )
    return f"*{words}.*\n" + "".join(f"\n**Too noisy to conclude**: {reason}.\n" for reason in noise["too_noisy"])


def throughput(result):
    rates, costs = result["pictures_a_second"], result["cpu_ms_a_picture"]
    bars = plot.bars(
        "Pictures a second, all cores (yolox_nano, fp32)",
        [(NAMES[name], [rates[name]]) for name in NAMES if name in rates],
        "/s",
    )
    rows = [(NAMES[name], rates[name], costs[name]) for name in NAMES if name in rates]
    return [
        "## Pictures a second\n",
        "JPEGs in a Redis stream to predictions in Redis. 640×480 unless it says otherwise; sessions scale their pictures to the model's input (416×312) before "
        "they publish them.\n",
        picture("throughput", "Pictures a second of Sightline, the bare limit and Python workers", bars),
        table(("", "pictures a second", "processor ms a picture"), rows),
        goals(result),
    ]


def latency(result):
    cases = result["cases"]
    stages = list(next(iter(cases.values()))["stages_ms"])
    bars = plot.bars(
        "From the camera's frame to its boxes at the client: medians of the stages",
        [(name, [case["stages_ms"][stage]["p50"] for stage in stages]) for name, case in cases.items()], "ms", stages,
    )  # fmt: skip
    parts = [
        "## Latency\n",
        f"A native sender on loopback, WHIP, {result['camera']}, {result['inferences_a_second']} inferences a second; the client follows over REST. A stage is the time "
        "since the one before: *published* is the network, the jitter buffer, decoding, scaling and the JPEG; *taken* is waiting for a worker. Of cameras whose film is encoded beforehand *encoded* is a handover.\n",
        picture("latency", "Stages of a frame's way as bars behind each other", bars),
    ]
    for name, case in cases.items():
        rows = [(stage, *case["stages_ms"][stage].values()) for stage in stages]
        rows.append(("**all**", *(f"**{value}**" for value in case["entered_to_delivered_ms"].values())))
        parts += [
            f"{name[0].upper()}{name[1:]}, {case['frames']} frames, in milliseconds:\n",
            table(("", "p50", "p95", "p99"), rows),
        ]
    return [*parts, goals(result)]


def density(result):
    steps = result["steps"]
    roles = [role for role in ("sessions", "workers", "redis", "signaling", "launcher") if role in steps[0]["cores"]]
    bars = plot.bars(
        "Processor time of a session, in cores",
        [(f"{step['sessions']} session{'s' * (step['sessions'] > 1)}", [step["cores"].get(role, 0) / step["sessions"] for role in roles]) for step in steps],
        "", roles,
    )  # fmt: skip
    rows = [
        (f"{step['sessions']}{'' if step['admitted'] else '*'}", step["inferences_a_second"], *((step["age_ms"] or {"p50": "–", "p95": "–"})[share] for share in ("p50", "p95")),
         step["cores_a_session"], step["cores"]["sender"])
        for step in steps
    ]  # fmt: skip
    best = result["most_served_well"]
    return [
        "## Sessions\n",
        f"Cameras of {result['camera']} that want {result['inferences_a_second']} inferences a second each. Served well (nearly all inferences, p95 within 150 ms): "
        f"**{best or 'none'}**. The senders run on the same machine and are not in a session's cost; a goal's \"core\" is one that they leave.\n",
        picture("sessions", "Processor time of a session by the number of sessions", bars),
        table(
            ("sessions", "inferences a second of each", "p50 ms", "p95 ms", "cores a session", "the senders' cores"),
            rows,
        ),
        "\\* The launcher takes no more sessions by default; here it was told to take all.\n" if result["refused"] else "",
        goals(result),
        f"All was done {len(result['rounds'])} times, and the time judged above when the bare limit was highest, before and after. Each time, in turn:\n",
        table(
            ("the limit a second", "served well", *result["goals"]),
            [(" to ".join(map(str, one["limit"])), one["most_served_well"], *(one[name] for name in result["goals"])) for one in result["rounds"]],
        ),
    ]


INGEST = {
    "vp8dec": "`vp8dec` alone",
    "scalejpegenc": "`scalejpegenc`",
    "scalejpegenc, redisstreamsink": "`scalejpegenc`, `redisstreamsink`: a session's way",
    "videoscale, range, jpegenc": "`videoscale`, `videoconvert`, `jpegenc`",
    "videoscale, range, jpegenc, redisstreamsink": "the same, and `redisstreamsink`",
}


def ingest(result):
    parts = [
        "## Taking a frame in\n",
        "Processor time of a frame of VP8 that is decoded, scaled to 416 pixels, encoded as JPEG and in Redis, beside decoding it: one `gst-launch-1.0` each, in turn. "
        f"Judged are the shortest times of {result['rounds']} rounds; the medians of the rounds' ratios are told too. `videoconvert` is what full range, as JPEGs have it, takes.\n",
    ]
    for size, steps in result["pictures"].items():
        rows = [(name, *steps[step].values()) for step, name in INGEST.items()]
        parts.append(table((size, "ms a frame", "of `vp8dec`", "median"), rows))
    return [*parts, goals(result)]


def footprint(result):
    return ["## Idling, starting, memory\n", goals(result)]


def instructions(result):
    rows = [(name, f"{count:,}") for name, count in result["instructions"].items()]
    return [
        "## Instructions of a frame's functions\n",
        f"Counted by {result['counted_by']}, which shows programs a processor with AVX2.\n",
        table(("", "instructions"), rows),
    ]


SECTIONS = {
    "performance-throughput": throughput, "performance-latency": latency, "performance-density": density,
    "ingest": ingest, "performance-footprint": footprint, "performance-instructions": instructions,
}  # fmt: skip


def page():
    parts = [INTRODUCTION]
    for name, section in SECTIONS.items():
        path = RESULTS / f"{name}.json"
        if path.exists():
            result = json.loads(path.read_text())
            head, *rest = section(result)
            parts += [head, machine(result), *rest]
    return "\n".join(part for part in [*parts, REPEAT] if part)


def main():
    (DOCS / "performance.md").write_text(page())
    print(f"written: {DOCS / 'performance.md'}")


if __name__ == "__main__":
    sys.exit(main())
