import { expect, test } from 'vitest';
import { InvalidOptionError } from '../../src/errors.ts';
import { HashRing } from '../../src/ring/ring.ts';
import { RingShelf } from '../../src/topology/ring-shelf.ts';
import { seat } from '../support/simulated-process.ts';
import { useFleet } from './fleet.ts';

const newFleet = useFleet();

const A = { id: 'a', weight: 1 };
const B = { id: 'b', weight: 1 };

test('a ring is built once, in whatever order its members are named', async () => {
  const ring = await HashRing.create([A, B]);
  const shelf = new RingShelf(ring);
  expect(shelf.ringOf([B, A])).toBe(ring);
  const other = shelf.ringOf([A, { ...B, weight: 2 }]);
  expect(other).not.toBe(ring);
  expect(other.weights).toEqual([1, 2]);
  expect(shelf.ringOf([{ ...B, weight: 2 }, A])).toBe(other);
});

test('those that nobody asked for lately are given up', async () => {
  const shelf = new RingShelf(await HashRing.create([A]));
  const old = shelf.ringOf([{ ...A, weight: 2 }]);
  const used = shelf.ringOf([{ ...A, weight: 3 }]);
  for (let i = 0; i < 40; i++) {
    shelf.ringOf([{ ...A, weight: 4 + i }]);
    expect(shelf.ringOf([{ ...A, weight: 3 }])).toBe(used);
  }
  expect(shelf.ringOf([{ ...A, weight: 2 }])).not.toBe(old);
});

test('what is no ring is refused, and not kept', async () => {
  const shelf = new RingShelf(await HashRing.create([A]));
  for (const members of [[], [A, A], [{ ...A, weight: 0 }]]) {
    expect(() => shelf.ringOf(members)).toThrow(InvalidOptionError);
    expect(() => shelf.ringOf(members)).toThrow(InvalidOptionError);
  }
});

test('a process takes up a document without building the rings it knows', async () => {
  const fleet = newFleet();
  const { topology, changer } = await fleet.start(['a', 'b']);
  const before = topology.snapshot.ring;
  const { done } = await changer.change({ add: [seat('c')], remove: [] });
  expect(topology.snapshot.source).toBe(before);
  const joint = topology.snapshot.ring;
  await fleet.clock.advance(1);
  await done;
  expect(topology.snapshot.ring).toBe(joint);
});
