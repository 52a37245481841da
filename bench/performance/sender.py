#!/usr/bin/python3
"""Cameras that publish a film by WHIP, each with a webrtcbin of its own. It runs with the system's Python, which has
GStreamer's bindings.

With a film that is encoded already (VP8 in WebM) a camera costs its host little; with raw frames (I420) it encodes
them, as a browser does. Commands come on standard input, and each has one line of JSON as its answer: `add` begins a
session; `frames` tells for each frame since the last time its session, RTP timestamp, and the Unix times in
microseconds at which it entered, was encoded, and left as RTP.
"""

import argparse
import json
import signal
import sys
import threading
import time
import urllib.error
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstVideo", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstApp, GstSdp, GstVideo, GstWebRTC  # noqa: E402, F401

FPS = 30
PATIENCE = 20
ENCODER = "vp8enc deadline=1 cpu-used=8 end-usage=cbr target-bitrate=1500000 keyframe-max-dist=300 lag-in-frames=0"


def micros():
    return time.time_ns() // 1000


def film(path, encoded):
    """The caps and the frames of a film, in memory."""
    parse = "matroskademux" if encoded else "y4mdec"
    pipeline = Gst.parse_launch(f"filesrc location={path} ! {parse} ! appsink name=sink sync=false")
    sink = pipeline.get_by_name("sink")
    pipeline.set_state(Gst.State.PLAYING)
    frames, caps = [], None
    while sample := sink.emit("pull-sample"):
        buffer, caps = sample.get_buffer(), sample.get_caps()
        frames.append(buffer.extract_dup(0, buffer.get_size()))
    pipeline.set_state(Gst.State.NULL)
    if not frames:
        raise SystemExit(f"{path} has no frames")
    return caps, [GLib.Bytes.new(frame) for frame in frames]


class Camera:
    def __init__(self, number, url, film_, encoded):
        self.number, self.url = number, url
        caps, self.frames = film_
        encode = "" if encoded else f"! {ENCODER}"
        self.pipeline = Gst.parse_launch(
            "webrtcbin name=webrtc bundle-policy=max-bundle "
            f"appsrc name=source format=time is-live=true block=false {encode} ! rtpvp8pay name=pay picture-id-mode=15-bit "
            "! application/x-rtp,media=video,encoding-name=VP8,payload=102 ! webrtc."
        )
        self.webrtc, self.source, pay = (self.pipeline.get_by_name(name) for name in ("webrtc", "source", "pay"))
        self.source.set_property("caps", caps)
        self.position, self.sending = 0, False
        self.entered, self.coded, self.seen = {}, {}, []
        gathered, self.connected = threading.Event(), threading.Event()
        self.on("ice-gathering-state", GstWebRTC.WebRTCICEGatheringState.COMPLETE, gathered)
        self.on("connection-state", GstWebRTC.WebRTCPeerConnectionState.CONNECTED, self.connected)
        if encoded:
            pad = self.source.get_static_pad("src")
            pad.add_probe(Gst.PadProbeType.EVENT_UPSTREAM, self.keyframe_is_wanted)
        pay.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, self.was_encoded)
        pay.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST, self.was_sent)
        transceiver = self.webrtc.emit("get-transceiver", 0)
        transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        transceiver.set_property("do-nack", True)
        self.pipeline.set_state(Gst.State.PLAYING)
        # The offer lives as long as the reply, and that as long as the promise.
        promise = self.promised("create-offer", None)
        reply = promise.get_reply()
        self.promised("set-local-description", reply.get_value("offer"))
        if not gathered.wait(PATIENCE):
            raise SystemExit("gathering candidates takes too long")
        self.publish()

    def on(self, property_, wanted, event):
        def notified(element, _):
            if element.get_property(property_) == wanted:
                event.set()

        self.webrtc.connect(f"notify::{property_}", notified)

    def promised(self, signal_, argument):
        promise = Gst.Promise.new()
        self.webrtc.emit(signal_, argument, promise)
        promise.wait()
        return promise

    def publish(self):
        local = self.webrtc.get_property("local-description")
        offer = local.sdp.as_text().encode()
        request = urllib.request.Request(self.url, offer, {"Content-Type": "application/sdp"}, method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            self.address, answer = response.headers["Location"], response.read()
        _, sdp = GstSdp.SDPMessage.new_from_text(answer.decode())
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.promised("set-remote-description", description)
        if not self.connected.wait(PATIENCE):
            raise SystemExit("no connection to the session")
        self.sending = True

    def stop(self):
        try:
            urllib.request.urlopen(urllib.request.Request(self.address, method="DELETE"), timeout=5).read()
        except OSError as error:
            print(f"session {self.address} was not ended: {error}", file=sys.stderr)

    def send(self):
        now = self.pipeline.get_clock().get_time() - self.pipeline.get_base_time()
        buffer = Gst.Buffer.new_wrapped_bytes(self.frames[self.position])
        buffer.pts = buffer.dts = now
        self.position = (self.position + 1) % len(self.frames)
        self.entered[now] = micros()
        self.source.emit("push-buffer", buffer)

    def keyframe_is_wanted(self, _pad, info):
        if GstVideo.video_event_is_force_key_unit(info.get_event()):
            # The film begins with one.
            self.position = 0
        return Gst.PadProbeReturn.OK

    def was_encoded(self, _pad, info):
        self.coded[info.get_buffer().pts] = micros()
        return Gst.PadProbeReturn.OK

    def was_sent(self, _pad, info):
        packets = info.get_buffer_list()
        packet = packets.get(0) if packets else info.get_buffer()
        timestamp = int.from_bytes(packet.extract_dup(4, 4), "big")
        if (entered := self.entered.pop(packet.pts, None)) is not None:
            self.seen.append([self.number, timestamp, entered, self.coded.pop(packet.pts), micros()])
        return Gst.PadProbeReturn.OK


def pace(cameras):
    """Each camera's frames at its own moments within a frame's time."""
    start, number = time.monotonic(), 0
    while True:
        number += 1
        running = list(cameras)
        for index, camera in enumerate(running or [None]):
            moment = start + (number + index / max(len(running), 1)) / FPS
            time.sleep(max(moment - time.monotonic(), 0))
            if camera and camera.sending:
                camera.send()


def add(cameras, options, film_):
    try:
        cameras.append(Camera(len(cameras), options.url, film_, not options.encode))
        return {"id": cameras[-1].address.rsplit("/", 1)[1]}
    except urllib.error.HTTPError as error:
        return {"refused": error.code, "why": error.read().decode()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="of the WHIP endpoint")
    parser.add_argument("film")
    parser.add_argument("--encode", action="store_true", help="the film is raw (YUV4MPEG2)")
    options = parser.parse_args()
    Gst.init(None)
    film_ = film(options.film, not options.encode)
    cameras = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    threading.Thread(target=pace, args=[cameras], daemon=True).start()
    print("ready", flush=True)
    try:
        for line in sys.stdin:
            if line.strip() == "add":
                answer = add(cameras, options, film_)
            else:
                taken = [(camera, len(camera.seen)) for camera in cameras]
                answer = [row for camera, count in taken for row in camera.seen[:count]]
                for camera, count in taken:
                    del camera.seen[:count]
            print(json.dumps(answer), flush=True)
    finally:
        for camera in cameras:
            camera.stop()


if __name__ == "__main__":
    main()
