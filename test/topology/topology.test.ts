import { describe, expect, test } from 'vitest';
import { TopologyConflictError } from '../../src/errors.ts';
import { fenceOf } from '../../src/node/fence.ts';
import { parseDocument } from '../../src/topology/document.ts';
import type { Topology } from '../../src/topology/topology.ts';
import { RING, seat } from '../support/simulated-process.ts';
import { documentOf } from './documents.ts';
import { down, put, useFleet } from './fleet.ts';

const newFleet = useFleet();

/** For an operation that used the present snapshot. */
function refresh(topology: Topology): Promise<void> {
  return topology.refresh(topology.snapshot);
}

describe('a node without an epoch', () => {
  test('is given that of the first start, with the document', async () => {
    const fleet = newFleet();
    const { topology } = await fleet.start(['a', 'b']);
    const { fingerprint } = topology.snapshot.ring;
    expect(fleet.server('a').fence).toBe(fenceOf(1, fingerprint));
    expect(parseDocument(fleet.server('b').document)).toEqual(topology.document);
    expect(topology.snapshot.epoch).toBe(1);
  });

  test('is given the present one after a restart', async () => {
    const fleet = newFleet();
    const { topology, changer, node } = await fleet
      .start(['a', 'b'])
      .then((process) => Object.assign(process, { node: process.node.bind(process) }));
    await (await changer.change({ add: [seat('c')], remove: [] })).done;
    fleet.server('a').restart();
    await node('a').readmit();
    expect(fleet.server('a').epoch()).toBe(3);
    expect(parseDocument(fleet.server('a').document)).toEqual(topology.document);
  });
});

describe('a node that stands', () => {
  test('at the same epoch with the same members is used', async () => {
    const fleet = newFleet();
    await fleet.start(['a', 'b']);
    const second = await fleet.start(['b', 'a']);
    expect(second.node('a').state().state).toBe('up');
  });

  test('at the same epoch with other members is a conflict, and nothing is changed', async () => {
    const fleet = newFleet();
    await fleet.start(['a', 'b']);
    const before = fleet.server('a').greeting();
    const second = await fleet.create(['a', 'b', 'c']);
    await expect(second.topology.open()).rejects.toThrow(TopologyConflictError);
    await expect(second.topology.open()).rejects.toThrow('must be started with the same nodes');
    expect(fleet.server('a').greeting()).toEqual(before);
  });

  test.each([
    ['weights', [seat('a', 2), 'b'], {}],
    ['points', ['a', 'b'], { ring: { ...RING, points: 32 } }],
    ['placement', ['a', 'b'], { ring: { ...RING, placement: 'ketama' as const } }],
  ])('at the same epoch with other %s is a conflict', async (_, seats, options) => {
    const fleet = newFleet();
    await fleet.start(['a', 'b']);
    const second = await fleet.create(seats, options);
    await expect(second.topology.open()).rejects.toThrow(TopologyConflictError);
  });

  test('at a lower epoch is raised', async () => {
    const fleet = newFleet();
    const first = await fleet.start(['a', 'b', 'd'], down('b'));
    await first.changer.change({ add: [seat('c')], remove: [] });
    put(fleet.server('b'), documentOf(['a', 'b', 'd']));
    first.node('b').fault = 'none';
    await first.node('b').readmit();
    expect(fleet.server('b').epoch()).toBe(2);
    expect(first.node('b').state().state).toBe('up');
  });

  test('at a higher epoch with its document: that is adopted', async () => {
    const fleet = newFleet();
    const first = await fleet.start(['a', 'b']);
    await (await first.changer.change({ add: [seat('c')], remove: [] })).done;
    const second = await fleet.start(['a', 'b']);
    expect(second.topology.document).toEqual(first.topology.document);
    expect(second.topology.snapshot.ring.ids).toEqual(['a', 'b', 'c']);
    expect(second.swaps.map(({ adopted }) => adopted)).toEqual([true]);
    expect(second.node('c').state().state).toBe('up');
  });

  test('at a higher epoch with the document of another fleet does not tell this one what to do', async () => {
    const fleet = newFleet();
    const first = await fleet.start(['a', 'b']);
    await (await first.changer.change({ add: [seat('c')], remove: [] })).done;
    const before = first.topology.document;
    const { fingerprint } = first.topology.snapshot.ring.ofSameKind([{ id: 'a' }]);
    put(fleet.server('a'), documentOf(['a'], { epoch: 9, fingerprint, origin: 'feedbeef' }));
    await first.node('a').readmit();
    expect(first.topology.document).toEqual(before);
    expect(first.node('a').state().state).toBe('down');
  });

  test('at a higher epoch, and only another node has the document: that is adopted', async () => {
    const fleet = newFleet();
    const [first, second] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    await (await first.changer.change({ add: [seat('c')], remove: [] })).done;
    // An operation raised it before its copy came.
    fleet.server('a').document = JSON.stringify(documentOf(['a', 'b']));
    await second.node('a').readmit();
    expect(second.topology.document.epoch).toBe(3);
    expect(second.node('a').state().state).toBe('up');
  });

  test.each([
    ['no document', undefined],
    ['garbage', '{"version":1,'],
    ['a document of another version', JSON.stringify({ ...documentOf(['a']), version: 2 })],
    [
      'a document with a weight of -1',
      JSON.stringify(documentOf(['a'], { epoch: 7 })).replaceAll('"weight":1', '"weight":-1'),
    ],
    ['a document that is older than its epoch', JSON.stringify(documentOf(['a'], { epoch: 2 }))],
  ])('at a higher epoch of other members with %s is a conflict', async (_, document) => {
    const fleet = newFleet();
    fleet.server('a').fence = fenceOf(7, 'deadbeef');
    fleet.server('a').document = document;
    const process = await fleet.create(['a']);
    await expect(process.topology.open()).rejects.toThrow('serves epoch 7');
    expect(process.topology.snapshot.epoch).toBe(1);
  });

  // Two processes that place keys differently under one epoch delete at different nodes.
  test('at a higher epoch of a ring that is built otherwise is a conflict', async () => {
    const fleet = newFleet();
    const first = await fleet.start(['a', 'b']);
    await (await first.changer.change({ add: [seat('c')], remove: [] })).done;
    const second = await fleet.create(['a', 'b'], { ring: { ...RING, points: 32 } });
    await expect(second.topology.open()).rejects.toThrow(TopologyConflictError);
    expect(second.topology.snapshot.epoch).toBe(1);
  });

  test('that does not answer is left to heal', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b'], down('b'));
    expect(process.node('a').state().state).toBe('up');
    expect(process.node('b').state().state).toBe('down');
    process.node('b').fault = 'none';
    await process.node('b').readmit();
    expect(process.node('b').state().state).toBe('up');
  });
});

