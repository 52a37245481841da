// What can go wrong, as a person meets it: each is said in words, with what to do next.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { picture } from './support/data.mjs';
import { Relay } from './support/relay.mjs';
import { withSystem } from './support/system.mjs';
import { until } from './support/wait.mjs';

const POOL = { SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '1' };

async function fails(visit, id, words, seconds = 15) {
  const { problem } = await visit.reaches('failed', seconds);
  assert.equal(problem.id, id);
  assert.match(await visit.error(), words);
  await visit.page.locator('.seen').screenshot({ path: picture(`state-${id}.png`) });
}

test('no camera, a refused camera, an insecure origin', { timeout: 120_000 }, () =>
  withSystem(POOL, async (system) => {
    await withBrowser({ cameras: 0 }, async (context) => {
      const visit = await Visit.open(context, system, 'source=camera&autostart=1');
      await fails(visit, 'no-camera', /No camera was found\.\s*Connect one and press Start/);
    });
    await withBrowser({ refuse: true }, async (context) => {
      const visit = await Visit.open(context, system, 'source=camera&autostart=1');
      await fails(visit, 'camera-refused', /Allow the camera for this page/);
    });
    await withBrowser({ flags: ['--host-resolver-rules=MAP sightline.test 127.0.0.1'] }, async (context) => {
      const elsewhere = { url: system.url.replace('127.0.0.1', 'sightline.test') };
      const visit = await Visit.open(context, elsewhere, 'source=camera&autostart=1');
      await fails(visit, 'insecure-origin', /Open this page by https/);
    });
  }),
);

test('no workers', { timeout: 60_000 }, () =>
  withSystem({ ...POOL, SIGHTLINE_WORKERS: '0' }, (system) =>
    withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, 'source=test&pipeline=webrtc-detect&autostart=1');
      await fails(visit, 'no-worker', /No inference worker is running.*\s*Start a worker/);
    }),
  ),
);

test('a pipeline that fails, and a server that goes and comes back', { timeout: 120_000 }, () =>
  withSystem(POOL, (system) =>
    withBrowser({}, async (context) => {
      const relay = await Relay.to(system.port);
      const visit = await Visit.open(context, relay, 'source=test&autostart=1');
      await visit.boxes(3, 15);
      const pid = /session started .*pid=(\d+)/.exec(system.log)?.[1];
      process.kill(Number(pid), 'SIGKILL');
      await fails(visit, 'session-failed', /The session failed on the server\.\s*Press Start to try again/);

      await visit.start();
      await visit.boxes(3, 15);
      await relay.close();
      await visit.reaches('reconnecting', 10);
      assert.match(await visit.text('status'), /Connection lost\. Trying again in \d+ s\./);
      assert.match(await visit.error(), /connection to the server was lost/);
      await visit.page.locator('.seen').screenshot({ path: picture('state-reconnecting.png') });
      await relay.open();
      await until('the page is live again by itself', 40, async () => (await visit.state()).name === 'live');
      await visit.boxes(3, 20);
      await visit.stop();
      await relay.close();
    }),
  ),
);
