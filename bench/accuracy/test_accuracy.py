#!/usr/bin/env python3
"""Tests of the accuracy bench itself: python3 bench/accuracy/test_accuracy.py (needs GStreamer's tools)."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import parity
import pipeline

FRAME = {"label": "dog", "class_id": 16, "score": 0.8, "box": [0.25, 0.25, 0.5, 0.5]}
REFERENCE = {"label": "dog", "class_id": 16, "score": 0.78, "box_xyxy": [50.0, 25.0, 150.0, 75.0]}


class Messages(unittest.TestCase):
    def test_reads_what_gst_launch_prints(self):
        """multifilesink reports its file name, so any string can be sent through gst-launch's own output."""
        text = json.dumps([{"label": "chien-loup,né;", "score": 1e-05, "box": [0.1, -2, 3, 0]}, {}], ensure_ascii=False)
        text = text.replace(" ", "")
        with tempfile.TemporaryDirectory() as folder:
            launch = ["videotestsrc", "num-buffers=1", "!", "multifilesink", "post-messages=true", f"location={text}"]
            printed = subprocess.run(
                ["gst-launch-1.0", "-m", *launch], cwd=folder, capture_output=True, text=True, timeout=60, check=True
            ).stdout
        (line,) = (line for line in printed.splitlines() if "GstMultiFileSink, filename" in line)
        fields = line.split("GstMultiFileSink, ")[1].replace("filename=", "detections=")
        pts, frame = pipeline.parse(f"pts=(guint64)7, width=(int)320, height=(int)240, {fields}")
        self.assertEqual((pts, frame.width, frame.height), (7, 320, 240))
        self.assertEqual(frame.detections, json.loads(text))

    def test_finds_its_messages_among_others(self):
        printed = (
            'Got message #1 from element "a" (element): other, detections=(string)"\\[\\]";\n'
            'Got message #2 from element "yoloxdetect0" (element): yoloxdetect, pts=(guint64)2000000000, width=(int)4,'
            ' height=(int)2, detections=(string)"\\[\\]";\nGot EOS from element "pipeline0".\n'
        )
        (message,) = pipeline.MESSAGE.finditer(printed)
        self.assertEqual(pipeline.parse(message["fields"]), (2_000_000_000, pipeline.Frame(4, 2, [])))

    def test_says_what_it_cannot_read(self):
        with self.assertRaisesRegex(pipeline.PipelineError, "detections"):
            pipeline.parse("pts=(guint64)1, width=(int)4, height=(int)2")


class Parity(unittest.TestCase):
    def compare(self, *found, expected=(REFERENCE,)):
        return parity.compare({"a.jpg": expected}, {"a.jpg": pipeline.Frame(200, 100, list(found))})

    def test_same_detection(self):
        self.assertEqual(self.compare(FRAME).percent, 100)

    def test_another_label_score_or_box_is_not_found(self):
        for change in ({"label": "cat"}, {"score": 0.72}, {"score": 0.84}, {"box": [0.25, 0.25, 0.5, 0.44]}):
            with self.subTest(change=change):
                result = self.compare({**FRAME, **change})
                self.assertEqual((result.found, result.expected), (0, 1))
                self.assertEqual(result.missing, [("a.jpg", "dog", 0.78)])

    def test_each_detection_counts_once(self):
        result = self.compare(FRAME, expected=(REFERENCE, REFERENCE))
        self.assertEqual((result.found, result.expected), (1, 2))

    def test_weak_references_are_left_out(self):
        self.assertEqual(self.compare(expected=({**REFERENCE, "score": 0.34},)).expected, 0)

    def test_only_what_is_inside_the_picture_is_compared(self):
        outside = {**REFERENCE, "box_xyxy": [-90.0, 25.0, 150.0, 75.0]}
        self.assertEqual(self.compare({**FRAME, "box": [0, 0.25, 0.75, 0.5]}, expected=(outside,)).found, 1)


if __name__ == "__main__":
    unittest.main()
