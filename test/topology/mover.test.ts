import { describe, expect, test } from 'vitest';
import { copyKey, type MoveProgress, moveKeys } from '../../src/topology/mover.ts';
import type { Snapshot } from '../../src/topology/snapshot.ts';
import type { Topology } from '../../src/topology/topology.ts';
import { type SimulatedProcess, seat } from '../support/simulated-process.ts';
import { type Fleet, keyThat, useFleet } from './fleet.ts';

const newFleet = useFleet();
const LIFE = { ttlMs: 60_000, staleMs: 0, jitter: 0, memory: false };

interface Joint {
  readonly fleet: Fleet;
  readonly process: SimulatedProcess;
  readonly topology: Topology;
  readonly snapshot: Snapshot;
  /** Keys that were stored at `a` and `b`, and have to move to `c`. */
  readonly moving: readonly string[];
}

/** A fleet of a and b with `count` keys, which c has just joined; nothing has been copied yet. */
async function joint(count: number): Promise<Joint> {
  const fleet = newFleet();
  const process = await fleet.start(['a', 'b']);
  const keys = Array.from({ length: count }, (_, i) => `key:${i}`);
  for (const key of keys) await process.set(key, { of: key }, LIFE);
  await beginJoint(process, 'c');
  const { topology } = process;
  const { snapshot } = topology;
  const moving = keys.filter((key) => snapshot.ring.owner(key) === 'c');
  return { fleet, process, topology, snapshot, moving };
}

/** The joint phase of a change, without the mover that would follow. */
async function beginJoint(process: SimulatedProcess, id: string): Promise<void> {
  const control = new AbortController();
  const hold = new Promise<never>(() => {});
  const node = process.topology;
  const sizes = [...process.nodes.values()].map((one) => {
    const { size } = one;
    one.size = () => hold;
    return () => {
      one.size = size;
    };
  });
  await process.changer.change({ add: [seat(id)], remove: [] }, { signal: control.signal });
  for (const restore of sizes) restore();
  expect(node.snapshot.source).toBeDefined();
}

function move(at: Joint, options: Partial<Parameters<typeof moveKeys>[1]> = {}) {
  const progress: MoveProgress[] = [];
  const { clock } = at.fleet;
  const moved = moveKeys(at.topology, {
    clock,
    keysPerSecond: 1_000_000,
    bytesPerSecond: 1_000_000_000,
    lost: new Set(),
    signal: undefined,
    onProgress: (now) => progress.push({ ...now }),
    ...options,
  });
  return { moved, progress };
}

