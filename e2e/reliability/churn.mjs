// Sessions that come and go in every way: nothing is left of them, however they ended.

import { execFileSync } from 'node:child_process';
import { sleep, until } from '../support/wait.mjs';
import { withScene } from './scene.mjs';
import { Goals, quantile, randomness, round, say, shuffled } from './report.mjs';
import { holdingsOf, lives, sessionKeys } from './truth.mjs';

const STREAM_MS = 2000;
const LANES = 4;
/** The first sessions also fill what is filled once, such as pools of connections and of threads. */
const WARM_UP = 8;
/** How a session ends, who makes such a one, and seconds until nothing may be left. */
const WAYS = {
  DELETE: { by: 'whip', limit: 3 },
  'WebSocket closed': { by: 'websocket', limit: 3 },
  'WHIP client killed': { by: 'whip', limit: 15 },
  'WHIP client’s network cut': { by: 'whip', limit: 15 },
  'page killed': { by: 'websocket', limit: 15 },
  // Its WebSocket may still be alive, and its network come back: it has 30 s.
  'page’s network cut': { by: 'websocket', limit: 35 },
};
const LIMIT_S = 60;
const TRIES = 5;
/** So many sessions come in the time that the slowest end takes. */
const LINGERING = 30;

/** Packets of those in `cut` go nowhere, in either direction. */
const FIREWALL = `
table inet reliability {
  set cut { type ipv4_addr; }
  chain in { type filter hook input priority 0; ip saddr @cut drop; ip daddr @cut drop; }
}`;

export async function churn({ count = 100, seed }) {
  const random = randomness(seed);
  const goals = new Goals();
  let figures;
  await withScene({}, async (scene) => {
    execFileSync('nft', ['-f', '-'], { input: FIREWALL });
    const names = Object.keys(WAYS);
    await many(scene, ways(random, names.slice(0, 3), WARM_UP));
    const before = await scene.atRest();
    const first = await many(scene, ways(random, names, Math.floor(count / 2)));
    const half = await scene.atRest();
    const second = await many(scene, ways(random, names, count - Math.floor(count / 2)));
    const after = await scene.atRest();
    figures = judge(goals, [...first, ...second], { before, half, after }, scene);
  });
  return { figures, goals };
}

/** So many sessions, some at a time; of each the way it ended and how long it took to be gone. */
async function many(scene, ways) {
  const ends = [];
  const gone = [];
  let starting = Promise.resolve();
  const lane = async () => {
    while (ways.length > 0) {
      const way = ways.shift();
      // One after the other: what is looked at here is what sessions leave, not how fast they come.
      const started = starting.then(() => start(scene, way));
      starting = started.catch(() => {});
      const end = await once(scene, await started, way);
      ends.push(end);
      // Those that nobody says goodbye for take seconds to be missed: meanwhile others begin.
      gone.push(disappears(scene, end.publisher, end));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  await Promise.all(gone);
  return ends;
}

/** As many ends, of all ways alike, in a random order; those that take long early enough that nobody waits for them alone. */
function ways(random, names, count) {
  const all = shuffled(random, Array.from({ length: count }, (_, number) => names[number % names.length]));
  const place = (way, number) => number - (WAYS[way].limit > 30 ? LINGERING : 0);
  return all.map((way, number) => [place(way, number), way]).sort(([a], [b]) => a - b).map(([, way]) => way);
}

/** A publisher whose video flows. A machine that is too busy may refuse one: then it tries again, as a client would. */
async function start(scene, way) {
  for (let tries = 1; ; tries++) {
    const publisher = scene.publish(scene[WAYS[way].by], ['--address', scene.address(), '--summary']);
    try {
      await publisher.tells('connected', 30);
      return publisher;
    } catch (error) {
      if (tries === TRIES) throw error;
      say(`  tried again: ${publisher.last('over')?.said ?? error.message}`);
      await scene.dismiss(publisher);
    }
  }
}

/** One session until it is ended. */
async function once(scene, publisher, way) {
  const { id } = publisher.last('joined');
  const process = await until('the launcher tells of the session', 20, () => scene.sessions.get(id));
  await sleep(STREAM_MS);
  const { frames } = await scene.api.session(id);
  const end = { publisher, way, id, process, frames, ended_at: Date.now() };
  if (/killed/.test(way)) publisher.kill('SIGKILL');
  else if (/cut/.test(way)) setCut('add', publisher);
  else publisher.kill('SIGTERM');
  return end;
}

function setCut(verb, publisher) {
  const address = publisher.address;
  execFileSync('nft', [verb, 'element', 'inet', 'reliability', 'cut', `{ ${address} }`]);
}

/** Waits until nothing of the session is left, and writes down how long that took; `Infinity` if it is not. */
async function disappears(scene, publisher, end) {
  const isGone = async () => {
    if (lives(end.process)) return false;
    const { ended_us: ended } = await scene.api.session(end.id);
    if (ended === null) return false;
    const keys = await scene.redis(sessionKeys);
    return !keys.some((key) => key.includes(end.id));
  };
  await until(`nothing is left of a session (${end.way})`, LIMIT_S, isGone).then(
    () => (end.gone_s = (Date.now() - end.ended_at) / 1000),
    () => (end.gone_s = Infinity),
  );
  if (/cut/.test(end.way)) setCut('delete', publisher);
  await scene.dismiss(publisher);
}

function judge(goals, ends, { before, half, after }, scene) {
  const figures = { sessions: ends.length, served: ends.filter(({ frames }) => frames > 0).length, gone_s: {} };
  goals.atLeast('sessions whose frames were answered', figures.served, ends.length);
  for (const [way, { limit }] of Object.entries(WAYS)) {
    const times = ends.filter((end) => end.way === way).map(({ gone_s: seconds }) => seconds);
    figures.gone_s[way] = { p50: round(quantile(times, 0.5)), max: round(quantile(times, 1)) };
    goals.atMost(`seconds until all is free (${way}), worst`, figures.gone_s[way].max, limit);
  }
  goals.atMost('processes left', after.processes - before.processes, 0);
  goals.none('keys left', after.keys.filter((key) => !before.keys.includes(key)));
  goals.atMost('UDP ports left', after.udp_ports, 0);
  goals.none('log lines that should not be', scene.alarms);
  for (const daemon of ['launcher', 'signaling', 'redis']) {
    const [was, middle, is] = [before, half, after].map((holdings) => holdings[daemon]);
    const grown = {
      descriptors: is.descriptors - was.descriptors,
      threads: is.threads - was.threads,
      memory_mib_of_second_half: round((is.memory_kib - middle.memory_kib) / 1024),
    };
    figures[daemon] = grown;
    goals.atMost(`${daemon}: descriptors more`, grown.descriptors, 0);
    goals.atMost(`${daemon}: threads more`, grown.threads, 0);
    goals.atMost(`${daemon}: MiB more in the second half`, grown.memory_mib_of_second_half, 2);
  }
  const worker = holdingsOf([...scene.workers.values()].at(-1).pid);
  say(`  the worker holds ${JSON.stringify(worker)}`);
  return { ...figures, before, half, after };
}
