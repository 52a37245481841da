import { describe, expect, it } from 'vitest';
import type { Problem } from '../client/protocol';
import type { Intent, State } from '../client/session';
import { colourOf, contrast, luminance } from './colour';
import { contain, place, placePlate } from './geometry';
import { caption } from './overlay';
import { countdownOf, dropsOf, duration, explain, megabits, milliseconds, perSecond, problemOf, skewOf, statusOf } from './words';

describe('contain', () => {
  it('leaves bars at the sides of a tall picture, above and below a wide one', () => {
    expect(contain({ width: 640, height: 480 }, { width: 1600, height: 900 })).toEqual({ x: 200, y: 0, width: 1200, height: 900 });
    expect(contain({ width: 640, height: 160 }, { width: 320, height: 180 })).toEqual({ x: 0, y: 50, width: 320, height: 80 });
  });

  it('has no answer without sizes', () => {
    expect(contain({ width: 0, height: 0 }, { width: 320, height: 180 })).toBeUndefined();
    expect(contain({ width: 640, height: 480 }, { width: 0, height: 180 })).toBeUndefined();
  });
});

describe('place', () => {
  const picture = { x: 200, y: 0, width: 1200, height: 900 };

  it('scales fractions to the picture', () => {
    expect(place([0.25, 0.5, 0.5, 0.25], picture)).toEqual({ x: 500, y: 450, width: 600, height: 225 });
  });

  it('cuts what lies outside', () => {
    expect(place([-0.5, 0.5, 1, 1], picture)).toEqual({ x: 200, y: 450, width: 600, height: 450 });
    expect(place([1.2, 0, 0.5, 0.5], picture)).toBeUndefined();
    expect(place([0.5, 0.5, 0, 0.5], picture)).toBeUndefined();
  });
});

describe('placePlate', () => {
  const picture = { x: 10, y: 10, width: 300, height: 200 };
  const plate = { width: 80, height: 20 };
  const box = (x: number, y: number) => ({ x, y, width: 50, height: 50 });

  it('stands on the box', () => {
    expect(placePlate(box(100, 100), plate, picture)).toEqual({ x: 100, y: 80, width: 80, height: 20 });
  });

  it('moves inside at the top, and in from the sides', () => {
    expect(placePlate(box(100, 15), plate, picture)).toMatchObject({ y: 15 });
    expect(placePlate(box(290, 100), plate, picture)).toMatchObject({ x: 230 });
    expect(placePlate(box(290, 100), { width: 400, height: 20 }, picture)).toMatchObject({ x: 10 });
  });
});

describe('colours', () => {
  const labels = ['person', 'car', 'bicycle', 'red', 'green', 'blue', 'Hund', '人', '', ...Array.from({ length: 300 }, (_, i) => `c${i}`)];
  const parse = (rgb: string) => luminance(rgb.match(/\d+/g)!.map((part) => Number(part) / 255) as [number, number, number]);

  it('are those of the class, always', () => {
    for (const label of labels) expect(colourOf(label)).toEqual(colourOf(`${label}`));
    expect(colourOf('person').stroke).toMatch(/^rgb\(\d+, \d+, \d+\)$/);
  });

  it('differ from class to class', () => {
    expect(new Set(['person', 'car', 'bicycle', 'red', 'green', 'blue'].map((label) => colourOf(label).stroke)).size).toBe(6);
    expect(new Set(labels.map((label) => colourOf(label).stroke)).size).toBeGreaterThan(150);
  });

  it('lie well apart for the classes people meet most', () => {
    const met = ['person', 'bicycle', 'car', 'motorcycle', 'bus', 'truck', 'dog', 'cat', 'chair', 'bottle', 'red', 'green', 'blue'];
    const parts = (label: string) => colourOf(label).stroke.match(/\d+/g)!.map(Number);
    met.forEach((a, i) => {
      for (const b of met.slice(i + 1)) {
        const [p, q] = [parts(a), parts(b)];
        expect(Math.hypot(...p.map((part, k) => part - q[k]!)), `${a} and ${b}`).toBeGreaterThan(30);
      }
    });
  });

  it('leave text readable (WCAG AA)', () => {
    for (const label of labels) {
      const { stroke, text } = colourOf(label);
      expect(contrast(parse(stroke), text === '#000' ? 0 : 1)).toBeGreaterThanOrEqual(4.5);
    }
  });
});

