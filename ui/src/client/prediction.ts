import { asDecimal, asFields, asNumber, asText, parseJson, type Fields } from './validate';

/** `[x, y, width, height]`, each a fraction 0..1 of the frame. */
export type Box = readonly [number, number, number, number];

export interface Detection {
  readonly label: string;
  /** 0..1 */
  readonly score: number;
  readonly box: Box;
  readonly trackId?: number;
}

/** A v1 worker's object: corners in pixels of an image whose height alone is told. */
interface PixelObject {
  readonly label: string;
  readonly score: number;
  readonly corners: readonly [number, number, number, number];
}

export interface Prediction {
  readonly session: string;
  /** RTP timestamp, u32. */
  readonly timestamp: number;
  readonly seq?: number;
  /** Unix microseconds at which the frame entered the pipeline. */
  readonly captured?: number;
  /** The source's size in pixels. */
  readonly size?: { readonly width: number; readonly height: number };
  readonly model?: string;
  readonly worker?: string;
  readonly objects:
    | { readonly unit: 'fraction'; readonly list: readonly Detection[] }
    | { readonly unit: 'pixel'; readonly imageHeight: number; readonly list: readonly PixelObject[] };
  /** The entry as it came. */
  readonly raw: Fields;
}

/** More objects than any model reports: a bound on what one message may make us draw. */
const MAX_OBJECTS = 1000;

export function parsePrediction(data: unknown): Prediction | undefined {
  const raw = asFields(data);
  if (!raw) return undefined;
  const session = asText(raw['participantId']);
  const timestamp = asDecimal(raw['timestamp']);
  const objects = parseObjects(raw);
  if (session === undefined || timestamp === undefined || !objects) return undefined;
  const seq = asDecimal(raw['seq']);
  const captured = asDecimal(raw['captured']);
  const [width, height] = [asDecimal(raw['width']), asDecimal(raw['height'])];
  const model = asText(raw['model']);
  const worker = asText(raw['worker']);
  return {
    session,
    timestamp,
    ...(seq !== undefined && { seq }),
    ...(captured !== undefined && { captured }),
    ...(width && height && width > 0 && height > 0 ? { size: { width, height } } : {}),
    ...(model && { model }),
    ...(worker && { worker }),
    objects,
    raw,
  };
}

function parseObjects(raw: Fields): Prediction['objects'] | undefined {
  if (raw['detections'] !== undefined) {
    const list = parseDetections(raw['detections']);
    return list && { unit: 'fraction', list };
  }
  return parsePixelObjects(raw);
}

function parseDetections(value: unknown): Detection[] | undefined {
  const list = typeof value === 'string' ? parseJson(value) : value;
  if (!Array.isArray(list) || list.length > MAX_OBJECTS) return undefined;
  const detections: Detection[] = [];
  for (const item of list as unknown[]) {
    const detection = parseDetection(item);
    if (!detection) return undefined;
    detections.push(detection);
  }
  return detections;
}

function parseDetection(value: unknown): Detection | undefined {
  const fields = asFields(value);
  if (!fields) return undefined;
  const label = asText(fields['label']);
  const score = asNumber(fields['score']);
  const box = parseBox(fields['box']);
  const trackId = asNumber(fields['track_id']);
  if (label === undefined || score === undefined || !box) return undefined;
  return { label, score, box, ...(trackId !== undefined && { trackId }) };
}

function parseBox(value: unknown): Box | undefined {
  if (!Array.isArray(value) || value.length !== 4) return undefined;
  const [x, y, w, h] = (value as unknown[]).map(asNumber);
  if (x === undefined || y === undefined || w === undefined || h === undefined || w < 0 || h < 0) return undefined;
  return [x, y, w, h];
}

function parsePixelObjects(raw: Fields): Prediction['objects'] | undefined {
  const count = asDecimal(raw['pcount']);
  if (count === undefined || !Number.isInteger(count) || count < 0 || count > MAX_OBJECTS) return undefined;
  // v1 leaves `res` out when it found nothing.
  if (count === 0) return { unit: 'fraction', list: [] };
  const imageHeight = asDecimal(raw['res']);
  if (imageHeight === undefined || imageHeight <= 0) return undefined;
  const list: PixelObject[] = [];
  for (let i = 0; i < count; i++) {
    const object = parsePixelObject(raw[`p${i}`]);
    if (!object) return undefined;
    list.push(object);
  }
  return { unit: 'pixel', imageHeight, list };
}

/** `label|score|x1;y1;x2;y2` */
function parsePixelObject(value: unknown): PixelObject | undefined {
  const [label, scoreText, cornerText, ...rest] = asText(value)?.split('|') ?? [];
  if (!label || cornerText === undefined || rest.length > 0) return undefined;
  const score = asDecimal(scoreText);
  const [x1, y1, x2, y2, ...more] = cornerText.split(';').map(asDecimal);
  if (score === undefined || more.length > 0) return undefined;
  if (x1 === undefined || y1 === undefined || x2 === undefined || y2 === undefined) return undefined;
  return { label, score, corners: [x1, y1, x2, y2] };
}

/** The objects in fractions of the frame. `aspect` is the video's width ÷ height, which v1 does not tell. */
export function detectionsOf(prediction: Prediction, aspect: number): readonly Detection[] {
  const { objects } = prediction;
  if (objects.unit === 'fraction') return objects.list;
  const height = objects.imageHeight;
  const width = height * aspect;
  return objects.list.map(({ label, score, corners: [x1, y1, x2, y2] }) => ({
    label,
    score,
    box: [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height] as const,
  }));
}

/** Whether `next` was taken after `last`: late answers of a slower worker must not pull boxes back in time. */
export function isNewer(next: Prediction, last: Prediction | undefined): boolean {
  if (!last || last.session !== next.session) return true;
  if (next.seq !== undefined && last.seq !== undefined) return next.seq > last.seq;
  // RTP timestamps wrap at 2^32: newer means less than half the circle ahead (RFC 1982).
  const ahead = (next.timestamp - last.timestamp) >>> 0;
  return ahead !== 0 && ahead < 0x8000_0000;
}