describe('the mover', () => {
  test('copies the keys whose owner has changed, and no others', async () => {
    const at = await joint(500);
    expect(at.moving.length).toBeGreaterThan(50);
    const { moved } = move(at);
    await at.fleet.clock.advance(10);
    expect(await moved).toMatchObject({ scanned: 500, copied: at.moving.length, failed: 0 });
    expect(at.fleet.server('c').keys).toEqual([...at.moving].sort());
    // The source keeps what it has: a copy that fails halfway loses nothing.
    expect(at.fleet.server('a').keys.length + at.fleet.server('b').keys.length).toBe(500);
  });

  test('copies the value with what is left of its life, stamped with the present epoch', async () => {
    const at = await joint(100);
    const [key = ''] = at.moving;
    await at.fleet.clock.advance(20_000);
    const { moved } = move(at);
    await at.fleet.clock.advance(0);
    await at.fleet.clock.advance(10);
    await moved;
    expect(at.fleet.server('c').stored(key)).toMatchObject({ value: { of: key }, stamp: 2 });
    expect(at.fleet.server('c').inspect(key).leftMs).toBeGreaterThan(39_000);
    expect(at.fleet.server('c').inspect(key).leftMs).toBeLessThanOrEqual(40_000);
  });

  test('leaves no lease behind', async () => {
    const at = await joint(200);
    const { moved } = move(at);
    await at.fleet.clock.advance(10);
    await moved;
    for (const key of at.moving) expect(at.fleet.server('c').inspect(key).leased).toBe(false);
  });

  test('spends no more than keysPerSecond', async () => {
    const at = await joint(500);
    const { moved, progress } = move(at, { keysPerSecond: 100 });
    const durationMs = (at.moving.length / 100) * 1_000;
    await at.fleet.clock.advance(durationMs - 1);
    const copied = progress.at(-1)?.copied ?? 0;
    let done = false;
    void moved.then(() => {
      done = true;
    });
    await at.fleet.clock.settle();
    expect(done).toBe(false);
    expect(copied).toBeLessThanOrEqual(at.moving.length);
    await at.fleet.clock.advance(2);
    expect(done).toBe(true);
  });

  test('waits between steps, not only at the end', async () => {
    const at = await joint(1_000);
    const { progress } = move(at, { keysPerSecond: 100 });
    await at.fleet.clock.advance(0);
    // One step has been done; the next one has to wait for its time.
    expect(progress).toHaveLength(1);
    await at.fleet.clock.advance(60_000);
    expect(progress.length).toBeGreaterThan(2);
  });

  test('reports what it has done after each step, and an upper bound of all', async () => {
    const at = await joint(500);
    const { moved, progress } = move(at);
    await at.fleet.clock.advance(10);
    await moved;
    expect(progress.length).toBeGreaterThan(2);
    expect(progress.at(-1)).toMatchObject({ scanned: 500, copied: at.moving.length });
    for (const [i, { scanned, copied, total }] of progress.entries()) {
      expect(scanned).toBeLessThanOrEqual(total);
      expect(copied).toBeLessThanOrEqual(scanned);
      expect(scanned).toBeGreaterThanOrEqual(progress[i - 1]?.scanned ?? 0);
    }
  });

  test('stops when it is aborted, also while it waits', async () => {
    const at = await joint(1_000);
    const control = new AbortController();
    const { moved } = move(at, { keysPerSecond: 1, signal: control.signal });
    await at.fleet.clock.advance(5_000);
    control.abort();
    const { scanned, copied } = await moved;
    expect(scanned).toBeLessThan(1_000);
    expect(copied).toBeGreaterThan(0);
  });

  test('does nothing when it is aborted before', async () => {
    const at = await joint(50);
    const { moved } = move(at, { signal: AbortSignal.abort() });
    expect(await moved).toMatchObject({ scanned: 0, copied: 0, failed: 0 });
  });

  test.each(['a', 'c'])('loses no key to node %s being late once', async (id) => {
    const at = await joint(300);
    at.process.node(id).fault = 'down';
    const { moved } = move(at);
    await at.fleet.clock.advance(300);
    at.process.node(id).fault = 'none';
    await at.fleet.clock.advance(5_000);
    expect(await moved).toMatchObject({ scanned: 300, copied: at.moving.length, failed: 0 });
  });

  test('goes on with the other sources when one fails, and counts it', async () => {
    const at = await joint(300);
    at.process.node('a').fault = 'down';
    const { moved } = move(at);
    await at.fleet.clock.advance(5_000);
    const { scanned, copied, failed } = await moved;
    expect(failed).toBe(1);
    expect(scanned).toBe(at.fleet.server('b').keys.length);
    expect(copied).toBeGreaterThan(0);
  });

  // Its reader would find the source asked no more, and load, if the change were complete before.
  test('waits for what a reader is copying', async () => {
    const at = await joint(100);
    const [key = ''] = at.moving;
    const ask = { token: 'reader', leaseMs: 5_000, fence: at.snapshot.fence };
    at.fleet.server('c').lease(key, ask);
    let isDone = false;
    const moved = move(at).moved.then((result) => {
      isDone = true;
      return result;
    });
    await at.fleet.clock.advance(20);
    expect(isDone).toBe(false);
    at.fleet.server('c').dropLease(key, 'reader');
    await at.fleet.clock.advance(10);
    expect(await moved).toMatchObject({ copied: at.moving.length, failed: 0 });
  });

  test('and not for long: it may be loading it', async () => {
    const at = await joint(100);
    const [key = ''] = at.moving;
    const ask = { token: 'reader', leaseMs: 60_000, fence: at.snapshot.fence };
    at.fleet.server('c').lease(key, ask);
    const { moved } = move(at);
    await at.fleet.clock.advance(2_100);
    expect(await moved).toMatchObject({ copied: at.moving.length - 1, failed: 0 });
  });

  test('counts every key that the new owner does not take', async () => {
    const at = await joint(100);
    at.fleet.server('c').full = true;
    const { moved } = move(at);
    await at.fleet.clock.advance(5_000);
    expect(await moved).toMatchObject({ copied: 0, failed: at.moving.length });
    for (const key of at.moving) expect(at.fleet.server('c').inspect(key).leased).toBe(false);
  });

  test('has nothing to do in a stable ring', async () => {
    const fleet = newFleet();
    const { topology } = await fleet.start(['a', 'b']);
    const onProgress = () => {
      throw new Error('unexpected');
    };
    const pace = { keysPerSecond: 1, bytesPerSecond: 1, lost: new Set<string>() };
    const options = { clock: fleet.clock, ...pace, signal: undefined, onProgress };
    expect(await moveKeys(topology, options)).toMatchObject({
      scanned: 0,
      copied: 0,
      failed: 0,
    });
  });
});

