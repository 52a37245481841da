// A server that wants to know who calls: the page is given a token in its address or by hand, and says what is missing.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { binaries, withSystem } from './support/system.mjs';
import { until } from './support/wait.mjs';

function signaling(...args) {
  const { status, stdout, stderr } = spawnSync(join(binaries(), 'signaling'), args, { encoding: 'utf8', timeout: 10_000 });
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

test('who shows a token is let in, and sees its own', { timeout: 180_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sightline-keys-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  signaling('keys', folder);
  const key = ['--auth-algorithm', 'EdDSA', '--auth-key-file', join(folder, 'token.key')];
  const token = (tenant, scope) => signaling(...key, 'token', '--tenant', tenant, '--scope', scope);
  const env = {
    SIGHTLINE_MODEL: 'blobs',
    SIGHTLINE_WORKERS: '1',
    SIGHTLINE_AUTH_ALGORITHM: 'EdDSA',
    SIGHTLINE_AUTH_KEY_FILE: join(folder, 'token.pub'),
  };
  await withSystem(env, async (system) => {
    const sessions = async (bearer) => {
      const response = await fetch(`${system.url}/api/v1/sessions`, { headers: { Authorization: `Bearer ${bearer}` } });
      assert.equal(response.status, 200);
      return (await response.json()).sessions;
    };
    assert.equal((await fetch(`${system.url}/api/v1/sessions`)).status, 401);
    const [two, three, viewer] = [token('tenant2', 'publish'), token('tenant3', 'publish'), token('tenant2', 'view')];
    await withBrowser({}, async (context) => {
      // In the address, from which it is gone at once.
      const given = await Visit.open(context, system, `source=test&autostart=1#token=${two}`);
      await given.reaches('live', 30);
      await given.boxes(5, 30);
      assert.equal(new URL(given.page.url()).hash, '');
      assert.deepEqual((await sessions(two)).map(({ tenant, state }) => [tenant, state]), [['tenant2', 'RUNNING']]);
      assert.deepEqual(await sessions(three), []);
      await given.stop();

      // By hand, in another tab, which knows nothing of the first.
      const asked = await Visit.open(context, system, 'source=test');
      const field = asked.page.getByTestId('token');
      await field.waitFor({ state: 'visible', timeout: 5000 });
      await field.fill(viewer);
      await Promise.all([asked.page.waitForEvent('load'), asked.page.getByText('Use it').click()]);
      await asked.page.waitForFunction(() => window.sightline, undefined, { timeout: 5000 });
      assert.ok(await field.isHidden());
      await asked.start();
      await asked.reaches('failed', 20);
      assert.match(await asked.error(), /You may not do this here/);
    });
    await until('the session is over', 20, async () => (await sessions(two)).every(({ state }) => state !== 'RUNNING'));
    for (const secret of [two, three, viewer]) assert.ok(!system.log.includes(secret), 'a token is in the log');
  });
});
