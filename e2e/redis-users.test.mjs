// Redis lets each daemon do its own work, and nothing else: the users of docker/redis/users.acl.

import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Redis } from './support/redis.mjs';
import { Api } from './support/rest.mjs';
import { withServices } from './support/services.mjs';
import { root } from './support/system.mjs';
import { until } from './support/wait.mjs';

const USERS = join(root, 'docker/redis/users.acl');
const ROLES = ['signaling', 'bridge', 'worker'];

/** A camera that sees something red, and leaves the looking to a worker. */
const CAMERA = `
schema = 1
name = "camera"
kind = "source"
summary = "A red picture"
[pipeline]
launch = "videotestsrc is-live=true pattern=red ! video/x-raw,width=320,height=240,framerate=5/1 ! jpegenc ! redisstreamsink"
`;

test('daemons run as users with few rights, and each is denied what is another’s', { timeout: 120_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sightline-users-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'camera.toml'), CAMERA);
  copyFileSync(join(root, 'pipelines/yolox-worker.toml'), join(folder, 'yolox-worker.toml'));
  await withServices(async (services) => {
    const { port } = services.redis;
    const admin = await Redis.connect({ host: '127.0.0.1', port });
    t.after(() => admin.close());
    await admin.text('ACL', 'SETUSER', 'operator', 'on', '>OPERATOR', '~*', '&*', '+@all');
    await admin.text('AUTH', 'operator', 'OPERATOR');
    for (const line of readFileSync(USERS, 'utf8').trim().split('\n')) {
      const [, name, ...rules] = line.split(' ');
      assert.equal(await admin.text('ACL', 'SETUSER', name, 'reset', ...rules), 'OK', line);
    }
    const as = (role, more = {}) => ({
      REDIS_URL: `redis://${role}:${role.toUpperCase()}_PASSWORD@127.0.0.1:${port}`,
      SIGHTLINE_PIPELINES: folder,
      ...more,
    });
    const signaling = await services.signaling('a', as('signaling'));
    await services.launcher('l1', as('bridge'));
    await services.launcher('l2', as('worker', { SIGHTLINE_MAX_SESSIONS: '0', SIGHTLINE_WORKERS: '1-2' }));
    await signaling.ready();
    const api = new Api(signaling);
    const { id } = await api.started({ pipeline: 'camera' });
    await until('a worker finds something', 30, async () => (await api.session(id)).frames > 10);
    // What a worker of v1 leaves in the stream, signaling passes on.
    const { frames } = await api.session(id);
    const following = api.follow(id);
    await admin.text('XADD', 'predictions', '*', 'participantId', id, 'timestamp', '4000000000', 'pcount', '1', 'res', '240', 'p0', 'v1|0.9|1;2;3;4');
    await until('frames go on', 20, async () => (await api.session(id)).frames > frames + 10);
    assert.equal((await api.stop(id)).state, 'ABORTED');
    const { predictions } = await following;
    assert.ok(predictions.some(({ p0 }) => p0?.startsWith('red|')));
    const denied = await admin.text('ACL', 'LOG');
    assert.deepEqual(denied, [], 'nobody was denied what it needs');

    for (const role of ROLES) {
      const redis = await Redis.connect({ host: '127.0.0.1', port });
      await redis.text('AUTH', role, `${role.toUpperCase()}_PASSWORD`);
      for (const words of [...FOR_NOBODY, ...NOT_FOR[role]]) {
        await assert.rejects(redis.text(...words.split(' ')), /NOPERM/, `${role}: ${words}`);
      }
      redis.close();
    }
    const stranger = await Redis.connect({ host: '127.0.0.1', port });
    await assert.rejects(stranger.text('PING'), /NOAUTH/);
    stranger.close();
  });
});

const FOR_NOBODY = [
  'FLUSHALL', 'CONFIG GET *', 'CONFIG SET save 1', 'KEYS *', 'MONITOR', 'SAVE', 'SHUTDOWN', 'ACL LIST', 'CLIENT LIST', 'SCRIPT FLUSH',
  'EVAL return(1) 0', 'SET other 1', 'DEL other', 'PUBLISH other x', 'SUBSCRIBE other', 'REPLICAOF 127.0.0.1 1',
];

const NOT_FOR = {
  signaling: ['XADD images * a b', 'XREADGROUP GROUP cg:images x STREAMS images >', 'XREAD STREAMS video:x 0', 'SETEX svc:mb:x 5 1', 'SETEX svc:inf:x 5 1'],
  bridge: ['XREADGROUP GROUP cg:images x STREAMS images >', 'XADD predictions * a b', 'HSET TENANTS a b', 'HGETALL TENANTS', 'SETEX svc:sgn:x 5 1', 'SCAN 0', 'PUBLISH ch:svc:inf:x y'],
  worker: ['XREAD STREAMS video:x 0', 'XADD video:x * a b', 'HSET TENANTS a b', 'SETEX svc:sgn:x 5 1', 'DEL TENANTS', 'SCAN 0'],
};
