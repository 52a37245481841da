#!/usr/bin/env python3
"""Tests of what is said of measured values; nothing is measured. Needs the Python package `redis`, and no Redis."""

import sys
import unittest

import density
import figures
import latency


class Figures(unittest.TestCase):
    def test_percentiles_are_values_that_were_measured(self):
        values = list(range(1, 101))
        self.assertEqual([figures.percentile(values, share) for share in (0.5, 0.95, 0.99, 1)], [50, 95, 99, 100])
        self.assertEqual(figures.percentile([7, 3], 0.5), 3)
        self.assertEqual(figures.percentile([7], 0.01), 7)
        with self.assertRaises(ValueError):
            figures.percentile([], 0.5)

    def test_one_round_that_was_disturbed_does_not_spoil_a_spread(self):
        self.assertEqual(figures.spread([5.0]), 0)
        self.assertLess(figures.spread([100, 101, 99, 100, 50]), 0.02)
        self.assertGreater(figures.spread([100, 50, 100, 50]), 0.4)

    def test_ratios_are_those_within_a_round(self):
        # The machine was half as fast in the second round, for both.
        self.assertEqual(figures.ratios([20, 10, 20], [10, 5, 10]), {"ratio": 2, "spread": 0})
        with self.assertRaises(ValueError):
            figures.ratios([1, 2], [1])

    def test_noise_is_told_by_the_limit_by_others_and_by_the_host(self):
        self.assertEqual(figures.noise([100, 101, 99], busy_before=0.02, stolen=0), [])
        self.assertEqual(len(figures.noise([100, 60, 30], busy_before=0.02, stolen=0)), 1)
        self.assertEqual(len(figures.noise([100, 60, 30], busy_before=0.5, stolen=0)), 2)
        self.assertEqual(len(figures.noise([100, 101, 99], busy_before=0.02, stolen=0.2)), 1)

    def test_a_change_counts_when_it_is_larger_than_the_spread(self):
        better, worse = figures.compare(110, 100, 0.02, True), figures.compare(110, 100, 0.02, False)
        self.assertEqual((better, worse), ("better", "worse"))
        self.assertEqual(figures.compare(103, 100, 0.02, True), "same")
        self.assertEqual(figures.compare(110, 100, 0.12, True), "same")
        self.assertEqual(figures.compare(110, 100, 0.3, True), "too noisy")
        self.assertEqual(figures.compare(50, 100, 0.3, True), "worse", "it is told even there")
        self.assertEqual(figures.compare(102, 100, 0, False, smallest=0.01), "worse")
        self.assertEqual(figures.compare(0, 0, 0, False), "same")

    def test_a_waterfall_has_each_stage_from_the_one_before(self):
        frames = [
            [("entered", start), ("sent", start + 2), ("delivered", start + 2 + took)]
            for start, took in ((0, 5), (100, 9))
        ]
        found = figures.waterfall(frames)
        self.assertEqual(list(found), ["sent", "delivered"])
        self.assertEqual((found["sent"]["p50"], found["delivered"]["p50"], found["delivered"]["p99"]), (2, 5, 9))

    def test_thirds_show_what_drifts(self):
        even, drifting = [1, 2, 3] * 10, list(range(1, 31))
        self.assertEqual(figures.thirds(even, max), (3, 0))
        self.assertGreater(figures.thirds(drifting, max)[1], 0.4)
        with self.assertRaises(ValueError):
            figures.thirds([1, 2], max)

    def test_costs_are_flat_or_not(self):
        self.assertAlmostEqual(figures.flatness([0.2, 0.21, 0.2]), 0.05)

    def test_a_noisy_machine_judges_instructions_only(self):
        figure = lambda value, exact: {"value": value, "spread": 0.0, "better": "lower", "exact": exact}
        found = {"time": figure(2, False), "count": figure(102, True), "another": figure(1, True)}
        recorded = {"time": figure(1, False), "count": figure(100, True)}
        self.assertEqual(figures.verdicts(found, recorded, []), {"time": "worse", "count": "worse", "another": "new"})
        self.assertEqual(figures.verdicts(found, recorded, ["load"])["time"], "too noisy")
        self.assertEqual(figures.verdicts(found, recorded, ["load"])["count"], "worse")


class Latency(unittest.TestCase):
    ENTRY = {
        "queue_us": "1500",
        "decode_us": "900",
        "preprocess_us": "200",
        "infer_us": "11000",
        "postprocess_us": "100",
    }

    def test_a_frames_events_are_in_order_and_end_to_end(self):
        events = latency.stages([1_000_000, 1_000_400, 1_000_500], 1_006, 1_020, self.ENTRY, 1_022_000)
        self.assertEqual([name for name, _ in events], ["entered", *latency.STAGES])
        times = [when for _, when in events]
        self.assertEqual(times, sorted(times))
        self.assertEqual((times[0], times[-1]), (1000, 1022))
        self.assertAlmostEqual(dict(events)["inferred"] - dict(events)["preprocessed"], 11)

    def test_whole_milliseconds_never_turn_time_back(self):
        # Redis said 1019 for what was done at 1019.7, and the client had it at 1019.8.
        events = latency.stages([1_000_000, 1_000_000, 1_000_000], 1_006, 1_019, self.ENTRY, 1_019_800)
        self.assertTrue(all(before <= after for (_, before), (_, after) in zip(events, events[1:])), events)


class Density(unittest.TestCase):
    @staticmethod
    def row(sessions, rate, p95, admitted=True):
        cores = {"sender": 0.02 * sessions, "workers": 0.12 * sessions}
        return {
            "sessions": sessions, "inferences_a_second": rate, "age_ms": {"p95": p95}, "cores": cores,
            "cores_a_session": 0.12, "admitted": admitted,
        }  # fmt: skip

    def test_the_most_that_are_served_well(self):
        rows = [self.row(1, 10, 30), self.row(4, 9.9, 60), self.row(8, 9.9, 151), self.row(10, 9.0, 140), self.row(12, 9, 900, False)]
        best, goals = density.judge(rows)
        self.assertEqual(best["sessions"], 4)
        self.assertEqual({name: goal["reached"] for name, goal in goals.items()}, dict(zip(goals, (False, True, True))))

    def test_the_time_is_judged_when_the_machine_was_fastest(self):
        rounds = [{"limit": [150.0, 101.0]}, {"limit": [123.0, 130.0]}, {"limit": [110.0, 120.0]}]
        self.assertIs(density.fastest(rounds), rounds[1])

    def test_nobody_is_served(self):
        best, goals = density.judge([self.row(1, 2, 900)])
        self.assertIsNone(best)
        self.assertFalse(any(goal["reached"] for goal in goals.values()))


if __name__ == "__main__":
    sys.exit(unittest.main())
