// A media bridge of v1 takes the video of sessions of ours, with our workers and with v1's.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { told } from './support/clients.mjs';
import { withServices } from './support/services.mjs';
import { hasInventa } from './support/tools.mjs';
import { isServedV1, openV1Page } from './support/v1-page.mjs';
import { until } from './support/wait.mjs';

const WORKERS = {
  ours: {
    start: (services) => services.launcher('workers', { SIGHTLINE_MAX_SESSIONS: '0', SIGHTLINE_WORKERS: '1' }),
    name: 'svc:inf:workers-0',
    label: 'red',
  },
  "v1's": {
    start: (services) => services.python('v1_worker.py', 'old'),
    name: 'svc:inf:old',
    label: 'v1-red',
  },
};

for (const [whose, worker] of Object.entries(WORKERS)) {
  test(`a bridge of v1 and ${whose} worker serve both pages`, { timeout: 120_000 }, async (t) => {
    if (!hasInventa(t)) return;
    await withServices(async (services) => {
      const signaling = await services.signaling('a');
      const bridge = services.python('v1_bridge.py', 'old');
      await worker.start(services);
      await services.alive('svc:mb:old', worker.name);
      await signaling.ready();
      await withBrowser({}, async (context) => {
        const page = await openV1Page(context, signaling);
        await isServedV1(page, worker.label);
        assert.equal(told(bridge, 'name'), 's=porch | door!');
        await page.close();
        await until('the bridge has closed the session', 20, () => told(bridge, 'ice') === 'closed');

        const visit = await Visit.open(context, signaling, 'source=test&autostart=1');
        await visit.reaches('live', 15);
        for (const prediction of await visit.boxes(20, 20)) await foundRed(prediction, worker.label);
        assert.deepEqual(told(bridge, 'answered'), ['succeeded']);
        await visit.stop();
      });
    });
  });
}

/** The red shape keeps to the upper third of the picture. */
function foundRed(prediction, label) {
  const objects = Object.entries(prediction).filter(([name]) => /^p\d/.test(name));
  const [, red] = objects.find(([, value]) => value.startsWith(`${label}|`)) ?? [];
  assert.ok(red, `there is ${label} in ${JSON.stringify(prediction)}`);
  const [left, top, right, bottom] = red.split('|')[2].split(';').map((value) => (value * 480) / prediction.res);
  const size = [right - left, bottom - top];
  assert.ok(Math.abs(size[0] - 130) < 12 && Math.abs(size[1] - 84) < 12, `130x84 in a picture 480 high, not ${size}`);
  assert.ok(bottom <= 160);
}
