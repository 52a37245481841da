import { detectionsOf, parsePrediction } from './prediction';
import type { Fields } from './validate';

/** A prediction a line, each as it came. */
export function toJsonLines(predictions: readonly Fields[]): string {
  return predictions.map((one) => `${JSON.stringify(one)}\n`).join('');
}

/**
 * The predictions as a COCO data set, so that tools for labels can open them: an image for each frame, named by session and
 * RTP timestamp; boxes in pixels. Frames whose size is not told are left out.
 */
export function toCoco(predictions: readonly Fields[]): string {
  const categories = new Map<string, number>();
  const images: object[] = [];
  const annotations: object[] = [];
  for (const raw of predictions) {
    const prediction = parsePrediction(raw);
    if (!prediction?.size) continue;
    const { width, height } = prediction.size;
    const image = images.length + 1;
    images.push({ id: image, file_name: `${prediction.session}-${prediction.timestamp}.jpg`, width, height });
    for (const { label, score, box } of detectionsOf(prediction, width / height)) {
      const category = categories.get(label) ?? categories.size + 1;
      categories.set(label, category);
      const bbox = [box[0] * width, box[1] * height, box[2] * width, box[3] * height].map(round);
      const area = round(bbox[2]! * bbox[3]!);
      annotations.push({ id: annotations.length + 1, image_id: image, category_id: category, bbox, area, score, iscrowd: 0 });
    }
  }
  const names = [...categories].map(([name, id]) => ({ id, name }));
  return JSON.stringify({ info: { description: 'Sightline: predictions of a session' }, images, annotations, categories: names });
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
