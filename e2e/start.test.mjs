// What goes wrong at the start: said at once, with what to do, and with an exit code that scripts see.

import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { withUnreadySystem } from './support/system.mjs';
import { freePort, until } from './support/wait.mjs';

/** A start with this environment ends by itself, without success, and says all of this. */
async function fails(env, ...words) {
  await withUnreadySystem({ SIGHTLINE_MODEL: 'blobs', ...env }, async (system) => {
    const exit = await system.program.ended(15);
    assert.equal(exit.signal, null);
    assert.notEqual(exit.code, 0);
    for (const word of words) assert.match(system.log, word);
    assert.doesNotMatch(system.log, /panicked/);
    await system.nothingLeft(1);
  });
}

test('a model that is not there', { timeout: 30_000 }, () =>
  fails({ SIGHTLINE_MODEL: '/nowhere/x.onnx' }, /there is no model file \/nowhere\/x\.onnx/, /an \.onnx file that exists, or a model's name/),
);

test('no Redis at the address given', { timeout: 30_000 }, async () => {
  const port = await freePort();
  await fails({ REDIS_URL: `redis://127.0.0.1:${port}/` }, new RegExp(`127\\.0\\.0\\.1:${port}`), /is Redis running there/, /set REDIS_URL/i);
});

test('a port that another program uses', { timeout: 30_000 }, async (t) => {
  const other = net.createServer().listen(0, '127.0.0.1');
  t.after(() => other.close());
  await once(other, 'listening');
  const { port } = other.address();
  await fails({ SIGHTLINE_PORT: String(port) }, new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}`), /Set SIGHTLINE_PORT to a free one/);
});

test('no ONNX Runtime', { timeout: 60_000 }, () =>
  withUnreadySystem({ SIGHTLINE_MODEL: 'blobs', ORT_DYLIB_PATH: '/nowhere/libonnxruntime.so' }, async (system) => {
    await until('the log says what is missing and what to do', 15, () =>
      /ORT_DYLIB_PATH is \/nowhere\/libonnxruntime\.so, where there is no file; it must name libonnxruntime\.so, or be unset/.test(system.log),
    );
    const readiness = await until('GET /readyz answers', 15, () => system.readiness());
    assert.equal(readiness.status, 503);
    assert.deepEqual(readiness.reasons.map(({ id }) => id), ['no-worker']);
    await withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, 'source=test&autostart=1');
      await visit.reaches('failed', 10);
      assert.match(await visit.error(), /No inference worker is running/);
    });
    await system.stop();
  }),
);
