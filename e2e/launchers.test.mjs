// Several launchers on one Redis: sessions are spread over them, and outlive them where they can.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { liveSession, withAiortc } from './support/clients.mjs';
import { Api } from './support/rest.mjs';
import { withServices } from './support/services.mjs';
import { hasAiortc } from './support/tools.mjs';
import { until } from './support/wait.mjs';

/** A camera that sees something red. */
const CAMERA = `
schema = 1
name = "camera"
kind = "source"
summary = "A red picture"
[restart]
policy = "on_failure"
[params.model]
type = "model"
target = "detect.model"
[pipeline]
launch = "videotestsrc is-live=true pattern=red ! video/x-raw,width=320,height=240,framerate=5/1 ! yoloxdetect name=detect ! redisstreamsink payload=detections"
`;

/** The same in words that ask for no second start. */
const ONCE = CAMERA.replace('"camera"', '"once"').replace('"on_failure"', '"never"');

test('killed and stopped launchers: cameras go on elsewhere, clients are told', { timeout: 180_000 }, async (t) => {
  if (!hasAiortc(t)) return;
  const folder = mkdtempSync(join(tmpdir(), 'sightline-pipelines-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'camera.toml'), CAMERA);
  writeFileSync(join(folder, 'once.toml'), ONCE);
  await withServices(async (services) => {
    const signaling = await services.signaling('a', { SIGHTLINE_WORKERS: '0' });
    const launcher = (id) => services.launcher(id, { SIGHTLINE_PIPELINES: `${folder}` });
    const first = await launcher('l1');
    const second = await launcher('l2');
    await services.alive('svc:mb:l1', 'svc:mb:l2');
    await signaling.ready();
    const api = new Api(signaling);
    const cameras = [await api.started({ pipeline: 'camera' }), await api.started({ pipeline: 'camera' })];
    assert.deepEqual(cameras.map((one) => one.launcher).toSorted(), ['svc:mb:l1', 'svc:mb:l2']);
    for (const { id } of cameras) await running(api, id, {});
    const once = await api.started({ pipeline: 'once' });
    assert.equal(once.launcher, 'svc:mb:l1', 'of two that have as much to do, the first by name');
    await running(api, once.id, {});

    const following = Promise.all(cameras.map(({ id }) => api.follow(id)));
    first.kill('SIGKILL');
    const moved = cameras.find((one) => one.launcher === 'svc:mb:l1');
    const again = await running(api, moved.id, { launcher: 'svc:mb:l2', restarts: 1 });
    assert.equal(again.last_error.id, 'no-launcher');
    assert.match(again.last_error.message, /`svc:mb:l1` .* is gone/);
    const over = await api.ended(once.id, 15);
    assert.deepEqual([over.state, over.restarts, over.last_error.id], ['ERROR', 0, 'no-launcher']);
    const stayed = await api.session(cameras.find((one) => one !== moved).id);
    assert.deepEqual([stayed.state, stayed.restarts], ['RUNNING', 0]);
    const next = await api.started({ pipeline: 'once' });
    assert.equal(next.launcher, 'svc:mb:l2', 'new sessions go to the one that lives');

    await launcher('l3');
    await services.alive('svc:mb:l3');
    await services.end(second);
    for (const { id } of cameras) await running(api, id, { launcher: 'svc:mb:l3' });
    const stopped = await api.ended(next.id, 15);
    assert.deepEqual([stopped.state, stopped.last_error.id], ['ABORTED', 'server-stopping']);

    for (const { id } of cameras) assert.equal((await api.stop(id)).state, 'ABORTED');
    for (const { predictions, end } of await following) {
      assert.equal(end.state, 'ABORTED');
      assert.ok(predictions.length > 10 && predictions.every(({ p0 }) => p0?.startsWith('red|')));
    }
  });
});

/** The session as it runs with these values, and goes on to give frames. */
async function running(api, id, wanted) {
  const seen = await until(`session ${id} runs with ${JSON.stringify(wanted)}`, 20, async () => {
    const view = await api.session(id);
    const fits = Object.entries(wanted).every(([name, value]) => view[name] === value);
    return fits && view.state === 'RUNNING' && view;
  });
  // A launcher hears of frames each second, and starts again only what gave some.
  await until(`frames of ${id} come`, 20, async () => (await api.session(id)).frames > seen.frames + 10);
  return seen;
}

test('killed launchers: the page comes again by itself, a publisher is told', { timeout: 150_000 }, async (t) => {
  if (!hasAiortc(t)) return;
  await withServices(async (services) => {
    const signaling = await services.signaling('a');
    const first = await services.launcher('l1');
    const second = await services.launcher('l2');
    await services.launcher('workers', { SIGHTLINE_MAX_SESSIONS: '0', SIGHTLINE_WORKERS: '1' });
    await services.alive('svc:mb:l1', 'svc:mb:l2', 'svc:inf:workers-0');
    await signaling.ready();
    const api = new Api(signaling);
    await withBrowser({}, async (context) => {
      const visit = await Visit.open(context, signaling, 'source=test&autostart=1');
      await visit.boxes(5, 20);
      await withAiortc(['publish', `${signaling.url}/whip/webrtc-detect`], async (publisher) => {
        const sessions = await until('both sessions run', 20, async () => {
          const { sessions: all } = await api.get('sessions');
          return all.length === 2 && all.every(({ state }) => state === 'RUNNING') && all;
        });
        const launchers = sessions.map((one) => one.launcher);
        assert.deepEqual(launchers, ['svc:mb:l2', 'svc:mb:l1'], 'the newest session is on the other launcher');

        first.kill('SIGKILL');
        const { cause } = await visit.reaches('reconnecting', 15);
        assert.equal(cause.id, 'no-launcher');
        assert.match(cause.message, /`svc:mb:l1` that ran this session is gone/);
        await visit.reaches('live', 15);
        await visit.boxes(5, 20);
        await until('the publisher is served on', 15, async () => (await api.session(sessions[0].id)).state === 'RUNNING');

        second.kill('SIGKILL');
        const lost = await api.ended(sessions[0].id, 15);
        assert.deepEqual([lost.state, lost.last_error.id], ['ERROR', 'no-launcher']);
        await visit.reaches('reconnecting', 15);
        const deleted = await fetch(`${signaling.url}/whip/webrtc-detect/${lost.id}`, { method: 'DELETE' });
        assert.equal(deleted.status, 404);
        publisher.kill('SIGKILL');
      });
      await services.launcher('l3');
      await services.alive('svc:mb:l3');
      await visit.boxes(5, 30);
      const { launcher } = await liveSession(signaling, 'webrtc-detect');
      assert.equal(launcher, 'svc:mb:l3');
      await visit.stop();
    });
  });
});
