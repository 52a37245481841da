export interface Colour {
  readonly stroke: string;
  /** Black or white, whichever reads better on `stroke`. */
  readonly text: string;
}

type Rgb = readonly [number, number, number];

const SATURATION = 0.85;
const LIGHTNESS = 0.6;
/** Chosen so that the classes people meet most (person, car, bicycle, dog, … red, green, blue) lie well apart. */
const SEED = 127_784;
const known = new Map<string, Colour>();

/** A colour of a class: the same in every session and on every machine. */
export function colourOf(label: string): Colour {
  let colour = known.get(label);
  if (!colour) {
    colour = make(label);
    known.set(label, colour);
  }
  return colour;
}

function make(label: string): Colour {
  const rgb = fromHsl(hash(label) % 360, SATURATION, LIGHTNESS);
  const light = luminance(rgb);
  const text = contrast(light, 0) >= contrast(light, 1) ? '#000' : '#fff';
  return { stroke: `rgb(${rgb.map((part) => Math.round(part * 255)).join(', ')})`, text };
}

/** FNV-1a's step over the label's UTF-16 units, then mixed so that similar labels get distant hues. */
function hash(text: string): number {
  let value = SEED;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  return (value ^ (value >>> 13)) >>> 0;
}

function fromHsl(hue: number, saturation: number, lightness: number): Rgb {
  const reach = saturation * Math.min(lightness, 1 - lightness);
  const part = (offset: number) => {
    const k = (offset + hue / 30) % 12;
    return lightness - reach * Math.max(-1, Math.min(k - 3, 9 - k, 1));
  };
  return [part(0), part(8), part(4)];
}

/** WCAG 2.2, "relative luminance". */
export function luminance(rgb: Rgb): number {
  const linear = (part: number) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(rgb[0]) + 0.7152 * linear(rgb[1]) + 0.0722 * linear(rgb[2]);
}

export function contrast(a: number, b: number): number {
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
