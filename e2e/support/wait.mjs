// Waiting with a limit, and addresses that nobody uses.

import dgram from 'node:dgram';
import net from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

export { sleep };

/** Polls until `check` gives something true, and gives that. Says `what` it waited for when `seconds` have passed. */
export async function until(what, seconds, check) {
  const deadline = Date.now() + seconds * 1000;
  let last;
  for (;;) {
    last = await check();
    if (last) return last;
    if (Date.now() > deadline) throw new Error(`waited ${seconds} s in vain: ${what}`);
    await sleep(50);
  }
}

/** A TCP port of the loopback that is free now. */
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** `count` UDP ports in a row that are free now, below the range that the kernel gives out by itself. */
export async function freeUdpPorts(count) {
  for (;;) {
    const first = 13_000 + Math.floor(Math.random() * 18_000);
    const ports = Array.from({ length: count }, (_, i) => first + i);
    if ((await Promise.all(ports.map(isUdpPortFree))).every(Boolean)) return ports;
  }
}

export async function isUdpPortFree(port) {
  const socket = dgram.createSocket('udp4');
  try {
    socket.bind(port);
    await once(socket, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    socket.close();
  }
}
