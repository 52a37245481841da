// Predictions, and their boxes as [left, top, right, bottom].

import assert from 'node:assert/strict';

export function iou([a, b, c, d], [e, f, g, h]) {
  const overlap = Math.max(0, Math.min(c, g) - Math.max(a, e)) * Math.max(0, Math.min(d, h) - Math.max(b, f));
  const union = (c - a) * (d - b) + (g - e) * (h - f) - overlap;
  return union > 0 ? overlap / union : 0;
}

/** The objects of a prediction, with corners in pixels of a picture of this size. */
export function objectsOf(prediction, width, height) {
  return JSON.parse(prediction.detections).map(({ label, score, box: [x, y, w, h] }) => ({
    label,
    score,
    corners: [x * width, y * height, (x + w) * width, (y + h) * height],
  }));
}

/** No frame was sent to inference twice. */
export function eachFrameOnce(predictions) {
  const timestamps = predictions.map(({ timestamp }) => timestamp);
  assert.equal(new Set(timestamps).size, timestamps.length, 'all timestamps differ');
}

/** Each shape of the test picture has its box and no box is elsewhere, judged by the very pictures that the workers were given. */
export function agree(predictions, shapes) {
  let compared = 0;
  for (const prediction of predictions) {
    const truth = shapes.get(prediction.timestamp);
    if (!truth) continue;
    compared += 1;
    const found = objectsOf(prediction, 1, 1);
    assert.deepEqual(found.map(({ label }) => label).sort(), ['blue', 'green', 'red'], `what was found in frame ${prediction.seq}`);
    for (const { label, score, corners } of found) {
      const overlap = iou(corners, truth[label]);
      assert.ok(overlap > 0.75, `${label} in frame ${prediction.seq}: IoU ${overlap.toFixed(2)}, score ${score}`);
    }
  }
  assert.ok(compared >= 20, `only ${compared} frames could be compared`);
}
