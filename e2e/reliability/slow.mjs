// A client that reads nothing any more: it is cut, and the others do not notice.

import { sleep, until } from '../support/wait.mjs';
import { withScene } from './scene.mjs';
import { Goals, quantile, round } from './report.mjs';
import { lives } from './truth.mjs';
import { Watch } from './watch.mjs';

const SETTLE_MS = 5000;
/** A camera's: as many boxes a second wait for who does not take them. */
const RATE = 30;

export async function slow({ minutes = 1 }) {
  const goals = new Goals();
  const watch = new Watch();
  let figures;
  await withScene({}, async (scene) => {
    scene.publish(scene.websocket, ['--sessions', 3], (line) => watch.take('ws', line));
    const deaf = scene.publish(scene.websocket, ['--fps', RATE, '--deaf-after', SETTLE_MS / 1000 + minutes * 60, '--end', 'vanish']);
    const { id, at } = await deaf.tells('joined', 60);
    const deafAt = at / 1000 + SETTLE_MS + minutes * 60_000;
    await sleep(deafAt - minutes * 60_000 - Date.now());
    const before = await p95(watch, deafAt - Date.now());
    const isGone = async () => (await scene.api.session(id)).ended_us !== null && !lives(scene.sessions.get(id));
    let cutAt;
    const cut = until('the deaf client is cut', 120, isGone).then(() => (cutAt = Date.now()));
    const [during] = await Promise.all([p95(watch, minutes * 60_000), cut.catch(() => {})]);
    figures = {
      cut_after_s: cutAt ? round((cutAt - deafAt) / 1000) : Infinity,
      others_p95_ms: { before: round(before), during: round(during) },
    };
    goals.atMost('seconds until the deaf client is cut', figures.cut_after_s, 15);
    goals.atMost('others’ p95 latency, as a share of that before', round(during / before), 1.2);
    goals.none('predictions of another frame', watch.wrong);
    goals.none('predictions twice or out of order', watch.disorder);
    goals.none('log lines that should not be', scene.alarms);
  });
  return { figures, goals };
}

/** The 95th percentile of the latencies of the next while. */
async function p95(watch, span) {
  const begun = Date.now();
  await sleep(span);
  return quantile(watch.latencies.filter(({ at }) => at >= begun).map(({ ms }) => ms), 0.95);
}
