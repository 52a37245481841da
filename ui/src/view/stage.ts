import type { Prediction } from '../client/prediction';
import type { Problem } from '../client/protocol';
import { element, setText } from './dom';
import { Overlay } from './overlay';
import { explain } from './words';

/** The picture, the boxes over it, and what is to be said about a fault. */
export class Stage {
  readonly root: HTMLElement;
  readonly #video = element('video', { playsinline: true, 'aria-label': 'The video being sent' });
  readonly #returned = element('video', {
    playsinline: true,
    class: 'returned',
    'aria-label': 'The video as it comes back, with boxes drawn in',
    hidden: true,
  });
  readonly #overlay: Overlay;
  readonly #what = element('strong');
  readonly #next = element('span');
  readonly #detail = element('small');
  readonly #error = element('div', { class: 'problem', role: 'alert', 'data-testid': 'error', hidden: true });

  constructor() {
    const canvas = element('canvas', { 'aria-hidden': 'true' });
    this.#video.muted = true;
    this.#returned.muted = true;
    this.#overlay = new Overlay(this.#video, canvas);
    this.#error.append(this.#what, this.#next, this.#detail);
    const hint = element('p', { class: 'hint' }, 'Your video appears here.');
    this.root = element('div', { class: 'stage' }, hint, this.#video, canvas, this.#returned, this.#error);
  }

  show(stream: MediaStream | null): void {
    this.#video.srcObject = stream;
    this.root.classList.toggle('has-video', stream !== null);
    // Refused only where the user forbids muted videos too; the session is not harmed by it.
    if (stream) this.#video.play().catch(() => undefined);
    else this.#overlay.clear();
  }

  /** A picture that comes back covers the one that is sent: its boxes are in it. */
  showReturned(stream: MediaStream | null): void {
    this.#returned.srcObject = stream;
    this.#returned.hidden = stream === null;
    if (stream) this.#returned.play().catch(() => undefined);
  }

  draw(prediction: Prediction): void {
    this.#overlay.show(prediction);
  }

  clear(): void {
    this.#overlay.clear();
  }

  tell(problem: Problem | undefined): void {
    if (problem) {
      const { what, next, detail } = explain(problem);
      setText(this.#what, what);
      setText(this.#next, next);
      setText(this.#detail, detail ?? '');
    }
    this.#error.hidden = !problem;
  }
}
