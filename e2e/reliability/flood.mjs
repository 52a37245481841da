// Clients that send more than anybody may: a good one connects as ever meanwhile, and those that are there do not notice.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { sleep } from '../support/wait.mjs';
import { Goals, quantile, round } from './report.mjs';
import { withScene } from './scene.mjs';
import { Watch } from './watch.mjs';

const FLOODERS = 4;
/** Of all of them together. */
const MESSAGES_A_SECOND = 1000;
const TICK_MS = 20;
const SESSIONS = 2;
const SETTLE_MS = 5000;

export async function flood({ minutes = 0.5 }) {
  const goals = new Goals();
  const watch = new Watch();
  const seconds = Math.round(minutes * 60);
  let figures;
  await withScene({}, async (scene) => {
    const others = scene.publish(scene.whip, ['--sessions', SESSIONS], (line) => watch.take('', line));
    await others.tells('prediction', 60);
    await sleep(SETTLE_MS);
    // With the same good clients, whose sessions take workers' time too.
    const before = await period(scene, watch, seconds);
    const flooders = Array.from({ length: FLOODERS }, () => new Flooder(scene.site.port, scene.address()));
    const during = await period(scene, watch, seconds);
    const cut = flooders.reduce((sum, one) => sum + one.cuts, 0);
    const sent = flooders.reduce((sum, one) => sum + one.stop(), 0);
    figures = {
      messages_a_second: round(sent / during.seconds, 0),
      connections_cut: cut,
      connect_ms: { before: before.connect_ms, during: during.connect_ms },
      others_predictions_a_second: { before: before.rate, during: during.rate },
    };
    goals.atLeast('messages a second, of all that flood', figures.messages_a_second, 0.95 * MESSAGES_A_SECOND);
    goals.atMost('ms from a good client’s offer to its connection, worst', during.connect_ms.max, 1000);
    goals.atLeast('others’ predictions a second, as a share of those before', round(during.rate / before.rate), 0.9);
    goals.none('sessions of others that ended', others.all('over').map(({ why }) => why));
    goals.none('predictions of another frame', watch.wrong);
    goals.none('predictions twice or out of order', watch.disorder);
    goals.none('log lines that should not be', scene.alarms);
  });
  return { figures, goals };
}

/** A good client each second: how long each took from its offer to a connection, and how many predictions the others got. */
async function period(scene, watch, seconds) {
  const begun = Date.now();
  const took = [];
  while (Date.now() - begun < seconds * 1000) {
    const next = sleep(1000);
    const good = scene.publish(scene.websocket, ['--summary']);
    took.push((await good.tells('connected', 30)).after_ms);
    await good.stop();
    await scene.dismiss(good);
    await next;
  }
  const span = (Date.now() - begun) / 1000;
  const predictions = watch.latencies.filter(({ at }) => at >= begun).length;
  return {
    seconds: span,
    rate: round(predictions / span),
    connect_ms: { count: took.length, p50: round(quantile(took, 0.5), 0), max: round(Math.max(...took), 0) },
  };
}

/** Sends its share whether it may or not, and comes again when it is cut. */
class Flooder {
  cuts = 0;
  #sent = 0;
  #stopped = false;
  #port;
  #from;

  constructor(port, from) {
    this.#port = port;
    this.#from = from;
    this.#run();
  }

  /** How many messages it has sent. */
  stop() {
    this.#stopped = true;
    return this.#sent;
  }

  async #run() {
    const begun = Date.now();
    while (!this.#stopped) {
      const socket = await open(this.#port, this.#from).catch(() => null);
      while (socket?.writable && !this.#stopped) {
        const due = ((Date.now() - begun) / 1000) * (MESSAGES_A_SECOND / FLOODERS);
        for (; this.#sent < due; this.#sent += 1) socket.write(MESSAGE);
        await sleep(TICK_MS);
      }
      if (!this.#stopped) this.cuts += 1;
      socket?.destroy();
    }
  }
}

/** A frame of text; it is masked, by nothing. */
const MESSAGE = frame('{"type":"Dance"}');

function frame(text) {
  return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
}

/** A WebSocket without a client behind it: its socket, which is gone as soon as the server says that it closes. */
async function open(port, localAddress) {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.on('error', () => {});
  const key = randomBytes(16).toString('base64');
  const lines = ['GET /ws HTTP/1.1', 'Host: localhost', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${key}`];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  await once(socket, 'data', { signal: AbortSignal.timeout(5000) });
  socket.on('data', (data) => closes(data) && socket.destroy());
  return socket;
}

/** Whether there is a close among these frames, which are a server's. */
function closes(data) {
  for (let rest = data; rest.length > 1; ) {
    if ((rest[0] & 0x0f) === 8) return true;
    rest = rest.subarray(rest[1] < 126 ? 2 + rest[1] : 4 + rest.readUInt16BE(2));
  }
  return false;
}
