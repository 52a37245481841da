import { element, setText } from './dom';
import type { Shown, View } from './frame-view';
import { skewOf } from './words';

const VIEWS: readonly (readonly [View, string, string])[] = [
  ['exact', 'Exact', 'Each picture with its own boxes, a little later'],
  ['live', 'Live', 'The newest picture; boxes are moved along'],
];

export interface ToolbarEvents {
  viewChosen(view: View): void;
  snapshot(): void;
  saveLines(): void;
  saveCoco(): void;
}

/** Below the picture: which view, how well boxes and picture agree, and what can be kept. */
export class Toolbar {
  readonly root: HTMLElement;
  readonly #inputs = new Map<View, HTMLInputElement>();
  readonly #views = element('fieldset', { class: 'segments' }, element('legend', { class: 'unseen' }, 'View'));
  readonly #skew = element('span', { class: 'skew', 'data-testid': 'skew', title: 'By how many frames the picture is newer than its boxes' }, '–');

  constructor(events: ToolbarEvents) {
    for (const [view, name, title] of VIEWS) {
      const input = element('input', { type: 'radio', name: 'view', value: view, checked: view === 'exact' });
      input.addEventListener('change', () => events.viewChosen(view));
      this.#inputs.set(view, input);
      this.#views.append(element('label', { title }, input, element('span', {}, name)));
    }
    const button = (text: string, title: string, id: string, act: () => void) => {
      const one = element('button', { type: 'button', class: 'small', title, 'data-testid': id }, text);
      one.addEventListener('click', act);
      return one;
    };
    const keep = element(
      'div',
      { class: 'keep' },
      button('Snapshot', 'The picture with its boxes, as PNG', 'snapshot', () => events.snapshot()),
      button('JSON lines', 'The last 5000 predictions, as they came', 'save-lines', () => events.saveLines()),
      button('COCO', 'The same as a COCO data set', 'save-coco', () => events.saveCoco()),
    );
    this.root = element('div', { class: 'toolbar' }, this.#views, this.#skew, keep);
  }

  choose(view: View): void {
    const input = this.#inputs.get(view);
    if (input) input.checked = true;
  }

  /** Where the server draws the boxes in, there are no views to choose from. */
  tell(shown: Shown | undefined, returned: boolean): void {
    this.#views.disabled = returned;
    setText(this.#skew, returned ? 'Boxes drawn in by the server' : skewOf(shown));
  }
}
