/** `expire`, `touch` and looks while the ring changes, step by step. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PayloadCodec } from '../../src/node/codec.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { SimulatedProcess, SimulatedServers, seat } from '../support/simulated-process.ts';

const codec = new PayloadCodec();
let clock: FakeClock;
let servers: SimulatedServers;
let process: SimulatedProcess;
let key: string;
/** Requests about `key`, in the order in which they were sent. */
let sent: string[];

beforeEach(async () => {
  clock = new FakeClock(1_000);
  servers = new SimulatedServers(clock);
  sent = [];
  process = await SimulatedProcess.start({
    clock,
    servers,
    seats: [seat('a'), seat('b')],
    settings: { memory: false, staleMs: 60_000 },
    hop: (what) => {
      if (what.endsWith(` ${key}`) && !what.includes('answers')) sent.push(what);
      return Promise.resolve();
    },
  });
  const moving = keysMoving();
  key = moving[0]!;
  // The mover copies the other one, and stands still after that: `key` is nowhere yet.
  await process.set(moving[1]!, 'other');
  const options = { keysPerSecond: 0.001 };
  const change = await process.changer.change({ add: [seat('c')], remove: [] }, options);
  change.done.catch(() => undefined);
  await clock.settle();
  expect(process.topology.snapshot.state).toBe('joint');
  sent.length = 0;
});

afterEach(() => process.close());

/** Two keys that move from a to c. */
function keysMoving(): string[] {
  const { ring } = process.topology.snapshot;
  const next = ring.with({ id: 'c' });
  const keys = Array.from({ length: 1_000 }, (_, i) => `k${i}`);
  return keys.filter((one) => ring.owner(one) === 'a' && next.owner(one) === 'c').slice(0, 2);
}

/** As it would stand there, had it been written in that epoch. */
function store(id: string, value: unknown, entry: { ttlMs?: number; epoch?: number } = {}): void {
  const { ttlMs = 10_000, epoch = process.topology.snapshot.epoch } = entry;
  const { fence } = process.topology.snapshot;
  const life = { ttlMs, staleMs: 60_000, loadMs: 0 };
  servers.get(id).write(key, { payload: codec.encode(value), life, fence, epoch });
}

const freshForMs = (id: string): number => servers.get(id).stored(key)?.freshForMs ?? Number.NaN;

test('expire reaches the previous owner before the present one', async () => {
  store('a', 'old');
  store('c', 'old');
  expect(await process.expire(key)).toBe(true);
  expect(sent).toEqual([`a: expire ${key}`, `c: expire ${key}`]);
  expect([freshForMs('a'), freshForMs('c')]).toEqual([0, 0]);
});

test('an expire that the previous owner does not confirm is false; the present one has nothing to copy over', async () => {
  store('a', 'old');
  store('c', 'old');
  process.node('a').fault = 'answer-lost';
  const expiring = process.expire(key);
  await clock.advance(400);
  expect(await expiring).toBe(false);
  expect(servers.get('c').stored(key)).toBeUndefined();
  expect(process.unconfirmed).toEqual([key]);
});

test('what is expired at the previous owner is not copied as fresh, and is there when loading fails', async () => {
  store('a', 'old');
  await process.expire(key);
  expect(await process.get(key)).toBeUndefined();
  const failing = () => Promise.reject(new Error('no database'));
  expect(await process.getOrSet(key, failing)).toBe('old');
  expect(await process.getOrSet(key, () => 'new')).toBe('new');
  expect(servers.get('c').stored(key)?.value).toBe('new');
});

test('touch leaves the older value under the present one as it is', async () => {
  store('a', 'older', { ttlMs: 1 });
  store('c', 'newer');
  await clock.advance(5);
  expect(await process.touch(key)).toBe(true);
  expect(sent).toEqual([`c: touch ${key}`, `c: read ${key}`]);
  expect(freshForMs('a')).toBeLessThanOrEqual(0);
  expect(freshForMs('c')).toBe(60_000);
  // Lost by the owner: what was past its ttl does not come back.
  servers.get('c').evict(key);
  expect(await process.get(key)).toBeUndefined();
});

test('touch finds what only the previous owner has, and a copy made in between', async () => {
  store('a', 'value');
  expect(await process.touch(key)).toBe(true);
  const touches = [`c: touch ${key}`, `a: touch ${key}`, `c: touch ${key}`];
  expect(sent).toEqual([...touches, `a: read ${key}`]);
  expect(freshForMs('a')).toBe(60_000);
  expect(servers.get('c').stored(key)).toBeUndefined();
});

test('touch is false where nothing is, and where nothing is believed', async () => {
  expect(await process.touch(key)).toBe(false);
  // Left over from when c owned the key in some ring before.
  store('c', 'leftover', { epoch: process.topology.snapshot.epoch - 1 });
  expect(await process.touch(key)).toBe(false);
  expect(freshForMs('c')).toBe(10_000);
});

test('a touch takes up the newest ring, and gives up on a node that keeps turning it away', async () => {
  servers.get('c').fence = '0000000000000009:deadbeef';
  const touching = process.touch(key);
  await clock.advance(1_000);
  expect(await touching).toBe(false);
});

test('a life that was given by a touch is the one for which deletes are kept', async () => {
  store('c', 'value');
  await process.touch(key, { ttlMs: 10_000_000 });
  const kept: number[] = [];
  process.node('c').removeLater = (_key: string, untilMs = 0) => {
    kept.push(untilMs);
  };
  process.node('c').fault = 'down';
  expect(await process.delete(key)).toBe(false);
  expect(kept).toEqual([10_060_000]);
});

test('a look sees both owners: the fresh one wherever it is, else the one of the present owner', async () => {
  expect(await process.reads.look(key)).toBeUndefined();
  store('a', 'old', { ttlMs: 1 });
  await clock.advance(5);
  expect((await process.reads.look(key))?.value).toBe('old');
  store('c', 'newer', { ttlMs: 1 });
  await clock.advance(5);
  expect((await process.reads.look(key))?.value).toBe('newer');
  expect(process.counters.staleHits).toBe(2);
  store('a', 'fresh');
  expect(await process.reads.look(key)).toMatchObject({ value: 'fresh', freshForMs: 10_000 });
});

test('a look shows nothing stale that is not believed', async () => {
  const epoch = process.topology.snapshot.epoch - 1;
  store('c', 'leftover', { ttlMs: 1, epoch });
  await clock.advance(5);
  expect(await process.reads.look(key)).toBeUndefined();
});

test('what a read copied is as old in memory as it was at the previous owner', async () => {
  store('a', 'value');
  await clock.advance(5_000);
  await process.getOrSet(key, () => 'never', { memory: true });
  await process.getOrSet(key, () => 'never', { memory: true });
  expect(process.memory.lookAt(key)?.value).toBe('value');
  expect(process.memory.lookAt(key)?.ageMs).toBeGreaterThanOrEqual(5_000);
});
