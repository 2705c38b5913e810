/** Nodes, keys and counts that the tests of the ring share. All of it is fixed: no test here depends on chance. */

import fc from 'fast-check';
import type { RingNode } from '../../src/ring/members.ts';
import type { HashRing } from '../../src/ring/ring.ts';

/** Printed by fast-check when a property fails. */
export const SEED = 20_261_121;

export const KEYS: readonly string[] = Array.from({ length: 5_000 }, (_, i) => `user:${i}:profile`);

/** `count` nodes of weight 1: `n0`, `n1`, … */
export function nodes(count: number, prefix = 'n'): RingNode[] {
  return Array.from({ length: count }, (_, i) => ({ id: `${prefix}${i}` }));
}

/** How many of `keys` each node owns. */
export function countByOwner(ring: HashRing, keys: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>(ring.ids.map((id) => [id, 0]));
  for (const key of keys) {
    const owner = ring.owner(key);
    counts.set(owner, (counts.get(owner) ?? 0) + 1);
  }
  return counts;
}

/** The owner of each of `keys`, to compare two rings at once. */
export function owners(ring: HashRing, keys: readonly string[] = KEYS): string[] {
  return keys.map((key) => ring.owner(key));
}

/** One to `maxLength` nodes with different ids and weights of all sizes, in any order. */
export function anyNodes(maxLength: number): fc.Arbitrary<{ id: string; weight: number }[]> {
  const id = fc.stringMatching(/^[a-z][A-Za-z0-9._:-]{0,11}$/);
  const weight = fc.oneof(
    fc.integer({ min: 1, max: 100 }),
    fc.double({ min: 0.1, max: 100, noNaN: true }),
  );
  return fc.uniqueArray(fc.record({ id, weight }), {
    minLength: 1,
    maxLength,
    selector: (node) => node.id,
  });
}
