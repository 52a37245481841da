import { describe, expect, it } from 'vitest';
import type { Prediction } from './prediction';
import { CONNECT_LIMIT_MS, IDLE, reduce, retryDelay, type Command, type Event, type Intent, type State } from './session';

const intent: Intent = { source: 'test', pipeline: 'webrtc-detect', params: { fps: 15 } };
const NOW = 1_000_000;
const prediction: Prediction = { session: 's', timestamp: 1, objects: { unit: 'fraction', list: [] }, raw: {} };
const iceServers = [{ urls: 'stun:stun.example.org' }];

const start: Event = { type: 'start', intent };
const ready: Event = { type: 'source-ready' };
const welcome: Event = { type: 'message', message: { type: 'Welcome', id: 7 } };
const starting: Event = sessionState('starting');
const offer: Event = { type: 'message', message: { type: 'SdpOffer', sdp: 'v=0' } };
const connected: Event = { type: 'peer', state: 'connected' };
const closed: Event = { type: 'socket-closed' };
const predicted: Event = { type: 'message', message: { type: 'Prediction', prediction } };

const connecting = [start, ready];
const live = [...connecting, welcome, starting, offer, connected];
const reconnecting = [...live, predicted, closed];

function sessionState(phase: 'starting' | 'connecting' | 'connected' | 'ended' | 'failed'): Event {
  return { type: 'message', message: { type: 'SessionState', session: 's', phase, iceServers } };
}

function error(id: string, type: 'Error' | 'JoinError' = 'Error'): Event {
  return { type: 'message', message: { type, problem: { id, message: 'words' } } };
}

function play(...events: Event[]): { state: State; commands: readonly Command[] } {
  let last: { state: State; commands: readonly Command[] } = { state: IDLE, commands: [] };
  for (const event of events) last = reduce(last.state, event, NOW);
  return last;
}

const does = (commands: readonly Command[]) => commands.map((command) => command.do);

describe('the way to live', () => {
  it('asks for the source first', () => {
    const { state, commands } = play(start);
    expect(state).toEqual({ name: 'asking', intent });
    expect(commands).toEqual([{ do: 'open-source', kind: 'test' }]);
  });

  it('opens a link, with a limit in time, once the source is there', () => {
    const { state, commands } = play(...connecting);
    expect(state).toMatchObject({ name: 'connecting', step: 'opening', attempt: 0 });
    expect(commands).toEqual([{ do: 'set-timer', ms: CONNECT_LIMIT_MS }, { do: 'open-link' }]);
  });

  it('joins when welcomed, once', () => {
    const { state, commands } = play(...connecting, welcome);
    expect(state).toMatchObject({ step: 'joining' });
    expect(commands).toEqual([
      {
        do: 'send',
        message: {
          type: 'Join',
          data: { tenantId: 'defaultTenant', pipeline: 'webrtc-detect', params: { fps: 15 }, protocol: 2 },
        },
      },
    ]);
    expect(play(...connecting, welcome, welcome).commands).toEqual([]);
  });

  it('hands the ICE servers of the first state to the peer connection', () => {
    expect(play(...connecting, welcome, starting).commands).toEqual([{ do: 'start-clock' }]);
    const { state, commands } = play(...connecting, welcome, starting, offer);
    expect(state).toMatchObject({ step: 'negotiating' });
    expect(commands).toEqual([{ do: 'accept-offer', sdp: 'v=0', iceServers }]);
  });

  it('takes an offer of a v1 server, which tells no state', () => {
    expect(play(...connecting, welcome, offer).commands).toEqual([{ do: 'accept-offer', sdp: 'v=0', iceServers: [] }]);
  });

  it('sends the answer and candidates, and adds those of the server', () => {
    const candidate = { candidate: 'candidate:1', sdpMid: 'video0', sdpMLineIndex: 0 };
    const negotiating = [...connecting, welcome, starting, offer];
    expect(play(...negotiating, { type: 'answered', sdp: 'a' }).commands).toEqual([
      { do: 'send', message: { type: 'SdpOfferAnswer', data: { sdp: 'a' } } },
    ]);
    expect(play(...negotiating, { type: 'gathered', candidate }).commands).toEqual([
      { do: 'send', message: { type: 'IceCandidate', data: candidate } },
    ]);
    const theirs: Event = { type: 'message', message: { type: 'IceCandidate', candidate } };
    expect(play(...negotiating, theirs).commands).toEqual([{ do: 'add-candidate', candidate }]);
    expect(play(...live, theirs).commands).toEqual([{ do: 'add-candidate', candidate }]);
  });

  it('is live when the peer connection is, and lifts the limit', () => {
    const { state, commands } = play(...live);
    expect(state).toEqual({ name: 'live', intent, attempt: 0, wavering: false });
    expect(commands).toEqual([{ do: 'clear-timer' }]);
  });
});

