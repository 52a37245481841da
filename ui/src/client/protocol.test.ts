import { describe, expect, it } from 'vitest';
import type { ClientMessage } from './protocol';
import { parseServerMessage } from './protocol';

/** The samples that the server's tests read too. */
const fixtures = Object.entries(
  import.meta.glob<{ type: string; data: unknown }>('../../../protocol/fixtures/ws/*.json', {
    eager: true,
    import: 'default',
  }),
).map(([path, sample]) => [path.slice(path.lastIndexOf('/') + 1), sample] as const);

const parse = (type: string, data: unknown) => parseServerMessage(JSON.stringify({ type, data }));

describe('the shared fixtures', () => {
  const fromServer = fixtures.filter(([name]) => name.startsWith('server-'));

  it('are all here', () => {
    expect(fromServer.length).toBeGreaterThanOrEqual(11);
    const types = new Set(fromServer.map(([, sample]) => sample.type));
    expect([...types].sort()).toEqual(
      ['Error', 'IceCandidate', 'JoinError', 'Prediction', 'SdpAnswer', 'SdpOffer', 'SessionState', 'Stats', 'Welcome'],
    );
  });

  it.each(fromServer)('%s is understood', (_name, sample) => {
    const parsed = parseServerMessage(JSON.stringify(sample));
    expect(parsed).toMatchObject({ kind: 'message', message: { type: sample.type } });
  });

  it('show our own messages as we write them', () => {
    const samples = new Map(fixtures);
    const join: ClientMessage = {
      type: 'Join',
      data: { tenantId: 'defaultTenant', pipeline: 'webrtc-detect', params: { fps: 15 }, protocol: 2 },
    };
    expect(samples.get('client-join.json')).toEqual(join);
    const stats: ClientMessage = { type: 'Stats', data: { t0: 1766481000123.25 } };
    expect(samples.get('client-stats.json')).toEqual(stats);
  });
});

describe('parseServerMessage', () => {
  it('unwraps the offer, which v1 wraps twice', () => {
    const message = { type: 'SdpOffer', sdp: 'v=0\r\n' };
    expect(parse('SdpOffer', '{"sdp":"v=0\\r\\n"}')).toEqual({ kind: 'message', message });
    expect(parse('SdpOffer', { sdp: 'v=0\r\n' })).toEqual({ kind: 'message', message });
  });

  it('reads errors with an id, and v1’s bare texts', () => {
    expect(parse('Error', { id: 'no-worker', message: 'start one' })).toEqual({
      kind: 'message',
      message: { type: 'Error', problem: { id: 'no-worker', message: 'start one' } },
    });
    expect(parse('JoinError', 'who are you')).toEqual({
      kind: 'message',
      message: { type: 'JoinError', problem: { id: 'server', message: 'who are you' } },
    });
    expect(parse('Error', null)).toMatchObject({ kind: 'message', message: { problem: { id: 'server' } } });
  });

  it('leaves out ICE servers a browser would throw at', () => {
    const ice_servers = [{ urls: 'stun:a' }, { urls: ['turn:b', 'turns:c'], username: 'u', credential: 'p' }];
    const useless = [{ urls: 'https://x' }, { urls: [] }, { urls: ['stun:a', 5] }, null, 'stun:a'];
    expect(parse('SessionState', { session: 's', state: 'starting', ice_servers: [...ice_servers, ...useless] })).toEqual({
      kind: 'message',
      message: { type: 'SessionState', session: 's', phase: 'starting', iceServers: ice_servers },
    });
  });

  it('takes a candidate without mid', () => {
    expect(parse('IceCandidate', { candidate: '' })).toMatchObject({
      message: { candidate: { candidate: '', sdpMid: null, sdpMLineIndex: null } },
    });
  });

  it('leaves types it does not know to others', () => {
    expect(parse('Surprise', 1)).toEqual({ kind: 'unknown', type: 'Surprise' });
    expect(parse('toString', 1)).toEqual({ kind: 'unknown', type: 'toString' });
    expect(parse('__proto__', 1)).toEqual({ kind: 'unknown', type: '__proto__' });
  });

  it.each(['', '{', 'null', '[]', '7', '"Welcome"', '{}', '{"type":7}'])('refuses %s', (text) => {
    expect(parseServerMessage(text).kind).toBe('malformed');
  });

  const data = [undefined, null, 7, 'text', [], {}, { id: '7' }, { sdp: 7 }, { session: 's', state: 'odd' }, { t0: 1 }];
  it.each(['Welcome', 'SdpOffer', 'SdpAnswer', 'IceCandidate', 'SessionState', 'Prediction', 'Stats'])(
    'refuses unusable data of %s',
    (type) => {
      for (const item of data) expect(parse(type, item).kind).toBe('malformed');
    },
  );
});
