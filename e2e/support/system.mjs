// The whole system on one machine, as `make run` starts it, on ports of its own.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Program } from './processes.mjs';
import { freePort, freeUdpPorts, until } from './wait.mjs';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** Debug builds on a busy machine are slow to start; a healthy system needs a fraction of this. */
const READY_SECONDS = 30;
const STOP_SECONDS = 10;

/** However busy the machine is that runs the tests. */
export const ADMITS_ALL = { SIGHTLINE_MAX_CPU_PERCENT: '0', SIGHTLINE_MAX_QUEUE_MS: '0' };

export function binaries() {
  if (process.env.SIGHTLINE_BIN) return resolve(root, process.env.SIGHTLINE_BIN);
  const folder = join(root, 'target/release');
  if (existsSync(join(folder, 'signaling')) && existsSync(join(folder, 'pipeline-launcher'))) return folder;
  throw new Error('no programs in target/release: run `make build`, or set SIGHTLINE_BIN to a folder that has them');
}

/** A program that serves the page on a port of the loopback. */
export class Site {
  program;
  port;

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get log() {
    return this.program.log;
  }

  /** What `GET /readyz` answers, or undefined where nobody does. */
  async readiness() {
    try {
      const response = await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(1000) });
      return { status: response.status, ...(await response.json()) };
    } catch {
      return undefined;
    }
  }

  async ready() {
    await until('GET /readyz says 200', READY_SECONDS, async () => {
      if (this.program.exit) throw new Error(`the system ended at once: ${JSON.stringify(this.program.exit)}`);
      return (await this.readiness())?.status === 200;
    });
  }
}

export class System extends Site {
  udpPorts;
  /** Its temporary folder, where the private Redis has its socket. */
  folder;

  /** Starts `pipeline-launcher up`; `env` adds to the environment. It may not be ready yet, or never. */
  static async spawn(env = {}) {
    const system = new System();
    system.port = await freePort();
    system.udpPorts = await freeUdpPorts(8);
    system.folder = mkdtempSync(join(tmpdir(), 'sightline-e2e-'));
    const mine = {
      REDIS_URL: '',
      REDIS_HOST: '',
      SIGHTLINE_PORT: String(system.port),
      SIGHTLINE_UDP_PORTS: `${system.udpPorts[0]}-${system.udpPorts.at(-1)}`,
      SIGHTLINE_WORKERS: '2',
      ...ADMITS_ALL,
      TMPDIR: system.folder,
      ...(process.env.SIGHTLINE_DATA && { SIGHTLINE_MODEL_DIR: join(resolve(root, process.env.SIGHTLINE_DATA), 'models') }),
    };
    system.program = new Program(join(binaries(), 'pipeline-launcher'), ['up'], { cwd: root, env: { ...mine, ...env } });
    return system;
  }

  /** The path of the private Redis's socket. */
  get redisSocket() {
    const [folder] = readdirSync(this.folder).filter((name) => name.startsWith('sightline-'));
    const [socket] = readdirSync(join(this.folder, folder)).filter((name) => name.endsWith('.sock'));
    return join(this.folder, folder, socket);
  }

  /** The launcher's children that run a pipeline or wait for one. */
  pipelines() {
    return this.program.find(/pipeline-launcher child/);
  }

  /** Stops it as Ctrl-C does: it must end in order, and leave nothing behind. */
  async stop() {
    this.program.processes();
    this.program.kill('SIGINT');
    const exit = await this.program.ended(STOP_SECONDS);
    assert.deepEqual([exit.code, exit.signal], [0, null], 'the exit after SIGINT');
    await this.nothingLeft(1);
    assert.deepEqual(readdirSync(this.folder), [], 'files left behind');
  }

  async nothingLeft(seconds) {
    let left = [];
    await until('no process is left', seconds, () => (left = this.program.processes()).length === 0).catch((error) => {
      throw new Error(`${error.message}: ${left.map(({ pid, command }) => `${pid} ${command}`).join('; ')}`);
    });
  }

  async destroy() {
    await this.program.destroy();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Runs `use` with a ready system, then stops it and checks that it ends in order. A failure shows its log. */
export async function withSystem(env, use) {
  await withUnreadySystem(env, async (system) => {
    await system.ready();
    await use(system);
    await system.stop();
  });
}

/** The same without waiting and without a stop: for systems that are not to come up, or not to end well. */
export async function withUnreadySystem(env, use) {
  const system = await System.spawn(env);
  try {
    await use(system);
  } catch (error) {
    console.error(`--- log of the system\n${system.log.slice(-20_000)}--- end of the log`);
    throw error;
  } finally {
    await system.destroy();
  }
}
