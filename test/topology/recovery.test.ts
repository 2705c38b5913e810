/** When the node that decides about changes is lost. */
import { describe, expect, test } from 'vitest';
import {
  InvalidOptionError,
  NodeUnavailableError,
  TopologyConflictError,
} from '../../src/errors.ts';
import { recover } from '../../src/topology/recovery.ts';
import { seat } from '../support/simulated-process.ts';
import { documentOf } from './documents.ts';
import { down, keyThat, put, useFleet } from './fleet.ts';

const newFleet = useFleet();
const ADD_D = { add: [seat('d')], remove: [] };

describe('a recovery', () => {
  test('lets another node decide; what is stored stays', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    const key = keyThat((one) => process.topology.snapshot.ring.owner(one) === 'b');
    await process.set(key, 1, { memory: false });
    process.node('a').fault = 'down';
    await expect(process.changer.change(ADD_D)).rejects.toThrow('topology recover');
    expect(await recover(process.topology)).toEqual({ epoch: 2, control: 'b', believed: true });
    expect(await process.get(key)).toBe(1);
    await process.changer.change(ADD_D);
    expect(process.topology.document.epoch).toBe(3);
  });

  test('by the node that is named', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    expect(await recover(process.topology, 'c')).toMatchObject({ control: 'c' });
    const late = await fleet.start(['a', 'b', 'c']);
    expect(late.topology.control?.id).toBe('c');
  });

  test('of nodes that contradict each other: nothing is believed that was stored before', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    await (await process.changer.change(ADD_D)).done;
    const { document } = process.topology;
    const key = keyThat((one) => process.topology.snapshot.ring.owner(one) === 'b');
    await process.set(key, 1, { memory: false });
    // Another one under the same epoch: its control had lost its data in between.
    put(fleet.server('c'), { ...document, floors: { a: 3 } });
    await process.node('c').readmit();
    expect(process.node('c').state().state).toBe('down');
    expect(await recover(process.topology)).toEqual({ epoch: 4, control: 'a', believed: false });
    expect(process.node('c').state().state).toBe('up');
    expect(['a', 'b', 'c', 'd'].map((id) => fleet.server(id).epoch())).toEqual([4, 4, 4, 4]);
    expect(await process.get(key)).toBeUndefined();
  });

  test('of a node whose document nobody has', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    fleet.server('b').fence = '0000000000000007:deadbeef';
    await process.node('b').readmit();
    expect(await recover(process.topology)).toMatchObject({ epoch: 8, believed: false });
    expect(fleet.server('b').epoch()).toBe(8);
  });
});

describe('a recovery is refused, and nothing is changed,', () => {
  test('when no node answers', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b'], down('a', 'b'));
    await expect(recover(process.topology)).rejects.toThrow(NodeUnavailableError);
    expect(process.topology.document.epoch).toBe(1);
  });

  test('for a node that is not in the ring, or does not answer', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b'], down('b'));
    await expect(recover(process.topology, 'x')).rejects.toThrow(InvalidOptionError);
    await expect(recover(process.topology, 'b')).rejects.toThrow(NodeUnavailableError);
    expect(fleet.server('a').epoch()).toBe(1);
  });

  test('when a node is one of another fleet', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    await (await process.changer.change(ADD_D)).done;
    put(fleet.server('b'), documentOf(['b'], { epoch: 9, origin: 'feedbeef' }));
    await process.node('b').readmit();
    await expect(recover(process.topology)).rejects.toThrow(TopologyConflictError);
    expect(fleet.server('b').epoch()).toBe(9);
    expect(process.topology.document.epoch).toBe(3);
  });
});
