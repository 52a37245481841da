// Records the page for the documentation: from the press of Start to boxes that follow their shapes. `recording.mjs OUT.gif`.
// The browser's screencast gives the pictures; scripts/gif.py makes one file of them.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Visit, withBrowser } from '../e2e/support/browser.mjs';
import { root, withSystem } from '../e2e/support/system.mjs';

const SIZE = { width: 960, height: 640 };
const SECONDS_OF_BOXES = 5;

/** Pictures of the page while `use` runs, as files named by their time in milliseconds. */
async function screencast(page, folder, use) {
  const session = await page.context().newCDPSession(page);
  session.on('Page.screencastFrame', ({ data, metadata, sessionId }) => {
    writeFileSync(join(folder, `${String(Math.round(metadata.timestamp * 1000))}.png`), Buffer.from(data, 'base64'));
    session.send('Page.screencastFrameAck', { sessionId }).catch(() => {});
  });
  await session.send('Page.startScreencast', { format: 'png', maxWidth: SIZE.width, maxHeight: SIZE.height, everyNthFrame: 2 });
  await use();
  await session.send('Page.stopScreencast');
}

const [out] = process.argv.slice(2);
if (!out) throw new Error('say where to: recording.mjs OUT.gif');
const frames = mkdtempSync(join(tmpdir(), 'sightline-recording-'));
try {
  await withSystem({ SIGHTLINE_MODEL: 'blobs', SIGHTLINE_ID: 'host1' }, (system) =>
    withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, 'source=test');
      await visit.page.setViewportSize(SIZE);
      await screencast(visit.page, frames, async () => {
        await pause(800);
        await visit.start();
        await visit.boxes(1, 30);
        await pause(SECONDS_OF_BOXES * 1000);
      });
      await visit.stop();
    }),
  );
  execFileSync(join(root, 'target/test-venv/bin/python'), [join(root, 'scripts/gif.py'), frames, out], { stdio: 'inherit' });
} finally {
  rmSync(frames, { recursive: true, force: true });
}
