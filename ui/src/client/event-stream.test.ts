import { describe, expect, it } from 'vitest';
import { EventParser } from './event-stream';
import { tokenOf } from './token';

describe('events', () => {
  const text = ': hello\r\n\r\nid: 1\nevent: prediction\ndata: {"a":1}\n\ndata:x\ndata: y\n\nevent: end\ndata\n\ndata: cut';
  const events = [
    { type: 'prediction', data: '{"a":1}' },
    { type: 'message', data: 'x\ny' },
    { type: 'end', data: '' },
  ];

  it('are cut out of pieces of any size', () => {
    expect(new EventParser().push(text)).toEqual(events);
    for (const size of [1, 2, 7]) {
      const parser = new EventParser();
      const pieces = text.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
      expect(pieces.flatMap((piece) => parser.push(piece))).toEqual(events);
    }
  });
});

describe('a token', () => {
  it('is given, or got whenever one is needed', async () => {
    let made = 0;
    expect(await tokenOf('a')).toBe('a');
    expect(await tokenOf(async () => `t${++made}`)).toBe('t1');
    expect(await tokenOf(() => `t${++made}`)).toBe('t2');
    expect(await tokenOf(undefined)).toBeUndefined();
    expect(await tokenOf('')).toBeUndefined();
    expect(await tokenOf(() => Promise.reject(new Error('no')))).toBeUndefined();
  });
});
