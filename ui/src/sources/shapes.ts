/** The moving test picture as geometry: what is where at a given time. */

export const WIDTH = 640;
export const HEIGHT = 480;
/** The grey that YOLOX pads with: the picture's border is not an edge to the model. */
export const BACKGROUND = 'rgb(114, 114, 114)';

export interface Shape {
  readonly label: 'red' | 'green' | 'blue';
  readonly form: 'rectangle' | 'disc';
  /** Bounding box in pixels. */
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

interface Motion extends Pick<Shape, 'label' | 'form' | 'width' | 'height'> {
  /** Where its bounding box may be: lanes do not overlap, so neither do shapes. */
  readonly lane: readonly [left: number, top: number, right: number, bottom: number];
  /** Seconds there and back, across and down. */
  readonly periods: readonly [number, number];
}

const MARGIN = 8;
const MOTIONS: readonly Motion[] = [
  { label: 'red', form: 'rectangle', width: 130, height: 84, lane: [0, 0, 640, 160], periods: [7, 3.1] },
  { label: 'green', form: 'disc', width: 110, height: 110, lane: [0, 160, 380, 480], periods: [4.3, 6.1] },
  { label: 'blue', form: 'rectangle', width: 80, height: 124, lane: [380, 160, 640, 480], periods: [5.3, 8.9] },
];

/** `seconds` since the start. */
export function shapesAt(seconds: number): Shape[] {
  return MOTIONS.map(({ label, form, width, height, lane: [left, top, right, bottom], periods: [across, down] }) => ({
    label,
    form,
    width,
    height,
    x: between(left + MARGIN, right - MARGIN - width, seconds / across),
    y: between(top + MARGIN, bottom - MARGIN - height, seconds / down),
  }));
}

/** Smoothly from `low` to `high` and back once per unit of `turn`. */
function between(low: number, high: number, turn: number): number {
  return low + ((high - low) * (1 - Math.cos(2 * Math.PI * turn))) / 2;
}
