// Redis as it fails, and workers that die with a frame in their hands: nothing of ours ends, nothing comes twice.

import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { camera } from './support/camera.mjs';
import { Redis } from './support/redis.mjs';
import { Api } from './support/rest.mjs';
import { root, withSystem } from './support/system.mjs';
import { sleep, until } from './support/wait.mjs';

const GROUP = 'cg:images';
const CAMERA = camera(20);

/** Runs `use` with a system, two cameras in it that are followed, and a client of its Redis; then the cameras' ends. */
async function withCameras(use) {
  const folder = mkdtempSync(join(tmpdir(), 'sightline-pipelines-'));
  writeFileSync(join(folder, 'camera.toml'), CAMERA);
  copyFileSync(join(root, 'pipelines/yolox-worker.toml'), join(folder, 'yolox-worker.toml'));
  try {
    await withSystem({ SIGHTLINE_MODEL: 'blobs', SIGHTLINE_PIPELINES: folder }, async (system) => {
      const api = new Api(system);
      const ids = [];
      for (let i = 0; i < 2; i++) ids.push((await api.started({ pipeline: 'camera' })).id);
      const following = ids.map((id) => api.follow(id));
      await flowing(api, ids);
      const redis = await Redis.connect(system.redisSocket);
      try {
        await use({ system, api, ids, redis });
      } finally {
        redis.close();
      }
      for (const id of ids) await api.stop(id);
      for (const { predictions, end } of await Promise.all(following)) {
        assert.equal(end.state, 'ABORTED');
        const seqs = predictions.map(({ seq }) => Number(seq));
        assert.ok(seqs.length > 20, `${seqs.length} predictions`);
        for (let i = 1; i < seqs.length; i++) assert.ok(seqs[i] > seqs[i - 1], `${seqs[i]} after ${seqs[i - 1]}`);
      }
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Waits until predictions of each session come that did not before. */
async function flowing(api, ids) {
  const frames = async () => (await Promise.all(ids.map((id) => api.session(id)))).map((one) => one.frames);
  const before = await frames();
  await until('predictions of both cameras', 20, async () => (await frames()).every((now, i) => now > before[i] + 10));
}

/** Process ids of all that must outlive Redis's troubles. */
const ours = (system) => system.program.find(/pipeline-launcher|signaling/).map(({ pid }) => pid).sort();

/** Those that became ready so far, in that order: `{ name, pid }`. */
function workers(log) {
  const plain = log.replaceAll(/\u001b\[[\d;]*m/g, '');
  return [...plain.matchAll(/worker ready worker="?([^" ]+)"? pid=(\d+)/g)].map(([, name, pid]) => ({ name, pid: Number(pid) }));
}

test('a worker killed with a frame: it is given up, and nothing comes twice or late', { timeout: 90_000 }, () =>
  withCameras(async ({ system, api, ids, redis }) => {
    const [{ name, pid }] = workers(system.log);
    const pending = async (...consumer) => (await redis.text('XPENDING', 'images', GROUP, '-', '+', '100', ...consumer)).map(([id]) => id);
    const held = await until('a worker holds a frame', 20, async () => {
      process.kill(pid, 'SIGSTOP');
      const entries = await pending(`svc:inf:${name}`);
      if (entries.length === 0) process.kill(pid, 'SIGCONT');
      return entries.length > 0 && entries;
    });
    process.kill(pid, 'SIGKILL');
    await flowing(api, ids);
    await until('what it held is given up', 15, async () => {
      const now = new Set(await pending());
      return !held.some((id) => now.has(id));
    });
    await until('a new worker', 20, () => workers(system.log).length === 3);
  }),
);

test('a Redis that stops for five seconds: nothing ends, predictions go on', { timeout: 90_000 }, () =>
  withCameras(async ({ system, api, ids }) => {
    const before = ours(system);
    const [server] = system.program.find(/redis-server/);
    process.kill(server.pid, 'SIGSTOP');
    await sleep(5000);
    process.kill(server.pid, 'SIGCONT');
    await flowing(api, ids);
    assert.deepEqual(ours(system), before);
  }),
);

test('a Redis that is full of somebody else\'s: nothing ends, predictions go on', { timeout: 90_000 }, () =>
  withCameras(async ({ system, api, ids, redis }) => {
    const before = ours(system);
    const limit = 64 << 20;
    await redis.text('CONFIG', 'SET', 'maxmemory', String(limit));
    await redis.text('SETRANGE', 'foreign', String(limit), 'x');
    await assert.rejects(redis.text('SET', 'more', 'x'), /OOM/);
    await sleep(8000);
    await redis.text('DEL', 'foreign');
    await flowing(api, ids);
    assert.deepEqual(ours(system), before);
  }),
);
