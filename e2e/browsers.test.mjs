// Browsers as clients of WHIP and WHEP on a page of another origin; Firefox on our own page.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { isServed, liveSession } from './support/clients.mjs';
import { hasFirefox, withFirefox } from './support/firefox.mjs';
import { withSystem } from './support/system.mjs';
import { until } from './support/wait.mjs';
import { publish, seen, watch, withWhipPage } from './support/whip-page.mjs';

const POOL = { SIGHTLINE_ORIGINS: '*', SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '1' };
const LOCAL = { SIGHTLINE_ORIGINS: '*', SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '0' };

test('Chromium publishes by an npm client of WHIP, and plays the annotated picture', { timeout: 120_000 }, () =>
  withSystem(LOCAL, (system) =>
    withWhipPage((address) =>
      withBrowser({}, async (context) => {
        const publisher = await context.newPage();
        await publisher.goto(address);
        await publisher.evaluate(publish, `${system.url}/whip/webrtc-annotated`);
        const { id } = await liveSession(system, 'webrtc-annotated');
        const viewer = await context.newPage();
        await viewer.goto(address);
        const location = await viewer.evaluate(watch, `${system.url}/whep/${id}`);
        let found;
        await until("red and the lines of the blue shape's box are played", 30, async () => {
          found = await viewer.evaluate(seen);
          return found.frames > 10 && found.red > 3000 && found.drawn > 300;
        }).catch((error) => {
          throw new Error(`${error.message}: ${JSON.stringify(found)}`);
        });
        const deleted = await viewer.evaluate(async (viewing) => (await fetch(viewing, { method: 'DELETE' })).status, location);
        assert.equal(deleted, 200);
        await isServed(system, 'webrtc-annotated', () => publisher.evaluate(() => window.stopPublishing()));
      }),
    ),
  ),
);

test('Firefox gets boxes on our page, and publishes by WHIP', { timeout: 120_000 }, async (t) => {
  if (!hasFirefox(t)) return;
  await withSystem(POOL, (system) =>
    withWhipPage((address) =>
      withFirefox(async (page) => {
        await page.goto(`${system.url}/?source=test&autostart=1`);
        await page.waitForFunction(() => window.sightline, { timeout: 10_000 });
        const visit = new Visit(page);
        await visit.reaches('live', 20);
        await visit.boxes(5, 30);
        await page.goto(address);
        await page.evaluate(publish, `${system.url}/whip/webrtc-local`);
        await isServed(system, 'webrtc-local', () => page.evaluate(() => window.stopPublishing()));
      }),
    ),
  );
});
