import type { Box } from '../client/prediction';

export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Where `object-fit: contain` puts a picture in an area. Undefined while either has no size. */
export function contain(picture: Size, area: Size): Rect | undefined {
  if (!(picture.width > 0 && picture.height > 0 && area.width > 0 && area.height > 0)) return undefined;
  const scale = Math.min(area.width / picture.width, area.height / picture.height);
  const width = picture.width * scale;
  const height = picture.height * scale;
  return { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
}

/** A box in fractions of the picture, cut to it, in the units of `picture`. Undefined if nothing is left. */
export function place([x, y, w, h]: Box, picture: Rect): Rect | undefined {
  const left = clamp(x, 0, 1);
  const top = clamp(y, 0, 1);
  const right = clamp(x + w, 0, 1);
  const bottom = clamp(y + h, 0, 1);
  if (!(right > left && bottom > top)) return undefined;
  return {
    x: picture.x + left * picture.width,
    y: picture.y + top * picture.height,
    width: (right - left) * picture.width,
    height: (bottom - top) * picture.height,
  };
}

/** Where a label's plate goes: on top of its box; inside it where there is no room above; never out of the picture. */
export function placePlate(box: Rect, plate: Size, picture: Rect): Rect {
  const { width, height } = plate;
  const above = box.y - height;
  const x = clamp(box.x, picture.x, Math.max(picture.x, picture.x + picture.width - width));
  return { x, y: above >= picture.y ? above : box.y, width, height };
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
