/** A node that comes back: with what it had before, or with nothing. */
import { describe, expect, test } from 'vitest';
import type { SimulatedProcess } from '../support/simulated-process.ts';
import { seat } from '../support/simulated-process.ts';
import { down, type Fleet, keyThat, useFleet } from './fleet.ts';

const newFleet = useFleet();
const FOREVER = { memory: false } as const;

async function withKeyOn(id: string, seats = ['a', 'b', 'c']) {
  const fleet = newFleet();
  const process = await fleet.start(seats);
  const key = keyThat((one) => process.topology.snapshot.ring.owner(one) === id);
  await process.set(key, 'old', FOREVER);
  return { fleet, process, key };
}

async function comeBack(fleet: Fleet, id: string, ...processes: SimulatedProcess[]) {
  fleet.server(id).restartAsItIs();
  await Promise.all(processes.map((process) => process.node(id).readmit()));
}

describe('a node that comes back with what it had', () => {
  // Another process may have deleted it meanwhile, and the node cannot know.
  // The control leaves out the number of what it may have accepted and forgotten.
  test.each([
    ['a', 3],
    ['b', 2],
  ])('shows nothing of it (%s)', async (id, epoch) => {
    const { fleet, process, key } = await withKeyOn(id);
    await comeBack(fleet, id, process);
    expect(process.node(id).state().state).toBe('up');
    expect(fleet.server(id).stored(key)?.value).toBe('old');
    expect(await process.get(key)).toBeUndefined();
    const { document } = process.topology;
    expect(document).toMatchObject({ epoch, floors: { [id]: epoch }, runs: { [id]: 'run-2' } });
    await process.set(key, 'new', FOREVER);
    expect(await process.get(key)).toBe('new');
  });

  test('costs one epoch, however many processes find out', async () => {
    const { fleet, process, key } = await withKeyOn('b');
    const others = [await fleet.start(['a', 'b', 'c']), await fleet.start(['a', 'b', 'c'])];
    await comeBack(fleet, 'b', process, ...others);
    for (const one of [process, ...others]) {
      expect(one.topology.document.epoch).toBe(2);
      expect(await one.get(key)).toBeUndefined();
    }
    const late = await fleet.start(['a', 'b', 'c']);
    expect(late.topology.document.epoch).toBe(2);
    expect(await late.get(key)).toBeUndefined();
  });

  test('is noticed by a process that has just started', async () => {
    const { fleet, process, key } = await withKeyOn('b');
    await process.close();
    fleet.server('b').restartAsItIs();
    const next = await fleet.start(['a', 'b', 'c']);
    expect(await next.get(key)).toBeUndefined();
    expect(next.topology.document.floors).toEqual({ b: 2 });
  });

  test('a second time has a second floor', async () => {
    const { fleet, process, key } = await withKeyOn('b');
    await comeBack(fleet, 'b', process);
    await process.set(key, 'new', FOREVER);
    await comeBack(fleet, 'b', process);
    expect(await process.get(key)).toBeUndefined();
    expect(process.topology.document).toMatchObject({ epoch: 3, runs: { b: 'run-3' } });
  });

  test('is not used while the control does not answer, and is afterwards', async () => {
    const { fleet, process, key } = await withKeyOn('b');
    process.node('a').fault = 'down';
    await comeBack(fleet, 'b', process);
    expect(process.node('b').state().state).toBe('down');
    expect(process.topology.document.epoch).toBe(1);
    process.node('a').fault = 'none';
    await process.node('b').readmit();
    expect(process.node('b').state().state).toBe('up');
    expect(await process.get(key)).toBeUndefined();
  });

  test('does not end a change that is under way', async () => {
    const { fleet, process } = await withKeyOn('b');
    const moving = keyThat((one) => {
      const { ring } = process.topology.snapshot;
      return ring.owner(one) === 'c' && ring.with({ id: 'd' }).owner(one) === 'd';
    });
    await process.set(moving, 'kept', FOREVER);
    let isBack = false;
    const change = await process.changer.change(
      { add: [seat('d')], remove: [] },
      {
        onProgress: () => {
          if (isBack) return;
          isBack = true;
          void comeBack(fleet, 'b', process);
        },
      },
    );
    await fleet.clock.advance(5_000);
    expect(await change.done).toMatchObject({ epoch: 4 });
    expect(process.topology.document).toMatchObject({ source: null, floors: { b: 3 } });
    expect(await process.get(moving)).toBe('kept');
  });

  test('and leaves the ring leaves nothing in the document', async () => {
    const { fleet, process } = await withKeyOn('b');
    await comeBack(fleet, 'b', process);
    for (const change of [
      { add: [], remove: ['b'] },
      { add: [seat('d')], remove: [] },
    ]) {
      const { done } = await process.changer.change(change);
      await fleet.clock.advance(5_000);
      await done;
    }
    expect(process.topology.document).toMatchObject({ floors: {}, runs: {} });
  });
});

describe('a control that comes back with what it had', () => {
  // It may have accepted a document since that snapshot, which others serve by.
  test('decides nothing before half of the others have been asked', async () => {
    const { fleet, process } = await withKeyOn('a');
    for (const id of ['b', 'c']) process.node(id).fault = 'down';
    await comeBack(fleet, 'a', process);
    expect(process.node('a').state().state).toBe('down');
    expect(process.topology.document.epoch).toBe(1);
    process.node('c').fault = 'none';
    await process.node('a').readmit();
    expect(process.node('a').state().state).toBe('up');
    expect(process.topology.document.epoch).toBe(3);
  });

  test('is told what it accepted by those who were', async () => {
    const { fleet, process } = await withKeyOn('a');
    fleet.server('a').save();
    const late = await fleet.start(['a', 'b', 'c']);
    const { done } = await process.changer.change({ add: [seat('d')], remove: [] });
    await fleet.clock.advance(1_000);
    await done;
    fleet.server('a').restartFromSaved();
    expect(fleet.server('a').epoch()).toBe(1);
    await late.node('a').readmit();
    await fleet.clock.settle();
    expect(late.topology.snapshot.ring.ids).toEqual(['a', 'b', 'c', 'd']);
    expect(late.topology.document.epoch).toBe(5);
    expect(fleet.server('a').epoch()).toBe(5);
  });
});

describe('a node that comes back empty', () => {
  test('costs nothing but what it had', async () => {
    const { fleet, process, key } = await withKeyOn('b');
    fleet.server('b').restart();
    await process.node('b').readmit();
    expect(process.topology.document.epoch).toBe(1);
    expect(await process.set(key, 'new')).toBe(true);
  });

  // It would serve the old ring there, behind the back of all who know the new one.
  test.each([
    ['the control', 'b', []],
    ['another node, if it was the control', 'a', []],
    ['another node, if the control is away', 'b', ['a']],
  ])('to a process that has not heard: that asks %s first', async (_, id, away) => {
    const fleet = newFleet();
    const [first, late] = [await fleet.start(['a', 'b', 'c']), await fleet.start(['a', 'b', 'c'])];
    await (await first.changer.change({ add: [seat('d')], remove: [] })).done;
    for (const one of away) late.node(one).fault = 'down';
    fleet.server(id).restart();
    await late.node(id).readmit();
    expect(late.topology.document.epoch).toBe(3);
    expect(fleet.server(id).epoch()).toBe(3);
  });

  test('is given its first epoch by an admission alone', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b'], down('c'));
    fleet.server('b').restart();
    const { server } = process.node('b');
    expect(server.install(process.topology.snapshot.fence, '{}')).toEqual({ kind: 'unknown' });
  });
});
