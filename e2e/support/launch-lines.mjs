// The shell blocks in documentation that use gst-launch-1.0.

import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { root } from './system.mjs';

const FENCE = /^```(\w*)$/;
/** What stands before a doc comment's text. */
const COMMENT = /^\s*(?:\/\/[!/]|\*|\/\*\*) ?/;

/** `{ place, script }` of each block, in Markdown files and in the doc comments of Rust files. */
export function launchBlocks() {
  const documents = [join(root, 'README.md'), ...files(join(root, 'docs'), '.md')];
  const sources = files(join(root, 'gst-plugins'), '.rs');
  return [...documents, ...sources].flatMap(blocksOf).filter(({ script }) => script.includes('gst-launch-1.0 '));
}

function files(folder, extension) {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith(extension)).sort().map((name) => join(folder, name));
}

function blocksOf(path) {
  const isSource = path.endsWith('.rs');
  const blocks = [];
  let block;
  readFileSync(path, 'utf8').split('\n').forEach((line, index) => {
    const text = isSource ? comment(line) : line;
    const fence = text?.match(FENCE);
    if (block && (fence || text === undefined)) {
      if (block.isShell) blocks.push({ place: block.place, script: block.lines.join('\n') });
      block = undefined;
    } else if (fence) {
      block = { place: `${relative(root, path)}:${index + 2}`, isShell: ['bash', 'sh'].includes(fence[1]), lines: [] };
    } else if (block) {
      block.lines.push(text);
    }
  });
  return blocks;
}

function comment(line) {
  const start = line.match(COMMENT);
  return start ? line.slice(start[0].length) : undefined;
}
