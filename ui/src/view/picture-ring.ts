import type { Size } from './geometry';

/** A second at 30 frames a second and more: longer than boxes take. */
const SLOTS = 32;
/** Pictures are kept no wider than they are worth on most screens. */
const MOST_WIDTH = 960;

interface Slot {
  readonly canvas: HTMLCanvasElement;
  /** In milliseconds; below 0 while empty. */
  time: number;
}

/** The last pictures of a video, each with its time. The canvases are used again and again: nothing is allocated while it runs. */
export class PictureRing {
  #slots: Slot[] = [];
  #next = 0;

  keep(image: HTMLVideoElement | HTMLCanvasElement, time: number): void {
    const slot = (this.#slots[this.#next] ??= { canvas: document.createElement('canvas'), time: -1 });
    this.#next = (this.#next + 1) % SLOTS;
    const { width, height } = fit(sizeOf(image));
    if (slot.canvas.width !== width || slot.canvas.height !== height) Object.assign(slot.canvas, { width, height });
    slot.canvas.getContext('2d', { alpha: false })?.drawImage(image, 0, 0, width, height);
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

export function sizeOf(image: HTMLVideoElement | HTMLCanvasElement): Size {
  return image instanceof HTMLVideoElement ? { width: image.videoWidth, height: image.videoHeight } : { width: image.width, height: image.height };
}

function fit({ width, height }: Size): Size {
  const scale = Math.min(1, MOST_WIDTH / width);
  return { width: Math.round(width * scale), height: Math.round(height * scale) };
}
