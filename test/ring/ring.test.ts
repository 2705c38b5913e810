import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hash32 } from '../../src/ring/hash.ts';
import { HashRing } from '../../src/ring/ring.ts';
import { anyNodes, countByOwner, KEYS, nodes, owners, SEED } from './samples.ts';

describe('the same members make the same ring', () => {
  test('in any order of listing', async () => {
    const list = anyNodes(8).chain((all) =>
      fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
    );
    await fc.assert(
      fc.asyncProperty(list, fc.constantFrom('xxh32', 'ketama'), async ([a, b], placement) => {
        const options = { points: 32, placement } as const;
        expectEqual(await HashRing.create(a, options), await HashRing.create(b, options));
      }),
      { seed: SEED, numRuns: 60 },
    );
  });

  test('by any history of with and without', async () => {
    const pool = nodes(8).map((node, i) => ({ ...node, weight: 1 + (i % 3) }));
    const steps = fc.array(fc.nat(pool.length - 1), { maxLength: 25 });
    await fc.assert(
      fc.asyncProperty(steps, fc.constantFrom('xxh32', 'ketama'), async (toggles, placement) => {
        const options = { points: 32, placement } as const;
        let ring = await HashRing.create(pool.slice(0, 2), options);
        for (const toggle of toggles) {
          const { id, weight } = pool[toggle]!;
          if (!ring.ids.includes(id)) ring = ring.with({ id, weight });
          else if (ring.ids.length > 1) ring = ring.without(id);
        }
        const members = pool.filter(({ id }) => ring.ids.includes(id));
        expectEqual(ring, await HashRing.create(members, options));
      }),
      { seed: SEED, numRuns: 60 },
    );
  });

  test('with and without leave the ring they start from as it was', async () => {
    const ring = await HashRing.create(nodes(3));
    const before = { owners: owners(ring), shares: ring.shares(), print: ring.fingerprint };
    ring.with({ id: 'new' });
    ring.without('n1');
    expect({ owners: owners(ring), shares: ring.shares(), print: ring.fingerprint }).toEqual(
      before,
    );
    expect(ring.ids).toEqual(['n0', 'n1', 'n2']);
    expect(() => Object.assign(ring, { fingerprint: 'x' })).toThrow(TypeError);
    expect(() => (ring.ids as string[]).push('x')).toThrow(TypeError);
  });

  // Goal: two nodes on the same of 2^32 points are told apart by id, not by who came first.
  // Method: one point a node, and ids whose points are the same (found by search), so that
  // everything belongs to one of the two.
  test.each([
    ['node-47939', 'node-138741'],
    ['node-84612', 'node-154945'],
  ])('also when %s and %s share a point', async (one, other) => {
    const options = { points: 1 };
    const orders = [
      await HashRing.create([{ id: one }, { id: other }], options),
      await HashRing.create([{ id: other }, { id: one }], options),
      (await HashRing.create([{ id: one }], options)).with({ id: other }),
      (await HashRing.create([{ id: other }], options)).with({ id: one }),
    ];
    expect(hash32(`${one}#0`)).toBe(hash32(`${other}#0`));
    const first = one < other ? one : other;
    for (const ring of orders) {
      expect(ring.shares()[first]).toBe(1);
      expect(new Set(owners(ring))).toEqual(new Set([first]));
      expect(ring.owners('key', 2)).toHaveLength(2);
    }
  });
});

