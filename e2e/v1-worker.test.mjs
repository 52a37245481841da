// A worker that speaks only v1's stream fields serves sessions of ours.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { Program } from './support/processes.mjs';
import { Redis, RedisServer } from './support/redis.mjs';
import { root, withSystem } from './support/system.mjs';
import { python } from './support/tools.mjs';
import { until } from './support/wait.mjs';

const FIELDS = ['participantId', 'timestamp', 'pcount', 'res', 'p0'];

test('a worker of v1 serves the page', { timeout: 90_000 }, async (t) => {
  const redisServer = await RedisServer.start();
  t.after(() => redisServer.stop());
  const env = { REDIS_URL: redisServer.url, SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '0' };
  await withSystem(env, (system) =>
    withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, 'source=test');
      await visit.start();
      await visit.reaches('failed', 10);
      assert.match(await visit.error(), /No inference worker is running/);
      await withWorker(redisServer, async (worker) => {
        await until('the worker is registered', 10, () => worker.log.includes('registered'));
        // It is known from its first sign of life on.
        await until('its key is there', 5, () => isThere(redisServer, 'svc:inf:v1'));
        await visit.start();
        await visit.reaches('live', 10);
        for (const prediction of await visit.boxes(20, 15)) check(prediction);
        assert.deepEqual([await visit.text('worker'), await visit.text('model')], ['not told', 'not told']);
        await visit.stop();
      });
    }),
  );
});

async function withWorker(redisServer, use) {
  const script = join(root, 'e2e/support/v1_worker.py');
  const worker = new Program(python, [script, redisServer.url, 'v1']);
  try {
    await use(worker);
    worker.kill('SIGTERM');
    assert.equal((await worker.ended(5)).code, 0);
  } catch (error) {
    console.error(`--- log of the worker\n${worker.log}--- end of the log`);
    throw error;
  } finally {
    await worker.destroy();
  }
}

async function isThere(redisServer, key) {
  const redis = await Redis.connect(redisServer.socket);
  const count = await redis.text('EXISTS', key);
  redis.close();
  return count === 1;
}

/** Only what the worker wrote, and the red shape, which keeps to the upper third of the picture. */
function check(prediction) {
  assert.deepEqual(Object.keys(prediction).sort(), [...FIELDS].sort());
  const [label, score, corners] = prediction.p0.split('|');
  assert.deepEqual([label, score, prediction.pcount], ['v1-red', '0.9', '1']);
  const [left, top, right, bottom] = corners.split(';').map(Number);
  const height = Number(prediction.res);
  const size = [((right - left) * 480) / height, ((bottom - top) * 480) / height];
  assert.ok(Math.abs(size[0] - 130) < 10 && Math.abs(size[1] - 84) < 10, `130x84 in a picture 480 high, not ${size}`);
  assert.ok(bottom <= height / 3);
}
