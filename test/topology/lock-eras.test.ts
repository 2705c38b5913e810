/** Which rings count for locks after a change, and when the old ones no longer do. */
import { describe, expect, test } from 'vitest';
import { VIEW_MARGIN_MS, VIEW_MS } from '../../src/topology/view.ts';
import type { SimulatedProcess } from '../support/simulated-process.ts';
import { seat } from '../support/simulated-process.ts';
import { type Fleet, keyThat, useFleet } from './fleet.ts';

const newFleet = useFleet();

const LONGEST_MS = 60_000;
/** The longest ttl and the margin; the spread between processes comes on top. */
const LEAST_MS = LONGEST_MS + 1_000;
const MOST_MS = LEAST_MS + 2_000;

const add = (process: SimulatedProcess, id: string, warm = true) =>
  process.changer.change({ add: [seat(id)], remove: [] }, { warm });
const remove = (process: SimulatedProcess, id: string, warm = true) =>
  process.changer.change({ add: [], remove: [id] }, { warm });

function homesOf(process: SimulatedProcess, name: string): string[] {
  const { snapshot } = process.topology;
  return snapshot.lockHomes(snapshot.ring.hash(name)).map(({ id }) => id);
}

/** A name whose owner the change moves there. */
function movedTo(process: SimulatedProcess, id: string): string {
  const { snapshot } = process.topology;
  return keyThat((name) => snapshot.ring.owner(name) === id);
}

/** What a process knows is confirmed from time to time. */
const CONFIRMING = 1;

const refresh = (process: SimulatedProcess) => process.topology.refresh(process.topology.snapshot);

/** Lets time pass until the old rings cannot count any more. */
const outlast = (fleet: Fleet) => fleet.clock.advance(MOST_MS);

describe('after a node was added', () => {
  test('a name that moved has its old home first and then the new one, until the longest ttl is over', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    const { ring: before } = process.topology.snapshot;
    await (await add(process, 'c')).done;
    const moved = movedTo(process, 'c');
    expect(homesOf(process, moved)).toEqual([before.owner(moved), 'c']);
    const stayed = keyThat((name) => process.topology.snapshot.ring.owner(name) === 'a');
    expect(homesOf(process, stayed)).toEqual(['a']);
    await fleet.clock.advance(LEAST_MS - 1);
    expect(homesOf(process, moved)).toHaveLength(2);
    expect(process.topology.document).toMatchObject({ epoch: 3, locks: { since: 1 } });
    await fleet.clock.advance(MOST_MS - LEAST_MS + 1);
    expect(homesOf(process, moved)).toEqual(['c']);
    const { document } = process.topology;
    expect(document).toMatchObject({ epoch: 4, locks: { since: 2, leaving: [], sealed: true } });
    expect(['a', 'b', 'c'].map((id) => fleet.server(id).epoch())).toEqual([4, 4, 4]);
  });

  // It still had the counter of the time before: of two grants after each other the second had the smaller number.
  test('and removed again, the numbers at the old home grow beyond those of the new one', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    expect(process.topology.snapshot.lockFloor).toBe(0);
    await (await add(process, 'c')).done;
    expect(process.topology.snapshot.lockFloor).toBe(0);
    await outlast(fleet);
    const first = process.topology.snapshot.lockFloor;
    expect(first).toBeGreaterThan((fleet.clock.wall() - MOST_MS + LEAST_MS - 1) * 1_000);
    expect(first).toBeLessThanOrEqual(fleet.clock.wall() * 1_000);
    await (await remove(process, 'c')).done;
    expect(process.topology.snapshot.lockFloor).toBe(first);
    // The host's clock is set back: what was promised is not.
    fleet.clock.jump(-3_600_000);
    await outlast(fleet);
    expect(process.topology.document.locks.since).toBe(5);
    expect(process.topology.snapshot.lockFloor).toBe(first);
  });

  test('both homes count while keys are copied still, however long that takes', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b'], { settings: { ttlMs: 10 * MOST_MS } });
    for (let i = 0; i < 1_000; i++) await process.set(`k${i}`, i);
    const options = { keysPerSecond: 1 };
    const change = await process.changer.change({ add: [seat('c')], remove: [] }, options);
    expect(process.topology.document.locks).toMatchObject({ since: 1, leaving: [], sealed: false });
    await fleet.clock.advance(2 * MOST_MS);
    expect(process.topology.snapshot.state).toBe('joint');
    expect(homesOf(process, movedTo(process, 'c'))).toHaveLength(2);
    const ended = process.changer.end();
    await fleet.clock.advance(1_000);
    await Promise.all([ended, change.done.catch(() => undefined)]);
  });
});

