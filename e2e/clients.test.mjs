// Programs of others publish by WHIP and watch by WHEP, as they come.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isServed, liveSession, stopAiortc, told, withAiortc, withClient } from './support/clients.mjs';
import { Api } from './support/rest.mjs';
import { binaries, root, withSystem } from './support/system.mjs';
import { hasAiortc, works } from './support/tools.mjs';
import { until } from './support/wait.mjs';

const POOL = { SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '1' };
const LOCAL = { SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '0' };
/** The model finds the one colour that fills it. */
const RED = 'videotestsrc is-live=true pattern=red ! video/x-raw,width=320,height=240,framerate=10/1';

/** A folder for as long as the test runs. */
function folderOf(t) {
  const folder = mkdtempSync(join(tmpdir(), 'sightline-whip-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('aiortc publishes VP8 and H.264', { timeout: 120_000 }, async (t) => {
  if (!hasAiortc(t)) return;
  await withSystem(POOL, async (system) => {
    for (const codec of ['VP8', 'H264']) {
      await withAiortc(['publish', `${system.url}/whip/webrtc-detect`, '--codec', codec], (client) =>
        isServed(system, 'webrtc-detect', () => stopAiortc(client)),
      );
    }
  });
});

test('aiortc watches what aiortc publishes', { timeout: 120_000 }, async (t) => {
  if (!hasAiortc(t)) return;
  await withSystem(LOCAL, (system) =>
    withAiortc(['publish', `${system.url}/whip/webrtc-annotated`], async (publisher) => {
      const { id } = await liveSession(system, 'webrtc-annotated');
      await until('there is a picture to watch', 30, async () => (await new Api(system).session(id)).frames > 0);
      await withAiortc(['watch', `${system.url}/whep/${id}`], async (viewer) => {
        await until('the viewer decodes frames', 30, () => told(viewer, 'frames') > 10);
        assert.deepEqual([told(viewer, 'width'), told(viewer, 'height')], [640, 480]);
        await stopAiortc(viewer);
      });
      await isServed(system, 'webrtc-annotated', () => stopAiortc(publisher));
    }),
  );
});

/** `-V` of whip-client, by codec. */
const WHIP_CLIENT = {
  VP8: 'vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay pt=96 ! application/x-rtp,media=video,encoding-name=VP8,payload=96',
  H264: 'openh264enc gop-size=30 ! rtph264pay pt=96 config-interval=-1 ! application/x-rtp,media=video,encoding-name=H264,payload=96',
};

test("Debian's simple-whip-client publishes VP8 and H.264", { timeout: 120_000 }, async (t) => {
  if (!works(t, 'whip-client is missing: apt-get install simple-whip-client', 'whip-client', '--help')) return;
  const libraries = folderOf(t);
  execFileSync('cc', ['-shared', '-fPIC', '-o', join(libraries, 'libgupnp-igd-1.0.so.4'), join(root, 'e2e/support/no_upnp.c')]);
  await withSystem(POOL, async (system) => {
    for (const [codec, encoder] of Object.entries(WHIP_CLIENT)) {
      const args = ['-u', `${system.url}/whip/webrtc-detect`, '-V', `${RED} ! videoconvert ! ${encoder}`, '-o'];
      await withClient('whip-client', args, { LD_LIBRARY_PATH: libraries }, (client) =>
        isServed(system, 'webrtc-detect', async () => {
          client.kill('SIGINT');
          await client.ended(10);
        }),
      );
      t.diagnostic(`${codec} is served`);
    }
  });
});

test('whipclientsink of gst-plugins-rs publishes', { timeout: 120_000 }, async (t) => {
  const launcher = join(binaries(), 'pipeline-launcher');
  const file = join(folderOf(t), 'publish.toml');
  // One codec: it tries all encoders that there are, which takes a while. By itself it would ask a STUN server of the Internet.
  const publisher = (url) => `schema = 1
name = "publish"
kind = "source"
summary = "A red picture, published by WHIP"
[pipeline]
launch = '${RED} ! whipclientsink video-caps=video/x-vp8 stun-server=NULL signaller::whip-endpoint=${url}/whip/webrtc-detect'
`;
  writeFileSync(file, publisher('http://127.0.0.1:9000'));
  if (!works(t, 'these programs have no whipclientsink: they need the feature `rs`', launcher, 'check', file)) return;
  await withSystem(POOL, async (system) => {
    writeFileSync(file, publisher(system.url));
    await withClient(launcher, ['run', file], {}, (client) =>
      isServed(system, 'webrtc-detect', async () => {
        client.kill('SIGINT');
        await client.ended(10);
      }),
    );
  });
});

test("OBS's offer is answered with H.264", { timeout: 60_000 }, () =>
  withSystem(POOL, async (system) => {
    const offer = readFileSync(join(root, 'protocol/sdp/tests/clients/obs.sdp'), 'utf8').replaceAll(/\r?\n/g, '\r\n');
    const headers = { 'Content-Type': 'application/sdp', 'User-Agent': 'Mozilla/5.0 (OBS-Studio/30.2.3; Linux x86_64; en-US)' };
    const response = await fetch(`${system.url}/whip/webrtc-detect`, { method: 'POST', headers, body: offer });
    const answer = await response.text();
    assert.equal(response.status, 201, answer);
    const [, audio, video] = answer.split(/^m=/m);
    assert.match(audio, /^audio .*[^]*^a=mid:0\r$/m);
    assert.match(video, /^video [1-9]\d* UDP\/TLS\/RTP\/SAVPF 96\r$/m);
    assert.match(video, /^a=rtpmap:96 H264\/90000\r$/m);
    assert.match(video, /^a=recvonly\r$/m);
    assert.equal((await fetch(response.headers.get('location'), { method: 'DELETE' })).status, 200);
  }),
);
