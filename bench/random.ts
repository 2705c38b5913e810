/** Randomness that is the same in every run, so that two runs measure the same work. */

/** Numbers from 0 up to, not including, 1. Mulberry32 (Tommy Ettinger, 2017): fast, and even enough to choose keys. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Indexes 0 to `size - 1`, the first the most popular: the i-th is drawn with a
 * weight of 1/i^exponent. Web and cache traffic is near 0.99 (YCSB's default).
 */
export function seededZipf(size: number, exponent: number, seed: number): () => number {
  const random = seededRandom(seed);
  const cumulative = new Float64Array(size);
  let total = 0;
  for (let i = 0; i < size; i++) {
    total += 1 / (i + 1) ** exponent;
    cumulative[i] = total;
  }
  return () => {
    const wanted = random() * total;
    let low = 0;
    let high = size - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (cumulative[middle]! <= wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

/** `items` in another order (Fisher-Yates); the array given stays as it is. */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const random = seededRandom(seed);
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const other = Math.floor(random() * (i + 1));
    [result[i], result[other]] = [result[other]!, result[i]!];
  }
  return result;
}
