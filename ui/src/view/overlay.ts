import type { Detection } from '../client/prediction';
import { colourOf } from './colour';
import { contain, place, placePlate, type Rect, type Size } from './geometry';

const LINE = 2.5;
const FONT_SIZE = 13;
const PLATE_HEIGHT = 19;
const PADDING = 5;

/** Draws boxes on a canvas that lies exactly over the picture. */
export class Overlay {
  readonly #canvas: HTMLCanvasElement;
  #area: Size = { width: 0, height: 0 };

  /** `resized` is called when all must be drawn anew. */
  constructor(canvas: HTMLCanvasElement, resized: () => void) {
    this.#canvas = canvas;
    new ResizeObserver(([entry]) => {
      if (entry) this.#area = entry.contentRect;
      resized();
    }).observe(canvas);
  }

  /** Draws these boxes, and no others, over a picture of this size. */
  draw(detections: readonly Detection[], size: Size): void {
    const context = this.#canvas.getContext('2d');
    if (!context) return;
    const ratio = devicePixelRatio;
    const width = Math.round(this.#area.width * ratio);
    const height = Math.round(this.#area.height * ratio);
    // Setting the size also clears; setting the same again would cost a new buffer.
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.#area.width, this.#area.height);
    const picture = contain(size, this.#area);
    if (picture) drawDetections(context, detections, picture);
  }
}

/** All boxes and their labels, in the picture at this place. */
export function drawDetections(context: CanvasRenderingContext2D, detections: readonly Detection[], picture: Rect): void {
  // The surest are drawn last, over the others; labels over all boxes.
  const placed: (readonly [Detection, Rect])[] = [];
  for (const detection of detections.toSorted((a, b) => a.score - b.score)) {
    const box = place(detection.box, picture);
    if (box) placed.push([detection, box]);
  }
  for (const [detection, box] of placed) drawBox(context, detection, box);
  for (const [detection, box] of placed) drawPlate(context, detection, box, picture);
}

function drawBox(context: CanvasRenderingContext2D, { label }: Detection, box: Rect): void {
  // A dark seam keeps the line visible on a background of its own colour.
  strokeBox(context, box, 'rgba(0, 0, 0, 0.55)', LINE + 2);
  strokeBox(context, box, colourOf(label).stroke, LINE);
}

function drawPlate(context: CanvasRenderingContext2D, detection: Detection, box: Rect, picture: Rect): void {
  const colour = colourOf(detection.label);
  const text = caption(detection);
  context.font = `600 ${FONT_SIZE}px system-ui, sans-serif`;
  context.textBaseline = 'middle';
  const width = Math.min(context.measureText(text).width + 2 * PADDING, picture.width);
  const plate = placePlate(box, { width, height: PLATE_HEIGHT }, picture);
  context.fillStyle = colour.stroke;
  context.fillRect(plate.x, plate.y, plate.width, plate.height);
  context.fillStyle = colour.text;
  context.fillText(text, plate.x + PADDING, plate.y + plate.height / 2 + 0.5, plate.width - 2 * PADDING);
}

function strokeBox(context: CanvasRenderingContext2D, box: Rect, style: string, width: number): void {
  context.strokeStyle = style;
  context.lineWidth = width;
  context.strokeRect(box.x, box.y, box.width, box.height);
}

/** "car 87 %", with the track's number if it has one. */
export function caption({ label, score, trackId }: Detection): string {
  const name = trackId === undefined ? label : `${label} #${trackId}`;
  return `${name} ${Math.round(score * 100)} %`;
}
