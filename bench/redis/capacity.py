#!/usr/bin/env python3
"""I have N cameras at F inferences a second: what do I buy, and what do I set?

Arithmetic on what was measured (bench/results/redis-*.json). What the measuring machine cannot say, such as a GPU's
rate or another processor's, is given by options.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench/results"
# A Redis that is busier than this makes frames wait; the rest is for bursts, and for the second after a failover.
REDIS_SHARE = 0.6
NETWORK_SHARE = 0.6
# Real cameras are less steady than simulated ones.
WORKER_SHARE = 0.85
# What the system itself and uneven load take of a host's cores.
HOST_SHARE = 0.85
BEGIN, END = "<!-- capacity: begin -->", "<!-- capacity: end -->"


@dataclasses.dataclass(frozen=True)
class Measured:
    """Of one core of the measuring machine, and one Redis on it."""

    worker_fps: float
    frame_kilobytes: float
    # Processor microseconds of Redis: for each frame, for each kilobyte of it, for each worker that waits meanwhile.
    redis_us_each: float
    redis_us_by_kilobyte: float
    redis_us_by_waiting_worker: float
    # For each worker, in each second.
    redis_us_a_worker: float
    # In a Redis Cluster a prediction that is published at one master is told to all.
    redis_us_to_tell: float
    redis_us_told: float
    # Bytes through Redis for a frame beside the picture itself.
    bytes_in: float
    bytes_out: float
    # Cores that a session's process takes, by inferences a second.
    session_cores: dict
    # Share of its time that a worker of a large pool may be busy.
    worker_load: float

    @classmethod
    def read(cls, folder=RESULTS, video="1280x720"):
        load, workers, quality, sessions, simulation = (
            json.loads((folder / f"redis-{name}.json").read_text())
            for name in ("load", "workers", "quality", "sessions", "simulation")
        )
        redis = load["cpu_us_a_frame"]
        size, seen = max(load["frames_of_kilobytes"].items(), key=lambda row: int(row[0]))
        pools = simulation["highest_load"]["of_workers_by_shards"]
        return cls(
            worker_fps=workers["frames_a_second"]["two"] / 2,
            frame_kilobytes=quality["qualities"][str(quality["chosen"])]["bytes"]["mean"] / 1000,
            redis_us_each=redis["each"],
            redis_us_by_kilobyte=redis["by_kilobyte"],
            redis_us_by_waiting_worker=redis["by_waiting_worker"],
            redis_us_a_worker=load["idle_worker_cpu_us_a_second"],
            redis_us_to_tell=redis["to_tell_another_master"],
            redis_us_told=redis["told_by_another_master"],
            bytes_in=seen["bytes_in_a_frame"] - int(size) * 1000,
            bytes_out=seen["bytes_out_a_frame"] - int(size) * 1000,
            session_cores={int(fps): cores for fps, cores in sessions["pictures"][video]["cores_by_fps"].items()},
            worker_load=min(pools[max(pools, key=int)]["1"], WORKER_SHARE),
        )

    def cores_of_a_session(self, fps):
        """Between and beyond the rates that were measured, along a straight line."""
        points = sorted(self.session_cores.items())
        low, high = next((pair for pair in zip(points, points[1:]) if fps <= pair[1][0]), points[-2:])
        slope = (high[1] - low[1]) / (high[0] - low[0])
        return max(low[1] + slope * (fps - low[0]), 0.0)


@dataclasses.dataclass(frozen=True)
class Need:
    cameras: int
    fps: float
    cores_a_host: int = 32
    network_gbit: float = 10.0
    # True: sessions decode video here (WebRTC, RTSP); false: somebody else writes JPEGs to Redis.
    decode: bool = True
    # Workers that have a GPU use no cores that matter; so many of them are on one.
    workers_a_gpu: int = 0


@dataclasses.dataclass(frozen=True)
class Plan:
    frames_a_second: float
    workers: int
    worker_cores: int
    session_cores: int
    hosts: int
    gpus: int
    redis: int
    redis_busy: float
    gbit_in: float
    gbit_out: float
    cameras_a_redis: int
    sessions_a_host: int
    workers_a_host: int


def redis_us(measured, waiting):
    return (
        measured.redis_us_each
        + measured.redis_us_by_kilobyte * measured.frame_kilobytes
        + measured.redis_us_by_waiting_worker * waiting
    )


def cluster_frames(measured, masters):
    """Frames a second that one Redis Cluster carries."""
    others = masters - 1
    of_own = redis_us(measured, 0) + others * measured.redis_us_to_tell
    return REDIS_SHARE * 1e6 * masters / (of_own + others * measured.redis_us_told)


def plan(need, measured):
    frames = need.cameras * need.fps
    workers = max(math.ceil(frames / (measured.worker_fps * measured.worker_load)), 1)
    # More instances divide the frames, and the workers that wait at each.
    redis = 1
    while True:
        waiting = workers * (1 - measured.worker_load) / redis
        busy = (frames * redis_us(measured, waiting) + workers * measured.redis_us_a_worker) / redis / 1e6
        gbit = [
            frames / redis * (measured.frame_kilobytes * 1000 + more) * 8 / 1e9
            for more in (measured.bytes_in, measured.bytes_out)
        ]
        if busy <= REDIS_SHARE and max(gbit) <= NETWORK_SHARE * need.network_gbit:
            break
        redis += 1
    worker_cores = 0 if need.workers_a_gpu else workers
    session_cores = math.ceil(need.cameras * measured.cores_of_a_session(need.fps)) if need.decode else 0
    hosts = max(math.ceil((worker_cores + session_cores) / (need.cores_a_host * HOST_SHARE)), 1)
    return Plan(
        frames_a_second=frames,
        workers=workers,
        worker_cores=worker_cores,
        session_cores=session_cores,
        hosts=hosts,
        gpus=math.ceil(workers / need.workers_a_gpu) if need.workers_a_gpu else 0,
        redis=redis,
        redis_busy=busy,
        gbit_in=gbit[0],
        gbit_out=gbit[1],
        cameras_a_redis=math.ceil(need.cameras / redis),
        sessions_a_host=math.ceil(need.cameras / hosts),
        workers_a_host=math.ceil(workers / hosts),
    )


def table(cameras, measured, **more):
    """Markdown: a row for each rate of inference."""
    head = (
        "inferences a second and camera",
        "frames a second",
        "workers (cores)",
        "cores of sessions",
        "hosts of 32 cores",
        "Redis instances",
        "each busy",
        "each network in / out, Gbit/s",
    )
    rows = ["| " + " | ".join(head) + " |", "|" + "--:|" * len(head)]
    for fps in (1, 5, 10, 15):
        plan_ = plan(Need(cameras, fps, **more), measured)
        cells = (
            fps,
            f"{plan_.frames_a_second:,.0f}",
            f"{plan_.workers:,}",
            f"{plan_.session_cores:,}",
            f"{plan_.hosts:,}",
            plan_.redis,
            f"{plan_.redis_busy:.0%}",
            f"{plan_.gbit_in:.2f} / {plan_.gbit_out:.2f}",
        )
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def clusters(measured):
    rows = ["| masters | frames a second, one Cluster | frames a second, instances by themselves |", "|--:|--:|--:|"]
    rows += [
        f"| {masters} | {cluster_frames(measured, masters):,.0f} | {masters * cluster_frames(measured, 1):,.0f} |"
        for masters in (1, 3, 6, 12, 24)
    ]
    return "\n".join(rows)


def against_load(simulation):
    head = (
        "| workers | cameras | load | `expiry`, ms | frames inferred | age, median / p95, ms | least / largest share |"
    )
    rows = [head, "|" + "--:|" * 7]
    for seen in simulation["against_load"]:
        age, (least, largest) = seen["age_ms"], seen["shares"]
        expiry = seen["settings"].get("expiry", 1) * 1000
        rows.append(
            f"| {seen['workers']} | {seen['cameras']:,} | {seen['load']} | {expiry:.0f} | {seen['share_inferred']:.0%} "
            f"| {age['median']:.0f} / {age['p95']:.0f} | {least} / {largest} |"
        )
    return "\n".join(rows)


def section(measured):
    """What docs/scaling.md has between its marks."""
    machine = json.loads((RESULTS / "redis-workers.json").read_text())["machine"]
    return "\n\n".join(
        [
            f"Measured on {machine['cores']} × {machine['processor']} at a load of {machine['load']['median']}: "
            "what other work the machine had makes the need look larger.",
            f"A worker of one thread does {measured.worker_fps:.0f} frames a second and may be busy "
            f"{measured.worker_load:.0%} of its time; a frame has {measured.frame_kilobytes:.0f} kB and takes "
            f"{redis_us(measured, 0):.0f} µs of a Redis.",
            "1,000 cameras of 1280×720:",
            table(1000, measured),
            "100,000 cameras of 1280×720:",
            table(100_000, measured),
            f"One Redis Cluster, and as many instances by themselves, each busy {REDIS_SHARE:.0%}:",
            clusters(measured),
            "Simulated, cameras of five inferences a second (a load of 1 is all that the workers can do):",
            against_load(json.loads((RESULTS / "redis-simulation.json").read_text())),
        ]
    )


def replace_section(text, measured):
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{section(measured)}\n{END}{after}"


ANSWER = """{cameras:,} cameras, {fps:g} inferences a second each: {p.frames_a_second:,.0f} frames a second

