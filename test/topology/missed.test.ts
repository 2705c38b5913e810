/** Who learns of the deletes that a node did not confirm, in the order in which things can happen. */
import { describe, expect, test } from 'vitest';
import { OVERFLOW } from '../../src/node/guard-node.ts';
import { encodeDocument, fenceOfDocument } from '../../src/topology/document.ts';
import { withFloor } from '../../src/topology/successors.ts';
import { CONFIRM_MS } from '../../src/topology/view.ts';
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

  // Not the node was away, but the one that deleted: and it does not come back.
  test('is done by those who can reach the node all the while, with their next look', async () => {
    const { fleet, first, second } = await pair(['a', 'b', 'c']);
    const key = await stored(first, 'a');
    first.node('a').fault = 'down';
    expect(await first.delete(key)).toBe(false);
    await first.close();
    expect(await second.get(key)).toBe('old');
    second.memory.clear();
    await fleet.clock.advance(CONFIRM_MS);
    expect(await second.get(key)).toBeUndefined();
    expect([notedAt(fleet, 'b', 'a'), notedAt(fleet, 'c', 'a')]).toEqual([[], []]);
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

  describe('and missed more than anybody knows', () => {
    async function overflowed(node: string, guardian: string) {
      const { fleet, first, second } = await pair(['a', 'b', 'c']);
      const key = await stored(first, node);
      fleet.server(guardian).notes.set(node, new Map([[OVERFLOW, 'mark']]));
      return { fleet, first, second, key, node: second.node(node) };
    }

    test.each([
      ['b', 'c'],
      // The one that decides takes the document itself.
      ['a', 'b'],
    ])('is used (%s) when nobody believes what it has', async (id, guardian) => {
      const { fleet, first, second, key, node } = await overflowed(id, guardian);
      await node.readmit();
      await fleet.clock.settle();
      expect(node.state().state).toBe('up');
      expect(second.topology.document.floors).toEqual({ [id]: 2 });
      expect(await second.get(key)).toBeUndefined();
      first.memory.clear();
      expect(await first.get(key)).toBeUndefined();
      // Once.
      expect(notedAt(fleet, guardian, id)).toEqual([]);
      await node.readmit();
      expect(second.topology.document.epoch).toBe(2);
    });

    test('is used after that was accepted, not after something else was', async () => {
      const { fleet, first, key } = await overflowed('b', 'c');
      let change = async (): Promise<void> => {};
      const late = await fleet.start(['a', 'b', 'c'], {
        ...down('b'),
        hop: async (what) => {
          if (what !== 'a: install') return;
          const run = change;
          change = async () => {};
          await run();
        },
      });
      change = () => {
        const other = withFloor(first.topology.document, 'c', undefined);
        fleet.server('a').install(fenceOfDocument(other), encodeDocument(other));
        return Promise.resolve();
      };
      late.node('b').fault = 'none';
      await late.node('b').readmit();
      await fleet.clock.settle();
      expect(late.node('b').state().state).toBe('up');
      expect(late.topology.document).toMatchObject({ epoch: 3, floors: { b: 3, c: 2 } });
      expect(await late.get(key)).toBeUndefined();
    });

    test('is not used while the one that decides does not answer', async () => {
      const { fleet, second, node } = await overflowed('b', 'c');
      second.node('a').fault = 'down';
      await node.readmit();
      expect(node.state().state).toBe('down');
      expect(notedAt(fleet, 'c', 'b')).toEqual([OVERFLOW]);
      second.node('a').fault = 'none';
      await node.readmit();
      expect(node.state().state).toBe('up');
    });
  });

  describe('when its guardians do not answer any more', () => {
    test('is not believed from then on: once, whichever process sees it', async () => {
      const { fleet, first, second } = await pair(['a', 'b']);
      const third = await fleet.start(['a', 'b']);
      const key = await stored(first, 'a');
      for (const process of [first, second, third]) {
        await process.node('a').readmit();
        process.node('b').fault = 'down';
      }
      await second.node('a').readmit();
      expect(second.topology.document.floors).toEqual({ a: 2 });
      expect(await second.get(key)).toBeUndefined();
      await first.node('a').readmit();
      await third.node('a').readmit();
      await second.node('a').readmit();
      expect([first, third, second].map(({ topology }) => topology.document.epoch)).toEqual([
        2, 2, 2,
      ]);
    });

    test('is believed when the one that decides is among them: nothing is known against it', async () => {
      const { first, second } = await pair(['a', 'b']);
      const key = await stored(first, 'b');
      await second.node('b').readmit();
      second.node('a').fault = 'down';
      await second.node('b').readmit();
      expect(second.node('b').state().state).toBe('up');
      expect(await second.get(key)).toBe('old');
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
