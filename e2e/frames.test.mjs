// Boxes and pictures belong together: proved by a camera whose pictures carry their number.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { cameraFile, decode, layoutOf, readNumbers, recordBlocks } from './support/barcode.mjs';
import { Visit, withBrowser } from './support/browser.mjs';
import { dataFiles, output } from './support/data.mjs';
import { framesApart, numberAt, numberedCamera, numberOfBox, recordDrawings } from './support/numbered.mjs';
import { hasFirefox, withFirefox } from './support/firefox.mjs';
import { shapesVideo } from './support/shapes-video.mjs';
import { FrameTap } from './support/tap.mjs';
import { withSystem } from './support/system.mjs';
import { until } from './support/wait.mjs';

const DRAWINGS = 150;
const proves = {
  exact: async (t, visit) => provesExact(t, await skewsOf(visit, 'exact')),
  live: async (t, visit) => provesLive(t, await skewsOf(visit, 'live')),
};

for (const view of ['exact', 'live']) {
  test(`the ${view} view tells the truth about frames`, { timeout: 120_000 }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'sightline-camera-'));
    try {
      const camera = join(folder, 'numbered.y4m');
      numberedCamera(camera);
      await withSystem({ SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '1' }, (system) =>
        withBrowser({ camera }, async (context) => {
          const visit = await Visit.open(context, system, `source=camera&view=${view}&autostart=1`);
          await proves[view](t, visit);
          await visit.stop();
        }),
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

test('the exact view tells the truth about a real video', { timeout: 120_000 }, async (t) => {
  const data = dataFiles(t, 'video/bikes.mp4', 'models/yolox_nano.onnx');
  if (!data) return;
  const size = { width: 640, height: 272 };
  const folder = mkdtempSync(join(tmpdir(), 'sightline-camera-'));
  try {
    const camera = join(folder, 'bikes.y4m');
    const frames = cameraFile(data[0], camera, { ...size, framesPerSecond: 25 });
    await withSystem({}, (system) =>
      withBrowser({ camera }, async (context) => {
        const tap = await FrameTap.open(system.redisSocket);
        const visit = await Visit.open(context, system, 'source=camera&autostart=1');
        await visit.boxes(30, 30);
        await visit.page.evaluate(recordBlocks, layoutOf(size));
        const drawings = await until(`${DRAWINGS} pictures`, 60, async () => {
          const all = await visit.page.evaluate(() => window.drawings);
          return all.length >= DRAWINGS && all;
        });
        await until('a picture with some objects', 15, async () => Number((await visit.predictions(-1))[0].pcount) >= 3);
        await visit.page.screenshot({ path: output('bikes-exact.png') });
        await visit.stop();
        await tap.close();
        const { numbers } = await readNumbers(visit.page, tap.frames, size);
        const skews = drawings.flatMap(({ timestamp, levels }) => {
          const [shown, found] = [decode(levels), numbers.get(String(timestamp))];
          return shown === undefined || found === undefined ? [] : [{ real: (shown - found + frames) % frames }];
        });
        assert.ok(skews.length > DRAWINGS / 2, `${skews.length} pictures can be read`);
        provesExact(t, skews);
      }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

for (const view of ['exact', 'live']) {
  test(`the ${view} view tells the truth about frames in Firefox`, { timeout: 120_000 }, async (t) => {
    if (!hasFirefox(t)) return;
    const folder = mkdtempSync(join(tmpdir(), 'sightline-video-'));
    try {
      const video = join(folder, 'numbered.webm');
      shapesVideo(video);
      await withSystem({ SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '1' }, (system) =>
        withFirefox(async (page) => {
          await page.goto(`${system.url}/?source=file&view=${view}`);
          const visit = new Visit(page);
          await (await page.waitForSelector('[data-testid=file]')).uploadFile(video);
          await page.click('[data-testid=start]');
          await visit.reaches('live', 20);
          await proves[view](t, visit);
        }),
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

/** By how many frames the pictures that a view draws are apart from their boxes, and by how many the page says. */
async function skewsOf(visit, view) {
  await visit.boxes(40, 30);
  await visit.page.evaluate(recordDrawings);
  const drawings = await until(`${DRAWINGS} drawings of the ${view} view`, 40, async () => {
    const all = await visit.page.evaluate(() => window.drawings);
    const wanted = all.filter((one) => one.view === view && one.square !== undefined);
    return wanted.length >= DRAWINGS && wanted;
  });
  const boxes = new Map((await visit.predictions()).map((one) => [Number(one.timestamp), numberOfBox(one)]));
  const skews = drawings.flatMap(({ timestamp, square, skew }) => {
    const number = boxes.get(timestamp);
    return number === undefined ? [] : [{ real: framesApart(numberAt(square), number), said: skew }];
  });
  assert.ok(skews.length > DRAWINGS / 2, `${skews.length} drawings with a box`);
  return skews;
}

/** In at least 95 % of the pictures that are shown, the boxes are those of that very frame. */
function provesExact(t, skews) {
  const right = skews.filter(({ real }) => real === 0).length;
  const words = `${right} of ${skews.length} pictures have their own boxes; off by ${counts(skews.map(({ real }) => real))}`;
  t.diagnostic(words);
  assert.ok(right >= 0.95 * skews.length, words);
}

/** What the page says of its skew is right to a frame. */
function provesLive(t, skews) {
  const right = skews.filter(({ real, said }) => said !== undefined && Math.abs(real - said) <= 1).length;
  const words = `${right} of ${skews.length} are told right to a frame; real skews ${counts(skews.map(({ real }) => real))}, errors ${counts(skews.map(({ real, said }) => said - real))}`;
  t.diagnostic(words);
  assert.ok(right >= 0.95 * skews.length, words);
}

/** "0: 140, 1: 3" */
function counts(values) {
  const found = new Map();
  for (const value of values) found.set(value, (found.get(value) ?? 0) + 1);
  return [...found].sort(([a], [b]) => a - b).map((pair) => pair.join(': ')).join(', ');
}
