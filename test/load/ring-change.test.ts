/** What is under way while the ring changes, and nodes that have not been connected yet. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { LoadTuning } from '../../src/load/settings.ts';
import { FakeClock } from '../support/fake-clock.ts';
import type { Hop } from '../support/simulated-node.ts';
import { SimulatedProcess, SimulatedServers, seat } from '../support/simulated-process.ts';

let clock: FakeClock;
let servers: SimulatedServers;
let processes: SimulatedProcess[];

beforeEach(() => {
  clock = new FakeClock(1_000);
  servers = new SimulatedServers(clock);
  processes = [];
});

afterEach(async () => {
  await Promise.all(processes.map((process) => process.close()));
});

async function start(hop?: Hop, tuning: Partial<LoadTuning> = {}): Promise<SimulatedProcess> {
  const seats = [seat('a'), seat('b')];
  const options = { clock, servers, seats, tuning, settings: { memory: false } };
  const process = await SimulatedProcess.start(hop === undefined ? options : { ...options, hop });
  processes.push(process);
  return process;
}

/** Keys that move from a to c. */
function movingKey(process: SimulatedProcess, skip = 0): string {
  const { ring } = process.topology.snapshot;
  const next = ring.with({ id: 'c' });
  for (let i = 0, left = skip; ; i++) {
    const key = `k${i}`;
    if (ring.owner(key) === 'a' && next.owner(key) === 'c' && left-- === 0) return key;
  }
}

/** Begins to add c; the mover has another key to copy, and stands still after that. */
async function addC(process: SimulatedProcess, control = new AbortController()) {
  const { signal } = control;
  const options = { keysPerSecond: 0.001, signal };
  await process.set(movingKey(process, 1), 'other');
  const change = await process.changer.change({ add: [seat('c')], remove: [] }, options);
  await clock.settle();
  change.done.catch(() => undefined);
  return change;
}

const valueAt = (id: string, key: string) => servers.get(id).stored(key)?.value;

test('a load under way when the ring changes is stored where it was leased, and passed on', async () => {
  const process = await start();
  const key = movingKey(process);
  const load = Promise.withResolvers<string>();
  const read = process.getOrSet(key, () => load.promise);
  await clock.settle();
  await addC(process);
  load.resolve('loaded');
  expect(await read).toBe('loaded');
  await clock.settle();
  expect(valueAt('a', key)).toBe('loaded');
  expect(valueAt('c', key)).toBe('loaded');
});

test('but not if the key was deleted since: the previous owner was told first', async () => {
  const [process, other] = [await start(), await start()];
  const key = movingKey(process);
  const load = Promise.withResolvers<string>();
  const read = process.getOrSet(key, () => load.promise);
  await clock.settle();
  await addC(process);
  expect(await other.delete(key)).toBe(true);
  load.resolve('old');
  expect(await read).toBe('old');
  await clock.settle();
  expect([valueAt('a', key), valueAt('c', key)]).toEqual([undefined, undefined]);
});

// It still has the lease, and has seen none of the deletes in between.
test('nor if the key was with another node in between', async () => {
  const [process, other] = [await start(), await start()];
  const key = movingKey(process);
  const load = Promise.withResolvers<string>();
  const read = process.getOrSet(key, () => load.promise);
  await clock.settle();
  const there = { add: [seat('c')], remove: [] };
  for (const change of [there, { add: [], remove: ['c'] }]) {
    const { done } = await other.changer.change(change, { warm: false });
    await done;
    if (change === there) expect(await other.delete(key)).toBe(true);
  }
  load.resolve('old');
  expect(await read).toBe('old');
  await clock.settle();
  expect(process.topology.snapshot.owner(process.topology.snapshot.ring.hash(key)).id).toBe('a');
  expect(valueAt('a', key)).toBeUndefined();
});

