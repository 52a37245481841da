#!/usr/bin/env python3
"""How well does objecttrack fill the frames between inferences? Runs it on a real video, bikes.mp4.

Present: of the boxes that detection of every frame finds with a score of at least 0.5, the share that is there
         (same label, IoU at least 0.5) when only every third frame is inferred.
Cyclist: the ids that the cyclist is given, who must have one.

    make build && python3 bench/tracking/run.py

The data folder (SIGHTLINE_DATA, by default ../shared/data beside the repository) holds models/yolox_nano.onnx,
video/bikes.mp4 and reference/bikes.json. `interval=2` is judged: the command exits with 1 when it is below the limits.
"""

import argparse
import hashlib
import json
import os
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "bench" / "accuracy"))

import coverage
import pipeline

JUDGED = 2
INTERVALS = (0, 1, 2, 4)
MIN_PRESENT = 90.0
MIN_WITH_ID = 28

# Seen by eye in the video's pictures: a cyclist stands at the kerb in frames 76 to 136. A van hides him from 83 to 101,
# and in 102 a passer-by shows first. In all others he is the surest person in the picture, and from 109 on his bicycle
# the surest bicycle.
CYCLIST = [*range(76, 83), *range(103, 137)]
BICYCLE = range(109, 137)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default_data = os.environ.get("SIGHTLINE_DATA") or REPOSITORY.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(default_data), help="the data folder")
    parser.add_argument("--plugins", type=Path, help="folder with libgsttrack.so (default: the newest in target/)")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "bench" / "results" / "tracking.json")
    parser.add_argument("--timeout", type=float, default=600, help="seconds that one pipeline may take")
    return parser.parse_args()


def newest_plugins():
    built = [REPOSITORY / "target" / profile / "libgsttrack.so" for profile in ("release", "debug")]
    built = [path for path in built if path.is_file()]
    if not built:
        raise pipeline.PipelineError("libgsttrack.so is not built: run `make build`, or give its folder as --plugins")
    return max(built, key=lambda path: path.stat().st_mtime).parent


class Video:
    """The video, the model, and pipelines from one through the other."""

    def __init__(self, launcher, folder):
        self.launcher = launcher
        self.video, self.model = folder / "video" / "bikes.mp4", folder / "models" / "yolox_nano.onnx"
        self.reference = folder / "reference" / "bikes.json"
        missing = [str(path) for path in (self.video, self.model, self.reference) if not path.is_file()]
        if missing:
            raise pipeline.PipelineError(
                f"missing: {', '.join(missing)}\nSet SIGHTLINE_DATA (or --data) to the folder with the test data."
            )

    def frames(self, element, *elements):
        """The Frame of each frame, as `element` reports it, one of yoloxdetect and those given."""
        printed = self.launcher.run(
            "gst-launch-1.0", "-m", "filesrc", f"location={self.video}",
            "!", "qtdemux", "!", "h264parse", "!", "avdec_h264",
            "!", "yoloxdetect", f"model={self.model}", *elements, "!", "fakesink", "sync=false",
        )  # fmt: skip
        message = re.compile(rf"^Got message #\d+ from .*?: {element}, (?P<fields>.*);\s*$", re.MULTILINE)
        frames = dict(pipeline.parse(found["fields"]) for found in message.finditer(printed))
        if not frames:
            raise pipeline.PipelineError(f"no messages of {element} in: {printed[-500:]}")
        return [frames[pts] for pts in sorted(frames)]


def measure(frames, full, reference, interval=JUDGED):
    """One row of the result."""

    def share(expected):
        return round(100 * coverage.present(expected, frames) / sum(map(len, expected)), 2)

    cyclist = coverage.ids_of(coverage.strongest("person", CYCLIST, full), frames)
    bicycle = coverage.ids_of(coverage.strongest("bicycle", BICYCLE, full), frames)
    return {
        "present_percent": share(coverage.expected_by_detector(full)),
        "present_of_reference_percent": share(coverage.expected_by_reference(reference, full)),
        "mean_iou_between": round(coverage.mean_iou(coverage.expected_by_detector(full), frames, interval + 1), 3),
        "cyclist_ids": len(cyclist), "cyclist_frames_with_id": sum(map(len, cyclist.values())),
        "bicycle_ids": len(bicycle), "bicycle_frames_with_id": sum(map(len, bicycle.values())),
    }  # fmt: skip


def rows(video):
    """Name of each way -> its row."""
    reference = json.loads(video.reference.read_text())["frames"]
    full = video.frames("yoloxdetect", "messages=true")
    if len(full) != len(reference):
        raise pipeline.PipelineError(f"{len(full)} frames came out, {len(reference)} are in {video.reference}")
    # For comparison: boxes on inferred frames alone, and each box left where it was until the next inference.
    step = JUDGED + 1
    empty = [pipeline.Frame(frame.width, frame.height, []) for frame in full]
    alone = [frame if number % step == 0 else empty[number] for number, frame in enumerate(full)]
    still = [full[number - number % step] for number in range(len(full))]
    result = {
        f"interval={JUDGED}, no tracking": measure(alone, full, reference),
        f"interval={JUDGED}, boxes held still": measure(still, full, reference),
    }
    for interval in INTERVALS:
        frames = video.frames("objecttrack", f"interval={interval}", "!", "objecttrack", "messages=true")
        result[f"interval={interval}"] = measure(frames, full, reference, interval)
    return result


def main():
    options = arguments()
    launcher = pipeline.Launcher(options.plugins or newest_plugins(), options.timeout)
    for element in ("yoloxdetect", "objecttrack"):
        launcher.require(element)
    video = Video(launcher, options.data)
    measured = rows(video)

    print(f"{'':30}{'present':>10}{'of demo':>10}{'mean IoU':>10}   cyclist")
    for name, row in measured.items():
        ids = f"{row['cyclist_ids']} ids in {row['cyclist_frames_with_id']} of {len(CYCLIST)} frames"
        shares = f"{row['present_percent']:8.2f} %{row['present_of_reference_percent']:8.2f} %"
        print(f"{name:30}{shares}{row['mean_iou_between']:10.3f}   {ids}")
    judged = measured[f"interval={JUDGED}"]
    passed = (
        min(judged["present_percent"], judged["present_of_reference_percent"]) >= MIN_PRESENT
        and judged["cyclist_ids"] == judged["bicycle_ids"] == 1
        and judged["cyclist_frames_with_id"] >= MIN_WITH_ID
    )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    temporary = options.output.with_suffix(".tmp")
    temporary.write_text(json.dumps({
        "video_sha256": hashlib.sha256(video.video.read_bytes()).hexdigest(),
        "model_sha256": hashlib.sha256(video.model.read_bytes()).hexdigest(),
        "judged": f"interval={JUDGED}", "passed": passed,
        "limits": {"present_percent": MIN_PRESENT, "cyclist_ids": 1, "cyclist_frames_with_id": MIN_WITH_ID},
        "objecttrack": measured,
    }, indent=2) + "\n")  # fmt: skip
    temporary.replace(options.output)
    print(f"written to {options.output}")
    if not passed:
        must = f"have {MIN_PRESENT} % of the boxes, and one id for the cyclist and his bicycle"
        print(f"FAILED: interval={JUDGED} must {must}", file=sys.stderr)
    return 0 if passed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except pipeline.PipelineError as problem:
        sys.exit(f"tracking: {problem}")
