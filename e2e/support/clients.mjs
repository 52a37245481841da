// Other people's programs as clients, and what the system must make of what they publish.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Program } from './processes.mjs';
import { Api } from './rest.mjs';
import { root } from './system.mjs';
import { python } from './tools.mjs';
import { until } from './wait.mjs';

/** Runs `use` with a program that publishes or watches. A failure shows what it wrote. */
export async function withClient(command, args, env, use) {
  // What makes our own programs strict would end those of others, which are not ours to mend.
  const client = new Program(command, args, { env: { ...env, G_DEBUG: undefined } });
  try {
    await use(client);
  } catch (error) {
    console.error(`--- log of ${command}\n${client.log.slice(-8000)}\n--- end of the log`);
    throw error;
  } finally {
    await client.destroy();
  }
}

/** The same with aiortc: `aiortc_whip.py ARGS`. */
export function withAiortc(args, use) {
  return withClient(python, [join(root, 'e2e/support/aiortc_whip.py'), ...args], {}, use);
}

/** The last value that an aiortc client has told under this name. */
export function told(client, name) {
  const lines = client.log.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
  return lines.map((line) => JSON.parse(line)[name]).findLast((value) => value !== undefined);
}

/** Ends an aiortc client as its user would: by DELETE. */
export async function stopAiortc(client) {
  client.kill('SIGTERM');
  assert.equal((await client.ended(10)).code, 0);
  assert.equal(told(client, 'deleted'), 200);
}

/** The one live session of the pipeline, once a client has made it. */
export function liveSession(system, pipeline) {
  const api = new Api(system);
  return until(`a session of ${pipeline}`, 30, async () => {
    const { sessions } = await api.get('sessions');
    return sessions.find((one) => one.pipeline === pipeline && one.state === 'RUNNING');
  });
}

/** Objects are found in what the client publishes; then `stop` ends it, and the session ends in order. */
export async function isServed(system, pipeline, stop) {
  const api = new Api(system);
  const { id, frames } = await liveSession(system, pipeline);
  const following = api.follow(id);
  // It is awaited below, unless something else fails first.
  following.catch(() => {});
  await until(`frames of ${pipeline} come`, 30, async () => (await api.session(id)).frames > frames + 5);
  await stop(id);
  await api.ended(id, 15);
  const { predictions, end } = await following;
  assert.deepEqual([end.state, end.last_error], ['COMPLETED', null]);
  const found = predictions.filter(({ pcount }) => Number(pcount) > 0);
  assert.ok(found.length >= 3, `objects in ${found.length} of ${predictions.length} predictions`);
}
