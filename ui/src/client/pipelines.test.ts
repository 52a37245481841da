import { expect, it } from 'vitest';
import { parsePipelines } from './pipelines';

it('offers the pipelines a browser can start', () => {
  const body = {
    pipelines: [
      { name: 'webrtc-detect', kind: 'session', summary: 'A camera', params: { fps: { type: 'integer' } } },
      { name: 'yolox-worker', kind: 'worker', summary: 'Inference' },
      { name: 'bare', kind: 'session' },
      { kind: 'session' },
      null,
    ],
  };
  expect(parsePipelines(body)).toEqual([
    { name: 'webrtc-detect', summary: 'A camera' },
    { name: 'bare', summary: '' },
  ]);
});

it.each([undefined, null, [], {}, { pipelines: {} }, 'text'])('has no list in %j', (body) => {
  expect(parsePipelines(body)).toBeUndefined();
});
