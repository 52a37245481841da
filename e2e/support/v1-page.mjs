// A page that speaks only what v1's page speaks: no session states, no trickled candidates, no parameters.

import assert from 'node:assert/strict';
import { eachFrameOnce } from './boxes.mjs';
import { until } from './wait.mjs';

const TYPES = new Set(['Welcome', 'SdpOffer', 'Prediction', 'JoinError', 'Error']);

/** Such a page, which joins and sends a picture with a red square. */
export async function openV1Page(context, system) {
  const page = await context.newPage();
  // Any page of the same origin, without our own scripts.
  await page.goto(`${system.url}/healthz`);
  await page.evaluate(client);
  return page;
}

export function heard(page) {
  return page.evaluate(() => window.heard);
}

/** What it hears is v1's to the letter, and most of 20 predictions find the square where it is, as `label`. */
export async function isServedV1(page, label) {
  await until('20 predictions', 20, () =>
    page.evaluate(() => window.heard.filter(({ type }) => type === 'Prediction').length >= 20),
  );
  const all = await heard(page);
  checkOpening(all);
  assert.deepEqual(all.map(({ type }) => type).filter((type) => !TYPES.has(type)), []);
  const predictions = all.filter(({ type }) => type === 'Prediction').map(({ data }) => data);
  predictions.forEach(checkFields);
  eachFrameOnce(predictions);
  const found = predictions.flatMap((data) =>
    Object.entries(data)
      .filter(([name, value]) => /^p\d/.test(name) && value.startsWith(`${label}|`))
      .map(([, value]) => [value, data.res]),
  );
  assert.ok(found.length >= predictions.length / 2, `${label} was found in ${found.length} of ${predictions.length} frames only`);
  for (const [object, res] of found) checkPlace(object, res);
  assert.equal(await page.evaluate(() => window.peer.connectionState), 'connected');
}

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

function checkFields(data) {
  for (const [name, value] of Object.entries(data)) assert.equal(typeof value, 'string', `${name} is a string`);
  assert.match(data.participantId, /^\w+$/);
  assert.match(data.timestamp, /^\d+$/);
  assert.match(data.pcount, /^\d+$/);
  for (let i = 0; i < Number(data.pcount); i++) {
    assert.match(data.res, /^\d+$/);
    assert.match(data[`p${i}`], /^[^|;]+\|[01]?\.?\d*\|-?\d+;-?\d+;-?\d+;-?\d+$/);
  }
}

/** The square's corners are (200, 100) and (360, 260) of 640x480; v1's boxes are in pixels of the JPEG, which is `res` high. */
function checkPlace(object, res) {
  const expected = [200, 100, 360, 260].map((value) => (value * Number(res)) / 480);
  const corners = object.split('|')[2].split(';').map(Number);
  assert.ok(corners.every((value, i) => Math.abs(value - expected[i]) <= Number(res) / 30), `${object} is not about ${expected.join(';')}`);
}

/** Runs in the page. */
function client() {
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
    // What Inventa writes otherwise on its way to the launcher.
    send('SdpOfferAnswer', { sdp: peer.localDescription.sdp.replace(/^s=.*$/m, 's=porch | door!') });
  };
}
