import { describe, expect, it } from 'vitest';
import { detectionsOf, isNewer, parsePrediction, type Prediction } from './prediction';

const base = { participantId: 's', timestamp: '90000' };

function parsed(fields: Record<string, unknown>): Prediction {
  const prediction = parsePrediction({ ...base, ...fields });
  if (!prediction) throw new Error('refused');
  return prediction;
}

describe('parsePrediction', () => {
  it('reads our fields, all written as text', () => {
    const detections = [{ label: 'car', class_id: 2, score: 0.9, box: [0.1, 0.2, 0.3, 0.4], track_id: 5 }];
    const prediction = parsed({
      seq: '41',
      captured: '1766481000123456',
      model: 'yolox_nano',
      worker: 'svc:inf:a',
      detections: JSON.stringify(detections),
    });
    expect(prediction).toMatchObject({
      session: 's',
      timestamp: 90_000,
      seq: 41,
      captured: 1_766_481_000_123_456,
      model: 'yolox_nano',
      worker: 'svc:inf:a',
    });
    expect(detectionsOf(prediction, 1)).toEqual([{ label: 'car', score: 0.9, box: [0.1, 0.2, 0.3, 0.4], trackId: 5 }]);
  });

  it('reads v1’s objects, whose width follows from the video’s shape', () => {
    const prediction = parsed({ pcount: '1', res: '200', p0: 'dog|0.8551|100;50;200;150' });
    expect(detectionsOf(prediction, 2)).toEqual([{ label: 'dog', score: 0.8551, box: [0.25, 0.25, 0.25, 0.5] }]);
  });

  it('agrees between v1’s objects and ours in the shared fixture', async () => {
    const { default: fixture } = await import('../../../protocol/fixtures/ws/server-prediction.json');
    const { detections, ...v1 } = fixture.data;
    const ours = detectionsOf(parsed({ ...fixture.data, detections }), 416 / 312);
    const theirs = detectionsOf(parsed(v1), 416 / 312);
    expect(ours).toHaveLength(1);
    expect(theirs[0]?.label).toBe(ours[0]?.label);
    theirs[0]?.box.forEach((part, i) => expect(part).toBeCloseTo(ours[0]?.box[i] ?? NaN, 2));
  });

  it('reads every entry of the stream in the shared fixtures', () => {
    const entries = import.meta.glob<Record<string, string>>('../../../protocol/fixtures/streams/prediction*.json', {
      eager: true,
      import: 'default',
    });
    const counts = Object.entries(entries).map(([path, entry]) => {
      const prediction = parsePrediction(entry);
      if (!prediction) throw new Error(`${path} is refused`);
      expect(prediction).toMatchObject({ session: entry['participantId'], timestamp: Number(entry['timestamp']), raw: entry });
      const found = detectionsOf(prediction, 416 / 312);
      expect(found).toHaveLength(Number(entry['pcount']));
      return [path.slice(path.lastIndexOf('/') + 1), found[0]?.label];
    });
    expect(Object.fromEntries(counts)).toEqual({
      'prediction.json': 'dog',
      'prediction-v1.json': 'dog',
      'prediction-v1-empty.json': undefined,
    });
  });

  it('takes v1’s empty result, which has no height', () => {
    expect(detectionsOf(parsed({ pcount: '0' }), 1)).toEqual([]);
  });

  it.each([
    {},
    { pcount: '1' },
    { pcount: '-1', res: '100' },
    { pcount: '1', res: '0', p0: 'dog|1|1;2;3;4' },
    { pcount: '2', res: '100', p0: 'dog|1|1;2;3;4' },
    { pcount: '1', res: '100', p0: 'dog|1|1;2;3' },
    { pcount: '1', res: '100', p0: 'dog|1|1;2;3;4;5' },
    { pcount: '1', res: '100', p0: 'dog|1|1;2;3;x' },
    { pcount: '1', res: '100', p0: 'dog|high|1;2;3;4' },
    { pcount: '999999999', res: '100' },
    { detections: '{' },
    { detections: '{}' },
    { detections: '[{"label":"a","score":1,"box":[0,0,1]}]' },
    { detections: '[{"label":"a","score":1,"box":[0,0,1,-1]}]' },
    { detections: '[{"label":"a","score":"1","box":[0,0,1,1]}]' },
    { detections: '[null]' },
    { timestamp: 'soon', pcount: '0' },
    { participantId: 7, pcount: '0' },
  ])('refuses %j', (fields) => {
    expect(parsePrediction({ ...base, ...fields })).toBeUndefined();
  });
});

describe('isNewer', () => {
  const at = (timestamp: number, seq?: number, session = 's') =>
    parsed({ participantId: session, timestamp: `${timestamp}`, pcount: '0', ...(seq !== undefined && { seq: `${seq}` }) });

  it('goes by the sequence number where there is one', () => {
    expect(isNewer(at(1, 5), undefined)).toBe(true);
    expect(isNewer(at(1, 6), at(9, 5))).toBe(true);
    expect(isNewer(at(9, 5), at(1, 5))).toBe(false);
    expect(isNewer(at(9, 4), at(1, 5))).toBe(false);
  });

  it('goes by the RTP timestamp otherwise, across its wrap', () => {
    expect(isNewer(at(3000), at(0))).toBe(true);
    expect(isNewer(at(0), at(3000))).toBe(false);
    expect(isNewer(at(0), at(0))).toBe(false);
    expect(isNewer(at(2000), at(2 ** 32 - 1000))).toBe(true);
    expect(isNewer(at(2 ** 32 - 1000), at(2000))).toBe(false);
  });

  it('starts anew with another session', () => {
    expect(isNewer(at(1, 0, 'b'), at(9, 9, 'a'))).toBe(true);
  });
});
