import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvalidOptionError } from '../../src/errors.ts';
import { planChange } from '../../src/ring/plan.ts';
import { HashRing } from '../../src/ring/ring.ts';
import { anyNodes, nodes, SEED } from './samples.ts';

describe('planChange', () => {
  test('a node that goes: exactly its share moves, and only from it', async () => {
    const before = await HashRing.create(nodes(3));
    const plan = planChange(before, before.without('n1'));
    expect(plan.movedShare).toBe(before.shares()['n1']);
    expect(plan.idealShare).toBeCloseTo(1 / 3, 12);
    expect(plan.before).toEqual(before.shares());
    expect(plan.after).toEqual(before.without('n1').shares());
    expect(plan.moves.map(({ from, to }) => [from, to])).toEqual([
      ['n1', 'n0'],
      ['n1', 'n2'],
    ]);
  });

  test('a node that comes: exactly its new share moves, and only to it', async () => {
    const before = await HashRing.create(nodes(3));
    const after = before.with({ id: 'n3' });
    const plan = planChange(before, after);
    expect(plan.movedShare).toBe(after.shares()['n3']);
    expect(plan.idealShare).toBeCloseTo(1 / 4, 12);
    expect(plan.moves.map(({ from, to }) => [from, to])).toEqual([
      ['n0', 'n3'],
      ['n1', 'n3'],
      ['n2', 'n3'],
    ]);
  });

  test('nothing moves between equal rings', async () => {
    const ring = await HashRing.create(nodes(4));
    const same = await HashRing.create(nodes(4).toReversed());
    expect(planChange(ring, same)).toMatchObject({ movedShare: 0, idealShare: 0, moves: [] });
  });

  test('everything moves when all nodes are replaced', async () => {
    const plan = planChange(
      await HashRing.create(nodes(2, 'a')),
      await HashRing.create(nodes(3, 'b')),
    );
    expect(plan.movedShare).toBe(1);
    expect(plan.idealShare).toBeCloseTo(1, 12);
    expect(plan.moves).toHaveLength(6);
  });

  test('the ideal follows the weights', async () => {
    const before = await HashRing.create([{ id: 'a' }, { id: 'b' }]);
    const after = before.without('b').with({ id: 'b', weight: 3 });
    // b goes from 1/2 to 3/4.
    expect(planChange(before, after).idealShare).toBeCloseTo(1 / 4, 12);
  });

  test('what is planned is what happens to counted keys', async () => {
    const before = await HashRing.create(nodes(4));
    const after = before.without('n0').with({ id: 'x', weight: 2 });
    const plan = planChange(before, after);
    const total = 100_000;
    const moved = new Map<string, number>();
    for (let i = 0; i < total; i++) {
      const from = before.owner(`key:${i}`);
      const to = after.owner(`key:${i}`);
      if (from !== to) moved.set(`${from} ${to}`, (moved.get(`${from} ${to}`) ?? 0) + 1);
    }
    const planned = plan.moves.map(({ from, to }) => `${from} ${to}`);
    expect(new Set(planned)).toEqual(new Set(moved.keys()));
    for (const { from, to, share } of plan.moves) {
      const counted = (moved.get(`${from} ${to}`) ?? 0) / total;
      expect(Math.abs(counted - share)).toBeLessThan(5 * Math.sqrt((share * (1 - share)) / total));
    }
  });

  test('its parts fit together for any two rings', async () => {
    const placement = fc.constantFrom('xxh32', 'ketama');
    await fc.assert(
      fc.asyncProperty(anyNodes(6), anyNodes(6), placement, async (a, b, how) => {
        const before = await HashRing.create(a, { points: 8, placement: how });
        const after = await HashRing.create(b, { points: 16, placement: how });
        const plan = planChange(before, after);
        const net = new Map(Object.entries(plan.before));
        for (const { from, to, share } of plan.moves) {
          expect(share).toBeGreaterThan(0);
          expect(from).not.toBe(to);
          net.set(from, (net.get(from) ?? 0) - share);
          net.set(to, (net.get(to) ?? 0) + share);
        }
        for (const [id, share] of net) expect(share).toBeCloseTo(plan.after[id] ?? 0, 12);
        const sum = plan.moves.reduce((all, { share }) => all + share, 0);
        expect(sum).toBeCloseTo(plan.movedShare, 12);
        // The way back moves as much.
        const back = planChange(after, before);
        expect(back.movedShare).toBe(plan.movedShare);
        expect(back.idealShare).toBeCloseTo(plan.idealShare, 12);
      }),
      { seed: SEED, numRuns: 60 },
    );
  });

  test('rings of two placements cannot be compared', async () => {
    const ours = await HashRing.create(nodes(2));
    const ketama = await HashRing.create(nodes(2), { placement: 'ketama' });
    expect(() => planChange(ours, ketama)).toThrow(InvalidOptionError);
  });
});
