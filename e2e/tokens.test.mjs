// A server that wants to know who calls: the page is given a token in its address or by hand, and says what is missing.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { withServices } from './support/services.mjs';
import { binaries, root, withSystem } from './support/system.mjs';
import { freePort, until } from './support/wait.mjs';

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

test('what docker/secrets.sh makes opens a server as compose starts it, and metrics have an address of their own', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sightline-secrets-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(join(root, 'docker/secrets.sh'), join(folder, 'secrets.sh'));
  assert.equal(spawnSync(join(folder, 'secrets.sh')).status, 0);
  const [key, pub] = ['token.key', 'token.pub'].map((name) => join(folder, 'secrets', name));
  const token = signaling('--auth-algorithm', 'EdDSA', '--auth-key-file', key, 'token', '--tenant', 'defaultTenant', '--scope', 'view');
  await withServices(async (services) => {
    const forOperators = `127.0.0.1:${await freePort()}`;
    const site = await services.signaling('sgn', {
      SIGHTLINE_BIND: '0.0.0.0',
      SIGHTLINE_TLS: 'self-signed',
      SIGHTLINE_AUTH_ALGORITHM: 'EdDSA',
      SIGHTLINE_AUTH_KEY_FILE: pub,
      SIGHTLINE_METRICS_BIND: forOperators,
      // As compose sets what nobody says.
      SIGHTLINE_TLS_CERT: '',
      SIGHTLINE_TLS_KEY: '',
      SIGHTLINE_TRUSTED_PROXIES: '',
      SIGHTLINE_INSECURE: '',
    });
    await until('metrics', 20, async () => (await fetch(`http://${forOperators}/metrics`).catch(() => null))?.ok);
    assert.equal((await fetch(`http://${forOperators}/api/v1/sessions`)).status, 404);
    assert.equal(await status(site.port, '/api/v1/sessions', {}), 401);
    assert.equal(await status(site.port, '/api/v1/sessions', { Authorization: `Bearer ${token}` }), 200);
    const { status: well } = spawnSync(join(binaries(), 'signaling'), ['--port', String(site.port), '--tls', 'self-signed', 'healthcheck']);
    assert.equal(well, 0);
  });
});

/** Of a server whose certificate nobody knows. */
async function status(port, path, headers) {
  const request = get({ port, path, headers, host: '127.0.0.1', rejectUnauthorized: false });
  const [response] = await once(request, 'response');
  response.resume();
  return response.statusCode;
}
