import { DEFAULT_PIPELINE, parseParameters, type Pipeline } from '../client/pipelines';
import { isRunning, parseSessions, type Rest } from '../client/rest';
import type { Intent, SourceKind, State } from '../client/session';
import { listCameras } from '../sources/camera';
import type { Choice } from '../sources/open';
import { element, field, setText } from './dom';
import { ParamsForm } from './params-form';

const SOURCES: readonly (readonly [SourceKind, string])[] = [
  ['camera', 'Camera'],
  ['screen', 'Screen or window'],
  ['file', 'Video file'],
  ['address', 'IP camera or address'],
  ['watch', 'Another session'],
  ['test', 'Test picture'],
];

/** Sessions come and go while one is being chosen. */
const RELIST_MS = 3000;

export interface ControlEvents {
  start(): void;
  stop(): void;
  retryNow(): void;
  sourceChosen(kind: SourceKind): void;
}

/** What to send and where to, and the two buttons. */
export class Controls {
  readonly root: HTMLFormElement;
  readonly #rest: Rest;
  readonly #events: ControlEvents;
  readonly #source = element('select', { 'data-testid': 'source' });
  readonly #camera = element('select', { 'data-testid': 'camera' });
  readonly #cameraField = field('Which camera', this.#camera);
  readonly #file = element('input', { type: 'file', accept: 'video/*', 'data-testid': 'file' });
  readonly #fileField = field('File', this.#file);
  readonly #session = element('select', { 'data-testid': 'session' });
  readonly #sessionField = field('Session', this.#session, 'Those whose pipeline sends its picture back can be watched.');
  readonly #pipeline = element('select', { 'data-testid': 'pipeline' });
  readonly #pipelineField = field('Pipeline', this.#pipeline);
  readonly #summary = element('small', { class: 'summary' });
  readonly #params = new ParamsForm();
  readonly #choices = element('fieldset', {}, element('legend', { class: 'unseen' }, 'What to send'));
  readonly #start = element('button', { type: 'submit', class: 'primary', 'data-testid': 'start' }, 'Start');
  readonly #stop = element('button', { type: 'button', 'data-testid': 'stop', disabled: true }, 'Stop');
  #pipelines: readonly Pipeline[] | undefined;
  #reconnecting = false;