// Asked for its copy the source says that the change is over: then there is nothing to ask it.
test('a load that asks the previous owner when the change has just ended is stored', async () => {
  let end = (): Promise<unknown> => Promise.resolve();
  const late = await start(async (what) => {
    if (what.startsWith('a: copy')) await end();
  });
  const driver = await start();
  const key = movingKey(driver);
  const control = new AbortController();
  const change = await addC(driver, control);
  await late.topology.refresh(late.topology.snapshot);
  await clock.settle();
  expect(late.topology.snapshot.state).toBe('joint');
  end = async () => {
    control.abort();
    await change.done;
  };
  expect(await late.getOrSet(key, () => 'loaded')).toBe('loaded');
  await clock.settle();
  expect(valueAt('c', key)).toBe('loaded');
});

/** Adds c and copies what there is, as fast as can be; resolves when c serves. */
async function addAndMove(process: SimulatedProcess) {
  const change = await process.changer.change({ add: [seat('c')], remove: [] });
  let isDone = false;
  const done = change.done.then((result) => {
    isDone = true;
    return result;
  });
  return { done, isDone: () => isDone };
}

// Else the whole change may be shorter than the load, whose lease is then at a node that owns the key no more.
test('a change is not complete while what was being loaded when it began is loaded yet', async () => {
  const [driver, process] = [await start(), await start()];
  const key = movingKey(driver);
  const load = Promise.withResolvers<string>();
  const read = process.getOrSet(key, () => load.promise);
  await clock.settle();
  const change = await addAndMove(driver);
  await clock.advance(20_000);
  expect(change.isDone()).toBe(false);
  load.resolve('loaded');
  expect(await read).toBe('loaded');
  await clock.advance(100);
  expect(change.isDone()).toBe(true);
  expect(valueAt('c', key)).toBe('loaded');
  expect(servers.get('c').inspect(key).leased).toBe(false);
});

test('but is after 30 s: what is loaded for longer is handed out and not stored', async () => {
  const [driver, process] = [await start(), await start(undefined, { timeoutMs: 60_000 })];
  const key = movingKey(driver);
  const load = Promise.withResolvers<string>();
  const read = process.getOrSet(key, () => load.promise);
  await clock.settle();
  const change = await addAndMove(driver);
  await clock.advance(29_000);
  expect(change.isDone()).toBe(false);
  await clock.advance(2_000);
  expect(change.isDone()).toBe(true);
  load.resolve('loaded');
  expect(await read).toBe('loaded');
  await clock.advance(100);
  expect(valueAt('c', key)).toBeUndefined();
});

// The new owner has given out no lease for it: the first that asks gets one, and is not to load once more.
test('what is being loaded when the ring changes is loaded once, whoever asks for it meanwhile', async () => {
  const [driver, process] = [await start(), await start()];
  const key = movingKey(driver);
  const load = Promise.withResolvers<string>();
  const loads: string[] = [];
  const loadBy = (name: string) => () => {
    loads.push(name);
    return load.promise;
  };
  const reads = [process.getOrSet(key, loadBy('first'))];
  await clock.settle();
  const change = await addAndMove(driver);
  reads.push(driver.getOrSet(key, loadBy('second')));
  await clock.advance(5_000);
  expect(loads).toEqual(['first']);
  load.resolve('loaded');
  await clock.advance(2_000);
  expect(await Promise.all(reads)).toEqual(['loaded', 'loaded']);
  expect(loads).toEqual(['first']);
  expect(change.isDone()).toBe(true);
  expect(valueAt('c', key)).toBe('loaded');
});

test('what its process has given up is loaded by the next one when the lease has run out', async () => {
  const [driver, process] = [await start(), await start()];
  const key = movingKey(driver);
  const fence = process.topology.snapshot.fence;
  servers.get('a').lease(key, { token: 'gone', leaseMs: 3_000, fence });
  const change = await addAndMove(driver);
  const read = driver.getOrSet(key, () => 'loaded');
  await clock.advance(2_900);
  expect(valueAt('c', key)).toBeUndefined();
  await clock.advance(2_000);
  expect(await read).toBe('loaded');
  expect(valueAt('c', key)).toBe('loaded');
  expect(change.isDone()).toBe(true);
});

