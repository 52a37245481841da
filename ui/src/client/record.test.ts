import { describe, expect, it } from 'vitest';
import { ServerClock } from './clock';
import { toCoco, toJsonLines } from './export';
import { Journal } from './journal';
import { LinkReader } from './link-stats';
import { Measures } from './measures';
import { parsePrediction, type Box, type Detection } from './prediction';

const raw = (seq: number, more = {}) => ({
  ...{ participantId: 's', timestamp: String(seq * 3600), seq: String(seq), width: '640', height: '480', pcount: '1' },
  ...{ detections: '[{"label":"dog","score":0.75,"box":[0.25,0.5,0.5,0.25]}]', ...more },
});

describe('what a session leaves', () => {
  it('is a line for each prediction', () => {
    const lines = toJsonLines([raw(0), raw(1)]).split('\n');
    expect(lines).toHaveLength(3);
    expect(JSON.parse(lines[1]!)).toEqual(raw(1));
  });

  it('is a COCO data set with boxes in pixels', () => {
    const coco = JSON.parse(toCoco([raw(0), raw(1, { detections: '[]' }), raw(2, { width: undefined })]));
    expect(coco.images).toEqual([
      { id: 1, file_name: 's-0.jpg', width: 640, height: 480 },
      { id: 2, file_name: 's-3600.jpg', width: 640, height: 480 },
    ]);
    expect(coco.annotations).toEqual([
      { id: 1, image_id: 1, category_id: 1, bbox: [160, 240, 320, 120], area: 38400, score: 0.75, iscrowd: 0 },
    ]);
    expect(coco.categories).toEqual([{ id: 1, name: 'dog' }]);
  });
});

describe('Journal', () => {
  const box: Box = [0, 0, 1, 1];
  const dogs = (count: number): Detection[] => Array.from({ length: count }, (_, i) => ({ label: 'dog', score: 0.5 + i / 10, box }));

  it('writes down what is more than before, and what comes back', () => {
    const journal = new Journal();
    expect(journal.add(dogs(1), 0)).toEqual([{ label: 'dog', count: 1, score: 0.5, at: 0 }]);
    expect(journal.add(dogs(1), 40)).toEqual([]);
    expect(journal.add(dogs(2), 80)).toEqual([{ label: 'dog', count: 2, score: 0.6, at: 80 }]);
    // One is missed for a moment.
    expect(journal.add(dogs(1), 120)).toEqual([]);
    expect(journal.add(dogs(2), 160)).toEqual([]);
    expect(journal.add([], 200)).toEqual([]);
    expect(journal.add(dogs(1), 9000)).toHaveLength(1);
  });
});

describe('Measures', () => {
  it('counts what came late and what never came', () => {
    const measures = new Measures(new ServerClock());
    expect(measures.losses).toBeUndefined();
    for (const seq of [5, 6, 8, 7, 11]) {
      const prediction = parsePrediction(raw(seq))!;
      expect(measures.add(prediction, seq * 40)).toBe(seq !== 7);
    }
    // 9 and 10 are missing.
    expect(measures.losses).toEqual({ late: 1, unanswered: 2 });
    expect(measures.published).toBe(12);
    measures.reset();
    expect(measures.losses).toBeUndefined();
  });

  it('knows latency only once the clocks were compared', () => {
    const clock = new ServerClock();
    const measures = new Measures(clock);
    measures.add(parsePrediction(raw(0, { captured: '1000000' }))!, 1010);
    expect(measures.latency(0.5, 1010)).toBeUndefined();
    clock.add(1000, 1100, 1000);
    for (let seq = 1; seq <= 20; seq++) measures.add(parsePrediction(raw(seq, { captured: '1000000' }))!, 920 + seq);
    expect(measures.latency(0.5, 940)).toBeCloseTo(30.5);
    expect(measures.latency(0.95, 940)).toBeCloseTo(39.05);
  });
});

describe('LinkReader', () => {
  const report = (bytes: number, at: number) =>
    new Map<string, object>([
      ['a', { type: 'outbound-rtp', kind: 'video', bytesSent: bytes, timestamp: at, frameWidth: 640, frameHeight: 360, framesPerSecond: 25, framesEncoded: 7, qualityLimitationReason: 'cpu' }],
      ['b', { type: 'remote-inbound-rtp', kind: 'video', roundTripTime: 0.02, fractionLost: 0.1 }],
    ]);

  it('reads rates from two reports', () => {
    const reader = new LinkReader();
    expect(reader.read(report(1000, 1000)).bitrate).toBeUndefined();
    expect(reader.read(report(126_000, 2000))).toEqual({
      ...{ width: 640, height: 360, fps: 25, bitrate: 1_000_000, roundTripMs: 20, loss: 0.1, encoded: 7, limitation: 'cpu' },
    });
  });

  it('has nothing to say of an empty report', () => {
    expect(Object.values(new LinkReader().read(new Map())).every((value) => value === undefined)).toBe(true);
  });
});
