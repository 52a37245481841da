// What the programs log of a real session at the usual level: nothing that is nobody else's business.

import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { withSystem } from './support/system.mjs';
import { until } from './support/wait.mjs';

const TOKEN = 'token-3f9a1c';
const NAME = 'participant-ada-lovelace';
const PRIVATE = {
  'an address': /\b(?:\d{1,3}\.){3}\d{1,3}\b|\b[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){3,7}\b|\.local\b/i,
  'an SDP': /\bv=0|\bm=(?:video|audio)|\ba=[a-z]|candidate:|ufrag|fingerprint/i,
  'a token': new RegExp(TOKEN),
  'a name': new RegExp(NAME),
};

/** Lines of the log from when the system was ready, without the time before each. */
function since(log, start) {
  return log
    .slice(start)
    .split('\n')
    .map((line) => line.replace(/^\S*\d{4}-\d\d-\d\dT[\d:.]+Z"?\S*\s*/, ''));
}

for (const format of ['text', 'json']) {
  test(`the log, as ${format}, tells of a session and nothing private`, { timeout: 240_000 }, async () => {
    const env = { SIGHTLINE_MODEL: 'blobs', SIGHTLINE_LOG: format, RUST_LOG: '' };
    await withSystem(env, (system) =>
      withBrowser({}, async (context) => {
        const start = system.log.length;
        const visit = await Visit.open(context, system, 'source=test&autostart=1');
        await visit.boxes(25, 60);
        const [{ participantId: session }] = await visit.predictions();
        await visit.stop();
        await refused(system, visit.page);
        await until('the log tells of the end', 5, () => /session ended/.test(system.log.slice(start)));
        const lines = since(system.log, start);
        assert.ok(lines.some((line) => line.includes(session)), 'the session is named');
        for (const [what, pattern] of Object.entries(PRIVATE)) {
          const found = lines.filter((line) => pattern.test(withoutOurs(line)));
          assert.deepEqual(found, [], `${what} is in the log`);
        }
        if (format === 'json') {
          const told = system.log.split('\n').filter(Boolean);
          for (const line of told) assert.doesNotThrow(() => JSON.parse(line), line);
          assert.ok(told.every((line) => JSON.parse(line).level));
        }
      }),
    );
  });
}

/** Ids of sessions are hexadecimal, times have colons: neither is an address. */
function withoutOurs(line) {
  return line.replace(/[0-9a-f]{32}/g, '').replace(/\d\d:\d\d:\d\d(\.\d+)?/g, '');
}

/** Requests that are refused, with what must not be repeated in the log. */
async function refused(system, page) {
  const [{ address }] = Object.values(networkInterfaces()).flat();
  const sdp = `v=0\r\no=${NAME} 1 1 IN IP4 ${address}\r\ns=-\r\nm=video 9 x 1\r\n`;
  const headers = { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/sdp' };
  const whip = await fetch(`${system.url}/whip/webrtc-detect?token=${TOKEN}`, { method: 'POST', headers, body: sdp });
  assert.ok(whip.status >= 400, `WHIP: ${whip.status}`);
  const json = { 'Content-Type': 'application/json' };
  const uri = `http://${NAME}:${TOKEN}@127.0.0.1:1/x.mp4`;
  const body = JSON.stringify({ pipeline: 'uri-detect', params: { uri } });
  const rest = await fetch(`${system.url}/api/v1/sessions`, { method: 'POST', headers: json, body });
  const { id } = await rest.json();
  if (rest.status === 201) {
    await until('the source fails', 20, async () => {
      const seen = await fetch(`${system.url}/api/v1/sessions/${id}`);
      return (await seen.json()).ended_us !== null;
    });
  }
  await page.evaluate(
    ({ tenantId, token }) =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`ws://${location.host}/ws`);
        socket.onopen = () => socket.send(JSON.stringify({ type: 'Join', data: { tenantId, token, protocol: 2 } }));
        socket.onmessage = ({ data }) => {
          if (JSON.parse(data).type !== 'JoinError') return;
          socket.close();
          resolve();
        };
        socket.onerror = reject;
      }),
    { tenantId: NAME, token: TOKEN },
  );
}
