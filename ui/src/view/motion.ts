import type { Box, Detection } from '../client/prediction';

/** Beyond this many milliseconds a guess is worth less than the box as it was found. */
const REACH_MS = 300;
/** How much of two boxes must overlap to be of the same thing, where no track says so. */
const SAME = 0.2;

interface Moving {
  readonly detection: Detection;
  /** Fractions of the picture per millisecond, for each part of the box. */
  readonly speed: Box;
}

const STILL: Box = [0, 0, 0, 0];

/** Carries boxes on to a later picture, at the speed they had between the last two predictions. */
export class Motion {
  #moving: readonly Moving[] = [];
  #time: number | undefined;

  /** What was found in the frame at this media time; undefined where that is not known: then nothing is moved. */
  update(time: number | undefined, detections: readonly Detection[]): void {
    const passed = time !== undefined && this.#time !== undefined ? time - this.#time : 0;
    const before = [...this.#moving];
    this.#moving = detections.map((detection) => {
      const index = passed > 0 && passed < 2 * REACH_MS ? best(before, detection) : -1;
      const [old] = index < 0 ? [] : before.splice(index, 1);
      return { detection, speed: old ? speedOf(old, detection, passed) : STILL };
    });
    this.#time = time;
  }

  /** The boxes where they should be at this media time. */
  at(time: number | undefined): Detection[] {
    const ahead = time === undefined || this.#time === undefined ? 0 : Math.min(Math.max(0, time - this.#time), REACH_MS);
    return this.#moving.map(({ detection, speed }) => ({ ...detection, box: combine(detection.box, speed, (at, v) => at + v * ahead) }));
  }

  clear(): void {
    this.#moving = [];
    this.#time = undefined;
  }
}

/** Half of the newest speed, half of the one before: boxes tremble. */
function speedOf(old: Moving, { box }: Detection, passed: number): Box {
  const newest = combine(box, old.detection.box, (now, then) => (now - then) / passed);
  return combine(newest, old.speed === STILL ? newest : old.speed, (a, b) => (a + b) / 2);
}

function best(before: readonly Moving[], { label, trackId, box }: Detection): number {
  if (trackId !== undefined) return before.findIndex(({ detection }) => detection.trackId === trackId);
  let [found, most] = [-1, SAME];
  before.forEach(({ detection }, i) => {
    const share = detection.label === label ? overlap(detection.box, box) : 0;
    if (share > most) [found, most] = [i, share];
  });
  return found;
}

/** Intersection over union. */
export function overlap([ax, ay, aw, ah]: Box, [bx, by, bw, bh]: Box): number {
  const width = Math.min(ax + aw, bx + bw) - Math.max(ax, bx);
  const height = Math.min(ay + ah, by + bh) - Math.max(ay, by);
  if (width <= 0 || height <= 0) return 0;
  return (width * height) / (aw * ah + bw * bh - width * height);
}

function combine(a: Box, b: Box, how: (a: number, b: number) => number): Box {
  return [how(a[0], b[0]), how(a[1], b[1]), how(a[2], b[2]), how(a[3], b[3])];
}
