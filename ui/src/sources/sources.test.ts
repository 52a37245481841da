import { describe, expect, it } from 'vitest';
import { cameraProblem } from './camera';
import { HEIGHT, shapesAt, WIDTH, type Shape } from './shapes';

describe('the test picture', () => {
  // Two minutes at 25 frames a second.
  const moments = Array.from({ length: 3000 }, (_, i) => shapesAt(i / 25));

  const overlap = (a: Shape, b: Shape) =>
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

  it('always shows one shape of each colour, apart from each other and inside the picture', () => {
    for (const shapes of moments.filter((_, i) => i % 5 === 0)) {
      expect(shapes.map(({ label }) => label)).toEqual(['red', 'green', 'blue']);
      shapes.forEach((shape, i) => {
        expect(Math.min(shape.x, shape.y)).toBeGreaterThanOrEqual(0);
        expect(shape.x + shape.width).toBeLessThanOrEqual(WIDTH);
        expect(shape.y + shape.height).toBeLessThanOrEqual(HEIGHT);
        for (const other of shapes.slice(i + 1)) expect(overlap(shape, other)).toBe(false);
      });
    }
  });

  it('has shapes of 60 to 140 pixels', () => {
    for (const { width, height } of shapesAt(0)) {
      expect(Math.min(width, height)).toBeGreaterThanOrEqual(60);
      expect(Math.max(width, height)).toBeLessThanOrEqual(140);
    }
  });

  it('moves, and not faster than an eye and a detector can follow', () => {
    for (let i = 1; i < moments.length; i++) {
      const before = moments[i - 1] ?? [];
      const steps = (moments[i] ?? []).map((shape, k) => Math.hypot(shape.x - before[k]!.x, shape.y - before[k]!.y));
      expect(Math.max(...steps)).toBeGreaterThan(0);
      expect(Math.max(...steps)).toBeLessThan(16);
    }
  });
});

describe('a camera that does not open', () => {
  it.each([
    ['NotAllowedError', 'camera-refused'],
    ['NotFoundError', 'no-camera'],
    ['NotReadableError', 'camera-busy'],
    ['SomethingElse', 'camera-failed'],
  ])('%s is %s', (name, id) => {
    expect(cameraProblem(new DOMException('words', name))).toEqual({ id, message: 'words' });
  });

  it('may be refused with anything', () => {
    expect(cameraProblem('odd')).toEqual({ id: 'camera-failed', message: 'odd' });
  });
});
