import { describe, expect, test } from 'vitest';
import {
  InvalidOptionError,
  NodeUnavailableError,
  TopologyBusyError,
  TopologyConflictError,
} from '../../src/errors.ts';
import type { SimulatedNode } from '../support/simulated-node.ts';
import { type SimulatedProcess, seat } from '../support/simulated-process.ts';
import { documentOf } from './documents.ts';
import { down, keyThat, put, useFleet } from './fleet.ts';

const newFleet = useFleet();

const ADD_C = { add: [seat('c')], remove: [] };
const REMOVE_B = { add: [], remove: ['b'] };

/** A key that `from` owns now, and `to` when it has joined. */
function movingKey(process: SimulatedProcess, from: string, to: string): string {
  const { ring } = process.topology.snapshot;
  const next = ring.with({ id: to });
  return keyThat((key) => ring.owner(key) === from && next.owner(key) === to);
}

/** What every node was told of epochs, in the order in which it happened. */
function recordInstalls(...nodes: (SimulatedNode | undefined)[]): string[] {
  const told: string[] = [];
  for (const node of nodes) {
    if (node === undefined) continue;
    const { server } = node;
    const install = server.install.bind(server);
    server.install = (fence, document) => {
      const answer = install(fence, document);
      told.push(`${server.id}:${Number(fence.slice(0, 16))}:${answer.kind}`);
      return answer;
    };
  }
  return told;
}

describe('a change', () => {
  test('serves with the new ring, and ends in a stable one', async () => {
    const fleet = newFleet();
    const { topology, changer, swaps } = await fleet.start(['a', 'b']);
    const change = await changer.change(ADD_C);
    expect(topology.snapshot.epoch).toBe(2);
    expect(topology.snapshot.source?.ids).toEqual(['a', 'b']);
    expect(change.movedShare).toBeCloseTo(topology.snapshot.ring.shares()['c'] ?? 0, 9);
    const result = await change.done;
    expect(result).toMatchObject({ epoch: 3, failed: 0 });
    expect(topology.snapshot.source).toBeUndefined();
    expect(['a', 'b', 'c'].map((id) => fleet.server(id).epoch())).toEqual([3, 3, 3]);
    expect(swaps.map(({ adopted }) => adopted)).toEqual([false, false]);
  });

  test('may add and remove several nodes at once', async () => {
    const fleet = newFleet();
    const { topology, changer } = await fleet.start(['a', 'b']);
    const both = { add: [seat('c'), seat('d')], remove: ['a', 'b'] };
    await (await changer.change(both)).done;
    expect(topology.snapshot.ring.ids).toEqual(['c', 'd']);
  });

  test('copies what changes hands, and nothing else', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    const moving = movingKey(process, 'a', 'c');
    const staying = keyThat((key) => process.topology.snapshot.ring.owner(key) === 'b');
    for (const key of [moving, staying]) await process.set(key, key);
    const { done } = await process.changer.change(ADD_C);
    await fleet.clock.advance(1);
    expect((await done).copied).toBe(1);
    expect(fleet.server('c').keys).toEqual([moving]);
  });

  test('without warming copies nothing and is stable at once', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    await process.set(movingKey(process, 'a', 'c'), 1);
    const change = await process.changer.change(ADD_C, { warm: false });
    expect(process.topology.snapshot.source).toBeUndefined();
    expect(await change.done).toMatchObject({ epoch: 2, scanned: 0, copied: 0 });
    expect(fleet.server('c').keys).toEqual([]);
  });

  test('after another one is possible', async () => {
    const fleet = newFleet();
    const { topology, changer } = await fleet.start(['a', 'b']);
    await (await changer.change(ADD_C)).done;
    await (await changer.change(REMOVE_B)).done;
    await (await changer.change({ add: [seat('b')], remove: [] })).done;
    expect(topology.snapshot.ring.ids).toEqual(['a', 'b', 'c']);
    expect(topology.snapshot.epoch).toBe(7);
  });
});

