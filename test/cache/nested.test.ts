// Loads that load: a page that needs a product, each with its own key.
import { afterAll, describe, expect, test } from 'vitest';
import { createCache, type RingCache } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { useNodes } from '../support/nodes.ts';

const nodes = useNodes(1);
const open: RingCache[] = [];
afterAll(() => Promise.all(open.map((cache) => cache.close())));

async function cacheOf(namespace: string): Promise<RingCache> {
  const load = { concurrency: 2, timeout: 3_000 };
  const cache = await createCache({ nodes, namespace, load, memory: false });
  open.push(cache);
  return cache;
}

const pages = Array.from({ length: 20 }, (_, i) => i);

// Before Node 24 nobody can tell cheaply who calls: docs/decisions.md, D26.
const TELLS_APART = Number.parseInt(process.versions.node, 10) >= 24;

describe.runIf(TELLS_APART)('with a limit of two', () => {
  // Each page has one of the two turns while it waits for its product.
  test('loads within loads do not wait for the turns that they have themselves', async () => {
    const cache = await cacheOf('own');
    const loaded = await Promise.all(
      pages.map((i) =>
        cache.getOrSet(`page:${i}`, async () => {
          const product = await cache.getOrSet(`product:${i}`, () => i);
          const [one, other] = await cache.getOrSetMany([`x:${i}`, `y:${i}`], (missing) => missing);
          return { product, one, other };
        }),
      ),
    );
    expect(loaded[7]).toEqual({ product: 7, one: 'x:7', other: 'y:7' });
    expect(cache.stats().loadErrors).toBe(0);
  });

  // Goal: the same when the inner load waits for its turn already, for somebody
  // else. Method: both turns are taken by pages that are let go when it waits.
  test('a load that waits for its turn gets it when a running load needs it', async () => {
    const cache = await cacheOf('shared');
    const go = Promise.withResolvers<void>();
    const outer = ['a', 'b'].map((name) =>
      cache.getOrSet(name, async () => {
        await go.promise;
        return cache.getOrSet('inner', () => 'never called by a page');
      }),
    );
    await eventually(() => cache.stats().loads === 2);
    const first = cache.getOrSet('inner', () => 'inner');
    await eventually(() => cache.stats().loadsWaiting === 1);
    go.resolve();
    expect(await Promise.all([...outer, first])).toEqual(['inner', 'inner', 'inner']);
  });

  test('the limit holds for all others', async () => {
    const cache = await cacheOf('others');
    let running = 0;
    let most = 0;
    await Promise.all(
      pages.map((i) =>
        cache.getOrSet(`k:${i}`, async () => {
          most = Math.max(most, ++running);
          await cache.getOrSet(`inner:${i}`, () => i);
          running--;
          return i;
        }),
      ),
    );
    expect(most).toBe(2);
  });
});
