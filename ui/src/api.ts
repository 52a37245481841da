import type { Fields } from './client/validate';
import type { State } from './client/session';
import type { Shown } from './view/frame-view';

interface Topics {
  state: State;
  prediction: Fields;
  /** Boxes were drawn on a picture. */
  shown: Shown;
}

type Listener<T> = (value: T) => void;

/** Some minutes; a bound on what the page may hold. */
export const KEPT = 5000;

/** `window.sightline`: what a script, a test or a curious person may read and listen to. */
export class Api {
  /** The last 5000 predictions as they came, oldest first. */
  readonly predictions: Fields[] = [];
  readonly #listeners: { [T in keyof Topics]: Set<Listener<Topics[T]>> } = { state: new Set(), prediction: new Set(), shown: new Set() };
  #state: State;

  constructor(state: State) {
    this.#state = state;
  }

  get state(): State {
    return this.#state;
  }

  /** Calls `listener` on each change of state, or each prediction. Returns how to stop that. */
  on<T extends keyof Topics>(topic: T, listener: Listener<Topics[T]>): () => void {
    const listeners: Set<Listener<Topics[T]>> = this.#listeners[topic];
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  setState(state: State): void {
    this.#state = state;
    this.#tell('state', state);
  }

  addPrediction(prediction: Fields): void {
    this.predictions.push(prediction);
    if (this.predictions.length > KEPT) this.predictions.shift();
    this.#tell('prediction', prediction);
  }

  setShown(shown: Shown): void {
    this.#tell('shown', shown);
  }

  #tell<T extends keyof Topics>(topic: T, value: Topics[T]): void {
    for (const listener of this.#listeners[topic]) {
      try {
        listener(value);
      } catch (error) {
        // A visitor's mistake must not end the session.
        console.error('sightline: a listener failed', error);
      }
    }
  }
}

declare global {
  interface Window {
    sightline?: Api;
  }
}
