// What every row of the suite runs on: the real programs with a Redis of their own, in a network of their own, and publishers.

import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Publisher } from '../support/publisher.mjs';
import { Api } from '../support/rest.mjs';
import { withServices } from '../support/services.mjs';
import { shapesVideo } from '../support/shapes-video.mjs';
import { root } from '../support/system.mjs';
import { freePort, until } from '../support/wait.mjs';
import { holdingsOf, identityOf, sessionKeys, udpPorts, waitingFrames } from './truth.mjs';

const READY_SECONDS = 120;

/** Frames a second that each publisher sends: few enough for a small machine to answer all. */
export const FPS = 10;

/**
 * Runs `use` with a scene that is ready. `logTo`: the programs write to this file instead of to us, so that only HTTP and the kernel tell of them.
 * `clock`: their clock can be set, by `setClock`.
 */
export async function withScene({ workers = 1, env = {}, inLauncher = {}, logTo, clock = false } = {}, use) {
  const folder = mkdtempSync(join(tmpdir(), 'sightline-reliability-'));
  try {
    if (clock) settableClock(folder);
    const video = join(folder, 'shapes.ivf');
    shapesVideo(video, 'avmux_ivf');
    await withServices(async (services) => {
      const scene = new Scene(services, video, env, { SIGHTLINE_WORKERS: String(workers), ...inLauncher }, folder);
      services.heard = (text) => scene.hear(text);
      if (logTo) services.wrap = (command, args) => ['sh', ['-c', 'exec "$@" >>"$0" 2>&1', logTo, command, ...args]];
      try {
        await scene.startAll();
        await use(scene);
      } catch (error) {
        for (const publisher of scene.publishers) console.error(`--- a publisher\n${publisher.log.slice(-1500)}`);
        throw error;
      } finally {
        for (const publisher of scene.publishers) await publisher.destroy();
      }
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Programs that are started from now on see a clock that is off by what `clock` in this folder says. */
function settableClock(folder) {
  const library = join(folder, 'set_clock.so');
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, join(root, 'e2e/support/set_clock.c')]);
  process.env.LD_PRELOAD = library;
  process.env.SIGHTLINE_CLOCK = join(folder, 'clock');
  writeClock(process.env.SIGHTLINE_CLOCK, 0);
}

function writeClock(path, seconds) {
  const value = Buffer.alloc(8);
  value.writeBigInt64LE(BigInt(seconds));
  // In place: the programs have the file mapped.
  const file = openSync(path, existsSync(path) ? 'r+' : 'w');
  writeSync(file, value, 0, 8, 0);
  closeSync(file);
}

class Scene {
  services;
  video;
  folder;
  site;
  launcher;
  api;
  publishers = new Set();
  /** Processes by session, of all that ever were. */
  sessions = new Map();
  /** Processes of all workers that ever were ready, by name. */
  workers = new Map();
  /** Workers that ended, for whatever reason. */
  restarts = 0;
  /** Process ids of those that a row has hit: they may end as they like. */
  hit = new Set();
  /** Lines of the programs' logs that no run should have. */
  alarms = [];
  /** GStreamer objects that were left when a process ended, if they are traced. */
  left = [];
  #env;
  #inLauncher;
  #rest = '';
  #addresses = 1;

  constructor(services, video, env, inLauncher, folder) {
    this.services = services;
    this.video = video;
    this.folder = folder;
    this.#env = { G_DEBUG: 'fatal-criticals', RUST_BACKTRACE: '1', ...env };
    this.#inLauncher = inLauncher;
  }

  async startAll() {
    const port = String(await freePort());
    this.#env = { ...this.#env, SIGHTLINE_PORT: port };
    await this.startSignaling();
    await this.startLauncher();
    this.api = new Api(this.site);
    await this.ready();
  }

  async ready(seconds = READY_SECONDS) {
    await until('GET /readyz says 200', seconds, async () => (await this.site.readiness())?.status === 200);
  }

  /** Started again it is where it was, with the same name. */
  async startSignaling() {
    this.site = await this.services.signaling('s', this.#env);
  }

  async startLauncher() {
    const own = { SIGHTLINE_UDP_PORTS: '14000-14199', SIGHTLINE_MAX_SESSIONS: '64' };
    this.launcher = await this.services.launcher('l', { ...this.#env, ...own, ...this.#inLauncher });
  }

  /** Takes what the programs write: who started which process, and what should never be said. */
  hear(text) {
    const lines = (this.#rest + text).replaceAll(/\u001b\[[\d;]*m/g, '').split('\n');
    this.#rest = lines.pop();
    for (const line of lines) {
      const session = /session started session="?([^" ]+)"? .*?pid=(\d+)/.exec(line);
      if (session) this.sessions.set(session[1], identityOf(Number(session[2])));
      const worker = /worker ready worker="?([^" ]+)"? pid=(\d+)/.exec(line);
      if (worker) this.workers.set(worker[1], identityOf(Number(worker[2])));
      const end = /(?:session ended session|a worker ended worker)="?([^" ]+)"? .*?exit=(?:Some\()?"(\w+)"/.exec(line);
      const pid = end && (this.sessions.get(end[1]) ?? this.workers.get(end[1]))?.pid;
      const left = /object-alive, type-name=\(string\)(\w+),.*description=\(string\)(.*), ref-count/.exec(line);
      if (left) this.left.push(`${left[1]} ${left[2]}`);
      if (/a worker ended/.test(line)) this.restarts += 1;
      if (end && end[2] !== 'success' && !this.hit.has(pid)) this.alarms.push(line.slice(0, 400));
      if (/panicked at|CRITICAL|AddressSanitizer|BorrowMutError/.test(line)) this.alarms.push(line.slice(0, 300));
    }
  }

  get whip() {
    return `${this.site.url}/whip/webrtc-detect`;
  }

  get websocket() {
    return `${this.site.url.replace('http', 'ws')}/ws?webrtc-detect`;
  }

  /** An address of this host that no other publisher has. */
  address() {
    this.#addresses += 1;
    return `10.79.${this.#addresses >> 8}.${this.#addresses & 255}`;
  }

  publish(url, args = [], listen) {
    const from = args.includes('--address') ? [] : ['--address', this.address()];
    const rate = args.includes('--fps') ? [] : ['--fps', FPS];
    const publisher = new Publisher(url, this.video, [...rate, ...from, ...args], listen);
    this.publishers.add(publisher);
    return publisher;
  }

  /** Forgets a publisher that has ended. */
  async dismiss(publisher) {
    await publisher.destroy();
    this.publishers.delete(publisher);
  }

  /** Sets the clock of all programs but publishers to so many seconds from what it is. */
  setClock(seconds) {
    writeClock(process.env.SIGHTLINE_CLOCK, seconds);
  }

  redis(use) {
    return this.services.inRedis(use);
  }

  /** Its daemons and their pids. */
  get daemons() {
    return { launcher: this.launcher.pid, signaling: this.site.program.pid, redis: this.services.redis.program.pid };
  }

  /** What it holds now. */
  async holdings() {
    const programs = [this.launcher, this.site.program];
    const [keys, frames] = await this.redis((redis) => Promise.all([sessionKeys(redis), waitingFrames(redis)]));
    return {
      processes: programs.reduce((sum, program) => sum + program.processes().length, 0),
      udp_ports: udpPorts().length,
      keys,
      frames,
      ...Object.fromEntries(Object.entries(this.daemons).map(([name, pid]) => [name, holdingsOf(pid)])),
    };
  }

  /** What it holds once all that a session leaves for a moment is gone: the same twice, memory apart. */
  async atRest(seconds = 40) {
    let last;
    let seen;
    await until('the system comes to rest', seconds, async () => {
      seen = await this.holdings();
      const now = JSON.stringify(seen, (key, value) => (key === 'memory_kib' ? undefined : value));
      const settled = now === last && seen.udp_ports === 0 && seen.frames === 0;
      last = now;
      if (!settled) await new Promise((resolve) => setTimeout(resolve, 1000));
      return settled;
    }).catch((error) => {
      throw new Error(`${error.message}; it holds ${JSON.stringify(seen)}`);
    });
    return seen;
  }
}
