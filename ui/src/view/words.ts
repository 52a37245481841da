import type { Problem } from '../client/protocol';
import type { Drops } from '../client/rest';
import type { SourceKind, State } from '../client/session';
import type { Shown } from './frame-view';

export interface Explanation {
  readonly what: string;
  readonly next: string;
  /** The teller's own words, where they add to ours. */
  readonly detail?: string;
}

type Words = readonly [what: string, next: string];

const PROBLEMS: Readonly<Record<string, Words>> = {
  // The source
  'camera-refused': [
    'The browser was not allowed to use the camera.',
    'Allow the camera for this page (the icon beside the address), then press Start. Or choose the test picture.',
  ],
  'no-camera': ['No camera was found.', 'Connect one and press Start, or choose a video file or the test picture.'],
  'camera-busy': [
    'The camera gives no picture: another program probably uses it.',
    'Close other programs and tabs that use the camera, then press Start.',
  ],
  'camera-failed': ['The camera could not be opened.', 'Try another camera, or choose a video file or the test picture.'],
  'insecure-origin': [
    'Browsers give no camera to a page that came over plain http from another machine.',
    'Open this page by https, or as http://localhost on the server itself. A video file or the test picture work here too.',
  ],
  'screen-refused': ['Nothing was chosen to share.', 'Press Start again and choose a screen, a window or a tab.'],
  'screen-unsupported': ['This browser cannot share the screen.', 'Use a browser on a desktop computer, or choose another source.'],
  'screen-failed': ['The screen could not be shared.', 'Check that your system lets this browser record the screen, then press Start.'],
  'no-file': ['No video file is chosen.', 'Choose a file, then press Start.'],
  'file-unsupported': [
    'This browser cannot send the picture of a file.',
    'Use Chrome, Edge or Firefox for files, or choose another source.',
  ],
  'file-unreadable': ['This file cannot be played here.', 'Choose a video in MP4 (H.264) or WebM, then press Start.'],
  'no-canvas': ['This browser cannot draw the test picture.', 'Choose another source, or use a newer browser.'],
  'source-ended': ['The video source has ended, as when a camera is unplugged or sharing is stopped.', 'Press Start to begin again.'],
  'not-here': ['This source cannot be opened by this page.', 'Choose another source, then press Start.'],

  // Sessions whose video comes from elsewhere
  completed: ['The video has come to its end.', 'Press Start to look at it again.'],
  'unknown-session': ['There is no such session, or it has ended.', 'Choose another session, then press Start.'],
  'not-watchable': [
    'This session’s pipeline sends no picture.',
    'Watch one of a pipeline that does, such as webrtc-annotated.',
  ],
  'not-a-source': ['This pipeline does not open addresses.', 'Choose another pipeline, then press Start.'],

  // The way to the server
  'server-stopping': ['The server is restarting.', 'Nothing: the page connects again by itself.'],
  'server-gone': ['The connection to the server was lost.', 'Check that the server runs and that your network is up.'],
  'no-answer': ['The server took too long to answer.', 'Look at the server’s log, then press Start to try again.'],
  'ice-failed': [
    'No way was found for the video to reach the server.',
    'A firewall may block UDP: open the server’s WebRTC ports or set up a TURN server, then press Start.',
  ],
  'negotiation-failed': [
    'Browser and server could not agree on how to send video.',
    'Try another browser; if it persists, report it with the text below.',
  ],

  // The server's own ids
  'no-launcher': [
    'The server has nothing that can run pipelines.',
    'Start a pipeline-launcher connected to the same Redis, then press Start.',
  ],
  'no-worker': [
    'No inference worker is running, so nothing looks at the video.',
    'Start a worker (SIGHTLINE_WORKERS=1 or more on a pipeline-launcher), then press Start.',
  ],
  'unknown-pipeline': ['The server has no pipeline of this name.', 'Choose another pipeline, then press Start.'],
  'invalid-param': ['The pipeline does not take these parameters.', 'Correct them, then press Start.'],
  unauthenticated: ['The server does not know who you are.', 'Ask whoever runs it for a token, give it to this page, then press Start.'],
  forbidden: ['You may not do this here.', 'Ask whoever runs the server for a token that allows it.'],
  'wrong-origin': [
    'The server does not serve this page.',
    'Open the server’s own page, or ask whoever runs it to list this page’s origin (SIGHTLINE_ORIGINS).',
  ],
  'unknown-tenant': ['The server does not know this tenant.', 'Ask whoever runs the server for access.'],
  'session-failed': ['The session failed on the server.', 'Press Start to try again; the server’s log tells more.'],
  'session-ended': ['The server ended the session.', 'Press Start to begin a new one.'],
  'bad-message': [
    'The server did not understand this page.',
    'Reload the page: it may be older than the server.',
  ],
  'bad-sdp': ['The server could not read what this browser offered.', 'Reload the page, or try another browser.'],
  'unsupported-media': [
    'The pipeline does not take this kind of video.',
    'Choose another pipeline or another browser, then press Start.',
  ],
  'too-many-sessions': ['The server is full.', 'Wait until somebody stops, then press Start.'],
  'rate-limited': ['The server has had too many requests from here.', 'Wait a minute, then press Start.'],
};

