// Where the video can come from, and what can be taken away from a session.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { picture } from './support/data.mjs';
import { shapesVideo } from './support/shapes-video.mjs';
import { withSystem } from './support/system.mjs';
import { until } from './support/wait.mjs';

const POOL = { SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '1' };

async function withVideo(use) {
  const folder = mkdtempSync(join(tmpdir(), 'sightline-video-'));
  try {
    const video = join(folder, 'shapes.webm');
    shapesVideo(video);
    await use(video, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('a camera of several, the screen and a file', { timeout: 120_000 }, () =>
  withVideo((video) =>
    withSystem(POOL, (system) =>
      withBrowser({ cameras: 2 }, async (context) => {
        const visit = await Visit.open(context, system, 'source=camera');
        await visit.start();
        await visit.reaches('live', 15);
        const cameras = visit.page.getByTestId('camera');
        await until('both cameras have names', 5, async () => (await cameras.locator('option').count()) === 3);
        await visit.stop();
        await cameras.selectOption({ label: 'fake_device_1' });
        await visit.start();
        await visit.reaches('live', 15);
        const label = await visit.page.evaluate(() => document.querySelector('.stage video').srcObject.getVideoTracks()[0].label);
        assert.equal(label, 'fake_device_1');
        await visit.stop();

        await visit.page.getByTestId('source').selectOption('screen');
        await visit.start();
        await visit.reaches('live', 15);
        await until('predictions of the screen', 15, () => visit.count());
        await visit.stop();

        await visit.page.getByTestId('source').selectOption('file');
        await visit.start();
        const { problem } = await visit.reaches('failed', 5);
        assert.equal(problem.id, 'no-file');
        await visit.page.getByTestId('file').setInputFiles(video);
        await visit.start();
        await visit.boxes(10, 20);
        await visit.stop();
      }),
    ),
  ),
);

test('an address, to its end', { timeout: 90_000 }, () =>
  withVideo((video, folder) =>
    withSystem({ ...POOL, SIGHTLINE_WORKERS: '0', SIGHTLINE_MEDIA_FOLDER: folder }, (system) =>
      withBrowser({}, async (context) => {
        const visit = await Visit.open(context, system, 'source=address&pipeline=uri-detect');
        const uri = visit.page.locator('[data-param=uri]');
        await uri.fill('rtsp://127.0.0.1:9/nothing');
        await visit.start();
        const { problem } = await visit.reaches('failed', 30);
        assert.ok(problem.message.length > 10, JSON.stringify(problem));
        await uri.fill('ftp://example.org/video');
        await visit.start();
        assert.equal((await visit.reaches('failed', 10)).problem.id, 'invalid-param');
        await visit.page.screenshot({ path: picture('address.png') });

        await visit.page.getByTestId('params').locator('summary').click();
        await visit.page.locator('[data-param=fps]').fill('20');
        await uri.fill(`file://${video}`);
        await visit.start();
        await until('the end of the video', 30, async () => (await visit.state()).problem?.id === 'completed');
        assert.match(await visit.error(), /come to its end\.\s*Press Start to look at it again/);
        assert.equal(await visit.text('connection'), 'Finished');
        const found = await visit.predictions();
        assert.ok(found.length > 20 && found.every(({ model }) => model === 'blobs'), `${found.length} predictions`);
      }),
    ),
  ),
);

test('another session is watched, seen on the dashboard and stopped from there', { timeout: 120_000 }, () =>
  withSystem({ ...POOL, SIGHTLINE_WORKERS: '0' }, (system) =>
    withBrowser({}, async (context) => {
      const sender = await Visit.open(context, system, 'source=test&pipeline=webrtc-annotated&autostart=1');
      await sender.boxes(5, 20);
      const [{ participantId: session }] = await sender.predictions(-1);

      const viewer = await Visit.open(context, system, 'source=watch');
      await until('the session can be chosen', 10, () => viewer.page.getByTestId('session').locator(`option[value="${session}"]`).count());
      await viewer.start();
      await viewer.boxes(5, 20);
      const played = () => viewer.page.evaluate(() => document.querySelector('video.returned').getVideoPlaybackQuality().totalVideoFrames);
      await until('its picture moves', 30, async () => (await played()) > 10);
      await until('its latency is measured', 10, async () => /^\d+ ms$/.test(await viewer.text('latency')));
      await viewer.page.locator('.seen').screenshot({ path: picture('watch.png') });

      const operator = await context.newPage();
      await operator.goto(`${system.url}/#/dashboard`);
      const row = operator.getByTestId('sessions').locator('tr', { hasText: session.slice(0, 8) });
      await row.getByText('running').waitFor({ timeout: 10_000 });
      assert.equal(await operator.locator('table video:visible').count(), 0, 'no pictures unless they are asked for');
      await operator.getByTestId('pictures').check();
      await row.locator('video:visible').waitFor({ timeout: 15_000 });
      await until('its picture moves on the dashboard', 30, () => row.locator('video').evaluate((video) => video.getVideoPlaybackQuality().totalVideoFrames > 10));
      await operator.screenshot({ path: picture('dashboard.png') });
      await row.getByRole('button', { name: `Stop session ${session.slice(0, 8)}` }).click();
      await row.getByText('aborted').waitFor({ timeout: 10_000 });
      await until('sender and viewer know', 10, async () => {
        const [sent, seen] = [await sender.state(), await viewer.state()];
        return sent.name === 'failed' && seen.name === 'failed';
      });
    }),
  ),
);

test('filter, log, snapshot and downloads', { timeout: 60_000 }, () =>
  withSystem(POOL, (system) =>
    withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, 'source=test&autostart=1');
      await visit.boxes(10, 20);
      const log = await visit.text('log');
      for (const label of ['red', 'green', 'blue']) assert.match(log, new RegExp(label));

      const drawn = () =>
        visit.page.evaluate(() => {
          const canvas = document.querySelector('canvas.boxes');
          const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          return data.reduce((sum, value, i) => sum + (i % 4 === 3 && value > 0), 0);
        });
      const all = await until('boxes are drawn', 5, drawn);
      await visit.page.getByTestId('classes').getByLabel('red').uncheck();
      await visit.page.getByTestId('classes').getByLabel('green').uncheck();
      await until('fewer boxes are drawn', 5, async () => (await drawn()) < 0.7 * all);
      await visit.page.getByTestId('score').fill('100');
      await until('no box is drawn', 5, async () => (await drawn()) === 0);
      await visit.page.getByTestId('score').fill('0');

      const saved = async (id) => {
        const [download] = await Promise.all([visit.page.waitForEvent('download', { timeout: 5000 }), visit.page.getByTestId(id).click()]);
        return readFileSync(await download.path());
      };
      assert.equal((await saved('snapshot')).subarray(1, 4).toString(), 'PNG');
      const lines = (await saved('save-lines')).toString().trimEnd().split('\n').map((line) => JSON.parse(line));
      assert.ok(lines.length >= 10 && lines.every(({ participantId }) => participantId === lines[0].participantId));
      const coco = JSON.parse((await saved('save-coco')).toString());
      assert.deepEqual(coco.categories.map(({ name }) => name).sort(), ['blue', 'green', 'red']);
      assert.ok(coco.images.length >= 10 && coco.annotations.length >= coco.images.length);
      const [{ bbox }] = coco.annotations;
      assert.ok(bbox[2] > 30 && bbox[3] > 30, `a box in pixels: ${bbox}`);
    }),
  ),
);
