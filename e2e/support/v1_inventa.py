"""The published library `inventa` (py-inventa 0.0a15), in both of its roles, for what stands in for v1's services.

A service works as it comes, but for two things that its users see: an error is an answer like any other, whose first value
is `error`; and registering with N tries makes N - 1. The orchestrator's role does not work as it comes: the first `register`
ends the task that answers requests (it decodes a list), and the first look at who lives ends that of the timer (it encodes
a text). So both are written anew here, on the library's own queues, names and messages.
"""

import asyncio
import contextlib
import json
import os
import signal
import traceback
from urllib.parse import urlsplit

from inventa import Inventa, InventaRole, ServiceDescriptor

ORCHESTRATOR = "svc:sgn:"


def say(**what):
    print(json.dumps(what), flush=True)


class Service(Inventa):
    def __init__(self, url, name, methods, role=InventaRole.Service):
        _, kind, service_id = name.split(":")
        address = urlsplit(url)
        super().__init__(address.hostname, address.port, address.password, kind, service_id, role, methods)

    async def be_known(self):
        await self.TryRegisterToOrchestrator(ORCHESTRATOR, 11, 3000)
        say(registered=self.SelfDescriptor.Encode())

    async def call(self, to, method, *args, timeout=8000):
        """The values, as texts. Raises what the other side says went wrong."""
        values = [value.decode() for value in await self.CallSync(to, method, list(args), timeout)]
        if values[0] == "error":
            raise RuntimeError(values[1])
        return values

    def rpcInternalCommandOrchestratorAlive(self, req):
        values = super().rpcInternalCommandOrchestratorAlive(req)
        say(orchestrator_alive=req.Args[0].decode(), answered=values[0].decode())
        return values


class Orchestrator(Service):
    def __init__(self, url, methods, registering):
        super().__init__(url, ORCHESTRATOR, methods, InventaRole.Orchestrator)
        self.registering = registering

    async def find_the_living(self):
        """What v1's signaling does at its start: whoever registered with the one before it is told."""
        async for key in self.Client.scan_iter("svc:*"):
            if (name := key.decode()) != ORCHESTRATOR:
                say(told=name, answered=(await self.call(name, "orchestrator-alive", ORCHESTRATOR))[0])

    def rpcInternalCommandRegister(self, req):
        name = ServiceDescriptor.ParseServiceFullId(req.Args[0].decode()).Encode()
        if name not in self.registeredServices:
            self.registeredServices[name] = True
            self.registering(name)
        return [b"registered"]

    async def checkRegisteredServices(self):
        for name in list(self.registeredServices):
            if not await self.IsServiceActive(name):
                del self.registeredServices[name]
                say(lost=name)


def run(participant, main):
    """Runs both until SIGTERM, or until one of them breaks."""
    # The library takes the current loop, and starts its tasks on it.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    participant.Start()
    loop.create_task(main)
    everything = asyncio.gather(*asyncio.all_tasks(loop))
    loop.add_signal_handler(signal.SIGTERM, everything.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(everything)
    # aiortc's threads would wait for frames of peers that are still open.
    os._exit(0)


def later(work):
    """The library's handlers cannot wait: what takes time is done beside them. If it breaks, all ends."""

    def ended(task):
        if not task.cancelled() and task.exception():
            traceback.print_exception(task.exception())
            os._exit(1)

    task = asyncio.ensure_future(work)
    running.add(task)
    task.add_done_callback(ended)
    task.add_done_callback(running.discard)


running = set()
