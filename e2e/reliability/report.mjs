// What a run has shown: in words while it goes on, and as JSON.

/** A seeded source of numbers in 0..1 (mulberry32): a run can be repeated by its seed. */
export function randomness(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export function pick(random, list) {
  return list[Math.floor(random() * list.length)];
}

/** The same in an order of its own. */
export function shuffled(random, list) {
  return list.map((one) => [random(), one]).sort(([a], [b]) => a - b).map(([, one]) => one);
}

/** The value below which this share of the sorted numbers is; null where there are none. */
export function quantile(numbers, share) {
  if (numbers.length === 0) return null;
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.round(share * (sorted.length - 1))];
}

export const round = (number, places = 2) => (number === null ? null : Number(number.toFixed(places)));

/** Goals of a row with what was seen of each. */
export class Goals {
  list = [];

  atMost(what, seen, goal) {
    this.#judge(what, seen, `≤ ${goal}`, seen !== null && seen <= goal);
  }

  atLeast(what, seen, goal) {
    this.#judge(what, seen, `≥ ${goal}`, seen !== null && seen >= goal);
  }

  none(what, found) {
    this.#judge(what, found.length === 0 ? 0 : found.slice(0, 5).join('; '), '0', found.length === 0);
  }

  #judge(what, seen, goal, met) {
    this.list.push({ what, seen, goal, met });
    say(`  ${met ? 'met   ' : 'MISSED'} ${what}: ${seen} (goal: ${goal})`);
  }

  get missed() {
    return this.list.filter(({ met }) => !met);
  }
}

export function say(words) {
  console.log(words);
}
