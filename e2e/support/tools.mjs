// Programs and packages that single tests need: a local run may lack them, CI must not.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './system.mjs';

const venv = join(root, 'target/test-venv/bin/python');

/** Python with the packages that tests import. */
export const python = process.env.PYTHON ?? (existsSync(venv) ? venv : 'python3');

/** True if this command works; else the test is marked as skipped with `advice`, and in CI it fails. */
export function works(t, advice, command, ...args) {
  const tried = spawnSync(command, args, { encoding: 'utf8', timeout: 30_000 });
  if (tried.status === 0) return true;
  const words = `${advice} (${command}: ${tried.error?.message ?? `${tried.stdout}${tried.stderr}`.trim().slice(-500)})`;
  if (process.env.CI === 'true') throw new Error(words);
  t.skip(words);
  return false;
}

export function hasAiortc(t) {
  return works(t, 'aiortc is missing: run scripts/test.sh e2e once', python, '-c', 'import aiohttp, aiortc, numpy');
}

/** What stands in for v1's services needs it. */
export function hasInventa(t) {
  return works(t, 'inventa is missing: run scripts/test.sh e2e once', python, '-c', 'import aiortc, inventa, numpy, PIL, redis');
}
