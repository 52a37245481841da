// What a machine without camera and without downloads can show: the moving test picture and the built-in model.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agree, eachFrameOnce, objectsOf } from './support/boxes.mjs';
import { Visit, withBrowser } from './support/browser.mjs';
import { findColours } from './support/colours.mjs';
import { output } from './support/data.mjs';
import { Redis, RedisServer } from './support/redis.mjs';
import { withSystem } from './support/system.mjs';
import { FrameTap } from './support/tap.mjs';
import { until } from './support/wait.mjs';

const LABELS = ['blue', 'green', 'red'];

test('the built-in model finds the shapes of the test picture', { timeout: 90_000 }, async (t) => {
  const redisServer = await RedisServer.start();
  t.after(() => redisServer.stop());
  const env = { REDIS_URL: redisServer.url, SIGHTLINE_MODEL: 'blobs' };
  await withSystem(env, (system) =>
    withBrowser({}, async (context) => {
      const tap = await FrameTap.open(redisServer.socket);
      const visit = await Visit.open(context, system, 'source=test&autostart=1');
      await visit.reaches('live', 10);
      const predictions = await visit.boxes(25, 15);
      eachFrameOnce(predictions);
      assert.equal(await visit.text('model'), 'blobs');
      assert.match(await visit.text('worker'), /^svc:inf:/);
      await until('the page shows latency and rate', 5, async () => {
        const shown = `${await visit.text('latency')}, ${await visit.text('rate')}`;
        return /^\d+ ms, [\d.]+ \/s$/.test(shown);
      });
      await boxesAreDrawn(visit);
      await visit.page.screenshot({ path: output('test-picture.png') });
      await visit.stop();
      await tap.close();
      agree(predictions, await findColours(visit.page, tap.frames));
    }),
  );
});

/** Looks at the canvas over the video: there must be a line in the colour of each box. */
async function boxesAreDrawn(visit) {
  await until('boxes are drawn over the video', 5, () =>
    visit.page.evaluate(() => {
      const canvas = document.querySelector('sightline-app canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const colours = new Map();
      for (let at = 0; at < data.length; at += 4) {
        if (data[at + 3] !== 255) continue;
        const colour = `${data[at]},${data[at + 1]},${data[at + 2]}`;
        colours.set(colour, (colours.get(colour) ?? 0) + 1);
      }
      return [...colours.values()].filter((count) => count > 200).length >= 3;
    }),
  );
}

test('webrtc-local infers in the session: no worker, and no frame leaves it', { timeout: 90_000 }, async (t) => {
  const redisServer = await RedisServer.start();
  t.after(() => redisServer.stop());
  const env = { REDIS_URL: redisServer.url, SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '0' };
  await withSystem(env, (system) =>
    withBrowser({}, async (context) => {
      const tap = await FrameTap.open(redisServer.socket);
      const visit = await Visit.open(context, system, 'source=test&pipeline=webrtc-local&autostart=1');
      const predictions = await visit.boxes(25, 20);
      const labels = new Set(predictions.flatMap((one) => objectsOf(one, 1, 1).map(({ label }) => label)));
      assert.deepEqual([...labels].sort(), LABELS);
      const redis = await Redis.connect(redisServer.socket);
      assert.deepEqual(await redis.text('KEYS', 'svc:inf:*'), [], 'no worker is registered');
      assert.equal(await redis.text('XLEN', 'images'), 0, 'the stream `images` is empty');
      assert.equal(tap.frames.size, 0, 'nothing was ever written to it');
      redis.close();
      await visit.stop();
      await tap.close();
    }),
  );
});
