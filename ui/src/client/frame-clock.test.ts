import { describe, expect, it } from 'vitest';
import { FrameClock } from './frame-clock';

/** A camera and its encoder: `seen` and `sent` choose which frames the page shows and the encoder takes. */
function run(clock: FrameClock, options: { frames?: number; jitter?: number; seen?: (i: number) => boolean; sent?: (i: number) => boolean; start?: number; encoding?: number }) {
  const { frames = 60, jitter = 0, seen = () => true, sent = () => true, start = 1_000_000, encoding = 10 } = options;
  const rtp: number[] = [];
  let noise = 1;
  for (let i = 0; i < frames; i++) {
    noise = (noise * 48271) % 2147483647;
    const media = i * 40 + (jitter * (noise % 1000)) / 1000;
    // RTP is made from whole milliseconds.
    rtp.push((Math.floor(media) * 90 + start) >>> 0);
    if (seen(i)) clock.captured(media, 5000 + media);
    if (sent(i)) clock.encoded(rtp[i]!, 5000 + media + encoding);
  }
  return rtp;
}

describe('FrameClock', () => {
  it('knows nothing at first', () => {
    const clock = new FrameClock();
    run(clock, { frames: 5 });
    expect(clock.aligned).toBe(false);
    expect(clock.frameOf(1_000_000)).toBeUndefined();
  });

  it.each([
    ['a steady camera', {}],
    ['a camera that jitters', { jitter: 12 }],
    ['a display that misses every third frame', { seen: (i: number) => i % 3 !== 0 || i === 57 }],
    ['an encoder that drops every fourth', { sent: (i: number) => i % 4 !== 0 }],
    ['timestamps that wrap', { start: 2 ** 32 - 40_000 }],
    ['a slow encoder', { encoding: 35 }],
  ])('finds the frame with %s', (_, options) => {
    const clock = new FrameClock();
    const rtp = run(clock, options);
    const found = clock.frameOf(rtp[57]!)?.time;
    expect(found).toBeGreaterThanOrEqual(57 * 40);
    expect(found).toBeLessThan(58 * 40 - 20);
    expect(clock.interval).toBeGreaterThan(25);
  });

  it('does not take another frame for one that was never shown', () => {
    const clock = new FrameClock();
    const rtp = run(clock, { seen: (i) => i !== 55 });
    expect(clock.frameOf(rtp[55]!)).toBeUndefined();
    expect(clock.frameOf(rtp[54]!)?.time).toBe(54 * 40);
  });

  it('follows clocks that drift', () => {
    const clock = new FrameClock();
    let last = 0;
    for (let i = 0; i < 1000; i++) {
      clock.captured(i * 40, i * 40);
      // Fifteen milliseconds a minute.
      last = Math.round(i * 40 * (1 + 15 / 60_000) * 90);
      clock.encoded(last, i * 40 + 10);
    }
    expect(clock.frameOf(last)?.time).toBe(999 * 40);
  });

  it('gives no answer where media times are not those of capture', () => {
    const clock = new FrameClock();
    let noise = 7;
    for (let i = 0; i < 300; i++) {
      noise = (noise * 48271) % 2147483647;
      clock.captured(i * 40 + (noise % 36), i * 40 + 15);
      clock.encoded(i * 40 * 90, i * 40 + 10);
    }
    expect(clock.aligned).toBe(false);
  });

  it('begins anew', () => {
    const clock = new FrameClock();
    run(clock, {});
    clock.reset();
    expect(clock.aligned).toBe(false);
    expect(clock.interval).toBeUndefined();
  });
});
