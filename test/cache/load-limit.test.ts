/** P5: what a node that is away costs the database is coalesced per process, and capped. */
import { expect, test } from 'vitest';
import { type LoadContext, LoadTimeoutError } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { useNodes } from '../support/nodes.ts';
import { Held, keysOn, useCaches } from './caches.ts';

const nodes = useNodes(2);
const caches = useCaches();

async function openWithDeadNode(load: object) {
  const cache = await caches.open({ nodes, memory: false, load });
  await nodes[0]!.kill();
  await eventually(() => cache.topology.nodes[0]!.state === 'down');
  return cache;
}

test('a dead node and 1,000 keys: at most load.concurrency loads run at once, in order', async () => {
  const cache = await openWithDeadNode({ concurrency: 10 });
  const keys = keysOn(cache, 'node-1', { count: 1_000 });
  const begun: string[] = [];
  let running = 0;
  let most = 0;
  const loader = async ({ key }: LoadContext): Promise<string> => {
    begun.push(key);
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    return `value of ${key}`;
  };
  const calls = keys.map((key) => cache.getOrSet(key, loader));
  await eventually(() => cache.stats().loadsWaiting > 0);
  expect(await Promise.all(calls)).toEqual(keys.map((key) => `value of ${key}`));
  expect(most).toBe(10);
  expect(begun).toEqual(keys);
  expect(cache.stats()).toMatchObject({ loads: 1_000, unprotectedLoads: 1_000, loadsWaiting: 0 });
});

test('a hundred callers of one key of a dead node cost one load', async () => {
  const cache = await openWithDeadNode({});
  const [key = ''] = keysOn(cache, 'node-1');
  const load = new Held<string>();
  const calls = Array.from({ length: 100 }, () => cache.getOrSet(key, load.loader));
  await load.begun;
  load.finish('value');
  expect(new Set(await Promise.all(calls))).toEqual(new Set(['value']));
  expect(load.calls).toBe(1);
});

test('what waits for its turn for longer than load.timeout rejects, and its loader is not called', async () => {
  const cache = await openWithDeadNode({ concurrency: 5, timeout: 200 });
  const keys = keysOn(cache, 'node-1', { count: 1_001 });
  let calls = 0;
  const hangs = (): Promise<string> => {
    calls += 1;
    return new Promise(() => undefined);
  };
  const settled = await Promise.allSettled(keys.slice(1).map((key) => cache.getOrSet(key, hangs)));
  for (const one of settled) {
    expect(one).toMatchObject({ reason: { code: 'RINGCACHE_LOAD_TIMEOUT', timeoutMs: 200 } });
    expect(one.status === 'rejected' && one.reason).toBeInstanceOf(LoadTimeoutError);
  }
  // A database that hangs is not called a thousand times when their time is over.
  expect(calls).toBeLessThan(100);
  expect(await cache.getOrSet(keys[0]!, () => 'at once')).toBe('at once');
});

test('the limit holds for loads under a lease, too', async () => {
  const cache = await caches.open({ nodes, load: { concurrency: 2 } });
  const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
  let running = 0;
  let most = 0;
  const loader = async (): Promise<number> => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running -= 1;
    return 1;
  };
  await Promise.all(keys.map((key) => cache.getOrSet(key, loader)));
  expect(most).toBe(2);
});
