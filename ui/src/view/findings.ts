import { Journal, type Sighting } from '../client/journal';
import type { Detection } from '../client/prediction';
import { colourOf } from './colour';
import { element } from './dom';
import type { Filter } from './filter';
import { percent } from './words';

const LINES = 40;
/** More kinds than any model in use has, and fewer than would hurt the page. */
const MOST_LABELS = 200;

/** What was found: a filter by score and class, and a log. */
export class Findings {
  readonly root: HTMLElement;
  readonly #filter: Filter;
  readonly #journal = new Journal();
  readonly #chips = element('div', { class: 'chips', 'data-testid': 'classes' });
  readonly #log = element('ol', { class: 'log', 'data-testid': 'log', tabindex: '0', 'aria-label': 'Detections, the newest first' });
  readonly #known = new Set<string>();
  readonly #none = element('p', { class: 'none' }, 'What is found will be listed here.');

  constructor(filter: Filter) {
    this.#filter = filter;
    const score = element('input', { type: 'range', min: '0', max: '100', value: '0', 'data-testid': 'score' });
    const value = element('output', {}, '0 %');
    score.addEventListener('input', () => {
      filter.least = score.valueAsNumber / 100;
      value.textContent = percent(filter.least);
    });
    const slider = element('label', { class: 'field score' }, element('span', {}, 'Show from a score of ', value), score);
    const classes = element('fieldset', {}, element('legend', {}, 'Classes'), this.#chips);
    const heading = element('h2', {}, 'Detections');
    this.root = element('section', { class: 'card findings' }, heading, element('div', { class: 'filters' }, slider, classes), this.#none, this.#log);
  }

  add(detections: readonly Detection[], now: number): void {
    for (const sighting of this.#journal.add(detections, now)) {
      this.#offer(sighting.label);
      this.#log.prepend(line(sighting));
      this.#none.hidden = true;
    }
    while (this.#log.childElementCount > LINES) this.#log.lastElementChild?.remove();
  }

  /** A new session: the filter stays as it was chosen. */
  reset(): void {
    this.#journal.reset();
    this.#log.replaceChildren();
    this.#none.hidden = false;
  }

  #offer(label: string): void {
    if (this.#known.has(label) || this.#known.size >= MOST_LABELS) return;
    this.#known.add(label);
    const box = element('input', { type: 'checkbox', checked: true });
    box.addEventListener('change', () => this.#filter.show(label, box.checked));
    const chip = element('label', { class: 'chip' }, box, dot(label), label);
    const next = [...this.#chips.children].find(({ textContent }) => (textContent ?? '') > label);
    this.#chips.insertBefore(chip, next ?? null);
  }
}

function line({ label, count, score, at }: Sighting): HTMLElement {
  const time = new Date(at).toLocaleTimeString();
  const what = count > 1 ? `${label} ×${count}` : label;
  return element('li', {}, element('time', {}, time), dot(label), element('span', {}, what), element('span', { class: 'score' }, percent(score)));
}

function dot(label: string): HTMLElement {
  const node = element('i', { class: 'dot', 'aria-hidden': 'true' });
  node.style.background = colourOf(label).stroke;
  return node;
}
