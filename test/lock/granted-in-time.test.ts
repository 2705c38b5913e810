import { expect, test } from 'vitest';
import { FakeClock } from '../support/fake-clock.ts';
import { SimulatedServers } from '../support/simulated-process.ts';
import { startLockProcess } from './lock-process.ts';

// It was granted, and lost with its first renewal: the deadline, seen after the answer, had ended it.
test('a lock that is granted in the moment of its deadline is renewed as any other', async () => {
  const clock = new FakeClock(1_000);
  let hopMs = 0;
  const { service, end } = await startLockProcess({
    clock,
    servers: new SimulatedServers(clock),
    ids: ['a'],
    longestMs: 10_000,
    hop: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (hopMs === 0) resolve();
      else clock.after(hopMs, resolve);
      return promise;
    },
  });
  await (await service.acquire('n')).release();
  hopMs = 25;
  const acquiring = service.acquire('n', { ttl: 3_000, waitTimeout: 2 * hopMs });
  await clock.advance(2 * hopMs);
  const lock = await acquiring;
  await clock.advance(10_000);
  expect(lock.held).toBe(true);
  const ended = end();
  await clock.advance(1_000);
  await ended;
});
