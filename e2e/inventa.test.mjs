// The published Python library `inventa` as a service of our signaling. Its other role: v1-signaling.test.mjs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { told } from './support/clients.mjs';
import { Api } from './support/rest.mjs';
import { withServices } from './support/services.mjs';
import { hasInventa } from './support/tools.mjs';
import { until } from './support/wait.mjs';

test('a service of the Python library is known while it lives, and heard', { timeout: 120_000 }, async (t) => {
  if (!hasInventa(t)) return;
  await withServices(async (services) => {
    const first = await services.signaling('first');
    const service = services.python('inventa_service.py', 'python');
    await until('it is listed', 20, () => lists(first));
    await until('it has talked', 20, () => told(service, 'talked'));
    assert.deepEqual(told(service, 'register'), ['ignored-self']);
    assert.equal(told(service, 'dance'), 'unknown command type: dance');
    assert.equal(told(service, 'session-event'), 'unknown-session: no session here has the id `a|b!c%`');
    assert.match(told(service, 'mb-ice-conn-state-change'), /^bad-message: /);

    first.program.kill('SIGKILL');
    const second = await services.signaling('second');
    await until('it is found again', 20, () => lists(second));
    await until('it was told', 5, () => told(service, 'orchestrator_alive') === 'svc:sgn:');
    assert.equal(told(service, 'answered'), 'ok');
    assert.deepEqual(await echoed(services), ['a%pipe%b%exc%c%', 'ok']);

    service.kill('SIGKILL');
    await until('its end is noticed', 20, async () => !(await lists(second)));
  });
});

async function lists(signaling) {
  if (!(await signaling.readiness())) return false;
  const { workers } = await new Api(signaling).get('workers');
  return workers.some(({ name }) => name === 'svc:inf:python');
}

/** What the service answers to a call on the wire. */
async function echoed(services) {
  const hearing = services.run('redis-cli', '-s', services.redis.socket, 'SUBSCRIBE', 'ch:svc:mb:test');
  await until('redis-cli hears', 5, () => hearing.log.includes('subscribe'));
  await services.inRedis((redis) => redis.text('PUBLISH', 'ch:svc:inf:python', 'req|abcde-1|svc:mb:test|echo|a%pipe%b%exc%c%!ok'));
  const [, values] = await until('the answer', 5, () => /^resp\|abcde-1\|svc:inf:python\|(.*)$/m.exec(hearing.log));
  hearing.kill('SIGKILL');
  await hearing.ended(5);
  return values.split('!');
}
