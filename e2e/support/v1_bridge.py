#!/usr/bin/env python3
"""A media bridge of v1's kind: it offers, takes a browser's video by WebRTC, and writes v1's three fields for each frame.

Usage: v1_bridge.py REDIS_URL ID
"""

import asyncio
import io
import json
import sys

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from v1_inventa import ORCHESTRATOR, Service, later, run, say

SILENCE = 5
RATE = 10
CLOCK = 90_000


class Bridge:
    def __init__(self, url, bridge_id):
        methods = {"sdp-offer-req": self.offer, "sdp-accept-offer-answer": self.accept}
        self.service = Service(url, f"svc:mb:{bridge_id}", methods)
        self.peers = {}
        self.spare = None

    async def begin(self):
        await self.make_spare()
        await self.service.be_known()

    async def make_spare(self):
        """The library wants an answer at once, so an offer with its candidates lies ready."""
        peer = RTCPeerConnection()
        peer.addTransceiver("video", direction="recvonly")
        await peer.setLocalDescription(await peer.createOffer())
        self.spare = peer

    def offer(self, req):
        session = req.Args[0].decode()
        peer, self.spare = self.spare, None
        if peer is None or session in self.peers:
            self.spare = peer
            return req.ErrorResponse(f"no offer for {session} now | try again!")
        self.peers[session] = peer
        self.follow(session, peer)
        later(self.make_spare())
        return [json.dumps({"sdp": peer.localDescription.sdp})]

    def accept(self, req):
        session, sdp = (arg.decode() for arg in req.Args)
        say(session=session, name=next(line for line in sdp.splitlines() if line.startswith("s=")))
        if session not in self.peers:
            return req.ErrorResponse(f"no session {session}")
        later(self.peers[session].setRemoteDescription(RTCSessionDescription(sdp, "answer")))
        return [b"succeeded"]

    def follow(self, session, peer):
        state = "new"

        async def tell(new, old):
            values = await self.service.call(ORCHESTRATOR, "mb-ice-conn-state-change", session, new, old)
            say(session=session, ice=new, answered=values)

        def changed():
            nonlocal state
            old, state = state, peer.iceConnectionState
            later(tell(state, old))
            if state in ("closed", "failed"):
                self.peers.pop(session, None)

        peer.on("iceconnectionstatechange", changed)
        peer.on("track", lambda track: later(self.publish(session, peer, track)))

    async def publish(self, session, peer, track):
        due = 0
        while session in self.peers:
            try:
                frame = await asyncio.wait_for(track.recv(), SILENCE)
            except (asyncio.TimeoutError, MediaStreamError):
                return await peer.close()
            if frame.pts < due:
                continue
            due = frame.pts + CLOCK // RATE
            jpeg = io.BytesIO()
            frame.to_image().save(jpeg, "JPEG", quality=90)
            # aiortc counts from the first packet's timestamp, which it keeps to itself.
            first = peer.getReceivers()[0]._RTCRtpReceiver__timestamp_mapper._origin
            entry = {"participantId": session, "timestamp": (first + frame.pts) % 2**32, "img": jpeg.getvalue()}
            await self.service.Client.xadd("images", entry, maxlen=100)


if __name__ == "__main__":
    bridge = Bridge(*sys.argv[1:])
    run(bridge.service, bridge.begin())