/** A process that has taken up the ring with c, and is being connected to it still. */
async function connecting(key: string) {
  const connected = Promise.withResolvers<void>();
  const late = await start((what) =>
    what.startsWith('c: greet') ? connected.promise : Promise.resolve(),
  );
  const driver = await start();
  await driver.set(key, 'old');
  await driver.changer.change({ add: [seat('c')], remove: [] }, { keysPerSecond: 0.001 });
  servers.get('c').evict(key);
  await late.topology.refresh(late.topology.snapshot);
  expect(late.topology.snapshot.ring.owner(key)).toBe('c');
  expect(late.node('c').state().state).toBe('connecting');
  return { late, connect: () => connected.resolve() };
}

test('a read while the new owner is being connected is answered by the one before', async () => {
  const key = movingKey(await start());
  const { late, connect } = await connecting(key);
  expect(await late.get(key)).toBe('old');
  const loads: string[] = [];
  const read = late.getOrSet(key, () => {
    loads.push(key);
    return 'loaded';
  });
  expect(await read).toBe('old');
  expect(loads).toEqual([]);
  connect();
  await clock.settle();
  expect(await late.get(key)).toBe('old');
});

test('what neither node has is loaded when the new owner is connected, and stored there', async () => {
  const key = movingKey(await start());
  const { late, connect } = await connecting(key);
  servers.get('a').evict(key);
  const read = late.getOrSet(key, () => 'loaded');
  await clock.advance(50);
  connect();
  expect(await read).toBe('loaded');
  await clock.settle();
  expect(valueAt('c', key)).toBe('loaded');
  expect(late.counters.unprotectedLoads).toBe(0);
});

test('so it is if the connection stands when the previous owner answers', async () => {
  const connected = Promise.withResolvers<void>();
  const late = await start(async (what) => {
    if (what.startsWith('a answers copy')) connected.resolve();
    if (what.startsWith('c: greet')) await connected.promise;
    if (what.startsWith('a answers copy')) await clock.settle();
  });
  const driver = await start();
  const key = movingKey(driver);
  await addC(driver);
  await late.topology.refresh(late.topology.snapshot);
  expect(late.node('c').state().state).toBe('connecting');
  const read = late.getOrSet(key, () => 'loaded');
  await clock.settle();
  expect(await read).toBe('loaded');
  await clock.settle();
  expect(valueAt('c', key)).toBe('loaded');
});

test('but no later than a node may take: it is loaded then, and not stored', async () => {
  const key = movingKey(await start());
  const { late } = await connecting(key);
  servers.get('a').evict(key);
  const read = late.getOrSet(key, () => 'loaded');
  await clock.advance(99);
  expect(late.counters.unprotectedLoads).toBe(0);
  await clock.advance(2);
  expect(await read).toBe('loaded');
  expect(late.counters.unprotectedLoads).toBe(1);
  expect(valueAt('c', key)).toBeUndefined();
});

test('what was stored where it was leased is passed on when the new owner is connected', async () => {
  const connected = Promise.withResolvers<void>();
  const late = await start((what) =>
    what.startsWith('c: greet') ? connected.promise : Promise.resolve(),
  );
  const driver = await start();
  const key = movingKey(driver);
  const load = Promise.withResolvers<string>();
  const read = late.getOrSet(key, () => load.promise);
  await clock.settle();
  await addC(driver);
  await late.topology.refresh(late.topology.snapshot);
  load.resolve('loaded');
  expect(await read).toBe('loaded');
  await clock.settle();
  expect(valueAt('a', key)).toBe('loaded');
  expect(valueAt('c', key)).toBeUndefined();
  connected.resolve();
  await clock.settle();
  expect(valueAt('c', key)).toBe('loaded');
});

test.each(['set', 'delete'] as const)('a %s waits for it', async (how) => {
  const key = movingKey(await start());
  const { late, connect } = await connecting(key);
  let done: boolean | undefined;
  const write = (how === 'set' ? late.set(key, 'new') : late.delete(key)).then((answer) => {
    done = answer;
  });
  await clock.settle();
  expect(done).toBeUndefined();
  connect();
  await write;
  expect(done).toBe(true);
  expect(valueAt('c', key)).toBe(how === 'set' ? 'new' : undefined);
});