  constructor(rest: Rest, events: ControlEvents) {
    this.#rest = rest;
    this.#events = events;
    for (const [value, name] of SOURCES) this.#source.add(new Option(name, value));
    this.#camera.add(new Option('The browser’s choice', ''));
    this.#source.addEventListener('change', () => this.#chosen());
    this.#pipeline.addEventListener('change', () => void this.#describe());
    this.#stop.addEventListener('click', () => events.stop());
    if ('mediaDevices' in navigator) navigator.mediaDevices.addEventListener('devicechange', () => void this.listCameras());
    this.#choices.append(
      ...[field('Source', this.#source), this.#cameraField, this.#fileField, this.#sessionField],
      ...[this.#pipelineField, this.#summary, this.#params.root],
    );
    const buttons = element('div', { class: 'buttons' }, this.#start, this.#stop);
    this.root = element('form', { class: 'card controls' }, this.#choices, buttons);
    this.root.addEventListener('submit', (event) => {
      event.preventDefault();
      if (this.#reconnecting) events.retryNow();
      else events.start();
    });
    setInterval(() => this.#relist(), RELIST_MS);
    this.#offer(null);
  }

  get kind(): SourceKind {
    return SOURCES.find(([value]) => value === this.#source.value)?.[0] ?? 'camera';
  }

  get intent(): Intent {
    const pipeline = this.#pipeline.value || DEFAULT_PIPELINE;
    const intent = { source: this.kind, pipeline, params: this.#params.values };
    if (this.kind === 'watch') return { ...intent, session: this.#session.value };
    return { ...intent, hasPicture: this.#pipelines?.some(({ name, watchable }) => name === pipeline && watchable) ?? false };
  }

  get choice(): Choice {
    return { file: this.#file.files?.[0], camera: this.#camera.value || undefined };
  }

  choose(source: string | null): void {
    if (SOURCES.some(([value]) => value === source)) this.#source.value = source ?? '';
    this.#chosen();
  }

  /** `wanted` can be named even if the list lacks it: the server has the last word. */
  async offer(pipelines: readonly Pipeline[] | undefined, wanted: string | null): Promise<void> {
    this.#pipelines = pipelines;
    this.#offer(wanted);
    await this.#describe();
  }

  /** Cameras have names only after one of them was allowed. */
  async listCameras(): Promise<void> {
    const chosen = this.#camera.value;
    const cameras = await listCameras();
    this.#camera.replaceChildren(new Option('The browser’s choice', ''), ...cameras.map(({ id, name }) => new Option(name, id)));
    this.#camera.value = cameras.some(({ id }) => id === chosen) ? chosen : '';
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
    if (state.name === 'live' && this.kind === 'camera') void this.listCameras();
  }

  #chosen(): void {
    const { kind } = this;
    this.#cameraField.hidden = kind !== 'camera';
    this.#fileField.hidden = kind !== 'file';
    this.#sessionField.hidden = kind !== 'watch';
    if (kind === 'camera') void this.listCameras();
    this.#offer(this.#pipeline.value);
    void this.#describe();
    this.#events.sourceChosen(kind);
  }

  /** The pipelines for this source. Without a list there is nothing to pick from. */
  #offer(wanted: string | null): void {
    const kind = this.kind === 'address' ? 'source' : 'session';
    const known = this.#pipelines?.filter((one) => one.kind === kind).map(({ name }) => name) ?? [];
    const foreign = this.#pipelines?.some(({ name }) => name === wanted) ?? false;
    const names = wanted && !foreign && !known.includes(wanted) ? [...known, wanted] : known;
    if (names.length === 0) names.push(DEFAULT_PIPELINE);
    this.#pipeline.replaceChildren(...names.map((name) => new Option(name, name)));
    const usual = names.includes(DEFAULT_PIPELINE) ? DEFAULT_PIPELINE : (names[0] ?? '');
    this.#pipeline.value = wanted && names.includes(wanted) ? wanted : usual;
    this.#pipelineField.hidden = !this.#pipelines?.length || this.kind === 'watch';
  }

  async #describe(): Promise<void> {
    const watch = this.kind === 'watch';
    if (watch) void this.#listSessions();
    const name = this.#pipeline.value;
    const chosen = watch ? undefined : this.#pipelines?.find((one) => one.name === name);
    setText(this.#summary, chosen?.summary ?? '');
    this.#summary.hidden = watch;
    const answer = chosen && (await this.#rest.get(`pipelines/${encodeURIComponent(name)}`));
    if (name === this.#pipeline.value) this.#params.show(answer && 'body' in answer ? parseParameters(answer.body) : []);
  }

  /** Not while it is being looked at. */
  #relist(): void {
    const chosen = this.kind !== 'watch' || this.#choices.disabled || this.#session === document.activeElement;
    if (!chosen) void this.#listSessions();
  }

  async #listSessions(): Promise<void> {
    const answer = await this.#rest.get('sessions');
    const watchable = new Set(this.#pipelines?.flatMap(({ name, watchable: can }) => (can ? name : [])));
    const sessions = 'body' in answer ? parseSessions(answer.body).filter((one) => isRunning(one) && watchable.has(one.pipeline)) : [];
    const options = sessions.map(({ id, pipeline }) => new Option(`${id.slice(0, 8)} · ${pipeline}`, id));
    const chosen = this.#session.value;
    this.#session.replaceChildren(...(options.length > 0 ? options : [new Option('None can be watched now', '')]));
    if (sessions.some(({ id }) => id === chosen)) this.#session.value = chosen;
  }
}
