"""Sessions of cameras as a measurement sees them: the sender's process, and what becomes of its frames."""

import sys
import contextlib
import json
import subprocess
import threading
import time
from pathlib import Path

import bench
from bench import system

SIZE, FPS = (640, 480), 30
SECONDS = 10
PIPELINE = "webrtc-detect"
ENCODED = f"{system.vp8(1_500_000, 300)} ! webmmux"
RAW = "videoconvert ! video/x-raw,format=I420 ! y4menc"


def film(folder, encoded=True):
    """Real pictures at a camera's size and rate: encoded as a browser would, or raw."""
    path = folder / ("film.webm" if encoded else "film.y4m")
    if not path.exists():
        line = f"{system.film(*SIZE, FPS)} ! {ENCODED if encoded else RAW} ! filesink location={path}"
        subprocess.run(["gst-launch-1.0", "-q", *line.split()], check=True, stdout=subprocess.DEVNULL)
    return path


class Sender:
    """A process with cameras, each at ten inferences a second unless it says otherwise."""

    def __init__(self, stack, site, film_, fps=10):
        url = f"http://127.0.0.1:{site.port}/whip/{PIPELINE}?fps={fps}"
        encode = ["--encode"] if film_.suffix == ".y4m" else []
        self.process = stack.enter_context(
            bench.program("/usr/bin/python3", bench.HERE / "sender.py", url, film_, *encode)
        )
        self.sessions = []

    def ask(self, command):
        print(command, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def add(self):
        """The id of one more session, or None if there is no room for it."""
        answer = self.ask("add")
        if "id" not in answer:
            print(answer, file=sys.stderr)
            return None
        self.sessions.append(answer["id"])
        return answer["id"]

    def frames(self):
        """{(session, RTP timestamp): times at which the frame entered, was encoded, was sent, in microseconds}."""
        return {(self.sessions[number], timestamp): times for number, timestamp, *times in self.ask("frames")}


class Follower(threading.Thread):
    """One client of a session, over REST: when it has each prediction, and what that says."""

    def __init__(self, site, session):
        super().__init__(daemon=True)
        self.reader = system.http.client.HTTPConnection("127.0.0.1", site.port)
        self.reader.request("GET", f"/api/v1/sessions/{session}/predictions")
        self.response = self.reader.getresponse()
        self.session, self.got = session, []
        self.start()

    def run(self):
        event = None
        for line in self.response:
            now = time.time_ns() // 1000
            name, _, value = line.partition(b":")
            if name == b"event":
                event = value.strip()
            elif name == b"data" and event != b"end":
                self.got.append((now, value))

    def stop(self):
        # Ends the blocked read, too.
        self.reader.sock.shutdown(system.socket.SHUT_RDWR)

    def predictions(self):
        """(time in microseconds, prediction) of each."""
        found = [(when, json.loads(value)) for when, value in self.got]
        return [(when, entry) for when, entry in found if "timestamp" in entry]


@contextlib.contextmanager
def site(options, folder, workers=2, **settings):
    """A system with the shipped pipelines, and its Redis."""
    # `System` has a pipeline of its own for other measurements; here are those that people use.
    settings = {"SIGHTLINE_PIPELINES": str(system.ROOT / "pipelines"), "SIGHTLINE_UDP_PORTS": "21000-21199"} | settings
    with (
        system.Redis(folder) as server,
        system.System(options.programs, server, folder, folder, workers, **settings) as running,
    ):
        yield server, running


class Published(threading.Thread):
    """{(session, RTP timestamp): the time in milliseconds at which Redis had the frame}, from the entries' ids."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.client, self.at, self.ending = server.client(), {}, threading.Event()
        self.start()

    def run(self):
        last = "$"
        while not self.ending.is_set():
            for _, entries in self.client.xread({"images": last}, block=500):
                for last, fields in entries:
                    key = (fields[b"participantId"].decode(), int(fields[b"timestamp"]))
                    self.at[key] = int(last.split(b"-")[0])

    def stop(self):
        self.ending.set()
        self.join()


class Answered(system.Predictions):
    """The same of the answers."""

    def at(self):
        return {(entry.session, entry.timestamp): entry.published_ms for entry in self.stop()}


def ages(sender, followers):
    """{session: (milliseconds from a frame's entering the sender to its prediction at the client)}, since the last time."""
    entered = {key: times[0] for key, times in sender.frames().items()}
    found = {}
    for follower in followers:
        keyed = [((follower.session, int(entry["timestamp"])), when) for when, entry in follower.predictions()]
        found[follower.session] = [(when - entered[key]) / 1000 for key, when in keyed if key in entered]
    return found


def roles(site, others):
    """{role: process ids}, `others` among them: `sessions` are the launcher's children that are no workers, those that wait included."""
    workers = set(site.workers().values())
    found = others | {"workers": workers}
    for pid in site.processes() - workers:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        name = "signaling" if command[0].endswith(b"signaling") else "sessions" if b"child" in command else "launcher"
        found.setdefault(name, set()).add(pid)
    return found


def busy(processes):
    """Processor seconds of each role so far."""
    return {
        role: sum(system.cpu_seconds(pid) for pid in pids if system.is_alive(pid)) for role, pids in processes.items()
    }
