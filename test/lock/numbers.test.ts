/** The numbers of a lock whose home moves, in virtual time. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RingChange } from '../../src/topology/ring-change.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { SimulatedServers, seat } from '../support/simulated-process.ts';
import {
  CountingServer,
  type LockProcess,
  startLockProcess,
  type Weakness,
} from './lock-process.ts';

const LONGEST_MS = 1_000;
const SETTLED_MS = 10_000;

let clock: FakeClock;
let servers: SimulatedServers;
const processes: LockProcess[] = [];

beforeEach(() => {
  clock = new FakeClock(1_000_000);
  servers = new SimulatedServers(clock);
  // The clock of b is 200 ms behind that of a.
  for (const id of ['a', 'b']) servers.put(new CountingServer(id, clock));
});

afterEach(async () => {
  for (const process of processes.splice(0)) {
    const ended = process.end();
    await clock.advance(1_000);
    await ended;
  }
});

async function start(ids: readonly string[], weakness: Weakness = {}): Promise<LockProcess> {
  const process = await startLockProcess({ clock, servers, ids, longestMs: LONGEST_MS, weakness });
  processes.push(process);
  return process;
}

/** A name that `b` owns beside `a`. */
function nameOfB({ topology }: LockProcess): string {
  const ring = topology.snapshot.ring.with({ id: 'b' });
  for (let i = 0; ; i++) if (ring.owner(`n${i}`) === 'b') return `n${i}`;
}

test('the new home goes on above the number of the old one, though its clock is behind', async () => {
  const process = await start(['a']);
  const name = nameOfB(process);
  await process.changer.change({ add: [seat('b')], remove: [] }, { warm: false });
  const lock = await process.service.acquire(name, { ttl: 500 });
  const { number } = servers.get('a').locks.look(name);
  expect(servers.get('b').locks.look(name).number).toBe(number + 1);
  expect(lock.fence).toBe(number + 1);
  await lock.release();
});

async function changed(process: LockProcess, change: RingChange): Promise<void> {
  await (await process.changer.change(change, { warm: false })).done;
}

// Its homes are b and a, of which b will be the only one.
test('who meets the end of an era on the way has a number above all that were granted in it', async () => {
  const first = await start(['a']);
  const name = nameOfB(first);
  await changed(first, { add: [seat('b')], remove: [] });
  await clock.advance(SETTLED_MS);
  // Away and back: the home that will count is the first of the two.
  await changed(first, { add: [], remove: ['b'] });
  await changed(first, { add: [seat('b')], remove: [] });
  // The first one ends the era.
  const second = await start(['a', 'b'], { erasLongestMs: 1_000 * SETTLED_MS });
  const { snapshot } = second.topology;
  expect(snapshot.lockHomes(snapshot.ring.hash(name)).map(({ id }) => id)).toEqual(['b', 'a']);
  const before = await first.service.acquire(name, { ttl: 500 });
  await before.release();
  // Sealed by now.
  await clock.advance(100);
  // b does not hear of the end, so the second is turned away by a only.
  first.nodes.get('b')!.fault = 'down';
  second.nodes.get('a')!.fault = 'down';
  await clock.advance(SETTLED_MS);
  second.nodes.get('a')!.fault = 'none';
  expect([servers.get('a').epoch(), servers.get('b').epoch()]).toEqual([9, 8]);
  expect(second.topology.document.epoch).toBe(8);
  const after = await second.service.acquire(name, { ttl: 500 });
  expect(second.topology.document.epoch).toBe(9);
  expect(after.fence).toBeGreaterThan(second.topology.snapshot.lockFloor);
  expect(after.fence).toBeGreaterThan(before.fence);
  await after.release();
});
