// `make install`: what it installs is found where it is looked for, without settings, and `make uninstall` leaves nothing.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { binaries, root } from './support/system.mjs';

const SERVICES = ['sightline-signaling.service', 'sightline-launcher.service'];
/** What systemd's own measure of exposure may say at most, of 100: 20 and less is "OK". */
const EXPOSURE = '20';

function temporaryFolder(t) {
  const folder = mkdtempSync(join(tmpdir(), 'sightline-install-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function make(target, variables) {
  const settings = Object.entries({ PROGRAMS: binaries(), ...variables }).map(([name, value]) => `${name}=${value}`);
  execFileSync('make', ['--silent', target, ...settings], { cwd: root, stdio: 'pipe' });
}

/** Nothing that says where our parts are. */
function bareEnvironment(folder, more = {}) {
  const { PATH, LANG = 'C.UTF-8' } = process.env;
  return { PATH, LANG, HOME: folder, GST_REGISTRY: join(folder, 'registry.bin'), ...more };
}

const files = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true, encoding: 'utf8' }).filter((entry) => !entry.isDirectory());

test('as a package, GStreamer finds the plugins in its own folder, and they find ONNX Runtime', (t) => {
  const folder = temporaryFolder(t);
  const root = join(folder, 'root');
  make('install', { PREFIX: '/usr', DESTDIR: root });
  const systemPlugins = execFileSync('pkg-config', ['--variable=pluginsdir', 'gstreamer-1.0'], { encoding: 'utf8' }).trim();
  // As if `root` lay over this system.
  const env = bareEnvironment(folder, { GST_PLUGIN_SYSTEM_PATH: `${join(root, systemPlugins)}:${systemPlugins}` });
  const inspect = (name) => execFileSync('gst-inspect-1.0', [name], { env, cwd: folder, encoding: 'utf8' });
  for (const name of ['yoloxdetect', 'overlay', 'objecttrack', 'redisstreamsink', 'rtpvideodec']) {
    assert.match(inspect(name), new RegExp(`Filename +${root}`), name);
  }
  const model = join(root, 'usr/share/sightline/models/blobs.onnx');
  const line = ['videotestsrc', 'num-buffers=2', '!', 'yoloxdetect', `model=${model}`, '!', 'overlay', '!', 'fakesink'];
  execFileSync('gst-launch-1.0', ['-q', ...line], { env, cwd: folder, stdio: 'pipe' });
  make('uninstall', { PREFIX: '/usr', DESTDIR: root });
  assert.deepEqual(files(root).map(({ name }) => name), ['environment'], 'only settings stay');
});

test('as a package without plugins, as images take it, the launcher’s own elements find ONNX Runtime', (t) => {
  const folder = temporaryFolder(t);
  const [root, programs] = [join(folder, 'root'), join(folder, 'programs')];
  mkdirSync(programs);
  for (const name of ['signaling', 'pipeline-launcher', 'libonnxruntime.so']) symlinkSync(realpathSync(join(binaries(), name)), join(programs, name));
  make('install', { PREFIX: '/usr', DESTDIR: root, PROGRAMS: programs });
  const worker = join(root, 'usr/share/sightline/pipelines/yolox-worker.toml');
  execFileSync(join(root, 'usr/bin/pipeline-launcher'), ['check', '--deny-warnings', worker], { env: bareEnvironment(folder), cwd: folder, stdio: 'pipe' });
  make('uninstall', { PREFIX: '/usr', DESTDIR: root });
  assert.deepEqual(files(root).map(({ name }) => name), ['environment'], 'only settings stay');
});

test('an installed program finds pipelines, models and the page from any folder', (t) => {
  const folder = temporaryFolder(t);
  const prefix = join(folder, 'prefix');
  make('install', { PREFIX: prefix, SYSCONFDIR: join(folder, 'etc') });
  const env = bareEnvironment(folder);
  const launcher = (...args) => execFileSync(join(prefix, 'bin/pipeline-launcher'), args, { env, cwd: folder, encoding: 'utf8' });
  assert.match(launcher('list'), /webrtc-detect/);
  launcher('check', '--deny-warnings', join(prefix, 'share/sightline/pipelines'));
  const help = execFileSync(join(prefix, 'bin/signaling'), ['--help'], { env, cwd: folder, encoding: 'utf8' });
  assert.match(help, /healthcheck/);
  for (const path of ['share/sightline/ui/index.html', 'share/sightline/models/models.toml']) {
    assert.ok(existsSync(join(prefix, path)), path);
  }
});

test('the services are what systemd takes, and are locked up well', (t) => {
  if (spawnSync('systemd-analyze', ['--version']).status !== 0) return t.skip('systemd-analyze is not installed');
  const folder = temporaryFolder(t);
  const prefix = join(folder, 'prefix');
  make('install', { PREFIX: prefix, SYSCONFDIR: join(folder, 'etc') });
  for (const service of SERVICES) {
    const unit = join(prefix, 'lib/systemd/system', service);
    const verified = spawnSync('systemd-analyze', ['verify', '--man=no', unit], { encoding: 'utf8' });
    assert.equal(verified.status, 0, verified.stderr);
    const ours = verified.stderr.split('\n').filter((line) => line.includes('sightline'));
    assert.deepEqual(ours, []);
    const judged = spawnSync('systemd-analyze', ['security', '--offline=yes', `--threshold=${EXPOSURE}`, unit], { encoding: 'utf8' });
    assert.equal(judged.status, 0, judged.stdout.split('\n').slice(-3).join('\n'));
  }
});
