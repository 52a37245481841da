// Every gst-launch-1.0 line of the documentation runs and leaks nothing, and every element's page names what the element has.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { dataFiles } from './support/data.mjs';
import { launchBlocks } from './support/launch-lines.mjs';
import { Program } from './support/processes.mjs';
import { Redis, RedisServer } from './support/redis.mjs';
import { binaries, root } from './support/system.mjs';

const DATA = ['images/dog.jpg', 'video/bikes.mp4', 'models/yolox_nano.onnx'];
const BLOCK_SECONDS = 60;

let folder;
let redis;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sightline-lines-'));
  redis = await RedisServer.start();
});
after(async () => {
  await redis?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** The folder a reader would be in: the repository's, with the files that the lines name beside it. */
function place(name, data) {
  const cwd = join(folder, name);
  mkdirSync(join(cwd, 'models'), { recursive: true });
  mkdirSync(join(cwd, 'target'));
  symlinkSync(binaries(), join(cwd, 'target/release'));
  const models = readdirSync(join(root, 'models')).map((model) => join(root, 'models', model));
  const has = new Set();
  for (const path of [...data, ...models]) {
    const file = basename(path);
    if (has.has(file)) continue;
    has.add(file);
    symlinkSync(path, join(cwd, file));
    if (!file.match(/\.(jpg|mp4)$/)) symlinkSync(path, join(cwd, 'models', file));
  }
  return cwd;
}

/** What GStreamer's leaks tracer found alive at the end of the programs that ran in a folder. */
function leaks(cwd) {
  const traces = readdirSync(cwd).filter((name) => name.startsWith('leaks.'));
  assert.notEqual(traces.length, 0, 'the leaks tracer has written nothing');
  const lines = traces.flatMap((name) => readFileSync(join(cwd, name), 'utf8').split('\n'));
  return lines.filter((line) => / object-alive, type-name=\(string\)\w/.test(line));
}

const tracer = { GST_TRACERS: 'leaks', GST_DEBUG: 'GST_TRACER:7', GST_DEBUG_NO_COLOR: '1', GST_DEBUG_FILE: 'leaks.%p' };

/** As a reader's is: what the lines of another page have left would be taken for these lines' frames. */
async function emptyRedis() {
  const connection = await Redis.connect(redis.socket);
  await connection.text('FLUSHALL');
  connection.close();
}

const environment = () => ({
  GST_PLUGIN_PATH: binaries(),
  GST_REGISTRY: join(folder, 'registry.bin'),
  REDIS_URL: redis.url,
});

const blocks = launchBlocks();

test('there are lines to run', () => assert.ok(blocks.length >= 5, `${blocks.length} blocks`));

for (const [index, { place: where, script }] of blocks.entries()) {
  test(`the lines at ${where} run`, { timeout: (BLOCK_SECONDS + 20) * 1000 }, async (t) => {
    const data = dataFiles(t, ...DATA);
    if (!data) return;
    const cwd = place(String(index), data);
    await emptyRedis();
    const program = new Program('bash', ['-euo', 'pipefail', '-c', script], { cwd, env: { ...environment(), ...tracer } });
    try {
      const { code } = await program.ended(BLOCK_SECONDS);
      assert.equal(code, 0, program.log.slice(-3000));
      assert.doesNotMatch(program.log, /CRITICAL|panicked|WARNING: erroneous pipeline/);
      assert.deepEqual(leaks(cwd), []);
    } catch (error) {
      throw new Error(`${error.message}\n${script}\n${program.log.slice(-3000)}`, { cause: error });
    } finally {
      await program.destroy();
    }
  });
}

/** What the base classes of GStreamer add; other pages describe it. */
const INHERITED = new Set(
  'name parent qos async blocksize enable-last-sample last-sample max-bitrate max-lateness processing-deadline render-delay stats sync throttle-time ts-offset do-timestamp num-buffers typefind automatic-eos async-handling message-forward min-force-key-unit-interval'.split(' '),
);

function inspect(element) {
  return execFileSync('gst-inspect-1.0', [element], { encoding: 'utf8', env: { ...process.env, ...environment() } });
}

/** Name → description of the element's properties, as gst-inspect-1.0 prints them. */
function properties(inspected) {
  const [, list = ''] = inspected.split('\nElement Properties:\n');
  const found = [...list.matchAll(/^  ([a-z0-9-]+) +: (.*)$/gm)];
  return new Map(found.map(([, name, blurb]) => [name, blurb]));
}

/** The elements of the plugins that were built. */
function elements() {
  const plugins = readdirSync(binaries()).filter((name) => /^libgst\w+\.so$/.test(name));
  return plugins.flatMap((name) => [...inspect(join(binaries(), name)).matchAll(/^  ([a-z0-9]+): /gm)].map(([, element]) => element));
}

test('each element has a page that names all its properties', () => {
  const all = elements();
  assert.ok(all.length >= 7, `found only ${all.join(', ')}`);
  for (const element of all) {
    const page = readFileSync(join(root, 'docs/elements', `${element}.md`), 'utf8');
    const has = properties(inspect(element));
    for (const [name, blurb] of has) assert.ok(blurb.trim().length > 8, `${element}.${name} has no description`);
    const documented = [...page.matchAll(/^\| `([a-z0-9-]+)`/gm)].map(([, name]) => name);
    const own = [...has.keys()].filter((name) => !INHERITED.has(name));
    assert.deepEqual(own.filter((name) => !documented.includes(name)), [], `properties that docs/elements/${element}.md does not name`);
  }
});
