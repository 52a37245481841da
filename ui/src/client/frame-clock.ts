/** Frames that are remembered of each kind: some two seconds. */
const KEPT = 64;
/** With fewer, a constant frame rate looks the same shifted by one frame. */
const ENOUGH = 12;
/** Aligned anew after so many frames: clocks drift. */
const PERIOD = 8;
/** Frames that coincide do so within this many milliseconds: RTP time is made from whole ones. */
const SPREAD_MS = 3;

/** The share of frames that must coincide. */
const ALIGNED = 0.6;
/** No encoder that keeps up takes longer, and no display either. */
const LONGEST_DELAY_MS = 100;

interface Mark {
  /** Milliseconds on the frame's own time line: of the media, or of RTP. */
  readonly time: number;
  /** Unix milliseconds at which it was seen. */
  readonly at: number;
}

/** A captured frame. */
export interface Frame extends Mark {
  /** Milliseconds on the time line of the video that plays, which may be another one. */
  readonly mediaTime: number;
}

/**
 * Which captured frame an RTP timestamp belongs to. Browsers tell both, but not together: a captured frame has a media
 * time, an encoded one an RTP timestamp, and between the two lies an offset that is random for each connection and then
 * stays, but for a slow drift. It is the one at which most frames of both kinds coincide. Frame rates are regular, so it
 * fits nearly as well when shifted by a frame; then it counts that a frame leaves the encoder after its capture, and before the next
 * but one is captured.
 */
export class FrameClock {
  #captured: Frame[] = [];
  #encoded: Mark[] = [];
  #lastRtp: { readonly timestamp: number; readonly time: number } | undefined;
  #offset: number | undefined;
  /** The last alignment; only one that the next confirms is used. */
  #candidate: number | undefined;
  #sinceAligned = 0;

