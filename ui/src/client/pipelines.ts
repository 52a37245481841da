import { asFields, asText } from './validate';

export interface Pipeline {
  readonly name: string;
  readonly summary: string;
}

export const DEFAULT_PIPELINE = 'webrtc-detect';

/** The pipelines a browser can start, from the answer of `GET /api/v1/pipelines`; undefined if it is none. */
export function parsePipelines(body: unknown): Pipeline[] | undefined {
  const list = asFields(body)?.['pipelines'];
  if (!Array.isArray(list)) return undefined;
  const pipelines: Pipeline[] = [];
  for (const item of list as unknown[]) {
    const fields = asFields(item);
    const name = asText(fields?.['name']);
    if (name && fields?.['kind'] === 'session') pipelines.push({ name, summary: asText(fields['summary']) ?? '' });
  }
  return pipelines;
}

/** Undefined when the server does not tell: the default pipeline can still be asked for. */
export async function fetchPipelines(url: URL): Promise<Pipeline[] | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5000) });
    return response.ok ? parsePipelines(await response.json()) : undefined;
  } catch {
    return undefined;
  }
}