export function explain({ id, message }: Problem): Explanation {
  const words = Object.hasOwn(PROBLEMS, id) ? PROBLEMS[id] : undefined;
  if (!words) return { what: message || `The server reports “${id}”.`, next: 'Press Start to try again.' };
  const [what, next] = words;
  return message ? { what, next, detail: message } : { what, next };
}

const ASKING = {
  screen: 'Waiting for you to choose what to share…',
  address: 'Asking the server to open the address…',
  watch: 'Asking for the session’s picture…',
  camera: 'Waiting for the camera: please answer the browser’s question.',
  file: 'Opening the file…',
  test: 'Drawing the test picture…',
} as const;

const STEPS = {
  opening: 'Connecting to the server…',
  joining: 'Asking the server for a session…',
  starting: 'The server is starting the pipeline…',
  negotiating: 'Opening the way for the video…',
} as const;

/** Silence of the workers worth a word, in milliseconds. */
const QUIET_MS = 3000;

/** One sentence on how things stand. `quiet`: milliseconds since the last prediction; undefined before the first. */
export function statusOf(state: State, quiet: number | undefined): string {
  switch (state.name) {
    case 'idle':
      return 'Ready. Choose a source and press Start.';
    case 'asking':
      return ASKING[state.intent.source];
    case 'connecting':
      return STEPS[state.step];
    case 'live':
      if (state.wavering) return 'The video connection is interrupted; waiting for it to come back…';
      if (quiet === undefined) return 'Live: waiting for the first result…';
      return quiet > QUIET_MS ? 'Live, but no results are coming: are the workers running?' : 'Live.';
    case 'reconnecting':
      return 'Connection lost.';
    case 'failed':
      return state.problem.id === 'completed' ? 'Finished.' : 'Stopped, because something went wrong.';
  }
}

export function connectionOf(state: State): string {
  if (state.name === 'failed' && state.problem.id === 'completed') return 'Finished';
  const names = {
    idle: 'Not connected',
    asking: 'Opening source',
    connecting: 'Connecting',
    live: 'Live',
    reconnecting: 'Reconnecting',
    failed: 'Failed',
  } as const;
  return names[state.name];
}

/** What the user should read about a fault, if there is one. */
export function problemOf(state: State): Problem | undefined {
  switch (state.name) {
    case 'failed':
      return state.problem;
    case 'reconnecting':
      return state.cause;
    case 'live':
      return state.notice;
    default:
      return undefined;
  }
}

export function countdownOf(state: State, now: number): string {
  if (state.name !== 'reconnecting') return '';
  return `Trying again in ${Math.max(0, Math.ceil((state.retryAt - now) / 1000))} s.`;
}

export function milliseconds(value: number | undefined): string {
  return value === undefined ? '–' : `${Math.round(value)} ms`;
}

export function perSecond(value: number | undefined): string {
  return value === undefined ? '–' : `${value.toFixed(1)} /s`;
}

/** 0..1 in percent. */
export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** Bits per second, with a unit that suits. */
export function megabits(value: number | undefined): string {
  if (value === undefined) return '–';
  return value < 1e6 ? `${Math.round(value / 1000)} kbit/s` : `${(value / 1e6).toFixed(1)} Mbit/s`;
}

/** Milliseconds as "42 s", "3 min" or "2 h 5 min". */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** What the server calls it, and people. Those after the third are seldom. */
const DROPS = [
  ['replaced', 'busy'],
  ['unanswered', 'lost'],
  ['late', 'late'],
  ['redis', 'without Redis'],
  ['expired', 'expired'],
  ['dead-lettered', 'unreadable'],
] as const;

/** "3 busy · 0 lost · 1 late", and what else there is. */
export function dropsOf(dropped: Drops | undefined): string {
  if (!dropped) return '–';
  const told = DROPS.filter(([reason], i) => i < 3 || dropped[reason]);
  return told.map(([reason, words]) => `${dropped[reason] ?? '–'} ${words}`).join(' · ');
}

/** How well picture and boxes agree. */
export function skewOf(shown: Shown | undefined): string {
  if (!shown) return '–';
  if (shown.skew === undefined) return 'Frames not matched';
  const apart = Math.abs(shown.skew) === 1 ? '1 frame apart' : `${Math.abs(shown.skew)} frames apart`;
  return shown.view === 'exact' ? `${apart} · ${milliseconds(shown.delay)} behind` : `${apart} · newest picture`;
}

/** What stands on the stage before there is a picture. */
export function hintOf(kind: SourceKind): string {
  const hints: Readonly<Record<SourceKind, string>> = {
    camera: 'Your camera’s picture appears here.',
    screen: 'What you share appears here.',
    file: 'Your video appears here. The file itself is not uploaded.',
    test: 'Moving shapes appear here.',
    address: 'The server opens the address; its boxes appear here, with the picture where the pipeline sends one.',
    watch: 'The session’s picture appears here, with its boxes.',
  };
  return hints[kind];
}
