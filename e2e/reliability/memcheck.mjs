// What the elements of a session and of a worker do to memory, as valgrind's memcheck sees it: one pipeline publishes frames, the other answers them.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Program } from '../support/processes.mjs';
import { Redis, RedisServer } from '../support/redis.mjs';
import { binaries, root } from '../support/system.mjs';
import { Goals, say } from './report.mjs';

const SESSION = '0f8fad5bd9cb469fa165708867728950';
/** A program under valgrind is some fifty times slower. */
const PATIENCE_SECONDS = 300;
const OURS = /\/libgst(overlay|redisstream|scalejpeg|sightlinewebrtc|track|yolox)\.so/;
/** Called by us, and not ours: valgrind says who called ONNX Runtime too. */
const THEIRS = /\/libonnxruntime\.so/;

const pipelines = (frames) => ({
  worker: `redisstreamsrc num-buffers=${frames} ! jpegdec ! yoloxdetect model=models/blobs.onnx input-shape=picture ! redisstreamsink payload=detections worker-id=w`,
  // It goes on for longer than the worker needs to start.
  session: `videotestsrc is-live=true num-buffers=${4 * frames} pattern=ball ! video/x-raw,width=320,height=240,framerate=3/1 ! vp8enc deadline=1 ! rtpvp8pay
    ! rtpvideodec ! videoconvert ! scalejpegenc max-size=416 ! redisstreamsink participant-id=${SESSION} wait-for-credit=true`,
});

export async function memcheck({ frames }) {
  const goals = new Goals();
  const folder = mkdtempSync(join(tmpdir(), 'sightline-memcheck-'));
  const server = await RedisServer.start({ tcp: true });
  const figures = { frames };
  const programs = [];
  try {
    const env = {
      REDIS_URL: server.tcpUrl,
      GST_PLUGIN_PATH: binaries(),
      GST_REGISTRY: join(folder, 'registry'),
      ORT_DYLIB_PATH: process.env.ORT_DYLIB_PATH ?? join(binaries(), 'libonnxruntime.so'),
      // Each piece of GLib's memory by itself.
      G_SLICE: 'always-malloc',
    };
    for (const [name, line] of Object.entries(pipelines(frames))) {
      const flags = ['--leak-check=full', '--show-leak-kinds=definite', '--num-callers=40', `--log-file=${join(folder, name)}`];
      programs.push([name, new Program('valgrind', [...flags, 'gst-launch-1.0', '-q', ...line.split(/\s+/)], { cwd: root, env })]);
    }
    for (const [name, program] of programs) {
      const { code } = await program.ended(PATIENCE_SECONDS);
      goals.none(`${name}: ends otherwise than well`, code === 0 ? [] : [`exit ${code}: ${program.log.slice(-500)}`]);
      const found = errors(readFileSync(join(folder, name), 'utf8'));
      figures[name] = counts(found.map(({ kind }) => kind.replace(/ in loss record.*| of size.*|\(0x.*/, '')));
      const ours = found.filter(({ stack }) => stack.some((frame) => OURS.test(frame)) && !THEIRS.test(stack.join('\n')));
      for (const { kind, stack } of ours) say(`  ${name}: ${kind}\n    ${stack.slice(0, 8).join('\n    ')}`);
      goals.none(`${name}: invalid reads, writes and frees of ours`, of(ours, /^Invalid/));
      goals.none(`${name}: memory of ours that is lost`, of(ours, /lost in loss record/));
    }
    const redis = await Redis.connect(server.socket);
    figures.answered = await redis.command('XLEN', 'predictions');
    redis.close();
    goals.atLeast('frames answered', figures.answered, frames);
  } finally {
    for (const [, program] of programs) await program.destroy();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  return { figures, goals };
}

function counts(kinds) {
  const counts = {};
  for (const kind of kinds) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

const of = (errors, kinds) => errors.filter(({ kind }) => kinds.test(kind)).map(({ kind, stack }) => `${kind} ${stack[0]}`);

/** Of valgrind's log: each error's first line, and who called whom. */
function errors(log) {
  const paragraphs = log.replaceAll(/^==\d+== ?/gm, '').split(/\n\s*\n/);
  return paragraphs
    .map((paragraph) => paragraph.split('\n').map((line) => line.trim()))
    .map((lines) => ({ lines, first: lines.findIndex((line) => line.startsWith('at 0x')) }))
    .filter(({ first }) => first > 0)
    .map(({ lines, first }) => ({ kind: lines[first - 1], stack: lines.slice(first).filter((line) => /^(at|by) 0x/.test(line)) }));
}
