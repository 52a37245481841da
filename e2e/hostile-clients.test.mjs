// Clients that die, and clients that are not who they say they are.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { liveSession, told, withAiortc } from './support/clients.mjs';
import { Redis, RedisServer } from './support/redis.mjs';
import { Api } from './support/rest.mjs';
import { withSystem } from './support/system.mjs';
import { hasAiortc } from './support/tools.mjs';
import { until } from './support/wait.mjs';

/** Runs `use` with a system, a client of its Redis, and its API. */
async function withRedisToo(use) {
  const redisServer = await RedisServer.start();
  try {
    await withSystem({ REDIS_URL: redisServer.url, SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '1' }, async (system) => {
      const redis = await Redis.connect(redisServer.socket);
      try {
        await use(system, redis, new Api(system));
      } finally {
        redis.close();
      }
    });
  } finally {
    await redisServer.stop();
  }
}

test('a publisher that is killed is gone everywhere', { timeout: 120_000 }, async (t) => {
  if (!hasAiortc(t)) return;
  await withRedisToo(async (system, redis, api) => {
    const idle = system.pipelines().length;
    const publish = (pipeline, use) => withAiortc(['publish', `${system.url}/whip/${pipeline}`], use);
    await publish('webrtc-detect', (first) =>
      publish('webrtc-annotated', async (second) => {
        const ids = [];
        for (const pipeline of ['webrtc-detect', 'webrtc-annotated']) ids.push((await liveSession(system, pipeline)).id);
        await until('both give frames', 40, async () => {
          const sessions = await Promise.all(ids.map((id) => api.session(id)));
          return sessions.every(({ frames }) => frames > 5);
        });
        assert.equal((await redis.text('KEYS', 'video:*')).length, 1);
        for (const client of [first, second]) client.kill('SIGKILL');
        const deadline = Date.now() + 15_000;
        const left = () => (deadline - Date.now()) / 1000;
        for (const id of ids) await api.ended(id, left());
        await until('their keys are gone', left(), async () => (await redis.text('KEYS', 'video:*')).length === 0);
        await until('no frame waits', left(), async () => (await redis.text('XLEN', 'images')) === 0);
        await until('their processes are gone', left(), () => system.pipelines().length <= idle);
        for (const client of [first, second]) assert.equal((await fetch(told(client, 'location'))).status, 404);
      }),
    );
  });
});

test('a forged fingerprint gets no frame into Redis', { timeout: 90_000 }, async (t) => {
  if (!hasAiortc(t)) return;
  await withRedisToo(async (system, redis, api) => {
    await withAiortc(['publish', `${system.url}/whip/webrtc-detect`, '--forge'], async () => {
      const { id } = await liveSession(system, 'webrtc-detect');
      const ended = await api.ended(id, 40);
      assert.equal(ended.state, 'ERROR');
      assert.match(ended.last_error.message, /certificate is not the one that its SDP names/);
      assert.equal(ended.frames, 0);
    });
    const info = await redis.text('XINFO', 'STREAM', 'images');
    assert.equal(info[info.indexOf('entries-added') + 1], 0, 'entries that `images` has ever had');
  });
});
