import { describe, expect, it } from 'vitest';
import type { Box, Detection } from '../client/prediction';
import { Filter } from './filter';
import { Motion, overlap } from './motion';

const at = (x: number, more: Partial<Detection> = {}): Detection => ({ label: 'car', score: 0.9, box: [x, 0.5, 0.2, 0.2], ...more });
const left = (detections: readonly Detection[]) => detections.map(({ box: [x] }) => Number(x.toFixed(4)));

describe('Motion', () => {
  it('carries a box on at its speed', () => {
    const motion = new Motion();
    motion.update(0, [at(0.1)]);
    motion.update(100, [at(0.12)]);
    expect(left(motion.at(150))).toEqual([0.13]);
    expect(left(motion.at(100))).toEqual([0.12]);
  });

  it('does not reach far, nor back', () => {
    const motion = new Motion();
    motion.update(0, [at(0.1)]);
    motion.update(100, [at(0.12)]);
    expect(left(motion.at(10_000))).toEqual(left(motion.at(400)));
    expect(left(motion.at(0))).toEqual([0.12]);
  });

  it('leaves what is new, what is another thing, and what has no time where it is', () => {
    const motion = new Motion();
    motion.update(0, [at(0.1)]);
    motion.update(100, [at(0.7), at(0.12, { label: 'bus' })]);
    expect(left(motion.at(200))).toEqual([0.7, 0.12]);
    motion.update(undefined, [at(0.72)]);
    expect(left(motion.at(300))).toEqual([0.72]);
  });

  it('follows tracks, however far they jump', () => {
    const motion = new Motion();
    motion.update(0, [at(0.1, { trackId: 1 }), at(0.5, { trackId: 2 })]);
    motion.update(100, [at(0.4, { trackId: 2 }), at(0.4, { trackId: 1 })]);
    expect(left(motion.at(110))).toEqual([0.39, 0.43]);
  });

  it('measures overlap', () => {
    const box: Box = [0, 0, 1, 1];
    expect(overlap(box, box)).toBe(1);
    expect(overlap(box, [0.5, 0, 1, 1])).toBeCloseTo(1 / 3);
    expect(overlap(box, [2, 0, 1, 1])).toBe(0);
  });
});

describe('Filter', () => {
  it('hides classes and low scores, and says so', () => {
    const filter = new Filter();
    let changes = 0;
    filter.onchange = () => (changes += 1);
    expect(filter.passes(at(0))).toBe(true);
    filter.show('car', false);
    expect(filter.passes(at(0))).toBe(false);
    filter.show('car', true);
    filter.least = 0.95;
    expect(filter.passes(at(0))).toBe(false);
    expect(changes).toBe(3);
  });
});
