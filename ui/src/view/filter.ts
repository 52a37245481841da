import type { Detection } from '../client/prediction';

/** Which detections are shown. It acts at once, on what is already in the page. */
export class Filter {
  onchange: (() => void) | undefined;
  #least = 0;
  readonly #hidden = new Set<string>();

  get least(): number {
    return this.#least;
  }

  /** The lowest score that is shown, 0..1. */
  set least(score: number) {
    this.#least = score;
    this.onchange?.();
  }

  show(label: string, shown: boolean): void {
    if (shown) this.#hidden.delete(label);
    else this.#hidden.add(label);
    this.onchange?.();
  }

  passes({ label, score }: Detection): boolean {
    return score >= this.#least && !this.#hidden.has(label);
  }
}
