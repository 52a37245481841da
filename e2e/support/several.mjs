// Several Redis servers of the test's own: a cluster, or a master with a replica that a sentinel looks after.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Program } from './processes.mjs';
import { Redis } from './redis.mjs';
import { freePort, until } from './wait.mjs';

const SLOTS = 16_384;
const MASTERS = 3;
const MASTER_NAME = 'mymaster';
const HOST = '127.0.0.1';
const LIMITS = ['--save', '', '--appendonly', 'no', '--maxmemory', '256mb', '--maxmemory-policy', 'noeviction', '--bind', HOST];

class Node {
  folder = mkdtempSync(join(tmpdir(), 'sightline-node-'));
  port;
  program;

  static async start(...args) {
    const node = new Node();
    node.port = await freePort();
    await node.#run('--port', node.port, '--dir', node.folder, ...LIMITS, ...args);
    return node;
  }

  static async sentinel(master) {
    const node = new Node();
    node.port = await freePort();
    const file = join(node.folder, 'sentinel.conf');
    const settings = [
      `bind ${HOST}`,
      `port ${node.port}`,
      `sentinel monitor ${MASTER_NAME} ${HOST} ${master.port} 1`,
      `sentinel down-after-milliseconds ${MASTER_NAME} 1000`,
      `sentinel failover-timeout ${MASTER_NAME} 5000`,
    ];
    writeFileSync(file, settings.join('\n'));
    await node.#run(file, '--sentinel');
    return node;
  }

  async #run(...args) {
    this.program = new Program('redis-server', args.map(String));
    await until('redis-server answers', 5, () => this.text('PING').catch(() => undefined));
  }

  get address() {
    return `${HOST}:${this.port}`;
  }

  async text(...args) {
    const redis = await Redis.connect({ host: HOST, port: this.port });
    try {
      return await redis.text(...args);
    } finally {
      redis.close();
    }
  }

  async follows() {
    const info = await this.text('INFO', 'replication');
    return info.includes('master_link_status:up');
  }

  async kill() {
    this.program.kill('SIGKILL');
    await this.program.ended(5);
  }

  async stop() {
    await this.program?.destroy();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Three masters, and a replica of each. */
export class Cluster {
  nodes = [];

  static async start() {
    const cluster = new Cluster();
    try {
      await cluster.#start();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  async #start() {
    for (let number = 0; number < 2 * MASTERS; number++) {
      const bus = await freePort();
      const node = await Node.start('--cluster-enabled', 'yes', '--cluster-node-timeout', 2000, '--cluster-port', bus);
      this.nodes.push(node);
      await node.text('CLUSTER', 'SET-CONFIG-EPOCH', number + 1);
      if (number > 0) await this.nodes[0].text('CLUSTER', 'MEET', HOST, node.port, bus);
    }
    const [masters, replicas] = [this.nodes.slice(0, MASTERS), this.nodes.slice(MASTERS)];
    for (const [number, node] of masters.entries()) {
      const [first, end] = [number, number + 1].map((part) => Math.floor((part * SLOTS) / MASTERS));
      await node.text('CLUSTER', 'ADDSLOTSRANGE', first, end - 1);
    }
    await until('all nodes agree', 20, async () => {
      const infos = await Promise.all(this.nodes.map((node) => node.text('CLUSTER', 'INFO')));
      return infos.every((info) => info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${2 * MASTERS}\r`));
    });
    for (const [number, replica] of replicas.entries()) {
      await replica.text('CLUSTER', 'REPLICATE', await masters[number].text('CLUSTER', 'MYID'));
      await until('a replica follows', 10, () => replica.follows());
    }
  }

  get url() {
    return `redis-cluster://${this.nodes.map(({ address }) => address).join(',')}`;
  }

  /** The masters that live. */
  async masters() {
    const roles = await Promise.all(this.nodes.map((node) => node.text('ROLE').catch(() => [])));
    return this.nodes.filter((_, number) => roles[number][0] === 'master');
  }

  async owner(key) {
    const masters = await this.masters();
    // The others say MOVED.
    const answers = await Promise.all(masters.map((node) => node.text('EXISTS', key).catch(() => undefined)));
    return masters.find((_, number) => answers[number] !== undefined);
  }

  /** Moves the slot of a key to another master, as `redis-cli --cluster reshard` does. */
  async moveSlot(key) {
    const from = await this.owner(key);
    const to = (await this.masters()).find((node) => node !== from);
    const slot = await from.text('CLUSTER', 'KEYSLOT', key);
    const [source, target] = await Promise.all([from, to].map((node) => node.text('CLUSTER', 'MYID')));
    await to.text('CLUSTER', 'SETSLOT', slot, 'IMPORTING', source);
    await from.text('CLUSTER', 'SETSLOT', slot, 'MIGRATING', target);
    for (;;) {
      const keys = await from.text('CLUSTER', 'GETKEYSINSLOT', slot, 10);
      if (keys.length === 0) break;
      await from.text('MIGRATE', HOST, to.port, '', 0, 5000, 'KEYS', ...keys);
    }
    for (const node of [to, from]) await node.text('CLUSTER', 'SETSLOT', slot, 'NODE', target);
  }

  async stop() {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }
}

/** A master with a replica, and a sentinel that puts the replica in its place. */
export class Watched {
  #nodes = [];

  static async start() {
    const servers = new Watched();
    try {
      const master = await servers.#add(Node.start());
      const replica = await servers.#add(Node.start('--replicaof', `${HOST} ${master.port}`));
      await until('the replica follows', 10, () => replica.follows());
      const sentinel = await servers.#add(Node.sentinel(master));
      await until('the sentinel knows the replica', 15, async () => {
        const replicas = await sentinel.text('SENTINEL', 'REPLICAS', MASTER_NAME);
        return replicas.length === 1;
      });
    } catch (error) {
      await servers.stop();
      throw error;
    }
    return servers;
  }

  async #add(starting) {
    const node = await starting;
    this.#nodes.push(node);
    return node;
  }

  get master() {
    return this.#nodes[0];
  }

  get replica() {
    return this.#nodes[1];
  }

  get url() {
    return `redis-sentinel://${this.#nodes[2].address}/0?sentinelServiceName=${MASTER_NAME}`;
  }

  async stop() {
    await Promise.all(this.#nodes.map((node) => node.stop()));
  }
}
