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
