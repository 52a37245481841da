// What is published on the channels of sessions, against what is in the stream of predictions.

import assert from 'node:assert/strict';
import { sleep, until } from './wait.mjs';

/** A program that hears all that is published; the caller ends it. */
export function hear(services) {
  return services.run('redis-cli', '-s', services.redis.socket, 'PSUBSCRIBE', 'predictions:*');
}

/** Of what workers write from now on, each entry comes on its session's channel, once. */
export async function eachPublishedOnce(services, published, sessions) {
  const entries = await services.inRedis(async (redis) => {
    const [[last]] = await redis.text('XREVRANGE', 'predictions', '+', '-', 'COUNT', '1');
    return until('30 new predictions, some of each session', 20, async () => {
      const all = await redis.text('XRANGE', 'predictions', `(${last}`, '+');
      const theirs = all.map(([, fields]) => Object.fromEntries(pairs(fields))).filter(({ participantId }) => sessions.includes(participantId));
      const each = sessions.every((session) => theirs.some(({ participantId }) => participantId === session));
      return each && theirs.length >= 30 && theirs.map(key);
    });
  });
  await until('all are published', 5, () => entries.every((entry) => messages(published).includes(entry)));
  await sleep(500);
  const all = messages(published);
  const wrong = entries.filter((entry) => all.filter((one) => one === entry).length !== 1);
  assert.deepEqual(wrong, [], 'published more than once');
}

function messages(published) {
  const lines = published.log.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
  return lines.map((line) => key(JSON.parse(line)));
}

function key({ participantId, timestamp }) {
  return `${participantId} ${timestamp}`;
}

function pairs(fields) {
  return Array.from({ length: fields.length / 2 }, (_, i) => fields.slice(2 * i, 2 * i + 2));
}
