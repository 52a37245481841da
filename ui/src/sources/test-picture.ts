import type { Source } from '../client/client';
import type { Problem } from '../client/protocol';
import { BACKGROUND, HEIGHT, shapesAt, WIDTH } from './shapes';

const FRAMES_PER_SECOND = 25;
const COLOURS = { red: 'rgb(255, 0, 0)', green: 'rgb(0, 255, 0)', blue: 'rgb(0, 0, 255)' } as const;

/** A moving picture for machines without a camera. */
export function openTestPicture(): Source | Problem {
  const canvas = document.createElement('canvas');
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const context = canvas.getContext('2d', { alpha: false });
  if (!context) return { id: 'no-canvas', message: '' };
  const start = performance.now();
  const draw = () => drawShapes(context, (performance.now() - start) / 1000);
  draw();
  const ticker = new Worker(new URL('./ticker.worker.ts', import.meta.url), { type: 'module' });
  ticker.onmessage = draw;
  ticker.postMessage(1000 / FRAMES_PER_SECOND);
  const stream = canvas.captureStream(FRAMES_PER_SECOND);
  const [track] = stream.getVideoTracks();
  const close = () => {
    ticker.terminate();
    track?.stop();
  };
  if (!track) {
    close();
    return { id: 'no-canvas', message: '' };
  }
  return { stream, track, close };
}

function drawShapes(context: CanvasRenderingContext2D, seconds: number): void {
  context.fillStyle = BACKGROUND;
  context.fillRect(0, 0, WIDTH, HEIGHT);
  for (const { label, form, x, y, width, height } of shapesAt(seconds)) {
    context.fillStyle = COLOURS[label];
    context.beginPath();
    if (form === 'disc') context.ellipse(x + width / 2, y + height / 2, width / 2, height / 2, 0, 0, 2 * Math.PI);
    else context.rect(x, y, width, height);
    context.fill();
  }
}
