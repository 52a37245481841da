#!/usr/bin/env python3
"""Signaling of v1's kind, the orchestrator `svc:sgn:`, with aiortc as the browser of the one session that it starts.

It starts the session on the first media bridge that registers, and then tries what must be refused.
Usage: v1_signaling.py REDIS_URL SESSION
"""

import json
import sys

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc_whip import Shapes
from v1_inventa import Orchestrator, later, run, say


class Signaling:
    def __init__(self, url, session):
        methods = {"mb-ice-conn-state-change": self.ice_state}
        self.orchestrator = Orchestrator(url, methods, self.registering)
        self.session = session
        self.peer = RTCPeerConnection()
        self.begun = False

    def registering(self, name):
        say(registering=name)
        if name.startswith("svc:mb:") and not self.begun:
            self.begun = True
            later(self.serve(name))

    def ice_state(self, req):
        session, new, old = (arg.decode() for arg in req.Args)
        say(ice=[session, old, new])
        return [b"succeeded"]

    async def serve(self, bridge):
        [offer] = await self.orchestrator.call(bridge, "sdp-offer-req", self.session)
        sdp = json.loads(offer)["sdp"]
        say(candidates=sdp.count("a=candidate:"))
        # As DTLS's client aiortc takes ECDSA certificates only, and GStreamer's are RSA: so it is made the server.
        sdp = sdp.replace("a=setup:actpass", "a=setup:active")
        await self.peer.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        self.peer.addTrack(Shapes())
        await self.peer.setLocalDescription(await self.peer.createAnswer())
        answer = self.peer.localDescription.sdp.replace("\ns=-", "\ns=porch | door!")
        say(accepted=await self.orchestrator.call(bridge, "sdp-accept-offer-answer", self.session, answer))
        await self.refused(bridge, "sdp-offer-req", self.session)
        await self.refused(bridge, "sdp-accept-offer-answer", "no|such!session", answer)
        await self.refused(bridge, "sdp-offer-please", self.session)
        say(tried=True)

    async def refused(self, bridge, method, *args):
        try:
            say(**{method: await self.orchestrator.call(bridge, method, *args)})
        except RuntimeError as error:
            say(**{method: str(error)})


if __name__ == "__main__":
    signaling = Signaling(*sys.argv[1:])
    run(signaling.orchestrator, signaling.orchestrator.find_the_living())
