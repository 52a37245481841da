import { expect, it } from 'vitest';
import { parsePipelines } from './pipelines';

it('offers the pipelines a browser can start', () => {
  const body = {
    pipelines: [
      { name: 'webrtc-detect', kind: 'session', summary: 'A camera', params: { fps: { type: 'integer' } } },
      { name: 'uri-detect', kind: 'source', watchable: true },
      { name: 'yolox-worker', kind: 'worker', summary: 'Inference' },
      { name: 'bare', kind: 'session' },
      { kind: 'session' },
      null,
    ],
  };
  expect(parsePipelines(body)).toEqual([
    { name: 'webrtc-detect', kind: 'session', summary: 'A camera', watchable: false },
    { name: 'uri-detect', kind: 'source', summary: '', watchable: true },
    { name: 'bare', kind: 'session', summary: '', watchable: false },
  ]);
});

it.each([undefined, null, [], {}, { pipelines: {} }, 'text'])('has no list in %j', (body) => {
  expect(parsePipelines(body)).toBeUndefined();
});
