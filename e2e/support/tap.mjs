// Reads along what sessions publish, beside the workers and without taking anything from them.

import { Redis } from './redis.mjs';

export class FrameTap {
  /** RTP timestamp → JPEG. */
  frames = new Map();
  #redis;
  #running;
  #stopped = false;

  static async open(socket) {
    const tap = new FrameTap();
    tap.#redis = await Redis.connect(socket);
    tap.#running = tap.#run();
    return tap;
  }

  async close() {
    this.#stopped = true;
    this.#redis.close();
    await this.#running;
  }

  async #run() {
    let last = '$';
    try {
      while (!this.#stopped) {
        const reply = await this.#redis.command('XREAD', 'COUNT', 50, 'BLOCK', 1000, 'STREAMS', 'images', last);
        for (const [id, flat] of reply?.[0]?.[1] ?? []) {
          last = id.toString();
          const fields = new Map();
          for (let i = 0; i < flat.length; i += 2) fields.set(flat[i].toString(), flat[i + 1]);
          // A copy: a slice would keep the whole network buffer alive.
          this.frames.set(fields.get('timestamp').toString(), Buffer.from(fields.get('img')));
        }
      }
    } catch (error) {
      if (!this.#stopped) throw error;
    }
  }
}
