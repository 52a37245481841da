// A signaling service of v1 has its sessions run by a launcher of ours, and by v1's bridge with our workers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { told } from './support/clients.mjs';
import { eachPublishedOnce, hear } from './support/published.mjs';
import { withServices } from './support/services.mjs';
import { hasInventa } from './support/tools.mjs';
import { until } from './support/wait.mjs';

/** What aiortc_whip.py draws of the red shape, in a picture of 640x480. */
const RED = { width: 130, height: 84, top: 20 };

test("a launcher of ours runs sessions of v1's signaling, and of the one after it", { timeout: 120_000 }, async (t) => {
  if (!hasInventa(t)) return;
  await withServices(async (services) => {
    const first = services.python('v1_signaling.py', 'first');
    const launcher = await services.launcher('new', { SIGHTLINE_WORKERS: '1' });
    await until('launcher and worker have registered', 20, () =>
      ['svc:mb:new', 'svc:inf:new-0'].every((name) => lines(first).some(({ registering }) => registering === name)),
    );
    await isServed(services, 'first', 'red');
    await until('the first has tried everything', 20, () => told(first, 'tried'));
    assert.ok(told(first, 'candidates') > 0, 'all candidates are in the offer');
    assert.deepEqual(told(first, 'accepted'), ['succeeded']);
    assert.equal(told(first, 'sdp-offer-req'), 'bad-message: there is a session `first` already');
    assert.equal(told(first, 'sdp-accept-offer-answer'), 'unknown-session: there is no session `no|such!session` here');
    assert.equal(told(first, 'sdp-offer-please'), 'unknown command type: sdp-offer-please');
    checkStates(lines(first).flatMap(({ ice }) => (ice ? [ice] : [])));

    first.kill('SIGKILL');
    await first.ended(5);
    const second = services.python('v1_signaling.py', 'second');
    await isServed(services, 'second', 'red');
    await until('the second has tried everything', 20, () => told(second, 'tried'));
    const answers = lines(second).flatMap(({ told: name, answered }) => (name ? [[name, answered]] : []));
    assert.deepEqual(answers.toSorted(), [['svc:inf:new-0', 'ok'], ['svc:mb:new', 'ok']]);

    launcher.kill('SIGKILL');
    await until('the launcher is lost to it', 15, () => lines(second).some(({ lost }) => lost === 'svc:mb:new'));
  });
});

test("a launcher of ours is served by v1's worker", { timeout: 90_000 }, async (t) => {
  if (!hasInventa(t)) return;
  await withServices(async (services) => {
    services.python('v1_signaling.py', 'first');
    services.python('v1_worker.py', 'old');
    await services.launcher('new');
    const published = hear(services);
    await isServed(services, 'first', 'v1-red');
    // Neither v1's worker nor its signaling publishes; a frame whose answer the session does not hear counts as lost.
    await eachPublishedOnce(services, published, ['first']);
    published.kill('SIGKILL');
    await published.ended(5);
  });
});

test("a bridge of v1 is served by a worker of ours", { timeout: 90_000 }, async (t) => {
  if (!hasInventa(t)) return;
  await withServices(async (services) => {
    services.python('v1_signaling.py', 'first');
    await services.launcher('workers', { SIGHTLINE_MAX_SESSIONS: '0', SIGHTLINE_WORKERS: '1' });
    services.python('v1_bridge.py', 'old');
    await isServed(services, 'first', 'red');
  });
});

/** Each state follows the one before it. */
function checkStates(states) {
  assert.ok(states.every(([session]) => session === 'first'));
  assert.ok(states.some(([, , state]) => state === 'connected' || state === 'completed'), JSON.stringify(states));
  for (const [index, [, old]] of states.entries()) assert.equal(old, states[index - 1]?.[2] ?? 'new', JSON.stringify(states));
}

function lines(program) {
  const all = program.log.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
  return all.map((line) => JSON.parse(line));
}

/** Twenty predictions of the session are in the stream, with v1's fields and the red shape where it was drawn. */
async function isServed(services, session, label) {
  const entries = await services.inRedis((redis) =>
    until(`20 predictions of ${session}`, 40, async () => {
      const all = (await redis.text('XRANGE', 'predictions', '-', '+')).map(([, fields]) => toObject(fields));
      const mine = all.filter(({ participantId }) => participantId === session);
      return mine.length >= 20 && mine;
    }),
  );
  for (const entry of entries) {
    assert.match(entry.timestamp, /^\d+$/);
    const red = objects(entry).find(([name]) => name === label);
    assert.ok(red, `there is ${label} in ${JSON.stringify(entry)}`);
    const [left, top, right, bottom] = red[2].split(';').map((value) => (value * 480) / entry.res);
    const found = { width: right - left, height: bottom - top, top };
    for (const [name, value] of Object.entries(RED)) assert.ok(Math.abs(found[name] - value) < 15, JSON.stringify(found));
  }
}

function objects(entry) {
  return Array.from({ length: Number(entry.pcount) }, (_, index) => entry[`p${index}`].split('|'));
}

function toObject(fields) {
  return Object.fromEntries(Array.from({ length: fields.length / 2 }, (_, i) => fields.slice(2 * i, 2 * i + 2)));
}
