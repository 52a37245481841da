import { parsePrediction, type Prediction } from './prediction';
import { asDecimal, asFields, asNumber, asText, parseJson } from './validate';

/** Parameters of a pipeline, as chosen by the user. */
export type Params = Readonly<Record<string, string | number | boolean>>;

export interface Candidate {
  /** Empty: there are no more. */
  readonly candidate: string;
  readonly sdpMid: string | null;
  readonly sdpMLineIndex: number | null;
}

export interface IceServer {
  readonly urls: string | string[];
  readonly username?: string;
  readonly credential?: string;
}

/** What went wrong: a stable id for programs, and the teller's own words. */
export interface Problem {
  readonly id: string;
  readonly message: string;
}

const PHASES = ['starting', 'connecting', 'connected', 'ended', 'failed'] as const;
export type Phase = (typeof PHASES)[number];

export type ServerMessage =
  | { readonly type: 'Welcome'; readonly id: number }
  | { readonly type: 'SdpOffer'; readonly sdp: string }
  /** To a client that offers; this page answers. */
  | { readonly type: 'SdpAnswer'; readonly sdp: string }
  | { readonly type: 'IceCandidate'; readonly candidate: Candidate }
  | {
      readonly type: 'SessionState';
      readonly session: string;
      readonly phase: Phase;
      readonly reason?: Problem;
      readonly iceServers: readonly IceServer[];
    }
  | { readonly type: 'Prediction'; readonly prediction: Prediction }
  | { readonly type: 'Stats'; readonly t0: number; readonly serverTimeUs: number }
  | { readonly type: 'Error'; readonly problem: Problem }
  | { readonly type: 'JoinError'; readonly problem: Problem };

export type ClientMessage =
  | {
      readonly type: 'Join';
      readonly data: {
        readonly tenantId: string;
        readonly token?: string;
        readonly pipeline: string;
        readonly params: Params;
        readonly protocol: 2;
      };
    }
  | { readonly type: 'SdpOfferAnswer'; readonly data: { readonly sdp: string } }
  | { readonly type: 'IceCandidate'; readonly data: Candidate }
  | { readonly type: 'Stats'; readonly data: { readonly t0: number } };

export type Parsed =
  | { readonly kind: 'message'; readonly message: ServerMessage }
  /** A type this page does not know: a newer server's, to be ignored. */
  | { readonly kind: 'unknown'; readonly type: string }
  | { readonly kind: 'malformed'; readonly why: string };

export function parseServerMessage(text: string): Parsed {
  const envelope = asFields(parseJson(text));
  const type = asText(envelope?.['type']);
  if (!envelope || type === undefined) return { kind: 'malformed', why: 'not an object with a "type"' };
  if (!Object.hasOwn(readers, type)) return { kind: 'unknown', type };
  const message = readers[type as ServerMessage['type']](envelope['data']);
  return message ? { kind: 'message', message } : { kind: 'malformed', why: `unusable data in ${type}` };
}

type Reader = (data: unknown) => ServerMessage | undefined;

const readers: Record<ServerMessage['type'], Reader> = {
  Welcome(data) {
    const id = asNumber(asFields(data)?.['id']);
    return id === undefined ? undefined : { type: 'Welcome', id };
  },

  // v1 wraps the offer in a second layer of JSON; an object is taken too.
  SdpOffer(data) {
    const sdp = asText(asFields(typeof data === 'string' ? parseJson(data) : data)?.['sdp']);
    return sdp ? { type: 'SdpOffer', sdp } : undefined;
  },

  SdpAnswer(data) {
    const sdp = asText(asFields(data)?.['sdp']);
    return sdp ? { type: 'SdpAnswer', sdp } : undefined;
  },

  IceCandidate(data) {
    const candidate = parseCandidate(data);
    return candidate && { type: 'IceCandidate', candidate };
  },

  SessionState(data) {
    const fields = asFields(data);
    const session = asText(fields?.['session']);
    const phase = PHASES.find((name) => name === fields?.['state']);
    if (!fields || session === undefined || !phase) return undefined;
    const reason = fields['reason'] == null ? undefined : parseProblem(fields['reason']);
    return {
      type: 'SessionState',
      session,
      phase,
      ...(reason && { reason }),
      iceServers: parseIceServers(fields['ice_servers']),
    };
  },

  Prediction(data) {
    const prediction = parsePrediction(data);
    return prediction && { type: 'Prediction', prediction };
  },

  Stats(data) {
    const fields = asFields(data);
    const t0 = asNumber(fields?.['t0']);
    const serverTimeUs = asDecimal(fields?.['server_time_us']);
    return t0 === undefined || serverTimeUs === undefined ? undefined : { type: 'Stats', t0, serverTimeUs };
  },

  Error: (data) => ({ type: 'Error', problem: parseProblem(data) }),
  JoinError: (data) => ({ type: 'JoinError', problem: parseProblem(data) }),
};

/** Never fails: an error that cannot be read is still an error. v1 sends a bare text. */
function parseProblem(data: unknown): Problem {
  if (typeof data === 'string') return { id: 'server', message: data };
  const fields = asFields(data);
  return {
    id: asText(fields?.['id']) ?? 'server',
    message: asText(fields?.['message']) ?? '',
  };
}

function parseCandidate(data: unknown): Candidate | undefined {
  const fields = asFields(data);
  const candidate = asText(fields?.['candidate']);
  if (!fields || candidate === undefined) return undefined;
  return {
    candidate,
    sdpMid: asText(fields['sdpMid']) ?? null,
    sdpMLineIndex: asNumber(fields['sdpMLineIndex']) ?? null,
  };
}

/** An entry that cannot be used is left out: without it the connection may still work. */
function parseIceServers(value: unknown): IceServer[] {
  if (!Array.isArray(value)) return [];
  const servers: IceServer[] = [];
  for (const item of value as unknown[]) {
    const fields = asFields(item);
    const urls = parseUrls(fields?.['urls']);
    if (!fields || !urls) continue;
    const username = asText(fields['username']);
    const credential = asText(fields['credential']);
    servers.push({
      urls,
      ...(username !== undefined && { username }),
      ...(credential !== undefined && { credential }),
    });
  }
  return servers;
}

function parseUrls(value: unknown): string | string[] | undefined {
  const isUrl = (url: unknown): url is string => typeof url === 'string' && /^(stun|turn)s?:/.test(url);
  if (isUrl(value)) return value;
  return Array.isArray(value) && value.length > 0 && value.every(isUrl) ? (value as string[]) : undefined;
}
