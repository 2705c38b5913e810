/** Who learns of the deletes that a node did not confirm, in the order in which things can happen. */
import { describe, expect, test } from 'vitest';
import { OVERFLOW } from '../../src/node/guard-node.ts';
import type { SimulatedProcess } from '../support/simulated-process.ts';
import { seat } from '../support/simulated-process.ts';
import { down, type Fleet, keyThat, useFleet } from './fleet.ts';

const newFleet = useFleet();
const WITHOUT_MEMORY = { memory: false };

/** A key of `owner`, stored. */
async function stored(process: SimulatedProcess, owner: string): Promise<string> {
  const key = keyThat((one) => process.topology.snapshot.ring.owner(one) === owner);
  await process.set(key, 'old', WITHOUT_MEMORY);
  return key;
}

async function pair(ids: string[]): Promise<{
  fleet: Fleet;
  first: SimulatedProcess;
  second: SimulatedProcess;
}> {
  const fleet = newFleet();
  const [first, second] = [await fleet.start(ids), await fleet.start(ids)];
  return { fleet, first, second };
}

const notedAt = (fleet: Fleet, guardian: string, node: string): string[] => [
  ...(fleet.server(guardian).notes.get(node)?.keys() ?? []),
];

describe('a delete that fails', () => {
  // A: attempt fails … B connects, finds no note … A notes, and tries again.
  test('is tried once more after it was noted: who connected between the two may not have read the note', async () => {
    const { first, second, fleet } = await pair(['a', 'b', 'c']);
    const key = await stored(first, 'a');
    first.node('a').fault = 'down';
    const { note } = first.topology.missed;
    first.topology.missed.note = async (...args) => {
      first.node('a').fault = 'none';
      await second.node('a').readmit();
      return note.apply(first.topology.missed, args);
    };
    expect(await first.delete(key)).toBe(true);
    expect(await second.get(key)).toBeUndefined();
    await fleet.clock.settle();
    expect([notedAt(fleet, 'b', 'a'), notedAt(fleet, 'c', 'a')]).toEqual([[], []]);
  });

  test('is noted at the guardians of the ring that the node itself could not tell of', async () => {
    const { fleet, first, second } = await pair(['a', 'z']);
    await (await second.changer.change({ add: [seat('b'), seat('c')], remove: [] })).done;
    const key = await stored(second, 'a');
    first.node('a').fault = 'down';
    second.node('a').fault = 'down';
    expect(await first.delete(key)).toBe(false);
    expect(first.topology.snapshot.epoch).toBe(3);
    expect([notedAt(fleet, 'b', 'a'), notedAt(fleet, 'c', 'a')]).toEqual([[key], [key]]);
  });

  test('is noted at a guardian that has lost its epoch, when that has been admitted again', async () => {
    const { fleet, first } = await pair(['a', 'b']);
    const key = await stored(first, 'a');
    fleet.server('b').fence = undefined;
    first.node('a').fault = 'down';
    expect(await first.delete(key)).toBe(false);
    expect(notedAt(fleet, 'b', 'a')).toEqual([key]);
  });

  test('takes three times the budget of a node at most, whoever hangs', async () => {
    const { fleet, first } = await pair(['a', 'b', 'c']);
    const key = await stored(first, 'a');
    for (const id of ['a', 'b', 'c']) first.node(id).fault = 'answer-lost';
    let deleted: boolean | undefined;
    void first.delete(key).then((answer) => {
      deleted = answer;
    });
    await fleet.clock.advance(300);
    expect(deleted).toBe(false);
  });

  test('does not wait longer for being noted either', async () => {
    const { fleet, first } = await pair(['a', 'b', 'c']);
    const key = await stored(first, 'a');
    first.node('a').fault = 'down';
    first.topology.missed.note = () => new Promise(() => {});
    const deleting = first.delete(key);
    await fleet.clock.advance(300);
    expect(await deleting).toBe(false);
  });

  test('is not taken off with what was read before it', async () => {
    const { fleet, first, second } = await pair(['a', 'b']);
    const key = await stored(first, 'a');
    first.node('a').fault = 'down';
    await first.delete(key);
    const missed = await second.topology.missed.atAdmission('a');
    expect(missed.keys).toEqual([key]);
    // The other process removes it; it is set, and deleted again in vain.
    await second.topology.missed.note('a', key, 60_000);
    missed.removed();
    await fleet.clock.settle();
    expect(notedAt(fleet, 'b', 'a')).toEqual([key]);
  });
});

