import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseParameters } from './pipelines';
import { isRunning, parseSession, parseSessions, parseWorkers, problemIn } from './rest';

const fixture = (name: string) => readFileSync(new URL(`../../../protocol/fixtures/http/${name}.json`, import.meta.url), 'utf8');

describe('the REST API', () => {
  it('lists a session', () => {
    const session = parseSession(JSON.parse(fixture('session')));
    expect(session).toMatchObject({ pipeline: 'uri-detect', state: 'RUNNING', created: 1766481000000, frames: 250, fps: 10, latency: 21.5, restarts: 1 });
    expect(session?.dropped).toEqual({ late: 1, redis: 0, replaced: 31, unanswered: 2 });
    expect(session?.error).toEqual({ id: 'session-failed', message: 'source: Could not read from resource.' });
    expect(session && isRunning(session)).toBe(true);
    expect(session?.ended).toBeUndefined();
  });

  it('leaves out what is no session or worker', () => {
    expect(parseSessions({ sessions: [null, {}, { id: 'a' }, JSON.parse(fixture('session'))] })).toHaveLength(1);
    expect(parseSessions('text')).toEqual([]);
    expect(parseWorkers(JSON.parse(fixture('workers')))).toEqual([{ name: 'svc:inf:host1-0', info: { model: 'yolox_nano' } }]);
    expect(parseWorkers({ workers: [{ info: {} }, 7] })).toEqual([]);
  });

  it('takes what has come to nothing as it is told, or not at all', () => {
    const told = JSON.parse(fixture('session')) as object;
    expect(parseSession({ ...told, dropped: { replaced: 3, late: 'some', newer: 1 } })?.dropped).toEqual({ replaced: 3, newer: 1 });
    expect(parseSession({ ...told, dropped: null })?.dropped).toBeUndefined();
  });

  it('says what is wrong', () => {
    expect(problemIn(fixture('problem'), 422)).toMatchObject({ id: 'invalid-param', message: expect.stringContaining('fps') });
    expect(problemIn('<html>', 502)).toEqual({ id: 'http-502', message: '' });
  });
});

describe('parameters of a pipeline', () => {
  const properties = {
    fps: { type: 'integer', default: 30, minimum: 1, maximum: 60, description: 'frames per second' },
    leaky: { enum: ['no', 'downstream'], default: 'no' },
    uri: { type: 'string' },
    newer: { type: 'array' },
    broken: 7,
  };

  it('are those that a form can show, what must be given first', () => {
    expect(parseParameters({ params_schema: { properties, required: ['uri'] } })).toEqual([
      { name: 'uri', type: 'string', doc: '', required: true },
      { name: 'fps', type: 'integer', doc: 'frames per second', required: false, initial: 30, minimum: 1, maximum: 60 },
      { name: 'leaky', type: 'enum', doc: '', required: false, initial: 'no', values: ['no', 'downstream'] },
    ]);
  });

  it.each([undefined, null, {}, { params_schema: [] }])('are none in %j', (body) => {
    expect(parseParameters(body)).toEqual([]);
  });
});
