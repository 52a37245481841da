// Frames that no worker can process, one in a hundred: each is given up and described, and the others' boxes come as before.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sleep, until } from '../support/wait.mjs';
import { FPS, withScene } from './scene.mjs';
import { Goals, quantile, randomness, round } from './report.mjs';
import { Watch } from './watch.mjs';

const SESSIONS = 4;
const SHARE = 0.01;
const SETTLE_MS = 5000;
const GIVEN_UP_S = 5;

const HUGE = 'a JPEG that claims 4096×4096';

/** What is wrong with a frame: the fields that are not as they should be, and the picture. */
const POISONS = {
  'an empty picture': () => ({ img: '' }),
  'no picture': () => ({ img: undefined }),
  'a picture that is no JPEG': (jpeg, random) => ({ img: noise(random, 5000) }),
  'a JPEG without a frame header': (jpeg) => ({ img: jpeg.subarray(0, 20) }),
  'a JPEG that measures 65000×65000': (jpeg) => ({ img: withSize(jpeg, 65000) }),
  // Such a one can be decoded, and has an answer: nothing is to be described.
  [HUGE]: (jpeg) => ({ img: withSize(jpeg, 4096) }),
  'a JPEG whose tables are noise': (jpeg, random) => ({ img: Buffer.concat([jpeg.subarray(0, 25), noise(random, 200), jpeg.subarray(225)]) }),
  'no session': () => ({ participantId: undefined }),
  'a session id that is none': () => ({ participantId: '../../etc/passwd' }),
  'a timestamp that is no number': () => ({ timestamp: 'soon' }),
  'a seq that is negative': () => ({ seq: '-1' }),
  'no fields that are known': () => ({ participantId: undefined, timestamp: undefined, img: undefined, what: 'ever' }),
};

export async function poison({ minutes = 1, seed }) {
  const random = randomness(seed);
  const goals = new Goals();
  const watch = new Watch();
  let figures;
  await withScene({}, async (scene) => {
    const jpeg = picture(scene);
    const publisher = scene.publish(scene.whip, ['--sessions', SESSIONS, '--again'], (line) => watch.take('', line));
    const all = Array.from({ length: SESSIONS }, (_, session) => `${session}`);
    await until('all sessions give boxes', 90, () => all.every((session) => watch.isAnswered(session, 0)));
    await sleep(SETTLE_MS);
    const begun = Date.now();
    const span = minutes * 60_000;
    const before = await rate(watch, () => sleep(span));
    const letters = await scene.redis((redis) => follow(redis));
    const given = [];
    const during = await rate(watch, () => scene.redis((redis) => give(redis, random, jpeg, span, given, letters)));
    await sleep(GIVEN_UP_S * 1000);
    await scene.redis((redis) => letters.look(redis));
    figures = { poisons: given.length, predictions_s: { before: round(before), during: round(during) }, given_up_s: {} };
    const left = await scene.redis((redis) => redis.text('XRANGE', 'images', '-', '+'));
    goals.none('poisons that are still in the stream', left.filter(([id]) => given.some((one) => one.id === id)).map(([id]) => id));
    const times = given
      .filter(({ what }) => what !== HUGE)
      .map(({ id, at, what }) => ({ what, seconds: letters.seen.has(id) ? (letters.seen.get(id) - at) / 1000 : Infinity }));
    for (const what of Object.keys(POISONS).filter((one) => one !== HUGE)) {
      figures.given_up_s[what] = round(quantile(times.filter((one) => one.what === what).map(({ seconds }) => seconds), 1));
    }
    goals.none('poisons that were not described within 5 s', times.filter(({ seconds }) => seconds > GIVEN_UP_S).map(({ what, seconds }) => `${what}: ${seconds}`));
    figures.worker_restarts = scene.restarts;
    const ended = publisher.all('over').filter(({ at }) => at / 1000 >= begun);
    goals.none('sessions of others that ended', ended.map(({ why }) => why));
    goals.atMost('restarts of workers', figures.worker_restarts, 1);
    goals.atLeast('others’ predictions a second, as a share of those before', round(during / before), 0.9);
    goals.none('predictions of another frame', watch.wrong);
    goals.none('predictions twice or out of order', watch.disorder);
    goals.none('log lines that should not be', scene.alarms);
  });
  return { figures, goals };
}

/** A picture as sessions send them. */
function picture(scene) {
  const path = join(scene.folder, 'picture.jpg');
  execFileSync('gst-launch-1.0', ['-q', ...`videotestsrc num-buffers=1 ! video/x-raw,width=416,height=234 ! jpegenc ! filesink location=${path}`.split(' ')]);
  return readFileSync(path);
}

function noise(random, bytes) {
  return Buffer.from(Array.from({ length: bytes }, () => Math.floor(random() * 256)));
}

/** The same JPEG, whose frame header says that it is a square of that side. */
function withSize(jpeg, side) {
  const changed = Buffer.from(jpeg);
  const header = changed.indexOf(Buffer.from([0xff, 0xc0]));
  changed.writeUInt16BE(side, header + 5);
  changed.writeUInt16BE(side, header + 7);
  return changed;
}

/** Predictions a second while something happens. */
async function rate(watch, happen) {
  const [was, begun] = [watch.predictions, Date.now()];
  await happen();
  return ((watch.predictions - was) * 1000) / (Date.now() - begun);
}

/** One poison for each hundred frames, of every kind in turn; `given` learns their entries. */
async function give(redis, random, jpeg, span, given, letters) {
  const kinds = Object.entries(POISONS);
  const pause = 1000 / (SESSIONS * FPS * SHARE);
  const end = Date.now() + span;
  for (let number = 0; Date.now() < end; number++) {
    const [what, make] = kinds[number % kinds.length];
    const now = String(Date.now() * 1000);
    const right = { participantId: 'poison', timestamp: '1', v: '1', seq: '1', captured: now, expires: String(Number(now) + 60e6), img: jpeg };
    const fields = Object.entries({ ...right, ...make(jpeg, random) }).filter(([, value]) => value !== undefined);
    const id = String(await redis.text('XADD', 'images', '*', ...fields.flat()));
    given.push({ id, what, at: Date.now() });
    const next = Date.now() + pause;
    while (Date.now() < next) {
      await letters.look(redis);
      await sleep(100);
    }
  }
}

/** What is described in `images:dead` from now on: entry → when it was seen. */
async function follow(redis) {
  const newest = await redis.text('XREVRANGE', 'images:dead', '+', '-', 'COUNT', 1);
  let last = newest.length > 0 ? newest[0][0] : '0';
  const seen = new Map();
  const look = async (client) => {
    for (const [letter, fields] of await client.text('XRANGE', 'images:dead', `(${last}`, '+')) {
      last = letter;
      seen.set(fields[fields.indexOf('id') + 1], Date.now());
    }
  };
  return { seen, look };
}
