import type { Problem } from './protocol';
import { authorization, type TokenSource } from './token';
import { asFields, asNumber, asText, parseJson, type Fields } from './validate';

const PROBLEM_PREFIX = 'urn:sightline:problem:';
const LIMIT_MS = 8000;

export type Answer = { readonly body: unknown } | { readonly problem: Problem };

/** The server's REST API below `base`, which ends in a slash. It never throws: what goes wrong is a `problem`. */
export class Rest {
  readonly base: URL;
  readonly #token: TokenSource | undefined;

  constructor(base: URL, token?: TokenSource) {
    this.base = base;
    this.#token = token;
  }

  /** The header that says who we are, where the server wants to know. */
  authorization(): Promise<Record<string, string>> {
    return authorization(this.#token);
  }

  url(path: string): URL {
    return new URL(`api/v1/${path}`, this.base);
  }

  get(path: string): Promise<Answer> {
    return this.#ask(path, {});
  }

  post(path: string, body: unknown): Promise<Answer> {
    return this.#ask(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  }

  /** Also while the page is being closed. */
  delete(path: string): Promise<Answer> {
    return this.#ask(path, { method: 'DELETE', keepalive: true });
  }

  async #ask(path: string, init: RequestInit): Promise<Answer> {
    try {
      const headers = { ...init.headers, ...(await this.authorization()) };
      const response = await fetch(this.url(path), { ...init, headers, signal: AbortSignal.timeout(LIMIT_MS) });
      const text = await response.text();
      return response.ok ? { body: parseJson(text) } : { problem: problemIn(text, response.status) };
    } catch {
      return { problem: { id: 'server-gone', message: '' } };
    }
  }
}

/** The WebSocket's address below the server's. */
export function socketUrl(base: string | URL): URL {
  const url = new URL('ws', base);
  url.protocol = url.protocol === 'https:' || url.protocol === 'wss:' ? 'wss:' : 'ws:';
  return url;
}

/** What a response that is no success says: a problem document of RFC 9457, or else its status. */
export function problemIn(text: string, status: number): Problem {
  const fields = asFields(parseJson(text));
  const type = asText(fields?.['type']) ?? '';
  const id = type.startsWith(PROBLEM_PREFIX) ? type.slice(PROBLEM_PREFIX.length) : `http-${status}`;
  return { id, message: asText(fields?.['detail']) ?? '' };
}

/** How many, by reason. */
export type Drops = Readonly<Record<string, number>>;

/** A session as the server lists it; times in milliseconds of Unix time. */
export interface Listed {
  readonly id: string;
  readonly pipeline: string;
  readonly launcher: string;
  readonly state: string;
  readonly created: number;
  readonly ended?: number;
  readonly frames: number;
  /** Frames that came to nothing, by reason; a server of an older release does not tell. */
  readonly dropped?: Drops;
  readonly fps?: number;
  readonly latency?: number;
  readonly restarts: number;
  readonly error?: Problem;
}

export function parseSession(value: unknown): Listed | undefined {
  const fields = asFields(value);
  const [id, pipeline, state] = [asText(fields?.['id']), asText(fields?.['pipeline']), asText(fields?.['state'])];
  const created = asNumber(fields?.['created_us']);
  if (!fields || !id || !pipeline || !state || created === undefined) return undefined;
  const [ended, fps, latency] = [asNumber(fields['ended_us']), asNumber(fields['fps']), asNumber(fields['latency_ms'])];
  const error = asFields(fields['last_error']);
  const dropped = asFields(fields['dropped']);
  return {
    id,
    pipeline,
    launcher: asText(fields['launcher']) ?? '',
    state,
    created: created / 1000,
    ...(ended !== undefined && { ended: ended / 1000 }),
    frames: asNumber(fields['frames']) ?? 0,
    ...(dropped && { dropped: parseDrops(dropped) }),
    ...(fps !== undefined && { fps }),
    ...(latency !== undefined && { latency }),
    restarts: asNumber(fields['restarts']) ?? 0,
    ...(error && { error: { id: asText(error['id']) ?? '', message: asText(error['message']) ?? '' } }),
  };
}

function parseDrops(fields: Fields): Drops {
  const counts = Object.entries(fields).map(([reason, value]) => [reason, asNumber(value)] as const);
  return Object.fromEntries(counts.filter((pair): pair is readonly [string, number] => pair[1] !== undefined));
}

export function isRunning({ state }: Listed): boolean {
  return state === 'QUEUED' || state === 'RUNNING';
}

export function parseSessions(body: unknown): Listed[] {
  return listOf(body, 'sessions').flatMap((one) => parseSession(one) ?? []);
}

export interface Worker {
  readonly name: string;
  readonly info: Fields;
}

export function parseWorkers(body: unknown): Worker[] {
  return listOf(body, 'workers').flatMap((one) => {
    const fields = asFields(one);
    const name = asText(fields?.['name']);
    return name ? { name, info: asFields(fields?.['info']) ?? {} } : [];
  });
}

export function listOf(body: unknown, key: string): unknown[] {
  const list = asFields(body)?.[key];
  return Array.isArray(list) ? (list as unknown[]) : [];
}
