// The whole system on a real cluster, with shards, and on a master that a sentinel replaces: what moves and dies, and that
// boxes come again by themselves.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { Cluster, Watched } from './support/several.mjs';
import { withSystem } from './support/system.mjs';
import { until } from './support/wait.mjs';

const BUILT_IN = { SIGHTLINE_MODEL: 'blobs' };
const LIVE = 'source=test&autostart=1';
const SHARDS = 6;
/** A failover takes some four seconds here. */
const FAILOVER = 25;

test('on a cluster boxes come while slots move, and again after a node died', { timeout: 180_000 }, async (t) => {
  const cluster = await Cluster.start();
  t.after(() => cluster.stop());
  await withSystem({ ...BUILT_IN, REDIS_URL: cluster.url, SIGHTLINE_SHARDS: String(SHARDS) }, (system) =>
    withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, LIVE);
      await visit.boxes(20, 15);
      const shard = await usedShard(cluster);

      for (const key of [shard, 'predictions']) {
        const before = await cluster.owner(key);
        await cluster.moveSlot(key);
        assert.notEqual(await cluster.owner(key), before, `${key} has moved`);
        await visit.boxes(20, 10);
      }

      const dying = await cluster.owner(shard);
      await dying.kill();
      await boxesAgain(t, visit);
      await until('GET /readyz says 200', FAILOVER, async () => (await system.readiness())?.status === 200);
      assert.equal((await visit.state()).name, 'live');
      await visit.stop();

      const again = await Visit.open(context, system, LIVE);
      await again.boxes(20, 15);
      await again.stop();
    }),
  );
});

async function boxesAgain(t, visit) {
  const killed = Date.now();
  await visit.boxes(20, FAILOVER);
  t.diagnostic(`20 pictures with boxes within ${Date.now() - killed} ms after the kill`);
}

/** The shard that has had frames; it is one, and not the stream for those who know of no shards. */
async function usedShard(cluster) {
  const used = [];
  for (const key of ['images', ...Array.from({ length: SHARDS }, (_, number) => `images:{${number}}`)]) {
    const info = await (await cluster.owner(key)).text('XINFO', 'STREAM', key);
    if (info[info.indexOf('entries-added') + 1] > 0) used.push(key);
  }
  assert.equal(used.length, 1, used.join());
  assert.match(used[0], /^images:\{\d\}$/);
  return used[0];
}

test('with a sentinel boxes come again after the master died', { timeout: 120_000 }, async (t) => {
  const servers = await Watched.start();
  t.after(() => servers.stop());
  await withSystem({ ...BUILT_IN, REDIS_URL: servers.url }, (system) =>
    withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, LIVE);
      await visit.boxes(20, 15);
      await servers.master.kill();
      await boxesAgain(t, visit);
      await until('GET /readyz says 200', FAILOVER, async () => (await system.readiness())?.status === 200);
      assert.equal((await visit.state()).name, 'live');
      assert.ok((await servers.replica.text('XINFO', 'STREAM', 'predictions')).length > 0);
      await visit.stop();
    }),
  );
});
