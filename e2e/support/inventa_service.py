#!/usr/bin/env python3
"""A service that uses the published library `inventa` as its page says, and says what comes of it.

Usage: inventa_service.py REDIS_URL ID
"""

import json
import sys

from v1_inventa import ORCHESTRATOR, Service, run, say

AWKWARD = "a|b!c%"


async def talk(service):
    await service.be_known()
    for method, argument in [
        ("register", ORCHESTRATOR),
        ("dance", AWKWARD),
        ("session-event", json.dumps({"session": AWKWARD, "state": "connected"})),
        ("mb-ice-conn-state-change", AWKWARD),
    ]:
        try:
            say(**{method: await service.call(ORCHESTRATOR, method, argument)})
        except RuntimeError as error:
            say(**{method: str(error)})
    say(talked=True)


if __name__ == "__main__":
    url, service_id = sys.argv[1:]
    service = Service(url, f"svc:inf:{service_id}", {"echo": lambda req: req.Args})
    run(service, talk(service))
