import type { ServerClock } from './clock';
import { parseServerMessage } from './protocol';
import { preciseNow } from './precise';

/** Questions of one connection, the milliseconds between them, and between connections. */
const QUESTIONS = 3;
const PAUSE_MS = 250;
const PERIOD_MS = 30_000;
/** The server closes a connection that joins no session; it answers before that, or not at all. */
const LIMIT_MS = 5000;

/** Learns the server's time where there is no session's connection to ask it on. Returns how to stop that. */
export function probeClock(url: URL, clock: ServerClock): () => void {
  let end = ask(url, clock);
  const timer = setInterval(() => {
    end();
    end = ask(url, clock);
  }, PERIOD_MS);
  return () => {
    clearInterval(timer);
    end();
  };
}

function ask(url: URL, clock: ServerClock): () => void {
  const socket = new WebSocket(url);
  let asked = 0;
  const question = () => {
    asked += 1;
    socket.send(JSON.stringify({ type: 'Stats', data: { t0: preciseNow() } }));
  };
  socket.onopen = question;
  socket.onmessage = ({ data }) => {
    const received = preciseNow();
    const parsed = typeof data === 'string' ? parseServerMessage(data) : undefined;
    if (parsed?.kind !== 'message' || parsed.message.type !== 'Stats') return;
    clock.add(parsed.message.t0, parsed.message.serverTimeUs / 1000, received);
    if (asked === QUESTIONS) socket.close();
    else setTimeout(() => socket.readyState === WebSocket.OPEN && question(), PAUSE_MS);
  };
  const limit = setTimeout(() => socket.close(), LIMIT_MS);
  return () => {
    clearTimeout(limit);
    socket.close();
  };
}
