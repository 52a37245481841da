"""An RTSP camera of the tests' own: a live test picture at /vp8 and /h264, on the loopback.

`rtsp_server.py PORT`, with Debian's python3: gst-rtsp-server's bindings are a package of the system. Says "ready" when it listens.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PICTURE = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=10/1"
STREAMS = {
    "/vp8": "vp8enc deadline=1 keyframe-max-dist=10 ! rtpvp8pay name=pay0",
    "/h264": "openh264enc gop-size=10 ! h264parse ! rtph264pay name=pay0 config-interval=1",
}


def main():
    Gst.init(None)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=sys.argv[1])
    for path, encoded in STREAMS.items():
        factory = GstRtspServer.RTSPMediaFactory(launch=f"( {PICTURE} ! {encoded} )", shared=True)
        server.get_mount_points().add_factory(path, factory)
    if server.attach(None) == 0:
        sys.exit(f"cannot listen on 127.0.0.1:{sys.argv[1]}")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
