// A Redis of the test's own, and a client of RESP2 that speaks plain commands and binary values.

import net from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Program } from './processes.mjs';
import { freePort, until } from './wait.mjs';

export class RedisServer {
  #folder = mkdtempSync(join(tmpdir(), 'sightline-redis-'));
  program;
  /** Its port on the loopback, if it has one. */
  port = 0;

  /** `tcp`: it has a port too, for clients that know no sockets. */
  static async start({ tcp = false } = {}) {
    const server = new RedisServer();
    if (tcp) server.port = await freePort();
    await server.run();
    return server;
  }

  /** Starts it, and again after it was killed: empty, where it was. */
  async run() {
    const limits = ['--save', '', '--appendonly', 'no', '--maxmemory', '256mb', '--maxmemory-policy', 'noeviction'];
    const address = ['--bind', '127.0.0.1', '--port', String(this.port), '--unixsocket', this.socket];
    this.program = new Program('redis-server', [...address, ...limits]);
    try {
      await until('redis-server answers', 5, () => answers(this.socket));
    } catch (error) {
      console.error(this.program.log);
      await this.stop();
      throw error;
    }
  }

  get socket() {
    return join(this.#folder, 'redis.sock');
  }

  get url() {
    return `unix://${this.socket}`;
  }

  get tcpUrl() {
    return `redis://127.0.0.1:${this.port}`;
  }

  async stop() {
    this.program.kill('SIGTERM');
    await this.program.ended(5).catch(() => this.program.destroy());
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function answers(socket) {
  try {
    const redis = await Redis.connect(socket);
    redis.close();
    return true;
  } catch {
    return false;
  }
}

export class Redis {
  #socket;
  #waiting = [];
  #received = Buffer.alloc(0);

  /** Connects to a Unix socket's path, or `{ host, port }`. */
  static async connect(path) {
    const redis = new Redis();
    await new Promise((resolve, reject) => {
      redis.#socket = net.connect(path, resolve).on('error', reject);
    });
    redis.#socket.on('data', (data) => redis.#read(data));
    redis.#socket.on('close', () => redis.#fail(new Error('Redis closed the connection')));
    return redis;
  }

  /** One command; bulk strings come as Buffers, and may go as such. */
  command(...args) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      const parts = args.flatMap((arg) => {
        const bytes = Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg));
        return [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')];
      });
      this.#socket.write(Buffer.concat([Buffer.from(`*${args.length}\r\n`), ...parts]));
    });
  }

  /** The same, for replies that are text. */
  async text(...args) {
    return toText(await this.command(...args));
  }

  close() {
    this.#socket.destroy();
  }

  #read(data) {
    this.#received = this.#received.length ? Buffer.concat([this.#received, data]) : data;
    for (;;) {
      const parsed = parse(this.#received, 0);
      if (!parsed) return;
      this.#received = this.#received.subarray(parsed.end);
      const { resolve, reject } = this.#waiting.shift();
      if (parsed.value instanceof Error) reject(parsed.value);
      else resolve(parsed.value);
    }
  }

  #fail(error) {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}

/** `{ value, end }` of the reply that begins at `start`; undefined while it is not all there. */
function parse(data, start) {
  const line = data.indexOf('\r\n', start);
  if (line < 0) return undefined;
  const rest = data.toString('latin1', start + 1, line);
  const after = line + 2;
  switch (String.fromCharCode(data[start])) {
    case '+':
      return { value: rest, end: after };
    case '-':
      return { value: new Error(rest), end: after };
    case ':':
      return { value: Number(rest), end: after };
    case '$': {
      const length = Number(rest);
      if (length < 0) return { value: null, end: after };
      if (data.length < after + length + 2) return undefined;
      return { value: data.subarray(after, after + length), end: after + length + 2 };
    }
    default: {
      const count = Number(rest);
      if (count < 0) return { value: null, end: after };
      const values = [];
      let end = after;
      for (let i = 0; i < count; i++) {
        const item = parse(data, end);
        if (!item) return undefined;
        values.push(item.value);
        end = item.end;
      }
      return { value: values, end };
    }
  }
}

function toText(value) {
  if (Buffer.isBuffer(value)) return value.toString();
  return Array.isArray(value) ? value.map(toText) : value;
}
