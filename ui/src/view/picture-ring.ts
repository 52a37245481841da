import type { Size } from './geometry';

/** A second at 30 frames a second and more: longer than boxes take. */
const SLOTS = 32;
/** Pictures are kept no wider than they are worth on most screens. */
const MOST_WIDTH = 960;

interface Slot {
  readonly canvas: HTMLCanvasElement;
  /** Media time in milliseconds; below 0 while empty. */
  time: number;
}

/** The last pictures of a video, each with its media time. The canvases are used again and again: nothing is allocated while it runs. */
export class PictureRing {
  #slots: Slot[] = [];
  #next = 0;

  keep(video: HTMLVideoElement, time: number): void {
    const slot = (this.#slots[this.#next] ??= { canvas: document.createElement('canvas'), time: -1 });
    this.#next = (this.#next + 1) % SLOTS;
    const { width, height } = fit({ width: video.videoWidth, height: video.videoHeight });
    if (slot.canvas.width !== width || slot.canvas.height !== height) Object.assign(slot.canvas, { width, height });
    slot.canvas.getContext('2d', { alpha: false })?.drawImage(video, 0, 0, width, height);
    slot.time = time;
  }

  find(time: number): HTMLCanvasElement | undefined {
    return this.#slots.find((slot) => slot.time === time)?.canvas;
  }

  /** Frees the pictures' memory. */
  clear(): void {
    for (const { canvas } of this.#slots) canvas.width = canvas.height = 0;
    this.#slots = [];
    this.#next = 0;
  }
}

function fit({ width, height }: Size): Size {
  const scale = Math.min(1, MOST_WIDTH / width);
  return { width: Math.round(width * scale), height: Math.round(height * scale) };
}
