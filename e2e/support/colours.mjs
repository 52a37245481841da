// Where the saturated colours of a picture are: what the built-in model has to find, found independently of it.

/** `[timestamp, JPEG][]` → Map of timestamp → `{ red, green, blue }`, each the corners of its box in 0..1, or undefined. */
export async function findColours(page, jpegs) {
  const found = new Map();
  for (const [timestamp, jpeg] of jpegs) {
    found.set(timestamp, await page.evaluate(boundsOfColours, jpeg.toString('base64')));
  }
  return found;
}

/** Runs in the page. */
async function boundsOfColours(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const { width, height, pixels } = await decode(new Blob([bytes], { type: 'image/jpeg' }));
  return Object.fromEntries(['red', 'green', 'blue'].map((name, channel) => [name, bounds(channel)]));

  async function decode(blob) {
    const bitmap = await createImageBitmap(blob);
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d', { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    return { width: bitmap.width, height: bitmap.height, pixels: data };
  }

  function bounds(channel) {
    let [left, top, right, bottom] = [width, height, 0, 0];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = 4 * (y * width + x);
        const others = Math.max(pixels[at + ((channel + 1) % 3)], pixels[at + ((channel + 2) % 3)]);
        if (pixels[at + channel] - others < 100) continue;
        [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), Math.max(bottom, y + 1)];
      }
    }
    return right > left ? [left / width, top / height, right / width, bottom / height] : undefined;
  }
}
