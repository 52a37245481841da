#!/usr/bin/env python3
"""What one Redis carries: its processor time and network bytes for a frame, by the size of the frame.

Sessions and workers are small clients that send the commands of `redisstreamsink` and `redisstreamsrc`, each waiting
for its reply as those do: XADD; XREADGROUP of one entry; XADD, PUBLISH, XACK and XDEL in one round trip. Signaling
listens too. Here they share the cores with Redis and bound the rate; Redis's processor time for a frame is what one
core can be divided by. A Redis that has little to do takes longer for each: it wakes up for every command.
"""

import json
import multiprocessing
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import time

import report
from system import Redis, cpu_seconds, free_port, wait_for

KILOBYTES = (10, 25, 50, 100)
CLIENTS = 4
WAITING = (1, 100, 1000)
CREDITS = 2
# What a prediction of five objects is, as fields and as JSON.
OBJECTS = [{"label": "person", "class_id": 0, "score": 0.8551, "box": [0.1, 0.2, 0.25, 0.5]}] * 5
EXPIRES = "4000000000000000"


def command(*parts):
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", buffering=1 << 18)

    def send(self, data):
        self.socket.sendall(data)

    def reply(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return rest

    def ask(self, *parts):
        self.send(command(*parts))
        return self.reply()


def session(port, name, picture, ready, done):
    """Publishes as long as it has credits; an answer on its channel gives one back."""
    writing, listening = Connection(port), Connection(port)
    listening.ask("SUBSCRIBE", f"predictions:{name}")
    header = [
        "participantId",
        name,
        "timestamp",
        "123456789",
        "v",
        "1",
        "seq",
        "1",
        "pts",
        "1000000000",
        "captured",
        "1766481000000000",
        "expires",
        EXPIRES,
        "width",
        "1280",
        "height",
        "720",
    ]
    frame = command("XADD", "images", "MAXLEN", "~", "256", "*", *header, "img", picture)
    ready.wait()
    for _ in range(CREDITS):
        writing.send(frame)
        writing.reply()
    while not done.is_set():
        listening.reply()
        writing.send(frame)
        writing.reply()


def worker(port, name, ready, done):
    reading, writing = Connection(port), Connection(port)
    read = command("XREADGROUP", "GROUP", "cg:images", name, "COUNT", 1, "BLOCK", 1000, "STREAMS", "images", ">")
    detections = json.dumps(OBJECTS)
    ready.wait()
    while not done.is_set():
        reading.send(read)
        reply = reading.reply()
        if not reply:
            continue
        entry, fields = reply[0][1][0]
        fields = dict(zip(fields[::2], fields[1::2]))
        answer = {key.decode(): value.decode() for key, value in fields.items() if key != b"img"}
        answer |= {"pcount": "5", "res": "234", "detections": detections, "model": "yolox_nano", "worker": name}
        answer |= {f"p{index}": "person|0.8551|41;46;145;163" for index in range(len(OBJECTS))}
        flat = [part for pair in answer.items() for part in pair]
        writing.send(
            command("XADD", "predictions", "MAXLEN", "~", "1000", "*", *flat)
            + command("PUBLISH", f"predictions:{answer['participantId']}", json.dumps(answer))
            + command("XACK", "images", "cg:images", entry)
            + command("XDEL", "images", entry)
        )
        for _ in range(4):
            writing.reply()


def bridge(port, ready, done):
    """Signaling's look for predictions of v1's workers."""
    reading = Connection(port)
    reading.ask("XGROUP", "CREATE", "predictions", "cg:bridge", "$", "MKSTREAM")
    read = (
        "XREADGROUP",
        "GROUP",
        "cg:bridge",
        "bridge",
        "COUNT",
        100,
        "BLOCK",
        1000,
        "NOACK",
        "STREAMS",
        "predictions",
        ">",
    )
    ready.wait()
    while not done.is_set():
        reading.ask(*read)


def watcher(port, sessions, _ready, done):
    """Signaling, which passes predictions on."""
    listening = Connection(port)
    listening.send(command("SUBSCRIBE", *(f"predictions:{session}" for session in sessions)))
    while not done.is_set():
        listening.reply()


def run(folder, kilobytes, seconds):
    """Frames through one Redis for some seconds."""
    with Redis(folder) as server:
        client = server.client()
        client.xgroup_create("images", "cg:images", "0", mkstream=True)
        ready, done = multiprocessing.Event(), multiprocessing.Event()
        picture = os.urandom(kilobytes * 1000)
        parts = [(session, f"session{index}", picture) for index in range(CLIENTS)]
        parts += [(worker, f"worker{index}") for index in range(CLIENTS)]
        parts += [(bridge,), (watcher, [f"session{index}" for index in range(CLIENTS)])]
        clients = [
            multiprocessing.Process(target=part, args=(server.port, *more, ready, done), daemon=True)
            for part, *more in parts
        ]
        for process in clients:
            process.start()
        time.sleep(1)
        ready.set()
        time.sleep(1)
        state = lambda: (
            time.time(),
            cpu_seconds(server.process.pid),
            client.info("stats"),
            client.xinfo_stream("predictions")["entries-added"],
        )
        before = state()
        time.sleep(seconds)
        after = state()
        done.set()
        time.sleep(0.2)
        for process in clients:
            process.terminate()
            process.join()
    took, cpu, frames = (after[index] - before[index] for index in (0, 1, 3))
    bytes_ = lambda key: round((after[2][key] - before[2][key]) / frames)
    return {
        "frames_a_second": round(frames / took),
        "cpu_us_a_frame": round(cpu / frames * 1e6, 1),
        "share_of_a_core": round(cpu / took, 2),
        "bytes_in_a_frame": bytes_("total_net_input_bytes"),
        "bytes_out_a_frame": bytes_("total_net_output_bytes"),
    }


def waiting_workers(folder, count, frames):
    """Redis's processor time for a small frame that is taken and finished, beside so many workers that wait for one."""
    with Redis(folder) as server:
        client = server.client()
        client.xgroup_create("images", "cg:images", "0", mkstream=True)
        memory = client.info("memory")["used_memory"]
        workers = [Connection(server.port) for _ in range(count)]
        reads = [
            command(
                "XREADGROUP", "GROUP", "cg:images", f"worker{index}", "COUNT", 1, "BLOCK", 0, "STREAMS", "images", ">"
            )
            for index in range(count)
        ]
        for connection, read in zip(workers, reads):
            connection.send(read)
        writing = Connection(server.port)
        add = command("XADD", "images", "MAXLEN", "~", "256", "*", "img", os.urandom(1000))
        cpu = cpu_seconds(server.process.pid)
        for frame in range(frames):
            writing.send(add)
            entry = writing.reply()
            # Who has waited longest is served.
            turn = frame % count
            workers[turn].reply()
            writing.send(command("XACK", "images", "cg:images", entry) + command("XDEL", "images", entry))
            writing.reply(), writing.reply()
            workers[turn].send(reads[turn])
        cpu = cpu_seconds(server.process.pid) - cpu
        memory = client.info("memory")["used_memory"] - memory
    return {"cpu_us_a_frame": round(cpu / frames * 1e6, 1), "bytes_each": round(memory / count)}


def idle_workers(folder, count, seconds):
    """Redis's processor time in a second for a worker that finds nothing: a read that times out, and a look for frames
    that others have abandoned."""
    with Redis(folder) as server:
        server.client().xgroup_create("images", "cg:images", "0", mkstream=True)
        reading, writing = ([Connection(server.port) for _ in range(count)] for _ in range(2))
        read = command("XREADGROUP", "GROUP", "cg:images", "idle", "COUNT", 1, "BLOCK", 1000, "STREAMS", "images", ">")
        claim = command("XAUTOCLAIM", "images", "cg:images", "idle", 2000, "0-0", "COUNT", 8)
        cpu, begin = cpu_seconds(server.process.pid), time.monotonic()
        for _ in range(seconds):
            for reader, writer in zip(reading, writing):
                reader.send(read)
                writer.send(claim)
            for connection in [*writing, *reading]:
                connection.reply()
        cpu, took = cpu_seconds(server.process.pid) - cpu, time.monotonic() - begin
    return round(cpu / took / count * 1e6, 1)


def benchmark(folder, kilobytes, requests):
    """XADD alone as redis-benchmark does it, with sixteen connections: what bounds that is printed beside it."""
    with Redis(folder) as server:
        line = [
            "redis-benchmark",
            "-p",
            str(server.port),
            "-c",
            "16",
            "-n",
            str(requests),
            "--csv",
            "-x",
            "XADD",
            "images",
            "MAXLEN",
            "~",
            "256",
            "*",
            "img",
        ]
        cpu, begin = cpu_seconds(server.process.pid), time.time()
        printed = subprocess.run(line, input=b"x" * kilobytes * 1000, capture_output=True, check=True).stdout.decode()
        cpu, took = cpu_seconds(server.process.pid) - cpu, time.time() - begin
    rate = float(printed.splitlines()[-1].rsplit('","', 7)[1])
    return {
        "a_second": round(rate),
        "cpu_us_each": round(cpu / requests * 1e6, 1),
        "share_of_a_core": round(cpu / took, 2),
    }


def cluster(folder, masters):
    """Masters that share the slots and know each other."""
    servers = [
        Redis(folder, cluster_enabled="yes", cluster_port=free_port(), cluster_config_file=f"nodes-{index}.conf")
        for index in range(masters)
    ]
    slots = 16384
    for index, server in enumerate(servers):
        first, last = index * slots // masters, (index + 1) * slots // masters - 1
        server.client().execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        meet = ("CLUSTER", "MEET", "127.0.0.1", servers[0].port, servers[0].options["cluster_port"])
        server.client().execute_command(*meet)
    wanted = {b"cluster_state:ok", b"cluster_known_nodes:%d" % masters}
    knows_all = lambda server: wanted <= set(server.client().execute_command("CLUSTER", "INFO").split(b"\r\n"))
    for server in servers:
        wait_for("the cluster is ready", 30, lambda: knows_all(server))
    return servers


def published(folder, masters, requests):
    """Processor time of the node that is told of a prediction, and of the others, which a cluster tells too."""
    servers = cluster(folder, masters) if masters > 1 else [Redis(folder)]
    try:
        cpu = [cpu_seconds(server.process.pid) for server in servers]
        line_ = [
            "redis-benchmark",
            "-p",
            str(servers[0].port),
            "-c",
            "8",
            "-n",
            str(requests),
            "-q",
            "-x",
            "PUBLISH",
            "predictions:camera",
        ]
        subprocess.run(line_, input=b"x" * 1200, stdout=subprocess.DEVNULL, check=True)
        time.sleep(0.5)
        used = [(cpu_seconds(server.process.pid) - before) / requests * 1e6 for server, before in zip(servers, cpu)]
    finally:
        for server in servers:
            server.__exit__()
    return {"cpu_us": round(used[0], 2), "cpu_us_of_each_other": round(statistics.mean(used[1:]), 2) if used[1:] else 0}


def line(points):
    """(At 0, slope) of the straight line nearest to the points."""
    fit = statistics.linear_regression(*zip(*points))
    return fit.intercept, fit.slope


def main():
    parser = report.arguments(__doc__, "load")
    parser.add_argument("--seconds", type=int, default=10)
    options = parser.parse_args()
    load = report.Load()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        sizes = {kilobytes: run(folder, kilobytes, options.seconds) for kilobytes in KILOBYTES}
        adds = {kilobytes: benchmark(folder, kilobytes, 5000) for kilobytes in KILOBYTES}
        waiting = {count: waiting_workers(folder, count, 500 * options.seconds) for count in WAITING}
        idle = idle_workers(folder, 500, options.seconds)
        told = {masters: published(folder, masters, 5000 * options.seconds) for masters in (1, 3)}
    each, by_kilobyte = line([(size, seen["cpu_us_a_frame"]) for size, seen in sizes.items()])
    _, by_waiting = line([(count, seen["cpu_us_a_frame"]) for count, seen in waiting.items()])
    report.save(
        options.result,
        load,
        {},
        {
            "clients": {"sessions": CLIENTS, "workers": CLIENTS},
            "frames_of_kilobytes": sizes,
            "xadd_alone_of_kilobytes": adds,
            "beside_waiting_workers": waiting,
            "idle_worker_cpu_us_a_second": idle,
            "publish_by_masters": told,
            # What capacity.py reckons with.
            "cpu_us_a_frame": {
                "each": round(each, 1),
                "by_kilobyte": round(by_kilobyte, 3),
                "by_waiting_worker": round(by_waiting, 4),
                "to_tell_another_master": round(max(told[3]["cpu_us"] - told[1]["cpu_us"], 0) / 2, 2),
                "told_by_another_master": told[3]["cpu_us_of_each_other"],
            },
        },
    )


if __name__ == "__main__":
    main()
