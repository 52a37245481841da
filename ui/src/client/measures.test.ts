import { describe, expect, it } from 'vitest';
import { ServerClock } from './clock';
import { SlidingWindow } from './window';

describe('ServerClock', () => {
  it('knows nothing before the first answer', () => {
    expect(new ServerClock().offset).toBeUndefined();
  });

  it('takes the server to have answered halfway', () => {
    const clock = new ServerClock();
    clock.add(1000, 5050, 1100);
    expect(clock.offset).toBe(4000);
  });

  it('trusts the quickest exchange', () => {
    const clock = new ServerClock();
    clock.add(1000, 5000, 1400);
    clock.add(2000, 6001, 2002);
    clock.add(3000, 7300, 3400);
    expect(clock.offset).toBe(4000);
  });

  it('forgets: clocks drift', () => {
    const clock = new ServerClock();
    clock.add(0, 4000, 0);
    for (let i = 1; i <= 12; i++) clock.add(i * 5000, i * 5000 + 4105, i * 5000 + 10);
    expect(clock.offset).toBe(4100);
  });

  it('ignores an answer from before its question', () => {
    const clock = new ServerClock();
    clock.add(1000, 5000, 900);
    expect(clock.offset).toBeUndefined();
  });
});

describe('SlidingWindow', () => {
  it('gives the median of what is in it', () => {
    const window = new SlidingWindow(3000);
    expect(window.median(0)).toBeUndefined();
    [40, 10, 30].forEach((value, i) => window.push(value, i));
    expect(window.median(10)).toBe(30);
    window.push(20, 20);
    expect(window.median(20)).toBe(25);
  });

  it('forgets what has left it', () => {
    const window = new SlidingWindow(3000);
    window.push(100, 0);
    window.push(1, 2000);
    expect(window.median(3000)).toBe(1);
    expect(window.median(5000)).toBeUndefined();
  });

  it('counts per second, from the start and in the long run', () => {
    const window = new SlidingWindow(3000);
    expect(window.rate(0)).toBeUndefined();
    for (let ms = 100; ms <= 10_000; ms += 100) {
      window.push(1, ms);
      if (ms === 400) expect(window.rate(ms)).toBeUndefined();
      if (ms === 1100) expect(window.rate(ms)).toBeCloseTo(11);
    }
    expect(window.rate(10_000)).toBeCloseTo(10);
    expect(window.rate(20_000)).toBe(0);
  });

  it('is empty after clear', () => {
    const window = new SlidingWindow(3000);
    window.push(1, 0);
    window.clear();
    expect(window.rate(1000)).toBeUndefined();
    expect(window.median(1)).toBeUndefined();
  });
});
