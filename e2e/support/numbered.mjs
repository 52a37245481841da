// A camera whose pictures carry their number: a red square stands farther to the right in each, and begins anew after 64.

import { closeSync, openSync, writeSync } from 'node:fs';

export const ROUND = 64;
const [WIDTH, HEIGHT, SIDE, STEP, LEFT, TOP] = [640, 360, 64, 8, 16, 144];
/** Y, U, V of the grey that the model pads with, and of red. */
const GREY = [114, 128, 128];
const RED = [81, 90, 240];

/** Writes the camera's file for Chromium. */
export function numberedCamera(path) {
  const file = openSync(path, 'w');
  writeSync(file, `YUV4MPEG2 W${WIDTH} H${HEIGHT} F25:1 Ip A1:1 C420\n`);
  for (let number = 0; number < ROUND; number++) {
    const left = LEFT + STEP * number;
    writeSync(file, 'FRAME\n');
    GREY.forEach((grey, plane) => {
      const scale = plane === 0 ? 1 : 2;
      const [width, side] = [WIDTH / scale, SIDE / scale];
      const pixels = Buffer.alloc((width * HEIGHT) / scale, grey);
      for (let row = TOP / scale; row < (TOP + SIDE) / scale; row++) {
        const start = row * width + left / scale;
        pixels.fill(RED[plane], start, start + side);
      }
      writeSync(file, pixels);
    });
  }
  closeSync(file);
}

/** How many frames later `a` is than `b`, of a round: -32 to 31. */
export function framesApart(a, b) {
  return ((((a - b + ROUND / 2) % ROUND) + ROUND) % ROUND) - ROUND / 2;
}

/** The number of the frame in which this prediction found the square; undefined if it found none, or two. */
export function numberOfBox({ detections }) {
  const reds = JSON.parse(detections).filter(({ label }) => label === 'red');
  if (reds.length !== 1) return undefined;
  const [x, , width] = reds[0].box;
  return numberAt((x + width / 2) * WIDTH);
}

export function numberAt(centre) {
  return Math.round((centre - LEFT - SIDE / 2) / STEP);
}

/** Runs in the page: from now on, writes down of each drawing what was said of it and where the square is in the picture. */
export function recordDrawings() {
  const canvas = new OffscreenCanvas(640, 1);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  window.drawings = [];
  window.sightline.on('shown', (shown) => {
    const picture = document.querySelector(shown.view === 'exact' ? '.stage canvas.picture' : '.stage video');
    const height = picture.videoHeight ?? picture.height;
    context.drawImage(picture, 0, height / 2, picture.videoWidth ?? picture.width, 1, 0, 0, 640, 1);
    const { data } = context.getImageData(0, 0, 640, 1);
    let [sum, count] = [0, 0];
    for (let x = 0; x < 640; x++) {
      if (data[4 * x] - data[4 * x + 1] < 80) continue;
      sum += x + 0.5;
      count += 1;
    }
    window.drawings.push({ ...shown, square: count > 0 ? sum / count : undefined });
  });
}
