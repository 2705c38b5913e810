import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { HashRing } from '../../src/ring/ring.ts';
import { parseDocument } from '../../src/topology/document.ts';
import { VIEW_MARGIN_MS, VIEW_MS } from '../../src/topology/view.ts';
import type { SimulatedNode } from '../support/simulated-node.ts';
import { seat } from '../support/simulated-process.ts';
import { down, keyThat, movingKey, silent, useFleet } from './fleet.ts';

const newFleet = useFleet();

const ADD_C = { add: [seat('c')], remove: [] };
const REMOVE_B = { add: [], remove: ['b'] };

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

  // A read that the control turns away meanwhile asks it, and takes up what it finds.
  test('that is heard of here before its answer has come goes on', async () => {
    const fleet = newFleet();
    let hear = (): Promise<void> => Promise.resolve();
    const hop = (what: string) => (what === 'a answers install' ? hear() : Promise.resolve());
    const { topology, changer } = await fleet.start(['a', 'b', 'c'], { hop });
    hear = async () => {
      const accepted = parseDocument(fleet.server('a').document);
      if (accepted !== undefined) await topology.takeUp(accepted);
    };
    const share = topology.snapshot.ring.shares()['c'] ?? 0;
    const change = await changer.change({ add: [], remove: ['c'] });
    expect(change.movedShare).toBeCloseTo(share, 9);
    expect(await change.done).toMatchObject({ epoch: 3 });
    expect(topology.snapshot.source).toBeUndefined();
  });

  // Building a ring takes longer than all else, and every request would wait for it.
  test('is announced before it is decided, and whoever listens has built its ring when it comes', async () => {
    const fleet = newFleet();
    const [driver, other] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    for (const node of driver.nodes.values()) node.announces = true;
    const building = vi.spyOn(HashRing.prototype, 'ofSameKind');
    onTestFinished(() => building.mockRestore());
    const changing = driver.changer.change(ADD_C, { warm: false });
    await fleet.clock.settle();
    expect(building).toHaveBeenCalledTimes(0);
    await other.topology.newsAt('a');
    expect(building).toHaveBeenCalledTimes(1);
    expect(other.topology.snapshot.epoch).toBe(1);
    expect(fleet.server('a').epoch()).toBe(1);
    await fleet.clock.advance(100);
    await (await changing).done;
    building.mockClear();
    await other.topology.refresh(other.topology.snapshot);
    expect(other.topology.snapshot).toMatchObject({ epoch: 3, ring: { ids: ['a', 'b', 'c'] } });
    expect(building).toHaveBeenCalledTimes(0);
  });

  test('that is announced and not made is forgotten', async () => {
    const fleet = newFleet();
    const [driver, other] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    for (const node of driver.nodes.values()) node.announces = true;
    const control = new AbortController();
    const changing = driver.changer.change(ADD_C, { signal: control.signal });
    await fleet.clock.settle();
    await other.topology.newsAt('a');
    control.abort();
    await expect(changing).rejects.toThrow(/abort/i);
    for (const { topology } of [driver, other]) {
      expect(topology.snapshot).toMatchObject({ epoch: 1, ring: { ids: ['a', 'b'] } });
    }
    await (await other.changer.change({ add: [seat('d')], remove: [] })).done;
    expect(other.topology.snapshot.ring.ids).toEqual(['a', 'b', 'd']);
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

  test('without warming has a joint phase too, and copies nothing', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    await process.set(movingKey(process, 'a', 'c'), 1);
    const change = await process.changer.change(ADD_C, { warm: false });
    expect(process.topology.snapshot.source?.ids).toEqual(['a', 'b']);
    expect(await change.done).toMatchObject({ epoch: 3, scanned: 0, copied: 0 });
    expect(process.topology.snapshot.source).toBeUndefined();
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
  test('the control accepts it, then all, then this process uses it, and nobody drops the source before all know', async () => {
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
    expect(told.slice(0, told.indexOf('here:2'))).toContain('b:2:installed');
    const dropped = told.indexOf('here:3');
    for (const id of ['a', 'b']) {
      // Raised when the change was made, and again before the source was dropped.
      const raised = told.slice(0, dropped).filter((what) => what === `${id}:2:installed`);
      expect(raised.length).toBeGreaterThanOrEqual(2);
    }
    expect(told.slice(0, dropped)).toContain('a:3:installed');
    expect(new Set(told.slice(dropped + 1))).toEqual(new Set(['a:3:installed', 'b:3:installed']));
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
    expect(new Set(told)).toEqual(new Set(['d:2:installed', 'd:3:installed']));
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

  test('a node that is dead is not waited for: who removes it says that it is lost', async () => {
    const fleet = newFleet();
    const { topology, changer } = await fleet.start(['a', 'b'], down('b'));
    const change = await changer.change(REMOVE_B);
    expect(topology.document.locks.leaving).toMatchObject([{ id: 'b', lost: true }]);
    expect(await change.done).toMatchObject({ epoch: 3, scanned: 0 });
    expect(topology.snapshot.source).toBeUndefined();
  });

  // It may serve others, who have not heard: a breaker that is open for a moment says nothing of a node.
  test('a node that leaves and does not answer is waited for until nobody trusts it', async () => {
    const fleet = newFleet();
    const starting = fleet.start(['a', 'b'], silent('b'));
    await fleet.clock.advance(2_000);
    const process = await starting;
    expect(process.node('b').state().state).toBe('down');
    const changing = process.changer.change(REMOVE_B);
    await fleet.clock.advance(2_000);
    const { done } = await changing;
    expect(process.topology.document.locks.leaving).toMatchObject([{ id: 'b' }]);
    expect(process.topology.document.locks.leaving[0]).not.toHaveProperty('lost');
    await fleet.clock.advance(VIEW_MS - 1_000);
    expect(process.topology.snapshot.state).toBe('joint');
    await fleet.clock.advance(VIEW_MARGIN_MS + 3_000);
    expect(await done).toMatchObject({ epoch: 3 });
  });

  // A process that reaches only that node would go on using the previous ring there.
  test('a node that stays and cannot be raised is waited for until nobody trusts it', async () => {
    const fleet = newFleet();
    const { topology, changer } = await fleet.start(['a', 'b', 'd'], down('d'));
    const { done } = await changer.change(ADD_C);
    await fleet.clock.advance(VIEW_MS);
    expect(topology.snapshot.state).toBe('joint');
    await fleet.clock.advance(VIEW_MARGIN_MS + 1_000);
    expect(await done).toMatchObject({ epoch: 3 });
    expect(topology.snapshot.state).toBe('stable');
  });

  test('one that was raised once is not waited for', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'd']);
    await process.set(movingKey(process, 'a', 'c'), 1);
    const { done } = await process.changer.change(ADD_C, {
      onProgress: () => {
        process.node('d').fault = 'down';
      },
    });
    await fleet.clock.advance(5_000);
    expect(await done).toMatchObject({ epoch: 3 });
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
