// A page of v1 is served by our services.

import { test } from 'node:test';
import { withBrowser } from './support/browser.mjs';
import { withSystem } from './support/system.mjs';
import { isServedV1, openV1Page } from './support/v1-page.mjs';
import { until } from './support/wait.mjs';

test('a client of v1 gets predictions, and no message that it does not know', { timeout: 90_000 }, async () => {
  await withSystem({ SIGHTLINE_MODEL: 'blobs' }, (system) =>
    withBrowser({}, async (context) => {
      const page = await openV1Page(context, system);
      await isServedV1(page, 'red');

      const before = system.pipelines().length;
      await page.close();
      await until('the session process is gone', 3, () => system.pipelines().length < before);
    }),
  );
});