describe('a node that comes back', () => {
  test('is asked about where its guardians were before the ring changed', async () => {
    const { fleet, first, second } = await pair(['a', 'z']);
    const key = await stored(first, 'a');
    first.node('a').fault = 'down';
    await first.delete(key);
    expect(notedAt(fleet, 'z', 'a')).toEqual([key]);
    await (await second.changer.change({ add: [seat('b'), seat('c')], remove: [] })).done;
    await second.node('a').readmit();
    await fleet.clock.settle();
    expect(fleet.server('a').keys).not.toContain(key);
    expect(notedAt(fleet, 'z', 'a')).toEqual([]);
  });

  test('is asked about at those who guard it now, by a process that knows an older ring', async () => {
    const { fleet, first, second } = await pair(['a', 'z']);
    await (await second.changer.change({ add: [seat('b'), seat('c')], remove: [] })).done;
    const key = await stored(second, 'a');
    second.node('a').fault = 'down';
    await second.delete(key);
    // As if the change had not reached it: it is not what tells the other process.
    const { fence, document } = fleet.server('a');
    fleet.server('a').fence = first.topology.snapshot.fence;
    fleet.server('a').document = JSON.stringify(first.topology.document);
    const missed = await first.topology.missed.atAdmission('a');
    expect(missed.keys).toEqual([key]);
    expect(first.topology.document.epoch).toBe(3);
    Object.assign(fleet.server('a'), { fence, document });
  });

  test('does not wait for a guardian that hangs when another has answered', async () => {
    const { fleet, first, second } = await pair(['a', 'b', 'c']);
    const key = await stored(first, 'a');
    first.node('a').fault = 'down';
    await first.delete(key);
    second.node('b').fault = 'answer-lost';
    const asked = second.topology.missed.atAdmission('a');
    await fleet.clock.advance(20);
    const missed = await asked;
    expect(missed).toMatchObject({ keys: [key], more: 'no' });
    missed.removed();
    await fleet.clock.settle();
    expect(notedAt(fleet, 'c', 'a')).toEqual([]);
    expect(fleet.clock.pending).toBeGreaterThan(0);
  });

  test('leaves alone what a guardian told too late', async () => {
    const { fleet, first } = await pair(['a', 'b', 'c']);
    const key = await stored(first, 'a');
    const late = Promise.withResolvers<void>();
    let way: Promise<void> = Promise.resolve();
    const slow = await fleet.start(['a', 'b', 'c'], {
      hop: (what) => (what === 'c answers notes for a' ? way : Promise.resolve()),
    });
    fleet.server('c').notes.set('a', new Map([[key, 'mark']]));
    way = late.promise;
    const asked = slow.topology.missed.atAdmission('a');
    await fleet.clock.advance(20);
    const missed = await asked;
    expect(missed.keys).toEqual([]);
    late.resolve();
    await fleet.clock.settle();
    missed.removed();
    await fleet.clock.settle();
    expect(notedAt(fleet, 'c', 'a')).toEqual([key]);
  });

  test('missed more than anybody knows when a list was too long', async () => {
    const { fleet, second } = await pair(['a', 'b', 'c']);
    fleet.server('c').notes.set('a', new Map([[OVERFLOW, 'mark']]));
    expect(await second.topology.missed.atAdmission('a')).toMatchObject({
      keys: [],
      more: 'certain',
    });
  });

  test('is one of which nobody knows anything bad, when its guardians have never answered', async () => {
    const fleet = newFleet();
    await fleet.start(['a', 'b']);
    const late = await fleet.start(['a', 'b'], down('b'));
    expect(late.node('a').state().state).toBe('up');
    expect((await late.topology.missed.atAdmission('a')).more).toBe('no');
  });

  test('may have missed something when its guardians do not answer any more', async () => {
    const { second } = await pair(['a', 'b', 'c']);
    await second.node('a').readmit();
    second.node('b').fault = 'down';
    expect((await second.topology.missed.atAdmission('a')).more).toBe('no');
    second.node('c').fault = 'down';
    expect((await second.topology.missed.atAdmission('a')).more).toBe('possible');
    // One that was emptied has forgotten what it was told.
    second.node('c').fault = 'none';
    second.node('c').server.fence = undefined;
    expect((await second.topology.missed.atAdmission('a')).more).toBe('possible');
  });

  test('is alone in its ring: nobody is asked', async () => {
    const { first } = await pair(['a']);
    expect(await first.topology.missed.atAdmission('a')).toMatchObject({ keys: [], more: 'no' });
  });
});
