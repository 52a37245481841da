// Many sessions by WHIP, one after the other: all succeed, and nothing is left of them. SIGHTLINE_CHURN sets how many.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { withClient } from './support/clients.mjs';
import { Redis, RedisServer } from './support/redis.mjs';
import { root, withSystem } from './support/system.mjs';
import { hasAiortc, python } from './support/tools.mjs';
import { isUdpPortFree, until } from './support/wait.mjs';

const COUNT = Number(process.env.SIGHTLINE_CHURN ?? 10);
/** The first sessions also fill what is filled once, such as pools of connections and of threads. */
const WARM_UP = 3;

test(`${COUNT} sessions by WHIP in a row`, { timeout: 60_000 + COUNT * 12_000 }, async (t) => {
  if (!hasAiortc(t)) return;
  const redisServer = await RedisServer.start();
  t.after(() => redisServer.stop());
  const env = { REDIS_URL: redisServer.url, SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '1' };
  await withSystem(env, async (system) => {
    const redis = await Redis.connect(redisServer.socket);
    await churn(system, WARM_UP);
    const before = await atRest(system, redis);
    const times = await churn(system, COUNT);
    const after = await atRest(system, redis);
    redis.close();
    assert.equal(times.length, COUNT);
    t.diagnostic(JSON.stringify({ before, after }));
    assert.deepEqual([after.processes, after.redis_keys], [before.processes, before.redis_keys]);
    // A few may come and go, as of requests for health; one for each session would be a leak.
    const grown = after.descriptors - before.descriptors;
    assert.ok(grown < Math.max(6, COUNT / 2), `${grown} more open descriptors`);
    report(t, times, { before, after });
  });
});

/** Seconds from POST to the answer, and to the first prediction, of each session. */
async function churn(system, count) {
  const args = [join(root, 'e2e/support/aiortc_churn.py'), system.url, 'webrtc-detect', String(count)];
  let times;
  await withClient(python, args, {}, async (client) => {
    const exit = await client.ended(20 + count * 12);
    assert.equal(exit.code, 0, 'each session succeeds');
    const lines = client.log.split('\n').filter((line) => line.includes('"answered"'));
    times = lines.map((line) => JSON.parse(line));
  });
  return times;
}

/** What the system holds once all that a session leaves for a moment is gone. */
async function atRest(system, redis) {
  let last;
  const same = async () => {
    const now = await holdings(system, redis);
    const settled = JSON.stringify(now) === JSON.stringify(last) && (await Promise.all(system.udpPorts.map(isUdpPortFree))).every(Boolean);
    last = now;
    if (!settled) await new Promise((resolve) => setTimeout(resolve, 1500));
    return settled;
  };
  await until('the system comes to rest, with all its UDP ports free', 30, same);
  return last;
}

async function holdings(system, redis) {
  const processes = system.program.processes();
  const services = processes.filter(({ command }) => /signaling|pipeline-launcher (up|serve)/.test(command));
  const descriptors = services.map(({ pid }) => readdirSync(`/proc/${pid}/fd`).length);
  return {
    processes: processes.length,
    descriptors: descriptors.reduce((sum, one) => sum + one, 0),
    redis_keys: (await redis.text('KEYS', '*')).length,
  };
}

/** Prints medians and 95th percentiles; a run of 100 or more goes to bench/results. */
function report(t, times, holdings) {
  const of = (name) => ({ p50_ms: quantile(times, name, 0.5), p95_ms: quantile(times, name, 0.95) });
  const result = {
    sessions: times.length,
    post_to_201: of('answered'),
    post_to_first_prediction: of('predicted'),
    load_average: loadavg().map((one) => Math.round(one * 10) / 10),
    build: process.env.SIGHTLINE_BIN?.includes('debug') ? 'debug' : 'release',
    processor: /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1],
    holdings,
  };
  t.diagnostic(JSON.stringify(result));
  if (times.length >= 100) writeFileSync(join(root, 'bench/results/whip.json'), `${JSON.stringify(result, undefined, 2)}\n`);
}

function quantile(times, name, share) {
  const sorted = times.map((one) => one[name]).sort((a, b) => a - b);
  return Math.round(sorted[Math.ceil(share * sorted.length) - 1] * 1000);
}
