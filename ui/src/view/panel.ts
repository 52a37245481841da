import type { LinkStats } from '../client/link-stats';
import type { Measures } from '../client/measures';
import type { Drops } from '../client/rest';
import { Chart } from './chart';
import { element, setText } from './dom';
import { dropsOf, megabits, milliseconds, percent, perSecond } from './words';

const READOUTS = {
  latency: ['Latency', 'Median of the last 3 s, from the frame’s arrival at the pipeline to its boxes here'],
  p95: ['95 % within', 'Of the last 3 s, 95 % of the boxes came within this time'],
  rate: ['Inference', 'Results per second, over the last 3 s'],
  video: ['Video', 'Size and rate of the picture that goes over the network'],
  bitrate: ['Bitrate', 'Of the video, over the last second'],
  trip: ['Round trip', 'Of a packet to the server and back'],
  drops: ['Not inferred', 'Frames for which no worker was free, frames given to workers without an answer, answers that came too late'],
  model: ['Model', 'The model that found the boxes'],
  worker: ['Worker', 'The process that ran it'],
} as const;

type Readout = keyof typeof READOUTS;

/** In the place of the latency, where nobody notes when a frame came. */
const MODEL_TIME = ['Model takes', 'What the server has measured of one frame, smoothed; when frames of an address came is not known'] as const;

/** Numbers and names beside the picture. Each keeps its place while its value comes and goes. */
export class Panel {
  readonly root: HTMLElement;
  readonly #chart = new Chart();
  readonly #values = new Map<Readout, HTMLElement>();
  readonly #latencyName: HTMLElement;

  constructor() {
    const list = element('dl', { class: 'readouts' });
    for (const [key, [name, title]] of Object.entries(READOUTS)) {
      const value = element('dd', { 'data-testid': key }, '–');
      this.#values.set(key as Readout, value);
      list.append(element('div', { title, class: key }, element('dt', {}, name), value));
    }
    this.#latencyName = list.querySelector<HTMLElement>('.latency dt') ?? element('dt');
    const heading = element('h2', { class: 'unseen' }, 'Measurements');
    this.root = element('section', { class: 'card panel' }, heading, this.#chart.root, list);
  }

  /** Those of the last seconds; `live` is false when there is no session. `told`: what the server says of one without times. */
  measured(measures: Measures, live: boolean, now: number, told: number | undefined): void {
    const [median, most] = [measures.latency(0.5, now), measures.latency(0.95, now)];
    const [name, title] = median === undefined && told !== undefined ? MODEL_TIME : READOUTS.latency;
    setText(this.#latencyName, name);
    this.#latencyName.parentElement?.setAttribute('title', title);
    this.set('latency', milliseconds(median ?? told));
    this.set('p95', milliseconds(most));
    this.set('rate', perSecond(live ? measures.rate(now) : undefined));
    if (live) this.#chart.push(median, most, now);
  }

  linked(stats: LinkStats | undefined, measures: Measures, dropped: Drops | undefined): void {
    const { width, height, fps, bitrate, roundTripMs, loss, encoded, limitation } = stats ?? {};
    const size = width && height ? `${width}×${height}` : '–';
    this.set('video', fps === undefined ? size : `${size}, ${Math.round(fps)} /s${limitation ? ` (${limitation})` : ''}`);
    this.set('bitrate', megabits(bitrate));
    this.set('trip', `${milliseconds(roundTripMs)}${loss ? `, ${percent(loss)} lost` : ''}`);
    const { losses, published } = measures;
    const busy = encoded === undefined || published === undefined ? {} : { replaced: Math.max(0, encoded - published) };
    this.set('drops', dropsOf(dropped ?? (losses && { ...busy, ...losses })));
  }

  /** A session is over: the last minute stays to be looked at. */
  clear(): void {
    for (const readout of Object.keys(READOUTS)) this.set(readout as Readout, '–');
  }

  /** A new session begins. */
  begin(): void {
    this.#chart.clear();
  }

  set(readout: Readout, text: string): void {
    const value = this.#values.get(readout);
    if (!value) return;
    setText(value, text);
    // Names may be cut off.
    if (readout === 'worker' || readout === 'model') value.title = text;
  }
}
