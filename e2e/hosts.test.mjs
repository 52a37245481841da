// From one host to four: the same files and programs on each, told where Redis is and nothing else.

import assert from 'node:assert/strict';
import { mkdirSync, copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { camera } from './support/camera.mjs';
import { lan, withNamespaces } from './support/namespaces.mjs';
import { Program } from './support/processes.mjs';
import { binaries, root } from './support/system.mjs';
import { until } from './support/wait.mjs';

const NETWORK = '10.79.0';
const PASSWORD = 'of-this-test';
const HOSTS = 4;

const CAMERA = camera(10);

/** What the hosts have in common: the first has Redis and signaling, each has a launcher. */
class Cluster {
  #hosts;
  #env;
  #programs = [];

  constructor(hosts, folder) {
    this.#hosts = hosts;
    const pipelines = join(folder, 'pipelines');
    mkdirSync(pipelines);
    writeFileSync(join(pipelines, 'camera.toml'), CAMERA);
    copyFileSync(join(root, 'pipelines/yolox-worker.toml'), join(pipelines, 'yolox-worker.toml'));
    this.#env = {
      REDIS_URL: `redis://:${PASSWORD}@${NETWORK}.1:6379`, REDIS_HOST: '', SIGHTLINE_PIPELINES: pipelines,
      SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '1', SIGHTLINE_BIND: `${NETWORK}.1`, SIGHTLINE_INSECURE: '1', TMPDIR: folder,
    };
  }

  #start(host, command, ...args) {
    const program = new Program(...this.#hosts[host].command(command, ...args), { cwd: root, env: this.#env });
    this.#programs.push(program);
  }

  async startFirst() {
    const listen = ['--bind', `${NETWORK}.1`, '--requirepass', PASSWORD, '--dir', this.#env.TMPDIR];
    this.#start(0, 'redis-server', ...listen, '--save', '', '--appendonly', 'no');
    await until('Redis answers', 10, () => this.tries(() => this.redis('PING') === 'PONG'));
    this.#start(0, join(binaries(), 'signaling'));
    this.startLauncher(0);
    await until('the first host is ready', 30, () => this.tries(() => this.http('/readyz').ready));
  }

  startLauncher(host) {
    this.#start(host, join(binaries(), 'pipeline-launcher'), 'serve', '--id', `host${host + 1}`);
  }

  tries(check) {
    try {
      return check();
    } catch {
      return false;
    }
  }

  redis(...command) {
    return this.#hosts[0].run('redis-cli', '-h', `${NETWORK}.1`, '--no-auth-warning', '-a', PASSWORD, ...command).trim();
  }

  /** A request from the last host, so that it crosses the network. */
  http(path, body) {
    const post = body ? ['-H', 'Content-Type: application/json', '-d', JSON.stringify(body)] : [];
    return JSON.parse(this.#hosts.at(-1).run('curl', '-sf', '--max-time', '10', `http://${NETWORK}.1:9000${path}`, ...post));
  }

  /** For each session, the workers that gave the newest predictions. */
  answers() {
    const entries = JSON.parse(this.redis('--json', 'XREVRANGE', 'predictions', '+', '-', 'COUNT', '200'));
    const workers = new Map();
    for (const [, fields] of entries) {
      const field = (name) => fields[fields.indexOf(name) + 1];
      const session = field('participantId');
      workers.set(session, (workers.get(session) ?? new Set()).add(field('worker')));
    }
    return workers;
  }

  log() {
    return this.#programs.map((program) => program.log.slice(-4000)).join('\n---\n');
  }

  async destroy() {
    for (const program of this.#programs.reverse()) await program.destroy();
  }
}

test('sessions are served by as many hosts as there are', { timeout: 120_000 }, () =>
  withNamespaces(async (make, folder) => {
    const cluster = new Cluster(lan(make, NETWORK, HOSTS), folder);
    try {
      await cluster.startFirst();
      const sessions = [];
      for (let hosts = 1; hosts <= HOSTS; hosts++) {
        if (hosts > 1) cluster.startLauncher(hosts - 1);
        await until(`${hosts} workers are known`, 30, () => cluster.http('/api/v1/workers').workers.length === hosts);
        // It takes its turn among the launchers.
        sessions.push(cluster.http('/api/v1/sessions', { pipeline: 'camera' }).id);
        await until(`all sessions are served by the workers of ${hosts} hosts`, 20, () => {
          const answers = cluster.answers();
          const all = new Set(sessions.flatMap((session) => [...(answers.get(session) ?? [])]));
          return sessions.every((session) => answers.has(session)) && all.size === hosts;
        });
      }
      const seen = sessions.map((session) => cluster.http(`/api/v1/sessions/${session}`));
      assert.deepEqual(new Set(seen.map(({ launcher }) => launcher)).size, HOSTS, JSON.stringify(seen));
      await until('each session\'s predictions reach the first host', 20, () => {
        const now = sessions.map((session) => cluster.http(`/api/v1/sessions/${session}`));
        return now.every(({ state, frames }, index) => state === 'RUNNING' && frames > seen[index].frames + 10);
      });
      assert.equal(cluster.redis('XLEN', 'images:dead'), '0');
    } catch (error) {
      console.error(cluster.log());
      throw error;
    } finally {
      await cluster.destroy();
    }
  }),
);
