import type { Prediction } from './prediction';
import type { Candidate, ClientMessage, IceServer, Params, Problem, ServerMessage } from './protocol';

/**
 * A session as a pure state machine: `(state, event, now) → state + commands`. Sockets, the peer connection, the
 * source and the timer belong to whoever runs the commands (client.ts).
 */

/** The last two are not of this page: what the server fetches itself (remote.ts), and another session's picture. */
export type SourceKind = 'camera' | 'screen' | 'file' | 'test' | 'address' | 'watch';

/** What the user asked for; kept so that a lost connection can be made anew. */
export interface Intent {
  readonly source: SourceKind;
  readonly pipeline: string;
  readonly params: Params;
  /** The session to watch. */
  readonly session?: string;
  /** Of what the server fetches itself: its picture can be watched. */
  readonly hasPicture?: boolean;
}

/** How far a connection has come: each step waits for the other side. */
export type Step = 'opening' | 'joining' | 'starting' | 'negotiating';

export type State =
  | { readonly name: 'idle' }
  | { readonly name: 'asking'; readonly intent: Intent }
  | {
      readonly name: 'connecting';
      readonly intent: Intent;
      readonly step: Step;
      /** Connections lost or refused in a row. */
      readonly attempt: number;
      readonly iceServers: readonly IceServer[];
    }
  | {
      readonly name: 'live';
      readonly intent: Intent;
      readonly attempt: number;
      /** The network is interrupted, and may come back by itself. */
      readonly wavering: boolean;
      /** The server's word about a fault that leaves the session alive, and when it came. */
      readonly notice?: Problem & { readonly at: number };
    }
  | {
      readonly name: 'reconnecting';
      readonly intent: Intent;
      readonly attempt: number;
      readonly cause: Problem;
      readonly retryAt: number;
    }
  | { readonly name: 'failed'; readonly problem: Problem };

export type PeerState = 'connected' | 'disconnected' | 'failed';

export type Event =
  | { readonly type: 'start'; readonly intent: Intent }
  | { readonly type: 'stop' }
  | { readonly type: 'source-ready' }
  | { readonly type: 'source-failed'; readonly problem: Problem }
  | { readonly type: 'message'; readonly message: ServerMessage }
  | { readonly type: 'socket-closed' }
  | { readonly type: 'peer'; readonly state: PeerState }
  | { readonly type: 'answered'; readonly sdp: string }
  | { readonly type: 'gathered'; readonly candidate: Candidate }
  | { readonly type: 'negotiation-failed'; readonly message: string }
  | { readonly type: 'timer' }
  | { readonly type: 'retry-now' };

export type Command =
  | { readonly do: 'open-source'; readonly kind: SourceKind }
  | { readonly do: 'close-source' }
  | { readonly do: 'open-link' }
  /** Socket, peer connection and clock, whichever there are. */
  | { readonly do: 'close-link' }
  | { readonly do: 'send'; readonly message: ClientMessage }
  | { readonly do: 'accept-offer'; readonly sdp: string; readonly iceServers: readonly IceServer[] }
  | { readonly do: 'add-candidate'; readonly candidate: Candidate }
  | { readonly do: 'start-clock' }
  | { readonly do: 'clock'; readonly t0: number; readonly serverTimeUs: number }
  | { readonly do: 'deliver'; readonly prediction: Prediction }
  /** There is one timer: setting it replaces it. */
  | { readonly do: 'set-timer'; readonly ms: number }
  | { readonly do: 'clear-timer' };

export interface Transition {
  readonly state: State;
  readonly commands: readonly Command[];
}

type Connecting = Extract<State, { name: 'connecting' }>;
type Live = Extract<State, { name: 'live' }>;

/** A connection that is not live after so long never will be. */
export const CONNECT_LIMIT_MS = 20_000;

