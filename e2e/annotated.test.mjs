// The picture that comes back on the same connection, with boxes drawn in by the server.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Visit, withBrowser } from './support/browser.mjs';
import { output } from './support/data.mjs';
import { withSystem } from './support/system.mjs';
import { until } from './support/wait.mjs';

for (const [pipeline, workers] of [
  ['webrtc-annotated', '0'],
  ['webrtc-annotated-remote', '1'],
]) {
  test(`${pipeline} sends the picture back with boxes in it`, { timeout: 90_000 }, async () => {
    const env = { SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: workers };
    await withSystem(env, (system) =>
      withBrowser({}, async (context) => {
        const visit = await Visit.open(context, system, `source=test&pipeline=${pipeline}&autostart=1`);
        await visit.reaches('live', 15);
        await visit.boxes(20, 20);
        await until('the returned picture moves', 15, async () => (await framesOf(visit)) > 30);
        const { returned, sent } = await darkPixels(visit);
        await visit.page.screenshot({ path: output(`${pipeline}.png`) });
        assert.ok(returned > sent + 100, `${returned} dark pixels came back, ${sent} were sent`);
        await visit.stop();
        assert.equal(await visit.page.locator('video.returned').isVisible(), false);
      }),
    );
  });
}

function framesOf(visit) {
  return visit.page.evaluate(() => {
    const video = document.querySelector('video.returned');
    return video.hidden ? 0 : video.getVideoPlaybackQuality().totalVideoFrames;
  });
}

/** Dark pixels, such as the boxes' lines and the labels' letters have, in what comes back and in what was sent. */
function darkPixels(visit) {
  return visit.page.evaluate(() => {
    const count = (video) => {
      const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
      const context = canvas.getContext('2d');
      context.drawImage(video, 0, 0);
      const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
      let found = 0;
      for (let at = 0; at < data.length; at += 4) {
        if (Math.max(data[at], data[at + 1], data[at + 2]) < 60) found += 1;
      }
      return found;
    };
    const [sent, returned] = document.querySelectorAll('.stage > video');
    return { returned: count(returned), sent: count(sent) };
  });
}
