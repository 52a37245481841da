// A page of v1 is served by our services.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withBrowser } from './support/browser.mjs';
import { withSystem } from './support/system.mjs';
import { isServedV1, openV1Page } from './support/v1-page.mjs';
import { until } from './support/wait.mjs';

test('a client of v1 gets predictions, and no message that it does not know', { timeout: 90_000 }, async () => {
  await withSystem({ SIGHTLINE_MODEL: 'blobs' }, (system) =>
    withBrowser({}, async (context) => {
      const page = await openV1Page(context, system);
      await isServedV1(page, 'red');
      for (const path of ['/signaling', '/ws']) await errorsAreTexts(page, path);

      const before = system.pipelines().length;
      await page.close();
      await until('the session process is gone', 3, () => system.pipelines().length < before);
    }),
  );
});

/** What cannot be done is said in words, and the connection stays: every tenant of v1 may join on it. */
async function errorsAreTexts(page, path) {
  const answers = await page.evaluate(async (at) => {
    const socket = new WebSocket(`ws://${location.host}${at}`);
    const next = () => new Promise((resolve) => socket.addEventListener('message', ({ data }) => resolve(JSON.parse(data)), { once: true }));
    const ask = async (type, data) => {
      socket.send(JSON.stringify({ type, data }));
      return next();
    };
    await next();
    const all = [
      await ask('SdpOfferAnswer', { sdp: 'v=0' }),
      await ask('Join', { tenantId: 'nobody' }),
      await ask('Join', { tenantId: 'tenant5' }),
      await ask('SdpOfferAnswer', { sdp: 'no SDP' }),
    ];
    socket.close();
    return all;
  }, path);
  assert.deepEqual(answers.map(({ type }) => type), ['Error', 'JoinError', 'SdpOffer', 'Error']);
  for (const { data } of answers) assert.equal(typeof data, 'string');
  assert.equal(answers[1].data, 'no tenant has the id `nobody`');
}
