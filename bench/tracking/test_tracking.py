#!/usr/bin/env python3
"""Tests of the tracking bench itself: python3 bench/tracking/test_tracking.py"""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "accuracy"))

import coverage
from pipeline import Frame

DOG = {"label": "dog", "class_id": 16, "score": 0.8, "box": [0.25, 0.25, 0.5, 0.5]}


def frames(*detections):
    return [Frame(200, 100, list(found)) for found in detections]


class Coverage(unittest.TestCase):
    def share(self, full, ours):
        expected = coverage.expected_by_detector(full)
        return coverage.present(expected, ours), sum(map(len, expected))

    def test_a_box_is_there_with_its_label_and_place(self):
        full = frames([DOG], [DOG])
        self.assertEqual(self.share(full, full), (2, 2))
        self.assertEqual(self.share(full, frames([DOG], [])), (1, 2))
        self.assertEqual(self.share(full, frames([{**DOG, "label": "cat"}], [DOG])), (1, 2))
        self.assertEqual(self.share(full, frames([{**DOG, "box": [0.25, 0.25, 0.5, 0.24]}], [DOG])), (1, 2))

    def test_each_box_counts_once(self):
        self.assertEqual(self.share(frames([DOG, DOG]), frames([DOG])), (1, 2))

    def test_unsure_boxes_do_not_count(self):
        self.assertEqual(self.share(frames([{**DOG, "score": 0.49}]), frames([])), (0, 0))

    def test_the_reference_is_in_pixels(self):
        reference = [[{"label": "dog", "score": 0.5, "box_xyxy": [50.0, 25.0, 150.0, 75.0]}]]
        ours = frames([DOG])
        self.assertEqual(coverage.present(coverage.expected_by_reference(reference, ours), ours), 1)

    def test_overlap_is_measured_between_inferences(self):
        full = frames([DOG], [DOG], [DOG], [DOG])
        half = {**DOG, "box": [0.25, 0.25, 0.5, 0.25]}
        ours = frames([], [half], [DOG], [{**DOG, "label": "cat"}])
        expected = coverage.expected_by_detector(full)
        self.assertAlmostEqual(coverage.mean_iou(expected, ours, 2), 0.25)
        self.assertEqual(coverage.mean_iou(expected, ours, 1), 1.0)

    def test_ids_of_the_surest(self):
        full = frames([{**DOG, "score": 0.6, "box": [0, 0, 0.1, 0.1]}, DOG], [DOG], [])
        target = coverage.strongest("dog", range(3), full)
        self.assertEqual(sorted(target), [0, 1])
        other = {**DOG, "box": [0, 0, 0.1, 0.1], "track_id": 9}
        ours = frames([{**DOG, "track_id": 4}, other], [{**DOG, "track_id": 5}, DOG], [{**DOG, "track_id": 6}])
        self.assertEqual(coverage.ids_of(target, ours), {4: [0], 5: [1]})


if __name__ == "__main__":
    unittest.main()