describe('a refresh', () => {
  test('adopts the newest document that any node has', async () => {
    const fleet = newFleet();
    const [first, second] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    await (await first.changer.change({ add: [seat('c')], remove: [] })).done;
    expect(second.topology.snapshot.epoch).toBe(1);
    await refresh(second.topology);
    expect(second.topology.snapshot.epoch).toBe(3);
    expect(second.swaps.at(-1)?.adopted).toBe(true);
  });

  test('asks the nodes that are up, and does not mind the others', async () => {
    const fleet = newFleet();
    const [first, second] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    await (await first.changer.change({ add: [seat('c')], remove: [] })).done;
    second.node('a').fault = 'down';
    await refresh(second.topology);
    expect(second.topology.snapshot.epoch).toBe(3);
  });

  test('has the nodes of the new ring connected before it is in force', async () => {
    const fleet = newFleet();
    const [first, second] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    const swapped: string[] = [];
    const { follow } = second.memory;
    second.memory.follow = (ownerOf) => {
      swapped.push(second.node('c').state().state);
      follow.call(second.memory, ownerOf);
    };
    await (await first.changer.change({ add: [seat('c')], remove: [] })).done;
    await refresh(second.topology);
    expect(swapped).toEqual(['up']);
  });

  test('that many want at once looks once, and all of them find the newest', async () => {
    const fleet = newFleet();
    const [first, second] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    await (await first.changer.change({ add: [seat('c')], remove: [] })).done;
    second.node('a').sent.length = 0;
    const epochs = await Promise.all(
      Array.from({ length: 5 }, async () => {
        await refresh(second.topology);
        return second.topology.snapshot.epoch;
      }),
    );
    expect(epochs).toEqual([3, 3, 3, 3, 3]);
    expect(second.node('a').sent.filter((what) => what === 'greet')).toHaveLength(1);
  });

  test('that found nothing newer is not repeated at once', async () => {
    const fleet = newFleet();
    const { topology, nodes } = await fleet.start(['a']);
    const sent = nodes.get('a')?.sent ?? [];
    sent.length = 0;
    for (let i = 0; i < 5; i++) await refresh(topology);
    expect(sent).toEqual(['greet']);
    await fleet.clock.advance(101);
    await refresh(topology);
    expect(sent).toEqual(['greet', 'greet']);
  });

  // A change with few keys is over in milliseconds: joint and stable follow each other.
  test('that found something may be repeated at once', async () => {
    const fleet = newFleet();
    const [first, second] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    for (const id of ['c', 'd']) {
      await (await first.changer.change({ add: [seat(id)], remove: [] })).done;
      await refresh(second.topology);
    }
    expect(second.topology.snapshot.epoch).toBe(5);
  });

  test('does not take up an older document, nor one that cannot be read', async () => {
    const fleet = newFleet();
    const { topology, swaps } = await fleet.start(['a', 'b']);
    fleet.server('a').document = '{';
    fleet.server('b').document = JSON.stringify(documentOf(['b']));
    await refresh(topology);
    expect(swaps).toEqual([]);
    expect(topology.snapshot.epoch).toBe(1);
  });
});