describe('only the keys that must move do', () => {
  test('a node that goes gives away its own keys and no other', async () => {
    const before = await HashRing.create(nodes(5));
    const after = before.without('n2');
    for (const key of KEYS) {
      const owner = before.owner(key);
      if (owner === 'n2') expect(after.owner(key)).toBe(before.owners(key, 2)[1]);
      else expect(after.owner(key)).toBe(owner);
    }
  });

  test('a node that comes takes keys and moves none between the others', async () => {
    const before = await HashRing.create(nodes(5));
    const after = before.with({ id: 'joining', weight: 2 });
    const moved = KEYS.filter((key) => before.owner(key) !== after.owner(key));
    expect(moved.length).toBeGreaterThan(0);
    expect(new Set(owners(after, moved))).toEqual(new Set(['joining']));
  });

  test.each([3, 0.5])(
    'a weight changed to %d moves keys to or from its node only',
    async (weight) => {
      const before = await HashRing.create(nodes(5));
      const after = before.without('n2').with({ id: 'n2', weight });
      const moved = KEYS.filter((key) => before.owner(key) !== after.owner(key));
      expect(moved.length).toBeGreaterThan(0);
      const ring = weight > 1 ? after : before;
      expect(new Set(owners(ring, moved))).toEqual(new Set(['n2']));
    },
  );

  test('for any rings and changes', async () => {
    await fc.assert(
      fc.asyncProperty(anyNodes(6), async (all) => {
        fc.pre(all.length > 1);
        const full = await HashRing.create(all, { points: 16 });
        const { id } = all[0]!;
        const rest = full.without(id);
        for (const key of KEYS.slice(0, 500)) {
          const owner = full.owner(key);
          if (owner !== id && rest.owner(key) !== owner) expect.fail(`${key} moved needlessly`);
        }
      }),
      { seed: SEED, numRuns: 60 },
    );
  });
});

describe('owners', () => {
  test('are different, begin with the owner and are capped at the number of nodes', async () => {
    const ring = await HashRing.create(nodes(4));
    for (const key of KEYS.slice(0, 500)) {
      const three = ring.owners(key, 3);
      expect(three[0]).toBe(ring.owner(key));
      expect(new Set(three).size).toBe(3);
      expect(ring.owners(key, 100)).toHaveLength(4);
      expect(ring.owners(key, 100).slice(0, 3)).toEqual(three);
      expect(ring.owners(key, 1)).toEqual([ring.owner(key)]);
    }
  });

  test('each is the owner once those before it are gone', async () => {
    let ring = await HashRing.create(nodes(5));
    const expected = ring.owners('user:1', 5);
    for (const id of expected.slice(0, 4)) {
      expect(ring.owner('user:1')).toBe(id);
      ring = ring.without(id);
    }
    expect(ring.ids).toEqual(expected.slice(4));
  });
});

test('keys with one {tag} live together', async () => {
  const ring = await HashRing.create(nodes(10));
  for (let user = 0; user < 100; user++) {
    const home = ring.owner(`user${user}`);
    expect(ring.owner(`{user${user}}:profile`)).toBe(home);
    expect(ring.owner(`cart:{user${user}}:{x}`)).toBe(home);
  }
  const spread = new Set(KEYS.map((key) => ring.owner(`{}${key}`)));
  expect(spread.size).toBe(10);
});

test('a caller with the hash finds the same owner', async () => {
  for (const placement of ['xxh32', 'ketama'] as const) {
    const ring = await HashRing.create(nodes(5), { placement });
    for (const key of KEYS) expect(ring.ids[ring.indexAt(ring.hash(key))]).toBe(ring.owner(key));
  }
});

test('a ring of one node owns everything, the empty key too', async () => {
  const ring = await HashRing.create([{ id: 'only', weight: 0.1 }], { points: 1 });
  expect(ring.owner('')).toBe('only');
  expect(ring.owners('', 2)).toEqual(['only']);
  expect(ring.shares()).toEqual({ only: 1 });
});