describe('stop', () => {
  it.each([
    ['asking', [start]],
    ['connecting', connecting],
    ['live', live],
    ['reconnecting', reconnecting],
  ])('releases everything while %s', (name, events) => {
    expect(play(...events).state.name).toBe(name);
    const { state, commands } = play(...events, { type: 'stop' });
    expect(state).toBe(IDLE);
    expect(does(commands)).toEqual(['clear-timer', 'close-link', 'close-source']);
  });

  it('does nothing when idle', () => {
    expect(play({ type: 'stop' })).toEqual({ state: IDLE, commands: [] });
  });

  it('leaves nothing for late events', () => {
    for (const late of [ready, welcome, offer, connected, closed, { type: 'timer' } as const, predicted]) {
      expect(play(...live, { type: 'stop' }, late)).toEqual({ state: IDLE, commands: [] });
    }
  });
});

describe('failing', () => {
  it('tells why there is no source', () => {
    const problem = { id: 'camera-refused', message: '' };
    const { state, commands } = play(start, { type: 'source-failed', problem });
    expect(state).toEqual({ name: 'failed', problem });
    expect(does(commands)).toContain('close-source');
  });

  it('ends when the source ends, from any active state', () => {
    const ended: Event = { type: 'source-failed', problem: { id: 'source-ended', message: '' } };
    for (const events of [connecting, live, reconnecting]) expect(play(...events, ended).state.name).toBe('failed');
  });

  it.each(['no-launcher', 'no-worker', 'unknown-pipeline', 'invalid-param', 'too-many-sessions', 'new-id'])(
    'gives a refused first join (%s) to the user to judge',
    (id) => {
      const { state } = play(...connecting, welcome, error(id, 'JoinError'));
      expect(state).toEqual({ name: 'failed', problem: { id, message: 'words' } });
    },
  );

  it('says when ICE failed, and when nobody answered', () => {
    expect(play(...connecting, welcome, starting, offer, { type: 'peer', state: 'failed' }).state).toMatchObject({
      problem: { id: 'ice-failed' },
    });
    expect(play(...connecting, { type: 'timer' }).state).toMatchObject({ problem: { id: 'no-answer' } });
    expect(play(...connecting, welcome, starting, offer, { type: 'timer' }).state).toMatchObject({
      problem: { id: 'ice-failed' },
    });
  });

  it.each([
    ['server-stopping', 'ended'],
    ['no-launcher', 'failed'],
  ] as const)('connects again after %s', (id, phase) => {
    const reason = { id, message: 'm' };
    const over: Event = { type: 'message', message: { type: 'SessionState', session: 's', phase, iceServers: [], reason } };
    expect(play(...live, over).state).toMatchObject({ name: 'reconnecting', cause: reason });
    expect(play(...connecting, welcome, starting, over).state.name).toBe('failed');
  });

  it('takes the session’s end for final, with the server’s reason or our own', () => {
    expect(play(...live, sessionState('ended')).state).toMatchObject({ name: 'failed', problem: { id: 'session-ended' } });
    expect(play(...live, sessionState('failed')).state).toMatchObject({ problem: { id: 'session-failed' } });
    const reason = { id: 'session-failed', message: 'no decoder' };
    const told: Event = {
      type: 'message',
      message: { type: 'SessionState', session: 's', phase: 'failed', reason, iceServers: [] },
    };
    expect(play(...live, told).state).toEqual({ name: 'failed', problem: reason });
    expect(play(...live, error('session-ended')).state.name).toBe('failed');
  });

  it('can be started again', () => {
    expect(play(...live, sessionState('ended'), start).state.name).toBe('asking');
  });
});

