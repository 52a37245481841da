#!/usr/bin/env python3
"""Tests of the calculator and the simulation; needs no packages, no Redis and no results but the recorded ones."""

import dataclasses
import sys
import unittest

import capacity
import simulate
from capacity import Measured, Need, plan

ROUND = Measured(
    worker_fps=50, frame_kilobytes=20, redis_us_each=60, redis_us_by_kilobyte=2, redis_us_by_waiting_worker=0,
    redis_us_a_worker=0,
    redis_us_to_tell=2, redis_us_told=8,
    bytes_in=2000, bytes_out=2000, session_cores={1: 0.1, 5: 0.2, 10: 0.3}, worker_load=0.8,
)  # fmt: skip


class Capacity(unittest.TestCase):
    def test_by_hand(self):
        # 1000 frames a second: a worker does 40 of them, Redis is 100 µs busy with each.
        seen = plan(Need(cameras=200, fps=5, cores_a_host=10), ROUND)
        self.assertEqual((seen.workers, seen.session_cores, seen.redis), (25, 40, 1))
        self.assertAlmostEqual(seen.redis_busy, 0.1)
        self.assertAlmostEqual(seen.gbit_in, 1000 * 22_000 * 8 / 1e9)
        # 65 cores on hosts that give 8.5.
        self.assertEqual((seen.hosts, seen.sessions_a_host), (8, 25))

    def test_redis_is_divided_by_its_processor_and_by_its_network(self):
        self.assertEqual(plan(Need(2000, 10), ROUND).redis, 4)
        self.assertEqual(plan(Need(2000, 10, network_gbit=1), ROUND).redis, 6)

    def test_a_cluster_carries_less_than_its_masters_by_themselves(self):
        self.assertAlmostEqual(capacity.cluster_frames(ROUND, 1), 6000)
        # Each frame keeps one master busy for 100 + 2 × 2 µs, and two others for 8 µs.
        self.assertAlmostEqual(capacity.cluster_frames(ROUND, 3), 0.6e6 * 3 / 120)

    def test_workers_that_wait_cost_redis_something(self):
        for field, costly in {"redis_us_by_waiting_worker": 1.0, "redis_us_a_worker": 2000}.items():
            measured = dataclasses.replace(ROUND, **{field: costly})
            self.assertGreater(plan(Need(2000, 10), measured).redis, 4, field)

    def test_more_never_needs_less(self):
        for fps in (1, 5, 10, 15):
            plans = [plan(Need(cameras, fps), ROUND) for cameras in (1, 10, 100, 1000, 10_000)]
            for less, more in zip(plans, plans[1:]):
                for field in ("workers", "session_cores", "hosts", "redis"):
                    self.assertLessEqual(getattr(less, field), getattr(more, field), (fps, field))

    def test_gpus_take_the_place_of_cores(self):
        seen = plan(Need(200, 5, decode=False, workers_a_gpu=4), ROUND)
        self.assertEqual((seen.gpus, seen.worker_cores, seen.session_cores, seen.hosts), (7, 0, 0, 1))

    def test_sessions_cost_lies_between_what_was_measured(self):
        for fps, cores in {1: 0.1, 3: 0.15, 5: 0.2, 7.5: 0.25, 15: 0.4}.items():
            self.assertAlmostEqual(ROUND.cores_of_a_session(fps), cores)

    def test_the_page_has_what_the_results_give(self):
        page = (capacity.ROOT / "docs/scaling.md").read_text()
        self.assertEqual(page, capacity.replace_section(page, Measured.read()),
                         "run bench/redis/capacity.py --docs docs/scaling.md")  # fmt: skip


class Simulation(unittest.TestCase):
    def test_little_load_waits_for_nothing(self):
        seen = simulate.simulated(cameras=10, fps=5, workers=4, busy=0.02)
        self.assertEqual(seen["share_inferred"], 1.0)
        self.assertLess(seen["age_ms"]["p95"], 30)

    def test_overload_is_shared_and_bounds_the_age(self):
        seen = simulate.simulated(cameras=4, fps=50, workers=1, busy=0.015)
        # Eight frames are under way; one more interval is spent waiting for a credit.
        self.assertAlmostEqual(seen["age_ms"]["median"], 8 * 15, delta=20)
        self.assertAlmostEqual(seen["share_inferred"], 1 / 3, delta=0.01)
        self.assertGreater(seen["shares"][0], 0.95)

    def test_no_more_is_done_than_workers_can(self):
        for load in (0.5, 1, 2, 5):
            seen = simulate.simulated(cameras=20, fps=load * 10, workers=4, busy=0.02)
            self.assertLess(seen["predictions_a_second"], min(load, 1) * 200 * 1.03)

    def test_frames_expire_where_credits_cannot_save_them(self):
        # Two hundred frames under way at ten a second, of which a second's are done in time.
        simulation = simulate.Simulation(simulate.Setup(cameras=100, fps=5, workers=1, busy=0.1)).run()
        self.assertGreater(simulation.expired, 100)
        self.assertLess(max(simulation.ages), simulation.setup.expiry + 0.3)

    def test_shards_of_their_own_are_loaded_unevenly(self):
        one, many = (
            simulate.simulated(cameras=200, fps=5, workers=16, busy=0.014, shards=shards) for shards in (1, 16)
        )
        self.assertGreater(many["age_ms"]["p95"], one["age_ms"]["p95"])

    def test_the_same_seed_gives_the_same(self):
        setup = {"cameras": 20, "fps": 7, "workers": 2, "busy": 0.02, "seconds": 5.0}
        self.assertEqual(simulate.simulated(**setup), simulate.simulated(**setup))


if __name__ == "__main__":
    sys.exit(unittest.main())
