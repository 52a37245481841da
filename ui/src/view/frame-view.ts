import type { FrameClock } from '../client/frame-clock';
import type { Picture } from '../client/client';
import { detectionsOf, type Detection, type Prediction } from '../client/prediction';
import type { Filter } from './filter';
import { Motion } from './motion';
import { drawDetections, Overlay } from './overlay';
import { PictureRing, sizeOf } from './picture-ring';

/** *live*: the newest picture with the newest boxes, moved on. *exact*: each picture with its own boxes, a little later. */
export type View = 'live' | 'exact';

/** What has just been drawn. */
export interface Shown {
  readonly view: View;
  /** RTP timestamp of the frame in which the boxes were found. */
  readonly timestamp: number;
  /** Frames by which the picture is newer than its boxes; undefined while timestamps and frames are not aligned. */
  readonly skew?: number | undefined;
  /** Milliseconds by which the picture is older than the newest. */
  readonly delay?: number | undefined;
}

/** Is told of each picture that the video shows, and says which it is. */
export type Presented = (video: HTMLVideoElement, now: number, metadata: VideoFrameCallbackMetadata) => Picture;

/** Boxes without a newer prediction vanish: an old box on a new picture is a lie. */
const FRESH_MS = 1000;

interface Current {
  readonly prediction: Prediction;
  readonly found: readonly Detection[];
  /** Of the exact view: the picture in which they were found, and its time. */
  readonly picture?: HTMLCanvasElement;
  readonly time?: number;
}

/** Brings pictures and boxes together, frame by frame. */
export class FrameView {
  readonly #video: HTMLVideoElement;
  readonly #picture: HTMLCanvasElement;
  readonly #overlay: Overlay;
  readonly #clock: FrameClock;
  readonly #presented: Presented;
  readonly #filter: Filter;
  readonly #shown: (shown: Shown) => void;
  readonly #ring = new PictureRing();
  readonly #motion = new Motion();
  #view: View = 'exact';
  /** The time of the picture that the video shows. */
  #newest: number | undefined;
  #current: Current | undefined;
  #expiry: number | undefined;
  #request: number | undefined;

  constructor(
    video: HTMLVideoElement,
    picture: HTMLCanvasElement,
    boxes: HTMLCanvasElement,
    clock: FrameClock,
    presented: Presented,
    filter: Filter,
    shown: (shown: Shown) => void,
  ) {
    this.#video = video;
    this.#picture = picture;
    this.#clock = clock;
    this.#presented = presented;
    this.#filter = filter;
    this.#shown = shown;
    this.#overlay = new Overlay(boxes, () => this.redraw());
    video.addEventListener('resize', () => this.redraw());
    filter.onchange = () => this.redraw();
    if ('requestVideoFrameCallback' in video) this.#watch();
  }

  get view(): View {
    return this.#view;
  }

  set view(view: View) {
    this.#view = view;
    this.clear();
    this.#ring.clear();
  }

  show(prediction: Prediction): void {
    const aspect = this.#video.videoWidth / this.#video.videoHeight || 16 / 9;
    const found = detectionsOf(prediction, aspect);
    if (this.#view === 'exact' && this.#clock.aligned) {
      const time = this.#clock.frameOf(prediction.timestamp)?.time;
      const picture = time === undefined ? undefined : this.#ring.find(time);
      // A frame that the display skipped has no picture here: the one before stays, with its own boxes.
      if (!picture || time === undefined) return;
      this.#current = { prediction, found, picture, time };
    } else {
      this.#motion.update(this.#clock.timeOf(prediction.timestamp), found);
      this.#current = { prediction, found };
    }
    clearTimeout(this.#expiry);
    this.#expiry = self.setTimeout(() => this.clear(), FRESH_MS);
    this.redraw();
  }

  clear(): void {
    clearTimeout(this.#expiry);
    this.#current = undefined;
    this.#motion.clear();
    this.redraw();
  }

  /** The source is gone. */
  forget(): void {
    this.#newest = undefined;
    this.#ring.clear();
    this.clear();
  }

  redraw(): void {
    this.#request ??= requestAnimationFrame(() => {
      this.#request = undefined;
      this.#draw();
    });
  }

  /** The picture as it is seen, with its boxes. */
  snapshot(): HTMLCanvasElement | undefined {
    const picture = this.#current?.picture ?? this.#video;
    const { width, height } = sizeOf(picture);
    const canvas = document.createElement('canvas');
    const context = canvas.getContext('2d');
    if (!context || width === 0) return undefined;
    Object.assign(canvas, { width, height });
    context.drawImage(picture, 0, 0);
    drawDetections(context, this.#detections(), { x: 0, y: 0, width, height });
    return canvas;
  }

  #watch(): void {
    this.#video.requestVideoFrameCallback((now, metadata) => {
      const { image, time } = this.#presented(this.#video, now, metadata);
      this.#newest = time;
      if (this.#view === 'exact') this.#ring.keep(image, time);
      else if (this.#current) this.redraw();
      this.#watch();
    });
  }

  #detections(): Detection[] {
    const current = this.#current;
    if (!current) return [];
    const list = current.picture ? current.found : this.#motion.at(this.#newest);
    return list.filter((detection) => this.#filter.passes(detection));
  }

  #draw(): void {
    const current = this.#current;
    const picture = current?.picture;
    this.#picture.hidden = !picture;
    if (picture) {
      if (this.#picture.width !== picture.width || this.#picture.height !== picture.height) {
        Object.assign(this.#picture, { width: picture.width, height: picture.height });
      }
      this.#picture.getContext('2d', { alpha: false })?.drawImage(picture, 0, 0);
    }
    this.#overlay.draw(this.#detections(), picture ?? this.#size());
    if (current) this.#tell(current);
  }

  /** Without a picture, boxes are drawn in a frame of the size that the prediction tells. */
  #size() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    return width > 0 ? { width, height } : (this.#current?.prediction.size ?? { width: 16, height: 9 });
  }

  #tell({ prediction: { timestamp }, picture, time }: Current): void {
    const boxes = this.#clock.timeOf(timestamp);
    const shown = picture ? time : this.#newest;
    const known = boxes !== undefined && shown !== undefined;
    this.#shown({
      view: picture ? 'exact' : 'live',
      timestamp,
      skew: known ? this.#clock.framesBetween(boxes, shown) : undefined,
      delay: picture && shown !== undefined && this.#newest !== undefined ? this.#newest - shown : undefined,
    });
  }
}
