/** The JavaScript client for other pages: see docs/javascript.md. */
export { SightlineSession, type Found, type SessionEvents, type SessionOptions } from './sightline-session';
export type { Box, Detection } from './prediction';
export type { TokenSource } from './token';
export type { State } from './session';
