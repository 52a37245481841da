// A page that stays open: neither its heap nor its document grows. SIGHTLINE_SOAK_MINUTES makes it longer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { withSystem } from './support/system.mjs';
import { sleep } from './support/wait.mjs';

const MINUTES = Number(process.env.SIGHTLINE_SOAK_MINUTES ?? 0.5);
/** After so long all that is kept has its size: the log, the chart, the pictures. */
const SETTLED_MS = 65_000;

test(`the page stays as big as it is for ${MINUTES} minutes`, { timeout: MINUTES * 60_000 + 180_000 }, (t) =>
  withSystem({ SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '1' }, (system) =>
    withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, 'source=test&autostart=1');
      await visit.boxes(10, 20);
      const session = await context.newCDPSession(visit.page);
      await session.send('Performance.enable');
      await sleep(SETTLED_MS);
      const before = await measure(session, visit.page);
      await sleep(MINUTES * 60_000);
      const after = await measure(session, visit.page);
      t.diagnostic(`before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`);
      await visit.boxes(3, 10);
      assert.ok(after.nodes <= before.nodes + 50, 'DOM nodes');
      assert.ok(after.listeners <= before.listeners + 10, 'listeners');
      assert.ok(after.heap <= before.heap + 1.5e6, 'heap in bytes');
    }),
  ),
);

/** After a full collection, without what is kept up to a limit: predictions for scripts and downloads, lines of the log. */
async function measure(session, page) {
  await page.evaluate(() => {
    window.sightline.predictions.length = 0;
    document.querySelector('[data-testid=log]').replaceChildren();
  });
  await session.send('HeapProfiler.collectGarbage');
  const { metrics } = await session.send('Performance.getMetrics');
  const { Nodes: nodes, JSEventListeners: listeners, JSHeapUsedSize: heap } = Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
  return { nodes, listeners, heap };
}
