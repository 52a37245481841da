#!/usr/bin/env python3
"""aiortc as a client of WHIP and WHEP. Prints what happens as lines of JSON; SIGTERM ends it in order.

Usage: aiortc_whip.py publish URL [--codec VP8|H264] [--forge]
       aiortc_whip.py watch URL
"""

import argparse
import asyncio
import fractions
import json
import math
import re
import signal
import time

import aiohttp
import av
import numpy
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender, RTCSessionDescription

WIDTH, HEIGHT, RATE = 640, 480, 10
CLOCK = 90_000
"""What the built-in model looks for: colour, size, and the lane in which it goes to and fro."""
SHAPES = [((255, 0, 0), 130, 84, 20), ((0, 255, 0), 110, 110, 180), ((0, 0, 255), 80, 124, 330)]


class Shapes(MediaStreamTrack):
    """A red, a green and a blue rectangle in motion on grey."""

    kind = "video"

    def __init__(self):
        super().__init__()
        self.number = 0
        self.begun = None

    async def recv(self):
        self.begun = self.begun or time.monotonic()
        await asyncio.sleep(self.begun + self.number / RATE - time.monotonic())
        picture = numpy.full((HEIGHT, WIDTH, 3), 114, numpy.uint8)
        for colour, width, height, top in SHAPES:
            left = int((WIDTH - width) * (1 - math.cos(self.number / RATE)) / 2)
            picture[top : top + height, left : left + width] = colour
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = self.number * CLOCK // RATE, fractions.Fraction(1, CLOCK)
        self.number += 1
        return frame


def forged(sdp):
    """The same with another last digit in each fingerprint."""
    return re.sub(r"(?m)^(a=fingerprint:\S+ \S+)(\S)(\r?)$", lambda m: m[1] + ("0" if m[2] != "0" else "1") + m[3], sdp)


class Client:
    """One connection; `location` is its address once it has been accepted, `posted` when it was asked for."""

    def __init__(self, http):
        self.http = http
        self.peer = RTCPeerConnection()
        self.location = None
        self.posted = None

    async def publish(self, url, codec="VP8", forge=False):
        """Returns the seconds from POST to 201."""
        self.peer.addTrack(Shapes())
        transceiver = self.peer.getTransceivers()[0]
        transceiver.direction = "sendonly"
        codecs = RTCRtpSender.getCapabilities("video").codecs
        transceiver.setCodecPreferences([one for one in codecs if one.mimeType in (f"video/{codec}", "video/rtx")])
        return await self.connect(url, forged if forge else str)

    async def watch(self, url):
        self.peer.addTransceiver("video", direction="recvonly")
        return await self.connect(url, str)

    async def connect(self, url, change):
        await self.peer.setLocalDescription(await self.peer.createOffer())
        offer = change(self.peer.localDescription.sdp)
        self.posted = time.monotonic()
        async with self.http.post(url, data=offer, headers={"Content-Type": "application/sdp"}) as response:
            answer = await response.text()
            if response.status != 201:
                raise SystemExit(f"POST {url}: {response.status} {answer}")
            took = time.monotonic() - self.posted
        self.location = response.headers["Location"]
        await self.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        return took

    async def close(self):
        if self.location:
            async with self.http.delete(self.location) as response:
                say(deleted=response.status)
        await self.peer.close()


def say(**what):
    print(json.dumps(what), flush=True)


async def count_frames(track):
    count = 0
    while True:
        frame = await track.recv()
        count += 1
        say(frames=count, width=frame.width, height=frame.height)


async def main(arguments):
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with aiohttp.ClientSession() as http:
        client = Client(http)
        counting = []
        client.peer.on("track", lambda track: counting.append(asyncio.ensure_future(count_frames(track))))
        client.peer.on("connectionstatechange", lambda: say(connection=client.peer.connectionState))
        if arguments.verb == "publish":
            await client.publish(arguments.url, arguments.codec, arguments.forge)
        else:
            await client.watch(arguments.url)
        say(location=client.location)
        await stopped.wait()
        for task in counting:
            task.cancel()
        await client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["publish", "watch"])
    parser.add_argument("url")
    parser.add_argument("--codec", choices=["VP8", "H264"], default="VP8")
    parser.add_argument("--forge", action="store_true")
    asyncio.run(main(parser.parse_args()))