describe('after a node was removed', () => {
  test('it is the first home of what it had, though it is no member', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    const moved = movedTo(process, 'c');
    await (await remove(process, 'c')).done;
    expect(process.topology.document.locks).toMatchObject({ since: 1, sealed: true });
    expect(process.topology.document.locks.leaving.map(({ id }) => id)).toEqual(['c']);
    expect(homesOf(process, moved)[0]).toBe('c');
    expect(homesOf(process, moved)).toHaveLength(2);
    await outlast(fleet);
    expect(homesOf(process, moved)).toEqual([process.topology.snapshot.ring.owner(moved)]);
    expect(process.topology.document.locks.leaving).toEqual([]);
  });

  // It may come back: then nobody is to take it for an old home still.
  test('it is told of the end as well, as the last time', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    await (await remove(process, 'c')).done;
    await outlast(fleet);
    expect(process.topology.snapshot.epoch).toBe(4);
    expect(fleet.server('c').epoch()).toBe(4);
  });

  test('and another one soon after it, both count', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    const { ring } = process.topology.snapshot;
    await (await remove(process, 'c')).done;
    await (await remove(process, 'b')).done;
    expect(new Set(process.topology.snapshot.leaving.keys())).toEqual(new Set(['b', 'c']));
    for (const id of ['b', 'c']) {
      const name = keyThat((key) => ring.owner(key) === id);
      expect(homesOf(process, name)[0]).toBe(id);
      expect(homesOf(process, name).at(-1)).toBe('a');
    }
  });

  test('and added again at once, it is a member, and counts as both', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    const moved = movedTo(process, 'c');
    await (await remove(process, 'c')).done;
    const between = process.topology.snapshot.ring.owner(moved);
    await (await add(process, 'c')).done;
    expect(process.topology.document.locks).toMatchObject({ since: 1, leaving: [] });
    expect(homesOf(process, moved)).toEqual(['c', between]);
    await outlast(fleet);
    expect(homesOf(process, moved)).toEqual(['c']);
  });
});

describe('two changes, one soon after the other', () => {
  test('have every home since the first, the oldest first; they end together, after the second', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a']);
    const once = process.topology.snapshot.ring;
    await (await add(process, 'b')).done;
    const twice = process.topology.snapshot.ring;
    await fleet.clock.advance(LONGEST_MS / 2);
    await (await add(process, 'c')).done;
    const { ring } = process.topology.snapshot;
    const name = keyThat((key) => ring.owner(key) === 'c' && twice.owner(key) === 'b');
    expect(homesOf(process, name)).toEqual([once.owner(name), 'b', 'c']);
    await fleet.clock.advance(LEAST_MS - 1);
    expect(homesOf(process, name)).toHaveLength(3);
    await outlast(fleet);
    expect(homesOf(process, name)).toEqual(['c']);
    expect(process.topology.document.locks.since).toBe(4);
  });

  test('are not made if a ring that counts had to be forgotten', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    const change = async (): Promise<void> => {
      const { ring } = process.topology.snapshot;
      const changed = ring.ids.includes('c') ? remove(process, 'c') : add(process, 'c');
      await (await changed).done;
    };
    for (let i = 0; i < 15; i++) await change();
    expect(process.topology.document.history).toHaveLength(16);
    await expect(change()).rejects.toThrow(/busy|under way|change/i);
    await outlast(fleet);
    await change();
    expect(process.topology.document.locks.since).toBeGreaterThan(1);
  });
});

describe('an era is sealed', () => {
  test('before its time begins to run: at the end of the joint phase', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    const change = await add(process, 'c', false);
    expect(process.topology.document.locks.sealed).toBe(false);
    await change.done;
    expect(process.topology.document).toMatchObject({ epoch: 3, locks: { sealed: true } });
    await fleet.clock.advance(LEAST_MS - 1);
    expect(process.topology.document.locks.since).toBe(1);
    await outlast(fleet);
    expect(process.topology.document).toMatchObject({ epoch: 4, locks: { since: 2 } });
  });

  test.each([true, false])(
    'only when every node has been raised, or nobody may trust it (warm: %s)',
    async (warm) => {
      const fleet = newFleet();
      const process = await fleet.start(['a', 'b', 'd']);
      const moved = keyThat((name) => process.topology.snapshot.ring.owner(name) === 'b');
      process.node('b').fault = 'down';
      const { done } = await add(process, 'c', warm);
      await fleet.clock.advance(VIEW_MS);
      expect(process.topology.document.locks).toMatchObject({ since: 1, sealed: false });
      expect(homesOf(process, moved)[0]).toBe('b');
      await fleet.clock.advance(VIEW_MARGIN_MS + 1_000);
      await done;
      expect(process.topology.document.locks).toMatchObject({ since: 1, sealed: true });
      await fleet.clock.advance(LEAST_MS - 2_000);
      expect(process.topology.document.locks.since).toBe(1);
      await outlast(fleet);
      expect(process.topology.document.locks.since).toBe(2);
      expect(homesOf(process, moved)).toHaveLength(1);
    },
  );

  test('a node that left and is lost does not keep it open', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    process.node('c').fault = 'down';
    await (await remove(process, 'c')).done;
    expect([...process.topology.snapshot.leaving.keys()]).toEqual(['c']);
    expect(process.topology.document.locks).toMatchObject({ since: 1, sealed: true });
    await outlast(fleet);
    expect(process.topology.document.locks).toMatchObject({ since: 2, leaving: [] });
  });

  test('after a recovery only when every node has been raised', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    await (await add(process, 'd')).done;
    const { document } = process.topology;
    const locks = { ...document.locks, sealed: false };
    process.node('b').fault = 'request-lost';
    await process.topology.takeUp({ ...document, epoch: 4, locks });
    await fleet.clock.advance(5 * MOST_MS);
    expect(process.topology.document.locks.since).toBe(1);
    process.node('b').fault = 'none';
    await fleet.clock.advance(MOST_MS + 5_000);
    expect(process.topology.document.locks.since).toBe(2);
  });
});

