// The shell blocks in documentation.

import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { root } from './system.mjs';

const FENCE = /^```(\w*)$/;
/** What stands before a doc comment's text. */
const COMMENT = /^\s*(?:\/\/[!/]|\*|\/\*\*) ?/;
/** On the line before a block: `not run`, and why; `keeps running`, until the chapter's end. */
const MARK = /^<!-- (?:(not run): (.+)|(keeps running)) -->$/;

/** The Markdown files for users, relative to the repository. */
export function pages() {
  const paths = [...['README.md', 'CONTRIBUTING.md'].map((name) => join(root, name)), ...files(join(root, 'docs'), '.md')];
  return paths.map((path) => relative(root, path));
}

/** `{ place, script }` of each block that uses gst-launch-1.0, in Markdown files and in the doc comments of Rust files. */
export function launchBlocks() {
  const documents = pages().map((page) => join(root, page));
  const sources = files(join(root, 'gst-plugins'), '.rs');
  return [...documents, ...sources].flatMap(blocksOf).filter(usesLaunch).filter(({ mark }) => mark !== 'not run');
}

/** `{ place, reason }` of each shell block of a Markdown file that is not run. */
export function notRun(path) {
  return blocksOf(join(root, path)).filter(({ mark }) => mark === 'not run');
}

/** The other shell blocks of a Markdown file, by chapter: `{ chapter, blocks }`. */
export function shellChapters(path) {
  const blocks = blocksOf(join(root, path)).filter((block) => !usesLaunch(block) && block.mark !== 'not run');
  const chapters = new Set(blocks.map(({ chapter }) => chapter));
  return [...chapters].map((chapter) => ({ chapter, blocks: blocks.filter((block) => block.chapter === chapter) }));
}

const usesLaunch = ({ script }) => script.includes('gst-launch-1.0 ');

function files(folder, extension) {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith(extension)).sort().map((name) => join(folder, name));
}

function blocksOf(path) {
  const isSource = path.endsWith('.rs');
  const blocks = [];
  let [block, mark, reason, chapter] = [];
  readFileSync(path, 'utf8').split('\n').forEach((line, index) => {
    const text = isSource ? comment(line) : line;
    const fence = text?.match(FENCE);
    if (block && (fence || text === undefined)) {
      add(blocks, block);
      block = undefined;
    } else if (fence) {
      block = { place: `${relative(root, path)}:${index + 2}`, language: fence[1], mark, reason, chapter, lines: [] };
    } else if (block) {
      block.lines.push(text);
    } else {
      chapter = text?.match(/^## (.*)/)?.[1] ?? chapter;
      const [, not, why, keeps] = text?.match(MARK) ?? [];
      [mark, reason] = [not ?? keeps, why];
    }
  });
  return blocks;
}

/** Adds a shell block, or the text block after it as what it prints. */
function add(blocks, { language, lines, ...block }) {
  if (['bash', 'sh'].includes(language)) blocks.push({ ...block, script: lines.join('\n'), prints: [] });
  else if (language === 'text' && blocks.length > 0) blocks.at(-1).prints.push(...lines);
}

function comment(line) {
  const start = line.match(COMMENT);
  return start ? line.slice(start[0].length) : undefined;
}
