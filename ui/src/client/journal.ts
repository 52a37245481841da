import type { Detection } from './prediction';

/** Something that was lost from sight for so long counts as new when it comes back. */
const GONE_MS = 2000;

export interface Sighting {
  readonly label: string;
  /** How many there are now. */
  readonly count: number;
  /** Of the surest, 0..1. */
  readonly score: number;
  /** Unix time in milliseconds. */
  readonly at: number;
}

interface Seen {
  count: number;
  at: number;
}

/** Turns many detections a second into the few sightings that a person would write down: more of a kind than before. */
export class Journal {
  readonly #seen = new Map<string, Seen>();

  add(detections: readonly Detection[], at: number): Sighting[] {
    const sightings: Sighting[] = [];
    for (const [label, scores] of byLabel(detections)) {
      const seen = this.#seen.get(label);
      const before = seen && at - seen.at < GONE_MS ? seen.count : 0;
      const count = scores.length;
      if (count > before) sightings.push({ label, count, score: Math.max(...scores), at });
      // Fewer count only when that has lasted: detectors miss now and then.
      if (count >= before) this.#seen.set(label, { count, at });
    }
    return sightings;
  }

  /** All labels that were seen, in their order. */
  get labels(): string[] {
    return [...this.#seen.keys()].sort();
  }

  reset(): void {
    this.#seen.clear();
  }
}

function byLabel(detections: readonly Detection[]): Map<string, number[]> {
  const labels = new Map<string, number[]>();
  for (const { label, score } of detections) {
    const scores = labels.get(label);
    if (scores) scores.push(score);
    else labels.set(label, [score]);
  }
  return labels;
}
