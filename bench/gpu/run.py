#!/usr/bin/env python3
"""What a GPU gives: bare ONNX Runtime, and workers on Redis with batches of several sizes, in frames a second and milliseconds.

Wants an NVIDIA GPU, ONNX Runtime with CUDA (docs/start.md says how; ORT_DYLIB_PATH and LD_LIBRARY_PATH name it), and the same
package, `onnx`, `pillow` and `redis` in this Python. `make bench` leaves it out.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE.parent / "redis"), str(HERE.parents[1] / "models")]

import dynamic  # noqa: E402
import report  # noqa: E402
import system  # noqa: E402
from workers import answered, entry, fill, pictures  # noqa: E402

# (Processes, elements that share a model in each, frames in a batch.)
WORKERS = ((1, 1, 1), (1, 2, 1), (1, 8, 4), (1, 32, 16), (2, 32, 16), (1, 128, 64))
# Sessions' pictures have the model's size.
SIZE = (416, 312)
BRANCH = """
  redisstreamsrc ! jpegdec idct-method=islow
    ! yoloxdetect name=detect{number} model-instance-id=gpu batch-size={batch} batch-timeout=5000000 execution-provider={provider}
    ! redisstreamsink payload=detections"""
STAGES = ("queue", "decode", "preprocess", "infer", "postprocess")
READY_SECONDS = 90


def description(elements, batch, provider):
    targets = ", ".join(f'"detect{number}.model"' for number in range(elements))
    branches = "".join(BRANCH.format(number=number, batch=batch, provider=provider) for number in range(elements))
    return (
        f'schema = 1\nname = "gpu"\nkind = "worker"\nsummary = "{elements} elements, batches of {batch}"\n'
        f'[params.model]\ntype = "model"\ntarget = [{targets}]\n[worker]\nreplicas = 0\n'
        f"[pipeline]\nlaunch = '''{branches}\n'''\n"
    )


@contextlib.contextmanager
def workers(options, server, folder, processes, elements, batch):
    """Workers that have answered a first frame."""
    file = folder / f"gpu-{elements}-{batch}.toml"
    file.write_text(description(elements, batch, options.provider))
    command = [
        options.programs / "pipeline-launcher", "run", file, "--redis-url", server.url, "--model", options.dynamic,
        "--models", system.ROOT / "models",
    ]  # fmt: skip
    environment = os.environ | {"SIGHTLINE_READABLE": str(folder)}
    log = open(folder / "log", "w")
    started = [
        subprocess.Popen([*command, "--identity", f"gpu{number}"], env=environment, stdout=log, stderr=log, cwd=system.ROOT)
        for number in range(processes)
    ]
    client = server.client()
    try:
        begin = time.monotonic()
        client.delete("predictions", "images")
        fill(client, options.jpegs, 200 * processes)
        ready = lambda: client.exists("predictions") and answered(client)[1] >= 100 * processes
        system.wait_for(f"frames are answered; see {folder}/log", READY_SECONDS, ready)
        yield started, time.monotonic() - begin
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)
        log.close()


def throughput(options, client, started):
    """Frames a second, processor milliseconds for each, and the stages' medians."""
    fill(client, options.jpegs, options.frames)
    (begin, first), used = answered(client), cpu_seconds(started)
    time.sleep(options.seconds)
    (end, last), used = answered(client), cpu_seconds(started) - used
    left = client.xlen("images")
    stages = medians([entry for _, entry in client.xrevrange("predictions", count=1000)])
    # Not deleted: the consumer group would go too.
    client.xtrim("images", maxlen=0, approximate=False)
    if last == first:
        raise SystemExit("nothing was answered")
    return {
        "frames_a_second": round((last - first) / (end - begin)), "cpu_ms_a_frame": round(used / (last - first) * 1000, 3),
        "ran_dry": left == 0, "median_us": stages,
    }  # fmt: skip


def cpu_seconds(started):
    """Processor seconds of processes and those below them."""
    return sum(system.cpu_seconds(pid) for process in started for pid in {process.pid, *system.children(process.pid)})


