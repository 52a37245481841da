// Two signaling services on one Redis: each has its own sessions, whatever becomes of the other.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { eachPublishedOnce, hear } from './support/published.mjs';
import { Api } from './support/rest.mjs';
import { withServices } from './support/services.mjs';
import { hasInventa } from './support/tools.mjs';
import { heard, isServedV1, openV1Page } from './support/v1-page.mjs';
import { sleep, until } from './support/wait.mjs';

test('a killed replica takes its own sessions with it, and no others', { timeout: 120_000 }, () =>
  withServices(async (services) => {
    const [a, b] = [await services.signaling('a'), await services.signaling('b')];
    await services.launcher('one', { SIGHTLINE_WORKERS: '1' });
    await services.alive('svc:mb:one', 'svc:inf:one-0');
    await Promise.all([a.ready(), b.ready()]);
    await withBrowser({}, async (context) => {
      const leaving = await Visit.open(context, a, 'source=test&autostart=1');
      await leaving.boxes(5, 20);
      const staying = await Visit.open(context, b, 'source=test&autostart=1');
      await staying.boxes(5, 20);
      const [[ofA], [ofB]] = await Promise.all([a, b].map(idsOf));
      assert.ok(ofA !== ofB && (await idsOf(a)).length === 1, 'each lists its own session');
      assert.equal((await fetch(new Api(b).url(`sessions/${ofA}`), { method: 'DELETE' })).status, 404);

      a.program.kill('SIGKILL');
      await leaving.reaches('reconnecting', 5);
      await staying.page.bringToFront();
      await staying.boxes(10, 5);
      await services.inRedis((redis) =>
        until('the launcher has ended the sessions of the dead', 20, async () => (await redis.text('HGET', 'info:svc:mb:one', 'sessions')) === '1'),
      );
      await staying.boxes(10, 5);

      const again = await services.signaling('a', { SIGHTLINE_PORT: String(a.port) });
      again.port = a.port;
      await leaving.page.bringToFront();
      await leaving.boxes(5, 20);
      await staying.stop();
      await leaving.stop();
      assert.equal((await new Api(b).session(ofB)).state, 'COMPLETED');
    });
  }),
);

test("with two replicas v1's predictions come once, and its bridge's words arrive", { timeout: 120_000 }, async (t) => {
  if (!hasInventa(t)) return;
  await withServices(async (services) => {
    const [a, b] = [await services.signaling('a'), await services.signaling('b')];
    services.python('v1_bridge.py', 'old');
    services.python('v1_worker.py', 'old');
    await services.alive('svc:mb:old', 'svc:inf:old');
    await Promise.all([a.ready(), b.ready()]);
    const published = hear(services);
    await withBrowser({}, async (context) => {
      const pages = [];
      for (const replica of [a, b]) {
        pages.push(await openV1Page(context, replica));
        await isServedV1(pages.at(-1), 'v1-red');
      }
      const ids = await Promise.all([a, b].map(async (replica) => (await idsOf(replica))[0]));
      await eachPublishedOnce(services, published, ids);

      await endsByTheBridge(pages[1]);
      assert.equal((await new Api(b).session(ids[1])).state, 'COMPLETED');
      assert.equal((await new Api(a).session(ids[0])).state, 'RUNNING');

      b.program.kill('SIGKILL');
      await b.program.ended(5);
      // What it had read and not published is lost with it.
      await sleep(500);
      await eachPublishedOnce(services, published, [ids[0]]);
      await endsByTheBridge(pages[0]);
    });
    published.kill('SIGKILL');
    await published.ended(5);
  });
});

/** The page stays and its video ends, so that only the bridge can tell. */
async function endsByTheBridge(page) {
  await page.evaluate(() => window.peer.close());
  const last = await until('the page is told of the end', 15, async () => {
    const message = (await heard(page)).at(-1);
    return message.type === 'Error' && message;
  });
  assert.equal(last.data, 'the session has ended');
}

async function idsOf(replica) {
  return (await new Api(replica).get('sessions')).sessions.map(({ id }) => id);
}
