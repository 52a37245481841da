import { defineConfig } from 'vitest/config';

const daemon = 'http://127.0.0.1:9000';

export default defineConfig({
  // Relative, so that the page also works below a path of a reverse proxy.
  base: './',
  build: {
    target: 'es2022',
    rollupOptions: {
      input: { page: 'index.html', sightline: 'src/client/index.ts' },
      // The client keeps its name and its exports: other pages import it.
      preserveEntrySignatures: 'exports-only',
      output: { entryFileNames: ({ name }) => (name === 'sightline' ? '[name].js' : 'assets/[name]-[hash].js') },
    },
  },
  server: {
    // With the page's own host: the server takes no other origin's.
    proxy: { '/api': { target: daemon, changeOrigin: false }, '/ws': { target: daemon, ws: true, changeOrigin: false } },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
