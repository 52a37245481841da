/** The values of the last `span` milliseconds. */
export class SlidingWindow {
  readonly #span: number;
  #entries: { readonly at: number; readonly value: number }[] = [];
  #since: number | undefined;

  constructor(span: number) {
    this.#span = span;
  }

  push(value: number, now: number): void {
    this.#since ??= now;
    this.#entries.push({ at: now, value });
    this.#trim(now);
  }

  /** Entries per second. Undefined in the first half second, when it would be a guess. */
  rate(now: number): number | undefined {
    if (this.#since === undefined) return undefined;
    this.#trim(now);
    const covered = Math.min(this.#span, now - this.#since);
    return covered < 500 ? undefined : (this.#entries.length * 1000) / covered;
  }

  median(now: number): number | undefined {
    return this.quantile(0.5, now);
  }

  /** The value that this share of the entries does not exceed, between two of them interpolated. */
  quantile(share: number, now: number): number | undefined {
    this.#trim(now);
    const values = this.#entries.map((entry) => entry.value).sort((a, b) => a - b);
    const place = share * (values.length - 1);
    const [lower, upper] = [values[Math.floor(place)], values[Math.ceil(place)]];
    return lower === undefined || upper === undefined ? undefined : lower + (upper - lower) * (place % 1);
  }

  clear(): void {
    this.#entries = [];
    this.#since = undefined;
  }

  #trim(now: number): void {
    const oldest = now - this.#span;
    const keep = this.#entries.findIndex((entry) => entry.at > oldest);
    this.#entries.splice(0, keep === -1 ? this.#entries.length : keep);
  }
}