describe('words', () => {
  const intent: Intent = { source: 'camera', pipeline: 'p', params: {} };
  const cause: Problem = { id: 'server-gone', message: '' };

  it('say what is wrong and what to do, for every id', () => {
    const ids = [
      ...['camera-refused', 'no-camera', 'camera-busy', 'camera-failed', 'insecure-origin'],
      ...['no-file', 'file-unsupported', 'file-unreadable', 'no-canvas', 'source-ended', 'screen-refused', 'screen-unsupported', 'screen-failed', 'not-here'],
      ...['completed', 'unknown-session', 'not-watchable', 'not-a-source'],
      ...['server-gone', 'no-answer', 'ice-failed', 'negotiation-failed'],
      ...['no-launcher', 'no-worker', 'unknown-pipeline', 'invalid-param', 'unknown-tenant', 'session-failed'],
      ...['session-ended', 'bad-message', 'bad-sdp', 'unsupported-media', 'too-many-sessions', 'rate-limited'],
    ];
    for (const id of ids) {
      const { what, next, detail } = explain({ id, message: 'more' });
      expect(what).not.toContain(id);
      expect(what).not.toBe('more');
      expect(next).toMatch(/\.$/);
      expect(detail).toBe('more');
    }
  });

  it('leave the word to a server that knows more ids', () => {
    expect(explain({ id: 'moon-phase', message: 'Wait for the moon.' }).what).toBe('Wait for the moon.');
    expect(explain({ id: 'moon-phase', message: '' }).what).toContain('moon-phase');
    expect(explain({ id: 'toString', message: '' }).what).toContain('toString');
  });

  it('count down', () => {
    const state: State = { name: 'reconnecting', intent, attempt: 1, cause, retryAt: 10_000 };
    expect(countdownOf(state, 7900)).toBe('Trying again in 3 s.');
    expect(countdownOf(state, 10_500)).toBe('Trying again in 0 s.');
    expect(countdownOf({ name: 'idle' }, 0)).toBe('');
    expect(problemOf(state)).toBe(cause);
  });

  it('tell a quiet session from a live one', () => {
    const live: State = { name: 'live', intent, attempt: 0, wavering: false };
    const said = [statusOf(live, undefined), statusOf(live, 100), statusOf(live, 9000), statusOf({ ...live, wavering: true }, 100)];
    expect(new Set(said).size).toBe(4);
    expect(said[1]).toBe('Live.');
  });

  it('give numbers a unit, and a dash where there are none', () => {
    expect(milliseconds(83.4)).toBe('83 ms');
    expect(perSecond(14.96)).toBe('15.0 /s');
    expect(milliseconds(undefined) + perSecond(undefined)).toBe('––');
  });

  it('say how far picture and boxes are apart', () => {
    expect(skewOf(undefined)).toBe('–');
    expect(skewOf({ view: 'live', timestamp: 1 })).toBe('Frames not matched');
    expect(skewOf({ view: 'live', timestamp: 1, skew: 1 })).toBe('1 frame apart · newest picture');
    expect(skewOf({ view: 'exact', timestamp: 1, skew: 0, delay: 83.4 })).toBe('0 frames apart · 83 ms behind');
  });

  it('give sizes a unit that suits', () => {
    expect([megabits(undefined), megabits(604_000), megabits(1_940_000)]).toEqual(['–', '604 kbit/s', '1.9 Mbit/s']);
    expect([duration(42_000), duration(185_000), duration(7_500_000)]).toEqual(['42 s', '3 min', '2 h 5 min']);
  });

  it('say what came to nothing, and what is seldom only where it happened', () => {
    expect(dropsOf(undefined)).toBe('–');
    expect(dropsOf({ late: 1, redis: 0, replaced: 31, unanswered: 2 })).toBe('31 busy · 2 lost · 1 late');
    expect(dropsOf({ late: 0, redis: 7, newer: 3 })).toBe('– busy · – lost · 0 late · 7 without Redis');
  });

  it('caption a box', () => {
    expect(caption({ label: 'car', score: 0.874, box: [0, 0, 1, 1] })).toBe('car 87 %');
    expect(caption({ label: 'car', score: 0.874, box: [0, 0, 1, 1], trackId: 3 })).toBe('car #3 87 %');
  });
});
