// How long it takes from POST /api/v1/sessions to the first frame's prediction: with a spare process ready, and for a second
// session that asks at the same moment and finds none. `node bench/rest/start.mjs [ROUNDS]`

import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { Api } from '../../e2e/support/rest.mjs';
import { binaries, root, withSystem } from '../../e2e/support/system.mjs';
import { sleep, until } from '../../e2e/support/wait.mjs';

const ROUNDS = Number(process.argv[2] ?? 40);
const video = resolve(root, process.env.SIGHTLINE_DATA ?? '../shared/data', 'video/bikes.mp4');
const body = { pipeline: 'uri-detect', params: { uri: `file://${video}`, fps: 5 } };

/** Milliseconds from the request to the first prediction; the clocks are one, being on one host. */
async function start(api) {
  const asked = Date.now();
  const { id } = await api.started(body);
  const seen = await until('a prediction', 20, async () => {
    const view = await api.session(id);
    return view.first_frame_us && view;
  });
  await api.stop(id);
  return seen.first_frame_us / 1000 - asked;
}

/** The launcher's processes come to rest: workers there are none, so one is left, which is the spare. */
async function spareReady(system) {
  await until('a spare process alone', 20, () => system.pipelines().length === 1);
  await sleep(600);
}

function summary(times) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share) => Math.round(sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]);
  return { sessions: times.length, median_ms: at(0.5), p95_ms: at(0.95), max_ms: at(1) };
}

const env = { SIGHTLINE_WORKERS: '0', SIGHTLINE_MEDIA_FOLDER: dirname(video) };
await withSystem(env, async (system) => {
  const api = new Api(system);
  const [warm, cold] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    await spareReady(system);
    warm.push(await start(api));
    await spareReady(system);
    // The slower one is the one without.
    cold.push(Math.max(...(await Promise.all([start(api), start(api)]))));
  }
  const result = { cores: cpus().length, build: basename(binaries()), with_spare: summary(warm), two_at_once_second_without: summary(cold) };
  const file = join(root, 'bench/results/rest-start.json');
  writeFileSync(file, `${JSON.stringify(result, undefined, 2)}\n`);
  console.log(result);
});
