// Firefox, driven by WebDriver BiDi.

import puppeteer from '../../ui/node_modules/puppeteer-core/lib/esm/puppeteer/puppeteer-core.js';
import { works } from './tools.mjs';

const FIREFOX = process.env.FIREFOX || '/usr/bin/firefox-esr';

export function hasFirefox(t) {
  return works(t, 'Firefox is missing: apt-get install firefox-esr', FIREFOX, '--version');
}

/** Runs `use` with a Firefox that has never been used before. A failure shows what its pages wrote to their consoles. */
export async function withFirefox(use) {
  const { G_DEBUG: _, ...env } = process.env;
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: FIREFOX,
    headless: true,
    timeout: 60_000,
    env,
    // Without it, candidates of the loopback are left out: there is nothing else in a machine without a network.
    extraPrefsFirefox: { 'media.peerconnection.ice.loopback': true },
  });
  const lines = [];
  try {
    const page = await browser.newPage();
    page.on('console', (message) => lines.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => lines.push(`uncaught: ${error}`));
    await use(page);
  } catch (error) {
    console.error(`--- the browser's console\n${lines.join('\n')}\n--- end of the console`);
    throw error;
  } finally {
    await browser.close();
  }
}
