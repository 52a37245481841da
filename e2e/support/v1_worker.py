#!/usr/bin/env python3
"""A worker of v1's kind, independent of everything else here: it knows v1's fields, keys and commands, and no others.

It looks for a saturated red thing instead of running a model. Usage: v1_worker.py REDIS_URL ID
"""

import io
import os
import random
import signal
import string
import sys
import threading

import numpy
import redis
from PIL import Image

GROUP = "cg:images"
LABEL = "v1-red"
ORCHESTRATOR = "svc:sgn:"
stopped = threading.Event()


def find_red(jpeg):
    """The height of the picture and the corners of what is red in it."""
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    red, green, blue = (numpy.asarray(image)[..., channel].astype(int) for channel in range(3))
    rows, columns = numpy.nonzero(red - numpy.maximum(green, blue) > 100)
    if len(rows) == 0:
        return image.height, []
    return image.height, [(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]


def prediction(fields):
    height, boxes = find_red(fields[b"img"])
    entry = {"participantId": fields[b"participantId"], "timestamp": fields[b"timestamp"], "pcount": len(boxes)}
    if boxes:
        entry["res"] = height
    for index, box in enumerate(boxes):
        entry[f"p{index}"] = f"{LABEL}|0.9|" + ";".join(str(corner) for corner in box)
    return entry


def work(client, name):
    try:
        client.xgroup_create("images", GROUP, id="$", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
    while not stopped.is_set():
        for _, entries in client.xreadgroup(GROUP, name, {"images": ">"}, count=1, block=500) or []:
            for entry_id, fields in entries:
                client.xadd("predictions", prediction(fields), maxlen=100)
                client.xack("images", GROUP, entry_id)


def handle(client, name, message):
    """Answers a request; gives the value of a response."""
    kind, call_id, sender, rest = message.decode().split("|", 3)
    if kind == "resp":
        return rest
    method = rest.split("|")[0]
    value = "ok" if method == "orchestrator-alive" else f"error!unknown command type: {method}"
    client.publish(f"ch:{sender}", f"resp|{call_id}|{name}|{value}")
    return None


def be_known(client, name, channel):
    """Registers, ten tries of three seconds each, then keeps its key alive."""
    call_id = "".join(random.choices(string.ascii_letters, k=5)) + "-"
    for attempt in range(10):
        client.publish(f"ch:{ORCHESTRATOR}", f"req|{call_id}{attempt}|{name}|register|{name}")
        message = channel.get_message(ignore_subscribe_messages=True, timeout=3)
        if message and handle(client, name, message["data"]) == "registered":
            break
    else:
        sys.exit("nobody registered this worker")
    print("registered", flush=True)
    while not stopped.is_set():
        client.setex(name, 5, name)
        if message := channel.get_message(ignore_subscribe_messages=True, timeout=3):
            handle(client, name, message["data"])


def main(url, worker_id):
    name = f"svc:inf:{worker_id}"
    client = redis.Redis.from_url(url)
    channel = client.pubsub(ignore_subscribe_messages=True)
    channel.subscribe(f"ch:{name}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())

    def run_work():
        try:
            work(redis.Redis.from_url(url), name)
        except Exception as error:  # whatever it is, a worker that does not work must not look alive
            print(f"the worker broke: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)

    threading.Thread(target=run_work, daemon=True).start()
    be_known(client, name, channel)


if __name__ == "__main__":
    main(*sys.argv[1:])
