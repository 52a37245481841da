#!/usr/bin/env python3
"""From a frame's entering the sender to its prediction at the client, stage by stage: a native sender, WebRTC on
loopback.

One session whose camera is encoded while it is sent, one and four whose cameras are encoded already. All clocks are
this machine's. Redis's entry ids have whole milliseconds, so what ends or begins there is right to half of one.
"""

import contextlib
import sys
import tempfile
import time
from pathlib import Path

import bench
import cameras
import figures
from bench import report

WARM_UP = 3
CASES = {
    "one session, encoded while sent": (1, False),
    "one session": (1, True),
    "four sessions": (4, True),
}
# In order. Of the worker's the prediction tells itself how long they took.
STAGES = (
    "encoded",
    "sent",
    "published",
    "taken",
    "decoded",
    "preprocessed",
    "inferred",
    "postprocessed",
    "answered",
    "delivered",
)


def stages(sent, published_ms, answered_ms, entry, delivered):
    """[(event, milliseconds of Unix time)] of one frame, in order."""
    entered, encoded, out = (micros / 1000 for micros in sent)
    taken = published_ms + int(entry["queue_us"]) / 1000
    events = [("entered", entered), ("encoded", encoded), ("sent", out)]
    events += [("published", min(published_ms + 0.5, taken)), ("taken", taken)]
    for event, field in zip(STAGES[4:8], ("decode_us", "preprocess_us", "infer_us", "postprocess_us")):
        events.append((event, events[-1][1] + int(entry[field]) / 1000))
    delivered /= 1000
    answered = min(max(answered_ms + 0.5, events[-1][1]), delivered)
    return [*events, ("answered", answered), ("delivered", delivered)]


def measure(options, sessions, encoded, seconds):
    """The events of each frame that was seen everywhere."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        film = cameras.film(folder, encoded)
        server, site = stack.enter_context(cameras.site(options, folder))
        sender = cameras.Sender(stack, site, film)
        for _ in range(sessions):
            if sender.add() is None:
                raise SystemExit(f"no room for {sessions} sessions")
        time.sleep(WARM_UP)
        published, answered = cameras.Published(server), cameras.Answered(server)
        followers = [cameras.Follower(site, session) for session in sender.sessions]
        sender.frames()
        time.sleep(seconds)
        sent = sender.frames()
        published.stop()
        answers = answered.at()
        frames = []
        for follower in followers:
            for delivered, entry in follower.predictions():
                key = (follower.session, int(entry["timestamp"]))
                if key in sent and key in published.at and key in answers:
                    frames.append(stages(sent[key], published.at[key], answers[key], entry, delivered))
        if not frames:
            raise SystemExit("no prediction came to the client")
        return frames


def summary(frames):
    return {
        "frames": len(frames),
        "stages_ms": figures.waterfall(frames),
        "entered_to_delivered_ms": figures.percentiles([frame[-1][1] - frame[0][1] for frame in frames]),
    }


def main():
    parser = bench.arguments(__doc__, "latency")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each case")
    options = parser.parse_args()
    load = bench.Load()
    found = {}
    with contextlib.ExitStack() as stack:
        limit = bench.Limit(stack)
        for name, (sessions, encoded) in CASES.items():
            limit.rate(1.0)
            found[name] = summary(measure(options, sessions, encoded, options.seconds))
            print(f"{name}: {found[name]['entered_to_delivered_ms']} ms", file=sys.stderr, flush=True)
        limit.rate(1.0)
    one = found["one session"]
    beyond = one["entered_to_delivered_ms"]["p95"] - one["stages_ms"]["inferred"]["p50"]
    goals = {"one session: p95 without inference, ms": report.at_most(round(beyond, 1), 25)}
    bench.save(
        options,
        load,
        limit.rounds,
        goals,
        {"camera": f"640x480 at {cameras.FPS}/s", "inferences_a_second": 10, "cases": found},
    )


if __name__ == "__main__":
    main()
