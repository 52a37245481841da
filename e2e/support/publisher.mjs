// Light publishers of video: `sightline-client`, and what it tells line by line.

import { join } from 'node:path';
import { Program } from './processes.mjs';
import { binaries } from './system.mjs';
import { until } from './wait.mjs';

const program = () => process.env.SIGHTLINE_CLIENT ?? join(binaries(), 'sightline-client');

export class Publisher {
  /** What it has told, parsed; single frames too, unless it was told `--summary`. */
  lines = [];
  /** The local address that it sends from, if it was told one. */
  address;
  #program;

  /** `args` as of its command line, which `--help` explains. `listen` gets each line. */
  constructor(url, video, args = [], listen = () => {}) {
    if (args.includes('--address')) this.address = args[args.indexOf('--address') + 1];
    let rest = '';
    const heard = (text) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop();
      for (const part of parts.filter((one) => one.startsWith('{'))) {
        const line = JSON.parse(part);
        this.lines.push(line);
        listen(line);
      }
    };
    this.#program = new Program(program(), [url, '--video', video, ...args.map(String)], { heard, env: { RUST_BACKTRACE: '1', LD_PRELOAD: '' } });
  }

  get pid() {
    return this.#program.pid;
  }

  get exit() {
    return this.#program.exit;
  }

  get log() {
    return this.#program.log;
  }

  /** The last line of this kind. */
  last(what) {
    return this.lines.findLast((line) => line.what === what);
  }

  all(what) {
    return this.lines.filter((line) => line.what === what);
  }

  async tells(what, seconds) {
    return until(`the publisher tells \`${what}\``, seconds, () => {
      const found = this.last(what);
      if (!found && this.exit) throw new Error(`it has ended before it told \`${what}\`: ${this.log.slice(-2000)}`);
      return found;
    });
  }

  kill(signal) {
    this.#program.kill(signal);
  }

  async ended(seconds) {
    return this.#program.ended(seconds);
  }

  /** Ends it as its user would. */
  async stop(seconds = 30) {
    this.kill('SIGTERM');
    return this.ended(seconds);
  }

  async destroy() {
    await this.#program.destroy();
  }
}
