// A real Prometheus looks at a running system: what the dashboard asks is answered, and the alerts fire when they should.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { Prometheus } from './support/prometheus.mjs';
import { withServices } from './support/services.mjs';
import { root } from './support/system.mjs';
import { works } from './support/tools.mjs';
import { freePort, until } from './support/wait.mjs';

const promtool = process.env.PROMTOOL ?? 'promtool';
const folder = join(root, 'docker/prometheus');
const ADVICE = 'Prometheus is missing: run scripts/setup.sh test';
const dashboard = JSON.parse(readFileSync(join(root, 'docker/grafana/dashboards/sightline.json'), 'utf8'));
const rules = readFileSync(join(folder, 'alerts.yml'), 'utf8');

/** What the panels ask, as Grafana would: `[title, query]`. */
function panelQueries() {
  return dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => [
      title,
      expr.replaceAll('$__rate_interval', '20s').replaceAll('$__range', '1m').replaceAll('$host', '.*'),
    ]),
  );
}

function run(...args) {
  const { status, stdout, stderr } = spawnSync(promtool, args, { cwd: folder, encoding: 'utf8', timeout: 30_000 });
  assert.equal(status, 0, `promtool ${args.join(' ')}\n${stdout}${stderr}`);
}

test('promtool finds nothing wrong with the configuration, and the rules do what their tests say', (t) => {
  if (!works(t, ADVICE, promtool, '--version')) return;
  run('check', 'config', 'prometheus.yml');
  run('check', 'rules', 'alerts.yml');
  run('test', 'rules', 'alerts.test.yml');
});

test('every metric is on the dashboard or in an alert, and what those name is counted', () => {
  const documented = new Set(
    [...readFileSync(join(root, 'docs/metrics.md'), 'utf8').matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name),
  );
  assert.ok(documented.size > 30, `${documented.size} metrics`);
  const asked = [...panelQueries().map(([, query]) => query), rules].join('\n');
  const named = [...asked.matchAll(/\b(?:sightline|inference)_\w+/g)].map(([name]) => name);
  const used = new Set(named.map((name) => (documented.has(name) ? name : name.replace(/_(bucket|sum|count)$/, ''))));
  assert.deepEqual([...used].sort(), [...documented].sort());
});

test('a running system answers every panel, and provoked alerts fire', { timeout: 400_000 }, async (t) => {
  if (!works(t, ADVICE, process.env.PROMETHEUS ?? 'prometheus', '--version')) return;
  await withServices(async (services) => {
    const port = await freePort();
    const launcher = await services.launcher('near', { SIGHTLINE_WORKERS: '1', SIGHTLINE_LAUNCHER_PORT: String(port) });
    const forOperators = `127.0.0.1:${await freePort()}`;
    const site = await services.signaling('sgn', { SIGHTLINE_METRICS_BIND: forOperators });
    await site.ready();
    const prometheus = await Prometheus.start([`127.0.0.1:${port}`, forOperators]);
    t.after(() => prometheus.stop());
    await withBrowser({}, async (context) => {
      const visit = await Visit.open(context, site, 'source=test&autostart=1');
      await visit.boxes(25, 60);
      let silent = [];
      await until('all panels have data', 60, async () => {
        silent = [];
        for (const [title, query] of panelQueries()) {
          const series = await prometheus.query(query);
          if (!series.some(({ value }) => Number.isFinite(Number(value[1])))) silent.push(`${title}: ${query}`);
        }
        return silent.length === 0;
      }).catch((error) => assert.fail(`${error.message}\n${silent.join('\n')}`));
      await plausible(prometheus);
      await visit.stop();
    });
    await alerts(t, prometheus, services, launcher);
  });
});

/** What must hold of a session with frames that a worker answers. */
async function plausible(prometheus) {
  const one = async (query) => {
    const [series] = await prometheus.query(query);
    return Number(series?.value[1]);
  };
  const stages = ['queue', 'decode', 'preprocess', 'inference', 'postprocess', 'return'];
  const mean = (name) => `sum(rate(${name}_sum[20s])) / sum(rate(${name}_count[20s]))`;
  let sum = 0;
  for (const stage of stages) sum += await one(mean(`sightline_${stage}_seconds`));
  const whole = await one(mean('sightline_end_to_end_seconds'));
  // Not of the same frames: some are scraped a second later.
  assert.ok(sum > 0 && sum < 1.5 * whole && whole < 5, `stages ${sum} s, end to end ${whole} s`);
  // One frame, one inference, one box: within what a scrape more or less makes.
  const inferred = await one('sum(rate(inference_frame_count[20s]))');
  const timed = await one('sum(rate(inference_time_count[20s]))');
  assert.ok(inferred > 1 && Math.abs(inferred / timed - 1) < 0.2, `${inferred} and ${timed} a second`);
  const [worker] = await prometheus.query('inference_frame_count{role="worker"}');
  assert.deepEqual([worker.metric.pipeline, worker.metric.model, worker.metric.worker], ['yolox-worker', 'blobs', 'near-0']);
}

/** Each rule's parts are there; and two that are provoked fire. */
async function alerts(t, prometheus, services, launcher) {
  const expressions = [...rules.matchAll(/^\s+expr: (.+)$/gm)].map(([, expression]) => expression);
  assert.equal(expressions.length, [...rules.matchAll(/- alert:/g)].length);
  for (const expression of expressions) {
    // Without the comparison at its end it gives what is compared.
    const compared = expression.replace(/ [=><]+ [\d.]+$/, '');
    assert.notEqual(compared, expression);
    assert.ok((await prometheus.query(compared)).length > 0, compared);
  }
  assert.deepEqual(await prometheus.firing(), []);
  await services.end(launcher);
  await until('the alerts of a launcher that is gone', 120, async () => {
    const firing = await prometheus.firing();
    return ['SightlineNoWorkers', 'SightlineTargetDown'].every((name) => firing.includes(name));
  });
}
