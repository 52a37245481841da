// What processes of sessions and workers leave behind when their pipeline is gone, as GStreamer's tracer `leaks` counts it.

import { withScene } from './scene.mjs';
import { Goals, say } from './report.mjs';
import { lives } from './truth.mjs';
import { until } from '../support/wait.mjs';

/** What GStreamer was seen to keep for the life of a process: with a DTLS agent in each, and a connection in each session's. */
const KEPT = /^Gst(Plugin|ElementFactory|DtlsAgent|DtlsConnection) /;
const SESSIONS = 2;

export async function leaks() {
  const goals = new Goals();
  let figures;
  const env = { GST_TRACERS: 'leaks', GST_DEBUG: 'GST_TRACER:7', GST_DEBUG_NO_COLOR: '1' };
  await withScene({ env }, async (scene) => {
    const publisher = scene.publish(scene.whip, ['--sessions', SESSIONS]);
    await publisher.tells('prediction', 60);
    await publisher.stop();
    await scene.atRest();
    await scene.services.end(scene.launcher);
    await until('workers end', 30, () => ![...scene.workers.values()].some(lives));
    const left = scene.left.filter((object) => !KEPT.test(object));
    const kinds = {};
    for (const object of scene.left) kinds[object.split(' ')[0]] = (kinds[object.split(' ')[0]] ?? 0) + 1;
    figures = { sessions: SESSIONS, objects_left: left, kept_for_life: kinds };
    say(`  ${scene.left.length} objects were left, ${left.length} of them not for the process's life`);
    goals.atMost('objects that were told of at least', -scene.left.length, -1);
    goals.none('objects left behind', left);
  });
  return { figures, goals };
}
