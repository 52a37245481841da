// What a host runs out of, and clients that only begin: clear words for those that are refused, and nothing for the others to notice.

import { execFileSync } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sleep, until } from '../support/wait.mjs';
import { withScene } from './scene.mjs';
import { Goals, quantile, round, say } from './report.mjs';
import { holdingsOf, udpPorts } from './truth.mjs';
import { Watch } from './watch.mjs';

const SESSIONS = 2;
/** The longest that an unharmed session may be without boxes: frames come every 0.1 s. */
const UNNOTICED_S = 2;

/** Runs `use` beside sessions that must not notice; judges that they have not. `expected` are lines of logs that it causes. */
async function unnoticed({ expected, ...options }, goals, use) {
  const watch = new Watch();
  let figures;
  await withScene(options, async (scene) => {
    // A machine that is busy may refuse one at first.
    const publisher = scene.publish(scene.whip, ['--sessions', SESSIONS, '--again'], (line) => watch.take('', line));
    const flowing = (since) => until('both sessions give boxes', 90, () => ['0', '1'].every((session) => watch.isAnswered(session, since)));
    await flowing(0);
    const begun = Date.now();
    figures = await use(scene, publisher, flowing);
    await flowing(Date.now());
    figures.others_longest_gap_s = round(longestGap(watch, begun));
    const ended = publisher.all('over').filter(({ at }) => at / 1000 >= begun);
    goals.none('sessions of others that ended', ended.map(({ why }) => why));
    goals.none('predictions of another frame', watch.wrong);
    goals.none('predictions twice or out of order', watch.disorder);
    goals.none('ends of processes that nobody caused, and log lines that should not be', scene.alarms.filter((line) => !expected?.test(line)));
  });
  return figures;
}

/** Seconds between two predictions, of whichever session. */
function longestGap(watch, since) {
  const times = watch.latencies.map(({ at }) => at).filter((at) => at >= since);
  return Math.max(...times.slice(1).map((at, index) => at - times[index]), 0) / 1000;
}

/** All ports that sessions may have are taken, by sessions and by a program that is not ours. */
export async function ports() {
  const goals = new Goals();
  const first = 14_000;
  const range = [first, first + SESSIONS + 1];
  const stranger = dgram.createSocket('udp4').bind(range[1]);
  await once(stranger, 'listening');
  const figures = await unnoticed({ inLauncher: { SIGHTLINE_UDP_PORTS: range.join('-') } }, goals, async (scene) => {
    const third = scene.publish(scene.whip);
    await third.tells('connected', 30);
    const refused = scene.publish(scene.whip);
    const { said } = await refused.tells('over', 30);
    say(`  refused with: ${said}`);
    goals.none('refusals without 503 and the reason', /: 503 .*too-many-sessions.*SIGHTLINE_UDP_PORTS/.test(said) ? [] : [said]);
    await third.stop();
    // For some seconds its launcher is believed to be full.
    const next = scene.publish(scene.whip, ['--again']);
    await next.tells('prediction', 30);
    await next.stop();
    return { refused_with: said };
  });
  stranger.close();
  goals.atMost('longest gap of others, s', figures.others_longest_gap_s, UNNOTICED_S);
  return { figures, goals };
}

