import { element, setText } from './dom';

const READOUTS = {
  latency: ['Latency', 'Median of the last 3 s, from the frame’s arrival at the pipeline to its boxes here'],
  rate: ['Inference', 'Results per second, over the last 3 s'],
  model: ['Model', 'The model that found the boxes'],
  worker: ['Worker', 'The process that ran it'],
} as const;

export type Readout = keyof typeof READOUTS;

/** Numbers and names beside the picture. Each keeps its place while its value comes and goes. */
export class Readouts {
  readonly root = element('dl', { class: 'readouts' });
  readonly #values = new Map<Readout, HTMLElement>();

  constructor() {
    for (const [key, [name, title]] of Object.entries(READOUTS)) {
      const value = element('dd', { 'data-testid': key }, '–');
      this.#values.set(key as Readout, value);
      this.root.append(element('div', { title }, element('dt', {}, name), value));
    }
  }

  set(readout: Readout, text: string): void {
    const value = this.#values.get(readout);
    if (value) setText(value, text);
  }
}