/** Faults that pass by themselves, worth another try once a session has been live. */
const PASSING = new Set(['no-launcher', 'no-worker', 'too-many-sessions', 'rate-limited', 'server-stopping']);
/** What was under way when a notice came may still arrive: only later predictions prove the fault gone. */
const NOTICE_MS = 2000;
/** Ends of a live session that are none: a restarted server, or another launcher, goes on with it, as after a lost connection. */
const LOSING = new Set(['server-stopping', 'no-launcher']);
/** Errors that end a live session; any other is shown while it goes on. */
const ENDING = new Set(['session-failed', 'session-ended', 'unknown-tenant', 'unknown-pipeline', 'invalid-param']);

export const IDLE: State = { name: 'idle' };

export function reduce(state: State, event: Event, now: number): Transition {
  if (event.type === 'stop') return { state: IDLE, commands: state.name === 'idle' ? [] : RELEASE };
  if (event.type === 'source-failed' && 'intent' in state) return fail(event.problem);
  switch (state.name) {
    case 'idle':
    case 'failed':
      return event.type === 'start' ? ask(event.intent) : stay(state);
    case 'asking':
      return event.type === 'source-ready' ? connect(state.intent, 0) : stay(state);
    case 'connecting':
      return whileConnecting(state, event, now);
    case 'live':
      return whileLive(state, event, now);
    case 'reconnecting':
      return event.type === 'timer' || event.type === 'retry-now' ? connect(state.intent, state.attempt) : stay(state);
  }
}

function whileConnecting(state: Connecting, event: Event, now: number): Transition {
  switch (event.type) {
    case 'message':
      return heardConnecting(state, event.message, now);
    case 'answered':
      return stay(state, { do: 'send', message: { type: 'SdpOfferAnswer', data: { sdp: event.sdp } } });
    case 'gathered':
      return stay(state, { do: 'send', message: { type: 'IceCandidate', data: event.candidate } });
    case 'peer':
      if (event.state === 'connected') {
        const { intent, attempt } = state;
        return { state: { name: 'live', intent, attempt, wavering: false }, commands: [{ do: 'clear-timer' }] };
      }
      return event.state === 'failed' ? giveUp(state, { id: 'ice-failed', message: '' }, now) : stay(state);
    case 'negotiation-failed':
      return fail({ id: 'negotiation-failed', message: event.message });
    case 'socket-closed':
      return lose(state, { id: 'server-gone', message: '' }, now);
    case 'timer':
      return giveUp(state, { id: state.step === 'negotiating' ? 'ice-failed' : 'no-answer', message: '' }, now);
    default:
      return stay(state);
  }
}

function heardConnecting(state: Connecting, message: ServerMessage, now: number): Transition {
  const { pipeline, params } = state.intent;
  switch (message.type) {
    case 'Welcome': {
      if (state.step !== 'opening') return stay(state);
      const data = { tenantId: 'defaultTenant', pipeline, params, protocol: 2 } as const;
      return { state: { ...state, step: 'joining' }, commands: [{ do: 'send', message: { type: 'Join', data } }] };
    }
    case 'SessionState':
      if (message.phase === 'ended' || message.phase === 'failed') return giveUp(state, ending(message), now);
      if (message.phase !== 'starting') return stay(state);
      return { state: { ...state, step: 'starting', iceServers: message.iceServers }, commands: [{ do: 'start-clock' }] };
    case 'SdpOffer':
      return {
        state: { ...state, step: 'negotiating' },
        commands: [{ do: 'accept-offer', sdp: message.sdp, iceServers: state.iceServers }],
      };
    case 'Error':
    case 'JoinError':
      return giveUp(state, message.problem, now);
    default:
      return heardAlways(state, message);
  }
}

function whileLive(state: Live, event: Event, now: number): Transition {
  switch (event.type) {
    case 'message':
      return heardLive(state, event.message, now);
    case 'gathered':
      return stay(state, { do: 'send', message: { type: 'IceCandidate', data: event.candidate } });
    case 'answered':
      return stay(state, { do: 'send', message: { type: 'SdpOfferAnswer', data: { sdp: event.sdp } } });
    case 'peer':
      if (event.state === 'failed') return lose(state, { id: 'ice-failed', message: '' }, now);
      return stay({ ...state, wavering: event.state === 'disconnected' });
    case 'negotiation-failed':
      return fail({ id: 'negotiation-failed', message: event.message });
    case 'socket-closed':
      return lose(state, { id: 'server-gone', message: '' }, now);
    default:
      return stay(state);
  }
}

