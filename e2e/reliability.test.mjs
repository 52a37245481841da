// A part of the reliability suite; `make soak` runs all of it, and longer.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from './support/system.mjs';

/** Runs rows as `e2e/reliability/run.mjs` does; what it says is shown. */
async function rows(t, ...names) {
  const args = [join(root, 'e2e/reliability/run.mjs'), '--short', ...names];
  const { code, said } = await new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: root, timeout: 600_000 }, (error, stdout, stderr) => {
      resolve({ code: error ? (error.code ?? error.signal) : 0, said: `${stdout}${stderr}` });
    });
  });
  for (const line of said.split('\n').slice(-60)) t.diagnostic(line);
  assert.equal(code, 0, 'a goal was missed');
}

test('a hundred sessions come and go, and nothing is left of them', { timeout: 600_000 }, (t) => rows(t, 'churn'));

test('where no UDP port is left a client is told, and others do not notice', { timeout: 300_000 }, (t) => rows(t, 'ports'));