def medians(entries):
    """{stage: microseconds} of predictions."""
    fields = {stage: f"{stage}_us".encode() for stage in STAGES}
    return {stage: report.quantile([int(entry[field]) for entry in entries], 0.5) for stage, field in fields.items()}


def latency(options, client, rate):
    """Milliseconds from a frame's arrival in Redis to its prediction in Redis, of sessions with 10 frames a second each."""
    sessions, answers, sent = rate // 10, [], 0
    last = client.xrevrange("predictions", count=1)
    last = last[0][0] if last else "0-0"
    begin = time.time()
    while (now := time.time()) < begin + options.seconds or len(answers) < sent and now < begin + options.seconds + 2:
        due = min(int((now - begin) * rate), int(options.seconds * rate))
        with client.pipeline(transaction=False) as batch:
            for number in range(sent, due):
                picture = options.jpegs[number % len(options.jpegs)]
                batch.xadd("images", entry(f"session{number % sessions}", number, picture, lives=1))
            batch.execute()
        sent = max(sent, due)
        for _, entries in client.xread({"predictions": last}, count=1000) or []:
            for last, answer in entries:
                if answer[b"participantId"].startswith(b"session"):
                    # An entry's name begins with the milliseconds in which Redis took it.
                    answers.append(int(last.split(b"-")[0]) - int(answer[b"captured"]) / 1000)
        time.sleep(0.002)
    shares = {f"p{percent}_ms": report.quantile(answers, percent / 100) for percent in (50, 95, 99)}
    return {"frames_a_second": rate, "answered": round(len(answers) / max(sent, 1), 4), **shares}


def card():
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def main():
    parser = report.arguments(__doc__, "gpu")
    parser.set_defaults(result=report.RESULTS / "gpu.json")
    parser.add_argument("--provider", default="cuda", help="cpu, to try this program out")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--frames", type=int, default=40000, help="that wait in Redis while workers are measured")
    parser.add_argument("--rates", type=int, nargs="*", default=[500, 1000, 2000], help="frames a second to measure latency at")
    parser.add_argument("--workers", type=int, nargs="*", default=range(len(WORKERS)), help="which of the workers, from 0")
    parser.add_argument("--no-bare", action="store_true", help="without bare ONNX Runtime")
    options = parser.parse_args()
    load = report.Load()
    model = system.DATA / "models/yolox_nano.onnx"
    bare = None
    if not options.no_bare:
        done = subprocess.run([sys.executable, HERE / "bare.py", model], capture_output=True, text=True)
        sys.stderr.write(done.stderr[-3000:])
        # ONNX Runtime may say something there too.
        bare = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": done.stderr[-300:]}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        options.dynamic, options.jpegs = folder / "yolox_nano_dynamic.onnx", pictures(SIZE)
        dynamic.convert(model, options.dynamic)
        with system.Redis(folder, maxmemory="16gb") as server:
            for processes, elements, batch in [WORKERS[index] for index in options.workers]:
                row = {"processes": processes, "elements": elements, "batch": batch}
                rows.append(row)
                try:
                    with workers(options, server, folder, processes, elements, batch) as (started, start):
                        client = server.client()
                        row |= {"start_s": round(start, 1), **throughput(options, client, started)}
                        rates = [rate for rate in options.rates if rate < 0.8 * row["frames_a_second"]]
                        row["latency"] = [latency(options, client, rate) for rate in rates]
                except SystemExit as error:
                    row["failed"] = f"{error}: {(folder / 'log').read_text()[-1500:]}"
                print(row, file=sys.stderr, flush=True)
    fastest = max((row.get("frames_a_second", 0) for row in rows), default=0)
    report.save(options.result, load, {}, {
        "gpu": card(), "provider": options.provider, "model": "yolox_nano", "pictures": "x".join(map(str, SIZE)),
        "seconds": options.seconds, "bare": bare, "workers": rows, "most_frames_a_second": fastest,
    })  # fmt: skip


if __name__ == "__main__":
    main()
