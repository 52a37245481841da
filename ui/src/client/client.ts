import { ServerClock } from './clock';
import { FrameClock } from './frame-clock';
import { Link } from './link';
import { Measures } from './measures';
import { preciseNow } from './precise';
import type { Prediction } from './prediction';
import type { ClientMessage, Problem } from './protocol';
import { Relay } from './relay';
import { IDLE, reduce, type Command, type Event, type Intent, type SourceKind, type State } from './session';
import { tokenOf, type TokenSource } from './token';

/** A video that can be sent, and what releases it. */
export interface Source {
  readonly stream: MediaStream;
  readonly track: MediaStreamTrack;
  close(): void;
}

/** A picture of the source that is shown. */
export interface Picture {
  readonly image: HTMLVideoElement | HTMLCanvasElement;
  /** Its place on the time line of `Client.frames`, in milliseconds. */
  readonly time: number;
}

export interface ClientOptions {
  readonly url: URL;
  /** Where the server wants to know who we are. */
  readonly token?: TokenSource | undefined;
  /** Resolves to the source, or to why there is none. */
  openSource(kind: SourceKind): Promise<Source | Problem>;
  changed(state: State): void;
  predicted(prediction: Prediction): void;
  /** The video that is sent; null when it is gone. */
  sourceChanged(stream: MediaStream | null): void;
  /** The same with boxes drawn in, where the pipeline sends it back; null when it is gone. */
  returned(stream: MediaStream | null): void;
}

/** Runs a session: feeds events to the state machine and carries out its commands. */
export class Client {
  /** Which frame of the source each prediction belongs to. */
  readonly frames = new FrameClock();
  readonly #options: ClientOptions;
  readonly #clock = new ServerClock();
  readonly measures = new Measures(this.#clock);
  #state: State = IDLE;
  #link: Link | undefined;
  #source: Source | undefined;
  #relay: Relay | undefined;
  /** Counts source requests: an answer to an old one is released, not used. */
  #request = 0;
  #timer: number | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  get state(): State {
    return this.#state;
  }

  /** Of the connection, as the browser counts; undefined while there is none. */
  stats(): Promise<RTCStatsReport> | undefined {
    return this.#link?.stats();
  }

  /** The source's next picture is shown, as `requestVideoFrameCallback` of the video that plays it tells. */
  presented(video: HTMLVideoElement, now: number, { mediaTime, captureTime, presentationTime }: VideoFrameCallbackMetadata): Picture {
    const relayed = this.#relay?.pass(video);
    const time = relayed ? now : mediaTime * 1000;
    this.frames.captured(time, performance.timeOrigin + (relayed ? now : (captureTime ?? presentationTime)), mediaTime * 1000);
    return { image: relayed ?? video, time };
  }

  start(intent: Intent): void {
    this.#handle({ type: 'start', intent });
  }

  stop(): void {
    this.#handle({ type: 'stop' });
  }

  retryNow(): void {
    this.#handle({ type: 'retry-now' });
  }

  #handle(event: Event): void {
    const before = this.#state;
    const { state, commands } = reduce(before, event, Date.now());
    this.#state = state;
    for (const command of commands) this.#run(command);
    if (state !== before) this.#options.changed(state);
  }

  #run(command: Command): void {
    switch (command.do) {
      case 'open-source':
        void this.#openSource(command.kind);
        break;
      case 'close-source':
        this.#closeSource();
        break;
      case 'open-link':
        this.#link = new Link(
          this.#options.url,
          (event) => this.#handle(event),
          { returned: (stream) => this.#options.returned(stream), encoded: (timestamp, at) => this.frames.encoded(timestamp, at) },
        );
        break;
      case 'close-link':
        this.#closeLink();
        break;
      case 'send':
        if (this.#link) void this.#send(this.#link, command.message);
        break;
      case 'accept-offer':
        if (this.#source) this.#link?.accept(command.sdp, command.iceServers, this.#source.stream, this.#source.track);
        break;
      case 'add-candidate':
        this.#link?.addCandidate(command.candidate);
        break;
      case 'start-clock':
        this.#link?.startClock();
        break;
      case 'clock':
        this.#clock.add(command.t0, command.serverTimeUs / 1000, preciseNow());
        break;
      case 'deliver':
        this.#deliver(command.prediction);
        break;
      case 'set-timer':
        clearTimeout(this.#timer);
        this.#timer = self.setTimeout(() => this.#handle({ type: 'timer' }), command.ms);
        break;
      case 'clear-timer':
        clearTimeout(this.#timer);
        break;
    }
  }

  /** Who joins says who it is; what a token says of the tenant counts. */
  async #send(link: Link, message: ClientMessage): Promise<void> {
    const token = message.type === 'Join' && this.#options.token ? await tokenOf(this.#options.token) : undefined;
    if (message.type === 'Join' && token) link.send({ ...message, data: { ...message.data, tenantId: '', token } });
    else link.send(message);
  }

  async #openSource(kind: SourceKind): Promise<void> {
    const request = ++this.#request;
    const source = await this.#options.openSource(kind);
    if (request !== this.#request) {
      if ('stream' in source) source.close();
      return;
    }
    if (!('stream' in source)) {
      this.#handle({ type: 'source-failed', problem: source });
      return;
    }
    this.#source = source;
    this.#relay = Relay.needed(source.track, (track) => this.#link?.replace(track));
    source.track.onended = () => this.#handle({ type: 'source-failed', problem: { id: 'source-ended', message: '' } });
    this.#options.sourceChanged(source.stream);
    this.#handle({ type: 'source-ready' });
  }

  #closeSource(): void {
    this.#request++;
    if (!this.#source) return;
    this.#source.track.onended = null;
    this.#source.close();
    this.#source = undefined;
    this.#relay?.close();
    this.#relay = undefined;
    this.#options.sourceChanged(null);
  }

  #closeLink(): void {
    this.#link?.close();
    this.#link = undefined;
    this.#options.returned(null);
    this.frames.reset();
    this.#clock.reset();
    this.measures.reset();
  }

  #deliver(prediction: Prediction): void {
    if (this.measures.add(prediction, preciseNow())) this.#options.predicted(prediction);
  }
}
