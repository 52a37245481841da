import { Client } from './client';
import { DEFAULT_PIPELINE } from './pipelines';
import { detectionsOf, type Detection, type Prediction } from './prediction';
import type { Params } from './protocol';
import { socketUrl } from './rest';
import type { State } from './session';
import type { TokenSource } from './token';
import type { Fields } from './validate';

export interface SessionOptions {
  /** The video to look at. It stays the caller's: stopping the session does not stop the camera. */
  readonly source: MediaStream;
  /** A pipeline of kind `session`; `webrtc-detect` unless another is named. */
  readonly pipeline?: string;
  readonly params?: Params;
  /** Who we are, where the server wants to know: a token, or a function that gets one whenever one is needed. */
  readonly token?: TokenSource;
  /** An element that plays `source`: with it, detections say which of its frames they belong to. */
  readonly video?: HTMLVideoElement;
}

/** What was found in one frame. */
export interface Found {
  readonly session: string;
  /** RTP timestamp of the frame. */
  readonly timestamp: number;
  /** Media time in seconds of the frame, as `requestVideoFrameCallback` gives it; undefined while it is not known. */
  readonly mediaTime?: number | undefined;
  /** Milliseconds from the frame's capture until now: the median of the last seconds. */
  readonly latency?: number | undefined;
  readonly detections: readonly Detection[];
  readonly model?: string | undefined;
  readonly worker?: string | undefined;
  /** The prediction as it came. */
  readonly raw: Fields;
}

export interface SessionEvents {
  /** The session is in another state: `idle`, `asking`, `connecting`, `live`, `reconnecting` or `failed`. */
  state: CustomEvent<State>;
  detections: CustomEvent<Found>;
  /** A pipeline that draws boxes in sends the picture back; null when it is gone. */
  returned: CustomEvent<MediaStream | null>;
}

/**
 * Sends a video to a Sightline server and tells what is found in it. It connects again by itself, until it is stopped.
 *
 * `url` is the server's address, such as `http://localhost:9000/`.
 */
export class SightlineSession extends EventTarget {
  readonly #options: SessionOptions;
  readonly #client: Client;
  #watching = false;

  constructor(url: string | URL, options: SessionOptions) {
    super();
    this.#options = options;
    const { source } = options;
    this.#client = new Client({
      url: socketUrl(url),
      token: options.token,
      openSource: async () => {
        const [track] = source.getVideoTracks();
        return track ? { stream: source, track, close: () => undefined } : { id: 'no-video', message: 'the source has no video track' };
      },
      changed: (state) => this.#tell('state', state),
      predicted: (prediction) => this.#tell('detections', this.#found(prediction)),
      sourceChanged: () => undefined,
      returned: (stream) => this.#tell('returned', stream),
    });
  }

  get state(): State {
    return this.#client.state;
  }

  start(): void {
    const { pipeline = DEFAULT_PIPELINE, params = {}, video } = this.#options;
    this.#client.start({ source: 'camera', pipeline, params });
    if (video && !this.#watching && 'requestVideoFrameCallback' in video) this.#watch(video);
  }

  stop(): void {
    this.#client.stop();
  }

  /** `addEventListener`, with types. Returns how to stop listening. */
  on<K extends keyof SessionEvents>(type: K, listener: (event: SessionEvents[K]) => void): () => void {
    this.addEventListener(type, listener as EventListener);
    return () => this.removeEventListener(type, listener as EventListener);
  }

  #watch(video: HTMLVideoElement): void {
    this.#watching = this.state.name !== 'idle' && this.state.name !== 'failed';
    if (!this.#watching) return;
    video.requestVideoFrameCallback((now, metadata) => {
      this.#client.presented(video, now, metadata);
      this.#watch(video);
    });
  }

  #found(prediction: Prediction): Found {
    const { session, timestamp, model, worker, raw, size } = prediction;
    const { video } = this.#options;
    const aspect = size ? size.width / size.height : (video?.videoWidth ?? 16) / (video?.videoHeight ?? 9);
    const frame = this.#client.frames.frameOf(timestamp);
    return {
      ...{ session, timestamp, model, worker, raw },
      mediaTime: frame && frame.mediaTime / 1000,
      latency: this.#client.measures.latency(0.5, performance.timeOrigin + performance.now()),
      detections: detectionsOf(prediction, aspect),
    };
  }

  #tell(type: keyof SessionEvents, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
