// A TCP relay before a server: a server that goes away and comes back, as seen from a page.

import { once } from 'node:events';
import net from 'node:net';

export class Relay {
  #target;
  #port = 0;
  #server;
  #sockets = new Set();

  /** An open relay to this port of the loopback. */
  static async to(port) {
    const relay = new Relay();
    relay.#target = port;
    await relay.open();
    return relay;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Always on the same port. */
  async open() {
    this.#server = net.createServer((client) => {
      const server = net.connect(this.#target, '127.0.0.1');
      for (const [from, to] of [
        [client, server],
        [server, client],
      ]) {
        this.#sockets.add(from);
        from.pipe(to);
        from.on('error', () => to.destroy());
        from.on('close', () => {
          to.destroy();
          this.#sockets.delete(from);
        });
      }
    });
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = this.#server.address().port;
  }

  /** Ends all connections; new ones are refused. */
  async close() {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
