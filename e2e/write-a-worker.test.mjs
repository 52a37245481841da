// The worker that docs/workers.md shows, taken out of the page, serves a session as our own do.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { agree, eachFrameOnce } from './support/boxes.mjs';
import { Visit, withBrowser } from './support/browser.mjs';
import { findColours } from './support/colours.mjs';
import { Api } from './support/rest.mjs';
import { withServices } from './support/services.mjs';
import { root } from './support/system.mjs';
import { FrameTap } from './support/tap.mjs';
import { python, works } from './support/tools.mjs';
import { until } from './support/wait.mjs';

test('the worker of docs/workers.md serves a session', { timeout: 120_000 }, async (t) => {
  if (!works(t, 'Python lacks packages: run scripts/test.sh e2e once', python, '-c', 'import redis, PIL, numpy, onnxruntime')) return;
  const folder = mkdtempSync(join(tmpdir(), 'sightline-worker-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  await withServices(async (services) => {
    const signaling = await services.signaling('a');
    await services.launcher('one');
    await until('only a worker is missing', 20, async () => {
      const reasons = (await signaling.readiness())?.reasons ?? [];
      return reasons.length === 1 && reasons[0].id === 'no-worker';
    });
    const program = extract(folder);
    const model = [join(root, 'models/blobs.onnx'), join(root, 'models/blobs.txt')];
    const start = () => services.run(python, program, services.redis.tcpUrl, ...model);
    const worker = start();
    await signaling.ready();
    const { workers } = await new Api(signaling).get('workers');
    assert.ok(workers.length === 1 && workers[0].name.endsWith(`-${worker.pid}`), JSON.stringify(workers));

    await withBrowser({}, async (context) => {
      const tap = await FrameTap.open(services.redis.socket);
      const visit = await Visit.open(context, signaling, 'source=test&autostart=1');
      await visit.reaches('live', 15);
      const predictions = await visit.boxes(30, 20);
      eachFrameOnce(predictions);
      assert.equal(await visit.text('worker'), workers[0].name);
      await visit.stop();
      await tap.close();
      agree(predictions, await findColours(visit.page, tap.frames));
    });

    await services.inRedis(async (redis) => {
      await leavesNothing(redis);
      await refusesWhatIsWrong(redis);
      // Redis loses everything: the group and the key are made again.
      await redis.text('FLUSHALL');
      await redis.text('XADD', 'images', '*', 'participantId', 'x', 'timestamp', '1', 'img', 'not a picture');
      await until('it works on', 10, async () => (await redis.text('XLEN', 'images:dead')) === 1);
      await services.alive(workers[0].name);
    });

    worker.kill('SIGKILL');
    await until('its end is noticed', 20, async () => (await signaling.readiness())?.status === 503);
    const next = start();
    await signaling.ready();
    next.kill('SIGKILL');
    await next.ended(5);
  });
});

/** Writes the page's files; the path of the worker. */
function extract(folder) {
  const page = readFileSync(join(root, 'docs/workers.md'), 'utf8');
  for (const [, name, text] of page.matchAll(/<!-- file: (\S+) -->\n```python\n(.*?)```/gs)) writeFileSync(join(folder, name), text);
  return join(folder, 'worker.py');
}

async function leavesNothing(redis) {
  await until('every frame is answered', 10, async () => (await redis.text('XLEN', 'images')) === 0);
  const [pending] = await redis.text('XPENDING', 'images', 'cg:images');
  assert.equal(pending, 0);
  assert.equal(await redis.text('EXISTS', 'images:dead'), 0);
}

async function refusesWhatIsWrong(redis) {
  const before = await redis.text('XLEN', 'predictions');
  const add = (...fields) => redis.text('XADD', 'images', '*', 'participantId', 'x', 'timestamp', '1', ...fields);
  await add('img', 'too late', 'expires', '1');
  const unreadable = await add('img', 'not a picture');
  const empty = await add();
  await add('img', 'too late', 'expires', '1');
  const letters = await until('two dead letters', 10, async () => {
    const all = await redis.text('XRANGE', 'images:dead', '-', '+');
    return all.length === 2 && all.map(([, fields]) => Object.fromEntries(pairs(fields)));
  });
  assert.deepEqual(letters.map(({ id }) => id), [unreadable, empty]);
  const sha256 = createHash('sha256').update('not a picture').digest('hex');
  assert.deepEqual([letters[0].session, letters[0].size, letters[0].sha256], ['x', '13', sha256]);

  // A consumer that read a frame and died.
  const abandoned = await takenByAnother(redis, add);
  await until('it is reclaimed', 10, async () => (await redis.text('XLEN', 'images:dead')) === 3);
  const [[, last]] = await redis.text('XREVRANGE', 'images:dead', '+', '-', 'COUNT', '1');
  assert.equal(Object.fromEntries(pairs(last)).id, abandoned);
  await until('all are gone', 5, async () => (await redis.text('XLEN', 'images')) === 0);
  assert.equal(await redis.text('XLEN', 'predictions'), before, 'nothing was answered');
}

/** In one transaction, because the worker waits for the frame too. */
async function takenByAnother(redis, add) {
  const queued = [redis.text('MULTI'), add('img', 'x')];
  queued.push(redis.text('XREADGROUP', 'GROUP', 'cg:images', 'dead', 'COUNT', '1', 'STREAMS', 'images', '>'));
  await Promise.all(queued);
  const [id, [[, [[read]]]]] = await redis.text('EXEC');
  assert.equal(read, id);
  return id;
}

function pairs(fields) {
  return Array.from({ length: fields.length / 2 }, (_, i) => fields.slice(2 * i, 2 * i + 2));
}
