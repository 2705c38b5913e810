import { describe, expect, test } from 'vitest';
import { InvalidKeyError, InvalidOptionError } from '../../src/errors.ts';
import type { RingNode, RingOptions } from '../../src/ring/members.ts';
import { HashRing } from '../../src/ring/ring.ts';
import { nodes } from './samples.ts';

// Values come as they would from JavaScript, where no type stops them.
const BAD_WEIGHTS = [0, 0.09, 100.1, -1, Number.NaN, Number.POSITIVE_INFINITY, '1', null, {}];
const BAD_IDS = ['', 'a b', 'a#b', 'ä', 'a/b', 'a\n', 'a'.repeat(65), 7, null, undefined];

describe('create rejects and names the place', () => {
  test.each([undefined, null, {}, 'n0', []])('nodes: %j', async (list) => {
    await expectInvalid(HashRing.create(list as unknown as RingNode[]), 'nodes');
  });

  test.each([undefined, null, 'n0', 3])('nodes.1: %j', async (node) => {
    const list = [{ id: 'a' }, node] as RingNode[];
    await expectInvalid(HashRing.create(list), 'nodes.1');
  });

  test('nodes.1: a hole in the list', async () => {
    const list = nodes(3);
    delete list[1];
    await expectInvalid(HashRing.create(list), 'nodes.1');
  });

  test.each(BAD_IDS)('nodes.2.id: %j', async (id) => {
    const list = [{ id: 'a' }, { id: 'b' }, { id }] as RingNode[];
    await expectInvalid(HashRing.create(list), 'nodes.2.id');
  });

  test('nodes.2.id: given twice', async () => {
    await expectInvalid(HashRing.create([{ id: 'a' }, { id: 'b' }, { id: 'a' }]), 'nodes.2.id');
  });

  test.each(BAD_WEIGHTS)('nodes.1.weight: %j', async (weight) => {
    const list = [{ id: 'a' }, { id: 'b', weight }] as RingNode[];
    await expectInvalid(HashRing.create(list), 'nodes.1.weight');
  });

  test.each([0, -1, 1.5, 65_537, Number.NaN, '512', null])('points: %j', async (points) => {
    const creating = HashRing.create(nodes(2), { points } as unknown as RingOptions);
    if (points === null) await expect(creating).resolves.toBeInstanceOf(HashRing);
    else await expectInvalid(creating, 'points');
  });

  test('points: more than 2^24 in all', async () => {
    const heavy = nodes(3).map(({ id }) => ({ id, weight: 100 }));
    await expectInvalid(HashRing.create(heavy, { points: 65_536 }), 'points');
  });

  test.each(['md5', '', 1, true])('placement: %j', async (placement) => {
    const options = { placement } as unknown as RingOptions;
    await expectInvalid(HashRing.create(nodes(2), options), 'placement');
  });

  test.each(['ketama', 3])('options: %j', async (options) => {
    await expectInvalid(HashRing.create(nodes(2), options as unknown as RingOptions), 'options');
  });
});

test('the ends of every range are valid', async () => {
  const list = [
    { id: 'A-Za-z0-9._:-', weight: 0.1 },
    { id: 'x'.repeat(64), weight: 100 },
    { id: '0', weight: undefined },
  ];
  const ring = await HashRing.create(list, { points: 1, placement: undefined });
  expect(ring.ids).toHaveLength(3);
  // A weight that rounds to no point at all still has one.
  expect(ring.shares()['A-Za-z0-9._:-']).toBeGreaterThan(0);
  await expect(HashRing.create(nodes(1), { points: 65_536 })).resolves.toBeDefined();
});

describe('with and without throw and name the place', () => {
  test.each(BAD_IDS)('with node.id: %j', async (id) => {
    const ring = await HashRing.create(nodes(2));
    await expectInvalid(() => ring.with({ id } as RingNode), 'node.id');
  });

  test('with node.id: on the ring already', async () => {
    const ring = await HashRing.create(nodes(2));
    await expectInvalid(() => ring.with({ id: 'n1' }), 'node.id');
  });

  test('with node.weight, and with node', async () => {
    const ring = await HashRing.create(nodes(2));
    await expectInvalid(() => ring.with({ id: 'new', weight: 0 }), 'node.weight');
    await expectInvalid(() => ring.with('new' as unknown as RingNode), 'node');
  });

  test('without: unknown, or the last', async () => {
    const ring = await HashRing.create(nodes(2));
    await expectInvalid(() => ring.without('n2'), 'id');
    await expectInvalid(() => ring.without('n1').without('n0'), 'id');
  });
});

test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '2', undefined])(
  'owners throws for a count of %j',
  async (count) => {
    const ring = await HashRing.create(nodes(3));
    await expectInvalid(() => ring.owners('key', count as number), 'count');
  },
);

test.each([undefined, null, 7, {}, ['a'], Symbol('a')])('a key that is %s throws', async (key) => {
  for (const placement of ['xxh32', 'ketama'] as const) {
    const ring = await HashRing.create(nodes(3), { placement });
    expect(() => ring.owner(key as string)).toThrow(InvalidKeyError);
    expect(() => ring.owners(key as string, 2)).toThrow(InvalidKeyError);
    expect(() => ring.hash(key as string)).toThrow(InvalidKeyError);
  }
});

async function expectInvalid(
  made: Promise<unknown> | (() => unknown),
  path: string,
): Promise<void> {
  const error = await Promise.resolve(made)
    .then((value) => (typeof value === 'function' ? value() : value))
    .then(
      () => expect.fail(`${path} was accepted`),
      (reason: unknown) => reason,
    );
  expect(error).toBeInstanceOf(InvalidOptionError);
  expect((error as InvalidOptionError).path).toBe(path);
  expect((error as InvalidOptionError).message).toContain(`${path} must be`);
}
