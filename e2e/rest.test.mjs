// The REST API of the running whole: sources are started, followed, stopped; what is wrong is said as RFC 9457 wants it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { objectsOf } from './support/boxes.mjs';
import { dataFiles } from './support/data.mjs';
import { Api } from './support/rest.mjs';
import { root, withSystem } from './support/system.mjs';
import { freePort, until } from './support/wait.mjs';

const SIZE = { width: 640, height: 272 };
const WANTED = new Set(['car', 'person', 'bicycle']);

/** A server of one file, with byte ranges, for as long as `use` runs. */
async function withFileServer(path, use) {
  const server = http.createServer((request, response) => {
    const { size } = statSync(path);
    const [, from = '0', to = ''] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? [];
    const range = { start: Number(from), end: to === '' ? size - 1 : Number(to) };
    response.writeHead(request.headers.range ? 206 : 200, {
      'Content-Type': 'video/mp4',
      'Accept-Ranges': 'bytes',
      'Content-Length': range.end - range.start + 1,
      'Content-Range': `bytes ${range.start}-${range.end}/${size}`,
    });
    createReadStream(path, range).on('error', () => response.destroy()).pipe(response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await use(`http://127.0.0.1:${server.address().port}/${basename(path)}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test('a file and an address are followed to their end', { timeout: 180_000 }, async (t) => {
  const data = dataFiles(t, 'video/bikes.mp4', 'reference/bikes.json', 'models/yolox_nano.onnx');
  if (!data) return;
  const [video, referenceFile] = data;
  const reference = JSON.parse(readFileSync(referenceFile, 'utf8')).frames;
  await withSystem({ SIGHTLINE_WORKERS: '0', SIGHTLINE_MEDIA_FOLDER: dirname(video) }, (system) =>
    withFileServer(video, async (address) => {
      const api = new Api(system);
      for (const uri of [address, `file://${video}`]) {
        const { id } = await api.started({ pipeline: 'uri-detect', params: { uri } });
        const { predictions, end } = await api.follow(id);
        assert.deepEqual([end.id, end.state, end.last_error], [id, 'COMPLETED', null]);
        assert.deepEqual(await api.session(id), end);
        // The first frames may have gone before we followed.
        assert.equal(end.frames, reference.length, uri);
        assert.ok(predictions.length >= reference.length / 2, `${predictions.length} predictions`);
        assert.ok(end.created_us < end.started_us && end.first_frame_us < end.ended_us);
        assert.ok(end.fps > 0 && end.latency_ms > 0);
        agrees(t, predictions, reference);
      }
    }),
  );
});

/** Of what the reference is sure of in the frames that were seen, most is found here, and of the same kinds. */
function agrees(t, predictions, reference) {
  const count = (frames) => frames.flat().filter(({ label, score }) => WANTED.has(label) && score >= 0.5).length;
  const wanted = count(reference.slice(-predictions.length));
  const found = count(predictions.map((one) => objectsOf(one, SIZE.width, SIZE.height)));
  t.diagnostic(`${found} objects where the reference has ${wanted}`);
  assert.ok(found > 0.85 * wanted && found < 1.15 * wanted, `${found} objects where the reference has ${wanted}`);
}

test('what is wrong is said', { timeout: 120_000 }, () =>
  withSystem({ SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '0', SIGHTLINE_MEDIA_FOLDER: join(root, 'docs') }, async (system) => {
    const api = new Api(system);
    const refused = async (body, status, type) => {
      const { response, json } = await api.post(body);
      assert.equal(response.status, status, JSON.stringify(json));
      assert.equal(response.headers.get('content-type'), 'application/problem+json');
      assert.equal(json.type, `urn:sightline:problem:${type}`);
      return json;
    };
    const unknown = await refused({ pipeline: 'uri-detct', params: {} }, 404, 'unknown-pipeline');
    assert.match(unknown.detail, /did you mean `uri-detect`\?/);
    const params = { fps: 0, scroe: 1 };
    const { errors } = await refused({ pipeline: 'uri-detect', params }, 422, 'invalid-param');
    assert.deepEqual(errors.map(({ pointer }) => pointer), ['/params/fps', '/params/scroe', '/params/uri']);
    await refused({ pipeline: 'webrtc-detect' }, 422, 'not-a-source');
    for (const uri of ['file:///etc/passwd', 'ftp://example.org/a', `file://${root}/docs/../README.md`]) {
      const { detail } = await refused({ pipeline: 'uri-detect', params: { uri } }, 422, 'invalid-param');
      assert.match(detail, /SIGHTLINE_MEDIA_/);
    }
    // No video, and nobody there: both are taken, and end with words.
    for (const uri of [`file://${root}/docs/PROTOCOL.md`, `http://127.0.0.1:${await freePort()}/none.mp4`]) {
      const { id } = await api.started({ pipeline: 'uri-detect', params: { uri } });
      const ended = await api.ended(id, 15);
      assert.equal(ended.state, 'ERROR');
      assert.match(ended.last_error.message, /is the address right/);
      assert.equal(ended.restarts, 0);
    }
  }),
);

