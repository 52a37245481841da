import type { ServerClock } from './clock';
import { isNewer, type Prediction } from './prediction';
import { SlidingWindow } from './window';

const WINDOW_MS = 3000;

/** Predictions that did not come, or came to nothing. */
export interface Losses {
  /** Older than one that had come before. */
  readonly late: number;
  /** Frames that were given to workers and never answered. */
  readonly unanswered: number;
}

/** What a stream of predictions says of the way they came. */
export class Measures {
  readonly #latency = new SlidingWindow(WINDOW_MS);
  readonly #arrivals = new SlidingWindow(WINDOW_MS);
  readonly #clock: ServerClock;
  #last: Prediction | undefined;
  #late = 0;
  #received = 0;
  #firstSeq: number | undefined;

  constructor(clock: ServerClock) {
    this.#clock = clock;
  }

  /** Whether this prediction is newer than those before it. `now` is Unix time in milliseconds. */
  add(prediction: Prediction, now: number): boolean {
    if (!isNewer(prediction, this.#last)) {
      this.#late += 1;
      return false;
    }
    this.#last = prediction;
    this.#received += 1;
    this.#firstSeq ??= prediction.seq;
    this.#arrivals.push(1, now);
    const { offset } = this.#clock;
    if (prediction.captured !== undefined && offset !== undefined) {
      this.#latency.push(Math.max(0, now + offset - prediction.captured / 1000), now);
    }
    return true;
  }

  /** Milliseconds of the last seconds from the frame's capture to its boxes here: this share was not slower. */
  latency(share: number, now: number): number | undefined {
    return this.#latency.quantile(share, now);
  }

  /** Predictions per second. */
  rate(now: number): number | undefined {
    return this.#arrivals.rate(now);
  }

  /** Undefined before the first prediction with a number. */
  get losses(): Losses | undefined {
    const seq = this.#last?.seq;
    if (seq === undefined || this.#firstSeq === undefined) return undefined;
    return { late: this.#late, unanswered: Math.max(0, seq - this.#firstSeq + 1 - this.#received - this.#late) };
  }

  /** Frames that were given to workers. */
  get published(): number | undefined {
    return this.#last?.seq === undefined ? undefined : this.#last.seq + 1;
  }

  reset(): void {
    this.#latency.clear();
    this.#arrivals.clear();
    this.#last = undefined;
    this.#late = 0;
    this.#received = 0;
    this.#firstSeq = undefined;
  }
}