describe('fingerprint', () => {
  const members = [{ id: 'a' }, { id: 'b', weight: 2 }];

  test('is eight hexadecimal digits, always', async () => {
    // Goal: leading zeros are kept. Method: enough rings for some of them.
    for (let i = 0; i < 200; i++) {
      const ring = await HashRing.create([{ id: `n${i}` }], { points: 1 });
      expect(ring.fingerprint).toMatch(/^[0-9a-f]{8}$/);
    }
  });

  test('is the same in every release: it travels between processes', async () => {
    expect((await HashRing.create(members)).fingerprint).toBe('057c7082');
    expect((await HashRing.create(members, { placement: 'ketama' })).fingerprint).toBe('48473801');
  });

  test('differs for other ids, weights, points and placements', async () => {
    const rings = [
      await HashRing.create(members),
      await HashRing.create([{ id: 'a' }, { id: 'c', weight: 2 }]),
      await HashRing.create([{ id: 'a' }, { id: 'b' }]),
      await HashRing.create([{ id: 'a', weight: 2 }, { id: 'b' }]),
      await HashRing.create([{ id: 'a' }]),
      await HashRing.create(members, { points: 511 }),
      await HashRing.create(members, { placement: 'ketama' }),
    ];
    expect(new Set(rings.map((ring) => ring.fingerprint)).size).toBe(rings.length);
  });

  test('does not see what else a node carries', async () => {
    const withUrls = members.map((node) => ({ ...node, url: 'redis://elsewhere:6379' }));
    const ring = await HashRing.create(withUrls);
    expect(ring.fingerprint).toBe((await HashRing.create(members)).fingerprint);
  });
});

describe('balance', () => {
  // The figures of bench/rebalance.ts, with room: the mean over ten sets of ids and the worst set.
  test.each([
    { count: 3, mean: 1.06, worst: 1.12 },
    { count: 10, mean: 1.09, worst: 1.15 },
    { count: 100, mean: 1.13, worst: 1.18 },
  ])(
    'the fullest of $count nodes has little more than its part',
    async ({ count, mean, worst }) => {
      const ratios: number[] = [];
      for (let set = 0; set < 10; set++) {
        const ring = await HashRing.create(nodes(count, `set${set}-node-`));
        ratios.push(Math.max(...Object.values(ring.shares())) * count);
      }
      expect(Math.max(...ratios)).toBeLessThan(worst);
      expect(ratios.reduce((sum, ratio) => sum + ratio) / ratios.length).toBeLessThan(mean);
    },
  );

  test('a node holds what its weight asks for', async () => {
    const weights = [0.5, 1, 2, 4];
    const total = weights.reduce((sum, weight) => sum + weight);
    const ring = await HashRing.create(weights.map((weight) => ({ id: `w${weight}`, weight })));
    for (const weight of weights) {
      const share = ring.shares()[`w${weight}`] ?? 0;
      expect(share / (weight / total)).toBeGreaterThan(0.87);
      expect(share / (weight / total)).toBeLessThan(1.13);
    }
  });

  test('shares sum to 1 and agree with counted keys', async () => {
    const ring = await HashRing.create([...nodes(6), { id: 'big', weight: 3 }]);
    const shares = ring.shares();
    expect(Object.values(shares).reduce((sum, share) => sum + share)).toBe(1);
    const keys = Array.from({ length: 100_000 }, (_, i) => `key:${i}`);
    for (const [id, count] of countByOwner(ring, keys)) {
      const share = shares[id] ?? 0;
      // Five standard deviations of a fair draw.
      const tolerance = 5 * Math.sqrt(keys.length * share * (1 - share));
      expect(Math.abs(count - keys.length * share)).toBeLessThan(tolerance);
    }
  });

  test('a node called __proto__ is a node like any other', async () => {
    const ring = await HashRing.create([{ id: '__proto__' }, { id: 'constructor' }]);
    expect(new Set(Object.keys(ring.shares()))).toEqual(new Set(['__proto__', 'constructor']));
  });
});

function expectEqual(a: HashRing, b: HashRing): void {
  expect(a.ids).toEqual(b.ids);
  expect(a.fingerprint).toBe(b.fingerprint);
  expect(a.shares()).toEqual(b.shares());
  const keys = KEYS.slice(0, 300);
  expect(owners(a, keys)).toEqual(owners(b, keys));
  for (const key of keys.slice(0, 20)) expect(a.owners(key, 9)).toEqual(b.owners(key, 9));
}