/** A source without an end, without data from outside, started again when it fails. */
const CLOCKWORK = `
schema = 1
name = "clockwork"
kind = "source"
summary = "A test picture"
[restart]
policy = "on_failure"
[pipeline]
launch = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=10/1 ! yoloxdetect name=detect ! redisstreamsink payload=detections"
[params.model]
type = "model"
target = "detect.model"
`;

/** How the process ended may be told a moment after the stop's answer. */
function withoutExit({ exit, ...view }) {
  return view;
}

test('a source that breaks is started again, and stopped by request', { timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sightline-pipelines-'));
  writeFileSync(join(folder, 'clockwork.toml'), CLOCKWORK);
  const env = { SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '0', SIGHTLINE_PIPELINES: folder };
  try {
    await withSystem(env, async (system) => {
      const api = new Api(system);
      const { id } = await api.started({ pipeline: 'clockwork' });
      const following = api.follow(id);
      // The launcher hears of frames each second.
      await until('frames come', 20, async () => (await api.session(id)).frames > 25);
      process.kill(processOf(system, id), 'SIGKILL');
      const again = await until('it runs again', 20, async () => {
        const seen = await api.session(id);
        return seen.restarts === 1 && seen.state === 'RUNNING' && seen;
      });
      assert.equal(again.last_error.id, 'session-failed');
      const frames = again.frames;
      await until('its frames are counted on', 10, async () => (await api.session(id)).frames > frames + 5);
      const { sessions } = await api.get('sessions');
      assert.deepEqual(sessions.map((one) => one.id), [id]);

      const stopped = await api.stop(id);
      assert.equal(stopped.state, 'ABORTED');
      assert.deepEqual(withoutExit(await api.stop(id)), withoutExit(stopped), 'a second stop changes nothing');
      const { end, last } = await following;
      assert.deepEqual(withoutExit(end), withoutExit(stopped));
      const late = await fetch(api.url(`sessions/${id}/predictions`), { headers: { 'Last-Event-ID': last } });
      assert.equal(late.status, 204, 'who had the end need not come back');
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** The process id of a session, as the log has it. */
function processOf(system, session) {
  const plain = system.log.replaceAll(/\u001b\[[\d;]*m/g, '');
  const [, pid] = new RegExp(`session started .*${session}.* pid=(\\d+)`).exec(plain) ?? [];
  assert.ok(pid, 'the log names the process of the session');
  return Number(pid);
}

test('schemathesis finds nothing that the OpenAPI document does not say', { timeout: 240_000 }, async (t) => {
  const python = join(root, 'target/test-venv/bin/python');
  const program = join(root, 'target/test-venv/bin/schemathesis');
  if (!existsSync(program)) {
    const words = `${program} is missing: scripts/test.sh e2e installs it (${python} -m pip install schemathesis)`;
    if (process.env.CI === 'true') throw new Error(words);
    return t.skip(words);
  }
  await withSystem({ SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '1', SIGHTLINE_MAX_REQUESTS_PER_SECOND: '0' }, async (system) => {
    const api = new Api(system);
    const options = ['--phases', 'examples,coverage,fuzzing', '--max-examples', '10', '--max-time', '60'];
    const args = ['--config-file', join(root, 'e2e/support/schemathesis.toml'), 'run', api.url('openapi.json'), ...options];
    const limits = ['--request-timeout', '20', '--generation-database', 'none', '--no-color'];
    // It leaves a folder where it runs.
    const cwd = mkdtempSync(join(tmpdir(), 'sightline-schemathesis-'));
    t.after(() => rmSync(cwd, { recursive: true }));
    const run = promisify(execFile)(program, [...args, ...limits], { cwd, timeout: 200_000, maxBuffer: 1 << 24 });
    const { stdout } = await run.catch((error) => assert.fail(`${error.message}\n${error.stdout}`));
    t.diagnostic(stdout.trim().split('\n').at(-1));
    assert.equal((await system.readiness()).status, 200);
  });
});
