import { defineConfig } from 'vitest/config';

const daemon = 'http://127.0.0.1:9000';

export default defineConfig({
  // Relative, so that the page also works below a path of a reverse proxy.
  base: './',
  build: { target: 'es2022' },
  server: {
    proxy: { '/api': daemon, '/ws': { target: daemon, ws: true } },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
