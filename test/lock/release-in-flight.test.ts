/** What a lock leaves behind that is given back while its renewal is on its way: nothing. */
import { afterEach, expect, test } from 'vitest';
import { FakeClock } from '../support/fake-clock.ts';
import { SimulatedServers, seat } from '../support/simulated-process.ts';
import { type LockProcess, startLockProcess } from './lock-process.ts';

const LONGEST_MS = 10_000;
const TTL = { ttl: 3_000 };

const processes: LockProcess[] = [];
let clock: FakeClock;
let servers: SimulatedServers;

async function start(ids: string[]): Promise<LockProcess> {
  const process = await startLockProcess({ clock, servers, ids, longestMs: LONGEST_MS });
  processes.push(process);
  return process;
}

async function newProcess(ids: string[]): Promise<LockProcess> {
  clock = new FakeClock(1_000);
  servers = new SimulatedServers(clock);
  return start(ids);
}

/** What a process knows of the topology is confirmed from time to time. */
const CONFIRMING = 1;

afterEach(async () => {
  await Promise.all(processes.splice(0).map((process) => process.end()));
});

// It asked its timer for the next end at once, again and again, for as long as the process lived.
test('no timer, when the renewal fails after the release', async () => {
  const { service, nodes } = await newProcess(['a']);
  const lock = await service.acquire('n', TTL);
  nodes.get('a')!.fault = 'request-lost';
  await clock.advance(1_001); // a third of the ttl: the renewal is under way
  const released = lock.release();
  await clock.advance(1_000);
  expect(await released).toBe(false);
  expect(clock.pending).toBe(CONFIRMING);
});

test('no timer, when an extension fails after the release', async () => {
  const { service, nodes } = await newProcess(['a']);
  const lock = await service.acquire('n', { ...TTL, renew: false });
  nodes.get('a')!.fault = 'request-lost';
  const extended = expect(lock.extend()).rejects.toThrow();
  const released = lock.release();
  await clock.advance(1_000);
  await extended;
  await released;
  expect(clock.pending).toBe(CONFIRMING);
});

/** A lock held at `a` alone, while the ring has just become one of which `b` is the owner. */
async function movedToB(): Promise<{ process: LockProcess; name: string }> {
  const process = await newProcess(['a']);
  const { ring } = process.topology.snapshot;
  const next = ring.with({ id: 'b' });
  let name = '';
  for (let i = 0; name === ''; i++) if (next.owner(`n${i}`) === 'b') name = `n${i}`;
  return { process, name };
}

test.each(['answer-lost', 'request-lost'] as const)(
  'no lock at the new home, which the renewal took while the lock was given back (%s)',
  async (fault) => {
    const { process, name } = await movedToB();
    const lock = await process.service.acquire(name, TTL);
    await process.changer.change({ add: [seat('b')], remove: [] });
    const node = process.nodes.get('b')!;
    node.fault = fault;
    await clock.advance(1_001);
    node.fault = 'none';
    expect(servers.get('b').locks.holder(name)).toBe(
      fault === 'answer-lost' ? lock.token : undefined,
    );
    const released = lock.release();
    await clock.advance(500);
    expect(await released).toBe(true);
    for (const id of ['a', 'b']) expect(servers.get(id).locks.holder(name)).toBeUndefined();
    const next = await (await start(['a'])).service.tryAcquire(name, TTL);
    expect(next?.held).toBe(true);
  },
);
