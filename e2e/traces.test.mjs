// A sampled frame's trace, from its capture in the session to its delivery to the page, as an OTLP receiver gets it.

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { Program } from './support/processes.mjs';
import { Api } from './support/rest.mjs';
import { root, withSystem } from './support/system.mjs';
import { python, works } from './support/tools.mjs';
import { freePort, until } from './support/wait.mjs';

/** The spans of a frame that a worker looks at, in order, and which service each is of. */
const BY_WORKER = {
  capture: 'sightline-session',
  publish: 'sightline-session',
  queue: 'sightline-worker',
  decode: 'sightline-worker',
  infer: 'sightline-worker',
  answer: 'sightline-worker',
  return: 'sightline-signaling',
  deliver: 'sightline-signaling',
};
/** The same where the session itself infers. */
const BY_SESSION = {
  capture: 'sightline-session',
  infer: 'sightline-session',
  answer: 'sightline-session',
  return: 'sightline-signaling',
  deliver: 'sightline-signaling',
};
const INSIDE = ['preprocess', 'inference', 'postprocess'];
/** A second is enough for OTLP here. */
const SOON = { OTEL_BSP_SCHEDULE_DELAY: '500' };

class Receiver {
  port;
  #program;

  static async start() {
    const receiver = new Receiver();
    receiver.port = await freePort();
    const script = join(root, 'e2e/support/otlp_receiver.py');
    receiver.#program = new Program(python, [script, String(receiver.port)], { env: { G_DEBUG: undefined } });
    await until('the receiver listens', 10, async () => {
      if (receiver.#program.exit) throw new Error(receiver.#program.log);
      return fetch(receiver.url, { method: 'POST' }).then(
        () => true,
        () => false,
      );
    });
    return receiver;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get spans() {
    const lines = this.#program.log.split('\n').slice(0, -1);
    return lines.filter((line) => line.startsWith('span ')).map((line) => JSON.parse(line.slice(5)));
  }

  /** The traces that have as many spans as wanted: a trace's spans come with three posts. */
  traces(size) {
    const traces = new Map();
    for (const span of this.spans) traces.set(span.trace, [...(traces.get(span.trace) ?? []), span]);
    return [...traces.values()].filter((spans) => spans.length >= size);
  }

  async stop() {
    await this.#program.destroy();
  }
}

function hasOtlp(t) {
  const module = 'opentelemetry.proto.collector.trace.v1.trace_service_pb2';
  return works(t, 'opentelemetry-proto is missing: run scripts/test.sh e2e once', python, '-c', `import ${module}`);
}

test('a frame is followed from its capture to the page', { timeout: 300_000 }, async (t) => {
  if (!hasOtlp(t)) return;
  const receiver = await Receiver.start();
  t.after(() => receiver.stop());
  const env = { SIGHTLINE_MODEL: 'blobs', OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, ...SOON };
  await withSystem(env, (system) =>
    withBrowser({}, async (context) => {
      for (const [pipeline, way] of [['webrtc-detect', BY_WORKER], ['webrtc-local', BY_SESSION]]) {
        const begun = Date.now();
        const visit = await Visit.open(context, system, `source=test&pipeline=${pipeline}&autostart=1`);
        const predictions = await visit.boxes(40, 60);
        const size = 1 + Object.keys(way).length + INSIDE.length;
        // Spans of the session before may still come.
        const first = Number(predictions[0].captured);
        const traces = await until('whole traces', 30, () => {
          const whole = receiver.traces(size).filter((spans) => spans.every((span) => span.start_us >= first));
          return whole.length > 1 && whole;
        });
        // One frame a second: far from all.
        const seconds = (Date.now() - begun) / 1000;
        assert.ok(traces.length <= seconds + 2, `${traces.length} traces in ${seconds} s`);
        const known = new Set(predictions.map(({ worker }) => worker));
        for (const spans of traces) {
          const frame = wholeTrace(spans, way);
          assert.ok(known.has(frame.attributes['sightline.worker']), JSON.stringify(frame));
        }
        await visit.page.close();
      }
    }),
  );
});

/** Checks a trace, and gives the span of the whole frame. */
function wholeTrace(spans, way) {
  const words = JSON.stringify(spans, null, 1);
  const by = new Map(spans.map((span) => [span.name, span]));
  assert.deepEqual([...by.keys()].sort(), ['frame', ...Object.keys(way), ...INSIDE].sort(), words);
  assert.equal(spans.length, by.size, words);
  const frame = by.get('frame');
  assert.deepEqual([frame.parent, frame.service], ['', 'sightline-signaling'], words);
  const length = ({ start_us: start, end_us: end }) => end - start;
  let at = frame.start_us;
  let sum = 0;
  for (const [name, service] of Object.entries(way)) {
    const span = by.get(name);
    assert.deepEqual([span.service, span.parent], [service, frame.span], words);
    assert.equal(span.start_us, at, `${name} begins where the span before it ends: ${words}`);
    assert.ok(length(span) >= 0, words);
    at = span.end_us;
    sum += length(span);
  }
  const whole = length(frame);
  assert.ok(whole > 1000 && whole < 5_000_000 && Math.abs(sum / whole - 1) <= 0.1, `${sum} of ${whole}: ${words}`);
  const infer = by.get('infer');
  for (const name of INSIDE) {
    const span = by.get(name);
    assert.deepEqual([span.service, span.parent], [infer.service, infer.span], words);
    assert.ok(span.start_us >= infer.start_us && span.end_us <= infer.end_us, words);
  }
  for (const name of ['capture', 'inference']) assert.ok(length(by.get(name)) > 0, words);
  assert.equal(frame.attributes['sightline.model'], 'blobs');
  assert.equal(frame.attributes['sightline.session'].length, 8, 'not the whole id');
  return frame;
}

const SOURCE = `schema = 1
name = "test-source"
kind = "source"
summary = "A moving picture for workers"
[pipeline]
launch = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=5/1 ! jpegenc ! redisstreamsink"
`;

test('each frame may be traced, and its trace is linked to the client’s', { timeout: 180_000 }, async (t) => {
  if (!hasOtlp(t)) return;
  const receiver = await Receiver.start();
  t.after(() => receiver.stop());
  const pipelines = mkdtempSync(join(tmpdir(), 'sightline-pipelines-'));
  t.after(() => rmSync(pipelines, { recursive: true, force: true }));
  cpSync(join(root, 'pipelines'), pipelines, { recursive: true });
  writeFileSync(join(pipelines, 'test-source.toml'), SOURCE);
  const theirs = '0af7651916cd43dd8448eb211c80319c';
  const env = {
    SIGHTLINE_MODEL: 'blobs',
    SIGHTLINE_PIPELINES: pipelines,
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_TRACES_SAMPLER: 'always_on',
    ...SOON,
  };
  await withSystem(env, async (system) => {
    const api = new Api(system);
    const response = await fetch(api.url('sessions'), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', traceparent: `00-${theirs}-b7ad6b7169203331-01` },
      body: JSON.stringify({ pipeline: 'test-source' }),
    });
    const { id } = await response.json();
    const following = api.follow(id);
    const size = 1 + Object.keys(BY_WORKER).length + INSIDE.length;
    const traces = await until('whole traces', 60, () => receiver.traces(size).length > 9 && receiver.traces(size));
    for (const spans of traces) {
      const frame = wholeTrace(spans, BY_WORKER);
      assert.deepEqual(frame.links, [theirs]);
      assert.notEqual(frame.trace, theirs);
    }
    await api.stop(id);
    const { predictions } = await following;
    // Of a session, all frames that were delivered are traced but those whose spans are still on their way.
    assert.ok(traces.length > predictions.length / 3, `${traces.length} traces of ${predictions.length} predictions`);
  });
});