/** Offers without anything behind them, as many as a hurried client can send: all that was begun is gone by itself. */
export async function posts({ count = 1000 }) {
  const goals = new Goals();
  const expected = /no network path to the peer works/;
  const figures = await unnoticed({ expected }, goals, async (scene, publisher) => {
    const before = await idle(scene);
    const offer = fakeOffer();
    const answers = {};
    let waits = 0;
    const post = async () => {
      const response = await fetch(scene.whip, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: offer }).catch((error) => error);
      const status = response.status ?? `${response.cause?.code ?? response.message}`;
      answers[status] = (answers[status] ?? 0) + 1;
      if ([429, 503].includes(status) && !response.headers.get('Retry-After')) waits += 1;
      await response.text?.();
    };
    const begun = Date.now();
    for (let sent = 0; sent < count; sent += 20) await Promise.all(Array.from({ length: 20 }, post));
    const ended = Date.now();
    say(`  answers: ${JSON.stringify(answers)} in ${round((ended - begun) / 1000)} s`);
    goals.none('answers that are neither 201, 429 nor 503', Object.keys(answers).filter((status) => !['201', '429', '503'].includes(status)));
    goals.atMost('refusals without Retry-After', waits, 0);
    await until('all that was begun is gone', 60, async () => (await idle(scene)).processes <= before.processes && udpPorts().length <= before.udp);
    const gone = (Date.now() - ended) / 1000;
    goals.atMost('seconds until all that was begun is gone', round(gone), 45);
    const after = await idle(scene);
    goals.atMost('launcher: descriptors more', after.launcher.descriptors - before.launcher.descriptors, 0);
    goals.atMost('signaling: descriptors more, beyond the connections of its clients', after.signaling.descriptors - before.signaling.descriptors, 20);
    return { posts: count, answers, gone_s: round(gone), before, after };
  });
  return { figures, goals };
}

async function idle(scene) {
  const { launcher, signaling } = scene.daemons;
  return { processes: scene.launcher.processes().length, udp: udpPorts().length, launcher: holdingsOf(launcher), signaling: holdingsOf(signaling) };
}

/** The offer of a publisher that nobody will hear of again. */
function fakeOffer() {
  const lines = [
    'v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0', 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'c=IN IP4 0.0.0.0', 'a=mid:0',
    'a=ice-ufrag:nobody', 'a=ice-pwd:isthereatallnotthisonenorthatone', 'a=setup:actpass', 'a=rtcp-mux', 'a=sendonly',
    `a=fingerprint:sha-256 ${Array.from({ length: 32 }, () => 'AB').join(':')}`, 'a=rtpmap:96 VP8/90000', 'a=candidate:1 1 udp 2130706431 10.79.255.1 9 typ host',
  ];
  return `${lines.join('\r\n')}\r\n`;
}

/** The disk is full to the last byte, for temporary files and for what is logged. */
export async function disk() {
  const goals = new Goals();
  const folder = '/tmp/full';
  mkdirSync(folder, { recursive: true });
  // Of this row's own mount namespace: gone with it.
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', folder]);
  const env = { TMPDIR: folder, XDG_CACHE_HOME: folder, GST_REGISTRY: join(folder, 'registry.bin') };
  const figures = await unnoticed({ env, logTo: join(folder, 'log') }, goals, async (scene) => {
    fill(join(folder, 'rest'));
    const left = Number(execFileSync('df', ['--output=avail', folder], { encoding: 'utf8' }).split('\n')[1]);
    goals.atMost('KiB that were left on the disk', left, 0);
    const late = scene.publish(scene.whip);
    await late.tells('prediction', 60);
    await late.stop();
    await scene.ready(10);
    return { kib_left: left };
  });
  goals.atMost('longest gap of others, s', figures.others_longest_gap_s, UNNOTICED_S);
  return { figures, goals };
}

function fill(path) {
  for (const size of [1 << 16, 1 << 12, 1]) {
    for (;;) {
      try {
        writeFileSync(path, Buffer.alloc(size), { flag: 'a' });
      } catch (error) {
        if (error.code !== 'ENOSPC') throw error;
        break;
      }
    }
  }
}

/** The host's clock is set, by an hour and back: as by an operator, or by NTP after a long sleep. */
export async function clock() {
  const goals = new Goals();
  const figures = await unnoticed({ clock: true }, goals, async (scene, publisher, flowing) => {
    const seen = {};
    for (const [name, seconds] of [['an hour later', 3600], ['as before', 0], ['an hour earlier', -3600]]) {
      const at = Date.now();
      scene.setClock(seconds);
      await sleep(200);
      await flowing(at);
      seen[name] = round((Date.now() - at) / 1000);
      await sleep(8000);
      await flowing(Date.now());
    }
    return { boxes_again_after_s: seen };
  });
  goals.atMost('seconds until boxes of later frames, worst', Math.max(...Object.values(figures.boxes_again_after_s)), 5);
  return { figures, goals };
}
