// Test data beside the repository, in a local data folder, if present.

import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { root } from './system.mjs';

const folder = resolve(root, process.env.SIGHTLINE_DATA ?? '../shared/data');

/** Paths of data files; undefined, and the test marked as skipped, where they are missing. In CI they must be there. */
export function dataFiles(t, ...names) {
  const paths = names.map((name) => join(folder, name));
  const missing = paths.filter((path) => !existsSync(path));
  if (missing.length === 0) return paths;
  const words = `test data is missing: ${missing.join(', ')}; SIGHTLINE_DATA names its folder`;
  if (process.env.CI === 'true') throw new Error(words);
  t.skip(words);
  return undefined;
}

/** A path for a picture of the page: in the folder that `scripts/pictures.sh` names, or else with the other outputs. */
export function picture(name) {
  const folder = process.env.SIGHTLINE_PICTURES;
  return folder ? join(resolve(root, folder), name) : output(name);
}

/** A path in the git-ignored folder for what tests leave to look at. */
export function output(name) {
  const folder = join(root, 'e2e/output');
  mkdirSync(folder, { recursive: true });
  return join(folder, name);
}