  /** A frame is in the picture: its place on its time line and when it was captured, both in milliseconds. */
  captured(time: number, at: number, mediaTime = time): void {
    const last = this.#captured.at(-1);
    // A file that begins anew, or another source.
    if (last && time < last.time) this.#captured = [];
    if (last?.time === time) return;
    this.#captured.push({ time, at, mediaTime });
    if (this.#captured.length > KEPT) this.#captured.shift();
  }

  /** A frame leaves the encoder with this RTP timestamp. */
  encoded(timestamp: number, at: number): void {
    const time = this.#unwrap(timestamp);
    this.#lastRtp = { timestamp, time };
    this.#encoded.push({ time, at });
    if (this.#encoded.length > KEPT) this.#encoded.shift();
    if (++this.#sinceAligned >= PERIOD) this.#align();
  }

  /** When a frame with this timestamp was captured, on the captured frames' time line, whether or not it was seen here. */
  timeOf(timestamp: number): number | undefined {
    return this.#offset === undefined ? undefined : this.#unwrap(timestamp) - this.#offset;
  }

  /** The very frame that was sent with this timestamp; undefined if it was not seen here. */
  frameOf(timestamp: number): Frame | undefined {
    const wanted = this.timeOf(timestamp);
    if (wanted === undefined) return undefined;
    const nearest = closest(this.#captured, wanted);
    return nearest && Math.abs(nearest.time - wanted) <= SPREAD_MS + 1 ? nearest : undefined;
  }

  /** Milliseconds from one captured frame to the next; a display that misses some does not make them rarer. */
  get interval(): number | undefined {
    return quantile(gaps(this.#captured), 0.3);
  }

  /** Whether RTP timestamps and captured frames have been brought together. */
  get aligned(): boolean {
    return this.#offset !== undefined;
  }

  /** How many frames lie between two media times. */
  framesBetween(earlier: number, later: number): number | undefined {
    const { interval } = this;
    return interval ? Math.round((later - earlier) / interval) : undefined;
  }

  reset(): void {
    this.#captured = [];
    this.#encoded = [];
    this.#lastRtp = undefined;
    this.#offset = undefined;
    this.#candidate = undefined;
  }

  /** RTP time in milliseconds that does not wrap: a timestamp counts 90 a millisecond, modulo 2^32. */
  #unwrap(timestamp: number): number {
    const last = this.#lastRtp;
    return last ? last.time + ((timestamp - last.timestamp) | 0) / 90 : timestamp / 90;
  }

  #align(): void {
    this.#sinceAligned = 0;
    const interval = this.interval;
    if (interval === undefined || Math.min(this.#captured.length, this.#encoded.length) < ENOUGH) return;
    // Typed, because it is sorted ten times as fast.
    const differences = new Float64Array(this.#encoded.length * this.#captured.length);
    this.#encoded.forEach((e, i) => this.#captured.forEach((c, j) => (differences[i * this.#captured.length + j] = e.time - c.time)));
    const base = densest(differences.sort(), SPREAD_MS);
    const fits = [-3, -2, -1, 0, 1, 2, 3].map((shift) => {
      const offset = base + shift * interval;
      const pairs = this.#fit(offset);
      return { offset, pairs, delay: quantile(pairs.map(([e, c]) => e.at - c.at).sort((a, b) => a - b), 0.25) ?? Infinity };
    });
    const most = Math.max(...fits.map(({ pairs }) => pairs.length));
    const likely = fits.filter(({ pairs }) => pairs.length >= 0.75 * most);
    const usual = interval / 2;
    const best = likely.sort((a, b) => Math.abs(a.delay - usual) - Math.abs(b.delay - usual))[0];
    // In a browser whose media times are not those of capture, nothing coincides but by chance: better no answer than a wrong one.
    if (!best || most < this.#possible(base) * ALIGNED || Math.abs(best.delay) > LONGEST_DELAY_MS) {
      this.#offset = this.#candidate = undefined;
      return;
    }
    // The newest pairs, for the drift.
    const recent = best.pairs.slice(-ENOUGH).map(([e, c]) => e.time - c.time);
    const offset = quantile(recent.sort((a, b) => a - b), 0.5) ?? best.offset;
    const confirmed = this.#candidate !== undefined && Math.abs(offset - this.#candidate) < 2 * SPREAD_MS;
    this.#offset = confirmed ? offset : undefined;
    this.#candidate = offset;
  }

  /** How many frames of one kind lie in the time for which there are frames of the other. */
  #possible(offset: number): number {
    const within = (marks: readonly Mark[], others: readonly Mark[], shift: number) => {
      const [first, last] = [(others[0]?.time ?? 0) + shift - SPREAD_MS, (others.at(-1)?.time ?? 0) + shift + SPREAD_MS];
      return marks.filter(({ time }) => time >= first && time <= last).length;
    };
    return Math.min(within(this.#encoded, this.#captured, offset), within(this.#captured, this.#encoded, -offset));
  }

  /** Encoded frames and the captured ones that they meet at this offset. */
  #fit(offset: number): (readonly [Mark, Mark])[] {
    const pairs: (readonly [Mark, Mark])[] = [];
    for (const encoded of this.#encoded) {
      const nearest = closest(this.#captured, encoded.time - offset);
      if (nearest && Math.abs(encoded.time - offset - nearest.time) <= SPREAD_MS) pairs.push([encoded, nearest]);
    }
    return pairs;
  }
}

/** The middle of the stretch of this length that holds most of the sorted values. */
function densest(sorted: Float64Array, length: number): number {
  let [first, most, middle] = [0, 0, 0];
  sorted.forEach((value, i) => {
    while (value - sorted[first]! > length) first += 1;
    if (i - first + 1 > most) {
      most = i - first + 1;
      middle = (value + sorted[first]!) / 2;
    }
  });
  return middle;
}

function closest<T extends Mark>(marks: readonly T[], time: number): T | undefined {
  let best: T | undefined;
  for (const mark of marks) {
    if (!best || Math.abs(mark.time - time) < Math.abs(best.time - time)) best = mark;
  }
  return best;
}

function gaps(marks: readonly Mark[]): number[] {
  return marks.slice(1).map((mark, i) => mark.time - marks[i]!.time).sort((a, b) => a - b);
}

/** The value below which this share of the sorted values lies. */
export function quantile(sorted: readonly number[], share: number): number | undefined {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
