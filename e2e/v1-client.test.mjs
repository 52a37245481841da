// A page that speaks only what v1's page speaks: no session states, no trickled candidates, no parameters.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eachFrameOnce } from './support/boxes.mjs';
import { withBrowser } from './support/browser.mjs';
import { withSystem } from './support/system.mjs';
import { until } from './support/wait.mjs';

const V1_TYPES = new Set(['Welcome', 'SdpOffer', 'Prediction', 'JoinError', 'Error']);

test('a client of v1 gets predictions, and no message that it does not know', { timeout: 90_000 }, async () => {
  await withSystem({ SIGHTLINE_MODEL: 'blobs' }, (system) =>
    withBrowser({}, async (context) => {
      const page = await context.newPage();
      // Any page of the same origin, without our own scripts.
      await page.goto(`${system.url}/healthz`);
      await page.evaluate(v1Client);
      const predictions = await until('20 predictions', 20, async () => {
        const all = await page.evaluate(() => window.heard.filter(({ type }) => type === 'Prediction'));
        return all.length >= 20 && all;
      });
      const heard = await page.evaluate(() => window.heard);
      checkOpening(heard);
      assert.deepEqual([...new Set(heard.map(({ type }) => type))].filter((type) => !V1_TYPES.has(type)), []);
      for (const { data } of predictions) checkPrediction(data);
      eachFrameOnce(predictions.map(({ data }) => data));
      const red = predictions.flatMap(({ data }) => Object.entries(data)).filter(([name, value]) => /^p\d/.test(name) && value.startsWith('red|'));
      assert.ok(red.length >= 10, `the red square was found in ${red.length} of ${predictions.length} frames only`);
      checkPlace(red.map(([, value]) => value));
      assert.equal((await page.evaluate(() => window.peer.connectionState)), 'connected');

      const before = system.pipelines().length;
      await page.close();
      await until('the session process is gone', 3, () => system.pipelines().length < before);
    }),
  );
});

function checkOpening(heard) {
  const [welcome, offer] = heard;
  assert.equal(welcome.type, 'Welcome');
  assert.deepEqual(Object.keys(welcome.data).sort(), ['id', 'message']);
  assert.equal(typeof welcome.data.id, 'number');
  assert.equal(welcome.data.message, 'Welcome!');
  assert.equal(offer.type, 'SdpOffer');
  assert.equal(typeof offer.data, 'string', 'the offer is JSON in a string');
  const { sdp } = JSON.parse(offer.data);
  assert.match(sdp, /^v=0\r\n/);
  assert.match(sdp, /^a=candidate:/m, 'all candidates are inside');
}

function checkPrediction(data) {
  for (const [name, value] of Object.entries(data)) assert.equal(typeof value, 'string', `${name} is a string`);
  assert.match(data.participantId, /^\w+$/);
  assert.match(data.timestamp, /^\d+$/);
  assert.match(data.pcount, /^\d+$/);
  for (let i = 0; i < Number(data.pcount); i++) {
    assert.match(data.res, /^\d+$/);
    assert.match(data[`p${i}`], /^[^|;]+\|[01]?\.?\d*\|-?\d+;-?\d+;-?\d+;-?\d+$/);
  }
}

/** The square's corners are (200, 100) and (360, 260) of 640x480; v1's boxes are in pixels of the JPEG, 416x312. */
function checkPlace(objects) {
  const expected = [200, 100, 360, 260].map((value) => (value * 416) / 640);
  for (const object of objects) {
    const corners = object.split('|')[2].split(';').map(Number);
    assert.ok(corners.every((value, i) => Math.abs(value - expected[i]) <= 10), `${object} is not about ${expected.join(';')}`);
  }
}

/** Runs in the page. */
function v1Client() {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [640, 480];
  const context = canvas.getContext('2d');
  let count = 0;
  setInterval(() => {
    context.fillStyle = 'rgb(114, 114, 114)';
    context.fillRect(0, 0, 640, 480);
    context.fillStyle = 'rgb(255, 0, 0)';
    context.fillRect(200, 100, 160, 160);
    // Something that moves: a canvas that does not change gives no frames.
    context.fillStyle = 'rgb(90, 90, 90)';
    context.fillRect((count++ * 4) % 600, 440, 40, 40);
  }, 40);
  const stream = canvas.captureStream(25);

  window.heard = [];
  const socket = new WebSocket(`ws://${location.host}/signaling`);
  const send = (type, data) => socket.send(JSON.stringify({ type, data }));
  socket.onmessage = async (event) => {
    const message = JSON.parse(event.data);
    window.heard.push(message);
    if (message.type === 'Welcome') send('Join', { tenantId: 'defaultTenant' });
    if (message.type !== 'SdpOffer') return;
    const peer = new RTCPeerConnection();
    window.peer = peer;
    peer.addTrack(stream.getVideoTracks()[0], stream);
    await peer.setRemoteDescription({ type: 'offer', sdp: JSON.parse(message.data).sdp });
    await peer.setLocalDescription(await peer.createAnswer());
    while (peer.iceGatheringState !== 'complete') await new Promise((resolve) => setTimeout(resolve, 20));
    send('SdpOfferAnswer', { sdp: peer.localDescription.sdp });
  };
}