Buy
  {p.hosts:,} hosts of {cores} cores: {inference} infer, {p.session_cores:,} cores decode
  {p.redis} × Redis, for {p.cameras_a_redis:,} cameras each, {p.redis_busy:.0%} busy
  network at each Redis: {p.gbit_in:.2f} Gbit/s in, {p.gbit_out:.2f} Gbit/s out

Set on each host
  REDIS_URL=redis://…  (the one of its cameras)
  SIGHTLINE_WORKERS={p.workers_a_host}
  SIGHTLINE_MAX_SESSIONS={sessions}
  SIGHTLINE_UDP_PORTS=12000-{last_port}

Start sessions with
  fps={fps:g}"""


def describe(need, plan_):
    # Room for a host that is away.
    sessions = math.ceil(plan_.sessions_a_host * 1.2)
    return ANSWER.format(
        p=plan_,
        cameras=need.cameras,
        fps=need.fps,
        cores=need.cores_a_host,
        inference=f"{plan_.gpus:,} GPUs" if plan_.gpus else f"{plan_.worker_cores:,} cores",
        sessions=sessions,
        last_port=12_000 + sessions - 1,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int)
    parser.add_argument("--fps", type=float, help="inferences a second of each camera")
    parser.add_argument("--video", choices=["640x360", "1280x720"], default="1280x720", help="what cameras send")
    parser.add_argument("--no-decode", action="store_true", help="frames come as JPEGs, from elsewhere")
    parser.add_argument("--cores", type=int, default=32, help="of a host")
    parser.add_argument("--network-gbit", type=float, default=10.0, help="of a Redis's host, in each direction")
    parser.add_argument("--worker-fps", type=float, help="frames a second of one worker, measured on your machine")
    parser.add_argument("--workers-a-gpu", type=int, default=0, help="workers that share a GPU (0: no GPU)")
    parser.add_argument("--frame-kilobytes", type=float, help="mean size of your JPEGs")
    parser.add_argument("--docs", type=pathlib.Path, help="write the tables into this page instead")
    options = parser.parse_args()
    measured = Measured.read(video=options.video)
    changes = {"worker_fps": options.worker_fps, "frame_kilobytes": options.frame_kilobytes}
    measured = dataclasses.replace(measured, **{name: value for name, value in changes.items() if value})
    if options.docs:
        options.docs.write_text(replace_section(options.docs.read_text(), measured))
        return None
    if not options.cameras or not options.fps:
        parser.error("say --cameras and --fps, or --docs")
    need = Need(
        options.cameras, options.fps, options.cores, options.network_gbit, not options.no_decode, options.workers_a_gpu
    )
    print(describe(need, plan(need, measured)))
    return None


if __name__ == "__main__":
    sys.exit(main())
