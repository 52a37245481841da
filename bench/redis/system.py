"""What the measurements of Redis run: a redis-server, the daemons on it, and sessions that cost next to nothing."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import redis

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("SIGHTLINE_DATA", ROOT.parent / "shared/data"))
FILM = DATA / "video/bikes.mp4"
# A camera that costs next to nothing: its pictures are encoded already.
CAMERA = """schema = 1
name = "camera"
kind = "source"
summary = "Pictures that are encoded already, over and over"
[params.interval_us]
type = "integer"
min = 1000
max = 10000000
default = 100000
[pipeline]
launch = '''
  multifilesrc location={folder}/%05d.jpg loop=true caps=image/jpeg do-timestamp=true
    ! identity sleep-time={{interval_us}}
    ! redisstreamsink name=frames payload=frame
'''
"""
ANSI = re.compile(r"\x1b\[[\d;]*m")
READY_SECONDS = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    """Processor time of a process so far, in user space and in the kernel."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid):
    """Processes below that one, at any depth."""
    parents = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            pass  # It has just ended.
    found = {pid}
    while grown := {child for child, parent in parents.items() if parent in found} - found:
        found |= grown
    return found - {pid}


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(what, seconds, check):
    deadline = time.monotonic() + seconds
    while not (value := check()):
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {seconds} s in vain: {what}")
        time.sleep(0.02)
    return value


def film(width, height, fps=None):
    """Elements that give the film's pictures in that size, and at that rate if there is one."""
    rate, at_rate = ("! videorate ", f",framerate={fps}/1") if fps else ("", "")
    return (
        f"filesrc location={FILM} ! qtdemux ! h264parse ! avdec_h264 ! videoscale add-borders=false {rate}"
        f"! video/x-raw,width={width},height={height}{at_rate},pixel-aspect-ratio=1/1"
    )


def vp8(bits, keyframes):
    """The encoder as browsers have it, with so many frames from one keyframe to the next at most."""
    return (
        f"vp8enc deadline=1 cpu-used=8 threads=2 end-usage=cbr target-bitrate={bits} keyframe-max-dist={keyframes}"
    )


