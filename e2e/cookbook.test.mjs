// The cookbook's shell lines run as they stand, chapter by chapter, in a copy of what the repository has. (Its lines with
// gst-launch-1.0 run with those of the other pages.)

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { dataFiles } from './support/data.mjs';
import { shellChapters } from './support/launch-lines.mjs';
import { Program } from './support/processes.mjs';
import { binaries, root } from './support/system.mjs';
import { freePort } from './support/wait.mjs';

const PAGE = 'docs/cookbook.md';
const DATA = ['images/dog.jpg', 'video/bikes.mp4', 'models/yolox_nano.onnx'];
/** The ports that the text names; free ones take their place. */
const PORTS = /\b(900[0-9]|6379)\b/g;
const DEFAULT_PORT = '9000';
const BLOCK_SECONDS = 90;
const STOP_SECONDS = 15;

/** A reader's folder. What the lines change is a copy. */
function place(t, data) {
  const cwd = mkdtempSync(join(tmpdir(), 'sightline-cookbook-'));
  t.after(() => rmSync(cwd, { recursive: true, force: true }));
  for (const folder of ['models', 'pipelines']) cpSync(join(root, folder), join(cwd, folder), { recursive: true });
  mkdirSync(join(cwd, 'target'));
  symlinkSync(binaries(), join(cwd, 'target/release'));
  for (const path of data) cpSync(path, join(cwd, path.endsWith('.onnx') ? 'models' : '', basename(path)));
  return cwd;
}

/** The blocks with free ports instead of those that they name; and the environment in which those are meant. */
async function withFreePorts(blocks) {
  const free = new Map();
  for (const port of new Set([DEFAULT_PORT, ...blocks.flatMap(({ script }) => script.match(PORTS) ?? [])])) {
    free.set(port, String(await freePort()));
  }
  const ours = blocks.map((block) => ({ ...block, script: block.script.replaceAll(PORTS, (port) => free.get(port)) }));
  return { blocks: ours, env: { REDIS_URL: '', REDIS_HOST: '', SIGHTLINE_PORT: free.get(DEFAULT_PORT) } };
}

/** Each line that a block should print is printed, in that order; `…` stands for anything. */
function assertPrints(printed, lines) {
  let rest = printed.split('\n');
  for (const line of lines) {
    const pieces = line.split('…').map((text) => text.trim().replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    const at = rest.findIndex((one) => new RegExp(`^${pieces.join('.*')}$`).test(one.trim()));
    assert.notEqual(at, -1, `"${line}" is not printed`);
    rest = rest.slice(at + 1);
  }
}

/** Runs blocks one after the other; those that keep running end, in order, after the last. */
async function chapterRuns(blocks, options) {
  const running = [];
  let program;
  try {
    for (const { script, mark, prints, place: where } of blocks) {
      program = new Program('bash', ['-euo', 'pipefail', '-c', script], options);
      program.place = where;
      if (mark === 'keeps running') {
        running.unshift(program);
        continue;
      }
      const { code } = await program.ended(BLOCK_SECONDS);
      assert.equal(code, 0, `exit code ${code}`);
      assertPrints(program.log, prints);
      await program.destroy();
    }
    for (program of running) {
      program.kill('SIGTERM');
      assert.equal((await program.ended(STOP_SECONDS)).code, 0, 'the exit code after SIGTERM');
    }
  } catch (error) {
    const logs = [program, ...running].map(({ place: where, log }) => `--- ${where}\n${log.slice(-5000)}`);
    throw new Error(`the lines at ${program.place}: ${error.message}\n${logs.join('\n')}`, { cause: error });
  } finally {
    for (const one of [program, ...running]) await one?.destroy();
  }
}

const chapters = shellChapters(PAGE);

test('there are chapters to run', () => assert.ok(chapters.length >= 2, `${chapters.length} chapters`));

for (const { chapter, blocks } of chapters) {
  test(`the lines of "${chapter}" run`, { timeout: 300_000 }, async (t) => {
    const data = dataFiles(t, ...DATA);
    if (!data) return;
    const ready = await withFreePorts(blocks);
    await chapterRuns(ready.blocks, { cwd: place(t, data), env: ready.env });
  });
}

test('what is not run says so', () => {
  const page = readFileSync(join(root, PAGE), 'utf8');
  const [before, ...after] = page.split('<!-- not run -->');
  assert.ok(after.length > 0);
  for (const text of [before, ...after.slice(0, -1)]) assert.match(text.slice(-400), /Not run by the tests/);
});
