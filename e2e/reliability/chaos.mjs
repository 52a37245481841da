// Everything is killed, stopped and restarted under sessions that run, at random: each goes on, or is told why not.

import { sleep, until } from '../support/wait.mjs';
import { withScene } from './scene.mjs';
import { Goals, pick, quantile, randomness, round, say, shuffled } from './report.mjs';
import { identityOf, lives } from './truth.mjs';
import { Watch } from './watch.mjs';

const STOPPED_MS = 5000;
/** What looks after programs starts one again that has died, after so long. */
const DOWN_MS = 1000;
/** For so long is recovery waited for. */
const RECOVERY_S = 90;
const KINDS = {
  worker: ['kill', 'stop'],
  session: ['kill', 'stop'],
  launcher: ['kill', 'stop', 'restart'],
  signaling: ['kill', 'stop', 'restart'],
  redis: ['kill', 'stop', 'restart'],
};
const FAULTS = Object.entries(KINDS).flatMap(([target, kinds]) => kinds.map((kind) => ({ target, kind })));
const SESSIONS = ['whip0', 'whip1', 'ws0', 'ws1'];

export async function chaos({ minutes = 10, seed, only }) {
  const random = randomness(seed);
  const goals = new Goals();
  const watch = new Watch();
  const faults = [];
  await withScene({ workers: 2 }, async (scene) => {
    for (const [name, url] of [['whip', scene.whip], ['ws', scene.websocket]]) {
      scene.publish(url, ['--sessions', 2, '--again'], (line) => watch.take(name, line));
    }
    await flowing(watch, Date.now());
    const until_ = Date.now() + minutes * 60_000;
    let waiting = [];
    while (Date.now() < until_) {
      // In rounds of all there are, each in an order of its own.
      if (waiting.length === 0) waiting = shuffled(random, FAULTS.filter(({ target }) => !only || only.includes(target)));
      const fault = { ...waiting.pop() };
      faults.push(fault);
      await happen(scene, watch, random, fault);
      await sleep(1000 + random() * 3000);
    }
    judge(goals, scene, watch, faults);
  });
  return { figures: figuresOf(watch, faults), goals };
}

/** Waits until each session has boxes of frames that were sent after that moment. */
async function flowing(watch, since) {
  await until('all sessions give boxes', RECOVERY_S, () => SESSIONS.every((session) => watch.isAnswered(session, since)));
}

async function happen(scene, watch, random, fault) {
  await act(scene, random, fault);
  const { since } = fault;
  fault.answered_s = {};
  fault.told = {};
  const pending = new Set(SESSIONS);
  await until('each session goes on, or is told why not', RECOVERY_S, () => {
    for (const session of pending) {
      const why = watch.isTold(session, since);
      if (!why && !watch.isAnswered(session, since)) continue;
      fault.answered_s[session] = (Date.now() - since) / 1000;
      if (why) fault.told[session] = why.said?.last_error?.message ?? why.said?.reason?.message ?? why.said ?? why.why;
      pending.delete(session);
    }
    return pending.size === 0;
  }).catch(() => {});
  fault.worst_s = pending.size > 0 ? Infinity : round(Math.max(...Object.values(fault.answered_s)));
  const again = flowing(watch, Date.now()).then(() => round((Date.now() - since) / 1000));
  fault.all_again_s = await again.catch(() => Infinity);
  const told = [...new Set(Object.values(fault.told).map(String))];
  say(`  ${fault.kind} ${fault.target}: heard of after ${fault.worst_s} s, all again after ${fault.all_again_s} s${told.map((one) => `; “${one}”`).join('')}`);
}

/** Does it, and writes down since when things can be as they were. */
async function act(scene, random, fault) {
  const { target, kind } = fault;
  const hit = processOf(scene, random, target);
  scene.hit.add(hit.pid);
  if (kind === 'stop') {
    process.kill(hit.pid, 'SIGSTOP');
    await sleep(STOPPED_MS);
    if (lives(hit)) process.kill(hit.pid, 'SIGCONT');
    fault.since = Date.now();
    return;
  }
  fault.since = Date.now();
  const program = programOf(scene, target);
  if (kind === 'kill') process.kill(hit.pid, 'SIGKILL');
  else program.kill('SIGTERM');
  if (!program) return;
  await program.ended(15);
  if (kind === 'restart' && program.exit.code !== 0) scene.alarms.push(`${target} ended by SIGTERM with ${JSON.stringify(program.exit)}`);
  if (kind === 'kill') await sleep(DOWN_MS);
  if (target === 'redis') await scene.services.redis.run();
  if (target === 'launcher') await scene.startLauncher();
  if (target === 'signaling') await scene.startSignaling();
}

function processOf(scene, random, target) {
  if (target in scene.daemons) return identityOf(scene.daemons[target]);
  const all = target === 'worker' ? scene.workers : scene.sessions;
  return pick(random, [...all.values()].filter(lives));
}

function programOf(scene, target) {
  return { launcher: scene.launcher, signaling: scene.site.program, redis: scene.services.redis.program }[target];
}

function judge(goals, scene, watch, faults) {
  goals.atMost('seconds until a session goes on or is told why, worst', Math.max(...faults.map(({ worst_s: worst }) => worst)), 5);
  goals.none('predictions of another frame', watch.wrong);
  goals.none('predictions twice or out of order', watch.disorder);
  goals.none('ends of processes that nobody caused, and log lines that should not be', scene.alarms);
}

function figuresOf(watch, faults) {
  const by = new Map();
  for (const fault of faults) {
    const name = `${fault.kind} ${fault.target}`;
    by.set(name, [...(by.get(name) ?? []), fault]);
  }
  const seconds = (list) => ({
    times: list.length,
    heard_of_s: round(Math.max(...list.map(({ worst_s: worst }) => worst))),
    all_again_s: { p50: quantile(list.map(({ all_again_s: all }) => all), 0.5), max: Math.max(...list.map(({ all_again_s: all }) => all)) },
  });
  return {
    faults: faults.length,
    predictions: watch.predictions,
    unreadable: watch.unreadable,
    by_fault: Object.fromEntries([...by].sort().map(([name, list]) => [name, seconds(list)])),
  };
}
