// `uri-detect` at a real RTSP server that dies, comes back and hangs; wrong addresses are told at once.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { picture } from './support/data.mjs';
import { Program } from './support/processes.mjs';
import { Api } from './support/rest.mjs';
import { root, withSystem } from './support/system.mjs';
import { works } from './support/tools.mjs';
import { freePort, until } from './support/wait.mjs';

/** The system's own Python: the bindings are a package of Debian's. */
const PYTHON = '/usr/bin/python3';
const ENVIRONMENT = { SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '0' };

function hasServer(t) {
  const advice = 'gst-rtsp-server is missing: apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi';
  return works(t, advice, PYTHON, '-c', 'import gi; gi.require_version("GstRtspServer", "1.0")');
}

/** A camera at a port of the loopback that can be killed, come back and hang. */
class Camera {
  #port;
  #program;

  static async start() {
    const camera = new Camera();
    camera.#port = await freePort();
    await camera.comeBack();
    return camera;
  }

  address(path) {
    return `rtsp://127.0.0.1:${this.#port}/${path}`;
  }

  async comeBack() {
    const program = new Program(PYTHON, [join(root, 'e2e/support/rtsp_server.py'), String(this.#port)]);
    this.#program = program;
    await until('the RTSP server listens', 10, () => {
      assert.equal(program.exit, undefined, program.log);
      return program.log.includes('ready');
    });
  }

  kill(signal) {
    this.#program.kill(signal);
  }

  async die() {
    this.kill('SIGKILL');
    await this.#program.ended(5);
  }

  destroy() {
    return this.#program.destroy();
  }
}

/** Runs `use` with a camera, a system and its API. */
async function withCamera(t, use) {
  if (!hasServer(t)) return;
  const camera = await Camera.start();
  try {
    await withSystem(ENVIRONMENT, (system) => use(camera, new Api(system), system));
  } finally {
    await camera.destroy();
  }
}

/** The session once it has passed so many frames more than `before`. */
function moving(api, id, before = 0) {
  return until('frames come', 30, async () => {
    const seen = await api.session(id);
    assert.equal(seen.ended_us, null, JSON.stringify(seen));
    return seen.state === 'RUNNING' && seen.frames > before + 15 && seen;
  });
}

for (const path of ['vp8', 'h264']) {
  test(`a camera that dies and comes back: ${path}`, { timeout: 120_000 }, (t) =>
    withCamera(t, async (camera, api) => {
      const { id } = await api.started({ pipeline: 'uri-detect', params: { uri: camera.address(path) } });
      const following = api.follow(id);
      const { frames } = await moving(api, id);
      await camera.die();
      const waiting = await until('it is tried again, more than once', 20, async () => {
        const seen = await api.session(id);
        assert.equal(seen.ended_us, null, JSON.stringify(seen));
        return seen.restarts >= 3 && seen.state === 'QUEUED' && seen;
      });
      assert.equal(waiting.last_error.id, 'session-failed');
      assert.match(waiting.last_error.message, /^source: .*[Cc]onnect/);
      await camera.comeBack();
      const again = await moving(api, id, frames);
      assert.ok(again.restarts <= 10, `${again.restarts} restarts`);
      assert.equal((await api.stop(id)).state, 'ABORTED');
      const { predictions } = await following;
      assert.ok(predictions.length > 30, `${predictions.length} predictions`);
      assert.ok(predictions.every(({ pcount }) => Number(pcount) > 0), 'the test picture has colours that the model finds');
    }),
  );
}

test('a camera that hangs is noticed, and followed again when it moves', { timeout: 120_000 }, (t) =>
  withCamera(t, async (camera, api) => {
    const { id } = await api.started({ pipeline: 'uri-detect', params: { uri: camera.address('vp8') } });
    const { frames } = await moving(api, id);
    camera.kill('SIGSTOP');
    const noticed = await until('the silence is noticed', 40, async () => {
      const seen = await api.session(id);
      assert.equal(seen.ended_us, null, JSON.stringify(seen));
      return seen.restarts > 0 && seen;
    });
    assert.match(noticed.last_error.message, /no frame came from the source for 15 s/);
    camera.kill('SIGCONT');
    await moving(api, id, frames);
    await api.stop(id);
  }),
);

test('the page shows a camera at an address, with its boxes', { timeout: 120_000 }, (t) =>
  withCamera(t, (camera, _, system) =>
    withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, 'source=address');
      await visit.page.locator('[data-param=uri]').fill(camera.address('vp8'));
      await visit.start();
      await visit.boxes(5, 30);
      const moved = () => visit.page.evaluate(() => document.querySelector('video.returned').getVideoPlaybackQuality().totalVideoFrames);
      await until('its picture moves', 30, async () => (await moved()) > 10);
      await until('the panel says what the model takes', 10, async () => /^\d+ ms$/.test(await visit.text('latency')));
      await visit.page.screenshot({ path: picture('rtsp.png') });
      assert.equal(await visit.text('skew'), 'Boxes drawn in by the server');
      await visit.stop();
      assert.equal(await visit.page.locator('video.returned').isVisible(), false);
    }),
  ),
);

test('an address where nothing is, and a port where nobody is', { timeout: 60_000 }, (t) =>
  withCamera(t, async (camera, api) => {
    const nobody = `rtsp://127.0.0.1:${await freePort()}/vp8`;
    for (const [uri, words] of [[camera.address('none'), /Not Found \(404\)/], [nobody, /Could not open resource.*Failed to connect/]]) {
      const { id } = await api.started({ pipeline: 'uri-detect', params: { uri } });
      const ended = await api.ended(id, 20);
      assert.equal(ended.state, 'ERROR');
      assert.match(ended.last_error.message, words);
      assert.match(ended.last_error.message, /is the address right/);
      assert.equal(ended.restarts, 0);
    }
  }),
);
