/** For how long a process uses what it knows of the topology, and how it keeps knowing. */
import { describe, expect, test } from 'vitest';
import { NodeUnavailableError } from '../../src/errors.ts';
import { CONFIRM_MS, VIEW_MS, View } from '../../src/topology/view.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { type SimulatedProcess, seat } from '../support/simulated-process.ts';
import { down, keyThat, useFleet } from './fleet.ts';

const newFleet = useFleet();
const ADD_C = { add: [seat('c')], remove: [] };

describe('a view', () => {
  const viewOf = (...rings: string[]): { clock: FakeClock; view: View } => {
    const clock = new FakeClock(1_000);
    return { clock, view: new View(clock, () => rings.map((ids) => ids.split(''))) };
  };

  test.each([
    [['a'], '', false],
    [['a'], 'a', true],
    [['ab'], 'b', true],
    [['abc'], 'b', false],
    [['abc'], 'bc', true],
    [['abcd'], 'ad', true],
    [['abcde'], 'ad', false],
    // Half of both rings together, and of the first alone, are not half of each.
    [['abc', 'cde'], 'ab', false],
    [['abc', 'cde'], 'abc', false],
    [['abc', 'cde'], 'bcd', true],
  ])('of the rings %j is trusted when %j have answered: %j', (rings, heard, trusted) => {
    const { clock, view } = viewOf(...rings);
    for (const id of heard) view.heard(id, clock.now());
    expect(view.trusted()).toBe(trusted);
  });

  test('counts from when the last of the half was asked', async () => {
    const { clock, view } = viewOf('abc');
    view.heard('a', 900);
    view.heard('b', 500);
    view.heard('b', 400); // an answer that came late, to an earlier question
    await clock.advance(500 + VIEW_MS - 1_000);
    expect(view.trusted()).toBe(true);
    await clock.advance(1);
    expect(view.trusted()).toBe(false);
    view.heard('c', 800);
    expect(view.trusted()).toBe(true);
  });
});

describe('a process', () => {
  test('that hears from less than half asks no node for anything else, until it does', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    const ask = () => process.node('a').size();
    for (const id of ['b', 'c']) process.node(id).fault = 'request-lost';
    await fleet.clock.advance(VIEW_MS - CONFIRM_MS);
    await expect(ask()).resolves.toBeGreaterThan(0);
    await fleet.clock.advance(2 * CONFIRM_MS);
    await expect(ask()).rejects.toMatchObject({ reason: 'unconfirmed' });
    await expect(ask()).rejects.toThrow(NodeUnavailableError);
    const key = keyThat((one) => process.topology.snapshot.ring.owner(one) === 'a');
    const set = process.set(key, 1);
    await fleet.clock.advance(300);
    expect(await set).toBe(false);
    expect(await process.getOrSet(key, () => 'loaded')).toBe('loaded');
    process.node('b').fault = 'none';
    await fleet.clock.advance(CONFIRM_MS);
    await expect(ask()).resolves.toBeGreaterThan(0);
    expect(await process.set(key, 1)).toBe(true);
  });

  test('of which one node of two is down goes on with the other', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b'], down('a'));
    const key = keyThat((one) => process.topology.snapshot.ring.owner(one) === 'b');
    await fleet.clock.advance(10 * VIEW_MS);
    expect(await process.set(key, 1)).toBe(true);
  });

  // It may be the only one that a change was not told to.
  test('that stood still has to ask first', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    const { nodes } = process;
    for (const node of nodes.values()) node.fault = 'request-lost';
    await fleet.clock.advance(2 * VIEW_MS);
    for (const node of nodes.values()) node.fault = 'none';
    await expect(process.node('a').size()).rejects.toMatchObject({ reason: 'unconfirmed' });
    await fleet.clock.advance(CONFIRM_MS);
    await expect(process.node('a').size()).resolves.toBeGreaterThan(0);
  });

  test('that asks for nothing hears of another ring all the same', async () => {
    const fleet = newFleet();
    const [first, idle] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    await (await first.changer.change(ADD_C)).done;
    await fleet.clock.advance(CONFIRM_MS);
    expect(idle.topology.snapshot.ring.ids).toEqual(['a', 'b', 'c']);
  });

  // Under allkeys-lru nothing is safe, least of all what is read seldom.
  test('gives a node the document that it has lost, and the epoch that it was not told', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'd'], down('d'));
    await process.changer.change(ADD_C);
    fleet.server('a').document = undefined;
    process.node('d').fault = 'none';
    await process.node('d').readmit();
    await fleet.clock.advance(CONFIRM_MS);
    expect(fleet.server('a').document).toBe(fleet.server('b').document);
    expect(fleet.server('d').epoch()).toBeGreaterThan(1);
  });

  // Of two documents of one epoch nobody knows which is in force.
  test('does not count a node that stands at another document of its epoch', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    await (await process.changer.change({ add: [seat('d')], remove: [] })).done;
    for (const id of ['b', 'c', 'd']) {
      const server = fleet.server(id);
      server.fence = server.fence?.replace(/.{8}$/, '00000000');
    }
    await fleet.clock.advance(VIEW_MS + CONFIRM_MS);
    await expect(process.node('a').size()).rejects.toMatchObject({ reason: 'unconfirmed' });
  });

  test('admits a node anew that was emptied under it', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    fleet.server('a').fence = undefined;
    fleet.server('a').document = undefined;
    await fleet.clock.advance(CONFIRM_MS);
    expect(fleet.server('a').epoch()).toBe(1);
    expect(process.node('a').state().state).toBe('up');
  });
});

describe('two dead nodes of three', () => {
  const removed = async (process: SimulatedProcess): Promise<void> => {
    await (await process.changer.change({ add: [], remove: ['b', 'c'] })).done;
  };

  test('can be removed, and the rest is used again', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c'], down('b', 'c'));
    await fleet.clock.advance(2 * VIEW_MS);
    const set = process.set('k', 1);
    await fleet.clock.advance(300);
    expect(await set).toBe(false);
    await removed(process);
    expect(process.topology.snapshot.ring.ids).toEqual(['a']);
    expect(await process.set('k', 1)).toBe(true);
  });
});