describe('a node that left', () => {
  test('is kept for the locks until the longest ttl is over, and a second for the answers under way', async () => {
    const fleet = newFleet();
    const { topology, changer, nodes } = await fleet.start(['a', 'b']);
    const b = nodes.get('b');
    await (await changer.change({ add: [], remove: ['b'] })).done;
    expect(topology.snapshot.nodes.has('b')).toBe(false);
    expect([...topology.snapshot.leaving.keys()]).toEqual(['b']);
    await fleet.clock.advance(60_000);
    expect(b?.closed).toBe(false);
    expect(topology.snapshot.epoch).toBe(3);
    // A margin of a second, and up to two so that not all processes do it at once.
    await fleet.clock.advance(3_000);
    expect(topology.snapshot.epoch).toBe(4);
    expect(topology.snapshot.leaving.size).toBe(0);
    await fleet.clock.advance(1_000);
    expect(b?.closed).toBe(true);
  });

  test('is closed with the topology, if that comes earlier', async () => {
    const fleet = newFleet();
    const { topology, changer, nodes } = await fleet.start(['a', 'b']);
    await (await changer.change({ add: [], remove: ['b'] })).done;
    await topology.close();
    expect([...nodes.values()].map(({ closed }) => closed)).toEqual([true, true]);
  });
});

describe('after close', () => {
  test('no node is open and nothing is taken up any more', async () => {
    const fleet = newFleet();
    const [first, second] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    await second.topology.close();
    expect([...second.nodes.values()].every(({ closed }) => closed)).toBe(true);
    await (await first.changer.change({ add: [seat('c')], remove: [] })).done;
    await refresh(second.topology);
    await second.topology.takeUp(first.topology.document);
    expect(second.topology.snapshot.epoch).toBe(1);
    expect(second.topology.document.epoch).toBe(1);
    await expect(second.topology.close()).resolves.toBeUndefined();
  });

  test('no timer is left', async () => {
    const fleet = newFleet();
    const { topology, changer, eras } = await fleet.start(['a', 'b']);
    await (await changer.change({ add: [], remove: ['b'] })).done;
    eras.end();
    await topology.close();
    await fleet.clock.settle();
    expect(fleet.clock.pending).toBe(0);
  });

  test('a node that is being connected for a new ring is closed as well', async () => {
    const fleet = newFleet();
    const first = await fleet.start(['a', 'b']);
    await (await first.changer.change({ add: [seat('c')], remove: [] })).done;
    const second = await fleet.create(['a', 'b']);
    const opening = second.topology.open();
    await Promise.resolve();
    await second.topology.close();
    await opening;
    await fleet.clock.settle();
    expect([...second.nodes.values()].filter(({ closed }) => !closed)).toEqual([]);
  });
});
