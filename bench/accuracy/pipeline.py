"""Runs yoloxdetect over still pictures in a GStreamer pipeline and collects what it reports on the bus."""

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

# gst-launch -m prints a bus message as one line; strings in it are quoted, with \" and octal escapes.
MESSAGE = re.compile(r"^Got message #\d+ from .*?: yoloxdetect, (?P<fields>.*);\s*$", re.MULTILINE)
FIELD = re.compile(r'(?P<name>[\w-]+)=\((?P<type>\w+)\)(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^,;"]*))')
ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)


class PipelineError(Exception):
    """The pipeline did not run to its end."""


@dataclass
class Frame:
    """What was found in one picture of width x height pixels."""

    width: int
    height: int
    detections: list


@dataclass
class Launcher:
    """How to start pipelines: where our plugins are and how long a run may take."""

    plugins: Path
    timeout_secs: float

    def environment(self):
        path = [str(self.plugins), *filter(None, [os.environ.get("GST_PLUGIN_PATH")])]
        return {**os.environ, "GST_PLUGIN_PATH": os.pathsep.join(path)}

    def run(self, *command):
        try:
            done = subprocess.run(
                command, env=self.environment(), timeout=self.timeout_secs, capture_output=True, text=True, check=False
            )
        except FileNotFoundError as error:
            raise PipelineError(f"{command[0]} is not installed: install GStreamer's tools") from error
        except subprocess.TimeoutExpired as error:
            raise PipelineError(f"no end after {self.timeout_secs:.0f} s: {' '.join(command)}") from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-2000:]
            raise PipelineError(f"exit code {done.returncode} from: {' '.join(command)}\n{said}")
        return done.stdout

    def require(self, element):
        try:
            self.run("gst-inspect-1.0", element)
        except PipelineError as error:
            raise PipelineError(f"no element {element} in {self.plugins}: run `make build` first\n{error}") from error


def detect(launcher, pictures, media_type, decoder, pixel_format, model, labels, **properties):
    """The Frame of each picture file, in order; properties are yoloxdetect's, with _ for -."""
    settings = {"model": model, "labels": labels, "messages": "true"}
    settings |= {name.replace("_", "-"): value for name, value in properties.items()}
    with tempfile.TemporaryDirectory() as folder:
        # One process for all of them, which also changes the picture size while it runs.
        for index, picture in enumerate(pictures):
            (Path(folder) / f"{index:05}").symlink_to(Path(picture).resolve())
        printed = launcher.run(
            "gst-launch-1.0", "-m",
            "multifilesrc", f"location={folder}/%05d", f"stop-index={len(pictures) - 1}",
            f"caps={media_type},framerate=1/1",
            "!", *decoder.split(), "!", "videoconvert", "!", f"video/x-raw,format={pixel_format}",
            "!", "yoloxdetect", *(f"{name}={value}" for name, value in settings.items()),
            "!", "fakesink", "sync=false",
        )  # fmt: skip
    frames = {}
    for message in MESSAGE.finditer(printed):
        pts, frame = parse(message["fields"])
        frames[round(pts / 1e9)] = frame  # at 1 frame/s, the second is the number of the picture
    if sorted(frames) != list(range(len(pictures))):
        raise PipelineError(f"{len(pictures)} pictures went in, messages came for {len(frames)}")
    return [frames[index] for index in range(len(pictures))]


def parse(fields):
    """(pts, Frame) of a serialised yoloxdetect message."""
    values = {}
    for field in FIELD.finditer(fields):
        quoted = field["quoted"]
        values[field["name"]] = unescape(quoted) if quoted is not None else field["plain"].strip()
    try:
        frame = Frame(int(values["width"]), int(values["height"]), json.loads(values["detections"]))
        return int(values["pts"]), frame
    except (KeyError, ValueError) as error:
        raise PipelineError(f"cannot read yoloxdetect's message ({error!r}): {fields[:300]}") from error


def unescape(quoted):
    def one(match):
        code = match[1]
        return bytes([int(code, 8)]) if len(code) == 3 else code

    return ESCAPE.sub(one, quoted.encode()).decode()
