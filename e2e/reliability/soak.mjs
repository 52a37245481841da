// Sessions that go on and on: nothing grows, and boxes come as soon as in the beginning.

import { createHash } from 'node:crypto';
import { sleep } from '../support/wait.mjs';
import { withScene } from './scene.mjs';
import { Goals, quantile, round, say } from './report.mjs';
import { holdingsOf } from './truth.mjs';
import { Watch } from './watch.mjs';

const SAMPLE_MS = 5000;
/** After so long all that is filled once has its size: pools, the jitter buffers, the allocator's arenas. */
const SETTLED_MS = 60_000;
/** What the machine's speed is judged by. */
const WORK = Buffer.alloc(4 << 20);

export async function soak({ minutes = 10 }) {
  const goals = new Goals();
  const watch = new Watch();
  let figures;
  await withScene({}, async (scene) => {
    for (const [name, url] of [['whip', scene.whip], ['ws', scene.websocket]]) {
      scene.publish(url, ['--sessions', 2], (line) => watch.take(name, line));
    }
    const samples = [];
    const begun = Date.now();
    while (Date.now() - begun < minutes * 60_000) {
      await sleep(SAMPLE_MS);
      samples.push({ at: Date.now() - begun, machine_ms: fixedWork(), holdings: sample(scene) });
    }
    const minute = (from) => samples.filter(({ at }) => at >= from && at < from + 60_000);
    const [second, last] = [minute(SETTLED_MS), minute(minutes * 60_000 - 60_000)];
    const latency = (from) => {
      const times = watch.latencies.filter(({ at }) => at - begun >= from && at - begun < from + 60_000).map(({ ms }) => ms);
      return { p50: round(quantile(times, 0.5)), p95: round(quantile(times, 0.95)) };
    };
    const speed = (from) => round(quantile(minute(from).map((one) => one.machine_ms), 0.5));
    const byMinute = (what) => Array.from({ length: minutes }, (_, number) => what(number * 60_000));
    figures = {
      predictions: watch.predictions,
      latency_ms: {
        second_minute: latency(SETTLED_MS),
        last_minute: latency(minutes * 60_000 - 60_000),
        // Whether it grows, or the machine is faster at times.
        medians: byMinute((from) => latency(from).p50),
      },
      /** Medians of each minute for the same work, done in the driver. */
      machine_ms: byMinute(speed),
      holdings: {},
    };
    for (const name of Object.keys(last[0].holdings)) {
      const of = (list, what) => quantile(list.map((one) => one.holdings[name]?.[what] ?? NaN), 0.5);
      const pair = (what) => [of(second, what), of(last, what)];
      const [memory, descriptors, threads] = ['memory_kib', 'descriptors', 'threads'].map(pair);
      figures.holdings[name] = { memory_mib: memory.map((kib) => round(kib / 1024)), descriptors, threads };
      goals.atMost(`${name}: MiB more in the last minute than in the second`, round((memory[1] - memory[0]) / 1024), 2);
      goals.atMost(`${name}: descriptors more`, descriptors[1] - descriptors[0], 0);
      goals.atMost(`${name}: threads more`, threads[1] - threads[0], 0);
    }
    const { second_minute: then, last_minute: now } = figures.latency_ms;
    const slower = Math.max(1, speed(minutes * 60_000 - 60_000) / speed(SETTLED_MS));
    figures.latency_ms.share = round(now.p50 / then.p50);
    goals.atMost('median latency of the last minute, as a share of the second’s, by how much slower the machine was', round(now.p50 / then.p50 / slower), 1.2);
    goals.none('predictions of another frame', watch.wrong);
    goals.none('predictions twice or out of order', watch.disorder);
    goals.none('log lines that should not be, criticals among them', scene.alarms);
    say(`  ${watch.predictions} predictions, ${watch.unreadable} of them without exactly one box`);
  });
  return { figures, goals };
}

/** How many milliseconds a processor takes for what is always the same. */
function fixedWork() {
  const begun = performance.now();
  createHash('sha256').update(WORK).digest();
  return performance.now() - begun;
}

/** What every process holds: daemons, workers, sessions. */
function sample(scene) {
  const numbered = (name, processes) => [...processes].map(({ pid }, number) => [`${name} ${number + 1}`, pid]);
  const all = [...Object.entries(scene.daemons), ...numbered('worker', scene.workers.values()), ...numbered('session', scene.sessions.values())];
  return Object.fromEntries(all.map(([name, pid]) => [name, holdingsOf(pid)]));
}