describe('the order of a change', () => {
  test('one node accepts it, then this process, then all, and nobody drops the source before that', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    const told = recordInstalls(process.node('a'), process.node('b'));
    const { follow } = process.memory;
    process.memory.follow = (ownerOf) => {
      told.push(`here:${process.topology.snapshot.epoch}`);
      follow.call(process.memory, ownerOf);
    };
    await (await process.changer.change(REMOVE_B)).done;
    expect(told[0]).toBe('a:2:installed');
    expect(told[1]).toBe('here:2');
    const dropped = told.indexOf('here:3');
    for (const id of ['a', 'b']) {
      // Raised when the change was made, and again before the source was dropped.
      const raised = told.slice(0, dropped).filter((what) => what === `${id}:2:installed`);
      expect(raised.length).toBeGreaterThanOrEqual(2);
    }
    expect(told.slice(dropped + 1).sort()).toEqual(['a:3:installed', 'b:3:installed']);
  });

  test('a node that could not be raised at first is raised before the source is dropped', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'd']);
    const told = recordInstalls(process.node('d'));
    process.node('d').fault = 'down';
    const change = await process.changer.change(ADD_C, {
      keysPerSecond: 1,
      onProgress: () => {
        process.node('d').fault = 'none';
      },
    });
    await fleet.clock.advance(10_000);
    await change.done;
    expect(told).toEqual(['d:2:installed', 'd:3:installed']);
  });

  // With no source to go to first, what is set at the new owner must be out of date nowhere.
  test('without warming all nodes are raised before this process uses the new ring', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'd']);
    const told = recordInstalls(...['a', 'b', 'd'].map((id) => process.node(id)));
    const { follow } = process.memory;
    process.memory.follow = (ownerOf) => {
      told.push('here');
      follow.call(process.memory, ownerOf);
    };
    await process.changer.change(REMOVE_B, { warm: false });
    const before = told.slice(0, told.indexOf('here'));
    expect(new Set(before)).toEqual(new Set(['a:2:installed', 'b:2:installed', 'd:2:installed']));
  });

  // Nobody asks the node that left any more, but a process that has not heard does.
  test.each([true, false])('a node that leaves is raised as well (warm: %s)', async (warm) => {
    const fleet = newFleet();
    const { changer } = await fleet.start(['a', 'b']);
    const late = await fleet.start(['a', 'b']);
    const key = keyThat((name) => late.topology.snapshot.ring.owner(name) === 'b');
    await late.set(key, 'old', { memory: false });
    const { done } = await changer.change(REMOVE_B, { warm });
    await fleet.clock.advance(1);
    await done;
    expect(await late.delete(key)).toBe(true);
    expect(late.topology.snapshot.ring.ids).toEqual(['a']);
    expect(await late.get(key)).toBeUndefined();
  });

  test('a node that is dead leaves at once: nobody can ask it', async () => {
    const fleet = newFleet();
    const { topology, changer } = await fleet.start(['a', 'b'], down('b'));
    const change = await changer.change(REMOVE_B);
    expect(topology.document.source).toBeNull();
    expect(topology.snapshot.source).toBeUndefined();
    expect(await change.done).toMatchObject({ epoch: 2, scanned: 0 });
  });
});

describe('a change is proposed', () => {
  test('to the first node that answers', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'd']);
    const told = recordInstalls(...['a', 'b', 'd'].map((id) => process.node(id)));
    process.node('a').fault = 'request-lost';
    const changing = process.changer.change(ADD_C);
    await fleet.clock.advance(10_000);
    await (await changing).done;
    expect(told[0]).toBe('b:2:installed');
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

describe('a change that serves already', () => {
  test('is completed without the rest of the copies when it is aborted', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    await process.set(movingKey(process, 'a', 'c'), 1);
    const control = new AbortController();
    const { signal } = control;
    const change = await process.changer.change(ADD_C, { signal, keysPerSecond: 0.01 });
    await fleet.clock.settle();
    control.abort(new Error('enough'));
    expect(await change.done).toMatchObject({ epoch: 3 });
    expect(process.topology.snapshot.source).toBeUndefined();
  });

  test('is completed when who watches its progress throws, and says so', async () => {
    const fleet = newFleet();
    const { topology, changer } = await fleet.start(['a', 'b']);
    const change = await changer.change(ADD_C, {
      onProgress() {
        throw new Error('watcher');
      },
    });
    await expect(change.done).rejects.toThrow('watcher');
    expect(topology.snapshot).toMatchObject({ epoch: 3, source: undefined });
    await expect(changer.change(REMOVE_B)).resolves.toBeDefined();
  });
});
