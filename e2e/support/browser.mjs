// A real browser, with a file as its camera.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from '../../ui/node_modules/playwright-core/index.mjs';
import { until } from './wait.mjs';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--allow-loopback-in-peer-connection',
];

/**
 * Runs `use` with a browser that has never been used before.
 * `camera`: a y4m file; `cameras`: how many there are without one; `refuse`: the user says no to the camera; `flags`: more for
 * the browser;
 * `executable`: a program that starts the browser, where it is not to be started here. A failure shows what the pages wrote to their consoles.
 */
export async function withBrowser({ camera, cameras = 1, refuse = false, flags = [], executable }, use) {
  const folder = mkdtempSync(join(tmpdir(), 'sightline-browser-'));
  // What makes our own programs strict would end the browser, which is not ours to mend.
  const { G_DEBUG: _, ...env } = process.env;
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: executable ?? (process.env.CHROMIUM || '/usr/bin/chromium'),
    args: [
      ...FLAGS,
      `--use-fake-device-for-media-stream=device-count=${cameras}`,
      refuse ? '--deny-permission-prompts' : '--use-fake-ui-for-media-stream',
      ...(camera ? [`--use-file-for-fake-video-capture=${camera}`] : []),
      ...flags,
    ],
    env,
    viewport: { width: 1200, height: 800 },
    timeout: 30_000,
  });
  const lines = [];
  context.on('console', (message) => lines.push(`${message.type()}: ${message.text()}`));
  context.on('weberror', (error) => lines.push(`uncaught: ${error.error()}`));
  try {
    await use(context);
  } catch (error) {
    console.error(`--- the browser's console\n${lines.join('\n')}\n--- end of the console`);
    throw error;
  } finally {
    await context.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Sightline's page, as a person sees it and as a script reads it. */
export class Visit {
  constructor(page) {
    this.page = page;
  }

  /** `query` as in `source=test&pipeline=…`. */
  static async open(context, system, query) {
    const page = await context.newPage();
    await page.goto(`${system.url}/?${query}`, { timeout: 10_000 });
    await page.waitForFunction(() => window.sightline, undefined, { timeout: 5000 });
    return new Visit(page);
  }

  async start() {
    await this.page.getByTestId('start').click({ timeout: 5000 });
  }

  async stop() {
    await this.page.getByTestId('stop').click({ timeout: 5000 });
    await this.reaches('idle', 5);
  }

  state() {
    return this.page.evaluate(() => window.sightline.state);
  }

  async reaches(name, seconds) {
    return until(`the page's state is ${name}`, seconds, async () => {
      const state = await this.state();
      if (state.name === 'failed' && name !== 'failed') throw new Error(`the page says: ${await this.error()}`);
      return state.name === name && state;
    });
  }

  text(id) {
    return this.page.getByTestId(id).innerText({ timeout: 1000 });
  }

  /** What the page says went wrong; an empty text if it says nothing. */
  async error() {
    const box = this.page.getByTestId('error');
    return (await box.isVisible()) ? box.innerText() : '';
  }

  /** The entries as they came; from `first` on, counted over the whole visit. */
  predictions(first = 0) {
    return this.page.evaluate((from) => window.sightline.predictions.slice(from), first);
  }

  count() {
    return this.page.evaluate(() => window.sightline.predictions.length);
  }

  /** Waits for `count` more predictions that hold at least one object, and gives them. */
  async boxes(count, seconds) {
    const first = await this.count();
    return until(`${count} more predictions with boxes in the page`, seconds, async () => {
      const found = (await this.predictions(first)).filter(({ pcount }) => Number(pcount) > 0);
      return found.length >= count && found;
    });
  }
}