describe('a copy', () => {
  test('is not made of a key that the new owner has', async () => {
    const at = await joint(100);
    const [key = ''] = at.moving;
    await at.process.set(key, 'new', LIFE);
    // As if the removal at the source had not come through.
    at.fleet.server('a').evict(key);
    expect(await copyKey(key, at.snapshot)).toMatchObject({ outcome: 'unneeded' });
    expect(at.fleet.server('c').stored(key)?.value).toBe('new');
  });

  test('is not made of a key that a process is loading', async () => {
    const at = await joint(100);
    const [key = ''] = at.moving;
    const ask = { token: 'other', leaseMs: 5_000, fence: at.snapshot.fence };
    at.fleet.server('c').lease(key, ask);
    expect(await copyKey(key, at.snapshot)).toMatchObject({ outcome: 'busy' });
    expect(at.fleet.server('c').keys).not.toContain(key);
    // And its lease is left alone.
    expect(at.fleet.server('c').inspect(key).leased).toBe(true);
  });

  // A refresh that was under way when the ring changed was stored at the source.
  test('replaces what is stale at the new owner and fresh at the source', async () => {
    const at = await joint(100);
    const [key = ''] = at.moving;
    const { fence, epoch } = at.snapshot;
    const encoded = { codec: 0, flags: 0, bytes: Buffer.from('"old"') };
    const life = { ttlMs: 1, staleMs: 60_000, loadMs: 0 };
    at.fleet.server('c').write(key, { payload: encoded, life, fence, epoch });
    await at.fleet.clock.advance(2);
    expect(await copyKey(key, at.snapshot)).toMatchObject({ outcome: 'copied' });
    expect(at.fleet.server('c').stored(key)?.value).toEqual({ of: key });
  });

  test.each(['set', 'delete'] as const)('that a %s comes upon is not stored', async (act) => {
    const at = await joint(100);
    const [key = ''] = at.moving;
    const source = at.snapshot.previousOwner(at.snapshot.ring.hash(key));
    if (source === undefined) throw new Error('the key does not move');
    const { copy } = source;
    source.copy = async (...args) => {
      const found = await copy.apply(source, args);
      if (act === 'set') await at.process.set(key, 'new', LIFE);
      else await at.process.delete(key);
      return found;
    };
    expect(await copyKey(key, at.snapshot)).toMatchObject({ outcome: 'unneeded' });
    expect(at.fleet.server('c').stored(key)?.value).toBe(act === 'set' ? 'new' : undefined);
  });

  test('is made of what the new owner has left from an earlier time, which nobody believes', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    const key = keyThat((name) => process.topology.snapshot.ring.owner(name) === 'c');
    await process.set(key, 'old', LIFE);
    const change = { warm: false };
    await (await process.changer.change({ add: [], remove: ['c'] }, change)).done;
    await process.set(key, 'new', LIFE);
    await beginJoint(process, 'c');
    const { snapshot } = process.topology;
    expect(fleet.server('c').stored(key)?.value).toBe('old');
    expect(await copyKey(key, snapshot)).toMatchObject({ outcome: 'copied' });
    expect(fleet.server('c').stored(key)?.value).toBe('new');
  });

  test('is not made of what the source may not be believed', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    const { ring } = process.topology.snapshot;
    const three = ring.with({ id: 'c' });
    const four = three.with({ id: 'd' });
    // Its way: b, c while b keeps the old value, back to b, and on to d.
    const key = keyThat(
      (name) =>
        ring.owner(name) === 'b' &&
        three.owner(name) === 'c' &&
        four.without('c').owner(name) === 'd',
    );
    const cold = { warm: false };
    await process.set(key, 'old', LIFE);
    await (await process.changer.change({ add: [seat('c')], remove: [] }, cold)).done;
    await process.set(key, 'newer', LIFE);
    await (await process.changer.change({ add: [], remove: ['c'] }, cold)).done;
    expect(fleet.server('b').stored(key)?.value).toBe('old');
    await beginJoint(process, 'd');
    expect(await copyKey(key, process.topology.snapshot)).toMatchObject({ outcome: 'unneeded' });
    expect(fleet.server('d').stored(key)).toBeUndefined();
    expect(fleet.server('d').inspect(key).leased).toBe(false);
  });

  test.each(['a', 'c'])('fails when node %s cannot be asked, and leaves no lease', async (id) => {
    const at = await joint(100);
    const key = keyThat(
      (name) =>
        at.moving.includes(name) &&
        at.snapshot.previousOwner(at.snapshot.ring.hash(name))?.id === 'a',
    );
    at.process.node(id).fault = 'down';
    expect(await copyKey(key, at.snapshot)).toMatchObject({ outcome: 'failed' });
    expect(at.fleet.server('c').inspect(key).leased).toBe(false);
  });

  test('of a key that does not move is not needed', async () => {
    const at = await joint(100);
    const key = keyThat((name) => at.snapshot.ring.owner(name) !== 'c');
    expect(await copyKey(key, at.snapshot)).toMatchObject({ outcome: 'unneeded' });
  });

  test('by a process that is late is not made', async () => {
    const at = await joint(100);
    const [key = ''] = at.moving;
    const stable = { ...at.topology.document, epoch: 3, source: null };
    at.fleet.server('c').install(at.snapshot.fence.replace('2:', '3:'), JSON.stringify(stable));
    expect(await copyKey(key, at.snapshot)).toMatchObject({ outcome: 'stale' });
    expect(at.fleet.server('c').keys).toEqual([]);
  });
});
