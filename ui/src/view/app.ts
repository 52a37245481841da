import { Api } from '../api';
import { Client, preciseNow } from '../client/client';
import { DEFAULT_PIPELINE, fetchPipelines } from '../client/pipelines';
import type { Prediction } from '../client/prediction';
import { IDLE, type State } from '../client/session';
import { openSource } from '../sources/open';
import { Controls } from './controls';
import { element, setText } from './dom';
import { Filter } from './filter';
import { Readouts } from './readouts';
import { Stage } from './stage';
import { connectionOf, countdownOf, milliseconds, perSecond, problemOf, statusOf } from './words';

const REFRESH_MS = 250;

/** The page: puts the parts together and passes what happens from one to the other. */
export class SightlineApp extends HTMLElement {
  readonly #api = new Api(IDLE);
  readonly #filter = new Filter();
  readonly #readouts = new Readouts();
  readonly #badge = element('span', { class: 'badge', 'data-testid': 'connection' });
  readonly #status = element('span', { role: 'status' });
  /** Outside the live region: a screen reader is not to count along. */
  readonly #countdown = element('span', { class: 'countdown' });
  readonly #client: Client;
  readonly #stage: Stage;
  readonly #controls: Controls;
  #predictedAt: number | undefined;

  constructor() {
    super();
    this.#client = new Client({
      url: webSocketUrl(),
      openSource: (kind) => openSource(kind, this.#controls.file),
      changed: (state) => this.#changed(state),
      predicted: (prediction) => this.#predicted(prediction),
      sourceChanged: (stream) => this.#stage.show(stream),
      returned: (stream) => this.#stage.showReturned(stream),
    });
    this.#stage = new Stage(this.#client.frames, this.#filter, (shown) => this.#api.setShown(shown));
    this.#controls = new Controls({
      start: () => this.#client.start(this.#controls.intent),
      stop: () => this.#client.stop(),
      retryNow: () => this.#client.retryNow(),
    });
  }

  connectedCallback(): void {
    if (this.firstChild) return;
    const header = element('header', {}, element('h1', {}, 'Sightline'), this.#badge);
    const status = element('p', { class: 'status', 'data-testid': 'status' }, this.#status, ' ', this.#countdown);
    const side = element('div', { class: 'side' }, this.#controls.root, this.#readouts.root);
    const privacy = element('footer', {}, 'While live, your video goes to this page’s server and is not stored.');
    this.append(header, element('main', {}, element('div', {}, this.#stage.root, status), side), privacy);
    window.sightline = this.#api;
    this.#changed(IDLE);
    setInterval(() => this.#refresh(), REFRESH_MS);
    void this.#begin(new URLSearchParams(location.search));
  }

  async #begin(query: URLSearchParams): Promise<void> {
    this.#controls.choose(query.get('source'));
    if (query.get('view') === 'exact') this.#stage.frames.view = 'exact';
    const pipelines = await fetchPipelines(new URL('api/v1/pipelines', document.baseURI));
    this.#controls.offer(pipelines, query.get('pipeline') ?? (pipelines ? null : DEFAULT_PIPELINE));
    if (query.get('autostart') === '1') this.#client.start(this.#controls.intent);
  }

  #changed(state: State): void {
    this.dataset['state'] = state.name;
    if (state.name !== 'live') {
      this.#predictedAt = undefined;
      this.#stage.frames.clear();
      this.#readouts.set('model', '–');
      this.#readouts.set('worker', '–');
    }
    setText(this.#badge, connectionOf(state));
    this.#stage.tell(problemOf(state));
    this.#controls.update(state);
    this.#refresh();
    this.#api.setState(state);
  }

  #predicted(prediction: Prediction): void {
    this.#predictedAt = preciseNow();
    this.#stage.frames.show(prediction);
    this.#readouts.set('model', prediction.model ?? 'not told');
    this.#readouts.set('worker', prediction.worker ?? 'not told');
    this.#api.addPrediction(prediction.raw);
  }

  #refresh(): void {
    const now = preciseNow();
    const quiet = this.#predictedAt === undefined ? undefined : now - this.#predictedAt;
    const { state } = this.#client;
    setText(this.#status, statusOf(state, quiet));
    setText(this.#countdown, countdownOf(state, Date.now()));
    this.#readouts.set('latency', milliseconds(this.#client.measures.latency(0.5, now)));
    this.#readouts.set('rate', perSecond(state.name === 'live' ? this.#client.measures.rate(now) : undefined));
  }
}

function webSocketUrl(): URL {
  const url = new URL('ws', document.baseURI);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url;
}
