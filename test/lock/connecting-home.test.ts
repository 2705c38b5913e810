/** A lock whose new home has just joined, and is being connected still. */
import { afterEach, expect, test } from 'vitest';
import { FakeClock } from '../support/fake-clock.ts';
import { SimulatedServers, seat } from '../support/simulated-process.ts';
import { type LockProcess, startLockProcess } from './lock-process.ts';

const processes: LockProcess[] = [];
afterEach(async () => {
  await Promise.all(processes.splice(0).map((process) => process.end()));
});

test('waits for the connection, as it would wait for no other node', async () => {
  const clock = new FakeClock(1_000);
  const servers = new SimulatedServers(clock);
  const connected = Promise.withResolvers<void>();
  const start = async (hop?: (what: string) => Promise<void>): Promise<LockProcess> => {
    const options = { clock, servers, ids: ['a', 'b'], longestMs: 1_000 };
    const process = await startLockProcess(hop === undefined ? options : { ...options, hop });
    processes.push(process);
    return process;
  };
  const driver = await start();
  const late = await start((what) =>
    what.startsWith('c: greet') ? connected.promise : Promise.resolve(),
  );
  const { ring } = driver.topology.snapshot;
  const next = ring.with({ id: 'c' });
  const names = Array.from({ length: 100 }, (_, i) => `lock:${i}`);
  const name = names.find((one) => ring.owner(one) === 'a' && next.owner(one) === 'c')!;
  // Nodes that have granted know that one that joins is new.
  await (await driver.service.tryAcquire(name))?.release();
  // Somebody is loading there, for whom the change waits: the ring stays joint.
  const loading = names.find((one) => ring.owner(one) !== 'c' && next.owner(one) === 'c')!;
  const { fence } = driver.topology.snapshot;
  servers.get(ring.owner(loading)).lease(loading, { token: 'other', leaseMs: 20_000, fence });
  const change = await driver.changer.change({ add: [seat('c')], remove: [] });
  change.done.catch(() => undefined);
  await late.topology.refresh(late.topology.snapshot);
  expect(late.topology.snapshot.state).toBe('joint');
  expect(late.nodes.get('c')?.state().state).toBe('connecting');

  const acquired = late.service.tryAcquire(name);
  let settled = false;
  const noted = acquired.then(
    () => (settled = true),
    () => (settled = true),
  );
  await clock.settle();
  expect(settled).toBe(false);
  connected.resolve();
  await clock.settle();
  await noted;
  const lock = await acquired;
  expect(lock?.held).toBe(true);
  await lock?.release();
});
