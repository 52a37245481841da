/** Firefox's alone: elsewhere the track has `requestFrame`. */
interface CanvasStream extends MediaStream {
  requestFrame(): void;
}

/** The video shows nothing for so long, as when it is paused: then the source itself is sent. */
const PAUSE_MS = 500;

/**
 * Firefox tells neither when a picture was captured nor which RTP timestamp it got. So there the page itself says which
 * picture is sent, and when: it draws each one that it shows on a canvas whose track is sent instead of the source's. Firefox
 * takes that picture at the very tick of the display at which it was drawn, and makes the RTP timestamp of that tick's time.
 */
export class Relay {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #stream: CanvasStream;
  readonly #track: MediaStreamTrack;
  readonly #source: MediaStreamTrack;
  readonly #send: (track: MediaStreamTrack) => void;
  #timer: number | undefined;

  private constructor(context: CanvasRenderingContext2D, source: MediaStreamTrack, send: (track: MediaStreamTrack) => void) {
    this.#context = context;
    this.#canvas = context.canvas;
    this.#source = source;
    this.#send = send;
    this.#stream = this.#canvas.captureStream(0) as CanvasStream;
    this.#track = this.#stream.getVideoTracks()[0] ?? source;
    this.#track.contentHint = 'motion';
  }

  /** Undefined where the browser tells the times of capture. `send` has this track sent from now on. */
  static needed(source: MediaStreamTrack, send: (track: MediaStreamTrack) => void): Relay | undefined {
    if (!('CanvasCaptureMediaStream' in globalThis)) return undefined;
    // In memory, not in the GPU: each picture is read back to be encoded.
    const context = document.createElement('canvas').getContext('2d', { alpha: false, willReadFrequently: true });
    return context ? new Relay(context, source, send) : undefined;
  }

  /** Sends the picture that the video shows, and gives it. To be called as `requestVideoFrameCallback` calls. */
  pass(video: HTMLVideoElement): HTMLCanvasElement {
    const { videoWidth: width, videoHeight: height } = video;
    if (this.#canvas.width !== width || this.#canvas.height !== height) Object.assign(this.#canvas, { width, height });
    this.#context.drawImage(video, 0, 0);
    this.#stream.requestFrame();
    // In a hidden tab little is shown, but the camera goes on.
    this.#send(document.hidden ? this.#source : this.#track);
    clearTimeout(this.#timer);
    this.#timer = self.setTimeout(() => this.#send(this.#source), PAUSE_MS);
    return this.#canvas;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#track.stop();
  }
}
