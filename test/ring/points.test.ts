import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Points } from '../../src/ring/points.ts';
import { HashRing } from '../../src/ring/ring.ts';
import { nodes, SEED } from './samples.ts';

const LAST = 0xffffffff;

/** The first point at or after `hash`, by looking at half of what is left each time. */
function lowerBound(points: Points, hash: number): number {
  let low = 0;
  let high = points.size;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (points.hashAt(middle) < hash) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Checks everything that must hold for any set of points. */
function checkSearch(points: Points, hashes: Iterable<number>): void {
  for (const hash of hashes) {
    const expected = lowerBound(points, hash);
    if (points.placeOf(hash) !== expected) {
      expect.fail(`hash ${hash}: place ${points.placeOf(hash)}, lower bound ${expected}`);
    }
    const owner = points.ownerAt(expected === points.size ? 0 : expected);
    if (points.ownerOf(hash) !== owner || points.ownerOf(hash | 0) !== owner) {
      expect.fail(`hash ${hash}: not the owner of its point`);
    }
  }
}

/** 0, the last hash, every point and its neighbours. */
function* edges(points: Points): Generator<number> {
  yield 0;
  yield LAST;
  for (let place = 0; place < points.size; place++) {
    const hash = points.hashAt(place);
    yield hash;
    if (hash > 0) yield hash - 1;
    if (hash < LAST) yield hash + 1;
  }
}

function* randomHashes(count: number): Generator<number> {
  let state = SEED;
  for (let i = 0; i < count; i++) {
    // xorshift32 (Marsaglia 2003)
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state >>> 0;
  }
}

describe('the search that the table starts', () => {
  test.each([1, 3, 10, 200])('equals a plain lower bound on a ring of %i nodes', async (count) => {
    // 200 nodes have more points than a 16-bit table can name.
    const { points } = await HashRing.create(nodes(count));
    expect(points.size).toBe(count * 512);
    checkSearch(points, edges(points));
    checkSearch(points, randomHashes(200_000));
  });

  test('equals a plain lower bound on any points, crowded or at the ends', () => {
    const hash = fc.oneof(
      fc.nat(LAST),
      fc.constantFrom(0, 1, LAST, LAST - 1, 2 ** 31, 2 ** 31 - 1),
      fc.integer({ min: 1_000_000, max: 1_000_050 }),
    );
    const ofNodes = fc.array(fc.array(hash, { maxLength: 40 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(ofNodes, fc.array(hash), (lists, hashes) => {
        fc.pre(lists.some((list) => list.length > 0));
        const points = new Points(lists.map((list) => Float64Array.from(list)));
        checkSearch(points, edges(points));
        checkSearch(points, hashes);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });
});

describe('arcs', () => {
  test('a single point owns the whole circle', () => {
    for (const at of [0, 1, 12_345, LAST]) {
      expect(new Points([Float64Array.of(at)]).arcs(1)[0]).toBe(2 ** 32);
    }
  });

  test('an arc ends at its point and the circle closes behind the last', () => {
    // (100, 200] is the second node's; (200, 2^32) and [0, 100] are the first's.
    const points = new Points([Float64Array.of(100), Float64Array.of(200)]);
    expect([...points.arcs(2)]).toEqual([2 ** 32 - 100, 100]);
    expect([0, 100, 101, 200, 201, LAST].map((hash) => points.ownerOf(hash))).toEqual([
      0, 0, 1, 1, 0, 0,
    ]);
  });

  test('of two nodes on one point the first has the arc, the second nothing', () => {
    const points = new Points([Float64Array.of(7, 70), Float64Array.of(70, 7)]);
    expect([...points.arcs(2)]).toEqual([2 ** 32, 0]);
  });
});
