/** Locks while the ring changes, on real servers: several caches, of which one changes it. */
import { afterEach, describe, expect, test } from 'vitest';
import { type Lock, LockUnavailableError, type RingCache } from '../../src/index.ts';
import { movingKeys, seats, useCaches } from '../cache/caches.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';

const nodes = useNodes(4);
const caches = useCaches();
const three = () => nodes.slice(0, 3);

const IDS = ['node-1', 'node-2', 'node-3', 'node-4'];
const THREE = IDS.slice(0, 3);

/** The longest ttl and a margin, a spread between processes, and what requests take. */
const SETTLED = { withinMs: 6_000, everyMs: 20 };

function open(list = three()): Promise<RingCache> {
  const lock = { maxTtl: '500ms', ttl: 300 };
  return caches.open({ nodes: list, memory: false, lock });
}

/** A name whose home is another one with a fourth node. */
async function movingName(from = 'node-1'): Promise<string> {
  const [name] = await movingKeys({ before: THREE, after: IDS, from, to: 'node-4' });
  return name!;
}

async function holderAt(node: number, name: string): Promise<string | undefined> {
  const answer = await command(nodes[node]!, 'GET', `${caches.namespace}:k:l:${name}`);
  return answer.split('\r\n')[1] || undefined;
}

const watches: AbortController[] = [];

afterEach(() => {
  for (const watch of watches.splice(0)) watch.abort();
});

