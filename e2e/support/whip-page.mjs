// A page of another origin with an npm client of WHIP, and a viewer that knows nothing but fetch.

import http from 'node:http';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const CLIENT = fileURLToPath(new URL('../../ui/node_modules/whip-whep/whip.js', import.meta.url));
const FILES = {
  '/': ['text/html', '<!doctype html><title>A page of another origin</title>'],
  '/whip.js': ['text/javascript', readFileSync(CLIENT)],
};

/** Runs `use` with the page's address. */
export async function withWhipPage(use) {
  const server = http.createServer(({ url }, response) => {
    const [type, content] = FILES[url] ?? [];
    if (type) response.writeHead(200, { 'Content-Type': type }).end(content);
    else response.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await use(`http://127.0.0.1:${server.address().port}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Runs in the page: publishes moving shapes by `whip-whep`; `window.stopPublishing` ends it. */
export async function publish(url) {
  const { WHIPClient } = await import('/whip.js');
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [640, 480];
  const context = canvas.getContext('2d');
  const draw = () => {
    context.fillStyle = 'rgb(114, 114, 114)';
    context.fillRect(0, 0, 640, 480);
    ['red', 'lime', 'blue'].forEach((colour, lane) => {
      context.fillStyle = colour;
      context.fillRect(250 + 200 * Math.sin(performance.now() / 1000 + lane), 20 + 155 * lane, 120, 110);
    });
  };
  draw();
  const drawing = setInterval(draw, 100);
  const [track] = canvas.captureStream(10).getVideoTracks();
  const peer = new RTCPeerConnection();
  peer.addTransceiver(track, { direction: 'sendonly' });
  const client = new WHIPClient();
  await client.publish(peer, url);
  window.stopPublishing = async () => {
    clearInterval(drawing);
    await client.stop();
  };
}

/** Runs in the page: plays what is to be seen at a WHEP address; gives the address of this viewer. */
export async function watch(url) {
  const peer = new RTCPeerConnection();
  peer.addTransceiver('video', { direction: 'recvonly' });
  const video = Object.assign(document.createElement('video'), { muted: true, autoplay: true });
  document.body.append(video);
  peer.ontrack = ({ track }) => {
    video.srcObject = new MediaStream([track]);
  };
  await peer.setLocalDescription();
  const headers = { 'Content-Type': 'application/sdp' };
  const response = await fetch(url, { method: 'POST', headers, body: peer.localDescription.sdp });
  if (response.status !== 201) throw new Error(`POST ${url}: ${response.status} ${await response.text()}`);
  await peer.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  return response.headers.get('Location');
}

/**
 * Runs in the page: the frames that were played, and how many pixels are red, and how many of the light blue that
 * only the third class's boxes have.
 */
export function seen() {
  const video = document.querySelector('video');
  const frames = video.getVideoPlaybackQuality().totalVideoFrames;
  const found = { frames, red: 0, drawn: 0 };
  if (frames === 0) return found;
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < data.length; at += 4) {
    const [r, g, b] = data.subarray(at, at + 3);
    if (r - Math.max(g, b) > 100) found.red += 1;
    if (r < 110 && g > 110 && g < 210 && b > 180) found.drawn += 1;
  }
  return found;
}