describe('live', () => {
  it('delivers predictions without a change of state', () => {
    const before = play(...live).state;
    const { state, commands } = reduce(before, predicted, NOW);
    expect(state).toBe(before);
    expect(commands).toEqual([{ do: 'deliver', prediction }]);
  });

  it('shows a passing fault until predictions prove it gone', () => {
    const told = play(...live, error('no-worker'));
    expect(told.state).toMatchObject({ name: 'live', notice: { id: 'no-worker' } });
    const underWay = reduce(told.state, predicted, NOW + 100).state;
    expect(underWay).toMatchObject({ notice: { id: 'no-worker' } });
    expect(reduce(underWay, predicted, NOW + 3000).state).not.toHaveProperty('notice');
  });

  it('wavers while the network is interrupted', () => {
    const interrupted = [...live, { type: 'peer', state: 'disconnected' } as const];
    expect(play(...interrupted).state).toMatchObject({ name: 'live', wavering: true });
    expect(play(...interrupted, connected).state).toMatchObject({ name: 'live', wavering: false });
  });
});

describe('reconnecting', () => {
  it('keeps the source and closes the link', () => {
    const { state, commands } = play(...reconnecting);
    expect(state).toMatchObject({ name: 'reconnecting', attempt: 1, retryAt: NOW + 1000, cause: { id: 'server-gone' } });
    expect(commands).toEqual([{ do: 'close-link' }, { do: 'set-timer', ms: 1000 }]);
  });

  it('follows a server that was never there', () => {
    expect(play(...connecting, closed).state).toMatchObject({ name: 'reconnecting', attempt: 1 });
  });

  it('waits 1, 2, 4, 8, then always 10 seconds', () => {
    let state = play(...connecting).state;
    const waits: number[] = [];
    for (let i = 0; i < 6; i++) {
      state = reduce(state, closed, NOW).state;
      if (state.name === 'reconnecting') waits.push(state.retryAt - NOW);
      state = reduce(state, { type: 'timer' }, NOW).state;
      expect(state.name).toBe('connecting');
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 10_000, 10_000]);
    expect(retryDelay(2000)).toBe(10_000);
  });

  it('can be hurried', () => {
    expect(does(play(...reconnecting, { type: 'retry-now' }).commands)).toEqual(['set-timer', 'open-link']);
  });

  it('starts a new count only once boxes have come', () => {
    const again = [{ type: 'timer' } as const, welcome, starting, offer, connected];
    expect(play(...reconnecting, ...again, closed).state).toMatchObject({ attempt: 2 });
    expect(play(...reconnecting, ...again, predicted, closed).state).toMatchObject({ attempt: 1 });
  });

  it('meets a server that is still coming up with patience, and one that refuses without', () => {
    const rejoining = [...reconnecting, { type: 'timer' } as const, welcome];
    expect(play(...rejoining, error('no-launcher')).state).toMatchObject({
      name: 'reconnecting',
      attempt: 2,
      cause: { id: 'no-launcher' },
    });
    expect(play(...rejoining, error('unknown-pipeline')).state.name).toBe('failed');
  });

  it('follows a lost video connection too', () => {
    expect(play(...live, { type: 'peer', state: 'failed' }).state).toMatchObject({
      name: 'reconnecting',
      cause: { id: 'ice-failed' },
    });
  });
});
