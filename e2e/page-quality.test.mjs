// What a page owes everybody: it is small, it can be used without seeing it well, and it stands still.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Visit, withBrowser } from './support/browser.mjs';
import { picture } from './support/data.mjs';
import { root, withSystem } from './support/system.mjs';

const POOL = { SIGHTLINE_MODEL: 'blobs', SIGHTLINE_WORKERS: '1' };
const AXE = join(root, 'ui/node_modules/axe-core/axe.min.js');
const SIZES = { desktop: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } };

test('the built page is at most 60 kB, compressed', (t) => {
  const dist = join(root, 'ui/dist');
  const files = readdirSync(dist, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
  const bytes = files.reduce((sum, { parentPath, path, name }) => sum + gzipSync(readFileSync(join(parentPath ?? path, name))).length, 0);
  t.diagnostic(`${bytes} bytes in ${files.length} files`);
  assert.ok(files.length >= 4 && bytes <= 60_000, `${bytes} bytes`);
});

for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ['light', 'dark']) {
    test(`axe finds nothing serious on a ${size}, ${colorScheme}`, { timeout: 120_000 }, () =>
      withSystem(POOL, (system) =>
        withBrowser({}, async (context) => {
          const visit = await Visit.open(context, system, 'source=test');
          const { page } = visit;
          await page.setViewportSize(viewport);
          await page.emulateMedia({ colorScheme });
          const shot = (name) => page.screenshot({ path: picture(`${name}-${size}-${colorScheme}.png`) });
          await page.getByTestId('params').locator('summary').click();
          await isAccessible(page, 'idle');
          await page.getByTestId('params').locator('summary').click();
          await visit.start();
          await visit.boxes(30, 20);
          await isAccessible(page, 'live');
          await shot('live');
          await fitsTheScreen(page);
          await page.getByRole('link', { name: 'Dashboard' }).click();
          await page.getByTestId('sessions').getByText('running').waitFor({ timeout: 10_000 });
          await isAccessible(page, 'the dashboard');
          await fitsTheScreen(page);
          await page.getByRole('link', { name: 'Session' }).click();
          await visit.stop();
          await page.getByTestId('source').selectOption('file');
          await visit.start();
          await visit.reaches('failed', 5);
          await isAccessible(page, 'failed');
        }),
      ),
    );
  }
}

test('nothing moves while a session starts, runs and ends', { timeout: 60_000 }, () =>
  withSystem(POOL, (system) =>
    withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, 'source=test');
      await visit.page.waitForTimeout(500);
      await visit.page.evaluate(() => {
        window.shifts = [];
        const observer = new PerformanceObserver((list) => window.shifts.push(...list.getEntries()));
        observer.observe({ type: 'layout-shift' });
      });
      await visit.start();
      await visit.boxes(30, 20);
      await visit.stop();
      const moved = await visit.page.evaluate(() => window.shifts.reduce((sum, { value }) => sum + value, 0));
      assert.ok(moved < 0.01, `a cumulative layout shift of ${moved}`);
    }),
  ),
);

test('all by keyboard', { timeout: 60_000 }, () =>
  withSystem(POOL, (system) =>
    withBrowser({}, async (context) => {
      const visit = await Visit.open(context, system, 'source=test');
      const { keyboard } = visit.page;
      const focused = () => visit.page.evaluate(() => document.activeElement?.dataset['testid'] ?? document.activeElement?.value ?? '');
      const tabTo = async (wanted) => {
        for (let i = 0; i < 30; i++) {
          if ((await focused()) === wanted) return;
          await keyboard.press('Tab');
        }
        assert.fail(`Tab does not lead to ${wanted}`);
      };
      await tabTo('start');
      await keyboard.press('Enter');
      await visit.boxes(5, 20);
      assert.equal(await focused(), 'stop', 'the focus stays on the button of use');
      await visit.page.locator('body').evaluate(() => document.activeElement.blur());
      await tabTo('exact');
      await keyboard.press('ArrowRight');
      assert.equal(await focused(), 'live');
      await tabTo('stop');
      await keyboard.press('Enter');
      await visit.reaches('idle', 5);
    }),
  ),
);

async function isAccessible(page, state) {
  // Not as a tag: the page's Content Security Policy lets in nothing that is not the server's.
  await page.evaluate(`${readFileSync(AXE, 'utf8')}; undefined`);
  const { violations, passes } = await page.evaluate(() => window.axe.run());
  assert.ok(passes.length > 15, `only ${passes.length} of axe's rules found something to look at`);
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  const words = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('\n')}`);
  assert.deepEqual(words, [], state);
}

/** Nothing sticks out at the side. */
async function fitsTheScreen(page) {
  const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(wide <= screen, `${wide} pixels of ${screen}`);
}
