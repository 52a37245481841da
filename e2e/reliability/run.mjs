// The reliability suite: `node e2e/reliability/run.mjs [--seed N] [--short] [--result FILE] ROW[:SIZE]…`, as root.
//
// Each row starts the real programs in a network namespace of its own, hurts them, and judges by what the kernel, Redis and the
// publishers say. Without names all rows run. A size is sessions for `churn`, requests for `posts`, frames for `memcheck`, and minutes for the others. The seed makes a run the same
// again. Ends with 1 if a goal was missed.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { withNamespaces } from '../support/namespaces.mjs';
import { churn } from './churn.mjs';
import { chaos } from './chaos.mjs';
import { clock, disk, ports, posts } from './limits.mjs';
import { flood } from './flood.mjs';
import { leaks } from './leaks.mjs';
import { memcheck } from './memcheck.mjs';
import { poison } from './poison.mjs';
import { say } from './report.mjs';
import { slow } from './slow.mjs';
import { soak } from './soak.mjs';

const ROWS = {
  churn: { run: (size, seed) => churn({ count: size, seed }), size: 500, short: 100 },
  chaos: { run: (size, seed) => chaos({ minutes: size, seed }), size: 10, short: 1 },
  poison: { run: (size, seed) => poison({ minutes: size, seed }), size: 1, short: 0.5 },
  slow: { run: (size) => slow({ minutes: size }), size: 1, short: 0.5 },
  flood: { run: (size) => flood({ minutes: size }), size: 0.5, short: 0.2 },
  ports: { run: () => ports() },
  posts: { run: (size) => posts({ count: size }), size: 1000, short: 200 },
  disk: { run: () => disk() },
  clock: { run: () => clock() },
  leaks: { run: () => leaks() },
  memcheck: { run: (size) => memcheck({ frames: size }), size: 30, short: 10 },
  soak: { run: (size) => soak({ minutes: size }), size: 10, short: 3 },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    short: { type: 'boolean', default: false },
    result: { type: 'string' },
    inside: { type: 'boolean', default: false },
  },
});

if (values.inside) await runRow(positionals[0]);
else await runAll();

/** Each row in a process and a namespace of its own: nothing is left to the next. */
async function runAll() {
  const seed = values.seed ?? String(Math.floor(Math.random() * 2 ** 32));
  const rows = positionals.length > 0 ? positionals : Object.keys(ROWS);
  for (const row of rows) if (!ROWS[row.split(':')[0]]) throw new Error(`no row is named ${row}; there are ${Object.keys(ROWS).join(', ')}`);
  let failed = 0;
  let stopped = false;
  for (const row of rows) {
    if (!stopped) failed += await inNamespace(row, seed, () => (stopped = true));
  }
  process.exitCode = failed > 0 || stopped ? 1 : 0;
}

/** 1 if the row missed a goal. Whoever stops the suite leaves nothing behind. */
async function inNamespace(row, seed, onStop) {
  return withNamespaces(async (make) => {
    const namespace = host(make);
    const [command, args] = namespace.command(process.execPath, fileURLToPath(import.meta.url), '--inside', '--seed', seed, row);
    if (values.short) args.push('--short');
    if (values.result) args.push('--result', values.result);
    const child = spawn(command, args, { stdio: 'inherit' });
    const stop = () => {
      onStop();
      namespace.end();
    };
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, stop);
    const [code] = await once(child, 'exit');
    for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, stop);
    namespace.end();
    return code === 0 ? 0 : 1;
  });
}

/** A host that sessions have an address of, and publishers one each: all of 10.79.0.0/16 is its own. */
function host(make) {
  const namespace = make('host');
  namespace.ip('link', 'add', 'lan', 'type', 'veth', 'peer', 'name', 'lan-end');
  for (const end of ['lan', 'lan-end']) namespace.ip('link', 'set', end, 'up');
  namespace.ip('address', 'add', '10.79.0.1/32', 'dev', 'lan');
  // Of that interface: libnice sends by the one that its own address is of, and only there.
  namespace.ip('route', 'add', 'local', '10.79.0.0/16', 'dev', 'lan');
  return namespace;
}

async function runRow(named) {
  const [name, given] = named.split(':');
  const { run, size, short } = ROWS[name];
  const wanted = given ? Number(given) : values.short ? short : size;
  const seed = Number(values.seed);
  say(`${name} (${wanted ? `size ${wanted}, ` : ''}seed ${seed})`);
  const begun = Date.now();
  const { figures, goals } = await run(wanted, seed);
  const result = {
    size: wanted,
    seed,
    seconds: Math.round((Date.now() - begun) / 1000),
    taken: new Date().toISOString(),
    processor: `${cpus().length} × ${cpus()[0].model}`,
    load_average: loadavg().map((one) => Math.round(one * 10) / 10),
    goals: goals.list,
    figures,
  };
  if (values.result) {
    const all = existsSync(values.result) ? JSON.parse(readFileSync(values.result, 'utf8')) : {};
    writeFileSync(values.result, `${JSON.stringify({ ...all, [name]: result }, undefined, 2)}\n`);
  }
  say(`${name}: ${goals.missed.length === 0 ? 'all goals met' : `${goals.missed.length} goals missed`}, ${result.seconds} s\n`);
  process.exitCode = goals.missed.length === 0 ? 0 : 1;
}
