// Processes that are killed while a session is live: what survives, what comes back, and that nothing is left over.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { withSystem, withUnreadySystem } from './support/system.mjs';
import { until } from './support/wait.mjs';

const BUILT_IN = { SIGHTLINE_MODEL: 'blobs' };
const LIVE = 'source=test&autostart=1';

function kill(processes) {
  assert.equal(processes.length, 1, `one process to kill: ${processes.map(({ command }) => command).join('; ')}`);
  process.kill(processes[0].pid, 'SIGKILL');
}

test('killed workers: the session stays, new workers come', { timeout: 90_000 }, () =>
  withSystem(BUILT_IN, (system) =>
    withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, LIVE);
      await visit.boxes(10, 15);
      const workers = workersIn(system.log);
      assert.equal(workers.length, 2);

      process.kill(workers[0], 'SIGKILL');
      await visit.boxes(20, 5);
      await until('a new worker in place of the killed one', 10, () => workersIn(system.log).length === 3);

      for (const pid of workersIn(system.log).slice(1)) process.kill(pid, 'SIGKILL');
      await until('two new workers', 10, () => workersIn(system.log).length === 5);
      await visit.boxes(20, 5);
      assert.equal((await visit.state()).name, 'live');
      await visit.stop();
    }),
  ),
);

/** Process ids of all workers that ever were, in the order they became ready. */
function workersIn(log) {
  const plain = log.replaceAll(/\u001b\[[\d;]*m/g, '');
  return [...plain.matchAll(/worker ready .*?pid=(\d+)/g)].map(([, pid]) => Number(pid));
}

test('killed Redis: boxes come again by themselves', { timeout: 90_000 }, () =>
  withSystem(BUILT_IN, (system) =>
    withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, LIVE);
      await visit.boxes(10, 15);
      kill(system.program.find(/redis-server/));
      await visit.boxes(20, 10);
      await until('GET /readyz says 200 again', 10, async () => (await system.readiness())?.status === 200);
      await visit.stop();
    }),
  ),
);

test('killed signaling: the page says so, and the system ends with a message', { timeout: 90_000 }, () =>
  withUnreadySystem(BUILT_IN, async (system) => {
    await system.ready();
    await withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, LIVE);
      await visit.boxes(10, 15);
      kill(system.program.find(/\/signaling$/));
      const { cause } = await visit.reaches('reconnecting', 3);
      assert.equal(cause.id, 'server-gone');
      assert.match(await visit.error(), /The connection to the server was lost\.\s*Check that the server runs/);
      const exit = await system.program.ended(10);
      assert.equal(exit.signal, null);
      assert.notEqual(exit.code, 0);
      assert.match(system.log, /signaling ended \(signal: 9 \(SIGKILL\)\)/);
      await system.nothingLeft(1);
    });
  }),
);

test('killed launcher: nothing is left after 5 s', { timeout: 90_000 }, () =>
  withUnreadySystem(BUILT_IN, async (system) => {
    await system.ready();
    await withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, LIVE);
      await visit.boxes(10, 15);
      // Workers, session, spare, signaling and Redis are all known before their parent dies.
      assert.ok(system.program.processes().length >= 6);
      system.program.kill('SIGKILL');
      await system.nothingLeft(5);
      await until('the page says something', 3, () => visit.error());
    });
  }),
);
