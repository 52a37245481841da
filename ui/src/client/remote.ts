import { ServerClock } from './clock';
import { probeClock } from './clock-probe';
import { FrameClock } from './frame-clock';
import { Measures } from './measures';
import { preciseNow } from './precise';
import { parsePrediction, type Prediction } from './prediction';
import type { Problem } from './protocol';
import { EventStream } from './event-stream';
import { parseSession, socketUrl, type Rest } from './rest';
import { IDLE, retryDelay, type Intent, type State } from './session';
import { parseJson } from './validate';
import { Viewer } from './whep';

export interface RemoteOptions {
  readonly rest: Rest;
  changed(state: State): void;
  predicted(prediction: Prediction): void;
  /** The picture of the session that is watched; null when it is gone. */
  returned(stream: MediaStream | null): void;
}

/**
 * A session whose video does not come from this page: of an address that the server opens (`address`), or of somebody
 * else, watched here (`watch`). Its predictions come as Server-Sent Events. It has the states of a session of our own.
 */
export class Remote {
  readonly frames = new FrameClock();
  readonly #clock = new ServerClock();
  readonly measures = new Measures(this.#clock);
  readonly #options: RemoteOptions;
  readonly #rest: Rest;
  #state: State = IDLE;
  /** The session that this page has started, to be stopped by it. */
  #own: string | undefined;
  #events: EventStream | undefined;
  #viewer: Viewer | undefined;
  #forgetClock: (() => void) | undefined;
  #timer: number | undefined;
  /** Counts attempts: what an old one brings is let go. */
  #turn = 0;

  constructor(options: RemoteOptions) {
    this.#options = options;
    this.#rest = options.rest;
  }

  get state(): State {
    return this.#state;
  }

  start(intent: Intent): void {
    if (this.#state.name === 'idle' || this.#state.name === 'failed') void this.#connect(intent, 0);
  }

  stop(): void {
    this.#release();
    this.#set(IDLE);
  }

  retryNow(): void {
    if (this.#state.name === 'reconnecting') void this.#connect(this.#state.intent, this.#state.attempt);
  }

  stats(): Promise<RTCStatsReport> | undefined {
    return this.#viewer?.stats();
  }

  async #connect(intent: Intent, attempt: number): Promise<void> {
    clearTimeout(this.#timer);
    const turn = ++this.#turn;
    this.#set({ name: 'connecting', intent, step: 'starting', attempt, iceServers: [] });
    const session = intent.source === 'watch' ? (intent.session ?? '') : await this.#begin(intent);
    if (turn !== this.#turn) {
      if (typeof session === 'string' && intent.source === 'address') void this.#rest.delete(`sessions/${session}`);
      return;
    }
    if (typeof session !== 'string') return this.#giveUp(intent, attempt, session);
    if (intent.source === 'address') this.#own = session;
    else if (!(await this.#watch(session, intent, attempt, turn))) return;
    this.#follow(session, intent, attempt);
  }

  /** The id of a new session, or why there is none. */
  async #begin({ pipeline, params }: Intent): Promise<string | Problem> {
    const answer = await this.#rest.post('sessions', { pipeline, params });
    if ('problem' in answer) return answer.problem;
    return parseSession(answer.body)?.id ?? { id: 'bad-message', message: '' };
  }

  async #watch(session: string, intent: Intent, attempt: number, turn: number): Promise<boolean> {
    const lost = () => this.#lose(intent, attempt, { id: 'ice-failed', message: '' });
    const viewer = await Viewer.open(this.#rest, session, lost);
    if (turn !== this.#turn) {
      if (viewer instanceof Viewer) viewer.close();
      return false;
    }
    if (!(viewer instanceof Viewer)) {
      this.#giveUp(intent, attempt, viewer);
      return false;
    }
    this.#viewer = viewer;
    this.#options.returned(viewer.stream);
    return true;
  }

  /** The picture of what is followed anyway: without it there are still its boxes. */
  async #addPicture(session: string): Promise<void> {
    const turn = this.#turn;
    const viewer = await Viewer.open(this.#rest, session, () => this.#dropPicture());
    if (!(viewer instanceof Viewer)) return;
    if (turn !== this.#turn) return viewer.close();
    this.#viewer = viewer;
    this.#options.returned(viewer.stream);
  }

  #dropPicture(): void {
    this.#viewer?.close();
    this.#viewer = undefined;
    this.#options.returned(null);
  }

  #follow(session: string, intent: Intent, attempt: number): void {
    // Before the first prediction there is no picture either.
    let awaited = intent.hasPicture;
    this.#forgetClock = probeClock(socketUrl(this.#rest.base), this.#clock);
    const url = this.#rest.url(`sessions/${encodeURIComponent(session)}/predictions`);
    this.#events = new EventStream(url, () => this.#rest.authorization(), {
      opened: () => this.#set({ name: 'live', intent, attempt, wavering: false }),
      lost: () => this.#lose(intent, attempt, { id: 'server-gone', message: '' }),
      heard: ({ type, data }) => {
        if (type === 'end') return this.#ended(data);
        const prediction = type === 'prediction' ? parsePrediction(parseJson(data)) : undefined;
        if (!prediction || !this.measures.add(prediction, preciseNow())) return;
        attempt = 0;
        if (awaited) void this.#addPicture(session);
        awaited = false;
        this.#options.predicted(prediction);
      },
    });
  }

  #ended(data: string): void {
    const ended = parseSession(parseJson(data));
    const problem = ended?.error ?? { id: ended?.state === 'COMPLETED' ? 'completed' : 'session-ended', message: '' };
    this.#own = undefined;
    this.#release();
    this.#set({ name: 'failed', problem });
  }

  /** A first try that is refused is the user's to judge; a later one meets a server that may still be coming up. */
  #giveUp(intent: Intent, attempt: number, problem: Problem): void {
    if (attempt > 0 || problem.id === 'server-gone') return this.#lose(intent, attempt, problem);
    this.#release();
    this.#set({ name: 'failed', problem });
  }

  #lose(intent: Intent, attempt: number, cause: Problem): void {
    this.#release();
    const ms = retryDelay(attempt);
    this.#timer = self.setTimeout(() => this.retryNow(), ms);
    this.#set({ name: 'reconnecting', intent, attempt: attempt + 1, cause, retryAt: Date.now() + ms });
  }

  #release(): void {
    this.#turn += 1;
    clearTimeout(this.#timer);
    this.#events?.close();
    this.#events = undefined;
    this.#forgetClock?.();
    this.#forgetClock = undefined;
    this.#clock.reset();
    if (this.#viewer) this.#dropPicture();
    if (this.#own) void this.#rest.delete(`sessions/${this.#own}`);
    this.#own = undefined;
    this.measures.reset();
  }

  #set(state: State): void {
    this.#state = state;
    this.#options.changed(state);
  }
}
