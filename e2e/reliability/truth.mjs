// What is really there: processes, sockets, descriptors, threads and memory, as the kernel tells them, and Redis's keys.

import { readFileSync, readdirSync } from 'node:fs';

/** Of one process; undefined once it is gone. */
export function holdingsOf(pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const number = (name) => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)[1]);
    return { descriptors: readdirSync(`/proc/${pid}/fd`).length, threads: number('Threads'), memory_kib: number('VmRSS') };
  } catch {
    return undefined;
  }
}

/** A process that can be told from a later one with the same number: `{ pid, started }`. */
export function identityOf(pid) {
  return { pid, started: startOf(pid) };
}

export function lives({ pid, started }) {
  return started !== undefined && startOf(pid) === started;
}

/** When it was started, in the kernel's ticks; undefined if it is gone, or only waits to be taken note of. */
function startOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return /[ZX]/.test(fields[0]) ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** The UDP ports of this network namespace that anybody has, each once. */
export function udpPorts() {
  const ports = new Set();
  for (const table of ['udp', 'udp6']) {
    for (const line of readFileSync(`/proc/net/${table}`, 'utf8').split('\n').slice(1)) {
      const [, local] = line.trim().split(/\s+/);
      if (local) ports.add(parseInt(local.split(':')[1], 16));
    }
  }
  return [...ports].sort((a, b) => a - b);
}

/** Keys that a session may leave, in the order of their names. */
export async function sessionKeys(redis) {
  const keys = await redis.text('KEYS', '*');
  return keys.filter((key) => !/^(svc:|info:svc:|TENANTS$|images|predictions$)/.test(key)).sort();
}

/** Entries of `images`: frames that wait, or that nobody has answered. */
export async function waitingFrames(redis) {
  const shards = (await redis.text('KEYS', 'images*')).filter((key) => key !== 'images:dead');
  const lengths = await Promise.all(shards.map((key) => redis.text('XLEN', key)));
  return lengths.reduce((sum, one) => sum + one, 0);
}