describe('of several processes', () => {
  test('each sees to the end of an era, and it is ended once', async () => {
    const fleet = newFleet();
    const processes = [
      await fleet.start(['a', 'b']),
      await fleet.start(['a', 'b']),
      await fleet.start(['a', 'b']),
    ];
    await (await add(processes[0]!, 'c')).done;
    for (const process of processes) await refresh(process);
    await outlast(fleet);
    for (const process of processes) await refresh(process);
    for (const process of processes) {
      expect(process.topology.document).toMatchObject({ epoch: 4, locks: { since: 2 } });
    }
    await fleet.clock.advance(10 * MOST_MS);
    expect(['a', 'b', 'c'].map((id) => fleet.server(id).epoch())).toEqual([4, 4, 4]);
  });

  test('another one does it when the one that changed the ring is gone', async () => {
    const fleet = newFleet();
    const [first, second] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    await (await add(first, 'c')).done;
    await refresh(second);
    first.eras.end();
    await first.close();
    await outlast(fleet);
    expect(second.topology.document).toMatchObject({ epoch: 4, locks: { since: 2 } });
  });

  test('one that comes second learns of it, and leaves it at that', async () => {
    const fleet = newFleet();
    const processes = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    await (await add(processes[0]!, 'c')).done;
    await refresh(processes[1]!);
    await outlast(fleet);
    for (const process of processes) expect(process.topology.snapshot.epoch).toBe(4);
    expect(fleet.clock.pending).toBe(2 * CONFIRMING);
  });

  // It used to ask again every five seconds, for ever, with the document that was out of date.
  test('one that comes second to a change of the ring goes on with that one', async () => {
    const fleet = newFleet();
    const [first, second] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    await (await add(first, 'c')).done;
    await refresh(second);
    first.eras.end();
    await fleet.clock.advance(LONGEST_MS / 2);
    await (await add(first, 'd')).done;
    await first.close();
    await fleet.clock.advance(LONGEST_MS / 2 + 3_000);
    expect(second.topology.document).toMatchObject({ epoch: 5, locks: { since: 1 } });
    await outlast(fleet);
    expect(second.topology.document).toMatchObject({ epoch: 6, locks: { since: 4 } });
    expect(fleet.clock.pending).toBe(CONFIRMING);
  });

  test('it waits for a node that takes it, and tries again', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    await (await add(process, 'c')).done;
    for (const id of ['a', 'b', 'c']) process.node(id).fault = 'down';
    await fleet.clock.advance(10 * MOST_MS);
    expect(process.topology.document.locks.since).toBe(1);
    for (const id of ['a', 'b', 'c']) {
      process.node(id).fault = 'none';
      await process.node(id).readmit();
    }
    await fleet.clock.advance(5_000);
    expect(process.topology.document.locks.since).toBe(2);
  });
});

describe('nothing is left', () => {
  test.each([true, false])('after end(), in whatever state (warm: %s)', async (warm) => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    await (await add(process, 'c', warm)).done;
    process.eras.end();
    expect(fleet.clock.pending).toBe(CONFIRMING);
    process.eras.follow();
    expect(fleet.clock.pending).toBe(CONFIRMING);
    await outlast(fleet);
    expect(process.topology.document.locks.since).toBe(1);
  });

  test('after end() while nodes are being raised', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    await (await add(process, 'c')).done;
    const { document } = process.topology;
    process.node('b').fault = 'request-lost';
    const locks = { ...document.locks, sealed: false };
    await process.topology.takeUp({ ...document, epoch: 4, locks });
    await fleet.clock.advance(1);
    process.eras.end();
    await fleet.clock.advance(1_000);
    expect(fleet.clock.pending).toBe(CONFIRMING);
  });

  test('of an older document that was being sealed when a newer one came', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    await (await add(process, 'c')).done;
    const { document } = process.topology;
    process.node('b').fault = 'request-lost';
    const unsealed = { ...document.locks, sealed: false };
    await process.topology.takeUp({ ...document, epoch: 4, locks: unsealed });
    await fleet.clock.advance(1);
    const locks = { since: 2, leaving: [], sealed: true, floor: 0 };
    await process.topology.takeUp({ ...document, epoch: 5, locks });
    await fleet.clock.advance(1_000);
    expect(fleet.clock.pending).toBe(CONFIRMING);
  });
});
