import { Api } from '../api';
import { Client } from '../client/client';
import { toCoco, toJsonLines } from '../client/export';
import { LinkReader } from '../client/link-stats';
import { DEFAULT_PIPELINE, fetchPipelines } from '../client/pipelines';
import { preciseNow } from '../client/precise';
import { detectionsOf, type Prediction } from '../client/prediction';
import { Remote } from '../client/remote';
import { parseSession, socketUrl, type Listed, type Rest } from '../client/rest';
import { IDLE, type State } from '../client/session';
import type { TokenSource } from '../client/token';
import { openSource } from '../sources/open';
import { Controls } from './controls';
import { element, setText } from './dom';
import { Filter } from './filter';
import { Findings } from './findings';
import type { Shown, View } from './frame-view';
import { Panel } from './panel';
import { fileName, save } from './save';
import { Stage } from './stage';
import { Toolbar } from './toolbar';
import { countdownOf, hintOf, problemOf, statusOf } from './words';

const REFRESH_MS = 250;
/** The browser's counters change once a second, the server's too. */
const STATS_MS = 1000;

/** One session, seen and led: puts the parts together and passes what happens from one to the other. */
export class LivePage {
  readonly root: HTMLElement;
  readonly #api = new Api(IDLE);
  readonly #rest: Rest;
  readonly #changed: (state: State) => void;
  readonly #panel = new Panel();
  readonly #filter = new Filter();
  readonly #findings = new Findings(this.#filter);
  readonly #status = element('span', { role: 'status' });
  /** Outside the live region: a screen reader is not to count along. */
  readonly #countdown = element('span', { class: 'countdown' });
  readonly #link = new LinkReader();
  readonly #client: Client;
  readonly #remote: Remote;
  readonly #controls: Controls;
  readonly #toolbar: Toolbar;
  readonly #stage: Stage;
  /** Whichever of the two was started last. */
  #session: Client | Remote;
  #predictedAt: number | undefined;
  #shown: Shown | undefined;
  /** Of the session that runs, once its first prediction has told its id. */
  #id: string | undefined;
  /** What the server knows of it. */
  #listed: Listed | undefined;

  constructor(rest: Rest, token: TokenSource, changed: (state: State) => void) {
    this.#rest = rest;
    this.#changed = changed;
    const heard = {
      changed: (state: State) => this.#heard(state),
      predicted: (prediction: Prediction) => this.#predicted(prediction),
      returned: (stream: MediaStream | null) => this.#stage.showReturned(stream),
    };
    this.#client = new Client({
      ...heard,
      url: socketUrl(rest.base),
      token,
      openSource: (kind) => openSource(kind, this.#controls.choice),
      sourceChanged: (stream) => this.#stage.show(stream),
    });
    this.#remote = new Remote({ ...heard, rest });
    this.#session = this.#client;
    this.#stage = new Stage(this.#client, this.#filter, (shown) => this.#drawn(shown));
    this.#controls = new Controls(rest, {
      start: () => this.start(),
      stop: () => this.#session.stop(),
      retryNow: () => this.#session.retryNow(),
      sourceChosen: (kind) => this.#stage.hint(hintOf(kind)),
    });
    this.#toolbar = new Toolbar({
      viewChosen: (view) => (this.#stage.frames.view = view),
      snapshot: () => this.#stage.snapshot()?.toBlob((blob) => blob && save(fileName('png'), blob)),
      saveLines: () => save(fileName('jsonl'), new Blob([toJsonLines(this.#api.predictions)], { type: 'application/jsonl' })),
      saveCoco: () => save(fileName('coco.json'), new Blob([toCoco(this.#api.predictions)], { type: 'application/json' })),
    });
    const status = element('p', { class: 'status', 'data-testid': 'status' }, this.#status, ' ', this.#countdown);
    const seen = element('div', { class: 'seen' }, this.#stage.root, this.#toolbar.root, status);
    this.root = element('main', { class: 'live' }, seen, element('div', { class: 'side' }, this.#controls.root, this.#panel.root), this.#findings.root);
  }

  async begin(query: URLSearchParams): Promise<void> {
    window.sightline = this.#api;
    this.#heard(IDLE);
    setInterval(() => this.#refresh(), REFRESH_MS);
    setInterval(() => void this.#readLink(), STATS_MS);
    addEventListener('pagehide', () => this.#session === this.#remote && this.#remote.stop());
    if (query.get('view') === 'live') this.#choose('live');
    this.#controls.choose(query.get('source'));
    const pipelines = await fetchPipelines(this.#rest);
    await this.#controls.offer(pipelines, query.get('pipeline') ?? (pipelines ? null : DEFAULT_PIPELINE));
    if (query.get('autostart') === '1') this.start();
  }

  start(): void {
    const { intent } = this.#controls;
    this.#session = intent.source === 'address' || intent.source === 'watch' ? this.#remote : this.#client;
    this.#panel.begin();
    this.#findings.reset();
    this.#api.predictions.length = 0;
    this.#session.start(intent);
  }

  #choose(view: View): void {
    this.#toolbar.choose(view);
    this.#stage.frames.view = view;
  }

  #heard(state: State): void {
    if (state.name !== 'live') {
      this.#predictedAt = undefined;
      this.#shown = undefined;
      this.#id = this.#listed = undefined;
      this.#stage.frames.clear();
      this.#panel.clear();
      this.#link.reset();
    }
    this.#stage.tell(problemOf(state));
    this.#controls.update(state);
    this.#changed(state);
    this.#refresh();
    this.#api.setState(state);
  }

  #predicted(prediction: Prediction): void {
    const now = preciseNow();
    this.#predictedAt = now;
    this.#id = prediction.session;
    // What is watched has its boxes in the picture.
    if (this.#session.state.name === 'live' && this.#controls.kind !== 'watch') this.#stage.frames.show(prediction);
    this.#findings.add(detectionsOf(prediction, 16 / 9), now);
    this.#panel.set('model', prediction.model ?? 'not told');
    this.#panel.set('worker', prediction.worker ?? 'not told');
    this.#api.addPrediction(prediction.raw);
  }

  #drawn(shown: Shown): void {
    this.#shown = shown;
    this.#api.setShown(shown);
  }

  #refresh(): void {
    const now = preciseNow();
    const quiet = this.#predictedAt === undefined ? undefined : now - this.#predictedAt;
    const { state, measures } = this.#session;
    setText(this.#status, statusOf(state, quiet));
    setText(this.#countdown, countdownOf(state, Date.now()));
    // Of what this page sends, only what it measures itself counts.
    const told = this.#session === this.#remote ? this.#listed?.latency : undefined;
    this.#panel.measured(measures, state.name === 'live', now, told);
    // What the server fetches itself has no picture here to compare boxes with.
    this.#toolbar.tell(this.#session === this.#client ? this.#shown : undefined, this.#stage.returns);
  }

  async #readLink(): Promise<void> {
    if (this.#session.state.name !== 'live') return;
    const [report, listed] = await Promise.all([this.#session.stats(), this.#ask()]);
    if (this.#session.state.name !== 'live') return;
    this.#listed = listed;
    const stats = report && this.#link.read(report as unknown as Map<string, unknown>);
    // A server that does not tell what was dropped leaves it to what the page can see.
    this.#panel.linked(stats, this.#session.measures, listed?.dropped);
  }

  async #ask(): Promise<Listed | undefined> {
    const answer = this.#id && (await this.#rest.get(`sessions/${encodeURIComponent(this.#id)}`));
    return answer && 'body' in answer ? parseSession(answer.body) : undefined;
  }
}