@contextlib.contextmanager
def workplace(programs):
    """A folder that goes, and in it the film's frames as JPEG files, made by the plugins among the programs."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "jpegs").mkdir()
        yield folder, make_jpegs(folder / "jpegs", programs)


def make_jpegs(folder, programs):
    """The film's frames as webrtc-detect makes its JPEGs of a camera's 16:9, 416 pixels wide."""
    line = f"{film(416, 234)} ! scalejpegenc quality=85 ! multifilesink location={folder}/%05d.jpg"
    environment = os.environ | {"GST_PLUGIN_PATH": str(programs)}
    subprocess.run(["gst-launch-1.0", "-q", *line.split()], env=environment, check=True, stdout=subprocess.DEVNULL)
    return sorted(folder.glob("*.jpg"))


class Redis:
    """A redis-server on a port of the loopback, as the daemons want it; it can be killed, stopped and started again."""

    def __init__(self, folder, **options):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.options = {
            "port": self.port, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "no",
            "maxmemory": "512mb", "maxmemory_policy": "noeviction",
        } | options  # fmt: skip
        self.start()

    def start(self):
        arguments = [
            word for name, value in self.options.items() for word in (f"--{name.replace('_', '-')}", str(value))
        ]
        self.process = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
        wait_for("redis-server answers", 10, self.answers)

    def client(self):
        """A connection of one's own; replies are bytes."""
        return redis.Redis(port=self.port, socket_timeout=20)

    def answers(self):
        try:
            return self.client().ping()
        except redis.RedisError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def send(self, signal_):
        self.process.send_signal(signal_)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.send(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(10)


class System:
    """`pipeline-launcher up` on that Redis, with yolox_nano's workers and pipelines of the `camera` kind."""

    def __init__(self, programs, server, folder, jpegs, workers, **settings):
        self.port, self.launcher_port = free_port(), free_port()
        pipelines = folder / "pipelines"
        pipelines.mkdir(exist_ok=True)
        (pipelines / "camera.toml").write_text(CAMERA.format(folder=jpegs))
        shutil.copy(ROOT / "pipelines/yolox-worker.toml", pipelines)
        environment = os.environ | {
            "REDIS_URL": server.url,
            "SIGHTLINE_PORT": str(self.port),
            "SIGHTLINE_LAUNCHER_PORT": str(self.launcher_port),
            "SIGHTLINE_PIPELINES": str(pipelines),
            "SIGHTLINE_READABLE": str(jpegs),
            "SIGHTLINE_MAX_CONNECTIONS_PER_TENANT": "0",
            "SIGHTLINE_MAX_REQUESTS_PER_SECOND": "0",
            "SIGHTLINE_WORKERS": str(workers),
            "SIGHTLINE_MODEL_DIR": str(DATA / "models"),
            "SIGHTLINE_MAX_CPU_PERCENT": "0",
            "SIGHTLINE_MAX_QUEUE_MS": "0",
            "SIGHTLINE_MAX_SESSIONS": "1000",
            **settings,
        }
        self.workers_wanted = workers
        self.log_path = folder / f"log-{self.port}"
        self.log = open(self.log_path, "w")
        self.process = subprocess.Popen(
            [programs / "pipeline-launcher", "up"], cwd=ROOT, env=environment, stdout=self.log, stderr=self.log
        )

    def __enter__(self):
        wait_for(f"the system is ready; see {self.log_path}", READY_SECONDS, self.is_ready)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.log.close()

    def is_ready(self):
        try:
            self.call("GET", "/readyz")
            return len(self.workers()) == self.workers_wanted
        except OSError:
            return False

    def call(self, method, path, body=None, port=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            f"http://127.0.0.1:{port or self.port}{path}", data, {"content-type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.read()

    def start_cameras(self, count, fps):
        """Sessions' ids, when all have begun."""
        body = {"pipeline": "camera", "params": {"interval_us": round(1e6 / fps)}}
        ids = [json.loads(self.call("POST", "/api/v1/sessions", body))["id"] for _ in range(count)]
        for session in ids:
            running = lambda: json.loads(self.call("GET", f"/api/v1/sessions/{session}"))["state"] == "RUNNING"
            wait_for("a session runs", READY_SECONDS, running)
        return ids

    def stop_cameras(self, sessions):
        for session in sessions:
            self.call("DELETE", f"/api/v1/sessions/{session}")

    def workers(self):
        """Process ids of the workers that live, by name."""
        log = ANSI.sub("", self.log_path.read_text(errors="replace"))
        ready = re.findall(r"worker ready .*?worker=\"?([^\s\"]+)\"? .*?pid=(\d+)", log)
        return {name: int(pid) for name, pid in ready if is_alive(int(pid))}

    def processes(self):
        """Ids of all processes of ours."""
        return {self.process.pid, *children(self.process.pid)}

    def counters(self, name):
        """A metric of the launcher, by its labels' values in order of the labels' names."""
        text = self.call("GET", "/metrics", port=self.launcher_port).decode()
        rows = re.findall(rf"^{name}(\{{.*?\}})? (\S+)$", text, re.MULTILINE)
        return {
            tuple(label for _, label in sorted(re.findall(r'(\w+)="([^"]*)"', labels))): float(value)
            for labels, value in rows
        }


class Predictions(threading.Thread):
    """What workers write, read from the stream itself: an entry's id is the time at which Redis had it."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.client = server.client()
        self.seen = []
        self.ending = threading.Event()
        self.start()

    def run(self):
        last = "$"
        while not self.ending.is_set():
            try:
                streams = self.client.xread({"predictions": last}, block=500)
            except redis.RedisError:
                time.sleep(0.05)
                continue
            for last, fields in (entry for _, entries in streams for entry in entries):
                self.seen.append(Prediction(last, fields))

    def stop(self):
        self.ending.set()
        self.join()
        return self.seen


class Prediction:
    def __init__(self, entry, fields):
        number = lambda name: int(fields[name])
        self.published_ms = int(entry.split(b"-")[0])
        self.session = fields[b"participantId"].decode()
        self.seq = number(b"seq")
        self.timestamp = number(b"timestamp")
        self.age_ms = self.published_ms - number(b"captured") / 1000
        self.queue_ms = number(b"queue_us") / 1000
        self.infer_ms = number(b"infer_us") / 1000
        self.worker = fields[b"worker"].decode()


class Reader(threading.Thread):
    """A client that follows one session over REST, as an integrator would: (time, seq, captured) of each prediction."""

    def __init__(self, system, session):
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection("127.0.0.1", system.port)
        self.connection.request("GET", f"/api/v1/sessions/{session}/predictions")
        self.response = self.connection.getresponse()
        self.got = []
        self.end = None
        self.start()

    def run(self):
        event = None
        for line in self.response:
            name, _, value = line.decode().strip().partition(":")
            if name == "event":
                event = value.strip()
            elif name == "data" and event == "end":
                self.end = value
            elif name == "data":
                prediction = json.loads(value)
                self.got.append((time.time(), int(prediction["seq"]), int(prediction["captured"]) / 1e6))