/** Tries again and again to get a lock that is held; says how often it was tried, and what was got. */
function watch(
  cache: RingCache,
  name: string,
): { tries: number; got: Lock[]; end(): Promise<void> } {
  const ending = new AbortController();
  watches.push(ending);
  const end = (): Promise<void> => {
    ending.abort();
    return running;
  };
  const seen = { tries: 0, got: [] as Lock[], end };
  const running = (async () => {
    while (!ending.signal.aborted) {
      // While a node does not answer it is not got either.
      const lock = await cache.locks.tryAcquire(name).catch(() => null);
      seen.tries++;
      if (lock !== null) seen.got.push(lock);
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  return seen;
}

const settled = (cache: RingCache, name: string, home: string): Promise<void> =>
  eventually(async () => {
    expect((await cache.locks.inspect(name)).node).toBe(home);
  }, SETTLED);

describe('a lock that is held', () => {
  test('stays held while its home moves to a new node and back, and nobody else gets it', async () => {
    const [cache, other, untold] = [await open(), await open(), await open()];
    const name = await movingName();
    const lock = await cache.locks.acquire(name);
    const watched = [watch(other, name), watch(untold, name)];
    await (await cache.addNode(nodes[3]!)).done;
    await eventually(async () => (await holderAt(3, name)) === lock.token);
    expect(await holderAt(0, name)).toBe(lock.token);
    await settled(cache, name, 'node-4');
    await eventually(async () => (await holderAt(0, name)) === undefined);
    expect(lock.held).toBe(true);
    await (await cache.removeNode('node-4')).done;
    await eventually(async () => (await holderAt(0, name)) === lock.token);
    await settled(cache, name, 'node-1');
    await eventually(async () => (await holderAt(3, name)) === undefined);
    expect(lock.held).toBe(true);
    expect(lock.signal.aborted).toBe(false);
    for (const one of watched) {
      await one.end();
      expect(one.got).toEqual([]);
      expect(one.tries).toBeGreaterThan(100);
    }
    expect(await lock.release()).toBe(true);
    expect(await other.locks.tryAcquire(name)).not.toBeNull();
  }, 30_000);

  test('by a process that is told nothing moves as well, with its renewal', async () => {
    const [cache, untold] = [await open(), await open()];
    const name = await movingName();
    const lock = await untold.locks.acquire(name);
    expect(untold.topology.epoch).toBe(1);
    await (await cache.addNode(nodes[3]!, { warm: false })).done;
    await eventually(async () => (await holderAt(3, name)) === lock.token);
    expect(untold.topology.epoch).toBeGreaterThan(1);
    expect(await cache.locks.tryAcquire(name)).toBeNull();
    expect(await lock.release()).toBe(true);
    for (const node of [0, 3]) expect(await holderAt(node, name)).toBeUndefined();
    expect(await cache.locks.tryAcquire(name)).not.toBeNull();
  });

  test('is handed over to the next who waits, though its node leaves in between', async () => {
    const [cache, other] = [await open(nodes), await open(nodes)];
    const name = await movingName();
    const lock = await cache.locks.acquire(name);
    const waiting = other.locks.acquire(name, { waitTimeout: 10_000 });
    await eventually(async () => (await cache.locks.inspect(name)).waiters === 1);
    await (await cache.removeNode('node-4')).done;
    expect(lock.held).toBe(true);
    await lock.release();
    const next = await waiting;
    expect(next.fence).toBeGreaterThan(lock.fence);
    await settled(cache, name, 'node-1');
    expect(next.held).toBe(true);
    expect(await holderAt(0, name)).toBe(next.token);
    expect(await cache.locks.tryAcquire(name)).toBeNull();
  }, 20_000);
});

test('the numbers of a name grow over every move, with grants in between and without', async () => {
  const [cache, other] = [await open(), await open()];
  const name = await movingName();
  const fences: number[] = [];
  const grant = async (by: RingCache): Promise<void> => {
    const lock = await by.locks.acquire(name);
    fences.push(lock.fence);
    await lock.release();
  };
  await grant(cache);
  await (await cache.addNode(nodes[3]!)).done;
  await grant(other);
  await settled(cache, name, 'node-4');
  for (const by of [cache, other]) await grant(by);
  await (await cache.removeNode('node-4')).done;
  // The counter of node-1 is that of the first grant still.
  await settled(cache, name, 'node-1');
  for (const by of [other, cache]) await grant(by);
  expect(fences).toEqual(fences.toSorted((a, b) => a - b));
  expect(new Set(fences).size).toBe(6);
}, 20_000);

test('a process that did not make the change follows, and waits where the lock is then', async () => {
  const [cache, untold] = [await open(), await open()];
  const name = await movingName();
  await (await cache.addNode(nodes[3]!)).done;
  const lock = await cache.locks.acquire(name);
  expect(await untold.locks.tryAcquire(name)).toBeNull();
  expect(untold.topology.epoch).toBe(3);
  await settled(cache, name, 'node-4');
  const waiting = untold.locks.acquire(name);
  await lock.release();
  expect((await waiting).fence).toBeGreaterThan(lock.fence);
  expect(await holderAt(3, name)).toBe((await waiting).token);
});

describe('a node that is dead and is removed', () => {
  test('fails closed for its share of the locks, and for no other; back again, it is given up', async () => {
    const [cache, other] = [await open(nodes), await open(nodes)];
    const name = await movingName();
    const staying = 'node-1';
    const [unmoved] = await movingKeys({ before: IDS, after: THREE, from: staying, to: staying });
    await cache.locks.acquire(name, { renew: false });
    await nodes[3]!.kill();
    await (await cache.removeNode('node-4')).done;
    // Whoever has not heard of it may hold locks there: no time is long enough to know.
    for (const by of [cache, other]) {
      await expect(by.locks.tryAcquire(name)).rejects.toThrow(LockUnavailableError);
      const lock = await by.locks.tryAcquire(unmoved!);
      expect(lock?.held).toBe(true);
      await lock?.release();
    }
    await expect(cache.locks.inspect(name)).rejects.toThrow(LockUnavailableError);
    await nodes[3]!.restart();
    await eventually(
      async () => {
        const lock = await other.locks.tryAcquire(name);
        expect(lock?.held).toBe(true);
      },
      { withinMs: 8_000, everyMs: 20 },
    );
    await eventually(
      async () => {
        expect((await cache.locks.inspect(name)).node).toBe('node-1');
      },
      { withinMs: 15_000, everyMs: 50 },
    );
  }, 40_000);
});

describe('a node that has just left and is added again', () => {
  test('has its locks still: what is held stays so, and nobody else gets it', async () => {
    const [cache, other] = [await open(nodes), await open(nodes)];
    const name = await movingName();
    const lock = await cache.locks.acquire(name);
    const watched = watch(other, name);
    await (await cache.removeNode('node-4')).done;
    await (await cache.addNode(seats([nodes[3]!])[0]!)).done;
    expect(await holderAt(3, name)).toBe(lock.token);
    await settled(cache, name, 'node-4');
    await eventually(async () => (await holderAt(0, name)) === undefined);
    expect(lock.held).toBe(true);
    await watched.end();
    expect(watched.got).toEqual([]);
    await lock.release();
    expect((await other.locks.acquire(name)).fence).toBeGreaterThan(lock.fence);
  }, 20_000);

  test('and has lost its data meanwhile, grants nothing before the longest ttl is over', async () => {
    const cache = await open(nodes);
    const name = await movingName();
    await cache.locks.acquire(name, { renew: false, ttl: 500 });
    await (await cache.removeNode('node-4')).done;
    await command(nodes[3]!, 'FLUSHALL');
    const emptiedAt = performance.now();
    await (await cache.addNode(seats([nodes[3]!])[0]!)).done;
    await expect(cache.locks.tryAcquire(name)).rejects.toThrow(/restarted|lost its data/);
    await eventually(async () => (await cache.locks.tryAcquire(name)) !== null, SETTLED);
    expect(performance.now() - emptiedAt).toBeGreaterThan(490);
  }, 20_000);
});
