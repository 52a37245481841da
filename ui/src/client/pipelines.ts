import { listOf, type Rest } from './rest';
import { asFields, asNumber, asText, type Fields } from './validate';

/** `session`: it takes the video of a peer; `source`: it fetches its video itself. */
export type PipelineKind = 'session' | 'source';

export interface Pipeline {
  readonly name: string;
  readonly kind: PipelineKind;
  readonly summary: string;
  /** Others can watch its annotated picture. */
  readonly watchable: boolean;
}

export const DEFAULT_PIPELINE = 'webrtc-detect';

/** The pipelines that can be started from a page, from the answer of `GET /api/v1/pipelines`; undefined if it is none. */
export function parsePipelines(body: unknown): Pipeline[] | undefined {
  if (!Array.isArray(asFields(body)?.['pipelines'])) return undefined;
  return listOf(body, 'pipelines').flatMap((item) => {
    const fields = asFields(item);
    const name = asText(fields?.['name']);
    const kind = fields?.['kind'];
    if (!fields || !name || (kind !== 'session' && kind !== 'source')) return [];
    return { name, kind, summary: asText(fields['summary']) ?? '', watchable: fields['watchable'] === true };
  });
}

/** Undefined when the server does not tell: the default pipeline can still be asked for. */
export async function fetchPipelines(rest: Rest): Promise<Pipeline[] | undefined> {
  const answer = await rest.get('pipelines');
  return 'body' in answer ? parsePipelines(answer.body) : undefined;
}

/** A parameter as a form shows it. */
export interface Parameter {
  readonly name: string;
  readonly type: 'integer' | 'number' | 'boolean' | 'string' | 'enum';
  readonly doc: string;
  readonly required: boolean;
  readonly initial?: string | number | boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly values?: readonly string[];
}

/** The parameters in a pipeline's `params_schema`, those that must be given first. What this page has no form for is left out. */
export function parseParameters(body: unknown): Parameter[] {
  const schema = asFields(asFields(body)?.['params_schema']);
  const required = new Set(listOf(schema, 'required'));
  const parameters = Object.entries(asFields(schema?.['properties']) ?? {}).flatMap(([name, value]) => {
    const fields = asFields(value);
    const parameter = fields && parseParameter(name, fields, required.has(name));
    return parameter ?? [];
  });
  return parameters.sort((a, b) => Number(b.required) - Number(a.required));
}

function parseParameter(name: string, fields: Fields, required: boolean): Parameter | undefined {
  const values = listOf(fields, 'enum').filter((one) => typeof one === 'string');
  const type = values.length > 0 ? 'enum' : fields['type'];
  if (type !== 'integer' && type !== 'number' && type !== 'boolean' && type !== 'string' && type !== 'enum') return undefined;
  const [minimum, maximum, initial] = [asNumber(fields['minimum']), asNumber(fields['maximum']), fields['default']];
  return {
    name,
    type,
    doc: asText(fields['description']) ?? '',
    required,
    ...((typeof initial === 'string' || typeof initial === 'number' || typeof initial === 'boolean') && { initial }),
    ...(minimum !== undefined && { minimum }),
    ...(maximum !== undefined && { maximum }),
    ...(values.length > 0 && { values }),
  };
}
