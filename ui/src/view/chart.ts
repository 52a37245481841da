import { element } from './dom';
import { milliseconds } from './words';

const SPAN_MS = 60_000;
/** The scale does not jump with each value: its top is one of these. */
const TOPS = [50, 100, 200, 500, 1000, 2000, 5000, 10_000];

interface Point {
  readonly at: number;
  readonly median: number;
  readonly most: number;
}

/** The latency of the last minute: a line for the median, and above it an area up to what 95 % did not exceed. */
export class Chart {
  readonly root: HTMLElement;
  readonly #canvas = element('canvas', { role: 'img', 'aria-label': 'Latency of the last minute' });
  readonly #top = element('span', { class: 'top' });
  #points: Point[] = [];

  constructor() {
    this.root = element('div', { class: 'chart' }, this.#canvas, this.#top);
  }

  push(median: number | undefined, most: number | undefined, now: number): void {
    if (median !== undefined && most !== undefined) this.#points.push({ at: now, median, most });
    while (this.#points[0] && this.#points[0].at < now - SPAN_MS) this.#points.shift();
    this.#draw(now);
  }

  clear(): void {
    this.#points = [];
    this.#draw(0);
  }

  #draw(now: number): void {
    const context = this.#canvas.getContext('2d');
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!context || width === 0) return;
    const ratio = devicePixelRatio;
    Object.assign(this.#canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    context.scale(ratio, ratio);
    const highest = Math.max(0, ...this.#points.map(({ most }) => most));
    const top = TOPS.find((one) => one >= highest) ?? highest;
    this.#top.textContent = this.#points.length > 0 ? milliseconds(top) : '';
    const last = this.#points.at(-1);
    if (!last) return;
    this.#canvas.ariaLabel = `Latency of the last minute: the median is ${milliseconds(last.median)} now`;
    const x = (at: number) => width - ((now - at) / SPAN_MS) * width;
    const y = (value: number) => height - (value / top) * (height - 2) - 1;
    const { color } = getComputedStyle(this.#canvas);
    context.fillStyle = context.strokeStyle = color;
    context.lineWidth = 1.5;
    context.globalAlpha = 0.2;
    const path = new Path2D();
    for (const { at, most } of this.#points) path.lineTo(x(at), y(most));
    for (const { at, median } of this.#points.toReversed()) path.lineTo(x(at), y(median));
    context.fill(path);
    context.globalAlpha = 1;
    const line = new Path2D();
    for (const { at, median } of this.#points) line.lineTo(x(at), y(median));
    context.stroke(line);
  }
}
