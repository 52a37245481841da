// A program with all it starts: found again by a mark in their environment, also after their parent has died.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { until } from './wait.mjs';

const MARK = 'SIGHTLINE_TEST_MARK';
const LOG_LIMIT = 200_000;

export class Program {
  /** What it and its children wrote to standard output and error. */
  log = '';
  /** `{ code, signal, seconds }` once it has ended. */
  exit = undefined;
  #mark = randomBytes(12).toString('hex');
  #seen = new Map();
  #child;

  /** `heard` gets all that it writes, beyond what the log keeps. */
  constructor(command, args, { env = {}, cwd, heard } = {}) {
    const started = Date.now();
    const environment = { ...process.env, ...env, [MARK]: this.#mark };
    this.#child = spawn(command, args, { env: environment, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      output.setEncoding('utf8').on('data', (text) => {
        this.log = (this.log + text).slice(-LOG_LIMIT);
        heard?.(text);
      });
    }
    this.#child.on('error', (error) => {
      this.log += `${command}: ${error.message}\n`;
      this.exit ??= { code: null, signal: null, seconds: 0 };
    });
    this.#child.on('exit', (code, signal) => {
      this.exit = { code, signal, seconds: (Date.now() - started) / 1000 };
    });
  }

  get pid() {
    return this.#child.pid;
  }

  kill(signal) {
    this.#child.kill(signal);
  }

  /** Waits for its end, and gives its exit. */
  async ended(seconds) {
    return until(`the end of ${this.#child.spawnargs.join(' ')}`, seconds, () => this.exit);
  }

  /** Those that live of it and of all that it has started: `{ pid, parent, command }`. */
  processes() {
    const all = listProcesses();
    const mine = new Map();
    for (const one of all.values()) {
      // Some programs write their title over their environment: then their parents are known, or they were.
      const known = this.#seen.get(one.pid) === one.started || one.pid === this.pid || isMarked(one.pid, this.#mark);
      if (known) mine.set(one.pid, one);
    }
    for (let grown = true; grown; ) {
      const children = [...all.values()].filter((one) => !mine.has(one.pid) && mine.has(one.parent));
      for (const child of children) mine.set(child.pid, child);
      grown = children.length > 0;
    }
    for (const one of mine.values()) this.#seen.set(one.pid, one.started);
    return [...mine.values()].filter((one) => one.state !== 'Z' && !(one.pid === this.pid && this.exit));
  }

  find(pattern) {
    return this.processes().filter(({ command }) => pattern.test(command));
  }

  /** Ends whatever is left, by force. */
  async destroy() {
    for (const { pid } of this.processes()) killQuietly(pid);
    await this.ended(5);
    for (const { pid } of this.processes()) killQuietly(pid);
  }
}

function killQuietly(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function isMarked(pid, mark) {
  return read(`/proc/${pid}/environ`)?.includes(`${MARK}=${mark}`) ?? false;
}

function listProcesses() {
  const all = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = read(`/proc/${name}/stat`);
    const command = read(`/proc/${name}/cmdline`)?.replaceAll('\0', ' ').trim();
    if (stat === undefined || command === undefined) continue;
    // The name, in parentheses, may hold anything; behind it the fields are plain.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const pid = Number(name);
    all.set(pid, { pid, state: fields[0], parent: Number(fields[1]), started: fields[19], command });
  }
  return all;
}

function read(path) {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
