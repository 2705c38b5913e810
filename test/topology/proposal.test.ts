/** Who decides about a change, and when it is refused. */
import { describe, expect, test } from 'vitest';
import {
  InvalidOptionError,
  NodeUnavailableError,
  TopologyBusyError,
  TopologyConflictError,
} from '../../src/errors.ts';
import { CONFIRM_MS } from '../../src/topology/view.ts';
import { seat } from '../support/simulated-process.ts';
import { documentOf } from './documents.ts';
import { down, keyThat, movingKey, put, useFleet } from './fleet.ts';

const newFleet = useFleet();

const ADD_C = { add: [seat('c')], remove: [] };
const REMOVE_B = { add: [], remove: ['b'] };

describe('a change is proposed', () => {
  test('to the control alone: without it nothing is changed', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'd']);
    process.node('a').fault = 'request-lost';
    const refused = expect(process.changer.change(ADD_C)).rejects.toThrow('topology recover');
    await fleet.clock.advance(10_000);
    await refused;
    expect(process.topology.document.epoch).toBe(1);
    expect(fleet.server('b').epoch()).toBe(1);
  });

  // Its answer was lost: the same document is accepted again.
  test('again when the first answer does not come', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    process.node('a').fault = 'answer-lost';
    const changing = process.changer.change(ADD_C);
    await fleet.clock.advance(50);
    process.node('a').fault = 'none';
    await fleet.clock.advance(51);
    expect((await changing).epoch).toBe(2);
  });

  // Nobody else would finish it: the ring would stay in its joint phase.
  test('and is completed when it turns out to have been accepted after it was given up', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    process.node('a').fault = 'answer-lost';
    const refused = expect(process.changer.change(ADD_C)).rejects.toThrow(NodeUnavailableError);
    await fleet.clock.advance(1_000);
    await refused;
    expect(fleet.server('a').epoch()).toBe(2);
    expect(process.topology.document.epoch).toBe(1);
    process.node('a').fault = 'none';
    await fleet.clock.advance(CONFIRM_MS);
    await fleet.clock.advance(1_000);
    expect(process.topology.document).toMatchObject({ epoch: 3, source: null });
    expect(process.topology.snapshot.ring.ids).toEqual(['a', 'b', 'c']);
  });

  test('to the next control when it is the control that is lost and removed', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'd'], down('a'));
    await expect(process.changer.change(REMOVE_B)).rejects.toThrow('topology recover');
    await (await process.changer.change({ add: [], remove: ['a'] })).done;
    expect(process.topology.document).toMatchObject({ epoch: 3, control: { id: 'b' } });
    await (await process.changer.change(ADD_C)).done;
    expect(process.topology.snapshot.ring.ids).toEqual(['b', 'c', 'd']);
  });

  test('and the control that leaves hands over to the next', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    const late = await fleet.start(['a', 'b']);
    await (await process.changer.change({ add: [], remove: ['a'] })).done;
    expect(process.topology.document.control).toEqual({ id: 'b' });
    await (await late.changer.change(ADD_C)).done;
    expect(late.topology.snapshot.ring.ids).toEqual(['b', 'c']);
  });

  test('to nobody if no node answers, and is not made then', async () => {
    const fleet = newFleet();
    const { topology, changer, nodes } = await fleet.start(['a', 'b']);
    for (const node of nodes.values()) node.fault = 'request-lost';
    const changing = changer.change(REMOVE_B);
    const refused = expect(changing).rejects.toThrow(NodeUnavailableError);
    await fleet.clock.advance(10_000);
    await refused;
    expect(topology.snapshot.epoch).toBe(1);
    expect(fleet.server('a').epoch()).toBe(1);
  });

  test('of two processes, one is turned away and takes up what the other changed', async () => {
    const fleet = newFleet();
    const [first, second] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    const outcomes = await Promise.allSettled([
      first.changer.change(ADD_C),
      second.changer.change({ add: [seat('d')], remove: [] }),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(outcomes[1]).toMatchObject({ reason: expect.any(TopologyBusyError) });
    expect(second.topology.snapshot.ring.ids).toEqual(['a', 'b', 'c']);
    await fleet.clock.advance(1_000);
    expect(second.node('d').closed).toBe(true);
  });

  // As an automatic scaling does that runs twice: they propose one and the same document.
  test('the same of two processes is one change', async () => {
    const fleet = newFleet();
    const both = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    const changes = await Promise.all(both.map(({ changer }) => changer.change(ADD_C)));
    await Promise.all(changes.map(({ done }) => done));
    for (const { topology } of both) {
      expect(topology.snapshot).toMatchObject({ epoch: 3, source: undefined });
      expect(topology.snapshot.nodes.get('c')?.state().state).toBe('up');
    }
  });

  test('of two that add the same node among others, the one turned away goes on using it', async () => {
    const fleet = newFleet();
    const [first, second] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    const outcomes = await Promise.allSettled([
      first.changer.change(ADD_C),
      second.changer.change({ add: [seat('c'), seat('d')], remove: [] }),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(second.topology.snapshot.ring.ids).toEqual(['a', 'b', 'c']);
    expect(second.topology.snapshot.nodes.get('c')?.state().state).toBe('up');
    const key = keyThat((name) => second.topology.snapshot.ring.owner(name) === 'c');
    expect(await second.set(key, 1)).toBe(true);
  });
});

describe('a change is refused, and nothing is changed,', () => {
  test.each([
    ['for a node that is in the ring already', { add: [seat('b')], remove: [] }],
    ['for a node that is added twice', { add: [seat('c'), seat('c')], remove: [] }],
    ['for a node that is unknown', { add: [], remove: ['x'] }],
    ['for a node that is removed twice', { add: [], remove: ['b', 'b'] }],
    ['for the last node', { add: [], remove: ['a', 'b'] }],
  ])('%s', async (_, change) => {
    const fleet = newFleet();
    const { topology, changer } = await fleet.start(['a', 'b']);
    await expect(changer.change(change)).rejects.toThrow(InvalidOptionError);
    expect(topology.document.epoch).toBe(1);
    expect(fleet.server('a').epoch()).toBe(1);
    await expect(changer.change(ADD_C)).resolves.toBeDefined();
  });

  test('while another one is under way, in this process', async () => {
    const fleet = newFleet();
    const { changer } = await fleet.start(['a', 'b']);
    const changing = changer.change(ADD_C);
    await expect(changer.change(REMOVE_B)).rejects.toThrow(TopologyBusyError);
    const { done } = await changing;
    await expect(changer.change(REMOVE_B)).rejects.toThrow(TopologyBusyError);
    await done;
    await expect(changer.change(REMOVE_B)).resolves.toBeDefined();
  });

  test('while another one is under way, in another process', async () => {
    const fleet = newFleet();
    const first = await fleet.start(['a', 'b']);
    await first.set(movingKey(first, 'a', 'c'), 1);
    const change = await first.changer.change(ADD_C, { keysPerSecond: 0.5 });
    const second = await fleet.start(['a', 'b']);
    await expect(second.changer.change(REMOVE_B)).rejects.toThrow(TopologyBusyError);
    await fleet.clock.advance(10_000);
    await change.done;
  });

  test('while half of the nodes do not answer', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b'], down('b'));
    await expect(process.changer.change(ADD_C)).rejects.toThrow('half of its nodes');
    expect(fleet.server('a').epoch()).toBe(1);
    const both = { add: [seat('c')], remove: ['b'] };
    await expect(process.changer.change(both)).resolves.toBeDefined();
  });

  test('for a node that does not answer', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b'], down('c'));
    await expect(process.changer.change(ADD_C)).rejects.toThrow(NodeUnavailableError);
    expect(process.node('c').closed).toBe(true);
    expect(process.topology.snapshot.nodes.has('c')).toBe(false);
    expect(fleet.server('a').epoch()).toBe(1);
  });

  test('for a node of another fleet', async () => {
    const fleet = newFleet();
    const other = await fleet.start(['c', 'x']);
    const before = fleet.server('c').greeting();
    const process = await fleet.start(['a', 'b']);
    await expect(process.changer.change(ADD_C)).rejects.toThrow(TopologyConflictError);
    await expect(process.changer.change(ADD_C)).rejects.toThrow('another fleet');
    expect(fleet.server('c').greeting()).toEqual(before);
    expect(other.node('c').state().state).toBe('up');
    expect(process.node('c').closed).toBe(true);
  });

  test('for a node that serves a later epoch', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    const { origin } = process.topology.document;
    put(fleet.server('c'), documentOf(['c'], { epoch: 9, origin }));
    await expect(process.changer.change(ADD_C)).rejects.toThrow('serves epoch 9 already');
    expect(fleet.server('c').epoch()).toBe(9);
  });

  test('when it is aborted before it begins', async () => {
    const fleet = newFleet();
    const { topology, changer } = await fleet.start(['a', 'b']);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(changer.change(ADD_C, { signal })).rejects.toThrow('enough');
    expect(topology.document.epoch).toBe(1);
    await expect(changer.change(ADD_C)).resolves.toBeDefined();
  });

  test('when it is aborted while the node that joins is being connected', async () => {
    const fleet = newFleet();
    const { topology, changer } = await fleet.start(['a', 'b']);
    const control = new AbortController();
    const changing = changer.change(ADD_C, { signal: control.signal });
    control.abort(new Error('enough'));
    await expect(changing).rejects.toThrow('enough');
    expect(topology.document.epoch).toBe(1);
    expect(fleet.server('a').epoch()).toBe(1);
  });
});
