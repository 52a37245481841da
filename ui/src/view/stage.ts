import type { Client } from '../client/client';
import type { Problem } from '../client/protocol';
import { element, setText } from './dom';
import type { Filter } from './filter';
import { FrameView, type Shown } from './frame-view';
import { play } from './play';
import { explain } from './words';

/** The picture, the boxes over it, and what is to be said about a fault. */
export class Stage {
  readonly root: HTMLElement;
  readonly frames: FrameView;
  readonly #video = element('video', { playsinline: true, 'aria-label': 'The video being sent' });
  readonly #returned = element('video', {
    playsinline: true,
    class: 'returned',
    'aria-label': 'The video as it comes back, with boxes drawn in',
    hidden: true,
  });
  readonly #hint = element('p', { class: 'hint' }, 'Your video appears here.');
  readonly #what = element('strong');
  readonly #next = element('span');
  readonly #detail = element('small');
  readonly #error = element('div', { class: 'problem', role: 'alert', 'data-testid': 'error', hidden: true });

  constructor(client: Client, filter: Filter, shown: (shown: Shown) => void) {
    const picture = element('canvas', { class: 'picture', role: 'img', 'aria-label': 'The video with its boxes', hidden: true });
    const boxes = element('canvas', { class: 'boxes', 'aria-hidden': 'true' });
    this.#video.muted = true;
    this.#returned.muted = true;
    this.frames = new FrameView(this.#video, picture, boxes, client.frames, client.presented.bind(client), filter, shown);
    this.#error.append(this.#what, this.#next, this.#detail);
    this.root = element('div', { class: 'stage' }, this.#hint, this.#video, picture, boxes, this.#returned, this.#error);
  }

  show(stream: MediaStream | null): void {
    play(this.#video, stream);
    this.root.classList.toggle('has-video', stream !== null);
    if (!stream) this.frames.forget();
  }

  /** A picture that comes back covers the one that is sent: its boxes are in it. */
  showReturned(stream: MediaStream | null): void {
    this.#returned.hidden = stream === null;
    play(this.#returned, stream);
  }

  /** Whether the picture is one that came back, with boxes drawn in. */
  get returns(): boolean {
    return !this.#returned.hidden;
  }

  /** The picture as it is seen, with its boxes. */
  snapshot(): HTMLCanvasElement | undefined {
    if (!this.returns) return this.frames.snapshot();
    const { videoWidth: width, videoHeight: height } = this.#returned;
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    canvas.getContext('2d')?.drawImage(this.#returned, 0, 0);
    return width > 0 ? canvas : undefined;
  }

  /** What stands on the empty stage. */
  hint(text: string): void {
    setText(this.#hint, text);
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
