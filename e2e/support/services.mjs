// The system's programs started one by one, as on several hosts, with one Redis.

import assert from 'node:assert/strict';
import { basename, join } from 'node:path';
import { Program } from './processes.mjs';
import { Redis, RedisServer } from './redis.mjs';
import { ADMITS_ALL, Site, binaries, root } from './system.mjs';
import { python } from './tools.mjs';
import { freePort, freeUdpPorts, until } from './wait.mjs';

const STOP_SECONDS = 12;

/** Runs `use` with a Redis and what it starts on it. What still runs then must end in order. A failure shows all logs. */
export async function withServices(use) {
  const services = new Services();
  services.redis = await RedisServer.start({ tcp: true });
  try {
    await use(services);
    await services.stop();
  } catch (error) {
    services.showLogs();
    throw error;
  } finally {
    await services.destroy();
  }
}

class Services {
  redis;
  #programs = [];

  /** A signaling service, `svc:sgn:<id>`. */
  async signaling(id, env = {}) {
    const site = new Site();
    site.port = Number(env.SIGHTLINE_PORT ?? (await freePort()));
    const own = { SIGHTLINE_ID: id, SIGHTLINE_PORT: String(site.port), SIGHTLINE_WORKERS: 'auto' };
    site.program = this.#start(`signaling ${id}`, join(binaries(), 'signaling'), [], { ...own, ...env });
    return site;
  }

  /** A launcher, `svc:mb:<id>`, without workers unless `env` says so. */
  async launcher(id, env = {}) {
    const ports = await freeUdpPorts(8);
    const own = {
      SIGHTLINE_ID: id,
      SIGHTLINE_MODEL: 'blobs',
      SIGHTLINE_WORKERS: '0',
      ...ADMITS_ALL,
      SIGHTLINE_LAUNCHER_PORT: String(await freePort()),
      SIGHTLINE_UDP_PORTS: `${ports[0]}-${ports.at(-1)}`,
    };
    return this.#start(`launcher ${id}`, join(binaries(), 'pipeline-launcher'), ['serve'], { ...own, ...env });
  }

  /** A Python program of `e2e/support`, which is told where Redis is before its other arguments. */
  python(script, ...args) {
    return this.run(python, join(root, 'e2e/support', script), this.redis.tcpUrl, ...args);
  }

  /** A program that is not ours; what makes ours strict would end it. */
  run(command, ...args) {
    const title = command === python ? args[0] : command;
    return this.#start(basename(title), command, args, { G_DEBUG: undefined });
  }

  /** A connection to Redis, for as long as `use` runs. */
  async inRedis(use) {
    const redis = await Redis.connect(this.redis.socket);
    try {
      return await use(redis);
    } finally {
      redis.close();
    }
  }

  /** Waits until these keys are there: services that live. */
  alive(...names) {
    return this.inRedis((redis) =>
      until(`${names.join(', ')} live`, 20, async () => (await redis.text('EXISTS', ...names)) === names.length),
    );
  }

  /** The command line by which a program is started. */
  wrap = (command, args) => [command, args];
  /** `heard`, if it is set, gets all that the programs write that are started from then on. */
  heard;

  #start(title, command, args, env) {
    const outside = { REDIS_URL: this.redis.url, REDIS_HOST: '' };
    const program = new Program(...this.wrap(command, args), { cwd: root, env: { ...outside, ...env }, heard: this.heard });
    this.#programs.push([title, program]);
    return program;
  }

  /** Ends one as an operator does. */
  async end(program) {
    program.kill('SIGTERM');
    const { code, signal } = await program.ended(STOP_SECONDS);
    assert.deepEqual([code, signal], [0, null], 'the exit after SIGTERM');
  }

  async stop() {
    for (const [, program] of this.#programs.toReversed()) {
      if (!program.exit) await this.end(program);
    }
  }

  showLogs() {
    for (const [title, program] of this.#programs) {
      console.error(`--- log of ${title}\n${program.log.slice(-10_000)}--- end of the log`);
    }
  }

  async destroy() {
    for (const [, program] of this.#programs) await program.destroy();
    await this.redis.stop();
  }
}