function heardLive(state: Live, message: ServerMessage, now: number): Transition {
  switch (message.type) {
    case 'Prediction': {
      const deliver = { do: 'deliver', prediction: message.prediction } as const;
      const { intent, wavering, notice } = state;
      const outdated = notice !== undefined && now - notice.at >= NOTICE_MS;
      if (state.attempt === 0 && !outdated) return stay(state, deliver);
      // Boxes prove that the whole way works: the next fault starts a new count.
      return stay({ name: 'live', intent, attempt: 0, wavering, ...(notice && !outdated && { notice }) }, deliver);
    }
    case 'SessionState': {
      if (message.phase !== 'ended' && message.phase !== 'failed') return stay(state);
      const problem = ending(message);
      return LOSING.has(problem.id) ? lose(state, problem, now) : fail(problem);
    }
    case 'SdpOffer':
      return stay(state, { do: 'accept-offer', sdp: message.sdp, iceServers: [] });
    case 'Error':
    case 'JoinError':
      return ENDING.has(message.problem.id) ? fail(message.problem) : stay({ ...state, notice: { ...message.problem, at: now } });
    default:
      return heardAlways(state, message);
  }
}

function heardAlways(state: Connecting | Live, message: ServerMessage): Transition {
  switch (message.type) {
    case 'IceCandidate':
      return stay(state, { do: 'add-candidate', candidate: message.candidate });
    case 'Stats':
      return stay(state, { do: 'clock', t0: message.t0, serverTimeUs: message.serverTimeUs });
    case 'Prediction':
      return stay(state, { do: 'deliver', prediction: message.prediction });
    default:
      return stay(state);
  }
}

/** Everything that a session holds. */
const RELEASE: readonly Command[] = [{ do: 'clear-timer' }, { do: 'close-link' }, { do: 'close-source' }];

function stay(state: State, ...commands: Command[]): Transition {
  return { state, commands };
}

function ask(intent: Intent): Transition {
  return { state: { name: 'asking', intent }, commands: [{ do: 'open-source', kind: intent.source }] };
}

function connect(intent: Intent, attempt: number): Transition {
  return {
    state: { name: 'connecting', intent, step: 'opening', attempt, iceServers: [] },
    commands: [{ do: 'set-timer', ms: CONNECT_LIMIT_MS }, { do: 'open-link' }],
  };
}

function fail(problem: Problem): Transition {
  return { state: { name: 'failed', problem }, commands: RELEASE };
}

/** The source stays open: the user is not asked for the camera twice. */
function lose({ intent, attempt }: Connecting | Live, cause: Problem, now: number): Transition {
  const ms = retryDelay(attempt);
  return {
    state: { name: 'reconnecting', intent, attempt: attempt + 1, cause, retryAt: now + ms },
    commands: [{ do: 'close-link' }, { do: 'set-timer', ms }],
  };
}

/** A first try that is refused is the user's to judge; a later one meets a server that may still be coming up. */
function giveUp(state: Connecting, problem: Problem, now: number): Transition {
  const passing = PASSING.has(problem.id) || problem.id === 'ice-failed' || problem.id === 'no-answer';
  return state.attempt > 0 && passing ? lose(state, problem, now) : fail(problem);
}

/** 1, 2, 4, 8, then always 10 seconds. */
export function retryDelay(attempt: number): number {
  return Math.min(1000 * 2 ** attempt, 10_000);
}

function ending(message: Extract<ServerMessage, { type: 'SessionState' }>): Problem {
  return message.reason ?? { id: message.phase === 'ended' ? 'session-ended' : 'session-failed', message: '' };
}
