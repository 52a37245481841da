/** Of so many exchanges the quickest is trusted: old ones are forgotten because clocks drift. */
const KEPT = 12;

interface Sample {
  readonly roundTrip: number;
  readonly offset: number;
}

/**
 * How far the server's clock is ahead of ours, as NTP does it: the reply was written about halfway through the
 * round trip, and the shorter the trip, the smaller the error (at most half of it).
 */
export class ServerClock {
  #samples: Sample[] = [];

  /** All in milliseconds of Unix time: ours at sending, the server's at answering, ours at receipt. */
  add(sent: number, server: number, received: number): void {
    const roundTrip = received - sent;
    if (roundTrip < 0) return;
    this.#samples.push({ roundTrip, offset: server - (sent + received) / 2 });
    if (this.#samples.length > KEPT) this.#samples.shift();
  }

  /** Milliseconds to add to our clock, or undefined before the first exchange. */
  get offset(): number | undefined {
    let best: Sample | undefined;
    for (const sample of this.#samples) {
      if (!best || sample.roundTrip < best.roundTrip) best = sample;
    }
    return best?.offset;
  }

  reset(): void {
    this.#samples = [];
  }
}
