// The numbered camera as a file that browsers and servers can play.

import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { numberedCamera } from './numbered.mjs';

/** Writes a file of some seconds: WebM, or what another muxer makes of it. A keyframe comes every 16 frames. */
export function shapesVideo(path, muxer = 'webmmux') {
  const raw = `${path}.y4m`;
  numberedCamera(raw);
  const encode = ['!', 'y4mdec', '!', 'videoconvert', '!', 'vp8enc', 'deadline=1', 'keyframe-max-dist=16', '!', muxer, '!', 'filesink', `location=${path}`];
  const done = spawnSync('gst-launch-1.0', ['-q', 'filesrc', `location=${raw}`, ...encode], { encoding: 'utf8', timeout: 60_000 });
  rmSync(raw);
  if (done.status !== 0) throw new Error(`gst-launch-1.0 does not encode ${raw}: ${done.error ?? done.stderr}`);
}
