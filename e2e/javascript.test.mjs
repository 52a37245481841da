// The JavaScript client: the example page of the documentation, and what a page of others may do with it.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { withBrowser } from './support/browser.mjs';
import { numberedCamera } from './support/numbered.mjs';
import { root, withSystem } from './support/system.mjs';
import { until } from './support/wait.mjs';
import { withWhipPage } from './support/whip-page.mjs';

const POOL = { SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '1', SIGHTLINE_ORIGINS: '*' };

async function withNumberedCamera(use) {
  const folder = mkdtempSync(join(tmpdir(), 'sightline-camera-'));
  try {
    const camera = join(folder, 'numbered.y4m');
    numberedCamera(camera);
    await withSystem(POOL, (system) => withBrowser({ camera }, (context) => use(context, system)));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('the example page draws boxes', { timeout: 60_000 }, () =>
  withNumberedCamera(async (context, system) => {
    const lines = (name) => readFileSync(join(root, 'ui/public', name), 'utf8').trimEnd().split('\n').length;
    assert.ok(lines('example.html') + lines('example.js') <= 30, '30 lines');
    const page = await context.newPage();
    await page.goto(`${system.url}/example.html`);
    await until('the page says that it is live', 20, async () => (await page.locator('output').innerText()) === 'live');
    await until('lime lines are drawn', 20, () =>
      page.evaluate(() => {
        const canvas = document.querySelector('canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return data.some((value, i) => i % 4 === 1 && value > 200 && data[i - 1] < 50 && data[i + 2] > 100);
      }),
    );
  }),
);

test('a page of another origin imports the client from the server', { timeout: 60_000 }, () =>
  withNumberedCamera((context, system) =>
    withWhipPage(async (address) => {
      const page = await context.newPage();
      await page.goto(address);
      const label = await page.evaluate(async (server) => {
        const { SightlineSession } = await import(`${server}/sightline.js`);
        const source = await navigator.mediaDevices.getUserMedia({ video: true });
        const session = new SightlineSession(server, { source });
        const found = new Promise((resolve) => session.on('detections', ({ detail }) => detail.detections.length > 0 && resolve(detail.detections[0].label)));
        session.start();
        return found.finally(() => session.stop());
      }, system.url);
      assert.equal(label, 'red');
    }),
  ),
);

test('detections name their frame, and a session says why it failed', { timeout: 60_000 }, () =>
  withNumberedCamera(async (context, system) => {
    const page = await context.newPage();
    await page.goto(`${system.url}/example.html`);
    const heard = await page.evaluate(async () => {
      const { SightlineSession } = await import('./sightline.js');
      const source = await navigator.mediaDevices.getUserMedia({ video: true });
      const video = Object.assign(document.querySelector('video'), { srcObject: source });
      const seen = new Set();
      const watch = () => video.requestVideoFrameCallback((_, { mediaTime }) => (seen.add(mediaTime.toFixed(3)), watch()));
      watch();
      const session = new SightlineSession(location.origin, { source, video });
      const states = [];
      session.addEventListener('state', ({ detail }) => states.push(detail.name));
      const found = [];
      const enough = new Promise((resolve) => session.on('detections', ({ detail }) => found.push(detail) > 120 && resolve()));
      session.start();
      await enough;
      session.stop();
      const named = found.slice(-60).filter(({ mediaTime }) => mediaTime !== undefined);

      const wrong = new SightlineSession(location.origin, { source, pipeline: 'nope' });
      const failed = new Promise((resolve) => wrong.on('state', ({ detail }) => detail.name === 'failed' && resolve(detail.problem.id)));
      wrong.start();
      return {
        states,
        named: named.length,
        seen: named.filter(({ mediaTime }) => seen.has(mediaTime.toFixed(3))).length,
        last: found.at(-1),
        why: await failed,
        camera: source.getVideoTracks()[0].readyState,
      };
    });
    assert.deepEqual([...new Set(heard.states)], ['asking', 'connecting', 'live', 'idle']);
    assert.ok(heard.named > 50 && heard.seen === heard.named, `${heard.named} of 60 name a frame, ${heard.seen} one that was shown`);
    assert.equal(heard.last.detections[0].label, 'red');
    assert.equal(heard.last.model, 'blobs');
    assert.ok(heard.last.latency > 0);
    assert.equal(heard.why, 'unknown-pipeline');
    assert.equal(heard.camera, 'live', 'the camera stays the caller’s');
  }),
);
