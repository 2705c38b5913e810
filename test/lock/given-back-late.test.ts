// Regression: a try that failed gave back what it had taken, late, since the
// nodes were slow; by then the next try of the same caller had taken it again.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createLocks } from '../../src/index.ts';
import { useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';

const nodes = useNodes(3);
const SLOW_MS = 150;

// The budget of a request is 100 ms, so the first try takes one node of three
// after 200 ms. It gives back; two nodes answer that after 300 ms and again after
// 400 ms too late; they are told once more after 600 ms. The second try comes
// after 500 ms, when they are fast again.
test('what a failed try gives back late is not taken from the next try', async () => {
  const proxies = await Promise.all(nodes.map(({ port }) => FaultProxy.start(port)));
  const near = nodes.map(({ id, url }) => ({ id, url }));
  const far = nodes.map(({ id }, i) => ({ id, url: proxies[i]!.url }));
  const locks = await createLocks({ nodes: far, quorum: true });
  const others = await createLocks({ nodes: near, quorum: true });
  try {
    await (await locks.acquire('a')).release();
    const order = (await locks.inspect('a')).node.split(',');
    const slow = order.slice(0, 2).map((id) => proxies[nodes.findIndex((node) => node.id === id)]!);
    for (const proxy of slow) proxy.set({ kind: 'latency', ms: SLOW_MS });
    const acquiring = locks.acquire('a', { retries: 3, retryDelay: 300 });
    await sleep(420);
    for (const proxy of slow) proxy.set({ kind: 'none' });
    const lock = await acquiring;
    for (let i = 0; i < 50; i++) {
      expect(await others.tryAcquire('a')).toBeNull();
      await sleep(20);
    }
    expect(lock.held).toBe(true);
    expect(await lock.release()).toBe(true);
  } finally {
    await locks[Symbol.asyncDispose]();
    await others[Symbol.asyncDispose]();
    await Promise.all(proxies.map((proxy) => proxy.close()));
  }
});
