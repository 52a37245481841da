// The shell lines of README and docs run as they stand, chapter by chapter, in a copy of what the repository has; what is not
// run says why, in a comment before it. (Lines with gst-launch-1.0 run in launch-lines.test.mjs.)

import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { dataFiles } from './support/data.mjs';
import { notRun, pages, shellChapters } from './support/launch-lines.mjs';
import { Program } from './support/processes.mjs';
import { binaries, root } from './support/system.mjs';
import { freePort } from './support/wait.mjs';

/** What the lines of some page use, besides the programs. */
const COPIED = ['Cargo.toml', 'LICENSE', 'Makefile', 'docker', 'models', 'pipelines', 'scripts', 'ui/dist'];
const DATA = ['images/dog.jpg', 'video/bikes.mp4', 'models/yolox_nano.onnx'];
/** The ports that the text names; free ones take their place. */
const PORTS = /\b(900[0-9]|6379)\b/g;
const DEFAULT_PORT = '9000';
const BLOCK_SECONDS = 90;
const STOP_SECONDS = 15;

/** A reader's folder. What the lines change is a copy. */
function place(t, data) {
  const cwd = mkdtempSync(join(tmpdir(), 'sightline-guides-'));
  t.after(() => rmSync(cwd, { recursive: true, force: true }));
  for (const path of COPIED) cpSync(join(root, path), join(cwd, path), { recursive: true });
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

const chapters = pages().flatMap((page) => shellChapters(page).map((one) => ({ page, ...one })));

test('there are chapters to run', () => assert.ok(chapters.length >= 8, `${chapters.length} chapters`));

for (const { page, chapter, blocks } of chapters) {
  test(`the lines of ${page}, "${chapter}", run`, { timeout: 300_000 }, async (t) => {
    const data = dataFiles(t, ...DATA);
    if (!data) return;
    const ready = await withFreePorts(blocks);
    await chapterRuns(ready.blocks, { cwd: place(t, data), env: ready.env });
  });
}

test('what is not run says why', () => {
  const blocks = pages().flatMap(notRun);
  assert.ok(blocks.length > 0);
  for (const { place: where, reason } of blocks) {
    assert.match(reason, /\w+ \w+ \w+/, `${where}: a reason of a few words`);
    for (const [name] of reason.matchAll(/[\w.-]+\/[\w/.-]+\.(?:mjs|sh|rs|md|py)\b/g)) {
      assert.ok(existsSync(join(root, name)), `${where} names ${name}, which is not there`);
    }
  }
});

test('no mark is misspelt', () => {
  for (const page of pages()) {
    const text = readFileSync(join(root, page), 'utf8');
    const marks = [...text.matchAll(/^<!-- *(not run|keeps).*$/gm)].map(([line]) => line);
    for (const line of marks) assert.match(line, /^<!-- (not run: .+|keeps running) -->$/, `${page}: ${line}`);
  }
});
