/**
 * P4, P5: what a caller of the cache sees of a node that fails.
 *
 * Goal: every fault costs the keys of that node their cache, and nothing else:
 * no read rejects or waits longer than the node's budget, the other nodes'
 * keys stay hits, and it heals by itself.
 * Method: three nodes, the first behind a proxy. Each fault of a closed list
 * is made, looked at, and ended, under the same assertions.
 */
import { rmSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { RingCache } from '../../src/index.ts';
import type { LocalNode } from '../../src/local.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { keysOn, timed, useCaches } from './caches.ts';

const nodes = useNodes(3, { args: ['--enable-debug-command', 'yes'] });
const caches = useCaches();

const BUDGET_MS = 100;
/** What two busy cores may add to a budget. */
const SLACK_MS = 50;

interface Scene {
  readonly proxy: FaultProxy;
  readonly node: LocalNode;
  readonly redis: (...words: string[]) => Promise<string>;
}

interface Fault {
  readonly name: string;
  begin(scene: Scene): unknown;
  end(scene: Scene): unknown;
  /** Whether the node still answers reads of what it has. Default: no. */
  readonly reads?: boolean;
  /** Whether it still takes deletes. Default: no. */
  readonly deletes?: boolean;
  /** Whether it is soon left alone. Default: yes. */
  readonly opens?: boolean;
  /** A fault that is over when it has happened. */
  readonly once?: boolean;
}

const restore = (scene: Scene) => scene.proxy.set({ kind: 'none' });

const FAULTS: readonly Fault[] = [
  { name: 'killed', begin: ({ node }) => node.kill(), end: ({ node }) => node.restart() },
  {
    name: 'stopped in its tracks',
    begin: ({ node }) => node.pause(),
    end: ({ node }) => node.resume(),
  },
  { name: 'in a black hole', begin: ({ proxy }) => proxy.set({ kind: 'blackhole' }), end: restore },
  {
    name: 'hearing, but not heard',
    begin: ({ proxy }) => proxy.set({ kind: 'drop' }),
    end: restore,
  },
  {
    name: 'refusing connections',
    begin: ({ proxy }) => proxy.refuse(),
    end: ({ proxy }) => proxy.accept(),
  },
  {
    name: 'accepting and closing',
    begin({ proxy }) {
      proxy.set({ kind: 'slam' });
      proxy.reset();
    },
    end: restore,
  },
  {
    name: 'slower than its budget',
    begin: ({ proxy }) => proxy.set({ kind: 'latency', ms: 250 }),
    end: restore,
  },
  { name: 'reset', begin: ({ proxy }) => proxy.reset(), end: restore, once: true },
  {
    name: 'cut in the middle of an answer',
    begin: ({ proxy }) => proxy.set({ kind: 'half', bytes: 3 }),
    end: restore,
    once: true,
  },
  {
    name: 'answering garbage',
    begin: ({ proxy }) => proxy.set({ kind: 'garbage' }),
    end: restore,
    once: true,
  },
  {
    name: 'full, and may not evict (OOM)',
    async begin({ redis }) {
      await redis('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
      await redis('CONFIG', 'SET', 'maxmemory', '1');
    },
    end: ({ redis }) => redis('CONFIG', 'SET', 'maxmemory', '0'),
    reads: true,
    deletes: true,
    opens: false,
  },
  {
    name: 'a replica (READONLY)',
    begin: ({ redis }) => redis('REPLICAOF', '127.0.0.1', '1'),
    end: ({ redis }) => redis('REPLICAOF', 'NO', 'ONE'),
    reads: true,
  },
  {
    name: 'asking for a password (NOAUTH)',
    async begin({ redis, proxy }) {
      await redis('CONFIG', 'SET', 'requirepass', 'secret');
      proxy.reset();
    },
    end: ({ node }) => withPassword(node, 'CONFIG', 'SET', 'requirepass', ''),
  },
  {
    name: 'unable to save, and so refusing writes (MISCONF)',
    async begin({ redis }) {
      const dir = (await redis('CONFIG', 'GET', 'dir')).split('\r\n').at(-2) ?? '';
      rmSync(dir, { recursive: true });
      await redis('CONFIG', 'SET', 'save', '3600 1');
      await redis('BGSAVE');
      await eventually(async () => (await redis('SET', 'x', '1')).startsWith('-MISCONF'));
    },
    // In a new folder.
    end: ({ node }) => node.restart(),
    reads: true,
  },
  {
    name: 'loading its data (LOADING)',
    async begin({ redis }) {
      // A millisecond for each key.
      await redis('DEBUG', 'POPULATE', '2500', 'p', '10');
      await redis('CONFIG', 'SET', 'key-load-delay', '1000');
      await redis('CONFIG', 'SET', 'loading-process-events-interval-bytes', '1024');
      void redis('DEBUG', 'RELOAD');
      await eventually(async () => (await redis('GET', 'x')).startsWith('-LOADING'));
    },
    end: ({ redis }) => eventually(async () => (await redis('GET', 'x')).startsWith('$')),
  },
];

/** One command on a connection that has logged in. */
async function withPassword(node: LocalNode, ...words: string[]): Promise<void> {
  const { Redis } = await import('ioredis');
  const client = new Redis(node.port, { password: 'secret' });
  client.on('error', () => undefined);
  await client.call(words[0]!, ...words.slice(1));
  client.disconnect();
}

async function scene(): Promise<Scene> {
  const node = nodes[0]!;
  const proxy = await FaultProxy.start(node.port);
  return { proxy, node, redis: (...words) => command(node, ...words) };
}

function openBehind(proxy: FaultProxy): Promise<RingCache> {
  return caches.open({
    nodes: [{ id: 'node-1', url: proxy.url }, nodes[1]!, nodes[2]!],
    memory: false,
    node: { timeout: BUDGET_MS },
    breaker: { resetTimeout: 200 },
  });
}

interface Keys {
  readonly bad: string[];
  readonly good: string[];
}

async function warm(cache: RingCache): Promise<Keys> {
  const bad = keysOn(cache, 'node-1', { count: 40 });
  const good = [
    ...keysOn(cache, 'node-2', { count: 20 }),
    ...keysOn(cache, 'node-3', { count: 20 }),
  ];
  const stored = await cache.setMany([...bad, ...good].map((key) => [key, `stored ${key}`]));
  expect(stored).not.toContain(false);
  return { bad, good };
}

/** Reads that never reject and never wait longer than the budget; the good nodes' keys are hits. */
async function expectReadsServed(cache: RingCache, { bad, good }: Keys): Promise<void> {
  const ask = (key: string) => {
    return timed(() => cache.getOrSet(key, () => Promise.resolve(`loaded ${key}`)));
  };
  const answers = await Promise.all(bad.map(ask));
  for (const [i, { value, ms }] of answers.entries()) {
    expect([`loaded ${bad[i]}`, `stored ${bad[i]}`, 'healed']).toContain(value);
    expect(ms).toBeLessThan(BUDGET_MS + SLACK_MS);
  }
  const loadsBefore = cache.stats().loads;
  for (const [i, { value }] of (await Promise.all(good.map(ask))).entries()) {
    expect(value).toBe(`stored ${good[i]}`);
  }
  expect(cache.stats().loads).toBe(loadsBefore);
}

async function expectPositionsKept(cache: RingCache, fault: Fault, keys: Keys): Promise<void> {
  const mixed = keys.good.flatMap((key, i) => [key, keys.bad[i]!]);
  const { ms, value } = await timed(() => cache.getMany(mixed));
  expect(ms).toBeLessThan(BUDGET_MS + SLACK_MS);
  for (const [i, key] of mixed.entries()) {
    if (i % 2 === 0) expect(value[i]).toBe(`stored ${key}`);
    else if (fault.reads !== true && fault.once !== true) expect(value[i]).toBeUndefined();
    else expect([`stored ${key}`, `loaded ${key}`, undefined]).toContain(value[i]);
  }
}

async function expectWritesRefused(cache: RingCache, fault: Fault, { bad }: Keys): Promise<void> {
  const set = await timed(() => cache.set(bad[0]!, 'while away'));
  expect(set.value).toBe(false);
  // The attempt, the note that it failed, and another attempt.
  expect(set.ms).toBeLessThan(3 * BUDGET_MS + SLACK_MS);
  const deleted = await timed(() => cache.delete(bad[1]!));
  expect(deleted.value).toBe(fault.deletes === true);
  expect(deleted.ms).toBeLessThan(3 * BUDGET_MS + SLACK_MS);
}

async function expectLeftAlone(cache: RingCache, keys: Keys): Promise<void> {
  await eventually(async () => {
    await cache.set(keys.bad[0]!, 'while away');
    return cache.topology.nodes[0]!.breaker !== 'closed';
  });
  const times: number[] = [];
  for (const key of keys.bad) {
    if (cache.topology.nodes[0]!.breaker === 'closed') continue;
    times.push((await timed(() => cache.getOrSet(key, () => 'loaded'))).ms);
  }
  times.sort((a, b) => a - b);
  expect(times[Math.floor(times.length / 2)] ?? 0).toBeLessThan(20);
  expect(times.at(-1) ?? 0).toBeLessThan(BUDGET_MS + SLACK_MS);
}

async function expectHealed(cache: RingCache, { bad }: Keys): Promise<void> {
  await eventually(() => cache.topology.nodes[0]!.state === 'up', { withinMs: 8_000 });
  await eventually(async () => {
    expect(await cache.set(bad[2]!, 'healed')).toBe(true);
  });
  expect(await cache.get(bad[2]!)).toBe('healed');
  // Neither what could not be deleted nor what could not be overwritten is served.
  expect(await cache.get(bad[0]!)).not.toBe(`stored ${bad[0]}`);
  expect(await cache.get(bad[1]!)).not.toBe(`stored ${bad[1]}`);
}

describe.each(FAULTS)('a node that is $name', (fault) => {
  test('costs its own keys their cache for a while, and nothing else', async () => {
    const at = await scene();
    const cache = await openBehind(at.proxy);
    let ended = false;
    try {
      const keys = await warm(cache);
      await fault.begin(at);
      await expectReadsServed(cache, keys);
      await expectPositionsKept(cache, fault, keys);
      if (fault.once !== true) await expectWritesRefused(cache, fault, keys);
      if (fault.once !== true && fault.opens !== false) await expectLeftAlone(cache, keys);
      await expectReadsServed(cache, keys);
      ended = true;
      await fault.end(at);
      if (fault.once !== true) await expectHealed(cache, keys);
      await eventually(() => cache.topology.nodes[0]!.state === 'up');
      await expectReadsServed(cache, keys);
    } finally {
      if (!ended) await fault.end(at);
      await cache.close();
      await at.proxy.close();
    }
  });
});
