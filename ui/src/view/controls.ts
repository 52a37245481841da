import { DEFAULT_PIPELINE, type Pipeline } from '../client/pipelines';
import type { Intent, SourceKind, State } from '../client/session';
import { element, setText } from './dom';

const SOURCES: readonly (readonly [SourceKind, string])[] = [
  ['camera', 'Camera'],
  ['file', 'Video file'],
  ['test', 'Test picture'],
];

export interface ControlEvents {
  start(): void;
  stop(): void;
  retryNow(): void;
}

/** What to send and where to, and the two buttons. */
export class Controls {
  readonly root: HTMLFormElement;
  readonly #source = element('select', { 'data-testid': 'source' });
  readonly #file = element('input', { type: 'file', accept: 'video/*', 'data-testid': 'file' });
  readonly #fileField = field('File', this.#file);
  readonly #pipeline = element('select', { 'data-testid': 'pipeline' });
  readonly #pipelineField = field('Pipeline', this.#pipeline);
  readonly #summary = element('small', { class: 'summary' });
  readonly #choices = element('fieldset', {}, element('legend', { class: 'unseen' }, 'What to send'));
  readonly #start = element('button', { type: 'submit', class: 'primary', 'data-testid': 'start' }, 'Start');
  readonly #stop = element('button', { type: 'button', 'data-testid': 'stop', disabled: true }, 'Stop');
  #pipelines: readonly Pipeline[] = [{ name: DEFAULT_PIPELINE, summary: '' }];
  #reconnecting = false;

  constructor(events: ControlEvents) {
    for (const [value, name] of SOURCES) this.#source.add(new Option(name, value));
    this.#source.addEventListener('change', () => this.#refresh());
    this.#pipeline.addEventListener('change', () => this.#refresh());
    this.#stop.addEventListener('click', () => events.stop());
    this.#choices.append(field('Source', this.#source), this.#fileField, this.#pipelineField, this.#summary);
    const buttons = element('div', { class: 'buttons' }, this.#start, this.#stop);
    this.root = element('form', { class: 'controls' }, this.#choices, buttons);
    this.root.addEventListener('submit', (event) => {
      event.preventDefault();
      if (this.#reconnecting) events.retryNow();
      else events.start();
    });
    this.offer(this.#pipelines, DEFAULT_PIPELINE);
  }

  get intent(): Intent {
    const source = SOURCES.find(([value]) => value === this.#source.value)?.[0] ?? 'camera';
    return { source, pipeline: this.#pipeline.value || DEFAULT_PIPELINE, params: {} };
  }

  get file(): File | undefined {
    return this.#file.files?.[0];
  }

  choose(source: string | null): void {
    if (SOURCES.some(([value]) => value === source)) this.#source.value = source ?? '';
    this.#refresh();
  }

  /** Without a list there is nothing to pick from. `wanted` can be named even if the list lacks it: the server has the last word. */
  offer(pipelines: readonly Pipeline[] | undefined, wanted: string | null): void {
    this.#pipelines = pipelines?.length ? pipelines : [{ name: wanted ?? DEFAULT_PIPELINE, summary: '' }];
    const names = this.#pipelines.map(({ name }) => name);
    if (wanted && !names.includes(wanted)) names.push(wanted);
    this.#pipeline.replaceChildren(...names.map((name) => new Option(name, name)));
    this.#pipeline.value = wanted ?? (names.includes(DEFAULT_PIPELINE) ? DEFAULT_PIPELINE : (names[0] ?? ''));
    this.#pipelineField.hidden = !pipelines?.length;
    this.#refresh();
  }

  update(state: State): void {
    const active = state.name !== 'idle' && state.name !== 'failed';
    this.#reconnecting = state.name === 'reconnecting';
    // A disabled button drops the keyboard's focus: hand it to the one that is of use now.
    const focused = document.activeElement === this.#start || document.activeElement === this.#stop;
    this.#choices.disabled = active;
    this.#start.disabled = active && !this.#reconnecting;
    this.#stop.disabled = !active;
    setText(this.#start, this.#reconnecting ? 'Try now' : 'Start');
    if (focused && (this.#start.disabled || this.#stop.disabled)) (active ? this.#stop : this.#start).focus();
  }

  #refresh(): void {
    this.#fileField.hidden = this.#source.value !== 'file';
    const chosen = this.#pipelines.find(({ name }) => name === this.#pipeline.value);
    setText(this.#summary, chosen?.summary ?? '');
  }
}

function field(name: string, control: HTMLElement): HTMLLabelElement {
  return element('label', { class: 'field' }, element('span', {}, name), control);
}
