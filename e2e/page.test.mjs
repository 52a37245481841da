// What a visitor may do wrong, and how they leave.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { withSystem } from './support/system.mjs';
import { isUdpPortFree, until } from './support/wait.mjs';

const BUILT_IN = { SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '1' };

test('a pipeline that does not exist, and a second try', { timeout: 60_000 }, () =>
  withSystem(BUILT_IN, (system) =>
    withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, 'source=test&pipeline=nope&autostart=1');
      const { problem } = await visit.reaches('failed', 10);
      assert.equal(problem.id, 'unknown-pipeline');
      assert.match(await visit.error(), /The server has no pipeline of this name\.\s*Choose another pipeline, then press Start/);
      await visit.page.getByTestId('pipeline').selectOption('webrtc-detect');
      await visit.start();
      await visit.boxes(5, 15);
      assert.equal(await visit.error(), '');
      await visit.stop();
    }),
  ),
);

test('a camera that the visitor refuses', { timeout: 60_000 }, () =>
  withSystem(BUILT_IN, (system) =>
    withBrowser({ refuse: true }, async (context) => {
      const visit = await Visit.open(context, system, 'source=camera');
      await visit.start();
      const { problem } = await visit.reaches('failed', 10);
      assert.equal(problem.id, 'camera-refused');
      assert.match(await visit.error(), /not allowed to use the camera\.\s*Allow the camera for this page.*Or choose the test picture/);
    }),
  ),
);

test('a closed tab ends its session, and only its own', { timeout: 60_000 }, () =>
  withSystem(BUILT_IN, (system) =>
    withBrowser({}, async (context) => {
      const idle = (await quiet(system)).length;
      const staying = await Visit.open(context, system, 'source=test&autostart=1');
      await staying.boxes(5, 15);
      const leaving = await Visit.open(context, system, 'source=test&autostart=1');
      await leaving.boxes(5, 15);
      assert.equal((await busyPorts(system)).length, 2, 'one UDP port for each session');
      await leaving.page.close();
      await until('one session process is left', 3, () => system.pipelines().length === idle + 1);
      assert.equal((await busyPorts(system)).length, 1, 'its UDP port is free');
      await staying.page.bringToFront();
      await staying.boxes(5, 5);
      await staying.page.close();
      await until('no session process is left', 3, () => system.pipelines().length === idle);
      assert.deepEqual(await busyPorts(system), []);
    }),
  ),
);

/** The pipelines' processes when nothing happens: a worker, and two ready for the next sessions. */
async function quiet(system) {
  return until('a worker and the spare processes', 10, () => {
    const pipelines = system.pipelines();
    return pipelines.length === 3 && pipelines;
  });
}

async function busyPorts(system) {
  const free = await Promise.all(system.udpPorts.map(isUdpPortFree));
  return system.udpPorts.filter((_, i) => !free[i]);
}
