import { expect, test } from 'vitest';
import { guardiansOf } from '../../src/topology/guardians.ts';

test.each([
  ['a', ['a', 'b', 'c', 'd'], ['b', 'c']],
  ['c', ['a', 'b', 'c', 'd'], ['d', 'a']],
  ['d', ['d', 'b', 'a', 'c'], ['a', 'b']],
  ['a', ['a', 'b'], ['b']],
  ['b', ['a', 'b', 'c'], ['c', 'a']],
  ['a', ['a'], []],
  // One that leaves is guarded by those that stay.
  ['b', ['a', 'c', 'd'], ['c', 'd']],
  ['z', ['a', 'c', 'd'], ['a', 'c']],
])('%s among %j is guarded by %j', (id, ids, guardians) => {
  expect(guardiansOf(id, ids)).toEqual(guardians);
});

test('every node guards as many as guard it, and one of two stays when a node comes or goes', () => {
  const ids = Array.from({ length: 9 }, (_, i) => `node-${i}`);
  const counts = new Map<string, number>();
  for (const id of ids) {
    const before = guardiansOf(id, ids);
    for (const one of before) counts.set(one, (counts.get(one) ?? 0) + 1);
    for (const gone of ids) {
      if (gone === id) continue;
      const after = guardiansOf(
        id,
        ids.filter((other) => other !== gone),
      );
      expect(after.some((one) => before.includes(one))).toBe(true);
    }
  }
  expect(new Set(counts.values())).toEqual(new Set([2]));
});
