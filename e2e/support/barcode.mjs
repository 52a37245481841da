// Frame numbers as a bar code in rows below the picture, so that they survive video coding and scaling.

import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readSync, writeSync, statSync, rmSync } from 'node:fs';

/**
 * Rows added below the picture: what boxes refer to keeps its scale. Grey like the model's padding, with the code at the
 * far end and of little contrast: a bold one right below the picture makes the model itself miss one frame in ten.
 */
export const STRIP = 96;
const BLOCK = 16;
const BITS = 8;
const GREY = 114;
const CONTRAST = 50;

/** Decodes the H.264 of an MP4 to a y4m with a bar code in each frame. Returns the number of frames. */
export function cameraFile(video, target, { width, height, framesPerSecond }) {
  const raw = `${target}.raw`;
  const decoder = ['filesrc', `location=${video}`, '!', 'qtdemux', '!', 'h264parse', '!', 'avdec_h264', '!', 'videoconvert'];
  const format = `video/x-raw,format=I420,width=${width},height=${height}`;
  const args = ['-q', ...decoder, '!', format, '!', 'filesink', `location=${raw}`];
  const decoded = spawnSync('gst-launch-1.0', args, { encoding: 'utf8', timeout: 60_000 });
  if (decoded.status !== 0) throw new Error(`gst-launch-1.0 ${args.join(' ')}: ${decoded.error ?? decoded.stderr}`);

  const luma = width * height;
  const frame = Buffer.alloc((luma * 3) / 2);
  const chromaStrip = Buffer.alloc((width * STRIP) / 4, 128);
  const count = statSync(raw).size / frame.length;
  if (!Number.isInteger(count) || count > 1 << BITS) throw new Error(`${video} has ${count} frames of ${width}x${height}`);
  const input = openSync(raw, 'r');
  const output = openSync(target, 'w');
  writeSync(output, `YUV4MPEG2 W${width} H${height + STRIP} F${framesPerSecond}:1 Ip A1:1 C420\n`);
  for (let number = 0; number < count; number++) {
    readSync(input, frame, 0, frame.length, null);
    const [u, v] = [frame.subarray(luma, (luma * 5) / 4), frame.subarray((luma * 5) / 4)];
    const parts = ['FRAME\n', frame.subarray(0, luma), lumaStrip(width, number), u, chromaStrip, v, chromaStrip];
    for (const part of parts) writeSync(output, part);
  }
  closeSync(input);
  closeSync(output);
  rmSync(raw);
  return count;
}

/** Where the code's blocks begin in the strip. */
const CODE_ROW = STRIP - BLOCK - 8;

/** The number's bits, lowest first, then their inverse, as blocks side by side. */
function lumaStrip(width, number) {
  const strip = Buffer.alloc(width * STRIP, GREY);
  for (let block = 0; block < 2 * BITS; block++) {
    const bit = ((number >> block % BITS) & 1) ^ (block < BITS ? 0 : 1);
    for (let row = CODE_ROW; row < CODE_ROW + BLOCK; row++) {
      strip.fill(bit ? GREY + CONTRAST : GREY - CONTRAST, row * width + block * BLOCK, row * width + (block + 1) * BLOCK);
    }
  }
  return strip;
}

/**
 * Reads the numbers from JPEGs, in a page of a browser: `[timestamp, JPEG][]` → `numbers`, a Map of timestamp → frame
 * number, without pictures whose bits and inverse do not agree; and the median `dark` and `bright` of the blocks, in RGB.
 */
export async function readNumbers(page, jpegs, size) {
  const layout = layoutOf(size);
  const numbers = new Map();
  const seen = { dark: [], bright: [] };
  for (const [timestamp, jpeg] of jpegs) {
    const levels = await page.evaluate(sampleBlocks, [jpeg.toString('base64'), layout]);
    const number = decode(levels);
    if (number === undefined) continue;
    numbers.set(timestamp, number);
    for (const level of levels) seen[level > GREY ? 'bright' : 'dark'].push(level);
  }
  return { numbers, dark: median(seen.dark), bright: median(seen.bright) };
}

/** Where the blocks are in a picture of any size: their number, the width of one, and their row, as parts of the picture. */
export function layoutOf({ width, height }) {
  return { blocks: 2 * BITS, block: BLOCK / width, row: (height + CODE_ROW + BLOCK / 2) / (height + STRIP) };
}

/** The number that the blocks' brightness says; undefined if bits and inverse do not agree. */
export function decode(levels) {
  const bits = levels.map((level) => (level > GREY + CONTRAST / 2 ? 1 : level < GREY - CONTRAST / 2 ? 0 : undefined));
  const agree = bits.slice(0, BITS).every((bit, i) => bit !== undefined && bits[BITS + i] === 1 - bit);
  return agree ? bits.slice(0, BITS).reduce((sum, bit, i) => sum + (bit << i), 0) : undefined;
}

/** Runs in the page: from now on, writes down the brightness of the blocks in each picture that the exact view shows. */
export function recordBlocks({ blocks, block, row }) {
  window.drawings = [];
  window.sightline.on('shown', ({ view, timestamp }) => {
    if (view !== 'exact') return;
    const canvas = document.querySelector('.stage canvas.picture');
    const context = canvas.getContext('2d');
    const levels = Array.from({ length: blocks }, (_, i) => {
      const [r, g, b] = context.getImageData(Math.floor((i + 0.5) * block * canvas.width), Math.floor(row * canvas.height), 1, 1).data;
      return (r + g + b) / 3;
    });
    window.drawings.push({ timestamp, levels });
  });
}

/** What `dark` and `bright` are in a picture that has kept its colours: luma of limited range as RGB (BT.601). */
export const LEVELS = { dark: rgb(GREY - CONTRAST), bright: rgb(GREY + CONTRAST) };

function rgb(luma) {
  return ((luma - 16) * 255) / 219;
}

function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1];
}

/** Runs in the page: the brightness in the middle of each block. */
async function sampleBlocks([base64, { blocks, block, row }]) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/jpeg' }));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return Array.from({ length: blocks }, (_, i) => {
    const [x, y] = [Math.floor((i + 0.5) * block * bitmap.width), Math.floor(row * bitmap.height)];
    const [r, g, b] = context.getImageData(x, y, 1, 1).data;
    return (r + g + b) / 3;
  });
}
